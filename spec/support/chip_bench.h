/* chip_bench.h: a clock, deadlines and interrupt lines, for register models that run without a
 * machine. */
#ifndef SPEC_CHIP_BENCH_H
#define SPEC_CHIP_BENCH_H

#include "check.h"
#include "lunik_device.h"

#define FOREVER UINT64_MAX

/* now: set by the test; deadline: when the model wants to be called, or FOREVER. */
struct chip_time {
    lunik_clock clock;
    uint64_t now, deadline;
};

static inline uint64_t chip_time_now(lunik_clock *clock)
{
    return lunik_container_of(clock, struct chip_time, clock)->now;
}

static inline void chip_time_begin(struct chip_time *t, uint64_t now)
{
    *t = (struct chip_time){.clock = {.now = chip_time_now}, .now = now, .deadline = FOREVER};
}

/* The model's callback; opaque is a struct that begins with its chip_time. */
static inline void chip_time_schedule(void *opaque, uint64_t deadline)
{
    ((struct chip_time *)opaque)->deadline = deadline;
}

struct chip_line {
    bool level;
    unsigned edges; /* how often it was raised */
};

static inline void chip_line_set(lunik_irq *irq, bool level)
{
    struct chip_line *line = irq->opaque;

    line->edges += level;
    line->level = level;
}

static inline void chip_line_connect(lunik_irq *irq, struct chip_line *line)
{
    *irq = (lunik_irq){.fn = chip_line_set, .opaque = line};
}

#endif
