/*
 * test_dirty.c: dirty bitmaps, and what listeners learn about logging, without a guest.
 */
#include <pthread.h>

#include "machine_rig.h"
#include "transcript.h"

enum { PAGE = LUNIK_DIRTY_PAGE, MIB = 1 << 20 };

static lunik_region *root;
static struct transcript told; /* to listeners */

static lunik_region *new_region(const char *name, lunik_ram *ram, uint64_t offset, uint64_t size)
{
    return region_of((lunik_region_config){
        .kind = LUNIK_REGION_RAM, .name = name, .ram = ram, .ram_offset = offset, .size = size});
}

static lunik_region *map(uint64_t address, lunik_region *r)
{
    return add(root, address, r, 0);
}

/* "offset+size" of each run, in pages. */
static const char *runs(lunik_ram *ram, lunik_dirty_client client)
{
    static char text[512];
    uint64_t offset = 0, size;
    size_t at = 0;

    text[0] = 0;
    for (; lunik_dirty_next(ram, client, &offset, lunik_ram_size(ram), &size); offset += size)
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%" PRIu64 "+%" PRIu64,
                               at ? " " : "", offset / PAGE, size / PAGE);
    return text;
}

/* ---- bitmaps -------------------------------------------------------------------------------- */

static void test_bitmaps(void)
{
    lunik_ram *ram = new_ram("bits", 300 * PAGE);
    const uint64_t words[] = {0x8000000000000001, 0xff, UINT64_MAX << 2};
    uint64_t out[5];

    check_uint("a block that no client logs: no bits to clear",
               ram_dirty_clear(ram, LUNIK_DIRTY_USER, 0, UINT64_MAX, out), 0);
    check_true("  nor to show", !out[0] && !out[4] && !*runs(ram, LUNIK_DIRTY_USER) &&
                                    !lunik_dirty_count(ram, LUNIK_DIRTY_USER, 0, PAGE));
    must("init", ram_dirty_init(ram, &err));
    ram_dirty_mark(ram, 3 * PAGE - 1, 2, LUNIK_DIRTY_USER);
    ram_dirty_mark(ram, 60 * PAGE, 70 * PAGE, LUNIK_DIRTY_USER | LUNIK_DIRTY_DISPLAY);
    ram_dirty_mark(ram, 299 * PAGE, UINT64_MAX, LUNIK_DIRTY_USER);
    ram_dirty_mark(ram, 300 * PAGE, 1, LUNIK_DIRTY_USER);
    ram_dirty_mark(ram, 7 * PAGE, 0, LUNIK_DIRTY_USER);
    check_string("marks cover the pages they touch", runs(ram, LUNIK_DIRTY_USER),
                 "2+2 60+70 299+1");
    check_string("clients don't see each other's", runs(ram, LUNIK_DIRTY_DISPLAY), "60+70");
    check_uint("count of a part", lunik_dirty_count(ram, LUNIK_DIRTY_USER, 3 * PAGE, 58 * PAGE), 2);
    check_uint("count of the first pages", lunik_dirty_count(ram, LUNIK_DIRTY_USER, 0, 128 * PAGE),
               70);
    check_uint("count of all", lunik_dirty_count(ram, LUNIK_DIRTY_USER, 0, UINT64_MAX), 73);
    check_uint("clearing a part", ram_dirty_clear(ram, LUNIK_DIRTY_USER, 62 * PAGE, 66 * PAGE, out),
               66);
    check_true("bits of what was cleared",
               out[0] == UINT64_MAX && out[1] == 3 &&
                   ram_dirty_clear(ram, LUNIK_DIRTY_USER, 2 * PAGE, PAGE, out) == 1 && out[0] == 1);
    check_string("the rest stays", runs(ram, LUNIK_DIRTY_USER), "3+1 60+2 128+2 299+1");
    ram_dirty_clear(ram, LUNIK_DIRTY_USER, 0, UINT64_MAX, NULL);
    ram_dirty_merge(ram, 10 * PAGE, words, 130, LUNIK_DIRTY_USER);
    check_string("a bitmap is merged anywhere", runs(ram, LUNIK_DIRTY_USER), "10+1 73+9");
    ram_dirty_clear(ram, LUNIK_DIRTY_USER, 0, UINT64_MAX, NULL);
    ram_dirty_merge(ram, 170 * PAGE + 1, words, 66, LUNIK_DIRTY_USER);
    check_string("pages between two pages touch both", runs(ram, LUNIK_DIRTY_USER), "170+2 233+4");
    lunik_ram_unref(ram);
}

/* A bit alone is found in whichever word it is. */
static void test_words(void)
{
    enum { WORDS = 40 };
    lunik_ram *ram = new_ram("words", WORDS * 64 * PAGE);
    unsigned found = 0, merged = 0;

    must("init", ram_dirty_init(ram, &err));
    for (unsigned i = 0; i < WORDS; i++) {
        uint64_t bits[WORDS] = {0}, offset = 0, size = 0;

        bits[i] = 1ull << 63;
        ram_dirty_mark(ram, (i * 64 + 5) * PAGE, 1, LUNIK_DIRTY_USER);
        found += lunik_dirty_next(ram, LUNIK_DIRTY_USER, &offset, UINT64_MAX, &size) &&
                 offset == (i * 64 + 5) * PAGE && size == PAGE;
        found += ram_dirty_clear(ram, LUNIK_DIRTY_USER, 0, UINT64_MAX, NULL) == 1;
        ram_dirty_merge(ram, 0, bits, WORDS * 64, LUNIK_DIRTY_USER);
        merged += ram_dirty_clear(ram, LUNIK_DIRTY_USER, (i * 64 + 63) * PAGE, 1, NULL) == 1;
    }
    check_uint("words: a bit is found", found, 2 * WORDS);
    check_uint("words: a bit is merged", merged, WORDS);
    lunik_ram_unref(ram);
}

/* ---- threads -------------------------------------------------------------------------------- */

static _Atomic unsigned writers;

static void *mark_random_pages(void *opaque)
{
    uint64_t random = (uintptr_t)&random | 1;

    for (unsigned i = 0; i < 20000; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        ram_dirty_mark(opaque, (random >> 32) % 300 * PAGE, (1 + (random >> 60)) * PAGE,
                       LUNIK_DIRTY_USER | LUNIK_DIRTY_MIGRATION);
    }
    writers--;
    return NULL;
}

/* Some mark while others clear: afterwards the counts are those of the bits. */
static void test_threads(void)
{
    static const lunik_dirty_client clients[] = {LUNIK_DIRTY_USER, LUNIK_DIRTY_MIGRATION};
    lunik_ram *ram = new_ram("shared", 300 * PAGE);
    uint64_t at, size, set, most = 0;
    pthread_t threads[2];

    must("init", ram_dirty_init(ram, &err));
    writers = 2;
    for (unsigned i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, mark_random_pages, ram);
    while (writers) {
        ram_dirty_clear(ram, LUNIK_DIRTY_USER, 0, 200 * PAGE, NULL);
        set = lunik_dirty_count(ram, LUNIK_DIRTY_USER, 0, UINT64_MAX);
        most = set > most ? set : most;
    }
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    check_true("threads: no count of pages that are not there", most <= 300);
    ram_dirty_clear(ram, LUNIK_DIRTY_USER, 0, UINT64_MAX, NULL);
    ram->dirty_count[2] -= 1; /* as if a writer were about to count what is cleared already */
    check_uint("threads: nor of fewer than none",
               lunik_dirty_count(ram, LUNIK_DIRTY_USER, 0, UINT64_MAX), 0);
    ram->dirty_count[2] += 1;
    for (unsigned i = 0; i < 2; i++) {
        for (at = set = 0; lunik_dirty_next(ram, clients[i], &at, UINT64_MAX, &size); at += size)
            set += size / PAGE;
        check_uint("threads: the count is that of the bits",
                   lunik_dirty_count(ram, clients[i], 0, UINT64_MAX), set);
    }
    lunik_ram_unref(ram);
}

/* ---- writes --------------------------------------------------------------------------------- */

static void test_writes(void)
{
    lunik_ram *ram = new_ram("ram", MIB);
    lunik_region *r = map(0x100000, new_region("r", ram, 0x10000, 0x80000));
    lunik_dirty_scope scope = {.region = r};
    lunik_space *s = lunik_machine_memory(m);
    uint64_t size = 0x3000;
    void *host;

    lunik_space_store(s, 0x100000, 8, 1);
    check_string("nothing is logged before start", runs(ram, LUNIK_DIRTY_USER), "");
    must("start", lunik_dirty_start(m, LUNIK_DIRTY_USER, &scope, &err));
    lunik_space_store(s, 0x100000, 8, 1);
    lunik_space_write(s, 0x104ffe, "abcd", 4);
    check_string("writes are marked", runs(ram, LUNIK_DIRTY_USER), "16+1 20+2");
    host = lunik_space_map(s, 0x110000, &size, true);
    check_string("mapping is no write", runs(ram, LUNIK_DIRTY_USER), "16+1 20+2");
    lunik_space_unmap(s, host, size, true, 0x1001);
    check_string("what was written is marked when it is unmapped", runs(ram, LUNIK_DIRTY_USER),
                 "16+1 20+2 32+2");
    must("start", lunik_dirty_start(m, LUNIK_DIRTY_MIGRATION, NULL, &err));
    lunik_space_store(s, 0x17ffff, 1, 1);
    check_string("a second client", runs(ram, LUNIK_DIRTY_MIGRATION), "143+1");
    check_uint("test and clear", lunik_dirty_test_and_clear(m, LUNIK_DIRTY_USER, ram, 0, MIB, NULL),
               6);
    check_string("clears its own bits only", runs(ram, LUNIK_DIRTY_MIGRATION), "143+1");
    must("start", lunik_dirty_start(m, LUNIK_DIRTY_USER, NULL, &err));
    lunik_space_store(s, 0x101000, 1, 1);
    must("stop", lunik_dirty_stop(m, LUNIK_DIRTY_USER, &scope, &err));
    lunik_space_store(s, 0x102000, 1, 1);
    check_string("one stop leaves the other start", runs(ram, LUNIK_DIRTY_USER), "17+2");
    must("stop", lunik_dirty_stop(m, LUNIK_DIRTY_USER, NULL, &err));
    lunik_space_store(s, 0x103000, 1, 1);
    check_string("the last stop drops the bits", runs(ram, LUNIK_DIRTY_USER), "");
    check_int("a stop too many", lunik_dirty_stop(m, LUNIK_DIRTY_USER, NULL, &err), LUNIK_E_STATE);
    check_int("a client that is none", lunik_dirty_start(m, 3, NULL, &err), LUNIK_E_INVALID);
    scope.region = root;
    check_int("a region without RAM", lunik_dirty_start(m, LUNIK_DIRTY_USER, &scope, &err),
              LUNIK_E_INVALID);
    must("stop", lunik_dirty_stop(m, LUNIK_DIRTY_MIGRATION, NULL, &err));
    lunik_region_del(r, NULL);
    lunik_region_unref(r);
    lunik_ram_unref(ram);
}

static void test_blocks(void)
{
    lunik_ram *ram = new_ram("dimm", MIB), *late_ram = new_ram("late", MIB);
    lunik_region *r = new_region("dimm", ram, 0, MIB), *late;
    lunik_space *s = lunik_machine_memory(m);

    check_true("no blocks while no client logs", !lunik_dirty_block(m, 0));
    must("start", lunik_dirty_start(m, LUNIK_DIRTY_USER, NULL, &err));
    check_true("a block that nothing shows is not listed", !lunik_dirty_block(m, 0));
    lunik_dirty_mark(r, 3 * PAGE, PAGE);
    check_string("but logged", runs(ram, LUNIK_DIRTY_USER), "3+1");
    late = new_region("late", late_ram, 0, MIB);
    lunik_dirty_mark(late, PAGE, 1);
    check_string("as one that is new is", runs(late_ram, LUNIK_DIRTY_USER), "1+1");
    lunik_region_unref(late);
    lunik_ram_unref(late_ram);
    map(0x100000, r);
    check_true("one that appears is", lunik_dirty_block(m, 0) == ram);
    lunik_space_store(s, 0x100000, 1, 1);
    must("move", lunik_region_set_offset(r, 0x200000, &err));
    lunik_space_store(s, 0x201000, 1, 1);
    must("del", lunik_region_del(r, &err));
    must("sync", lunik_dirty_sync(m, &err));
    check_true("one that vanishes stays while it has dirty pages", lunik_dirty_block(m, 0) == ram);
    check_string("its bits are those of both places", runs(ram, LUNIK_DIRTY_USER), "0+2 3+1");
    lunik_dirty_test_and_clear(m, LUNIK_DIRTY_USER, ram, 0, MIB, NULL);
    must("sync", lunik_dirty_sync(m, &err));
    check_true("and goes when they have been seen", !lunik_dirty_block(m, 0));
    must("stop", lunik_dirty_stop(m, LUNIK_DIRTY_USER, NULL, &err));
    lunik_region_unref(r);
    lunik_ram_unref(ram);
}

/* ---- listeners ------------------------------------------------------------------------------ */

struct spy {
    lunik_listener listener;
    bool refuse, refuse_global;
};

static void on_add(lunik_listener *l, const lunik_section *s)
{
    note(&told, "%s+%s/%u ", l->name, lunik_region_name(s->region), s->log_mask);
}

static void on_del(lunik_listener *l, const lunik_section *s)
{
    note(&told, "%s-%s/%u ", l->name, lunik_region_name(s->region), s->log_mask);
}

static void on_start(lunik_listener *l, const lunik_section *s, unsigned old, unsigned now)
{
    note(&told, "%s:start(%s,%u,%u) ", l->name, lunik_region_name(s->region), old, now);
}

static void on_stop(lunik_listener *l, const lunik_section *s, unsigned old, unsigned now)
{
    note(&told, "%s:stop(%s,%u,%u) ", l->name, lunik_region_name(s->region), old, now);
}

static void on_sync(lunik_listener *l, const lunik_section *s)
{
    note(&told, "%s:sync(%s) ", l->name, lunik_region_name(s->region));
}

static void on_sync_global(lunik_listener *l)
{
    note(&told, "%s:sync ", l->name);
}

static void on_after_sync(lunik_listener *l)
{
    note(&told, "%s:after ", l->name);
}

static void on_clear(lunik_listener *l, const lunik_section *s)
{
    note(&told, "%s:clear(%s,%" PRIx64 ",%" PRIx64 ",%" PRIx64 ") ", l->name,
         lunik_region_name(s->region), s->offset, s->address, s->size);
}

static int on_global_start(lunik_listener *l, lunik_error *e)
{
    struct spy *spy = lunik_container_of(l, struct spy, listener);

    note(&told, "%s:global ", l->name);
    return spy->refuse_global ? lunik_fail(e, LUNIK_E_UNSUPPORTED, "no") : 0;
}

static void on_global_stop(lunik_listener *l)
{
    note(&told, "%s:end ", l->name);
}

static int on_commit(lunik_listener *l, lunik_error *e)
{
    struct spy *spy = lunik_container_of(l, struct spy, listener);

    return spy->refuse ? lunik_fail(e, LUNIK_E_UNSUPPORTED, "no") : 0;
}

static struct spy new_spy(const char *name, int priority)
{
    return (struct spy){.listener = {.name = name,
                                     .priority = priority,
                                     .region_add = on_add,
                                     .region_del = on_del,
                                     .commit = on_commit,
                                     .log_start = on_start,
                                     .log_stop = on_stop,
                                     .log_sync = on_sync,
                                     .log_clear = on_clear,
                                     .log_global_start = on_global_start,
                                     .log_global_stop = on_global_stop,
                                     .log_global_after_sync = on_after_sync}};
}

static void test_listeners(void)
{
    struct spy a = new_spy("a", 1), b = new_spy("b", 2);
    lunik_listener elsewhere = {.name = "elsewhere",
                                .space = m->io_space,
                                .log_start = on_start,
                                .log_stop = on_stop,
                                .log_sync = on_sync,
                                .log_clear = on_clear};
    lunik_ram *ram = new_ram("x", MIB);
    lunik_region *x = map(0x100000, new_region("x", ram, 0, 0x40000));
    lunik_region *y = map(0x200000, new_region("y", ram, 0x40000, 0x40000));
    lunik_dirty_scope region = {.region = x}, block = {.ram = ram};

    b.listener.log_sync_global = on_sync_global;
    must("elsewhere", lunik_listener_add(m, &elsewhere, &err));
    must("a", lunik_listener_add(m, &a.listener, &err));
    must("b", lunik_listener_add(m, &b.listener, &err));
    check_transcript("sections without log", &told, "a+x/0 a+y/0 b+x/0 b+y/0 ");
    must("region", lunik_dirty_start(m, LUNIK_DIRTY_USER, &region, &err));
    check_transcript("start of a region", &told, "a:start(x,0,4) b:start(x,0,4) ");
    must("again", lunik_dirty_start(m, LUNIK_DIRTY_USER, &region, &err));
    check_transcript("starts are counted", &told, "");
    must("sync", lunik_dirty_sync(m, &err));
    check_transcript("sync of what is logged", &told, "a:sync(x) b:sync a:after b:after ");
    lunik_dirty_mark(x, 0, 1);
    lunik_dirty_test_and_clear(m, LUNIK_DIRTY_USER, ram, 0, MIB, NULL);
    check_transcript("clear of what is logged", &told,
                     "a:clear(x,0,100000,40000) b:clear(x,0,100000,40000) ");
    must("block", lunik_dirty_start(m, LUNIK_DIRTY_USER, &block, &err));
    check_transcript("start of a block that is logged in part", &told,
                     "a:start(y,0,4) b:start(y,0,4) ");
    must("machine", lunik_dirty_start(m, LUNIK_DIRTY_MIGRATION, NULL, &err));
    check_transcript(
        "start of the machine", &told,
        "a:global b:global a:start(x,4,5) b:start(x,4,5) a:start(y,4,5) b:start(y,4,5) ");
    must("sync", lunik_dirty_sync(m, &err));
    check_transcript("sync", &told, "a:sync(x) a:sync(y) b:sync a:after b:after ");
    lunik_dirty_test_and_clear(m, LUNIK_DIRTY_USER, ram, 0, MIB, NULL);
    check_transcript("nothing was dirty, nothing is cleared", &told, "");
    lunik_dirty_mark(x, 0x3f000, 1);
    lunik_dirty_test_and_clear(m, LUNIK_DIRTY_USER, ram, 0x3f000, 0x3000, NULL);
    check_transcript("clear", &told,
                     "a:clear(x,3f000,13f000,1000) b:clear(x,3f000,13f000,1000) "
                     "a:clear(y,0,200000,2000) b:clear(y,0,200000,2000) ");
    must("move", lunik_region_set_offset(y, 0x300000, &err));
    check_transcript("a move", &told, "b-y/5 a-y/5 a+y/5 b+y/5 ");
    lunik_listener_del(&b.listener);
    check_transcript("a listener goes", &told, "b-x/5 b-y/5 b:end ");
    must("b", lunik_listener_add(m, &b.listener, &err));
    check_transcript("a listener comes late", &told, "b:global b+x/5 b+y/5 ");
    must("stop", lunik_dirty_stop(m, LUNIK_DIRTY_USER, &block, &err));
    check_transcript("stop of what is logged in part", &told, "b:stop(y,5,1) a:stop(y,5,1) ");
    must("stop", lunik_dirty_stop(m, LUNIK_DIRTY_MIGRATION, NULL, &err));
    check_transcript("stop of the machine", &told,
                     "b:stop(x,5,4) a:stop(x,5,4) b:stop(y,1,0) a:stop(y,1,0) b:end a:end ");
    must("stop", lunik_dirty_stop(m, LUNIK_DIRTY_USER, &region, &err));
    must("stop", lunik_dirty_stop(m, LUNIK_DIRTY_USER, &region, &err));
    check_transcript("stop of a region", &told, "b:stop(x,4,0) a:stop(x,4,0) ");

    b.refuse = true;
    check_int("a refusal", lunik_dirty_start(m, LUNIK_DIRTY_USER, NULL, &err), LUNIK_E_UNSUPPORTED);
    check_transcript(
        "is taken back", &told,
        "a:global b:global a:start(x,0,4) b:start(x,0,4) a:start(y,0,4) b:start(y,0,4) "
        "b:stop(x,4,0) a:stop(x,4,0) b:stop(y,4,0) a:stop(y,4,0) b:end a:end ");
    b.refuse = false;
    b.refuse_global = true;
    check_int("a refusal of all", lunik_dirty_start(m, LUNIK_DIRTY_USER, NULL, &err),
              LUNIK_E_UNSUPPORTED);
    check_transcript("is taken back, too", &told, "a:global b:global a:end ");
    check_uint("and nothing is logged", region_log_mask(x) | region_log_mask(y), 0);
    lunik_listener_del(&elsewhere);
    lunik_listener_del(&a.listener);
    lunik_listener_del(&b.listener);
    lunik_region_del(x, NULL);
    lunik_region_del(y, NULL);
    lunik_region_unref(x);
    lunik_region_unref(y);
    lunik_ram_unref(ram);
    clear(&told);
}

/* Memory that is removed while a mapping still writes to it may become dirty after its last sync.
 */
static void test_old_bits(void)
{
    lunik_space *space = lunik_machine_memory(m);
    lunik_ram *ram = new_ram("gone", 4 * PAGE);
    lunik_region *r = map(0, new_region("gone", ram, 0, 4 * PAGE));
    uint64_t size = PAGE;
    void *host;

    must("start", lunik_dirty_start(m, LUNIK_DIRTY_USER, NULL, &err));
    host = lunik_space_map(space, PAGE, &size, true);
    must("del", lunik_region_del(r, &err));
    must("sync", lunik_dirty_sync(m, &err)); /* forgets the block */
    lunik_space_unmap(space, host, size, true, size);
    check_string("old bits: written when it is gone", runs(ram, LUNIK_DIRTY_USER), "1+1");
    must("stop", lunik_dirty_stop(m, LUNIK_DIRTY_USER, NULL, &err));
    map(0, r);
    must("start", lunik_dirty_start(m, LUNIK_DIRTY_USER, NULL, &err));
    check_string("old bits: a start is a new one", runs(ram, LUNIK_DIRTY_USER), "");
    must("stop", lunik_dirty_stop(m, LUNIK_DIRTY_USER, NULL, &err));
    must("del", lunik_region_del(r, &err));
    lunik_region_unref(r);
    lunik_ram_unref(ram);
}

int main(void)
{
    new_runtime();
    new_machine(LUNIK_ACCEL_NONE);
    root = lunik_space_root(lunik_machine_memory(m));
    test_bitmaps();
    test_words();
    test_threads();
    test_writes();
    test_blocks();
    test_listeners();
    test_old_bits();
    must("start", lunik_dirty_start(m, LUNIK_DIRTY_USER, NULL, &err));
    lunik_machine_close(m); /* ends the logging */
    lunik_runtime_free(rt);
    return check_result();
}
