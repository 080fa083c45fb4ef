/* test_reject.c: accesses that are not carried out: which error, what is counted, which
 * observers see it. */
#include <pthread.h>
#include <sched.h>

#include "machine_rig.h"

static lunik_space *space;

/* ---- devices -------------------------------------------------------------------------------- */

/* Offset 0 works, 4 refuses, others are not decoded. */
static lunik_access some_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    *value = 0x11223344;
    return offset == 0 ? LUNIK_ACCESS_OK : offset == 4 ? LUNIK_ACCESS_DEVICE : LUNIK_ACCESS_DECODE;
}

static uint64_t written;

static lunik_access some_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    written = value;
    return offset == 0 ? LUNIK_ACCESS_OK : offset == 4 ? LUNIK_ACCESS_DEVICE : LUNIK_ACCESS_DECODE;
}

/* Writes what it is given to nowhere. */
static lunik_access dma_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    lunik_space_store(space, 0x90000, 8, value);
    return LUNIK_ACCESS_OK;
}

static lunik_access endless_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    return lunik_space_store(space, 0x7000, 4, value) == LUNIK_E_DEVICE ? LUNIK_ACCESS_DEVICE
                                                                        : LUNIK_ACCESS_OK;
}

static const lunik_io_ops some = {.read = some_read, .write = some_write, .valid = {2, 4, false}};
static const lunik_io_ops some_words = {
    .read = some_read, .write = some_write, .valid = {1, 8, false}, .impl = {4, 4, false}};
static const lunik_io_ops read_only = {.read = some_read};
static const lunik_io_ops write_only = {.write = some_write};
static const lunik_io_ops dma = {.write = dma_write};
static const lunik_io_ops endless = {.write = endless_write};
static const lunik_io_ops unlocked = {.read = some_read, .lockless = true};

static lunik_region *map(const char *name, lunik_region_kind kind, uint64_t address, uint64_t size,
                         const lunik_io_ops *ops)
{
    lunik_region_config config = {.kind = kind, .name = name, .size = size, .ops = ops};
    bool memory = kind == LUNIK_REGION_RAM || kind == LUNIK_REGION_ROM;
    lunik_region *r = add_to(space, address, memory ? ram_region_of(config) : region_of(config), 0);

    lunik_region_unref(r); /* its container's */
    return r;
}

static lunik_region *found(uint64_t address)
{
    lunik_section s;

    return lunik_space_find(space, address, &s) ? s.region : NULL;
}

/* ---- observers ------------------------------------------------------------------------------ */

static struct {
    unsigned count;
    lunik_rejection what, last; /* the first; the last */
    char by[64], text[200];
} told;

static void on_reject(void *opaque, const lunik_rejection *r)
{
    char *text;

    if (!lunik_locked(rt))
        check_true("told: under the lock", false);
    told.last = *r;
    if (told.count++)
        return;
    told.what = *r;
    lunik_rejection_text(r, &text);
    snprintf(told.text, sizeof(told.text), "%s", text);
    free(text);
    snprintf(told.by, sizeof(told.by), "%s", r->access.by ? r->access.by->name : "");
}

static lunik_reject_sub rejections = {.fn = on_reject};

struct reject_case {
    const char *name;
    uint64_t address;
    unsigned size;
    bool write;
    lunik_reject why;
    const char *text;
};

static const struct reject_case cases[] = {
    {"fine", 0x1000, 4, false, LUNIK_REJECT_NONE, ""},
    {"hole", 0x90000, 4, false, LUNIK_REJECT_UNASSIGNED,
     "read of address 0x90000 (4 bytes): nothing is there"},
    {"hole, write", 0x90000, 8, true, LUNIK_REJECT_UNASSIGNED,
     "write of 0x8877665544332211 to address 0x90000 (8 bytes): nothing is there"},
    {"too small", 0x1000, 1, true, LUNIK_REJECT_SIZE,
     "write of 0x11 to address 0x1000 (some, 1 bytes): not for accesses of this size"},
    {"too large", 0x1000, 8, false, LUNIK_REJECT_SIZE, NULL},
    {"unaligned", 0x1002, 4, false, LUNIK_REJECT_ALIGNMENT,
     "read of address 0x1002 (some, 4 bytes): not for unaligned accesses"},
    {"refused", 0x1004, 4, false, LUNIK_REJECT_DEVICE,
     "read of address 0x1004 (some, 4 bytes): the device refuses it"},
    {"refused write", 0x1004, 2, true, LUNIK_REJECT_DEVICE, NULL},
    {"not decoded", 0x1008, 4, false, LUNIK_REJECT_UNDECODED,
     "read of address 0x1008 (some, 4 bytes): the device has nothing there"},
    {"not decoded write", 0x1008, 4, true, LUNIK_REJECT_UNDECODED, NULL},
    {"read-only", 0x3000, 4, true, LUNIK_REJECT_READONLY,
     "write of 0x44332211 to address 0x3000 (read-only, 4 bytes): not for writes"},
    {"write-only", 0x4000, 4, false, LUNIK_REJECT_WRITEONLY, NULL},
    {"ROM", 0x5008, 2, true, LUNIK_REJECT_READONLY, NULL},
    {"without the lock", 0x8004, 4, false, LUNIK_REJECT_DEVICE, NULL},
    {"reserved", 0xa000, 4, false, LUNIK_REJECT_NONE, ""},
};

static void test_cases(void)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct reject_case *c = &cases[i];
        lunik_region *r = found(c->address);
        lunik_region_stats before = {0}, after = {0};
        bool device = c->why == LUNIK_REJECT_DEVICE;
        uint64_t value = 0x8877665544332211;
        int rc;

        memset(&told, 0, sizeof(told));
        if (r)
            lunik_region_get_stats(r, &before);
        rc = c->write ? lunik_space_store(space, c->address, c->size, value)
                      : lunik_space_load(space, c->address, c->size, &value);
        if (r)
            lunik_region_get_stats(r, &after);
        check_int(c->name, rc, !c->why ? 0 : device ? LUNIK_E_DEVICE : LUNIK_E_ACCESS);
        check_uint(c->name, told.count, c->why != LUNIK_REJECT_NONE);
        check_uint(c->name, after.rejected - before.rejected, r && c->why);
        if (!c->why)
            continue;
        check_string(c->name, lunik_reject_name(told.what.why), lunik_reject_name(c->why));
        check_true(c->name, told.what.region == r && told.what.space == space);
        check_true(c->name,
                   told.what.result == (device ? LUNIK_ACCESS_DEVICE : LUNIK_ACCESS_DECODE));
        check_uint(c->name, told.what.access.address, c->address);
        check_uint(c->name, told.what.offset, r ? c->address & 0xfff : 0);
        check_int(c->name, told.what.access.vcpu, -1);
        if (c->text)
            check_string(c->name, told.text, c->text);
        if (!c->write)
            check_uint(c->name, value, UINT64_MAX >> (64 - 8 * c->size));
    }
}

/* Accesses in parts: all parts are made, and a decode error outweighs a device's. */
static void test_parts(void)
{
    uint8_t bytes[16];
    uint64_t value = 0;

    memset(&told, 0, sizeof(told));
    check_int("parts: RAM, then nothing", lunik_space_store(space, 0x6ffc + 0x10000, 8, ~0ull),
              LUNIK_E_ACCESS);
    lunik_space_load(space, 0x6ffc + 0x10000, 4, &value);
    check_uint("parts: RAM has its part", value, 0xffffffff);
    check_uint("parts: told of the other", told.what.access.address, 0x17000);
    check_uint("parts: its size", told.what.access.size, 4);
    check_uint("parts: its value", told.what.access.value, 0xffffffff);

    memset(&told, 0, sizeof(told));
    check_int("parts: works, then refused", lunik_space_load(space, 0x2000, 8, &value),
              LUNIK_E_DEVICE);
    check_uint("parts: what works is read", value, 0xffffffff11223344);
    check_uint("parts: one access, told once", told.count, 1);
    check_int("parts: refused, then not decoded", lunik_space_read(space, 0x2004, bytes, 8),
              LUNIK_E_ACCESS);
    check_int("parts: refused, then nothing", lunik_space_read(space, 0x8004, bytes, 4 + 8),
              LUNIK_E_ACCESS);
    memset(&told, 0, sizeof(told));
    memset(bytes, 0x6b, sizeof(bytes));
    written = 0;
    check_int("parts: nothing, then works", lunik_space_write(space, 0x1ff4, bytes, sizeof(bytes)),
              LUNIK_E_ACCESS);
    check_uint("parts: what comes after nothing is written", written, 0x6b6b6b6b);
    check_uint("parts: one hole, told once", told.count, 1);
    check_uint("parts: of its length", told.what.access.size, 12);
    check_string("parts: without a value", told.text,
                 "write to address 0x1ff4 (12 bytes): nothing is there");
    check_int("parts: a search skips devices",
              lunik_space_search(space, 0, 0x10000, &(lunik_pattern){(uint8_t *)"\1\2", NULL, 2, 0},
                                 &value),
              LUNIK_E_NOT_FOUND);
}

static void test_bulk(void)
{
    uint8_t digest[32];
    uint64_t hash = 0;

    check_int("bulk: hash of a refusal", lunik_space_hash(space, 0x1004, 4, &hash), LUNIK_E_DEVICE);
    check_int("bulk: SHA-256 of nothing", lunik_space_sha256(space, 0x90000, 4, digest),
              LUNIK_E_ACCESS);
    check_int("bulk: fill of a refusal", lunik_space_fill(space, 0x1004, 1, 4), LUNIK_E_DEVICE);
    written = 0;
    check_int("bulk: fill goes on after a refusal, and after nothing",
              lunik_space_fill(space, 0x1004, 0x5a, 0x2000 - 0x1004 + 4), LUNIK_E_ACCESS);
    check_uint("bulk: to the end", written, 0x5a5a5a5a);
    check_int("bulk: ROM", lunik_space_fill(space, 0x5000, 1, 0x1000), LUNIK_E_ACCESS);
}

static void test_causes(void)
{
    memset(&told, 0, sizeof(told));
    lunik_space_store(space, 0x6000, 4, 7);
    check_string("cause: a device's own access", told.text,
                 "write of 0x7 to address 0x90000 (8 bytes): nothing is there, by write of 0x7 to "
                 "address 0x6000 (dma, 4 bytes)");
    check_string("cause: names it", told.by, "dma");
    memset(&told, 0, sizeof(told));
    check_int("cause: endless", lunik_space_store(space, 0x7000, 4, 1), LUNIK_E_DEVICE);
    check_string("cause: the innermost first", lunik_reject_name(told.what.why), "nesting");
    check_string("cause: the outermost last", lunik_reject_name(told.last.why), "device");
}

/* A vCPU's write that is delivered when the region may be elsewhere. */
static void test_late(void)
{
    static const uint8_t data[8] = {1, 2, 3, 4, 5, 6, 7, 8};

    memset(&told, 0, sizeof(told));
    region_write_late(space, 0x1004, found(0x1000), 4, data, 4);
    check_string("late: where it was written", told.text,
                 "write of 0x4030201 to address 0x1004 (some, 4 bytes): the device refuses it");
    memset(&told, 0, sizeof(told));
    region_write_late(space, 0x1004, found(0x1000), 4, data, 6); /* part of a larger access */
    check_uint("late: its parts, too", told.last.access.address, 0x1008);
    check_uint("late: each with its value", told.last.access.value, 0x605);
}

static lunik_region *victim;

/* A function that does all that it may. */
static void busy_fn(void *opaque, const lunik_rejection *r)
{
    uint64_t value;

    ++*(unsigned *)opaque;
    lunik_space_load(space, 0x90000, 4, &value);
    if (victim)
        must("del", lunik_region_del(victim, &err));
    victim = NULL;
    check_string("hook: the region is still there", lunik_region_name(r->region), "victim");
}

static void test_hook(void)
{
    lunik_space_stats before, after;
    unsigned calls = 0;
    lunik_reject_sub busy = {.fn = busy_fn, .opaque = &calls};
    uint64_t value;

    victim = map("victim", LUNIK_REGION_IO, 0xb000, 0x10, &some);
    lunik_reject_unsubscribe(&rejections);
    lunik_reject_subscribe(m, &busy);
    lunik_space_get_stats(space, &before);
    check_int("hook: takes the region away", lunik_space_load(space, 0xb004, 4, &value),
              LUNIK_E_DEVICE);
    lunik_space_get_stats(space, &after);
    check_uint("hook: what it does itself is not told", calls, 1);
    check_uint("hook: but counted", after.rejected - before.rejected, 2);
    check_uint("hook: as nothing", after.unassigned - before.unassigned, 1);
    lunik_reject_unsubscribe(&busy);
    lunik_space_load(space, 0x90000, 4, &value);
    check_uint("hook: no observer is called any more", calls, 1);
}

/* ---- threads -------------------------------------------------------------------------------- */

enum { THREADS = 2, ROUNDS = 3000 };

static _Atomic bool stop;
static unsigned tellings; /* under the lock */

static void tally(void *opaque, const lunik_rejection *r)
{
    tellings++;
    if (r->region && strcmp(lunik_region_name(r->region), "brief") != 0)
        check_true("threads: a region that is there", false);
}

/* A vCPU's accesses to a hole and to a device that comes and goes. */
static void *guest(void *unused)
{
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        uint32_t value;

        rcu_online();
        space_vcpu_access(space, 0xc004, &value, 4, false);
        space_vcpu_access(space, 0x90000, &value, 4, true);
        rcu_offline();
    }
    rcu_thread_done();
    return NULL;
}

static void test_threads(void)
{
    lunik_reject_sub tallies = {.fn = tally};
    pthread_t threads[THREADS];

    for (unsigned i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, guest, NULL);
    for (unsigned i = 0; i < ROUNDS; i++) {
        lunik_region *r = map("brief", LUNIK_REGION_IO, 0xc000, 0x10, i & 1 ? &some : &unlocked);

        lunik_reject_unsubscribe(&tallies);
        if (i % 3)
            lunik_reject_subscribe(m, &tallies);
        lunik_unlock(rt);
        if (i % 16 == 0)
            sched_yield();
        lunik_lock(rt);
        must("del", lunik_region_del(r, &err));
    }
    atomic_store(&stop, true);
    lunik_unlock(rt);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    lunik_lock(rt);
    lunik_reject_unsubscribe(&tallies);
    check_true("threads: they were heard", tellings);
}

int main(void)
{
    new_runtime();
    new_machine(LUNIK_ACCEL_NONE);
    space = lunik_machine_memory(m);
    map("some", LUNIK_REGION_IO, 0x1000, 0x10, &some);
    map("words", LUNIK_REGION_IO, 0x2000, 0x10, &some_words);
    map("read-only", LUNIK_REGION_IO, 0x3000, 0x10, &read_only);
    map("write-only", LUNIK_REGION_IO, 0x4000, 0x10, &write_only);
    map("rom", LUNIK_REGION_ROM, 0x5000, 0x1000, NULL);
    map("dma", LUNIK_REGION_IO, 0x6000, 0x10, &dma);
    map("endless", LUNIK_REGION_IO, 0x7000, 0x10, &endless);
    map("unlocked", LUNIK_REGION_IO, 0x8000, 8, &unlocked);
    map("reserved", LUNIK_REGION_RESERVED, 0xa000, 0x10, NULL);
    map("ram", LUNIK_REGION_RAM, 0x16000, 0x1000, NULL);
    lunik_reject_subscribe(m, &rejections);
    test_cases();
    test_parts();
    test_bulk();
    test_causes();
    test_late();
    test_hook();
    test_threads();
    lunik_runtime_free(rt);
    return check_result();
}
