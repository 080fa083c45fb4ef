/*
 * test_i8254.c: the register model of an 8254: what its data sheet says, ticks that come late, and
 * random guests against a model that counts clock by clock.
 *
 * usage: test_i8254 [SEED]
 */
#include <stdlib.h>
#include <time.h>

#include "i8254_model.h"
#include "random.h"

#define HZ100 11932 /* clocks of 10 ms */
#define MS    UINT64_C(1000000)

static void control(uint8_t value)
{
    i8254_write(&timer.chip, I8254_CONTROL, value);
}

static void load(unsigned channel, unsigned count)
{
    i8254_write(&timer.chip, channel, (uint8_t)count);
    i8254_write(&timer.chip, channel, (uint8_t)(count >> 8));
}

static unsigned take(unsigned channel)
{
    unsigned low = i8254_read(&timer.chip, channel);

    return low | (unsigned)i8254_read(&timer.chip, channel) << 8;
}

static void test_power_on(void)
{
    timer_begin();
    check_true("no deadline", timer.time.deadline == FOREVER);
    check_uint("the speaker's gate is low", i8254_read_port61(&timer.chip) & 0x0f, 0);
}

static void test_periodic(void)
{
    uint64_t first;
    unsigned latched;

    timer_begin();
    control(0x34);
    load(0, HZ100);
    first = timer.time.deadline - timer.time.now;
    check_true("the first tick", first > 9999 * MS / 1000 && first < 10001 * MS / 1000);
    timer_pass(1000 * MS);
    check_uint("a second of ticks", timer.ticks, 99);
    latched = i8254_count(&timer.chip, 0);
    control(0x00);
    timer_pass(3 * MS);
    check_true("it counts", i8254_count(&timer.chip, 0) != latched);
    check_uint("  and what is latched is read", take(0), latched);
    control(0xe2);
    check_uint("status: output, mode 2, both bytes", i8254_read(&timer.chip, 0), 0xb4);
    control(0x34);
    check_true("a control word stops it", timer.time.deadline == FOREVER);
    control(0xe2);
    check_uint("status: no count", i8254_read(&timer.chip, 0), 0xf4);
}

static void test_once(void)
{
    timer_begin();
    control(0x30);
    check_uint("mode 0: low", i8254_output(&timer.chip, 0), 0);
    load(0, HZ100);
    timer_pass(20 * MS);
    check_uint("  high after the count", i8254_output(&timer.chip, 0), 1);
    check_uint("  one tick", timer.ticks, 1);
    check_true("  and no more", timer.time.deadline == FOREVER);
    control(0xb2);
    load(2, HZ100);
    check_uint("mode 1: high until the gate rises", i8254_output(&timer.chip, 2), 1);
    i8254_write_port61(&timer.chip, 0xf1);
    check_uint("  then low", i8254_read_port61(&timer.chip) & 0x2f, 0x01);
    timer_pass(20 * MS);
    check_uint("  until it ends", i8254_read_port61(&timer.chip) & 0x2f, 0x21);
}

static void test_bcd(void)
{
    timer_begin();
    control(0xb1);
    i8254_write_port61(&timer.chip, 1);
    load(2, 0x1000);
    timer_pass(8390); /* 10.01 clocks */
    check_uint("BCD", take(2), 0x0990);
    load(2, 0);
    timer_pass(839);
    check_uint("0 is 10000", take(2), 0x9999);
}

/* The loop calls late, or the host has slept. */
static void test_late(void)
{
    timer_begin();
    control(0x34);
    load(0, HZ100);
    timer.time.now += 55 * MS;
    i8254_tick(&timer.chip);
    check_uint("late by four ticks: one at once", timer.ticks, 1);
    timer_pass(21 * MS);
    check_uint("the others at double speed", timer.ticks, 1 + 4);
    timer_pass(24 * MS);
    check_uint("until there is none", timer.ticks, 9);
    timer_pass(100 * MS);
    check_uint("then as before", timer.ticks, 19);
    timer.time.now += 3600 * 1000 * MS;
    i8254_tick(&timer.chip);
    timer.ticks = 0;
    timer_pass(2000 * MS);
    check_true("of an hour a second is made up for", timer.ticks > 298 && timer.ticks < 302);
    load(0, 2);
    timer.ticks = 0;
    timer_pass(10 * MS);
    check_true("a short period floods nothing", timer.ticks <= 50);
}

static uint32_t number(void)
{
    return chance(1u << 31);
}

static void test_random(uint64_t seed)
{
    enum { ROUNDS = 300, STEPS = 200 };
    bool ok = true;

    printf("# seed %" PRIu64 "\n", seed);
    for (unsigned i = 0; ok && i < ROUNDS; i++) {
        random_state = (seed + i) * 0xd1342543de82ef95u;
        timer_begin();
        for (unsigned step = 0; ok && step < STEPS; step++)
            ok = timer_step(number);
        if (!ok)
            printf("# seed %" PRIu64 ": %s\n", seed + i, timer.wrong);
    }
    check_true("random guests", ok);
}

int main(int argc, char **argv)
{
    test_power_on();
    test_periodic();
    test_once();
    test_bcd();
    test_late();
    test_random(argc > 1 ? strtoull(argv[1], NULL, 10) : (uint64_t)time(NULL));
    return check_result();
}
