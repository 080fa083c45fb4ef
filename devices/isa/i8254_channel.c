/* i8254_channel.c: what a channel of an 8254 counts, and when its output rises; all in clocks of
 * the timer since the count was loaded or the channel was triggered. */
#include "i8254_channel.h"

#define NS UINT64_C(1000000000)

/* ---- time ----------------------------------------------------------------------------------- */

uint64_t i8254_clocks(uint64_t ns)
{
    return (uint64_t)((unsigned __int128)ns * I8254_HZ / NS);
}

uint64_t i8254_ns(uint64_t clocks)
{
    unsigned __int128 ns = ((unsigned __int128)clocks * NS + I8254_HZ - 1) / I8254_HZ;

    return ns > UINT64_MAX ? UINT64_MAX : (uint64_t)ns;
}

static uint64_t counted_ns(const struct i8254_channel *ch, uint64_t now)
{
    return ch->elapsed + (ch->counting && now > ch->since ? now - ch->since : 0);
}

uint64_t i8254_counted(const struct i8254_channel *ch, uint64_t now)
{
    return i8254_clocks(counted_ns(ch, now));
}

/* ---- modes ---------------------------------------------------------------------------------- */

bool i8254_waits(const struct i8254_channel *ch)
{
    return ch->mode == 1 || ch->mode == 5;
}

bool i8254_periodic(const struct i8254_channel *ch)
{
    return ch->mode == 2 || ch->mode == 3;
}

bool i8254_output_after(const struct i8254_channel *ch, uint64_t d)
{
    if (!ch->started)
        return ch->mode != 0;
    switch (ch->mode) {
    case 0:
    case 1:
        return d >= ch->count;
    case 2:
        return !ch->gate || d % ch->count != ch->count - 1;
    case 3:
        return !ch->gate || d % ch->count < (ch->count + 1) / 2;
    default:
        return d != ch->count;
    }
}

uint64_t i8254_rises(const struct i8254_channel *ch, uint64_t d)
{
    if (!ch->started || (i8254_periodic(ch) && ch->count < 2))
        return 0;
    if (i8254_periodic(ch))
        return d / ch->count;
    return d >= ch->count + (ch->mode >= 4);
}

/* Returns after how many clocks it rises for the n-th time; UINT64_MAX: never. */
static uint64_t clocks_to_rise(const struct i8254_channel *ch, uint64_t n)
{
    if (!ch->started || (i8254_periodic(ch) ? ch->count < 2 : n > 1))
        return UINT64_MAX;
    return i8254_periodic(ch) ? n * ch->count : ch->count + (uint64_t)(ch->mode >= 4);
}

static uint16_t to_bcd(uint32_t value)
{
    return (uint16_t)(value % 10 | value / 10 % 10 << 4 | value / 100 % 10 << 8 |
                      value / 1000 % 10 << 12);
}

uint32_t i8254_from_bcd(uint32_t value)
{
    return (value & 15) + 10 * (value >> 4 & 15) + 100 * (value >> 8 & 15) + 1000 * (value >> 12);
}

uint16_t i8254_count_after(const struct i8254_channel *ch, uint64_t d)
{
    uint32_t counts = ch->bcd ? I8254_BCD_COUNTS : I8254_BINARY_COUNTS, value;

    if (!ch->started)
        value = ch->count;
    else if (ch->mode == 3)
        value = ch->count - (uint32_t)(2 * d % ch->count);
    else if (ch->mode == 2)
        value = ch->count - (uint32_t)(d % ch->count);
    else
        value = (ch->count + counts - (uint32_t)(d % counts)) % counts;
    return ch->bcd ? to_bcd(value) : (uint16_t)value;
}

/* ---- counting ------------------------------------------------------------------------------- */

/* In modes 1 and 5 only the gate's edge matters. */
void i8254_go_on(struct i8254_channel *ch, uint64_t now)
{
    ch->elapsed = counted_ns(ch, now);
    ch->since = now;
    ch->counting = ch->started && (ch->gate || i8254_waits(ch));
}

void i8254_start(struct i8254_channel *ch, uint64_t now)
{
    ch->started = true;
    ch->elapsed = 0;
    ch->counting = false;
    ch->ticks = 0;
    i8254_go_on(ch, now);
}

void i8254_stop(struct i8254_channel *ch)
{
    ch->started = ch->counting = false;
    ch->elapsed = ch->ticks = 0;
}

void i8254_set_gate(struct i8254_channel *ch, bool gate, uint64_t now)
{
    bool rises = gate && !ch->gate;

    ch->gate = gate;
    if (rises && i8254_waits(ch) && ch->loaded) {
        ch->count = ch->next_count ? ch->next_count : ch->count;
        ch->next_count = 0;
        i8254_start(ch, now);
    } else if (rises && i8254_periodic(ch) && ch->started) {
        i8254_start(ch, now);
    } else {
        i8254_go_on(ch, now);
    }
}

uint64_t i8254_next_rise(const struct i8254_channel *ch)
{
    uint64_t clocks = clocks_to_rise(ch, ch->ticks + 1), at = i8254_ns(clocks);

    if (!ch->counting || clocks == UINT64_MAX)
        return UINT64_MAX;
    at = at > ch->elapsed ? at - ch->elapsed : 0;
    return __builtin_add_overflow(at, ch->since, &at) ? UINT64_MAX : at;
}

/* ---- state ---------------------------------------------------------------------------------- */

static int post_load(void *staged, const void *state, uint16_t version, lunik_error *err)
{
    const struct i8254_channel *ch = staged;

    if (!ch->count)
        return lunik_fail(err, LUNIK_E_INVALID, "count: '0' is not possible (want 1 to 65536)");
    if (!ch->access)
        return lunik_fail(err, LUNIK_E_INVALID, "access: '0' is not possible (want 1 to 3)");
    return 0;
}

#define CHANNEL(field, ...) LUNIK_STATE(struct i8254_channel, field, __VA_ARGS__)
static const lunik_state_field channel_fields[] = {
    CHANNEL(mode, .limit = 6),
    CHANNEL(access, .limit = 4),
    CHANNEL(bcd),
    CHANNEL(gate),
    CHANNEL(loaded),
    CHANNEL(started),
    CHANNEL(write_high),
    CHANNEL(read_high),
    CHANNEL(low),
    CHANNEL(count, .limit = I8254_BINARY_COUNTS + 1),
    CHANNEL(next_count, .limit = I8254_BINARY_COUNTS + 1),
    CHANNEL(elapsed),
    CHANNEL(ticks),
    CHANNEL(status_latched),
    CHANNEL(status),
    CHANNEL(latched, .limit = 3),
    CHANNEL(latch),
    {0},
};

const lunik_state_table i8254_channel_state = {
    .name = "channel",
    .version = 1,
    .size = sizeof(struct i8254_channel),
    .fields = channel_fields,
    .post_load = post_load,
};
