/*
 * chip_clock.h: a clock that the input moves, for register models; their deadlines are kept, as a
 * machine keeps them.
 */
#ifndef SPEC_FUZZ_CHIP_CLOCK_H
#define SPEC_FUZZ_CHIP_CLOCK_H

#include "fuzz.h"

static uint64_t chip_clock_read(lunik_clock *clock);

static struct {
    lunik_clock clock; /* for the chip */
    uint64_t now, deadline;
} chip = {.clock = {.now = chip_clock_read}};

static uint64_t chip_clock_read(lunik_clock *clock)
{
    return chip.now;
}

/* At zero, without a deadline. */
static inline void chip_clock_start(void)
{
    chip.now = 0;
    chip.deadline = UINT64_MAX;
}

/* The model's callback. */
static void chip_clock_schedule(void *opaque, uint64_t deadline)
{
    fuzz_check(deadline > chip.now, "deadline %" PRIu64 " is over at %" PRIu64, deadline, chip.now);
    chip.deadline = deadline;
}

/* tick is what the model wants to be called at a deadline. */
static inline void chip_clock_advance(uint64_t ns, void (*tick)(void))
{
    uint64_t end = chip.now + ns;

    if (ns >= UINT64_MAX - chip.now)
        return;
    for (unsigned ticks = 0; chip.deadline <= end; ticks++) {
        fuzz_check(ticks < 4, "one deadline leads to the next");
        chip.now = chip.deadline;
        chip.deadline = UINT64_MAX;
        tick();
    }
    chip.now = end;
}

#endif
