/* i8254_chip.c: the registers of an 8254; see i8254_chip.h. */
#include "i8254_channel.h"

/* Control words. */
#define CHANNEL_SHIFT   6
#define READ_BACK       3 /* in the place of a channel */
#define BACK_NO_COUNT   0x20
#define BACK_NO_STATUS  0x10
#define BACK_CHANNEL(n) (0x02u << (n))
#define ACCESS_SHIFT    4
#define ACCESS_LATCH    0
#define ACCESS_LOW      1
#define ACCESS_HIGH     2
#define ACCESS_BOTH     3
#define MODE_SHIFT      1
#define BCD             0x01
#define STATUS_OUTPUT   0x80
#define STATUS_NULL     0x40

#define PORT61_GATE     0x01
#define PORT61_WRITABLE 0x0f
#define PORT61_REFRESH  0x10 /* toggles */
#define PORT61_OUTPUT   0x20
#define REFRESH_SHIFT   14 /* about 15 us, as ns */

/* Calls are not asked for more often, whatever the guest has programmed. */
#define SHORTEST_NS 200000
#define MOST_LATE   UINT64_C(1000000000) /* older ticks are dropped */

static uint64_t now_of(const struct i8254_chip *c)
{
    return lunik_clock_read(c->clock);
}

bool i8254_output(const struct i8254_chip *c, unsigned channel)
{
    const struct i8254_channel *ch = &c->channel[channel];

    return i8254_output_after(ch, i8254_counted(ch, now_of(c)));
}

uint16_t i8254_count(const struct i8254_chip *c, unsigned channel)
{
    const struct i8254_channel *ch = &c->channel[channel];

    return i8254_count_after(ch, i8254_counted(ch, now_of(c)));
}

/* Returns how long the next rise has to wait at least. */
static uint64_t pause_left(const struct i8254_chip *c, uint64_t now)
{
    const struct i8254_channel *ch = &c->channel[0];
    uint64_t half = i8254_ns(ch->count) / 2, pause = half > SHORTEST_NS ? half : SHORTEST_NS;
    uint64_t passed = now - c->last_tick;

    if (!i8254_periodic(ch) || !ch->ticks || passed >= pause)
        return 1;
    return pause - passed;
}

/* Sets the deadline of channel 0. */
static void schedule(struct i8254_chip *c)
{
    uint64_t now = now_of(c), at = i8254_next_rise(&c->channel[0]);
    uint64_t earliest = now + pause_left(c, now);

    c->schedule(c->opaque, at > earliest ? at : earliest);
}

void i8254_tick(struct i8254_chip *c)
{
    struct i8254_channel *ch = &c->channel[0];
    uint64_t now = now_of(c), rises = i8254_rises(ch, i8254_counted(ch, now));
    uint64_t most = 1 + (i8254_periodic(ch) ? i8254_clocks(MOST_LATE) / ch->count : 0);

    if (rises > ch->ticks && i8254_next_rise(ch) <= now) {
        if (rises - ch->ticks > most)
            ch->ticks = rises - most;
        ch->ticks++;
        c->last_tick = now;
        c->tick(c->opaque);
    }
    schedule(c);
}

/* ---- registers ------------------------------------------------------------------------------ */

static void write_count(struct i8254_channel *ch, uint32_t value, uint64_t now)
{
    uint32_t count = ch->bcd ? i8254_from_bcd(value) % I8254_BCD_COUNTS : value;

    if (!count)
        count = ch->bcd ? I8254_BCD_COUNTS : I8254_BINARY_COUNTS;
    ch->loaded = true;
    if (i8254_waits(ch)) {
        ch->next_count = count;
    } else {
        ch->count = count;
        i8254_start(ch, now);
    }
}

static void write_channel(struct i8254_channel *ch, uint8_t value, uint64_t now)
{
    if (ch->access != ACCESS_BOTH) {
        write_count(ch, ch->access == ACCESS_HIGH ? (uint32_t)value << 8 : value, now);
    } else if (ch->write_high) {
        ch->write_high = false;
        write_count(ch, (uint32_t)value << 8 | ch->low, now);
    } else {
        ch->write_high = true;
        ch->low = value;
        if (ch->mode == 0)
            i8254_stop(ch);
    }
}

static void latch_count(struct i8254_channel *ch, uint64_t now)
{
    if (ch->latched)
        return;
    ch->latch = i8254_count_after(ch, i8254_counted(ch, now));
    ch->latched = ch->access == ACCESS_BOTH ? 2 : 1;
}

static void latch_status(struct i8254_channel *ch, uint64_t now)
{
    if (ch->status_latched)
        return;
    ch->status_latched = true;
    ch->status =
        (uint8_t)((i8254_output_after(ch, i8254_counted(ch, now)) ? STATUS_OUTPUT : 0) |
                  (!ch->loaded || ch->next_count ? STATUS_NULL : 0) | ch->access << ACCESS_SHIFT |
                  ch->mode << MODE_SHIFT | (ch->bcd ? BCD : 0));
}

static void read_back(struct i8254_chip *c, uint8_t value, uint64_t now)
{
    for (unsigned i = 0; i < I8254_CHANNELS; i++) {
        if (!(value & BACK_CHANNEL(i)))
            continue;
        if (!(value & BACK_NO_COUNT))
            latch_count(&c->channel[i], now);
        if (!(value & BACK_NO_STATUS))
            latch_status(&c->channel[i], now);
    }
}

static void program(struct i8254_channel *ch, uint8_t value)
{
    uint8_t mode = value >> MODE_SHIFT & 7;

    *ch = (struct i8254_channel){
        .mode = mode > 5 ? mode - 4 : mode,
        .access = value >> ACCESS_SHIFT & 3,
        .bcd = value & BCD,
        .gate = ch->gate,
        .count = ch->count,
    };
}

static void write_control(struct i8254_chip *c, uint8_t value, uint64_t now)
{
    unsigned channel = value >> CHANNEL_SHIFT;

    if (channel == READ_BACK)
        read_back(c, value, now);
    else if ((value >> ACCESS_SHIFT & 3) == ACCESS_LATCH)
        latch_count(&c->channel[channel], now);
    else
        program(&c->channel[channel], value);
}

void i8254_write(struct i8254_chip *c, unsigned offset, uint8_t value)
{
    uint64_t now = now_of(c);

    if (offset == I8254_CONTROL)
        write_control(c, value, now);
    else
        write_channel(&c->channel[offset], value, now);
    schedule(c);
}

static uint8_t read_latch(struct i8254_channel *ch)
{
    bool high = ch->access == ACCESS_HIGH || (ch->access == ACCESS_BOTH && ch->latched == 1);

    ch->latched--;
    return (uint8_t)(high ? ch->latch >> 8 : ch->latch);
}

static uint8_t read_channel(struct i8254_channel *ch, uint64_t now)
{
    uint16_t count = i8254_count_after(ch, i8254_counted(ch, now));
    bool high = ch->access == ACCESS_HIGH || (ch->access == ACCESS_BOTH && ch->read_high);

    if (ch->access == ACCESS_BOTH)
        ch->read_high = !ch->read_high;
    return (uint8_t)(high ? count >> 8 : count);
}

uint8_t i8254_read(struct i8254_chip *c, unsigned offset)
{
    struct i8254_channel *ch = &c->channel[offset % I8254_CONTROL];

    if (offset == I8254_CONTROL)
        return 0;
    if (ch->status_latched) {
        ch->status_latched = false;
        return ch->status;
    }
    return ch->latched ? read_latch(ch) : read_channel(ch, now_of(c));
}

uint8_t i8254_read_port61(const struct i8254_chip *c)
{
    uint64_t now = now_of(c);

    return (uint8_t)(c->port61 | (now >> REFRESH_SHIFT & 1 ? PORT61_REFRESH : 0) |
                     (i8254_output(c, I8254_SPEAKER) ? PORT61_OUTPUT : 0));
}

void i8254_write_port61(struct i8254_chip *c, uint8_t value)
{
    c->port61 = value & PORT61_WRITABLE;
    i8254_set_gate(&c->channel[I8254_SPEAKER], value & PORT61_GATE, now_of(c));
}

/* ---- state ---------------------------------------------------------------------------------- */

/* The counts of the channels, so that no point in time is saved. */
static int pre_save(void *state, lunik_error *err)
{
    struct i8254_chip *c = state;
    uint64_t now = now_of(c);

    for (unsigned i = 0; i < I8254_CHANNELS; i++)
        i8254_go_on(&c->channel[i], now);
    c->tick_age = now - c->last_tick;
    return 0;
}

static int post_load(void *staged, const void *state, uint16_t version, lunik_error *err)
{
    const struct i8254_chip *c = staged;

    for (unsigned i = 0; i < I8254_CHANNELS; i++) {
        bool gate = i == I8254_SPEAKER ? c->port61 & PORT61_GATE : true;

        if (c->channel[i].gate != gate)
            return lunik_fail(err, LUNIK_E_INVALID, "channel: [%u]: gate: %d is not possible", i,
                              c->channel[i].gate);
    }
    return 0;
}

static void loaded(void *state)
{
    struct i8254_chip *c = state;

    for (unsigned i = 0; i < I8254_CHANNELS; i++) {
        struct i8254_channel *ch = &c->channel[i];

        ch->counting = false;
        i8254_go_on(ch, now_of(c));
    }
    c->last_tick = now_of(c) - c->tick_age;
    schedule(c);
}

static const lunik_state_field state_fields[] = {
    LUNIK_STATE_STRUCTS(struct i8254_chip, channel, &i8254_channel_state),
    LUNIK_STATE(struct i8254_chip, tick_age),
    LUNIK_STATE(struct i8254_chip, port61, .limit = PORT61_WRITABLE + 1),
    {0},
};

const lunik_state_table i8254_chip_state = {
    .name = "chip",
    .version = 1,
    .size = sizeof(struct i8254_chip),
    .fields = state_fields,
    .pre_save = pre_save,
    .post_load = post_load,
    .loaded = loaded,
};

/* ---- life cycle ----------------------------------------------------------------------------- */

static void power_on(struct i8254_chip *c)
{
    for (unsigned i = 0; i < I8254_CHANNELS; i++)
        c->channel[i] = (struct i8254_channel){
            .mode = 3,
            .access = ACCESS_BOTH,
            .gate = i != I8254_SPEAKER,
            .count = I8254_BINARY_COUNTS,
        };
    c->port61 = 0;
    c->last_tick = 0;
}

void i8254_reset(struct i8254_chip *c)
{
    power_on(c);
    schedule(c);
}

void i8254_init(struct i8254_chip *c, lunik_clock *clock,
                void (*schedule_fn)(void *opaque, uint64_t deadline), void (*tick)(void *opaque),
                void *opaque)
{
    *c = (struct i8254_chip){
        .clock = clock, .schedule = schedule_fn, .tick = tick, .opaque = opaque};
    power_on(c);
}
