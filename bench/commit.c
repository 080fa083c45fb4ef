/*
 * commit.c: the cost of a change of the memory map in the memory core, without KVM: plugging the
 * n-th DIMM, and hiding and showing one register block among n. Microseconds. All sizes take turns,
 * each in a machine of its own. Replaced memory is freed some time later, so many changes in a row
 * make the heap grow: they are made once before and freed, so that the kernel's clearing of pages
 * is not measured.
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
    BOARD = 10 /* number of regions of a board */
};

static const uint64_t BARS = 0xe0000000;

/* A machine with n DIMMs or register blocks, of which one is added and removed. */
static struct subject {
    bool dimm;
    unsigned n;
    lunik_machine *m;
    lunik_region *r;
} subjects[] = {
    {.dimm = true, .n = 1},
    {.dimm = true, .n = 10},
    {.dimm = true, .n = 100},
    {.dimm = true, .n = 250},
    {.dimm = true, .n = 1000},
    {.n = 10},
    {.n = 100},
    {.n = 1000},
};

enum { SUBJECTS = sizeof(subjects) / sizeof(subjects[0]) };

static lunik_runtime *rt;

static lunik_region *root(const struct subject *s)
{
    return lunik_space_root(lunik_machine_memory(s->m));
}

static lunik_region *make(const struct subject *s, const lunik_region_config *config)
{
    lunik_region *r;

    must(lunik_region_new(s->m, config, &r, &err));
    return r;
}

/* Releases the lock, so that replaced memory is freed. */
static void settle(void)
{
    lunik_unlock(rt);
    usleep(SETTLE_US);
    lunik_lock(rt);
}

static lunik_access ignore(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops ops = {.write = ignore};

/* Adds register blocks with holes between them; returns the one in the middle. */
static lunik_region *add_bars(const struct subject *s, unsigned count)
{
    const lunik_region_config config = {
        .kind = LUNIK_REGION_IO, .name = "bar", .size = BAR, .ops = &ops};
    lunik_region *middle = NULL;

    for (unsigned i = 0; i < count; i++) {
        lunik_region *r = make(s, &config);

        must(lunik_region_add(root(s), BARS + (uint64_t)i * 2 * BAR, r, 0, false, &err));
        if (i == count / 2)
            middle = r;
    }
    return middle;
}

static void add_dimm(const struct subject *s, lunik_region *r, unsigned index)
{
    must(lunik_region_add(root(s), 4 * GIB + (uint64_t)index * DIMM, r, 0, false, &err));
}

/* Adds all DIMMs but the last, which it returns. They show the same memory, as only the number of
 * regions matters. */
static lunik_region *add_dimms(const struct subject *s, lunik_ram *ram)
{
    const lunik_region_config config = {.kind = LUNIK_REGION_RAM, .name = "dimm", .ram = ram};

    add_bars(s, BOARD);
    for (unsigned i = 0; i < s->n - 1; i++)
        add_dimm(s, make(s, &config), i);
    return make(s, &config);
}

static void prepare(struct subject *s, lunik_ram *ram)
{
    const lunik_machine_config config = {.name = "bench", .accel = LUNIK_ACCEL_NONE, .cpus = 1};

    must(lunik_machine_new(rt, &config, &s->m, &err));
    s->r = s->dimm ? add_dimms(s, ram) : add_bars(s, s->n);
}

/* Returns nanoseconds. */
static uint64_t change(const struct subject *s, bool on)
{
    uint64_t start = now_ns();

    if (s->dimm)
        add_dimm(s, s->r, s->n - 1);
    else
        must(lunik_region_set_enabled(s->r, on, &err));
    start = now_ns() - start;
    if (s->dimm)
        must(lunik_region_del(s->r, &err));
    return start;
}

static void take_turns(bool show)
{
    for (unsigned i = 0; i < TURNS; i++)
        for (unsigned n = 0; n < SUBJECTS; n++) {
            const struct subject *s = &subjects[n];
            uint64_t ns = change(s, i % 2);

            if (show)
                printf("%s-%u %.6g\n", s->dimm ? "plug" : "bar", s->n, (double)ns / 1000);
        }
}

int main(void)
{
    lunik_ram_config config = {.name = "ram", .size = DIMM, .fd = -1, .noreserve = true};
    lunik_ram *ram;

    /* NOLINTNEXTLINE(concurrency-mt-unsafe): there is no other thread yet */
    mallopt(M_TRIM_THRESHOLD, 64 << 20);
    must(lunik_runtime_new(lunik_builtin_types(), &rt, &err));
    must(lunik_ram_new(&config, &ram, &err));
    for (unsigned n = 0; n < SUBJECTS; n++)
        prepare(&subjects[n], ram);
    take_turns(false);
    settle();
    take_turns(true);
    lunik_runtime_free(rt);
    lunik_ram_unref(ram);
    return 0;
}
