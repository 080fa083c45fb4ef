/*
 * dispatch.c: the time to find and call the device at an address, among n devices, in ns: at random
 * addresses, as for a vCPU's exit. `call` is a direct call of the function.
 */
#include "bare.h"

#include <stdlib.h>

#include "lunik.h"
#include "lunik_device.h"
#include "memory/memory.h"
#include "must.h"

enum { ACCESSES = 1000, BATCHES = 100, BAR = 4096 };

static lunik_access count(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    ++*(uint64_t *)opaque;
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops lockless = {.write = count, .lockless = true};
static const lunik_io_ops locked = {.write = count};

static unsigned next(unsigned n)
{
    static uint32_t seed = 1;

    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % n;
}

static void measure(lunik_runtime *rt, const char *name, const lunik_io_ops *ops, unsigned n)
{
    const lunik_machine_config machine = {.name = "bench", .accel = LUNIK_ACCEL_NONE, .cpus = 1};
    uint64_t calls = 0;
    lunik_region_config config = {
        .kind = LUNIK_REGION_IO, .name = "bar", .size = BAR, .ops = ops, .opaque = &calls};
    lunik_space *s;
    lunik_machine *m;
    uint32_t data = 0;

    must(lunik_machine_new(rt, &machine, &m, &err));
    s = lunik_machine_memory(m);
    for (unsigned i = 0; i < n; i++) {
        lunik_region *r;

        must(lunik_region_new(m, &config, &r, &err));
        must(lunik_region_add(lunik_space_root(s), 0xe0000000 + (uint64_t)i * 2 * BAR, r, 0, false,
                              &err));
    }
    lunik_unlock(rt); /* as on a vCPU's thread */
    rcu_online();
    for (unsigned batch = 0; batch < BATCHES; batch++) {
        uint64_t start = now_ns();

        for (unsigned i = 0; i < ACCESSES; i++)
            space_vcpu_access(s, 0xe0000000 + (uint64_t)next(n) * 2 * BAR, &data, 4, true);
        printf("%s-%u %.6g\n", name, n, (double)(now_ns() - start) / ACCESSES);
    }
    rcu_offline();
    lunik_lock(rt);
    if (calls != (uint64_t)ACCESSES * BATCHES)
        die("accesses were lost");
    lunik_machine_close(m);
}

static void measure_calls(void)
{
    lunik_access (*volatile fn)(void *, uint64_t, unsigned, uint64_t) = count;
    uint64_t calls = 0;

    for (unsigned batch = 0; batch < BATCHES; batch++) {
        uint64_t start = now_ns();

        for (unsigned i = 0; i < ACCESSES; i++)
            fn(&calls, next(100), 4, 0);
        report("call", (double)(now_ns() - start) / ACCESSES);
    }
}

int main(void)
{
    lunik_runtime *rt;

    must(lunik_runtime_new(lunik_builtin_types(), &rt, &err));
    measure_calls();
    for (unsigned n = 10; n <= 1000; n *= 10) {
        measure(rt, "lockless", &lockless, n);
        measure(rt, "locked", &locked, n);
    }
    lunik_runtime_free(rt);
    return 0;
}
