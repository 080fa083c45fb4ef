/* test_memory_access.c: accesses to regions: in which sizes devices see them, what is rejected, and
 * mappings. */
#include "memory_rig.h"

/* ---- dispatch ------------------------------------------------------------------------------- */

struct access_case {
    const char *name;
    lunik_io_ops ops;
    unsigned offset, size;
    bool write;
    uint64_t value; /* written, or expected */
    const char *calls;
    lunik_reject why;
};

#define V(lo, hi, ua) .valid = {lo, hi, ua}
#define I(lo, hi, ua) .impl = {lo, hi, ua}
#define BE            .endian = LUNIK_BIG_ENDIAN

/* The device's bytes are 0x10, 0x11, 0x12... before each case. */
static const struct access_case access_cases[] = {
    {"default sizes", {0}, 4, 4, false, 0x17161514, "r4.4 ", false},
    {"default rejects 8", {0}, 0, 8, false, UINT64_MAX, "", LUNIK_REJECT_SIZE},
    {"8 where valid", {V(1, 8, false)}, 0, 8, false, 0x1716151413121110, "r0.8 ", false},
    {"unaligned rejected", {0}, 2, 4, false, 0xffffffff, "", LUNIK_REJECT_ALIGNMENT},
    {"too small rejected", {V(4, 4, false)}, 0, 1, false, 0xff, "", LUNIK_REJECT_SIZE},
    {"too small write dropped", {V(4, 4, false)}, 0, 1, true, 0x55, "", LUNIK_REJECT_SIZE},
    {"split", {I(1, 1, false)}, 4, 4, false, 0x17161514, "r4.1 r5.1 r6.1 r7.1 ", false},
    {"split write", {I(1, 2, false)}, 4, 4, true, 0xddccbbaa, "w4.2=bbaa w6.2=ddcc ", false},
    {"split 8",
     {V(1, 8, false), I(4, 4, false)},
     8,
     8,
     false,
     0x1f1e1d1c1b1a1918,
     "r8.4 r12.4 ",
     false},
    {"widened read", {I(4, 4, false)}, 6, 1, false, 0x16, "r4.4 ", false},
    {"widened write", {I(4, 4, false)}, 6, 2, true, 0xbbaa, "r4.4 w4.4=bbaa1514 ", false},
    {"unaligned, implemented",
     {V(1, 4, true), I(1, 4, true)},
     3,
     4,
     false,
     0x16151413,
     "r3.4 ",
     false},
    {"unaligned, inherited", {V(1, 4, true)}, 3, 4, false, 0x16151413, "r3.4 ", false},
    {"unaligned, cut",
     {V(1, 4, true), I(1, 4, false)},
     3,
     4,
     false,
     0x16151413,
     "r3.1 r4.2 r6.1 ",
     false},
    {"unaligned, two words",
     {V(1, 4, true), I(4, 4, false)},
     3,
     4,
     false,
     0x16151413,
     "r0.4 r4.4 ",
     false},
    {"unaligned write, two words",
     {V(1, 4, true), I(4, 4, false)},
     2,
     4,
     true,
     0xddccbbaa,
     "r0.4 w0.4=bbaa1110 r4.4 w4.4=1716ddcc ",
     false},
    {"big endian", {BE}, 4, 4, false, 0x17161514, "r4.4 ", false},
    {"big endian write", {BE}, 4, 2, true, 0xbbaa, "w4.2=aabb ", false},
    {"big endian split",
     {BE, I(1, 2, false)},
     4,
     4,
     true,
     0xddccbbaa,
     "w4.2=aabb w6.2=ccdd ",
     false},
    {"big endian widened", {BE, I(4, 4, false)}, 5, 1, false, 0x15, "r4.4 ", false},
    {"big endian widened write",
     {BE, I(4, 4, false)},
     5,
     1,
     true,
     0xaa,
     "r4.4 w4.4=14aa1617 ",
     false},
};

/* The last rejected access, with copies of what does not outlive it. */
static struct {
    unsigned count;
    lunik_rejection what;
    char text[200];
} told;

static void on_reject(void *opaque, const lunik_rejection *r)
{
    char *text = NULL;

    told.count++;
    told.what = *r;
    lunik_rejection_text(r, &text);
    snprintf(told.text, sizeof(told.text), "%s", text);
    free(text);
}

static lunik_reject_sub rejections = {.fn = on_reject};

static void check_told(const char *name, unsigned count, lunik_reject why, const lunik_region *r,
                       uint64_t address)
{
    check_uint(name, told.count, count);
    check_string(name, lunik_reject_name(told.what.why), lunik_reject_name(why));
    check_true(name, told.what.region == r);
    check_uint(name, told.what.access.address, address);
    memset(&told, 0, sizeof(told));
}

static void test_dispatch(void)
{
    lunik_reject_subscribe(m, &rejections);
    for (size_t i = 0; i < COUNT(access_cases); i++) {
        const struct access_case *c = &access_cases[i];
        lunik_io_ops ops = c->ops;
        lunik_region_stats stats;
        lunik_region *r;
        unsigned refs;
        uint64_t value = c->value;
        char name[64];
        int rc;

        ops.read = device_read;
        ops.write = device_write;
        for (unsigned j = 0; j < sizeof(device_bytes); j++)
            device_bytes[j] = (uint8_t)(0x10 + j);
        r = add(lunik_space_root(m->memory_space), 0x1000,
                new_region("io", LUNIK_REGION_IO, 0x40, &ops), 0);
        refs = r->refs;
        clear(&calls);
        rc = c->write ? lunik_space_store(m->memory_space, 0x1000 + c->offset, c->size, value)
                      : lunik_space_load(m->memory_space, 0x1000 + c->offset, c->size, &value);
        snprintf(name, sizeof(name), "dispatch: %s: calls", c->name);
        check_transcript(name, &calls, c->calls);
        snprintf(name, sizeof(name), "dispatch: %s: value", c->name);
        if (!c->write)
            check_uint(name, value, c->value & (UINT64_MAX >> (64 - 8 * c->size)));
        snprintf(name, sizeof(name), "dispatch: %s: result", c->name);
        check_int(name, rc, c->why ? LUNIK_E_ACCESS : 0);
        check_told(name, c->why != LUNIK_REJECT_NONE, c->why, c->why ? r : NULL,
                   c->why ? 0x1000 + c->offset : 0);
        lunik_region_get_stats(r, &stats);
        check_uint(name, stats.rejected, c->why != LUNIK_REJECT_NONE);
        check_uint(name, stats.reads + stats.writes, 1);
        check_uint(name, r->refs, refs);
        for (unsigned j = 0; c->write && !c->why && j < c->size; j++)
            check_uint(name, device_bytes[c->offset + j], (uint8_t)(c->value >> 8 * j));
        drop(r);
    }
    lunik_reject_unsubscribe(&rejections);
}

static lunik_access refuse_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    *value = 0x1234;
    return LUNIK_ACCESS_DEVICE;
}

static void test_borders(void)
{
    static const lunik_io_ops refusing = {.read = refuse_read};
    static const lunik_io_ops narrow_ops = {.write = device_write, .valid = {.max = 2}};
    lunik_region *root = lunik_space_root(m->memory_space);
    lunik_region *narrow = new_region("narrow", LUNIK_REGION_IO, 0x10, &narrow_ops);
    lunik_region *ram = new_ram_region("ram", LUNIK_REGION_RAM, 0x1000, NULL);
    lunik_region *io = new_region("io", LUNIK_REGION_IO, 0x10, &plain_ops);
    lunik_region *bad = new_region("bad", LUNIK_REGION_IO, 0x10, &refusing);
    lunik_region *rom = new_ram_region("rom", LUNIK_REGION_ROM, 0x1000, NULL);
    lunik_region *claimed = new_region("claimed", LUNIK_REGION_RESERVED, 0x10, NULL);
    lunik_space_stats stats, before;
    uint64_t value = 0;
    uint8_t bytes[0x30];

    add(root, 0x0, ram, 0);
    add(root, 0x1000, io, 0);
    add(root, 0x2000, rom, 0);
    add(root, 0x3000, bad, 0);
    add(root, 0x4000, claimed, 0);
    memset(device_bytes, 0x77, sizeof(device_bytes));
    clear(&calls);
    check_int("borders: store", lunik_space_store(m->memory_space, 0xffc, 8, 0x8877665544332211),
              0);
    check_transcript("borders: the device gets its part", &calls, "w0.4=88776655 ");
    check_uint("borders: RAM has its part", *(uint32_t *)(ram->host + 0xffc), 0x44332211);
    check_int("borders: load", lunik_space_load(m->memory_space, 0xffe, 4, &value), 0);
    check_uint("borders: load joins them", value, 0x66554433);
    add(root, 0x1010, narrow, 0);
    clear(&calls);
    check_int("borders: from one device", lunik_space_store(m->memory_space, 0x100c, 8, 0x55), 0);
    check_transcript("borders: into one that takes less at once", &calls,
                     "w12.4=55 w0.2=0 w2.2=0 ");
    drop(narrow);
    memset(device_bytes, 0x77, sizeof(device_bytes));
    lunik_space_get_stats(m->memory_space, &before);
    check_int("borders: into nothing", lunik_space_load(m->memory_space, 0x100c, 8, &value),
              LUNIK_E_ACCESS);
    check_uint("borders: ones where nothing is", value, 0xffffffff77777777);
    lunik_space_get_stats(m->memory_space, &stats);
    check_uint("borders: counted", stats.unassigned, before.unassigned + 1);
    check_uint("borders: counted, too", stats.rejected, before.rejected + 1);
    clear(&calls);
    memset(bytes, 0, sizeof(bytes));
    check_int("borders: bulk read", lunik_space_read(m->memory_space, 0xff9, bytes, 0x17), 0);
    check_transcript("borders: bulk is cut to suit the device", &calls, "r0.4 r4.4 r8.4 r12.4 ");
    check_uint("borders: bulk data", bytes[0x16], 0x77);
    check_int("borders: ROM reads", lunik_space_read(m->memory_space, 0x2000, bytes, 8), 0);
    check_int("borders: ROM keeps", lunik_space_write(m->memory_space, 0x2000, "x", 1),
              LUNIK_E_ACCESS);
    check_uint("borders: ROM kept", rom->host[0], 0);
    check_int("borders: refused", lunik_space_load(m->memory_space, 0x3000, 2, &value),
              LUNIK_E_DEVICE);
    check_uint("borders: refused reads ones", value, 0xffff);
    check_int("borders: no write function", lunik_space_store(m->memory_space, 0x3000, 2, 1),
              LUNIK_E_ACCESS);
    check_int("borders: reserved", lunik_space_load(m->memory_space, 0x4000, 4, &value), 0);
    check_uint("borders: reserved reads ones", value, 0xffffffff);
    check_int("borders: past the end",
              lunik_space_read(m->memory_space, UINT64_MAX - 3, bytes, sizeof(bytes)),
              LUNIK_E_ACCESS);
    check_int("borders: size 3", lunik_space_load(m->memory_space, 0, 3, &value), LUNIK_E_INVALID);
    drop(ram);
    drop(io);
    drop(rom);
    drop(bad);
    drop(claimed);
}

static void test_rom_device(void)
{
    lunik_region *flash = new_ram_region("flash", LUNIK_REGION_ROM_DEVICE, 0x1000, &plain_ops);
    uint64_t value, size = 4;
    uint8_t *host;

    add(lunik_space_root(m->memory_space), 0x1000, flash, 0);
    memcpy(flash->host, "\x11\x22\x33\x44", 4);
    memset(device_bytes, 0x99, sizeof(device_bytes));
    clear(&calls);
    lunik_space_load(m->memory_space, 0x1000, 4, &value);
    check_uint("rom-device: reads RAM", value, 0x44332211);
    lunik_space_store(m->memory_space, 0x1000, 1, 0x40);
    check_transcript("rom-device: writes go to the device", &calls, "w0.1=40 ");
    clear(&calls);
    host = lunik_space_map(m->memory_space, 0x1000, &size, true);
    memcpy(host, "\1\2\3\4", 4);
    lunik_space_unmap(m->memory_space, host, size, true, size);
    check_transcript("rom-device: those of a mapping, too", &calls, "w0.4=4030201 ");
    check_uint("rom-device: RAM is as before", flash->host[0], 0x11);
    must("romd", lunik_region_set_romd(flash, false, &err));
    memset(device_bytes, 0x99, sizeof(device_bytes));
    lunik_space_load(m->memory_space, 0x1004, 1, &value);
    check_uint("rom-device: outside romd mode reads go there, too", value, 0x99);
    drop(flash);
}

static lunik_region *suicide;
static lunik_access die(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    drop(suicide);
    return LUNIK_ACCESS_OK;
}

static lunik_access recurse(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    note(&calls, ".");
    return lunik_space_store(m->memory_space, 0x1000, 1, value) ? LUNIK_ACCESS_DEVICE
                                                                : LUNIK_ACCESS_OK;
}

static void test_readonly_ram(void)
{
    lunik_ram_config ram_config = {.name = "fixed", .size = 0x1000, .fd = -1, .readonly = true};
    lunik_region_config config = {.kind = LUNIK_REGION_RAM, .name = "fixed"};
    lunik_region *r;

    must("ram", lunik_ram_new(&ram_config, &config.ram, &err));
    must("region", lunik_region_new(m, &config, &r, &err));
    lunik_ram_unref(config.ram);
    add(lunik_space_root(m->memory_space), 0x1000, r, 0);
    check_true("readonly RAM: its region is, too", lunik_region_readonly(r));
    check_int("readonly RAM: and stays so", lunik_region_set_readonly(r, false, &err),
              LUNIK_E_INVALID);
    check_contains("readonly RAM: why", err.message, "its RAM 'fixed' can't be written");
    check_int("readonly RAM: no writing", lunik_space_store(m->memory_space, 0x1000, 4, 1),
              LUNIK_E_ACCESS);
    drop(r);
}

/* A write to a part of a wider register reads the rest first. */
static void test_refused_half(void)
{
    static const lunik_io_ops ops = {
        .read = refuse_read, .write = device_write, .impl = {.min = 4, .max = 4}};
    lunik_region *r = add(lunik_space_root(m->memory_space), 0x1000,
                          new_region("half", LUNIK_REGION_IO, 4, &ops), 0);

    clear(&calls);
    check_int("dispatch: half a register whose reading is refused",
              lunik_space_store(m->memory_space, 0x1000, 2, 0x55), LUNIK_E_DEVICE);
    check_transcript("dispatch: is not written", &calls, "");
    drop(r);
}

static unsigned peeked;

static lunik_access some_peek(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    peeked++;
    *value = 0x44332211;
    return LUNIK_ACCESS_OK;
}

/* Or peeked at, which has no side effects. */
static void test_peek(void)
{
    static const lunik_io_ops ops = {.read = device_read,
                                     .write = device_write,
                                     .peek = some_peek,
                                     .valid = {1, 4, true},
                                     .impl = {.min = 4, .max = 4}};
    lunik_region *r = add(lunik_space_root(m->memory_space), 0x1000,
                          new_region("peeked", LUNIK_REGION_IO, 8, &ops), 0);

    peeked = 0;
    clear(&calls);
    check_int("peek: a narrow write", lunik_space_store(m->memory_space, 0x1001, 1, 0xaa), 0);
    check_transcript("peek: reads nothing", &calls, "w0.4=4433aa11 ");
    clear(&calls);
    lunik_space_store(m->memory_space, 0x1002, 4, 0xddccbbaa);
    check_transcript("peek: nor does one over two words", &calls, "w0.4=bbaa2211 w4.4=4433ddcc ");
    check_uint("peek: it is called once a word", peeked, 3);
    lunik_space_store(m->memory_space, 0x1004, 4, 0);
    check_uint("peek: not for whole words", peeked, 3);
    clear(&calls);
    uint64_t value;
    lunik_space_load(m->memory_space, 0x1001, 1, &value);
    check_transcript("peek: reads read", &calls, "r0.4 ");
    check_uint("peek: and don't peek", peeked, 3);
    drop(r);
}

static lunik_region *rejecting;
static void drop_rejecting(void *opaque, const lunik_rejection *r)
{
    drop(rejecting);
    check_string("rejection: the region is there while observers are called",
                 lunik_region_name(r->region), "rejecting");
}

static lunik_reject_sub dropping = {.fn = drop_rejecting};

static void test_rejected_last(void)
{
    static const lunik_io_ops readable = {.read = device_read};

    rejecting = add(lunik_space_root(m->memory_space), 0x1000,
                    new_region("rejecting", LUNIK_REGION_IO, 4, &readable), 0);
    lunik_reject_subscribe(m, &dropping);
    check_int("rejection: an observer may take the region away",
              lunik_space_store(m->memory_space, 0x1000, 4, 1), LUNIK_E_ACCESS);
    lunik_reject_unsubscribe(&dropping);
    check_uint("rejection: nothing is there then", view_root_current(m->memory_space->vr)->count,
               0);
}

static void test_callbacks(void)
{
    static const lunik_io_ops dying = {.write = die}, recursing = {.write = recurse};
    lunik_region *loop;

    suicide = add(lunik_space_root(m->memory_space), 0x1000,
                  new_region("suicide", LUNIK_REGION_IO, 4, &dying), 0);
    check_int("callbacks: a device may take its region away",
              lunik_space_store(m->memory_space, 0x1000, 4, 1), 0);
    check_int("callbacks: and it is gone", lunik_space_store(m->memory_space, 0x1000, 4, 1),
              LUNIK_E_ACCESS);
    loop = add(lunik_space_root(m->memory_space), 0x1000,
               new_region("loop", LUNIK_REGION_IO, 4, &recursing), 0);
    clear(&calls);
    check_int("callbacks: endless DMA to itself ends",
              lunik_space_store(m->memory_space, 0x1000, 1, 1), LUNIK_E_DEVICE);
    check_true("callbacks: soon", strlen(calls.text) > 1 && strlen(calls.text) < 100);
    drop(loop);
}

static void test_map(void)
{
    lunik_region *root = lunik_space_root(m->memory_space);
    lunik_region *ram =
        add(root, 0x10000, new_ram_region("ram", LUNIK_REGION_RAM, 0x2000, NULL), 0);
    lunik_region *io = add(root, 0x12000, new_region("io", LUNIK_REGION_IO, 0x10, &plain_ops), 0);
    lunik_region *large =
        add(root, 0x30000, new_region("large", LUNIK_REGION_IO, 0x1000, &plain_ops), 0);
    lunik_region *rom =
        add(root, 0x20000, new_ram_region("rom", LUNIK_REGION_ROM, 0x1000, NULL), 0);
    uint64_t size = 0x5000, page = 0x1000;
    void *buffers[300];
    unsigned count;
    uint8_t *p = lunik_space_map(m->memory_space, 0x11000, &size, true), *bounce;

    check_true("map: RAM itself", p == ram->host + 0x1000);
    check_uint("map: up to its end", size, 0x1000);
    drop(ram);
    lunik_run(rt, LUNIK_RUN_NOWAIT);
    memset(p, 0x5a, size); /* its region is gone, its memory is not */
    lunik_space_unmap(m->memory_space, p, size, true, size);
    size = 0x100;
    memset(device_bytes, 0x33, sizeof(device_bytes));
    bounce = lunik_space_map(m->memory_space, 0x12008, &size, true);
    check_uint("map: a device through a buffer", bounce ? size : 0, 8);
    clear(&calls);
    memcpy(bounce, "\1\2\3\4\5\6\7\10", 8);
    lunik_space_unmap(m->memory_space, bounce, size, true, 6);
    check_transcript("map: written when unmapped", &calls, "w8.4=4030201 w12.2=605 ");
    size = 4;
    bounce = lunik_space_map(m->memory_space, 0x12008, &size, false);
    check_true("map: read when mapped", bounce && !memcmp(bounce, "\1\2\3\4", 4));
    lunik_space_unmap(m->memory_space, bounce, size, false, size);
    size = 1;
    for (unsigned i = 0; i < 300; i++) { /* more than all buffers together may hold */
        bounce = lunik_space_map(m->memory_space, 0x30000, &page, true);
        lunik_space_unmap(m->memory_space, bounce, page, true, 0);
    }
    check_true("map: buffers are given back", bounce != NULL);
    for (count = 0; count < 300; count++) {
        page = 0x1000;
        buffers[count] = lunik_space_map(m->memory_space, 0x30000, &page, true);
        if (!buffers[count])
            break;
    }
    check_uint("map: they are limited", count, 256);
    while (count)
        lunik_space_unmap(m->memory_space, buffers[--count], page, true, 0);
    check_true("map: no writing to ROM", !lunik_space_map(m->memory_space, 0x20000, &size, true));
    check_true("map: nothing", !lunik_space_map(m->memory_space, 0x90000, &size, true));
    drop(io);
    drop(large);
    drop(rom);
}

int main(void)
{
    new_runtime();
    new_machine(LUNIK_ACCEL_NONE);
    test_dispatch();
    test_borders();
    test_rom_device();
    test_readonly_ram();
    test_refused_half();
    test_peek();
    test_rejected_last();
    test_callbacks();
    test_map();
    lunik_runtime_free(rt);
    return check_result();
}
