/* test_fw_cfg.c: the firmware configuration device on a machine without vCPUs: items by port and by
 * DMA, the directory, contents that are computed, what guests get wrong, saved state. */
#include <stdlib.h>

#include "lunik_device.h"
#include "check.h"

enum { SELECT = 0x510, DATA = 0x511, DMA_HIGH = 0x514, DMA_LOW = 0x518 };
enum { ERROR = 1, READ = 2, SKIP = 4, CHOOSE = 8, WRITE = 16 };
enum { RAM_SIZE = 4 << 20, DESCRIPTOR = 0x1000, TARGET = 0x2000 };

static struct {
    lunik_runtime *rt;
    lunik_machine *m;
    lunik_object *device;
    const lunik_fw_cfg_ops *ops;
    lunik_ram *ram;
    lunik_region *region;
    uint8_t *memory;
    lunik_error err;
} b;

static void must(int rc)
{
    if (!rc)
        return;
    printf("not ok the machine: %d %s\n", rc, b.err.message);
    exit(1);
}

static void open_machine(bool dma)
{
    static const unsigned cpu2[] = {2};
    static const lunik_numa_node nodes[] = {{NULL, 0, NULL}, {cpu2, 1, NULL}};
    lunik_machine_config config = {
        .accel = LUNIK_ACCEL_NONE, .cpus = 3, .nodes = nodes, .node_count = 2};
    lunik_ram_config ram = {.name = "ram", .size = RAM_SIZE, .fd = -1};
    lunik_field props[] = {LUNIK_FIELD_BOOL("dma", dma)};

    memset(&b, 0, sizeof(b));
    must(lunik_runtime_new(lunik_builtin_types(), &b.rt, &b.err));
    must(lunik_machine_new(b.rt, &config, &b.m, &b.err));
    must(lunik_ram_new(&ram, &b.ram, &b.err));
    lunik_region_config region = {.kind = LUNIK_REGION_RAM, .name = "ram", .ram = b.ram};
    must(lunik_region_new(b.m, &region, &b.region, &b.err));
    must(lunik_region_add(lunik_space_root(lunik_machine_memory(b.m)), 0, b.region, 0, false,
                          &b.err));
    b.memory = lunik_ram_host(b.ram);
    must(lunik_device_add(b.m, "fw-cfg", props, 1, &b.device, &b.err));
    b.ops = lunik_fw_cfg_iface(b.device);
}

static void close_machine(void)
{
    lunik_region_del(b.region, NULL);
    lunik_region_unref(b.region);
    lunik_ram_unref(b.ram);
    lunik_runtime_free(b.rt);
}

/* ---- the guest ------------------------------------------------------------------------------ */

static uint64_t in(uint16_t port, unsigned size)
{
    uint64_t value = UINT64_MAX;

    lunik_space_load(lunik_machine_io(b.m), port, size, &value);
    return value & (UINT64_MAX >> (64 - 8 * size));
}

static int out(uint16_t port, unsigned size, uint64_t value)
{
    return lunik_space_store(lunik_machine_io(b.m), port, size, value);
}

static void read_bytes(void *to, size_t size)
{
    uint8_t *p = to;

    while (size--)
        *p++ = (uint8_t)in(DATA, 1);
}

static uint64_t read_little(unsigned size)
{
    uint64_t value = 0;

    read_bytes(&value, size);
    return value;
}

static uint64_t item(uint16_t key, unsigned size)
{
    out(SELECT, 2, key);
    return read_little(size);
}

static void put_big(uint8_t *p, uint64_t value, unsigned width)
{
    while (width--) {
        p[width] = (uint8_t)value;
        value >>= 8;
    }
}

static uint32_t get_big(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Starts an operation whose descriptor is at `at`. */
static void start(uint64_t at)
{
    out(DMA_HIGH, 4, __builtin_bswap32((uint32_t)(at >> 32)));
    out(DMA_LOW, 4, __builtin_bswap32((uint32_t)at));
}

/* Returns the control word that the device leaves. */
static uint32_t dma(uint32_t control, uint32_t length, uint64_t address)
{
    put_big(b.memory + DESCRIPTOR, control, 4);
    put_big(b.memory + DESCRIPTOR + 4, length, 4);
    put_big(b.memory + DESCRIPTOR + 8, address, 8);
    start(DESCRIPTOR);
    return get_big(b.memory + DESCRIPTOR);
}

static uint32_t choose(uint16_t key)
{
    return (uint32_t)key << 16 | CHOOSE;
}

struct entry {
    uint32_t size;
    uint16_t key;
    char name[LUNIK_FW_CFG_NAME_SIZE];
};

/* Finds a file in the directory, read anew. */
static bool look_up(const char *name, struct entry *e)
{
    uint8_t raw[64] = {0};

    out(SELECT, 2, 0x19);
    read_bytes(raw, 4);
    for (uint32_t left = get_big(raw); left; left--) {
        read_bytes(raw, 64);
        e->size = get_big(raw);
        e->key = (uint16_t)(raw[4] << 8 | raw[5]);
        memcpy(e->name, raw + 8, sizeof(e->name));
        if (!strcmp(e->name, name))
            return true;
    }
    return false;
}

static int add_file(const char *name, const void *data, size_t size)
{
    lunik_fw_cfg_source source = {.data = data, .size = size};

    return b.ops->add(b.device, name, 0, &source, &b.err);
}

/* ---- items ---------------------------------------------------------------------------------- */

static void test_numbers(void)
{
    lunik_fwmap_entry low = {.base = 0, .size = 0xa0000, .type = LUNIK_FWMAP_RAM};
    lunik_fwmap_entry hole = {.base = 0xa0000, .size = 0x60000, .type = LUNIK_FWMAP_RESERVED};
    lunik_fwmap_entry high = {.base = 1 << 20, .size = 3 << 20, .type = LUNIK_FWMAP_RAM, .node = 1};
    lunik_fwmap_entry window = {.base = 1 << 30, .size = 1 << 30, .type = LUNIK_FWMAP_HOTPLUG};
    struct entry e = {0};

    open_machine(true);
    must(lunik_fwmap_add(b.m, &low, &b.err));
    must(lunik_fwmap_add(b.m, &hole, &b.err));
    must(lunik_fwmap_add(b.m, &high, &b.err));
    must(lunik_fwmap_add(b.m, &window, &b.err));
    check_uint("signature", item(0, 4), 0x554d4551);
    check_uint("behind the end there are zeros", read_little(2), 0);
    check_uint("selecting begins anew", item(0, 2), 0x4551);
    check_uint("the write bit is ignored", item(0x4000, 4), 0x554d4551);
    check_uint("interfaces", item(1, 4), 3);
    check_uint("RAM", item(3, 8), 4 << 20);
    check_uint("processors", item(5, 2), 3);
    check_uint("processors at most", item(0x0f, 2), 3);
    check_uint("nodes", item(0x0d, 8), 2);
    check_uint("node of vCPU 0", read_little(8), 0);
    check_uint("node of vCPU 1", read_little(8), 0);
    check_uint("node of vCPU 2", read_little(8), 1);
    check_uint("memory of node 0", read_little(8), 0xa0000);
    check_uint("memory of node 1", read_little(8), 3 << 20);
    check_uint("an item that does not exist", item(0x3fff, 4), 0);
    check_uint("another set of numbers", item(0x8000, 4), 0);
    check_true("the memory map has a file", look_up("etc/e820", &e));
    check_uint("with three ranges", e.size, 60);
    check_uint("the first range", item(e.key, 8) + read_little(8), 0xa0000);
    check_uint("is RAM", read_little(4), 1);
    check_uint("second range", read_little(8), 0xa0000);
    close_machine();
}

static void test_files(void)
{
    struct entry e = {0}, other = {0};
    lunik_fw_cfg_source source = {.data = "number", .size = 6};
    char name[LUNIK_FW_CFG_NAME_SIZE + 1], text[8] = "";
    size_t size;
    int rc = 0, count = 0;

    open_machine(true);
    must(add_file("opt/one", "first", 5));
    must(add_file("opt/two", "", 0));
    check_true("the first is listed", look_up("opt/one", &e) && e.size == 5);
    check_true("and so is the second, with another number",
               look_up("opt/two", &other) && other.size == 0 && other.key != e.key);
    out(SELECT, 2, e.key);
    read_bytes(text, 5);
    check_string("contents", text, "first");
    must(b.ops->set(b.device, "opt/one", 0, "changed", 7, &b.err));
    check_true("new size", look_up("opt/one", &e) && e.size == 7);
    check_true("the program reads it",
               !memcmp(b.ops->find(b.device, "opt/one", 0, &size), "changed", 7) && size == 7);
    check_true("no such file", !b.ops->find(b.device, "opt/none", 0, &size) && !size);
    check_int("a file twice", add_file("opt/one", "", 0), LUNIK_E_EXISTS);
    check_contains("is named", b.err.message, "'opt/one' exists already");
    check_int("a name with a space", add_file("opt/a b", "", 0), LUNIK_E_INVALID);
    check_int("an empty name", add_file("", "", 0), LUNIK_E_INVALID);
    memset(name, 'x', sizeof(name));
    name[LUNIK_FW_CFG_NAME_SIZE] = '\0';
    check_int("a name of 56 characters", add_file(name, "", 0), LUNIK_E_INVALID);
    name[LUNIK_FW_CFG_NAME_SIZE - 1] = '\0';
    check_int("a name of 55", add_file(name, "", 0), 0);
    must(b.ops->add(b.device, NULL, 0x8003, &source, &b.err));
    check_uint("an item of the other set", item(0x8003, 6), 0x7265626d756e);
    check_int("the directory's number", b.ops->add(b.device, NULL, 0x19, &source, &b.err),
              LUNIK_E_INVALID);
    check_int("a file's number", b.ops->add(b.device, NULL, 0x20, &source, &b.err),
              LUNIK_E_INVALID);
    check_int("a number that is taken", b.ops->add(b.device, NULL, 0, &source, &b.err),
              LUNIK_E_EXISTS);
    check_int("set of nothing", b.ops->set(b.device, "opt/none", 0, "", 0, &b.err),
              LUNIK_E_NOT_FOUND);
    for (; !rc && count < 2000; count++) {
        snprintf(name, sizeof(name), "many/%d", count);
        rc = add_file(name, "", 0);
    }
    check_int("too many files", rc, LUNIK_E_NO_SPACE);
    check_true("the last one is listed", look_up("many/100", &e));
    close_machine();
}

static int calls;

static void count_call(void *opaque)
{
    char text[16];
    int n = snprintf(text, sizeof(text), "call %d", ++calls);

    if (calls == 2) /* the list of items moves meanwhile */
        for (int i = 0; i < 100; i++) {
            char name[16];

            snprintf(name, sizeof(name), "more/%d", i);
            must(add_file(name, "", 0));
        }
    must(b.ops->set(b.device, "opt/calls", 0, text, (size_t)n, &b.err));
}

static void count_release(void *opaque)
{
    ++*(int *)opaque;
}

static void test_computed(void)
{
    static int released;
    lunik_fw_cfg_source source = {
        .select = count_call, .release = count_release, .opaque = &released};
    struct entry e = {0};
    char text[8] = "";

    open_machine(true);
    must(b.ops->add(b.device, "opt/calls", 0, &source, &b.err));
    check_int("not called before it is selected", calls, 0);
    check_true("called for the directory", look_up("opt/calls", &e) && e.size == 6 && calls == 1);
    out(SELECT, 2, e.key);
    read_bytes(text, 6);
    check_string("called once for reading", text, "call 2");
    check_true("files that it added are listed", look_up("more/99", &e));
    close_machine();
    check_int("released once", released, 1);
}

/* ---- DMA ------------------------------------------------------------------------------------ */

static void test_dma(void)
{
    struct entry e = {0};
    static uint8_t large[100000];

    open_machine(true);
    for (size_t i = 0; i < sizeof(large); i++)
        large[i] = (uint8_t)(i * 7 + i / 251);
    must(add_file("opt/large", large, sizeof(large)));
    check_true("a file", look_up("opt/large", &e));
    check_uint("signature, upper half", in(DMA_HIGH, 4), 0x554d4551);
    check_uint("signature, lower half", in(DMA_LOW, 4), 0x47464320);
    check_uint("signature, a byte", in(DMA_HIGH + 1, 1), 'E');
    memset(b.memory + TARGET, 0xaa, 200000);
    check_uint("reads all and more", dma(choose(e.key) | READ, sizeof(large) + 10, TARGET), 0);
    check_true("bytes", !memcmp(b.memory + TARGET, large, sizeof(large)));
    check_uint("then zeros", get_big(b.memory + TARGET + sizeof(large)), 0);
    check_uint("and no more", b.memory[TARGET + sizeof(large) + 10], 0xaa);
    check_uint("skips", dma(choose(e.key) | SKIP, 5000, 0), 0);
    check_uint("reads on", dma(READ, 16, TARGET), 0);
    check_true("from there", !memcmp(b.memory + TARGET, large + 5000, 16));
    check_uint("port and DMA share the place", in(DATA, 1), large[5016]);
    check_uint("skips far", dma(SKIP, UINT32_MAX, 0) + in(DATA, 1), 0);
    check_uint("selects only", dma(choose(0), 0, 0), 0);
    check_uint("what it says", read_little(4), 0x554d4551);
    check_uint("writing is refused", dma(choose(e.key) | WRITE, 4, TARGET), ERROR);
    check_true("and changes nothing",
               !memcmp(b.ops->find(b.device, "opt/large", 0, &(size_t){0}), large, 100));
    check_uint("memory that is not there", dma(choose(e.key) | READ, 100, RAM_SIZE), ERROR);
    check_uint("half of it", dma(choose(e.key) | READ, 100, RAM_SIZE - 50), ERROR);
    check_uint("an end beyond 2^64", dma(choose(e.key) | READ, 100, UINT64_MAX - 10), ERROR);
    check_uint("zeros without end", dma(choose(0x3000) | READ, UINT32_MAX, TARGET), ERROR);
    check_uint("an item that does not exist", dma(choose(0x3000) | READ, 64, TARGET), 0);
    check_uint("is zeros", get_big(b.memory + TARGET), 0);
    start(RAM_SIZE - 8); /* half of the descriptor is in memory: gets the error */
    check_uint("a descriptor that is not there", get_big(b.memory + RAM_SIZE - 8), ERROR);
    start(UINT64_MAX - 3);
    start(RAM_SIZE);
    check_uint("the descriptor is the target", dma(choose(0) | READ, 4, DESCRIPTOR), 0);
    close_machine();
}

/* Memory whose device starts another operation. */
static lunik_access nest(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    put_big(b.memory + 0x3000, choose(0) | READ, 4);
    put_big(b.memory + 0x3004, 4, 4);
    put_big(b.memory + 0x3008, TARGET, 8);
    start(0x3000);
    must(b.ops->set(b.device, "opt/x", 0, "", 0, &b.err));
    return LUNIK_ACCESS_OK;
}

static void test_nested(void)
{
    static const lunik_io_ops ops = {.write = nest};
    static const uint8_t bytes[5000];
    lunik_region_config config = {
        .kind = LUNIK_REGION_IO, .name = "nest", .size = 8192, .ops = &ops};
    lunik_region *region;
    struct entry e = {0};

    open_machine(true);
    must(add_file("opt/x", bytes, sizeof(bytes)));
    check_true("a file", look_up("opt/x", &e));
    must(lunik_region_new(b.m, &config, &region, &b.err));
    must(lunik_region_add(lunik_space_root(lunik_machine_memory(b.m)), 1 << 30, region, 0, false,
                          &b.err));
    check_uint("into a device", dma(choose(e.key) | READ, sizeof(bytes), 1 << 30), 0);
    check_uint("the one within fails", get_big(b.memory + 0x3000), ERROR);
    lunik_region_del(region, NULL);
    lunik_region_unref(region);
    close_machine();
}

/* ---- ports, reset, state -------------------------------------------------------------------- */

static void test_ports(void)
{
    lunik_object *other;

    open_machine(false);
    check_uint("no DMA: interfaces", item(1, 4), 1);
    check_uint("no DMA: no ports", in(DMA_HIGH, 4), UINT32_MAX);
    check_uint("the data register has a byte", in(DATA - 1, 2), 0xffff);
    item(0, 1);
    check_int("writing data goes nowhere", out(DATA, 1, 0x55), 0);
    check_uint("and moves nothing", in(DATA, 1), 'E');
    check_int("a second device", lunik_device_add(b.m, "fw-cfg", NULL, 0, &other, &b.err),
              LUNIK_E_EXISTS);
    must(lunik_machine_reset(b.m, &b.err));
    check_uint("a reset selects the signature", in(DATA, 1), 'Q');
    close_machine();
    open_machine(true);
    check_true("half a DMA register", out(DMA_HIGH, 2, 0) != 0);
    close_machine();
}

static void test_state(void)
{
    lunik_state_buffer saved = {0};
    struct entry e = {0};

    open_machine(true);
    must(add_file("opt/x", "abcdefgh", 8));
    check_true("a file", look_up("opt/x", &e));
    item(e.key, 3);
    must(lunik_object_save(b.device, &saved, &b.err));
    item(0, 1);
    must(lunik_object_load(b.device, saved.data, saved.size, &b.err));
    check_uint("goes on where it was", in(DATA, 1), 'd');
    must(add_file("opt/y", "", 0));
    check_int("other files", lunik_object_load(b.device, saved.data, saved.size, &b.err),
              LUNIK_E_INVALID);
    check_contains("are named", b.err.message, "files");
    lunik_state_buffer_free(&saved);
    close_machine();
}

int main(void)
{
    test_numbers();
    test_files();
    test_computed();
    test_dma();
    test_nested();
    test_ports();
    test_state();
    return check_result();
}
