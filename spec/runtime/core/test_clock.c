/* test_clock.c: the manual clock and the order of timers, against a sorted list as the oracle. */
#include <stdlib.h>
#include <time.h>

#include "lunik_device.h"
#include "check.h"

enum { TIMERS = 200, STEPS = 400 };

struct probe {
    lunik_timer timer;
    uint64_t fired_at; /* 0: not yet */
    uint64_t wanted;   /* UINT64_MAX: idle */
};

static lunik_machine *machine;

static void on_fire(lunik_timer *timer)
{
    struct probe *p = lunik_container_of(timer, struct probe, timer);

    p->fired_at = lunik_clock_now(machine);
}

/* Arms, re-arms and cancels at random; each timer must fire at its own time and only then. */
static void test_random(unsigned seed)
{
    static struct probe probes[TIMERS];
    uint64_t now = lunik_clock_now(machine);
    int wrong = 0;

    srandom(seed);
    for (int i = 0; i < TIMERS; i++) {
        lunik_timer_init(&probes[i].timer, machine, on_fire);
        probes[i].wanted = UINT64_MAX;
    }
    for (int step = 0; step < STEPS; step++) {
        struct probe *p = &probes[random() % TIMERS];
        uint64_t ahead = (uint64_t)(random() % 1000);

        switch (random() % 3) {
        case 0:
            lunik_timer_cancel(&p->timer);
            p->wanted = UINT64_MAX;
            break;
        case 1:
            p->wanted = now + 1 + (uint64_t)(random() % 5000);
            p->fired_at = 0;
            lunik_timer_set(&p->timer, p->wanted);
            break;
        default:
            lunik_clock_advance(machine, ahead, NULL);
            now += ahead;
            for (int i = 0; i < TIMERS; i++) {
                struct probe *q = &probes[i];

                if (q->wanted == UINT64_MAX)
                    continue;
                wrong += q->fired_at != (q->wanted <= now ? q->wanted : 0);
                if (q->wanted <= now)
                    q->wanted = UINT64_MAX;
            }
        }
    }
    for (int i = 0; i < TIMERS; i++)
        lunik_timer_cancel(&probes[i].timer);
    printf("# seed %u\n", seed);
    check_int("every timer fires at its time", wrong, 0);
    check_uint("the clock stands where it was put", lunik_clock_now(machine), now);
}

static void rearm(lunik_timer *timer)
{
    struct probe *p = lunik_container_of(timer, struct probe, timer);

    p->fired_at++;
    lunik_timer_set(timer, lunik_clock_now(machine) + 10);
}

static void test_periodic(void)
{
    struct probe p = {0};
    uint64_t start = lunik_clock_now(machine);

    lunik_timer_init(&p.timer, machine, rearm);
    lunik_timer_set(&p.timer, start + 10);
    lunik_clock_advance(machine, 1005, NULL);
    check_uint("a timer that re-arms itself", p.fired_at, 100);
    lunik_timer_cancel(&p.timer);
    lunik_clock_advance(machine, 100, NULL);
    check_uint("and is cancelled", p.fired_at, 100);
}

static void test_errors(lunik_runtime *rt)
{
    lunik_machine_config config = {.name = "real", .accel = LUNIK_ACCEL_NONE, .cpus = 1};
    lunik_machine *m;
    lunik_error err = {0};

    check_int("a machine", lunik_machine_new(rt, &config, &m, &err), 0);
    check_int("its clock can't be moved", lunik_clock_advance(m, 1, &err), LUNIK_E_STATE);
    check_contains("  says why", err.message, "clock = \"manual\"");
    check_uint("it stands still before the start", lunik_clock_now(m), 0);
    lunik_machine_close(m);
    check_int("too far", lunik_clock_advance(machine, UINT64_MAX, &err), LUNIK_E_INVALID);
}

int main(int argc, char **argv)
{
    lunik_machine_config config = {
        .name = "clock", .accel = LUNIK_ACCEL_NONE, .cpus = 1, .manual_clock = true};
    unsigned seed = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 0) : (unsigned)time(NULL);
    lunik_error err = {0};
    lunik_runtime *rt;

    if (lunik_runtime_new(lunik_builtin_types(), &rt, &err) ||
        lunik_machine_new(rt, &config, &machine, &err)) {
        printf("not ok a machine: %s\n", err.message);
        return 1;
    }
    test_random(seed);
    test_periodic();
    test_errors(rt);
    lunik_runtime_free(rt);
    return check_result();
}
