/* i8254_model.h: an 8254 written in another way than the device: it counts clock by clock. Compared
 * with the register model after every random step. */
#ifndef SPEC_I8254_MODEL_H
#define SPEC_I8254_MODEL_H

#include <stdio.h>
#include <string.h>

#include "chip_bench.h"
#include "devices/isa/i8254_chip.h"

struct model_counter {
    unsigned mode, access, initial, next, value, position, limit;
    bool bcd, gate, runs, output, null, write_high, read_high, over;
    uint8_t low;
    uint64_t ns, clocks, rises; /* ns while it counted; clocks of them that have been counted */
    int status, latch_left;
    unsigned latch;
};

static struct model_counter counters[3];

static void counter_begin(struct model_counter *m)
{
    m->runs = true;
    m->over = false;
    m->value = m->initial;
    m->position = 0;
    m->ns = m->clocks = m->rises = 0;
    m->output = m->mode > 1;
}

/* One clock of modes 0, 1, 4 and 5. */
static void counter_once(struct model_counter *m)
{
    bool strobe = m->mode >= 4;

    m->value = m->value % m->limit ? m->value - 1 : m->limit - 1;
    if (strobe && m->over && !m->output) {
        m->output = true;
        m->rises++;
    }
    if (m->over || m->value % m->limit)
        return;
    m->over = true;
    m->output = !strobe;
    m->rises += !strobe;
}

static void counter_clock(struct model_counter *m)
{
    bool was = m->output;

    m->clocks++;
    if (m->mode != 2 && m->mode != 3) {
        counter_once(m);
        return;
    }
    m->position++;
    if (m->position == m->initial)
        m->position = 0;
    if (m->mode == 2) {
        m->value = m->value == 1 ? m->initial : m->value - 1;
        m->output = m->value != 1;
    } else {
        m->value = m->value > 2 ? m->value - 2 : m->value - 2 + m->initial;
        m->output = m->position < m->initial - m->initial / 2;
    }
    m->rises += m->output && !was;
}

static bool counter_counts(const struct model_counter *m)
{
    return m->runs && (m->gate || m->mode == 1 || m->mode == 5);
}

static void counter_pass(struct model_counter *m, uint64_t ns)
{
    if (!counter_counts(m))
        return;
    m->ns += ns;
    while ((m->clocks + 1) * UINT64_C(500000000) <= m->ns * 596591)
        counter_clock(m);
}

static bool counter_output(const struct model_counter *m)
{
    bool periodic = m->mode == 2 || m->mode == 3;

    return m->output || (periodic && !m->gate);
}

static unsigned counter_value(const struct model_counter *m)
{
    unsigned value = m->value % m->limit, bcd = 0;

    if (!m->bcd)
        return value;
    for (unsigned i = 0; i < 4; i++, value /= 10)
        bcd |= value % 10 << 4 * i;
    return bcd;
}

/* ---- registers ------------------------------------------------------------------------------- */

static void counter_latch(struct model_counter *m, bool count, bool status)
{
    if (count && !m->latch_left) {
        m->latch = counter_value(m);
        m->latch_left = m->access == 3 ? 2 : 1;
    }
    if (status && m->status < 0)
        m->status =
            (int)(counter_output(m) << 7 | m->null << 6 | m->access << 4 | m->mode << 1 | m->bcd);
}

static void counter_program(struct model_counter *m, unsigned access, unsigned mode, bool bcd)
{
    unsigned initial = m->initial;
    bool gate = m->gate;

    *m = (struct model_counter){.access = access, .bcd = bcd, .null = true, .status = -1};
    m->mode = mode > 5 ? mode % 4 : mode;
    m->limit = bcd ? 10000 : 65536;
    m->initial = initial;
    m->value = initial;
    m->gate = gate;
    m->output = m->mode > 0;
}

static void model_control(uint8_t value)
{
    if (value >> 6 < 3 && value >> 4 & 3) {
        counter_program(&counters[value >> 6], value >> 4 & 3, value >> 1 & 7, value & 1);
    } else if (value >> 6 < 3) {
        counter_latch(&counters[value >> 6], true, false);
    } else {
        for (unsigned i = 0; i < 3; i++)
            if (value >> (i + 1) & 1)
                counter_latch(&counters[i], !(value & 0x20), !(value & 0x10));
    }
}

static void counter_load(struct model_counter *m, unsigned value)
{
    unsigned count = value;

    if (m->bcd)
        count = (value % 16 + value / 16 % 16 * 10 + value / 256 % 16 * 100 + value / 4096 * 1000) %
                10000;
    count = count ? count : m->limit;
    if (m->mode == 1 || m->mode == 5) {
        m->next = count;
        m->null = true;
        return;
    }
    m->null = false;
    m->initial = count;
    counter_begin(m);
}

static void counter_write(struct model_counter *m, uint8_t value)
{
    if (m->access == 1) {
        counter_load(m, value);
    } else if (m->access == 2) {
        counter_load(m, value * 256u);
    } else if (m->write_high) {
        m->write_high = false;
        counter_load(m, value * 256u + m->low);
    } else {
        m->write_high = true;
        m->low = value;
        if (m->mode != 0)
            return;
        m->runs = m->output = false;
        m->value = m->initial;
    }
}

static uint8_t half(unsigned value, bool high)
{
    return (uint8_t)(high ? value / 256 : value);
}

static uint8_t counter_read(struct model_counter *m)
{
    int status = m->status;

    m->status = -1;
    if (status >= 0)
        return (uint8_t)status;
    if (m->latch_left) {
        m->latch_left--;
        return half(m->latch, m->access == 2 || (m->access == 3 && !m->latch_left));
    }
    if (m->access != 3)
        return half(counter_value(m), m->access == 2);
    m->read_high = !m->read_high;
    return half(counter_value(m), !m->read_high);
}

static void counter_gate(struct model_counter *m, bool gate)
{
    bool rises = gate && !m->gate;

    m->gate = gate;
    if (!rises)
        return;
    if ((m->mode == 1 || m->mode == 5) && (m->next || m->runs)) {
        m->initial = m->next ? m->next : m->initial;
        m->next = 0;
        m->null = false;
        counter_begin(m);
    } else if ((m->mode == 2 || m->mode == 3) && m->runs) {
        counter_begin(m);
    }
}

/* ---- the two side by side ------------------------------------------------------------------- */

static struct {
    struct chip_time time; /* first: the model's callback finds it */
    struct i8254_chip chip;
    uint64_t ticks; /* of channel 0, since it was loaded */
    char wrong[160];
} timer;

static void timer_ticked(void *opaque)
{
    timer.ticks++;
}

static void timer_begin(void)
{
    memset(&timer, 0, sizeof(timer));
    chip_time_begin(&timer.time, 1000000);
    i8254_init(&timer.chip, &timer.time.clock, chip_time_schedule, timer_ticked, &timer);
    for (unsigned i = 0; i < 3; i++) {
        counters[i] = (struct model_counter){.gate = i != 2, .initial = 65536};
        counter_program(&counters[i], 3, 3, false);
    }
}

static bool timer_same(const char *what, unsigned channel, uint64_t got, uint64_t want)
{
    if (got == want)
        return true;
    snprintf(timer.wrong, sizeof(timer.wrong),
             "%s of channel %u in mode %u: 0x%" PRIx64 ", want 0x%" PRIx64, what, channel,
             counters[channel].mode, got, want);
    return false;
}

/* Calls of the model come at its deadlines. */
static void timer_pass(uint64_t ns)
{
    uint64_t end = timer.time.now + ns;

    for (unsigned i = 0; i < 3; i++)
        counter_pass(&counters[i], ns);
    while (timer.time.deadline <= end) {
        timer.time.now = timer.time.deadline;
        timer.time.deadline = FOREVER;
        i8254_tick(&timer.chip);
    }
    timer.time.now = end;
}

static bool timer_agree(void)
{
    for (unsigned i = 0; i < 3; i++)
        if (!timer_same("output", i, i8254_output(&timer.chip, i), counter_output(&counters[i])) ||
            !timer_same("count", i, i8254_count(&timer.chip, i), counter_value(&counters[i])))
            return false;
    return timer_same("ticks", 0, timer.ticks, counters[0].rises);
}

static void timer_write(unsigned offset, uint8_t value)
{
    uint64_t before = counters[0].clocks;

    i8254_write(&timer.chip, offset, value);
    if (offset == I8254_CONTROL)
        model_control(value);
    else
        counter_write(&counters[offset], value);
    if (counters[0].clocks < before || !counters[0].runs)
        timer.ticks = counters[0].rises = 0;
}

/* Writes a count; those of channel 0 are so long that its ticks are never held back. */
static void timer_load(unsigned channel, uint32_t (*random)(void))
{
    uint8_t high = (uint8_t)random(), low = (uint8_t)(2 + random() % 250);

    if (channel == 0)
        high |= 0x40;
    if (counters[channel].bcd) {
        high &= 0x77;
        low = low & 0x76 ? low & 0x76 : 0x10;
    }
    if (counters[channel].access == 2)
        low = high ? high : 1;
    if (channel == 0 && counters[0].access == 1)
        return;
    timer_write(channel, low);
    if (counters[channel].access == 3)
        timer_write(channel, high);
}

/* Returns false, and why in timer.wrong, if they differ. */
static inline bool timer_step(uint32_t (*random)(void))
{
    unsigned channel = random() % 3;
    uint8_t value = (uint8_t)random();

    switch (random() % 8) {
    case 0:
        timer_write(I8254_CONTROL, value);
        break;
    case 1:
    case 2:
        timer_load(channel, random);
        break;
    case 3:
        if (!timer_same("read", channel, i8254_read(&timer.chip, channel),
                        counter_read(&counters[channel])))
            return false;
        break;
    case 4:
        i8254_write_port61(&timer.chip, value);
        counter_gate(&counters[2], value & 1);
        break;
    default:
        timer_pass(random() % (random() % 4 ? 100000 : 30000000));
    }
    return timer_agree();
}

#endif
