/*
 * commit.c: what a change of the memory map costs in the memory core, without KVM: plugging the
 * n-th DIMM, and hiding and showing one register block among n. Microseconds. What is replaced is
 * freed a while later, so the heap grows by what many changes in a row take: they are made once
 * before, and freed, lest the kernel's clearing of its pages is measured.
 */
#include "bare.h"

#include <malloc.h>
#include <stdlib.h>
#include <unistd.h>

#include "lunik.h"
#include "lunik_device.h"
#include "must.h"

enum {
    TURNS = 200,
    SETTLE_US = 40000,
    DIMM = 128 << 20,
    BAR = 4096,
    BOARD = 10 /* regions that a board has */
};

static const unsigned sizes[] = {1, 10, 100, 250, 1000};

static lunik_runtime *rt;
static lunik_machine *m;

static void open_machine(void)
{
    const lunik_machine_config config = {.name = "bench", .accel = LUNIK_ACCEL_NONE, .cpus = 1};

    must(lunik_machine_new(rt, &config, &m, &err));
}

static lunik_region *root(void)
{
    return lunik_space_root(lunik_machine_memory(m));
}

static lunik_region *make(const lunik_region_config *config)
{
    lunik_region *r;

    must(lunik_region_new(&r, m, config, &err));
    return r;
}

/* What is replaced is freed once the lock has been let go of. */
static void settle(void)
{
    lunik_unlock(rt);
    usleep(SETTLE_US);
    lunik_lock(rt);
}

static void print(const char *name, unsigned n, uint64_t ns)
{
    printf("%s-%u %.6g\n", name, n, (double)ns / 1000);
}

static lunik_access ignore(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops ops = {.write = ignore};

/* Register blocks from base on, with holes between them. Returns the one in the middle. */
static lunik_region *add_bars(uint64_t base, unsigned count)
{
    const lunik_region_config config = {
        .kind = LUNIK_REGION_IO, .name = "bar", .size = BAR, .ops = &ops};
    lunik_region *middle = NULL;

    for (unsigned i = 0; i < count; i++) {
        lunik_region *r = make(&config);

        must(lunik_region_add(root(), base + (uint64_t)i * 2 * BAR, r, 0, false, &err));
        if (i == count / 2)
            middle = r;
    }
    return middle;
}

/* Adds DIMMs up to the n-th, which comes and goes. All show the same memory: what is mapped is not
 * of interest. */
static void plug(unsigned n, unsigned *present, lunik_ram *ram)
{
    const lunik_region_config config = {.kind = LUNIK_REGION_RAM, .name = "dimm", .ram = ram};
    lunik_region *r;

    for (; *present < n - 1; ++*present)
        must(lunik_region_add(root(), 4 * GIB + (uint64_t)*present * DIMM, make(&config), 0, false,
                              &err));
    r = make(&config);
    for (unsigned i = 0; i < 2 * TURNS; i++) {
        uint64_t start = now_ns();

        must(lunik_region_add(root(), 4 * GIB + (uint64_t)(n - 1) * DIMM, r, 0, false, &err));
        if (i >= TURNS)
            print("plug", n, now_ns() - start);
        must(lunik_region_del(r, &err));
        if (i == TURNS - 1)
            settle();
    }
    lunik_region_unref(r);
}

static void measure_dimms(void)
{
    lunik_ram_config config = {.name = "ram", .size = DIMM, .fd = -1, .noreserve = true};
    unsigned present = 0;
    lunik_ram *ram;

    open_machine();
    add_bars(0xe0000000, BOARD);
    must(lunik_ram_new(&ram, &config, &err));
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        plug(sizes[i], &present, ram);
    lunik_machine_close(m);
    lunik_ram_unref(ram);
}

static void measure_bars(unsigned n)
{
    lunik_region *bar;

    open_machine();
    bar = add_bars(0xe0000000, n);
    for (unsigned i = 0; i < 2 * TURNS; i++) {
        uint64_t start = now_ns();

        must(lunik_region_set_enabled(bar, i % 2, &err));
        if (i >= TURNS)
            print("bar", n, now_ns() - start);
        if (i == TURNS - 1)
            settle();
    }
    lunik_machine_close(m);
}

int main(void)
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): there is no other thread yet */
    mallopt(M_TRIM_THRESHOLD, 64 << 20);
    must(lunik_runtime_new(&rt, lunik_builtin_types(), &err));
    measure_dimms();
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        if (sizes[i] != 1 && sizes[i] != 250)
            measure_bars(sizes[i]);
    lunik_runtime_free(rt);
    return 0;
}
