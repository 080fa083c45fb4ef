/* mc146818_chip.c: see mc146818_chip.h. */
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "mc146818_chip.h"

#define REG_SECONDS       0x00
#define REG_SECONDS_ALARM 0x01
#define REG_MINUTES       0x02
#define REG_MINUTES_ALARM 0x03
#define REG_HOURS         0x04
#define REG_HOURS_ALARM   0x05
#define REG_WEEKDAY       0x06
#define REG_DAY           0x07
#define REG_MONTH         0x08
#define REG_YEAR          0x09
#define REG_A             0x0a
#define REG_B             0x0b
#define REG_C             0x0c
#define REG_D             0x0d
#define REG_CENTURY       0x32

#define A_RATE     0x0f
#define A_DIVIDER  0x60 /* both bits set: the divider is held in reset */
#define A_UIP      0x80
#define A_POWER_ON 0x26 /* 32.768 kHz, 1024 Hz */

#define B_24H  0x02
#define B_BIN  0x04
#define B_SQWE 0x08
#define B_UIE  0x10
#define B_AIE  0x20
#define B_PIE  0x40
#define B_SET  0x80

#define C_UF   0x10 /* the flags are where their enable bits are in B */
#define C_AF   0x20
#define C_PF   0x40
#define C_IRQF 0x80

#define D_VRT 0x80 /* RAM and time are valid */

#define HOUR_PM    0x80
#define DONT_CARE  0xc0 /* in alarm registers: any value will do */
#define NS         1000000000
#define UIP_NS     (NS / 4096) /* from UIP to the update: 8 of 32768 ticks */
#define HALF_NS    500000000   /* from the divider's release to the first update */
#define TICK_SHIFT 15          /* 32768 ticks a second */
#define DAY        86400

struct rtc_time {
    int64_t seconds;
    uint32_t ns;
};

/* ---- time ----------------------------------------------------------------------------------- */

static bool divider_reset(const struct mc146818_chip *c)
{
    return (c->ram[REG_A] & A_DIVIDER) == A_DIVIDER;
}

/* Returns whether the time registers stand still. */
static bool stopped(const struct mc146818_chip *c)
{
    return (c->ram[REG_B] & B_SET) || divider_reset(c);
}

static struct rtc_time time_now(const struct mc146818_chip *c)
{
    uint64_t now = lunik_clock_read(c->clock);
    uint64_t ns = now % NS + c->base_ns;

    return (struct rtc_time){
        .seconds = (int64_t)(now / NS) + c->base_seconds + (ns >= NS),
        .ns = (uint32_t)(ns % NS),
    };
}

/* Returns when the clock shows time t; UINT64_MAX if it ends before. */
static uint64_t deadline_of(const struct mc146818_chip *c, struct rtc_time t)
{
    __int128 at = (__int128)(t.seconds - c->base_seconds) * NS + t.ns - c->base_ns;

    return at < UINT64_MAX ? (uint64_t)at : UINT64_MAX;
}

static int64_t tick_of(struct rtc_time t)
{
    return t.seconds * (1 << TICK_SHIFT) + (((int64_t)t.ns << TICK_SHIFT) / NS);
}

static struct rtc_time tick_time(int64_t tick)
{
    int64_t part = tick & ((1 << TICK_SHIFT) - 1);

    return (struct rtc_time){
        .seconds = tick >> TICK_SHIFT,
        .ns = (uint32_t)((part * NS + (1 << TICK_SHIFT) - 1) >> TICK_SHIFT),
    };
}

/* Returns the ticks between periodic interrupts as a power of two; -1 if there are none. */
static int period_shift(const struct mc146818_chip *c)
{
    int rate = c->ram[REG_A] & A_RATE;

    if (!rate || divider_reset(c))
        return -1;
    return rate <= 2 ? rate + 6 : rate - 1;
}

void mc146818_get_time(const struct mc146818_chip *c, int64_t *seconds, uint32_t *ns)
{
    struct rtc_time now = time_now(c);

    *seconds = now.seconds;
    *ns = now.ns;
}

void mc146818_put_time(struct mc146818_chip *c, int64_t seconds, uint32_t ns)
{
    uint64_t now = lunik_clock_read(c->clock);
    int64_t base_ns = (int64_t)ns - (int64_t)(now % NS);

    c->base_seconds = seconds - (int64_t)(now / NS) - (base_ns < 0);
    c->base_ns = (uint32_t)(base_ns < 0 ? base_ns + NS : base_ns);
}

static void set_time(struct mc146818_chip *c, int64_t seconds, uint32_t ns)
{
    mc146818_put_time(c, seconds, ns);
    c->seen_second = seconds;
    c->seen_tick = tick_of(time_now(c));
}

/* ---- formats -------------------------------------------------------------------------------- */

static uint8_t encode(const struct mc146818_chip *c, int value)
{
    if (c->ram[REG_B] & B_BIN)
        return (uint8_t)value;
    return (uint8_t)(value / 10 << 4 | value % 10);
}

static int decode(const struct mc146818_chip *c, uint8_t value)
{
    return c->ram[REG_B] & B_BIN ? value : (value >> 4) * 10 + (value & 0xf);
}

static uint8_t encode_hour(const struct mc146818_chip *c, int hour)
{
    if (c->ram[REG_B] & B_24H)
        return encode(c, hour);
    return encode(c, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? HOUR_PM : 0);
}

static int decode_hour(const struct mc146818_chip *c, uint8_t value)
{
    if (c->ram[REG_B] & B_24H)
        return decode(c, value);
    return decode(c, value & ~HOUR_PM) % 12 + (value & HOUR_PM ? 12 : 0);
}

/* Writes the present time into the registers. */
static void latch_time(struct mc146818_chip *c)
{
    time_t seconds = time_now(c).seconds;
    struct tm tm = {0};
    int year;

    gmtime_r(&seconds, &tm);
    year = tm.tm_year + 1900;
    c->ram[REG_SECONDS] = encode(c, tm.tm_sec);
    c->ram[REG_MINUTES] = encode(c, tm.tm_min);
    c->ram[REG_HOURS] = encode_hour(c, tm.tm_hour);
    c->ram[REG_WEEKDAY] = encode(c, tm.tm_wday + 1);
    c->ram[REG_DAY] = encode(c, tm.tm_mday);
    c->ram[REG_MONTH] = encode(c, tm.tm_mon + 1);
    c->ram[REG_YEAR] = encode(c, year % 100);
    c->ram[REG_CENTURY] = encode(c, year / 100 % 100);
}

/* Returns the time that the registers show. */
static int64_t latched_time(const struct mc146818_chip *c)
{
    struct tm tm = {
        .tm_sec = decode(c, c->ram[REG_SECONDS]),
        .tm_min = decode(c, c->ram[REG_MINUTES]),
        .tm_hour = decode_hour(c, c->ram[REG_HOURS]),
        .tm_mday = decode(c, c->ram[REG_DAY]),
        .tm_mon = decode(c, c->ram[REG_MONTH]) - 1,
        .tm_year = decode(c, c->ram[REG_CENTURY]) * 100 + decode(c, c->ram[REG_YEAR]) - 1900,
    };

    return timegm(&tm);
}

/* ---- alarm ---------------------------------------------------------------------------------- */

/* Returns whether an alarm register, decoded, matches value; one that never does is below zero. */
static bool matches(int alarm, int value)
{
    return alarm == DONT_CARE || alarm == value;
}

static int alarm_field(uint8_t raw, int decoded, int limit)
{
    if ((raw & DONT_CARE) == DONT_CARE)
        return DONT_CARE;
    return decoded < limit ? decoded : -1;
}

/* Returns the first second after `after` in which the alarm goes off, or INT64_MAX. */
static int64_t alarm_after(const struct mc146818_chip *c, int64_t after)
{
    const uint8_t *ram = c->ram;
    int hour = alarm_field(ram[REG_HOURS_ALARM], decode_hour(c, ram[REG_HOURS_ALARM]), 24);
    int minute = alarm_field(ram[REG_MINUTES_ALARM], decode(c, ram[REG_MINUTES_ALARM]), 60);
    int second = alarm_field(ram[REG_SECONDS_ALARM], decode(c, ram[REG_SECONDS_ALARM]), 60);
    int64_t t = after + 1;

    if (hour < 0 || minute < 0 || second < 0)
        return INT64_MAX;
    while (t <= after + DAY) {
        int of_day = (int)((t % DAY + DAY) % DAY);

        if (!matches(hour, of_day / 3600))
            t += 3600 - of_day % 3600;
        else if (!matches(minute, of_day / 60 % 60))
            t += 60 - of_day % 60;
        else if (!matches(second, of_day % 60))
            t++;
        else
            return t;
    }
    return INT64_MAX;
}

/* ---- interrupts ----------------------------------------------------------------------------- */

/* Sets the flags of events since the last call. */
static void catch_up(struct mc146818_chip *c)
{
    struct rtc_time now = time_now(c);
    int64_t tick = tick_of(now);
    int shift = period_shift(c);

    if (shift >= 0 && tick >> shift != c->seen_tick >> shift)
        c->ram[REG_C] |= C_PF;
    c->seen_tick = tick;
    if (stopped(c) || now.seconds == c->seen_second)
        return;
    c->ram[REG_C] |= C_UF;
    if (!(c->ram[REG_C] & C_AF) && alarm_after(c, c->seen_second) <= now.seconds)
        c->ram[REG_C] |= C_AF;
    c->seen_second = now.seconds;
}

/* Returns when the next interrupt is due that is enabled and has not happened yet. */
static uint64_t next_deadline(const struct mc146818_chip *c)
{
    uint8_t waiting = c->ram[REG_B] & ~c->ram[REG_C];
    struct rtc_time now = time_now(c), t = {0};
    uint64_t deadline = UINT64_MAX, other;
    int shift = period_shift(c);

    if ((waiting & B_PIE) && shift >= 0)
        deadline = deadline_of(c, tick_time(((tick_of(now) >> shift) + 1) * (1 << shift)));
    if (stopped(c))
        return deadline;
    if (waiting & B_UIE)
        t.seconds = now.seconds + 1;
    else if (waiting & B_AIE)
        t.seconds = alarm_after(c, now.seconds);
    else
        return deadline;
    other = t.seconds == INT64_MAX ? UINT64_MAX : deadline_of(c, t);
    return other < deadline ? other : deadline;
}

/* Updates flags, interrupt line and deadline. */
static void update(struct mc146818_chip *c)
{
    uint64_t deadline = UINT64_MAX;

    catch_up(c);
    c->ram[REG_C] &= ~C_IRQF;
    if (c->ram[REG_C] & c->ram[REG_B] & (C_PF | C_AF | C_UF))
        c->ram[REG_C] |= C_IRQF;
    lunik_irq_set(&c->irq, c->ram[REG_C] & C_IRQF);
    if (c->ram[REG_B] & (B_PIE | B_AIE | B_UIE))
        deadline = next_deadline(c);
    if (deadline != c->scheduled) {
        c->scheduled = deadline;
        c->schedule(c->opaque, deadline);
    }
}

void mc146818_tick(struct mc146818_chip *c)
{
    c->scheduled = UINT64_MAX;
    update(c);
}

/* ---- registers ------------------------------------------------------------------------------ */

static bool is_time(unsigned index)
{
    switch (index) {
    case REG_SECONDS:
    case REG_MINUTES:
    case REG_HOURS:
    case REG_WEEKDAY:
    case REG_DAY:
    case REG_MONTH:
    case REG_YEAR:
    case REG_CENTURY:
        return true;
    default:
        return false;
    }
}

static bool updating(const struct mc146818_chip *c)
{
    return !stopped(c) && time_now(c).ns >= NS - UIP_NS;
}

static uint8_t read_flags(struct mc146818_chip *c)
{
    uint8_t value;

    update(c);
    value = c->ram[REG_C];
    c->ram[REG_C] = 0;
    update(c);
    return value;
}

uint8_t mc146818_read(struct mc146818_chip *c, unsigned index)
{
    if (index >= MC146818_SIZE)
        return 0xff;
    if (is_time(index) && !stopped(c))
        latch_time(c);
    switch (index) {
    case REG_A:
        return c->ram[REG_A] | (updating(c) ? A_UIP : 0);
    case REG_C:
        return read_flags(c);
    case REG_D:
        return D_VRT;
    default:
        return c->ram[index];
    }
}

/* Writes register A or B, which start and stop the time. */
static void write_control(struct mc146818_chip *c, unsigned index, uint8_t value)
{
    bool was_stopped = stopped(c), was_reset = divider_reset(c), released;
    struct rtc_time now = time_now(c);

    if (!was_stopped)
        latch_time(c);
    c->ram[index] = value;
    released = was_reset && !divider_reset(c);
    if (released)
        now.ns = NS - HALF_NS;
    if (was_stopped && !stopped(c))
        set_time(c, latched_time(c), now.ns);
    else if (released)
        set_time(c, now.seconds, now.ns);
}

static void write_time(struct mc146818_chip *c, unsigned index, uint8_t value)
{
    bool runs = !stopped(c);

    if (runs)
        latch_time(c);
    c->ram[index] = value;
    if (runs)
        set_time(c, latched_time(c), time_now(c).ns);
}

void mc146818_write(struct mc146818_chip *c, unsigned index, uint8_t value)
{
    if (index >= MC146818_SIZE || index == REG_C || index == REG_D)
        return;
    catch_up(c);
    if (is_time(index))
        write_time(c, index, value);
    else if (index == REG_A)
        write_control(c, index, value & ~A_UIP);
    else if (index == REG_B)
        write_control(c, index, value & B_SET ? value & ~B_UIE : value);
    else
        c->ram[index] = value;
    update(c);
}

bool mc146818_alarmed(const struct mc146818_chip *c)
{
    return c->ram[REG_B] & c->ram[REG_C] & C_AF;
}

/* ---- state ---------------------------------------------------------------------------------- */

static int pre_save(void *state, lunik_error *err)
{
    update(state);
    return 0;
}

static int post_load(void *staged, const void *state, uint16_t version, lunik_error *err)
{
    const struct mc146818_chip *c = staged;

    if (c->seen_second < -MC146818_LATEST || c->seen_second > MC146818_LATEST)
        return lunik_fail(err, LUNIK_E_INVALID, "seen_second: %" PRId64 " is no time of day",
                          c->seen_second);
    return 0;
}

static const lunik_state_field state_fields[] = {
    LUNIK_STATE_ARRAY(struct mc146818_chip, ram),
    LUNIK_STATE(struct mc146818_chip, seen_second),
    LUNIK_STATE(struct mc146818_chip, seen_tick),
    {0},
};

const lunik_state_table mc146818_chip_state = {
    .name = "chip",
    .version = 1,
    .size = sizeof(struct mc146818_chip),
    .fields = state_fields,
    .pre_save = pre_save,
    .post_load = post_load,
};

/* ---- life cycle ----------------------------------------------------------------------------- */

void mc146818_reset(struct mc146818_chip *c)
{
    c->ram[REG_B] &= ~(B_PIE | B_AIE | B_UIE | B_SQWE);
    catch_up(c);
    c->ram[REG_C] = 0;
    update(c);
}

void mc146818_set_time(struct mc146818_chip *c, int64_t seconds, uint32_t ns)
{
    set_time(c, seconds, ns);
    update(c);
}

void mc146818_init(struct mc146818_chip *c, lunik_clock *clock,
                   void (*schedule)(void *opaque, uint64_t deadline), void *opaque, int64_t seconds,
                   uint32_t ns)
{
    memset(c, 0, sizeof(*c));
    c->clock = clock;
    c->schedule = schedule;
    c->opaque = opaque;
    c->scheduled = UINT64_MAX;
    c->ram[REG_A] = A_POWER_ON;
    c->ram[REG_B] = B_24H;
    set_time(c, seconds, ns);
}
