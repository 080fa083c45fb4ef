/* test_virtio_mem.c: virtio-mem: requests, sizes, what the host and listeners see, resets, saved
 * state. */
#include <sys/mman.h>

#include "pci_rig.h"
#include "virtio_pci_driver.h"

enum { AT = PCI_DEVFN(5, 0), BLOCK = 0x10000, BLOCKS = 64, SIZE = BLOCK * BLOCKS };
#define BASE UINT64_C(0x100000000)
enum { PLUG, UNPLUG, UNPLUG_ALL, STATE, ACK = 0, NACK, BUSY, ERROR };
enum { PLUGGED, UNPLUGGED, MIXED };

static lunik_error err;
static struct rig rig;
static struct vp d;
static lunik_object *mem;
static lunik_ram *ram;
static unsigned sizes; /* events */

static void on_event(void *opaque, const lunik_event *e)
{
    (void)opaque;
    if (!strcmp(e->name, "memory-device-size-change"))
        sizes++;
}

static int add(const char *thread, uint64_t requested, uint64_t block)
{
    const lunik_field props[] = {
        LUNIK_FIELD_STRING("id", "vmem"),      LUNIK_FIELD_STRING("bus", "host"),
        LUNIK_FIELD_STRING("addr", "5"),       LUNIK_FIELD_STRING("memdev", "more"),
        LUNIK_FIELD_UINT("block-size", block), LUNIK_FIELD_UINT("requested-size", requested),
        LUNIK_FIELD_STRING("iothread", thread)};

    return lunik_device_add(rig.m, "virtio-mem-pci", props, thread ? 7 : 6, &mem, &err);
}

static void make(void)
{
    const lunik_field window[] = {LUNIK_FIELD_STRING("id", "window"),
                                  LUNIK_FIELD_UINT("addr", BASE),
                                  LUNIK_FIELD_UINT("size", 4 * SIZE), LUNIK_FIELD_UINT("slots", 1),
                                  LUNIK_FIELD_UINT("limit", 4 * SIZE)};
    const lunik_field more[] = {LUNIK_FIELD_STRING("id", "more"), LUNIK_FIELD_UINT("size", SIZE)};
    lunik_object *backend = NULL;

    rig_make(&rig, LUNIK_ACCEL_NONE, true);
    vp_memory(&rig);
    must("io",
         lunik_object_add(rig.m, "iothread", (lunik_field[]){LUNIK_FIELD_STRING("id", "io")}, 1,
                          NULL, &err),
         &err);
    must("window", lunik_device_add(rig.m, "device-memory", window, 5, NULL, &err), &err);
    must("more", lunik_object_add(rig.m, "memory-backend-ram", more, 2, &backend, &err), &err);
    ram = lunik_memory_backend_iface(backend)->ram(backend);
}

static void begin(const char *thread, uint64_t requested)
{
    static lunik_event_sub sub = {.fn = on_event};

    make();
    sub = (lunik_event_sub){.fn = on_event};
    lunik_event_subscribe(rig.m, &sub);
    must("virtio-mem", add(thread, requested, BLOCK), &err);
    must("start", lunik_machine_start(rig.m, &err), &err);
    vp_probe(&d, &rig, AT);
    vp_start(&d, VP_VERSION_1 | 1, 1);
    sizes = 0;
}

static uint64_t number(const char *property)
{
    lunik_value value = {0};

    must(property, lunik_object_get(mem, property, &value, &err), &err);
    return value.uint;
}

static int request_size(uint64_t size)
{
    return lunik_object_set(mem, "requested-size", &(lunik_value){.kind = LUNIK_UINT, .uint = size},
                            &err);
}

/* Returns the answer, with the state of the blocks in its upper half. */
static uint64_t ask(unsigned type, uint64_t address, unsigned blocks)
{
    uint32_t written = 0;

    vp_store(&d, vp_data(0), 8, type);
    vp_store(&d, vp_data(0) + 8, 8, address);
    vp_store(&d, vp_data(0) + 16, 8, blocks);
    vp_send(&d, 0, 24, 10);
    vp_kick(&d, 0);
    if (!vp_wait_used(&d, 0, &written) || written != 10)
        return UINT64_MAX;
    return load(&rig, vp_data(0) + 0x1000, 2) | load(&rig, vp_data(0) + 0x1008, 2) << 32;
}

static uint64_t state(uint64_t address, unsigned blocks)
{
    uint64_t answer = ask(STATE, address, blocks);

    return (uint32_t)answer == ACK ? answer >> 32 : UINT64_MAX;
}

static bool resident(uint64_t offset)
{
    unsigned char page = 0;

    return !mincore((char *)lunik_ram_host(ram) + offset, 4096, &page) && page & 1;
}

/* ---- requests ------------------------------------------------------------------------------- */

static void test_config(void)
{
    begin(NULL, 8 * BLOCK);
    check_uint("device", vp_config(&d, 0, 4), 0x10581af4);
    check_uint("block size", vp_get(&d, 4, 0, 8), BLOCK);
    check_uint("address", vp_get(&d, 4, 16, 8), BASE);
    check_uint("region", vp_get(&d, 4, 24, 8), SIZE);
    check_uint("usable", vp_get(&d, 4, 32, 8), SIZE);
    check_uint("plugged", vp_get(&d, 4, 40, 8), 0);
    check_uint("requested", vp_get(&d, 4, 48, 8), 8 * BLOCK);
    must("set", request_size(4 * BLOCK), &err);
    check_uint("another size", vp_get(&d, 4, 48, 8), 4 * BLOCK);
    check_true("the guest is interrupted", vp_pin(&d));
    vp_set(&d, 4, 48, 8, SIZE);
    check_uint("which can't change it", vp_get(&d, 4, 48, 8), 4 * BLOCK);
    check_int("no multiple", request_size(BLOCK + 1), LUNIK_E_INVALID);
    check_contains("  is named", err.message, "requested-size: 0x10001 must be a multiple");
    check_int("too much", request_size(SIZE + BLOCK), LUNIK_E_INVALID);
    check_uint("nothing has changed", number("requested-size"), 4 * BLOCK);
    rig_close(&rig);
}

static void test_plug(const char *thread)
{
    begin(thread, 8 * BLOCK);
    check_uint("unplugged", state(BASE, BLOCKS), UNPLUGGED);
    check_uint("plug", ask(PLUG, BASE, 4), ACK);
    check_uint("size", number("size"), 4 * BLOCK);
    check_uint("  for the guest", vp_get(&d, 4, 40, 8), 4 * BLOCK);
    check_uint("plugged", state(BASE, 4), PLUGGED);
    check_uint("mixed", state(BASE, 5), MIXED);
    check_uint("plugged already", ask(PLUG, BASE + 3 * BLOCK, 2), ERROR);
    check_uint("more than requested", ask(PLUG, BASE + 8 * BLOCK, 5), NACK);
    check_uint("the rest", ask(PLUG, BASE + 8 * BLOCK, 4), ACK);
    lunik_space_store(rig.memory, BASE + 2 * BLOCK, 8, 42);
    check_true("its memory", resident(2 * BLOCK));
    check_uint("unplug", ask(UNPLUG, BASE + 2 * BLOCK, 2), ACK);
    check_true("is the host's", !resident(2 * BLOCK));
    check_uint("and zeros", load(&rig, BASE + 2 * BLOCK, 8), 0);
    check_uint("unplugged already", ask(UNPLUG, BASE + 2 * BLOCK, 1), ERROR);
    check_uint("size", number("size"), 6 * BLOCK);
    check_uint("unplug all", ask(UNPLUG_ALL, 0, 0), ACK);
    check_uint("size", number("size"), 0);
    lunik_run_timeout(rig.rt, 5);
    check_uint("an event for each change", sizes, 4);
    rig_close(&rig);
}

static void test_hostile(void)
{
    begin(NULL, SIZE);
    check_uint("no blocks", ask(PLUG, BASE, 0), ERROR);
    check_uint("not aligned", ask(PLUG, BASE + 1, 1), ERROR);
    check_uint("below", ask(PLUG, BASE - BLOCK, 1), ERROR);
    check_uint("beyond", ask(PLUG, BASE + SIZE, 1), ERROR);
    check_uint("across the end", ask(PLUG, BASE + SIZE - BLOCK, 2), ERROR);
    check_uint("anywhere", ask(PLUG, UINT64_MAX - BLOCK + 1, 0xffff), ERROR);
    check_uint("no such request", ask(77, BASE, 1), ERROR);
    check_uint("no memory has come", number("size"), 0);
    vp_send(&d, 0, 8, 10);
    vp_kick(&d, 0);
    check_true("a short request: a reset is needed", vp_wait(&d, 0x14, 1, VP_READY | 64));
    rig_close(&rig);
}

/* ---- listeners ------------------------------------------------------------------------------ */

static struct {
    uint64_t populated, discarded;
    bool refuses;
} seen;

static int on_populate(lunik_populate_listener *l, lunik_ram *block, uint64_t offset, uint64_t size,
                       lunik_error *e)
{
    if (seen.refuses)
        return lunik_fail(e, LUNIK_E_NO_MEMORY, "no more");
    seen.populated += size;
    return 0;
}

static void on_discard(lunik_populate_listener *l, lunik_ram *block, uint64_t offset, uint64_t size)
{
    seen.discarded += size;
}

static void test_listener(void)
{
    lunik_populate_listener l = {.populate = on_populate, .discard = on_discard};
    lunik_populate_listener refuses = {.populate = on_populate};
    uint64_t offset = BLOCK / 2, size = 0;

    begin(NULL, SIZE);
    ask(PLUG, BASE + BLOCK, 2);
    ask(PLUG, BASE + 4 * BLOCK, 1);
    must("listener", lunik_populate_listener_add(ram, &l, &err), &err);
    check_uint("what is there is populated", seen.populated, 3 * BLOCK);
    check_true("a part", lunik_ram_populated(ram, &offset, &size));
    check_true("  is this one", offset == BLOCK && size == 2 * BLOCK);
    offset = 2 * BLOCK + 4096;
    check_true("the rest of it", lunik_ram_populated(ram, &offset, &size));
    check_true("  is smaller", offset == 2 * BLOCK + 4096 && size == BLOCK - 4096);
    offset = 5 * BLOCK;
    check_true("no more", !lunik_ram_populated(ram, &offset, &size));
    ask(PLUG, BASE, 1);
    check_uint("plugged", seen.populated, 4 * BLOCK);
    ask(UNPLUG, BASE + BLOCK, 2);
    check_uint("unplugged", seen.discarded, 2 * BLOCK);
    seen.refuses = true;
    check_uint("one refuses: busy", ask(PLUG, BASE + 8 * BLOCK, 1), BUSY);
    check_uint("  and nothing is plugged", state(BASE + 8 * BLOCK, 1), UNPLUGGED);
    check_int("a listener that refuses", lunik_populate_listener_add(ram, &refuses, &err),
              LUNIK_E_NO_MEMORY);
    lunik_ram_pin(ram);
    check_uint("pinned: busy", ask(UNPLUG, BASE, 1), BUSY);
    lunik_ram_unpin(ram);
    lunik_populate_listener_del(&l);
    check_uint("gone", seen.discarded, 2 * BLOCK + SIZE);
    rig_close(&rig);
}

/* ---- life cycle ----------------------------------------------------------------------------- */

static void test_reset(void)
{
    begin(NULL, SIZE);
    ask(PLUG, BASE, 3);
    vp_start(&d, VP_VERSION_1 | 1, 1);
    check_uint("a reset of the device leaves memory", number("size"), 3 * BLOCK);
    must("reset", lunik_machine_reset(rig.m, &err), &err);
    check_uint("one of the machine does not", number("size"), 0);
    check_uint("nor what is requested", number("requested-size"), SIZE);
    rig_close(&rig);
}

static void test_state(void)
{
    lunik_state_buffer saved = {0};

    begin(NULL, 16 * BLOCK);
    ask(PLUG, BASE, 3);
    ask(PLUG, BASE + 10 * BLOCK, 1);
    must("pause", lunik_machine_pause(rig.m, &err), &err);
    must("save", lunik_object_save(mem, &saved, &err), &err);
    must("start", lunik_machine_start(rig.m, &err), &err);
    ask(UNPLUG_ALL, 0, 0);
    ask(PLUG, BASE + 20 * BLOCK, 1);
    must("set", request_size(0), &err);
    must("pause", lunik_machine_pause(rig.m, &err), &err);
    must("load", lunik_object_load(mem, saved.data, saved.size, &err), &err);
    check_uint("size", number("size"), 4 * BLOCK);
    check_uint("requested", number("requested-size"), 16 * BLOCK);
    check_uint("for the guest", vp_get(&d, 4, 40, 8), 4 * BLOCK);
    must("start", lunik_machine_start(rig.m, &err), &err);
    vp_start(&d, VP_VERSION_1 | 1, 1);
    check_uint("plugged", state(BASE + 10 * BLOCK, 1), PLUGGED);
    check_uint("unplugged", state(BASE + 20 * BLOCK, 1), UNPLUGGED);
    lunik_state_buffer_free(&saved);
    rig_close(&rig);
}

static void test_removal(void)
{
    begin(NULL, 2 * BLOCK);
    ask(PLUG, BASE, 2);
    must("set", request_size(0), &err);
    check_int("not while the guest has memory", lunik_device_del(rig.m, "vmem", &err),
              LUNIK_E_STATE);
    check_contains("  is why", err.message, "'vmem' can't be unplugged while size is 0x20000");
    ask(UNPLUG_ALL, 0, 0);
    must("set", request_size(BLOCK), &err);
    check_int("nor while it may plug some", lunik_device_del(rig.m, "vmem", &err), LUNIK_E_STATE);
    check_contains("  is why", err.message, "requested-size is 0x10000");
    check_true("it is still there", lunik_object_find(rig.m, "vmem") != NULL);
    must("set", request_size(0), &err);
    must("then it goes", lunik_device_del(rig.m, "vmem", &err), &err);
    check_true("it is gone", lunik_object_find(rig.m, "vmem") == NULL);
    must("and its memory", lunik_object_del(rig.m, "more", &err), &err);
    rig_close(&rig);
}

/* A block is not smaller than a page of the host. */
static void check_large_pages(void)
{
    const lunik_field huge[] = {LUNIK_FIELD_STRING("id", "huge"), LUNIK_FIELD_UINT("size", 4 << 20),
                                LUNIK_FIELD_BOOL("hugetlb", true),
                                LUNIK_FIELD_UINT("hugetlbsize", 2 << 20)};
    const lunik_field props[] = {
        LUNIK_FIELD_STRING("id", "hugemem"), LUNIK_FIELD_STRING("bus", "host"),
        LUNIK_FIELD_STRING("memdev", "huge"), LUNIK_FIELD_UINT("block-size", 1 << 20)};

    if (lunik_object_add(rig.m, "memory-backend-memfd", huge, 4, NULL, &err)) {
        check_skip("large pages", err.message);
        return;
    }
    check_int("less than a large page",
              lunik_device_add(rig.m, "virtio-mem-pci", props, 4, NULL, &err), LUNIK_E_INVALID);
    check_contains("  is named", err.message, "0x100000 is out of range");
    check_contains("  with the least", err.message, "from 0x200000 on");
    must("huge", lunik_object_del(rig.m, "huge", &err), &err);
}

static void test_bad(void)
{
    make();
    check_int("no power of two", add(NULL, 0, 3 * BLOCK), LUNIK_E_INVALID);
    check_contains("  is named", err.message, "block-size: 0x30000 is out of range");
    check_int("too small", add(NULL, 0, 512), LUNIK_E_INVALID);
    check_int("too large", add(NULL, 0, 2 * SIZE), LUNIK_E_INVALID);
    check_int("too much", add(NULL, 2 * SIZE, BLOCK), LUNIK_E_INVALID);
    lunik_ram_pin(ram);
    check_int("preallocated", add(NULL, 0, BLOCK), LUNIK_E_BUSY);
    lunik_ram_unpin(ram);
    check_large_pages();
    must("good", add(NULL, 0, 0), &err);
    check_uint("the default", number("block-size"), 2 << 20);
    must("gone", lunik_device_del(rig.m, "vmem", &err), &err);
    must("again", add(NULL, 0, BLOCK), &err);
    rig_close(&rig);
}

int main(void)
{
    test_config();
    test_plug(NULL);
    test_plug("io");
    test_hostile();
    test_listener();
    test_reset();
    test_state();
    test_removal();
    test_bad();
    return check_result();
}
