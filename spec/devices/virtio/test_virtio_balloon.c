/* test_virtio_balloon.c: the balloon: pages that go back to the host, statistics, reports and hints
 * of free pages, saved state. */
#include <sys/mman.h>

#include "pci_rig.h"
#include "virtio_pci_driver.h"

enum { AT = PCI_DEVFN(5, 0), PAGES_AT = 0x100000, PAGE = 4096, COUNT = 200, HINT = 3, REPORT = 4 };
enum { STATS = 2, POISON = 16 };
#define FEATURES (VP_VERSION_1 | 2 | 8 | POISON | 32)

static lunik_error err;
static struct rig rig;
static struct vp d;
static lunik_object *balloon;
static lunik_ram *ram;
static bool wants_huge, has_huge;

enum { HUGE_AT = 0x40000000, HUGE_SIZE = 2 << 20, HUGE_PARTS = HUGE_SIZE / PAGE };

/* Gives the machine two large pages at HUGE_AT. */
static bool add_huge(void)
{
    const lunik_field memory[] = {
        LUNIK_FIELD_STRING("id", "huge"), LUNIK_FIELD_UINT("size", 2 * HUGE_SIZE),
        LUNIK_FIELD_BOOL("hugetlb", true), LUNIK_FIELD_UINT("hugetlbsize", HUGE_SIZE)};
    const lunik_field shown[] = {LUNIK_FIELD_STRING("memdev", "huge"),
                                 LUNIK_FIELD_UINT("addr", HUGE_AT)};

    if (lunik_object_add(rig.m, "memory-backend-memfd", memory, 4, NULL, &err)) {
        check_skip("large pages", err.message);
        return false;
    }
    must("ram", lunik_device_add(rig.m, "ram", shown, 2, NULL, &err), &err);
    return true;
}

static void begin(const char *thread, bool prealloc)
{
    const lunik_field props[] = {LUNIK_FIELD_STRING("id", "balloon"),
                                 LUNIK_FIELD_STRING("bus", "host"),
                                 LUNIK_FIELD_STRING("addr", "5"),
                                 LUNIK_FIELD_BOOL("free-page-hint", true),
                                 LUNIK_FIELD_BOOL("free-page-reporting", true),
                                 LUNIK_FIELD_STRING("iothread", thread)};
    lunik_object *backend;

    rig_make(&rig, LUNIK_ACCEL_NONE, true);
    vp_memory(&rig);
    must("io",
         lunik_object_add(rig.m, "iothread", (lunik_field[]){LUNIK_FIELD_STRING("id", "io")}, 1,
                          NULL, &err),
         &err);
    must("balloon",
         lunik_device_add(rig.m, "virtio-balloon-pci", props, thread ? 6 : 5, &balloon, &err),
         &err);
    has_huge = wants_huge && add_huge();
    must("start", lunik_machine_start(rig.m, &err), &err);
    vp_probe(&d, &rig, AT);
    backend = lunik_object_find(rig.m, "ram");
    ram = lunik_memory_backend_iface(backend)->ram(backend);
    if (prealloc)
        lunik_ram_pin(ram);
}

static uint64_t number(const char *property)
{
    lunik_value value = {0};

    must(property, lunik_object_get(balloon, property, &value, &err), &err);
    return value.kind == LUNIK_BOOL ? value.boolean : value.uint;
}

static void set(const char *property, lunik_value value)
{
    must(property, lunik_object_set(balloon, property, &value, &err), &err);
}

static void fill(void)
{
    memset((char *)lunik_ram_host(ram) + PAGES_AT, 0x5a, COUNT * PAGE);
}

/* Returns how many of the pages the host has in memory. */
static unsigned resident(void)
{
    unsigned char in_memory[COUNT];
    unsigned sum = 0;

    if (mincore((char *)lunik_ram_host(ram) + PAGES_AT, COUNT * PAGE, in_memory))
        abort();
    for (unsigned i = 0; i < COUNT; i++)
        sum += in_memory[i] & 1;
    return sum;
}

static void request(unsigned queue, uint32_t out, uint32_t in)
{
    uint32_t written;

    vp_send(&d, queue, out, in);
    vp_kick(&d, queue);
    check_true("answered", vp_wait_used(&d, queue, &written));
}

/* ---- inflating ------------------------------------------------------------------------------ */

static void put_pages(bool backwards)
{
    for (uint32_t i = 0; i < COUNT; i++)
        vp_store(&d, vp_data(0) + 4 * i, 4, PAGES_AT / PAGE + (backwards ? COUNT - 1 - i : i));
}

static void test_inflate(const char *thread)
{
    begin(thread, false);
    check_uint("device", vp_config(&d, 0, 4), 0x10451af4);
    check_uint("queues", vp_get(&d, 1, 0x12, 2), 5);
    vp_start(&d, FEATURES, 5);
    for (unsigned i = 0; i < 2; i++) {
        fill();
        check_uint("pages in memory", resident(), COUNT);
        put_pages(i);
        request(0, COUNT * 4, 0);
        check_uint("pages given back", resident(), 0);
        check_uint("  are zeros", load(&rig, PAGES_AT, 8), 0);
        check_uint("  in all", number("returned"), (i + 1) * COUNT * PAGE);
    }
    request(1, COUNT * 4, 0);
    vp_store(&d, vp_data(0), 8, UINT64_MAX);
    vp_store(&d, vp_data(0) + 8, 8, 0x000fffff000fffff);
    request(0, 16, 0);
    request(0, 3, 0);
    check_uint("no such pages: nothing", number("returned"), 2 * COUNT * PAGE);
    check_uint("  and no harm", vp_status(&d), VP_READY);
    rig_close(&rig);
}

/* ---- large pages ---------------------------------------------------------------------------- */

/* Puts `count` pages into the balloon, or takes them out of it, from that one on. */
static void change(unsigned queue, uint32_t first, unsigned count)
{
    for (uint32_t i = 0; i < count; i++)
        vp_store(&d, vp_data(queue) + 4 * i, 4, HUGE_AT / PAGE + first + i);
    request(queue, count * 4, 0);
}

static void test_large_pages(void)
{
    enum { HALF = HUGE_PARTS / 2 };

    wants_huge = true;
    begin(NULL, false);
    wants_huge = false;
    vp_start(&d, FEATURES, 5);
    if (has_huge) {
        vp_store(&d, HUGE_AT, 8, 0x5a);
        change(0, 0, HALF);
        check_uint("half of a large page stays", number("returned"), 0);
        change(0, HALF, HALF);
        check_uint("a whole one goes", number("returned"), HUGE_SIZE);
        check_uint("  and is zeros", load(&rig, HUGE_AT, 8), 0);
        vp_store(&d, HUGE_AT, 8, 0x5a);
        change(0, 0, HALF);
        change(0, 0, HALF);
        check_uint("a half, twice, stays", number("returned"), HUGE_SIZE);
        change(1, 3, 1);
        change(0, HALF, HALF);
        check_uint("one of which a part is used again stays", number("returned"), HUGE_SIZE);
        change(0, HUGE_PARTS, 1);
        change(0, 0, HALF);
        check_uint("another one begins anew", number("returned"), HUGE_SIZE);
        check_uint("  with its content", load(&rig, HUGE_AT, 8), 0x5a);
    }
    rig_close(&rig);
}

static void test_pinned(void)
{
    begin(NULL, true);
    vp_start(&d, FEATURES, 5);
    fill();
    put_pages(false);
    request(0, COUNT * 4, 0);
    check_uint("pinned pages stay", resident(), COUNT);
    check_uint("  unchanged", load(&rig, PAGES_AT, 4), 0x5a5a5a5a);
    lunik_ram_unpin(ram);
    rig_close(&rig);
}

static void test_config(void)
{
    begin(NULL, false);
    vp_start(&d, FEATURES, 5);
    check_uint("memory", number("memory"), 2 << 20);
    set("num-pages", (lunik_value){.kind = LUNIK_UINT, .uint = 100});
    check_uint("pages that are asked for", vp_get(&d, 4, 0, 4), 100);
    check_true("the guest is interrupted", vp_pin(&d));
    check_uint("cause", vp_get(&d, 3, 0, 1), 2);
    vp_set(&d, 4, 4, 4, 60);
    check_uint("given up", number("actual"), 60);
    vp_set(&d, 4, 0, 4, 1);
    check_uint("what is asked for is not the guest's to say", vp_get(&d, 4, 0, 4), 100);
    vp_reset(&d);
    check_uint("a reset ends it", number("actual"), 0);
    check_uint("and leaves what is asked for", vp_get(&d, 4, 0, 4), 100);
    rig_close(&rig);
}

/* ---- statistics ----------------------------------------------------------------------------- */

static void send_stats(uint64_t free)
{
    static const uint16_t tags[] = {4, 5, 77};

    for (unsigned i = 0; i < 3; i++) {
        vp_store(&d, vp_data(STATS) + 10 * i, 2, tags[i]);
        vp_store(&d, vp_data(STATS) + 10 * i + 2, 8, free + i);
    }
    vp_send(&d, STATS, 30, 0);
    vp_kick(&d, STATS);
}

static void wait_free(uint64_t want)
{
    for (unsigned i = 0; i < 1000 && number("stat-free-memory") != want; i++)
        lunik_run_timeout(rig.rt, 1);
    check_uint("free memory", number("stat-free-memory"), want);
}

static void test_stats(const char *thread)
{
    lunik_state_buffer saved = {0};
    uint32_t written;

    begin(thread, false);
    vp_start(&d, FEATURES, 5);
    check_uint("not known", number("stat-free-memory"), UINT64_MAX);
    send_stats(1000);
    wait_free(1000);
    check_uint("total memory", number("stat-total-memory"), 1001);
    check_uint("not reported", number("stat-swap-in"), UINT64_MAX);
    check_true("the buffer is kept", !vp_used(&d, STATS, &written));
    set("guest-stats-polling-interval", (lunik_value){.kind = LUNIK_UINT, .uint = 2});
    must("clock", lunik_clock_advance(rig.m, 2000000000, &err), &err);
    check_true("until it is wanted again", vp_wait_used(&d, STATS, &written));
    send_stats(5000);
    wait_free(5000);
    must("pause", lunik_machine_pause(rig.m, &err), &err);
    must("save", lunik_object_save(balloon, &saved, &err), &err);
    must("load", lunik_object_load(balloon, saved.data, saved.size, &err), &err);
    must("start", lunik_machine_start(rig.m, &err), &err);
    must("clock", lunik_clock_advance(rig.m, 2000000000, &err), &err);
    check_true("also after it was saved", vp_wait_used(&d, STATS, &written));
    lunik_state_buffer_free(&saved);
    vp_reset(&d);
    check_uint("not known after a reset", number("stat-free-memory"), UINT64_MAX);
    rig_close(&rig);
}

/* ---- free pages ----------------------------------------------------------------------------- */

/* A request whose writable part is the pages. */
static void name_pages(unsigned queue)
{
    uint64_t ring = vp_ring(queue);
    uint32_t written;
    unsigned n = d.sent[queue];

    vp_descriptor(&d, ring, PAGES_AT, COUNT * PAGE, 2, 0);
    vp_store(&d, ring + 0x1000 + 4 + 2 * (n % VP_SIZE), 2, 0);
    vp_show(&d, ring + 0x1000 + 2, (uint16_t)++d.sent[queue]);
    vp_kick(&d, queue);
    check_true("answered", vp_wait_used(&d, queue, &written));
}

static void test_reporting(const char *thread)
{
    begin(thread, false);
    vp_start(&d, FEATURES, 5);
    fill();
    name_pages(REPORT);
    check_uint("reported pages are given back", resident(), 0);
    fill();
    vp_set(&d, 4, 12, 4, 0xaa);
    name_pages(REPORT);
    check_uint("not if they must keep what they hold", resident(), COUNT);
    vp_start(&d, FEATURES & ~(uint64_t)POISON, 5);
    vp_set(&d, 4, 12, 4, 0xaa);
    name_pages(REPORT);
    check_uint("unless that was not negotiated", resident(), 0);
    rig_close(&rig);
}

static void command(uint32_t id)
{
    vp_store(&d, vp_data(HINT), 4, id);
    request(HINT, 4, 0);
}

static void test_hinting(const char *thread)
{
    const lunik_value on = {.kind = LUNIK_BOOL, .boolean = true};
    const lunik_value off = {.kind = LUNIK_BOOL};
    uint64_t id;

    begin(thread, false);
    vp_start(&d, FEATURES, 5);
    must("log", lunik_dirty_start(rig.m, LUNIK_DIRTY_MIGRATION, NULL, &err), &err);
    lunik_space_store(rig.memory, PAGES_AT, 8, 1);
    must("sync", lunik_dirty_sync(rig.m, &err), &err);
    check_uint("a page is written",
               lunik_dirty_count(ram, LUNIK_DIRTY_MIGRATION, PAGES_AT, COUNT * PAGE), 1);
    name_pages(HINT);
    check_uint("hints that were not asked for", number("hinted"), 0);
    set("hinting", on);
    id = vp_get(&d, 4, 8, 4);
    check_uint("a request", id, 0x80000000);
    command(7);
    name_pages(HINT);
    check_uint("another number", number("hinted"), 0);
    command((uint32_t)id);
    name_pages(HINT);
    check_uint("hints", number("hinted"), COUNT * PAGE);
    check_uint("  count as not written",
               lunik_dirty_count(ram, LUNIK_DIRTY_MIGRATION, PAGES_AT, COUNT * PAGE), 0);
    check_uint("  and nothing is given back", number("returned"), 0);
    command(0);
    check_uint("the guest has named all", number("hinting"), 0);
    set("hinting", on);
    check_uint("another request", vp_get(&d, 4, 8, 4), id + 1);
    set("hinting", off);
    check_uint("the guest may use them again", vp_get(&d, 4, 8, 4), 1);
    must("log", lunik_dirty_stop(rig.m, LUNIK_DIRTY_MIGRATION, NULL, &err), &err);
    rig_close(&rig);
}

int main(void)
{
    static const char *const threads[] = {NULL, "io"};

    for (unsigned i = 0; i < 2; i++) {
        test_inflate(threads[i]);
        test_stats(threads[i]);
        test_reporting(threads[i]);
        test_hinting(threads[i]);
    }
    test_pinned();
    test_large_pages();
    test_config();
    return check_result();
}
