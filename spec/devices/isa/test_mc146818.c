/* test_mc146818.c: the real-time clock's register model against its data sheet, with a clock and an
 * interrupt line of our own. */
#include <stdlib.h>

#include "devices/isa/mc146818_chip.h"
#include "chip_bench.h"

#define NS 1000000000ull
#define T0 1709210096 /* 2024-02-29 12:34:56 UTC, a Thursday */

struct bench {
    struct chip_time time;
    struct mc146818_chip chip;
    struct chip_line irq;
};

static struct mc146818_chip *setup_at(struct bench *b, int64_t seconds)
{
    memset(b, 0, sizeof(*b));
    chip_time_begin(&b->time, 12345678901);
    mc146818_init(&b->chip, &b->time.clock, chip_time_schedule, b, seconds, 0);
    chip_line_connect(&b->chip.irq, &b->irq);
    return &b->chip;
}

static struct mc146818_chip *setup(struct bench *b)
{
    return setup_at(b, T0);
}

/* Lets time pass as a machine would: deadlines are kept. */
static void pass(struct bench *b, uint64_t ns)
{
    uint64_t until = b->time.now + ns;

    while (b->time.deadline <= until) {
        b->time.now = b->time.deadline > b->time.now ? b->time.deadline : b->time.now;
        b->time.deadline = FOREVER;
        mc146818_tick(&b->chip);
    }
    b->time.now = until;
}

/* "century year-month-day hour:minute:second weekday" as the registers have it. */
static const char *show(struct mc146818_chip *c)
{
    static char text[64];
    static const uint8_t regs[] = {0x32, 9, 8, 7, 4, 2, 0, 6};
    uint8_t v[sizeof(regs)] = {0};

    for (unsigned i = 0; i < sizeof(regs); i++)
        v[i] = mc146818_read(c, regs[i]);
    snprintf(text, sizeof(text), "%02x %02x-%02x-%02x %02x:%02x:%02x %x", v[0], v[1], v[2], v[3],
             v[4], v[5], v[6], v[7]);
    return text;
}

static void test_time(void)
{
    struct bench b;
    struct mc146818_chip *c = setup(&b);

    check_uint("reset: A", mc146818_read(c, 0x0a), 0x26);
    check_uint("reset: B", mc146818_read(c, 0x0b), 0x02);
    check_uint("reset: C", mc146818_read(c, 0x0c), 0x00);
    check_uint("D says valid", mc146818_read(c, 0x0d), 0x80);
    check_string("BCD, 24 hours", show(c), "20 24-02-29 12:34:56 5");
    mc146818_write(c, 0x0b, 0x06);
    check_string("binary", show(c), "14 18-02-1d 0c:22:38 5");
    mc146818_write(c, 0x0b, 0x00);
    check_string("12 hours: noon", show(c), "20 24-02-29 92:34:56 5");
    pass(&b, 12 * 3600 * NS);
    check_string("12 hours: midnight, March", show(c), "20 24-03-01 12:34:56 6");
    mc146818_write(c, 0x0b, 0x02);
    check_string("24 hours: midnight", show(c), "20 24-03-01 00:34:56 6");
    check_uint("no deadline while nothing waits", b.time.deadline, FOREVER);
}

static void test_set(void)
{
    struct bench b;
    struct mc146818_chip *c = setup(&b);
    static const uint8_t values[][2] = {{0x32, 0x19}, {9, 0x99}, {8, 0x12}, {7, 0x31},
                                        {4, 0x23},    {2, 0x59}, {0, 0x58}};

    mc146818_write(c, 0x0b, 0x82);
    pass(&b, 5 * NS);
    check_string("SET holds the time", show(c), "20 24-02-29 12:34:56 5");
    for (unsigned i = 0; i < 7; i++)
        mc146818_write(c, values[i][0], values[i][1]);
    mc146818_write(c, 0x0b, 0x02);
    check_string("the time set", show(c), "19 99-12-31 23:59:58 6");
    pass(&b, 3 * NS);
    check_string("the new century", show(c), "20 00-01-01 00:00:01 7");
    mc146818_write(c, 0x04, 0x07);
    check_string("set without SET", show(c), "20 00-01-01 07:00:01 7");

    mc146818_write(c, 0x0a, 0x70);
    pass(&b, 10 * NS);
    check_string("a divider in reset holds the time", show(c), "20 00-01-01 07:00:01 7");
    mc146818_write(c, 0x0a, 0x26);
    pass(&b, NS / 2 - 1);
    check_string("released", show(c), "20 00-01-01 07:00:01 7");
    pass(&b, 1);
    check_string("it updates after half a second", show(c), "20 00-01-01 07:00:02 7");

    for (unsigned i = 0; i < 7; i++)
        mc146818_write(c, values[i][0], 0xff);
    show(c);
    check_true("nonsense is taken", true);
}

static void test_uip(void)
{
    struct bench b;
    struct mc146818_chip *c = setup(&b);

    pass(&b, NS - 244141);
    check_uint("UIP not yet", mc146818_read(c, 0x0a), 0x26);
    pass(&b, 1);
    check_uint("UIP 8/32768 s before the update", mc146818_read(c, 0x0a), 0xa6);
    check_uint("the old second", mc146818_read(c, 0), 0x56);
    mc146818_write(c, 0x0b, 0x82);
    check_uint("SET clears UIP", mc146818_read(c, 0x0a), 0x26);
    mc146818_write(c, 0x0b, 0x02);
    pass(&b, 244140);
    check_uint("after it UIP is clear", mc146818_read(c, 0x0a), 0x26);
    check_uint("the new second", mc146818_read(c, 0), 0x57);
    mc146818_write(c, 0x0a, 0xa6);
    check_uint("UIP can't be written", mc146818_read(c, 0x0a), 0x26);
}

static void test_update_interrupt(void)
{
    struct bench b;
    struct mc146818_chip *c = setup(&b);

    pass(&b, NS / 4);
    mc146818_write(c, 0x0b, 0x12);
    check_uint("deadline: the next second", b.time.deadline, b.time.now + NS * 3 / 4);
    pass(&b, NS / 2);
    check_uint("not yet", b.irq.level, false);
    pass(&b, NS / 2);
    check_uint("update raises the line", b.irq.level, true);
    check_uint("no deadline until it is acknowledged", b.time.deadline, FOREVER);
    check_uint("C: IRQF and UF, PF of its own", mc146818_read(c, 0x0c), 0xd0);
    check_uint("reading C lowers the line", b.irq.level, false);
    check_true("and waits for the next", b.time.deadline != FOREVER);
    mc146818_write(c, 0x0b, 0x92);
    check_uint("SET clears UIE", mc146818_read(c, 0x0b), 0x82);
    check_uint("and the deadline", b.time.deadline, FOREVER);
    mc146818_write(c, 0x0b, 0x02);
    mc146818_read(c, 0x0c);
    pass(&b, 10 * NS);
    check_uint("disabled: a flag, no interrupt", mc146818_read(c, 0x0c), 0x50);
    check_uint("line", b.irq.level, false);
}

static void test_periodic(void)
{
    static const struct {
        uint8_t rate;
        uint64_t ticks; /* of 1/32768 s */
    } cases[] = {{1, 128}, {2, 256}, {3, 4}, {6, 32}, {15, 16384}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct bench b;
        struct mc146818_chip *c = setup(&b);
        unsigned count = 0;
        uint64_t start = b.time.now;

        mc146818_write(c, 0x0a, 0x20 | cases[i].rate);
        mc146818_write(c, 0x0b, 0x42);
        while (b.time.now < start + NS) {
            uint64_t step = b.time.deadline - b.time.now;

            pass(&b, step);
            count += b.irq.level;
            mc146818_read(c, 0x0c);
        }
        check_uint("interrupts in a second", count, 32768 / cases[i].ticks);
        check_uint("the last one at the second", b.time.now, start + NS);
    }
}

static void test_periodic_off(void)
{
    struct bench b;
    struct mc146818_chip *c = setup(&b);

    mc146818_write(c, 0x0a, 0x20);
    mc146818_write(c, 0x0b, 0x42);
    check_uint("rate 0: no deadline", b.time.deadline, FOREVER);
    pass(&b, NS / 2);
    check_uint("rate 0: no flag", mc146818_read(c, 0x0c), 0);
    mc146818_write(c, 0x0a, 0x66);
    check_uint("divider in reset: no deadline", b.time.deadline, FOREVER);
    mc146818_write(c, 0x0a, 0x26);
    check_true("released: a deadline", b.time.deadline != FOREVER);
    mc146818_reset(c);
    check_uint("reset disables interrupts", mc146818_read(c, 0x0b), 0x02);
    check_uint("reset clears the deadline", b.time.deadline, FOREVER);
}

static void set_alarm(struct mc146818_chip *c, uint8_t hour, uint8_t minute, uint8_t second)
{
    mc146818_write(c, 5, hour);
    mc146818_write(c, 3, minute);
    mc146818_write(c, 1, second);
}

static void test_alarm(void)
{
    struct bench b;
    struct mc146818_chip *c = setup(&b);
    uint64_t start = b.time.now;

    set_alarm(c, 0x12, 0x35, 0x10);
    mc146818_write(c, 0x0b, 0x22);
    check_uint("alarm: deadline", b.time.deadline, start + 14 * NS);
    pass(&b, 14 * NS - 1);
    check_uint("alarm: not yet", b.irq.level, false);
    pass(&b, 1);
    check_uint("alarm", b.irq.level, true);
    check_uint("alarm: C", mc146818_read(c, 0x0c) & 0xa0, 0xa0);
    check_uint("alarm: the next day", b.time.deadline, start + (86400 + 14) * NS);
    set_alarm(c, 0xff, 0xc0, 0x00);
    check_uint("alarm: every minute", b.time.deadline, start + 64 * NS);
    set_alarm(c, 0xff, 0x00, 0x00);
    check_uint("alarm: every hour", b.time.deadline, start + (25 * 60 + 4) * NS);
    set_alarm(c, 0x12, 0x34, 0x56);
    check_uint("alarm: a time just gone is tomorrow", b.time.deadline, start + 86400 * NS);
    set_alarm(c, 0x25, 0xff, 0xff);
    check_uint("alarm: an hour that never comes", b.time.deadline, FOREVER);
    set_alarm(c, 0xff, 0xff, 0x77);
    check_uint("alarm: a second that never comes", b.time.deadline, FOREVER);
    mc146818_write(c, 0x0b, 0x20);
    set_alarm(c, 0x81, 0x00, 0x00);
    check_uint("alarm: 1 p.m.", b.time.deadline, start + (25 * 60 + 4) * NS);

    c = setup(&b);
    set_alarm(c, 0x12, 0x35, 0x10);
    pass(&b, 100 * NS);
    check_uint("alarm: seen later, while disabled", mc146818_read(c, 0x0c) & 0xf0, 0x70);
}

static void test_ram(void)
{
    struct bench b;
    struct mc146818_chip *c = setup(&b);
    unsigned bad = 0;

    for (unsigned i = 0x0e; i < 0x80; i++)
        if (i != 0x32)
            mc146818_write(c, i, (uint8_t)(i ^ 0x5a));
    mc146818_reset(c);
    for (unsigned i = 0x0e; i < 0x80; i++)
        if (i != 0x32)
            bad += mc146818_read(c, i) != (uint8_t)(i ^ 0x5a);
    check_uint("RAM survives a reset, the shutdown byte included", bad, 0);
    check_uint("beyond the RAM", mc146818_read(c, 0x80), 0xff);
    mc146818_write(c, 0x0d, 0);
    check_uint("D is read-only", mc146818_read(c, 0x0d), 0x80);
    c = setup_at(&b, 253402300799);
    check_string("the last second of 9999", show(c), "99 99-12-31 23:59:59 6");
    pass(&b, NS);
    check_string("and the next", show(c), "00 00-01-01 00:00:00 7");
}

/* The clock counts nanoseconds in 64 bits; a deadline is found as long as there is one. */
static void test_far_deadline(void)
{
    struct bench b;
    struct mc146818_chip *c = setup(&b);

    pass(&b, 10000000000 * NS); /* 317 years */
    mc146818_write(c, 0x0b, 0x12);
    mc146818_read(c, 0x0c);
    check_true("after centuries: the next update",
               b.time.deadline > b.time.now && b.time.deadline <= b.time.now + NS);
    pass(&b, 8446744000 * NS);
    mc146818_read(c, 0x0c);
    check_true("in the last minute",
               b.time.deadline > b.time.now && b.time.deadline <= b.time.now + NS);
    pass(&b, 61 * NS);
    mc146818_read(c, 0x0c);
    check_uint("there is none when the clock is at its end", b.time.deadline, FOREVER);
}

/* The second that is shown may begin after the clock's end, and the deadline in it before. */
static void test_last_second(void)
{
    struct bench b;
    struct mc146818_chip *c = setup(&b);

    b.time.now = FOREVER - 9000000;
    mc146818_set_time(c, T0, 100000000);
    mc146818_write(c, 0x0a, 0x23); /* every four ticks of 32768 a second: the next is 3280 */
    mc146818_write(c, 0x0b, 0x42);
    check_uint("a tick in the last second", b.time.deadline - b.time.now, 97657);
}

/* Whatever is written and whenever, nothing traps, and an alarm search ends. */
static void test_random(void)
{
    struct bench b;
    struct mc146818_chip *c = setup(&b);
    bool ahead = true;

    srand(2);
    for (unsigned i = 0; i < 50000; i++) {
        unsigned what = (unsigned)rand();

        b.time.now += (uint64_t)what * (what % 3 ? 1 : 1000);
        if (what & 0x1000)
            mc146818_write(c, what % 0x38, (uint8_t)(what >> 16));
        else
            mc146818_read(c, what % 0x38);
        if (b.time.deadline <= b.time.now) {
            b.time.deadline = FOREVER;
            mc146818_tick(c);
        }
        ahead &= b.time.deadline > b.time.now;
    }
    check_true("random: deadlines lie ahead", ahead);
}

int main(void)
{
    test_time();
    test_set();
    test_uip();
    test_update_interrupt();
    test_periodic();
    test_periodic_off();
    test_alarm();
    test_ram();
    test_far_deadline();
    test_last_second();
    test_random();
    return check_result();
}
