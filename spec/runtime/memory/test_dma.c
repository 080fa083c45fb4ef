/* test_dma.c: accesses of devices' threads while the memory map changes and the gate opens and
 * closes. */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "check.h"
#include "memory/memory.h"

enum { THREADS = 3, ROUNDS = 3000, SLOTS = 6, BLOCKS = 4, PAGE = 0x1000, PAGES = 16 };
enum { SIZE = PAGES * PAGE };

/* Each thread has a part of each page: the block's number, bytes that it knows exactly when it has
 * mapped them, and words that show where they are, whichever block they are in. */
enum { PART = 1024, EXACT = 8, WORDS = 512 };
enum { IO_WORD = 0x11 };

static const uint64_t TAG = 0x5aa5c33c00000000;
static const uint64_t WORD = 0x0ddba11000000000;

static lunik_runtime *rt;
static lunik_machine *m;
static lunik_error err;
static lunik_dma *dma;
static lunik_ram *blocks[BLOCKS];
static _Atomic bool stop;
static _Atomic unsigned wrong, held;
static unsigned idles, misuses;

static lunik_access io_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    if (!lunik_locked(rt))
        atomic_fetch_add(&wrong, 1);
    ++*(unsigned *)opaque;
    *value = IO_WORD;
    return LUNIK_ACCESS_OK;
}

static lunik_access io_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    ++*(unsigned *)opaque;
    return LUNIK_ACCESS_OK;
}

static unsigned io_calls; /* machine lock */
static const lunik_io_ops io_ops = {
    .read = io_read, .write = io_write, .valid = {1, 8, true}, .impl = {8, 8, false}};

static void fill(lunik_ram *ram, uint64_t tag)
{
    uint64_t *words = lunik_ram_host(ram);

    for (uint64_t i = 0; i < SIZE / 8; i++)
        words[i] = i * 8 % PART >= WORDS ? WORD | i * 8 : i * 8 % PART ? 0 : TAG | tag;
}

static lunik_ram *new_block(uint64_t tag)
{
    lunik_ram_config config = {.name = "ram", .size = SIZE, .fd = -1};
    lunik_ram *ram;

    if (lunik_ram_new(&config, &ram, &err))
        exit(1);
    fill(ram, tag);
    return ram;
}

/* ram NULL: a device. */
static lunik_region *new_region(lunik_ram *ram)
{
    lunik_region_config config = {.kind = ram ? LUNIK_REGION_RAM : LUNIK_REGION_IO,
                                  .name = "slot",
                                  .size = SIZE,
                                  .ram = ram,
                                  .ops = ram ? NULL : &io_ops,
                                  .opaque = &io_calls};
    lunik_region *r;

    if (lunik_region_new(m, &config, &r, &err))
        exit(1);
    return r;
}

static void show(lunik_region *r, uint64_t address)
{
    if (lunik_region_add(lunik_space_root(m->memory_space), address, r, 0, true, &err))
        exit(1);
}

static void drop(lunik_region *r)
{
    if (lunik_region_del(r, &err))
        exit(1);
    lunik_region_unref(r);
}

/* ---- device threads ------------------------------------------------------------------------- */

struct device {
    pthread_t thread;
    unsigned index, seed;
    unsigned hits, io, closed, maps;
    uint8_t shadow[BLOCKS][PAGES][WORDS - EXACT];
    bool written[BLOCKS][PAGES];
};

static unsigned draw(struct device *d, unsigned below)
{
    d->seed = d->seed * 1103515245u + 12345u;
    return (d->seed >> 8) % below;
}

static void expect(bool ok)
{
    if (!ok)
        atomic_fetch_add(&wrong, 1);
}

/* A word is in its place, or all ones, or a device's. */
static void check_word(struct device *d, uint64_t word, uint64_t offset, int rc)
{
    if (rc) {
        d->closed += rc == LUNIK_E_STATE;
        expect(word == UINT64_MAX && (rc == LUNIK_E_STATE || rc == LUNIK_E_ACCESS));
    } else if (word == IO_WORD) {
        d->io++;
    } else {
        d->hits++;
        expect(word == (WORD | offset));
    }
}

static void try_words(struct device *d, uint64_t slot, uint64_t part)
{
    uint64_t words[(PART - WORDS) / 8], offset = part + WORDS;
    unsigned count = 1 + draw(d, sizeof(words) / sizeof(*words));
    int rc = lunik_dma_read(dma, slot + offset, words, (size_t)count * 8);

    for (unsigned i = 0; i < count; i++)
        check_word(d, words[i], offset + i * 8, rc);
    for (unsigned i = 0; i < count; i++)
        words[i] = WORD | (offset + i * 8);
    rc = lunik_dma_write(dma, slot + offset, words, (size_t)count * 8);
    expect(!rc || rc == LUNIK_E_STATE || rc == LUNIK_E_ACCESS);
}

/* Bytes that a thread has written to its part of a block are there when it is mapped again. */
static void check_exact(struct device *d, uint8_t *host, uint64_t tag, unsigned page)
{
    uint8_t *shadow = d->shadow[tag][page];
    unsigned at = draw(d, WORDS - EXACT - 16);

    expect(memcmp(host + EXACT, shadow, WORDS - EXACT) == 0);
    for (unsigned i = 0; i < 16; i++)
        host[EXACT + at + i] = shadow[at + i] = (uint8_t)draw(d, 256);
    if (draw(d, 4) == 0) {
        atomic_fetch_add(&held, 1);
        sched_yield(); /* the region may go */
    }
    expect(memcmp(host + EXACT, shadow, WORDS - EXACT) == 0);
    d->written[tag][page] = true;
    d->maps++;
}

static void try_map(struct device *d, uint64_t slot, uint64_t part)
{
    lunik_dma_mapping map;
    bool write = draw(d, 4);
    int rc = lunik_dma_map(dma, slot + part, WORDS, write, &map);
    uint64_t word;

    if (rc) {
        d->closed += rc == LUNIK_E_STATE;
        expect(!map.host && (rc == LUNIK_E_STATE || rc == LUNIK_E_ACCESS));
        return;
    }
    expect(map.size == WORDS);
    memcpy(&word, map.host, sizeof(word));
    if ((word & TAG) == TAG && (word & 0xff) < BLOCKS && write)
        check_exact(d, map.host, word & 0xff, (unsigned)(part / PAGE));
    else
        expect(word == IO_WORD || (word & TAG) == TAG || (write && !word));
    rc = lunik_dma_unmap(&map, WORDS);
    expect(!rc || rc == LUNIK_E_ACCESS);
}

static void *run_device(void *opaque)
{
    struct device *d = opaque;

    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        uint64_t slot = (uint64_t)draw(d, SLOTS) * SIZE;
        uint64_t part = (uint64_t)draw(d, PAGES) * PAGE + d->index * PART;

        if (draw(d, 2))
            try_words(d, slot, part);
        else
            try_map(d, slot, part);
    }
    return NULL;
}

/* ---- the map and the gate ------------------------------------------------------------------- */

static void note_idle(lunik_dma_idle *idle)
{
    idles++;
}

/* A write that a device waits for the lock with goes to what shows by then: a block would get the
 * content of a buffer. So a slot shows either blocks or devices. */
static void change_map(lunik_region **slots, unsigned round)
{
    unsigned at = round % SLOTS;
    lunik_ram *ram = NULL;

    if (slots[at])
        drop(slots[at]);
    slots[at] = NULL;
    if (round % 5 == 0)
        return;
    if (at)
        ram = round % 3 ? blocks[round / 7 % BLOCKS] : new_block(BLOCKS);
    slots[at] = new_region(ram);
    show(slots[at], (uint64_t)at * SIZE);
    if (ram && round % 3 == 0)
        lunik_ram_unref(ram);
}

static void change_gate(lunik_dma_idle *idle, unsigned round)
{
    if (round % 32 == 0)
        lunik_dma_disable(dma, round % 64 ? NULL : idle);
    else if (round % 32 == 4)
        lunik_dma_enable(dma);
    if (round % 64 != 63)
        return;
    lunik_unlock(rt);
    sched_yield();
    lunik_lock(rt);
    lunik_run(rt, LUNIK_RUN_NOWAIT);
}

static void run_threads(struct device *devices)
{
    lunik_region *slots[SLOTS] = {0};
    lunik_dma_idle idle = {.fn = note_idle};

    for (unsigned i = 0; i < THREADS; i++) {
        devices[i].index = devices[i].seed = i;
        pthread_create(&devices[i].thread, NULL, run_device, &devices[i]);
    }
    for (unsigned round = 0; round < ROUNDS; round++) {
        change_map(slots, round);
        change_gate(&idle, round);
        lunik_unlock(rt);
        if (round % 4 == 0)
            sched_yield();
        lunik_lock(rt);
    }
    atomic_store(&stop, true);
    lunik_unlock(rt);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(devices[i].thread, NULL);
    lunik_lock(rt);
    for (unsigned i = 0; i < SLOTS; i++)
        if (slots[i])
            drop(slots[i]);
}

static unsigned pages_missed(const struct device *d)
{
    unsigned missed = 0;

    for (unsigned b = 0; b < BLOCKS; b++)
        for (unsigned page = 0; page < PAGES; page++)
            missed += d->written[b][page] &&
                      !lunik_dirty_count(blocks[b], LUNIK_DIRTY_USER, (uint64_t)page * PAGE, PAGE);
    return missed;
}

static void test_threads(void)
{
    struct device *devices = calloc(THREADS, sizeof(*devices));
    lunik_dirty_scope everything = {0};
    lunik_region *fixed[BLOCKS];
    bool all = true;
    unsigned missed = 0;

    if (!devices || lunik_dma_new(m->memory_space, &dma, &err))
        exit(1);
    for (unsigned i = 0; i < BLOCKS; i++) {
        fixed[i] = new_region(blocks[i]); /* so that no block is ever out of sight */
        show(fixed[i], (uint64_t)(SLOTS + i) * SIZE);
    }
    if (lunik_dirty_start(m, LUNIK_DIRTY_USER, &everything, &err))
        exit(1);
    run_threads(devices);
    for (unsigned i = 0; i < THREADS; i++) {
        all = all && devices[i].hits && devices[i].io && devices[i].closed && devices[i].maps;
        missed += pages_missed(&devices[i]);
    }
    check_uint("threads: every access found what was there", atomic_load(&wrong), 0);
    check_true("threads: of each kind", all && atomic_load(&held));
    check_uint("threads: what was written is dirty", missed, 0);
    check_true("threads: the gate was idle", idles);
    lunik_dirty_stop(m, LUNIK_DIRTY_USER, &everything, &err);
    lunik_dma_free(dma);
    for (unsigned i = 0; i < BLOCKS; i++)
        drop(fixed[i]);
    free(devices);
}

/* ---- one thread ----------------------------------------------------------------------------- */

static void run_loop(void)
{
    lunik_run(rt, LUNIK_RUN_NOWAIT);
    lunik_run(rt, LUNIK_RUN_NOWAIT);
}

static lunik_dma *new_dma(lunik_space *s)
{
    lunik_dma *d;

    if (lunik_dma_new(s, &d, &err))
        exit(1);
    return d;
}

static void note_misuse(const char *message)
{
    misuses++;
}

static void test_gate(void)
{
    lunik_dma *d = new_dma(m->memory_space);
    lunik_dma_idle first = {.fn = note_idle}, second = {.fn = note_idle};
    lunik_region *r = new_region(blocks[0]);
    lunik_dma_mapping map;
    uint32_t value = 0;

    show(r, 0);
    idles = 0;
    check_true("gate: closed at first", !lunik_dma_enabled(d));
    check_int("gate: no reads", lunik_dma_read(d, 0, &value, 4), LUNIK_E_STATE);
    check_uint("gate: but all ones", value, UINT32_MAX);
    check_int("gate: no writes", lunik_dma_write(d, 0, &value, 4), LUNIK_E_STATE);
    check_int("gate: no mappings", lunik_dma_map(d, 0, 4, false, &map), LUNIK_E_STATE);
    lunik_dma_enable(d);
    check_int("gate: open", lunik_dma_map(d, 0, 4, false, &map), 0);
    lunik_dma_disable(d, &first);
    lunik_dma_disable(d, &second);
    lunik_set_misuse_cb(note_misuse);
    lunik_dma_disable(d, &first);
    lunik_set_misuse_cb(NULL);
    check_uint("gate: one waits only once", misuses, 1);
    run_loop();
    check_uint("gate: a mapping is an access under way", idles, 0);
    lunik_dma_unmap(&map, 4);
    check_uint("gate: says so on the loop only", idles, 0);
    run_loop();
    check_uint("gate: to all that wait", idles, 2);
    lunik_dma_enable(d);
    lunik_dma_map(d, 0, 4, false, &map);
    lunik_dma_disable(d, &first);
    lunik_dma_enable(d);
    run_loop();
    check_uint("gate: opening it ends the wait", idles, 3);
    lunik_dma_disable(d, &first);
    lunik_dma_free(d);
    check_uint("gate: a mapping outlives the device's end", *(uint32_t *)map.host, 0);
    check_int("gate: and is unmapped", lunik_dma_unmap(&map, 4), 0);
    run_loop();
    check_uint("gate: nothing waits any more", idles, 3);
    drop(r);
}

static void test_removed(void)
{
    lunik_dma *d = new_dma(m->memory_space);
    lunik_ram *ram = new_block(0);
    lunik_region *r = new_region(ram);
    lunik_dma_mapping map;
    uint64_t value = 0;

    lunik_dma_enable(d);
    show(r, 0);
    lunik_ram_unref(ram);
    check_int("removed: mapped", lunik_dma_map(d, SIZE - 8, 64, true, &map), 0);
    check_uint("removed: up to the end", map.size, 8);
    lunik_dma_read(d, SIZE - 8, &value, 8);
    check_uint("removed: found", value, WORD | (SIZE - 8));
    drop(r);
    check_int("removed: a commit is seen at once", lunik_dma_read(d, SIZE - 8, &value, 8),
              LUNIK_E_ACCESS);
    lunik_unlock(rt);
    rcu_drain();
    lunik_lock(rt);
    memcpy(&value, map.host, 8);
    check_uint("removed: the block stays", value, WORD | (SIZE - 8));
    check_int("removed: until it is unmapped", lunik_dma_unmap(&map, 8), 0);
    check_true("removed: which is done once", !map.host);
    lunik_dma_free(d);
}

static void test_buffers(void)
{
    enum { BUFFERS = 256 };
    static lunik_dma_mapping maps[BUFFERS];
    lunik_dma *d = new_dma(m->memory_space);
    lunik_region *r = new_region(NULL);
    lunik_dma_mapping more;
    int rc = 0;

    lunik_dma_enable(d);
    show(r, 0);
    io_calls = 0;
    for (unsigned i = 0; i < BUFFERS; i++)
        rc = rc ? rc : lunik_dma_map(d, 0, SIZE, true, &maps[i]);
    check_int("buffers: a device is mapped", rc, 0);
    check_uint("buffers: in small pieces", maps[0].size, PAGE);
    check_uint("buffers: and not touched", io_calls, 0);
    check_int("buffers: there are only so many", lunik_dma_map(d, 0, 1, true, &more),
              LUNIK_E_NO_MEMORY);
    check_int("buffers: written when unmapped", lunik_dma_unmap(&maps[0], 16), 0);
    check_uint("buffers: as far as they have been", io_calls, 2);
    check_int("buffers: then there is one more", lunik_dma_map(d, 0, 16, false, &more), 0);
    check_uint("buffers: which is read", *(uint64_t *)more.host, IO_WORD);
    lunik_dma_unmap(&more, 16);
    drop(r);
    check_int("buffers: of a device that is gone", lunik_dma_unmap(&maps[1], 16), LUNIK_E_ACCESS);
    for (unsigned i = 2; i < BUFFERS; i++)
        lunik_dma_unmap(&maps[i], 0);
    check_int("buffers: none for nothing", lunik_dma_map(d, 0, 16, true, &more), LUNIK_E_ACCESS);
    check_int("buffers: none of no size", lunik_dma_map(d, 0, 0, true, &more), LUNIK_E_INVALID);
    lunik_dma_free(d);
}

static void test_end(void)
{
    uint8_t bytes[16] = {0};
    lunik_dma *d = new_dma(m->memory_space);
    lunik_region *r = new_region(blocks[0]);

    lunik_dma_enable(d);
    show(r, 0 - (uint64_t)SIZE);
    check_int("end: past the last address", lunik_dma_read(d, UINT64_MAX - 7, bytes, 16),
              LUNIK_E_ACCESS);
    check_uint("end: what is there", bytes[0], (SIZE - 8) & 0xff);
    check_uint("end: what is not", bytes[8], 0xff);
    drop(r);
    lunik_dma_free(d);
}

static void test_space_gone(void)
{
    lunik_region *r = new_region(blocks[1]);
    lunik_dma_mapping map;
    lunik_space *s;
    lunik_dma *d;
    uint32_t value = 0;

    show(r, 0);
    if (lunik_space_new(m, "bus", r, &s, &err) ||
        lunik_dirty_start(m, LUNIK_DIRTY_USER, NULL, &err))
        exit(1);
    d = new_dma(s);
    lunik_dma_enable(d);
    check_int("space: mapped", lunik_dma_map(d, 0, 8, true, &map), 0);
    lunik_space_free(s);
    check_int("space: gone", lunik_dma_read(d, 0, &value, 4), LUNIK_E_GONE);
    check_uint("space: reads all ones", value, UINT32_MAX);
    check_uint("space: nothing is written yet",
               lunik_dirty_count(blocks[1], LUNIK_DIRTY_USER, 0, SIZE), 0);
    check_int("space: the mapping is not", lunik_dma_unmap(&map, 8), 0);
    check_uint("space: what is written is dirty",
               lunik_dirty_count(blocks[1], LUNIK_DIRTY_USER, 0, SIZE), 1);
    lunik_dirty_stop(m, LUNIK_DIRTY_USER, NULL, &err);
    lunik_dma_free(d);
    drop(r);
}

int main(void)
{
    static const lunik_type *const no_types[] = {NULL};
    static const lunik_machine_config config = {
        .name = "test", .accel = LUNIK_ACCEL_NONE, .cpus = 1};

    if (lunik_runtime_new(no_types, &rt, &err) || lunik_machine_new(rt, &config, &m, &err))
        return 1;
    for (unsigned i = 0; i < BLOCKS; i++)
        blocks[i] = new_block(i);
    test_gate();
    test_removed();
    test_buffers();
    test_end();
    test_space_gone();
    test_threads();
    for (unsigned i = 0; i < BLOCKS; i++)
        lunik_ram_unref(blocks[i]);
    lunik_runtime_free(rt);
    return check_result();
}
