/* test_memory.c: regions, flat views, dispatch, listeners and transactions by example. */
#include <stdlib.h>
#include <time.h>

#include "check.h"
#include "memory/memory.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static lunik_runtime *rt;
static lunik_machine *m;
static lunik_error err;

static void must(const char *what, int rc)
{
    if (rc) {
        printf("not ok %s: %s\n", what, err.message);
        exit(1);
    }
}

static void setup(void)
{
    static const lunik_type *const no_types[] = {NULL};
    static const lunik_machine_config config = {
        .name = "test", .accel = LUNIK_ACCEL_NONE, .cpus = 1};

    must("runtime", lunik_runtime_new(no_types, &rt, &err));
    must("machine", lunik_machine_new(rt, &config, &m, &err));
}

/* ---- devices that remember ------------------------------------------------------------------ */

static char calls[2048]; /* "r OFFSET SIZE;" and "w OFFSET SIZE VALUE;" of callbacks */
static uint8_t device_bytes[64];

static void note(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void note(const char *format, ...)
{
    size_t used = strlen(calls);
    va_list args;

    va_start(args, format);
    vsnprintf(calls + used, sizeof(calls) - used, format, args);
    va_end(args);
}

static lunik_access device_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    const lunik_io_ops *ops = opaque;

    note("r%" PRIu64 ".%u ", offset, size);
    for (unsigned i = 0; i < size; i++) {
        unsigned shift = ops->endian == LUNIK_BIG_ENDIAN ? 8 * (size - 1 - i) : 8 * i;

        *value |= (uint64_t)device_bytes[(offset + i) % sizeof(device_bytes)] << shift;
    }
    return LUNIK_ACCESS_OK;
}

static lunik_access device_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    const lunik_io_ops *ops = opaque;

    note("w%" PRIu64 ".%u=%" PRIx64 " ", offset, size, value);
    for (unsigned i = 0; i < size; i++) {
        unsigned shift = ops->endian == LUNIK_BIG_ENDIAN ? 8 * (size - 1 - i) : 8 * i;

        device_bytes[(offset + i) % sizeof(device_bytes)] = (uint8_t)(value >> shift);
    }
    return LUNIK_ACCESS_OK;
}

static lunik_access refuse_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    *value = 0x1234;
    return LUNIK_ACCESS_DEVICE;
}

static const lunik_io_ops plain_ops = {.read = device_read, .write = device_write};

static lunik_region *new_region(const char *name, lunik_region_kind kind, uint64_t size,
                                const lunik_io_ops *ops)
{
    lunik_region_config config = {
        .kind = kind, .name = name, .size = size, .ops = ops, .opaque = (void *)(uintptr_t)ops};
    lunik_region *r = NULL;

    must(name, lunik_region_new(m, &config, &r, &err));
    return r;
}

static lunik_region *new_alias(const char *name, lunik_region *target, uint64_t offset,
                               uint64_t size)
{
    lunik_region_config config = {
        .kind = LUNIK_REGION_ALIAS, .name = name, .size = size, .target = target, .offset = offset};
    lunik_region *r = NULL;

    must(name, lunik_region_new(m, &config, &r, &err));
    return r;
}

static lunik_region *new_ram(const char *name, lunik_region_kind kind, uint64_t size,
                             const lunik_io_ops *ops)
{
    lunik_ram_config ram_config = {.name = name, .size = size, .fd = -1};
    lunik_region_config config = {
        .kind = kind, .name = name, .ops = ops, .opaque = (void *)(uintptr_t)ops};
    lunik_region *r = NULL;

    must(name, lunik_ram_new(&ram_config, &config.ram, &err));
    must(name, lunik_region_new(m, &config, &r, &err));
    lunik_ram_unref(config.ram);
    return r;
}

static lunik_region *add(lunik_region *parent, uint64_t offset, lunik_region *child, int priority)
{
    must(child->name, lunik_region_add(parent, offset, child, priority, true, &err));
    return child;
}

static void drop(lunik_region *r)
{
    must(r->name, lunik_region_del(r, &err));
    lunik_region_unref(r);
}

/* "NAME FIRST-LAST" of every range, with @OFFSET and flags where there are any. */
static const char *shown(lunik_space *s)
{
    static char text[4096];
    struct view_cursor c = view_seek(view_root_current(s->vr), 0);
    char *p = text;

    *p = 0;
    for (const struct flat_range *r; (r = cursor_range(&c)); cursor_next(&c)) {
        p += sprintf(p, "%s%s %" PRIx64 "-%" PRIx64, p == text ? "" : ", ", r->region->name,
                     r->span.first, r->span.last);
        if (r->offset)
            p += sprintf(p, "@%" PRIx64, r->offset);
        if (r->flags & RANGE_READONLY)
            p += sprintf(p, " ro");
    }
    return text;
}

/* ---- the picture ---------------------------------------------------------------------------- */

/* The overlap example of QEMU's memory API documentation. */
static void test_documented_overlap(void)
{
    static const lunik_region_kind kinds[] = {LUNIK_REGION_CONTAINER, LUNIK_REGION_IO};
    static const char *const want[] = {
        "C 0-1fff, D 2000-2fff, C 3000-3fff@3000, E 4000-4fff, C 5000-5fff@5000",
        "C 0-1fff, D 2000-2fff, B 3000-3fff@1000, E 4000-4fff, B 5000-5fff@3000",
    };

    for (unsigned i = 0; i < 2; i++) {
        lunik_region *a = new_region("A", LUNIK_REGION_CONTAINER, 0x8000, NULL);
        lunik_region *b = new_region("B", kinds[i], 0x4000, i ? &plain_ops : NULL);
        lunik_region *c = new_region("C", LUNIK_REGION_IO, 0x6000, &plain_ops);
        lunik_region *d = new_region("D", LUNIK_REGION_IO, 0x1000, &plain_ops);
        lunik_region *e = new_region("E", LUNIK_REGION_IO, 0x1000, &plain_ops);
        lunik_space *s;

        must("space", lunik_space_new(m, "picture", a, &s, &err));
        add(a, 0x2000, b, 2);
        add(a, 0, c, 1);
        add(b, 0, d, 0);
        add(b, 0x2000, e, 0);
        check_string(i ? "overlap: B with ops has no holes" : "overlap: B's holes show C", shown(s),
                     want[i]);
        drop(d);
        drop(e);
        drop(b);
        drop(c);
        check_string("overlap: nothing is left", shown(s), "");
        lunik_space_free(s);
        lunik_region_unref(a);
    }
}

/* The simplified PC memory map of the same document, with 64-bit corners. */
static void test_pc_map(void)
{
    lunik_region *ram = new_region("ram", LUNIK_REGION_RESERVED, 0x100000000, NULL);
    lunik_region *pci = new_region("pci", LUNIK_REGION_CONTAINER, 0x100000000, NULL);
    lunik_region *vram = new_region("vram", LUNIK_REGION_IO, 0x1000000, &plain_ops);
    lunik_region *vga = new_region("vga-area", LUNIK_REGION_CONTAINER, 0x20000, NULL);
    lunik_region *bank0 = new_alias("bank0", vram, 0x10000, 0x8000);
    lunik_region *bank1 = new_alias("bank1", vram, 0x20000, 0x8000);
    lunik_region *system = new_region("system", LUNIK_REGION_CONTAINER, LUNIK_SIZE_MAX, NULL);
    lunik_region *lomem = new_alias("lomem", ram, 0, 0xe0000000);
    lunik_region *himem = new_alias("himem", ram, 0xe0000000, 0x20000000);
    lunik_region *window = new_alias("vga-window", pci, 0xa0000, 0x20000);
    lunik_region *hole = new_alias("pci-hole", pci, 0xe0000000, 0x20000000);
    lunik_space *s;

    must("space", lunik_space_new(m, "pc", system, &s, &err));
    add(system, 0, lomem, 0);
    add(system, 0x100000000, himem, 0);
    add(system, 0xa0000, window, 1);
    add(system, 0xe0000000, hole, 0);
    add(pci, 0xa0000, vga, 0);
    add(pci, 0xe1000000, vram, 0);
    add(vga, 0, bank0, 0);
    add(vga, 0x8000, bank1, 0);
    check_string("pc: banks, holes and high memory", shown(s),
                 "ram 0-9ffff, vram a0000-a7fff@10000, vram a8000-affff@20000, "
                 "ram b0000-dfffffff@b0000, vram e1000000-e1ffffff, "
                 "ram 100000000-11fffffff@e0000000");
    must("move", lunik_region_set_offset(vram, 0x80000000, &err));
    must("bank", lunik_region_set_alias_offset(bank1, 0x18000, &err));
    check_string("pc: a BAR outside the hole does not show, adjoining banks are one", shown(s),
                 "ram 0-9ffff, vram a0000-affff@10000, ram b0000-dfffffff@b0000, "
                 "ram 100000000-11fffffff@e0000000");
    must("window", lunik_region_set_enabled(window, false, &err));
    check_string("pc: RAM reappears below a disabled window", shown(s),
                 "ram 0-dfffffff, ram 100000000-11fffffff@e0000000");
    lunik_space_free(s);
    lunik_region_unref(system);
    drop(vga);
    drop(vram);
    lunik_region *all[] = {ram, pci, bank0, bank1, lomem, himem, window, hole};
    for (size_t i = 0; i < COUNT(all); i++)
        lunik_region_unref(all[i]);
}

static void test_edges(void)
{
    lunik_region *root = new_region("root", LUNIK_REGION_CONTAINER, LUNIK_SIZE_MAX, NULL);
    lunik_region *all = new_region("all", LUNIK_REGION_IO, LUNIK_SIZE_MAX, &plain_ops);
    lunik_region *top = new_region("top", LUNIK_REGION_IO, 0x2000, &plain_ops);
    lunik_region *middle = new_alias("middle", all, UINT64_MAX - 0xfff, 0x4000);
    lunik_space *s;
    lunik_section section;

    must("space", lunik_space_new(m, "edges", root, &s, &err));
    add(root, 0, all, -1);
    check_string("edges: 2^64 bytes", shown(s), "all 0-ffffffffffffffff");
    check_true("edges: find", lunik_space_find(s, UINT64_MAX, &section));
    check_uint("edges: size of everything", section.size, LUNIK_SIZE_MAX);
    add(root, UINT64_MAX - 0xfff, top, 0);
    check_string("edges: a child is cut off at the end", shown(s),
                 "all 0-ffffffffffffefff, top fffffffffffff000-ffffffffffffffff");
    add(root, 0x1000, middle, 0);
    check_string("edges: an alias beyond its target's end", shown(s),
                 "all 0-fff, all 1000-1fff@fffffffffffff000, all 2000-ffffffffffffefff@2000, "
                 "top fffffffffffff000-ffffffffffffffff");
    must("readonly", lunik_region_set_readonly(root, true, &err));
    must("alias", lunik_region_set_alias_offset(middle, 0x1000, &err));
    must("size", lunik_region_set_size(middle, 0x1000, &err));
    must("off", lunik_region_set_enabled(top, false, &err));
    check_string("edges: an alias in its target's place is seamless", shown(s),
                 "all 0-ffffffffffffffff ro");
    drop(middle);
    drop(top);
    drop(all);
    lunik_space_free(s);
    lunik_region_unref(root);
}

static void test_errors(void)
{
    lunik_region *root = new_region("root", LUNIK_REGION_CONTAINER, 0x10000, NULL);
    lunik_region *a = new_region("a", LUNIK_REGION_CONTAINER, 0x1000, NULL);
    lunik_region *b = new_region("b", LUNIK_REGION_CONTAINER, 0x1000, NULL);
    lunik_region *alias = new_alias("alias", root, 0, 0x10000);
    lunik_region_config config = {.kind = LUNIK_REGION_CONTAINER, .name = "empty"};
    lunik_ram_config ram_config = {.name = "small", .size = 0x1000, .fd = -1};
    lunik_io_ops odd = {.read = device_read, .valid = {.min = 3}};
    lunik_region *none = NULL;
    lunik_ram *ram;

    check_int("errors: size 0", lunik_region_new(m, &config, &none, &err), LUNIK_E_INVALID);
    config = (lunik_region_config){.kind = LUNIK_REGION_IO, .name = "odd", .size = 1, .ops = &odd};
    check_int("errors: access sizes", lunik_region_new(m, &config, &none, &err), LUNIK_E_INVALID);
    check_contains("errors: access sizes, text", err.message, "want 1, 2, 4 or 8");
    must("ram", lunik_ram_new(&ram_config, &ram, &err));
    config =
        (lunik_region_config){.kind = LUNIK_REGION_RAM, .name = "big", .size = 0x2000, .ram = ram};
    check_int("errors: more than the RAM", lunik_region_new(m, &config, &none, &err),
              LUNIK_E_INVALID);
    check_uint("errors: which is nobody's then", ram->refs, 1);
    lunik_ram_unref(ram);
    must("plain", lunik_region_add(root, 0x2000, a, 0, false, &err));
    check_int("errors: overlap", lunik_region_add(root, 0x2fff, b, 0, false, &err), LUNIK_E_EXISTS);
    check_contains("errors: overlap, text", err.message, "'0x2fff' is taken in 'root': 'a'");
    must("to overlap", lunik_region_del(a, &err));
    must("to overlap", lunik_region_add(root, 0x2000, a, 0, true, &err));
    check_int("errors: what may overlap is not covered silently",
              lunik_region_add(root, 0x2fff, b, 0, false, &err), LUNIK_E_EXISTS);
    must("hidden", lunik_region_set_enabled(a, false, &err));
    must("over what is disabled", lunik_region_add(root, 0x2fff, b, 0, false, &err));
    must("no more", lunik_region_del(b, &err));
    must("shown", lunik_region_set_enabled(a, true, &err));
    check_int("errors: other priority", lunik_region_add(root, 0x2fff, b, 1, false, &err), 0);
    check_int("errors: twice", lunik_region_add(root, 0, b, 1, false, &err), LUNIK_E_BUSY);
    check_int("errors: an alias of what is above", lunik_region_add(a, 0, alias, 0, true, &err),
              LUNIK_E_INVALID);
    check_int("errors: itself", lunik_region_add(b, 0, root, 0, true, &err), LUNIK_E_INVALID);
    check_contains("errors: itself, text", err.message, "would contain itself");
    drop(a);
    drop(b);
    lunik_region_unref(alias);
    lunik_region_unref(root);
}

/* The I/O space ends at port 0xffff, and so must what is in it. */
static void test_ports(void)
{
    lunik_region *root = lunik_space_root(lunik_machine_io(m));
    lunik_region *r = new_region("ports", LUNIK_REGION_IO, 4, &plain_ops);

    check_int("ports: beyond", lunik_region_add(root, 0x10000, r, 0, true, &err), LUNIK_E_INVALID);
    check_int("ports: the last is missing", lunik_region_add(root, 0xfffd, r, 0, true, &err),
              LUNIK_E_INVALID);
    check_string(
        "ports: text", err.message,
        "memory region 'ports': 0xfffd-0x10000 is beyond the I/O ports (want 0 to 0xffff)");
    must("ports: all there", lunik_region_add(root, 0xfffc, r, 0, false, &err));
    check_int("ports: moved", lunik_region_set_offset(r, UINT64_MAX, &err), LUNIK_E_INVALID);
    check_int("ports: grown", lunik_region_set_size(r, 8, &err), LUNIK_E_INVALID);
    check_uint("ports: stay", lunik_region_offset(r) + lunik_region_size(r), 0x10000);
    drop(r);
}

static void test_depth(void)
{
    lunik_region *root = new_region("root", LUNIK_REGION_CONTAINER, 0x1000, NULL);
    lunik_region *levels[MEMORY_MAX_DEPTH + 2];
    lunik_space *s;
    int rc = 0;
    size_t n = 0;

    must("space", lunik_space_new(m, "deep", root, &s, &err));
    for (lunik_region *at = root; !rc && n < COUNT(levels); at = levels[n++]) {
        levels[n] = new_region("level", LUNIK_REGION_CONTAINER, 0x1000, NULL);
        rc = lunik_region_add(at, 0, levels[n], 0, true, &err);
    }
    check_int("depth: downwards", rc, LUNIK_E_INVALID);
    check_uint("depth: levels", n, MEMORY_MAX_DEPTH);
    while (n)
        drop(levels[--n]);
    lunik_region *top = new_region("io", LUNIK_REGION_IO, 0x1000, &plain_ops);
    for (n = 0; n < COUNT(levels); n++) {
        levels[n] = new_region("level", LUNIK_REGION_CONTAINER, 0x1000, NULL);
        must("level", lunik_region_add(levels[n], 0, top, 0, true, &err));
        lunik_region_unref(top);
        top = levels[n];
    }
    check_int("depth: upwards", lunik_region_add(root, 0, top, 0, true, &err), LUNIK_E_INVALID);
    check_true("depth: taken back", !lunik_region_parent(top));
    lunik_region_unref(top);
    lunik_space_free(s);
    lunik_region_unref(root);
}

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
        *calls = 0;
        rc = c->write ? lunik_space_store(m->memory_space, 0x1000 + c->offset, c->size, value)
                      : lunik_space_load(m->memory_space, 0x1000 + c->offset, c->size, &value);
        snprintf(name, sizeof(name), "dispatch: %s: calls", c->name);
        check_string(name, calls, c->calls);
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

static void test_borders(void)
{
    static const lunik_io_ops refusing = {.read = refuse_read};
    static const lunik_io_ops narrow_ops = {.write = device_write, .valid = {.max = 2}};
    lunik_region *root = lunik_space_root(m->memory_space);
    lunik_region *narrow = new_region("narrow", LUNIK_REGION_IO, 0x10, &narrow_ops);
    lunik_region *ram = new_ram("ram", LUNIK_REGION_RAM, 0x1000, NULL);
    lunik_region *io = new_region("io", LUNIK_REGION_IO, 0x10, &plain_ops);
    lunik_region *bad = new_region("bad", LUNIK_REGION_IO, 0x10, &refusing);
    lunik_region *rom = new_ram("rom", LUNIK_REGION_ROM, 0x1000, NULL);
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
    *calls = 0;
    check_int("borders: store", lunik_space_store(m->memory_space, 0xffc, 8, 0x8877665544332211),
              0);
    check_string("borders: the device gets its part", calls, "w0.4=88776655 ");
    check_uint("borders: RAM has its part", *(uint32_t *)(ram->host + 0xffc), 0x44332211);
    check_int("borders: load", lunik_space_load(m->memory_space, 0xffe, 4, &value), 0);
    check_uint("borders: load joins them", value, 0x66554433);
    add(root, 0x1010, narrow, 0);
    *calls = 0;
    check_int("borders: from one device", lunik_space_store(m->memory_space, 0x100c, 8, 0x55), 0);
    check_string("borders: into one that takes less at once", calls, "w12.4=55 w0.2=0 w2.2=0 ");
    drop(narrow);
    memset(device_bytes, 0x77, sizeof(device_bytes));
    lunik_space_get_stats(m->memory_space, &before);
    check_int("borders: into nothing", lunik_space_load(m->memory_space, 0x100c, 8, &value),
              LUNIK_E_ACCESS);
    check_uint("borders: ones where nothing is", value, 0xffffffff77777777);
    lunik_space_get_stats(m->memory_space, &stats);
    check_uint("borders: counted", stats.unassigned, before.unassigned + 1);
    check_uint("borders: counted, too", stats.rejected, before.rejected + 1);
    *calls = 0;
    memset(bytes, 0, sizeof(bytes));
    check_int("borders: bulk read", lunik_space_read(m->memory_space, 0xff9, bytes, 0x17), 0);
    check_string("borders: bulk is cut to suit the device", calls, "r0.4 r4.4 r8.4 r12.4 ");
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
    lunik_region *flash = new_ram("flash", LUNIK_REGION_ROM_DEVICE, 0x1000, &plain_ops);
    uint64_t value, size = 4;
    uint8_t *host;

    add(lunik_space_root(m->memory_space), 0x1000, flash, 0);
    memcpy(flash->host, "\x11\x22\x33\x44", 4);
    memset(device_bytes, 0x99, sizeof(device_bytes));
    *calls = 0;
    lunik_space_load(m->memory_space, 0x1000, 4, &value);
    check_uint("rom-device: reads RAM", value, 0x44332211);
    lunik_space_store(m->memory_space, 0x1000, 1, 0x40);
    check_string("rom-device: writes go to the device", calls, "w0.1=40 ");
    *calls = 0;
    host = lunik_space_map(m->memory_space, 0x1000, &size, true);
    memcpy(host, "\1\2\3\4", 4);
    lunik_space_unmap(m->memory_space, host, size, true, size);
    check_string("rom-device: those of a mapping, too", calls, "w0.4=4030201 ");
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
    note(".");
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

/* What a write keeps of a wider register has to be read first. */
static void test_refused_half(void)
{
    static const lunik_io_ops ops = {
        .read = refuse_read, .write = device_write, .impl = {.min = 4, .max = 4}};
    lunik_region *r = add(lunik_space_root(m->memory_space), 0x1000,
                          new_region("half", LUNIK_REGION_IO, 4, &ops), 0);

    *calls = 0;
    check_int("dispatch: half a register whose reading is refused",
              lunik_space_store(m->memory_space, 0x1000, 2, 0x55), LUNIK_E_DEVICE);
    check_string("dispatch: is not written", calls, "");
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
    *calls = 0;
    check_int("peek: a narrow write", lunik_space_store(m->memory_space, 0x1001, 1, 0xaa), 0);
    check_string("peek: reads nothing", calls, "w0.4=4433aa11 ");
    *calls = 0;
    lunik_space_store(m->memory_space, 0x1002, 4, 0xddccbbaa);
    check_string("peek: nor does one over two words", calls, "w0.4=bbaa2211 w4.4=4433ddcc ");
    check_uint("peek: it is called once a word", peeked, 3);
    lunik_space_store(m->memory_space, 0x1004, 4, 0);
    check_uint("peek: not for whole words", peeked, 3);
    *calls = 0;
    uint64_t value;
    lunik_space_load(m->memory_space, 0x1001, 1, &value);
    check_string("peek: reads read", calls, "r0.4 ");
    check_uint("peek: and don't peek", peeked, 3);
    drop(r);
}

static lunik_region *rejecting;
static void drop_rejecting(void *opaque, const lunik_rejection *r)
{
    drop(rejecting);
    check_string("rejection: the region is there while it is told", lunik_region_name(r->region),
                 "rejecting");
}

static lunik_reject_sub dropping = {.fn = drop_rejecting};

static void test_rejected_last(void)
{
    static const lunik_io_ops readable = {.read = device_read};

    rejecting = add(lunik_space_root(m->memory_space), 0x1000,
                    new_region("rejecting", LUNIK_REGION_IO, 4, &readable), 0);
    lunik_reject_subscribe(m, &dropping);
    check_int("rejection: who is told may take the region away",
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
    *calls = 0;
    check_int("callbacks: endless DMA to itself ends",
              lunik_space_store(m->memory_space, 0x1000, 1, 1), LUNIK_E_DEVICE);
    check_true("callbacks: soon", strlen(calls) > 1 && strlen(calls) < 100);
    drop(loop);
}

static void test_map(void)
{
    lunik_region *root = lunik_space_root(m->memory_space);
    lunik_region *ram = add(root, 0x10000, new_ram("ram", LUNIK_REGION_RAM, 0x2000, NULL), 0);
    lunik_region *io = add(root, 0x12000, new_region("io", LUNIK_REGION_IO, 0x10, &plain_ops), 0);
    lunik_region *large =
        add(root, 0x30000, new_region("large", LUNIK_REGION_IO, 0x1000, &plain_ops), 0);
    lunik_region *rom = add(root, 0x20000, new_ram("rom", LUNIK_REGION_ROM, 0x1000, NULL), 0);
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
    *calls = 0;
    memcpy(bounce, "\1\2\3\4\5\6\7\10", 8);
    lunik_space_unmap(m->memory_space, bounce, size, true, 6);
    check_string("map: written when unmapped", calls, "w8.4=4030201 w12.2=605 ");
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

/* ---- listeners ------------------------------------------------------------------------------ */

struct recorder {
    lunik_listener listener;
    char tag;
    int refuse; /* fails that many commits */
};

static char heard[4096];

static void hear(lunik_listener *l, const char *what, const lunik_section *s)
{
    struct recorder *r = lunik_container_of(l, struct recorder, listener);
    size_t used = strlen(heard);

    if (s)
        snprintf(heard + used, sizeof(heard) - used, "%c%s %s@%" PRIx64 " ", r->tag, what,
                 s->region->name, s->address);
    else
        snprintf(heard + used, sizeof(heard) - used, "%c%s ", r->tag, what);
}

static void hear_begin(lunik_listener *l)
{
    hear(l, "[", NULL);
}
static void hear_add(lunik_listener *l, const lunik_section *s)
{
    hear(l, "+", s);
}
static void hear_del(lunik_listener *l, const lunik_section *s)
{
    hear(l, "-", s);
}
static void hear_nop(lunik_listener *l, const lunik_section *s)
{
    hear(l, "=", s);
}
static int hear_commit(lunik_listener *l, lunik_error *e)
{
    struct recorder *r = lunik_container_of(l, struct recorder, listener);

    hear(l, "]", NULL);
    if (r->refuse > 0 && r->refuse--)
        return lunik_fail(e, LUNIK_E_NO_SPACE, "no room for that");
    return 0;
}

static struct recorder recorder(char tag, int priority, lunik_space *s)
{
    return (struct recorder){.tag = tag,
                             .listener = {.name = "recorder",
                                          .priority = priority,
                                          .space = s,
                                          .begin = hear_begin,
                                          .region_add = hear_add,
                                          .region_del = hear_del,
                                          .region_nop = hear_nop,
                                          .commit = hear_commit}};
}

static void check_heard(const char *name, const char *want)
{
    check_string(name, heard, want);
    *heard = 0;
}

static void test_listeners(void)
{
    lunik_region *root = new_region("root", LUNIK_REGION_CONTAINER, 0x10000, NULL);
    lunik_region *a = new_region("a", LUNIK_REGION_IO, 0x1000, &plain_ops);
    lunik_region *b = new_region("b", LUNIK_REGION_IO, 0x1000, &plain_ops);
    lunik_region *c = new_region("c", LUNIK_REGION_IO, 0x1000, &plain_ops);
    struct recorder low, high, all, late;
    lunik_space *s, *twin;

    must("space", lunik_space_new(m, "one", root, &s, &err));
    low = recorder('L', 1, s);
    high = recorder('H', 2, s);
    add(root, 0, a, 0);
    add(root, 0x1000, b, 0);
    *heard = 0;
    must("listener", lunik_listener_add(m, &high.listener, &err));
    must("listener", lunik_listener_add(m, &low.listener, &err));
    check_heard("listeners: late registration replays",
                "H[ H+ a@0 H+ b@1000 H] L[ L+ a@0 L+ b@1000 L] ");
    lunik_transaction_begin(m);
    add(root, 0x800, c, 1);
    must("off", lunik_region_set_enabled(a, false, &err));
    lunik_transaction_begin(m);
    must("move", lunik_region_set_offset(b, 0x3000, &err));
    must("commit", lunik_transaction_commit(m, &err));
    check_heard("listeners: nothing before the outermost commit", "");
    must("commit", lunik_transaction_commit(m, &err));
    check_heard("listeners: order", "L[ H[ H- a@0 L- a@0 H- b@1000 L- b@1000 "
                                    "L+ c@800 H+ c@800 L+ b@3000 H+ b@3000 L] H] ");
    must("on", lunik_region_set_enabled(a, true, &err));
    check_heard("listeners: an unchanged neighbour",
                "L[ H[ L+ a@0 H+ a@0 L= c@800 H= c@800 L] H] ");
    lunik_transaction_begin(m);
    must("off", lunik_region_set_enabled(a, false, &err));
    must("on", lunik_region_set_enabled(a, true, &err));
    must("commit", lunik_transaction_commit(m, &err));
    must("hidden", lunik_region_set_priority(a, -3, &err));
    check_heard("listeners: no difference, no calls", "");
    all = recorder('A', 0, NULL);
    must("listener", lunik_listener_add(m, &all.listener, &err));
    *heard = 0;
    must("space", lunik_space_new(m, "two", root, &twin, &err));
    check_true("listeners: a space with the same root shares its view", twin->vr == s->vr);
    check_heard("listeners: a new space", "A[ L[ H[ A+ a@0 A+ c@800 A+ b@3000 A] L] H] ");
    must("del", lunik_region_del(b, &err));
    check_heard("listeners: in every space",
                "A[ L[ H[ H- b@3000 L- b@3000 A- b@3000 A- b@3000 A] L] H] ");
    lunik_space_free(twin);
    check_heard("listeners: a space goes", "A[ L[ H[ A- a@0 A- c@800 A] L] H] ");
    late = recorder('X', 9, s);
    late.refuse = 1;
    check_int("listeners: refuses from the start", lunik_listener_add(m, &late.listener, &err),
              LUNIK_E_NO_SPACE);
    check_heard("listeners: and is unwound", "X[ X+ a@0 X+ c@800 X] X[ X- a@0 X- c@800 X] ");
    lunik_listener_del(&high.listener);
    check_heard("listeners: unwound when removed", "H[ H- a@0 H- c@800 H] ");
    lunik_listener_del(&low.listener);
    lunik_listener_del(&all.listener);
    drop(a);
    drop(c);
    lunik_region_unref(b);
    lunik_space_free(s);
    lunik_region_unref(root);
}

/* ---- transactions --------------------------------------------------------------------------- */

static int mutate_rc;
static void mutate(lunik_listener *l, const lunik_section *s)
{
    mutate_rc = lunik_region_set_enabled(s->region, false, NULL);
}

static void test_rollback(void)
{
    lunik_region *root = new_region("root", LUNIK_REGION_CONTAINER, 0x10000, NULL);
    lunik_region *a = new_region("a", LUNIK_REGION_IO, 0x1000, &plain_ops);
    lunik_region *b = new_region("b", LUNIK_REGION_IO, 0x1000, &plain_ops);
    lunik_listener meddler = {.name = "meddler", .region_add = mutate};
    struct recorder first, second;
    lunik_space *s, *young;
    char before[256];

    must("space", lunik_space_new(m, "one", root, &s, &err));
    add(root, 0, a, 0);
    first = recorder('1', 1, s);
    second = recorder('2', 2, s);
    must("listener", lunik_listener_add(m, &first.listener, &err));
    must("listener", lunik_listener_add(m, &second.listener, &err));
    snprintf(before, sizeof(before), "%s", shown(s));
    *heard = 0;
    second.refuse = 1;
    check_int("rollback: a listener refuses", lunik_region_add(root, 0x4000, b, 0, false, &err),
              LUNIK_E_NO_SPACE);
    check_string("rollback: its words", err.message, "no room for that");
    check_heard("rollback: everybody hears the reverse",
                "1[ 2[ 1+ b@4000 2+ b@4000 1] 2] 1[ 2[ 2- b@4000 1- b@4000 1] 2] ");
    check_string("rollback: nothing shows", shown(s), before);
    check_true("rollback: not added", !lunik_region_parent(b));
    lunik_transaction_begin(m);
    must("move", lunik_region_set_offset(a, 0x100, &err));
    must("move", lunik_region_set_offset(a, 0x200, &err));
    must("size", lunik_region_set_size(a, 0x2000, &err));
    must("add", lunik_region_add(root, 0x8000, b, 3, false, &err));
    must("del", lunik_region_del(a, &err));
    must("add", lunik_region_add(b, 0, a, 7, false, &err));
    second.refuse = 1;
    check_int("rollback: a large one", lunik_transaction_commit(m, &err), LUNIK_E_NO_SPACE);
    check_string("rollback: the view", shown(s), before);
    check_true("rollback: the tree", lunik_region_parent(a) == root &&
                                         lunik_region_size(a) == 0x1000 &&
                                         lunik_region_offset(a) == 0 && !lunik_region_parent(b) &&
                                         lunik_region_priority(a) == 0);
    check_true("rollback: children",
               lunik_region_next_child(root, NULL) == a && !lunik_region_next_child(root, a));
    *heard = 0;
    lunik_transaction_begin(m);
    must("off", lunik_region_set_enabled(a, false, &err));
    must("space", lunik_space_new(m, "young", b, &young, &err));
    lunik_transaction_abort(m);
    check_string("abort: undone", shown(s), before);
    check_heard("abort: nothing was heard of it", "1[ 2[ 1] 2] ");
    check_string("abort: a space made meanwhile stays", shown(young), "b 0-fff");
    lunik_transaction_begin(m);
    must("off", lunik_region_set_enabled(a, false, &err));
    lunik_transaction_begin(m);
    lunik_transaction_abort(m);
    check_int("abort: takes the outer one along", lunik_transaction_commit(m, &err), LUNIK_E_STATE);
    check_string("abort: undone as a whole", shown(s), before);
    check_int("transactions: none open", lunik_transaction_commit(m, &err), LUNIK_E_STATE);
    meddler.space = s;
    must("listener", lunik_listener_add(m, &meddler, &err));
    check_int("transactions: not from a listener", mutate_rc, LUNIK_E_STATE);
    lunik_listener_del(&meddler);
    lunik_listener_del(&first.listener);
    lunik_listener_del(&second.listener);
    drop(a);
    lunik_space_free(young);
    lunik_region_unref(b);
    lunik_space_free(s);
    lunik_region_unref(root);
}

/* A space of a root that another one has already: nothing is rendered, but all of it is told. */
static void test_refused_space(void)
{
    lunik_region *root = new_region("root", LUNIK_REGION_CONTAINER, 0x10000, NULL);
    lunik_region *a = add(root, 0, new_region("a", LUNIK_REGION_IO, 0x1000, &plain_ops), 0);
    struct recorder r = recorder('R', 0, NULL);
    lunik_space *one, *two = NULL;

    must("space", lunik_space_new(m, "one", root, &one, &err));
    must("listener", lunik_listener_add(m, &r.listener, &err));
    *heard = 0;
    r.refuse = 1;
    check_int("refused space", lunik_space_new(m, "two", root, &two, &err), LUNIK_E_NO_SPACE);
    check_heard("refused space: goes again", "R[ R+ a@0 R] R[ R- a@0 R] ");
    check_true("refused space: is not there", !two && one->vr->spaces == one && !one->next_same);
    must("space", lunik_space_new(m, "two", root, &two, &err));
    lunik_listener_del(&r.listener);
    lunik_space_free(two);
    drop(a);
    lunik_space_free(one);
    lunik_region_unref(root);
}

/* A machine is closed in the middle of a transaction; what is left of it can't be changed. */
static void test_closed(void)
{
    static const lunik_machine_config config = {
        .name = "closed", .accel = LUNIK_ACCEL_NONE, .cpus = 1};
    lunik_region_config part = {.kind = LUNIK_REGION_CONTAINER, .name = "part", .size = 0x1000};
    lunik_machine *closed;
    lunik_region *r;

    must("machine", lunik_machine_new(rt, &config, &closed, &err));
    must("region", lunik_region_new(closed, &part, &r, &err));
    lunik_transaction_begin(closed);
    lunik_transaction_begin(closed);
    must("add", lunik_region_add(lunik_space_root(closed->memory_space), 0, r, 0, false, &err));
    must("size", lunik_region_set_size(r, 0x2000, &err));
    lunik_machine_close(closed);
    check_true("closed: what was open is undone",
               !lunik_region_parent(r) && lunik_region_size(r) == 0x1000);
    check_int("closed: no change", lunik_region_set_size(r, 0x2000, &err), LUNIK_E_GONE);
    lunik_region_unref(r);
}

/* ---- cost ----------------------------------------------------------------------------------- */

enum { DIMMS = 3000 };

static size_t chunks_in_common(const struct flat_view *a, const struct flat_view *b)
{
    size_t same = 0;

    for (size_t i = 0; i < a->count; i++)
        for (size_t j = 0; j < b->count; j++)
            same += a->top[i].chunk == b->top[j].chunk;
    return same;
}

/* A change copies what is around it and shares the rest, whatever the number of regions. */
static void test_sharing(void)
{
    lunik_region *root = new_region("root", LUNIK_REGION_CONTAINER, LUNIK_SIZE_MAX, NULL);
    lunik_region **dimms = malloc(DIMMS * sizeof(*dimms));
    struct recorder r;
    const struct flat_view *before;
    lunik_space *s;
    size_t count;

    must("space", lunik_space_new(m, "many", root, &s, &err));
    for (unsigned i = 0; i < DIMMS; i++) /* some adjoin, some do not */
        dimms[i] = add(root, (uint64_t)i * 0x1000 + (i % 7 ? 0 : 0x100),
                       new_region("dimm", LUNIK_REGION_IO, i % 3 ? 0x1000 : 0xe00, &plain_ops), 0);
    before = view_root_current(s->vr);
    count = before->count;
    check_true("sharing: chunks are neither tiny nor huge",
               count > DIMMS / 32 && count < DIMMS / 8);
    r = recorder('R', 0, s);
    must("listener", lunik_listener_add(m, &r.listener, &err));
    *heard = 0;
    must("off", lunik_region_set_enabled(dimms[DIMMS / 2 + 2], false, &err));
    check_true("sharing: all other chunks",
               chunks_in_common(before, view_root_current(s->vr)) + 2 >= count);
    check_true("sharing: listeners hear of the neighbours at most", strlen(heard) < 80);
    r.listener.region_del = NULL; /* heard would overflow */
    lunik_listener_del(&r.listener);
    for (unsigned i = 0; i < DIMMS; i++)
        drop(dimms[(i * 7919u) % DIMMS]);
    check_uint("sharing: empty in the end", view_root_current(s->vr)->count, 0);
    free(dimms);
    lunik_space_free(s);
    lunik_region_unref(root);
}

static _Atomic bool released;

static void on_release(void *opaque)
{
    released = true;
}

/* Who holds the lock all the time is a reader all the time, but for the start of a change. */
static void test_reclaim(void)
{
    lunik_region_config config = {
        .kind = LUNIK_REGION_CONTAINER, .name = "old", .size = 1, .release = on_release};
    lunik_region *other = add(lunik_space_root(m->memory_space), 0x1000,
                              new_region("other", LUNIK_REGION_IO, 4, &plain_ops), 0);
    time_t give_up = time(NULL) + 10;
    lunik_region *old;

    must("old", lunik_region_new(m, &config, &old, &err));
    lunik_region_unref(old);
    while (!released && time(NULL) < give_up)
        must("change", lunik_region_set_enabled(other, !lunik_region_enabled(other), &err));
    check_true("reclaim: what is gone is freed while others change", released);
    drop(other);
}

/* ---- text ----------------------------------------------------------------------------------- */

static void test_mtree(void)
{
    lunik_region *root = lunik_space_root(m->memory_space);
    lunik_region *ram = new_ram("pc.ram", LUNIK_REGION_RAM, 0x10000000, NULL);
    lunik_region *bios = new_ram("pc.bios", LUNIK_REGION_ROM, 0x40000, NULL);
    lunik_region *pci = new_region("pci", LUNIK_REGION_CONTAINER, LUNIK_SIZE_MAX, NULL);
    lunik_region *below = new_alias("ram-below-4g", ram, 0, 0x10000000);
    lunik_region *isa = new_alias("isa-bios", bios, 0x20000, 0x20000);
    lunik_region *pam = new_alias("pam-rom", ram, 0xc0000, 0x4000);
    lunik_space *twin;
    char *text;

    check_int("mtree: a name of two lines", lunik_space_new(m, "a\nb", root, &twin, &err),
              LUNIK_E_INVALID);
    must("twin", lunik_space_new(m, "cpu-memory-0", root, &twin, &err));
    add(root, 0, pci, -1);
    add(root, 0, below, 0);
    add(root, 0xc0000, pam, 1);
    add(pci, 0xfffc0000, bios, 0);
    add(pci, 0xe0000, isa, 1);
    must("readonly", lunik_region_set_readonly(pam, true, &err));
    lunik_mtree(m, 0, &text);
    check_string("mtree: tree", text,
                 "address-space: memory\n"
                 "address-space: cpu-memory-0\n"
                 "  0000000000000000-ffffffffffffffff (prio 0, i/o): system\n"
                 "    0000000000000000-000000000fffffff (prio 0, ram): alias ram-below-4g @pc.ram "
                 "0000000000000000-000000000fffffff\n"
                 "    0000000000000000-ffffffffffffffff (prio -1, i/o): pci\n"
                 "      00000000000e0000-00000000000fffff (prio 1, rom): alias isa-bios @pc.bios "
                 "0000000000020000-000000000003ffff\n"
                 "      00000000fffc0000-00000000ffffffff (prio 0, rom): pc.bios\n"
                 "    00000000000c0000-00000000000c3fff (prio 1, ram): alias pam-rom @pc.ram "
                 "00000000000c0000-00000000000c3fff\n"
                 "\n"
                 "address-space: I/O\n"
                 "  0000000000000000-000000000000ffff (prio 0, i/o): io\n"
                 "\n"
                 "memory-region: pc.ram\n"
                 "  0000000000000000-000000000fffffff (prio 0, ram): pc.ram\n"
                 "\n"
                 "memory-region: pc.bios\n"
                 "  00000000fffc0000-00000000ffffffff (prio 0, rom): pc.bios\n"
                 "\n");
    free(text);
    must("off", lunik_region_set_enabled(isa, false, &err));
    lunik_mtree(m, LUNIK_MTREE_DISABLED, &text);
    check_contains("mtree: disabled", text, "000000000003ffff [disabled]\n");
    free(text);
    lunik_mtree(m, LUNIK_MTREE_FLAT, &text);
    check_string("mtree: flat", text,
                 "FlatView #0\n"
                 " AS \"memory\", root: system\n"
                 " AS \"cpu-memory-0\", root: system\n"
                 " Root memory region: system\n"
                 "  0000000000000000-00000000000bffff (prio 0, ram): pc.ram\n"
                 "  00000000000c0000-00000000000c3fff (prio 0, rom): pc.ram @00000000000c0000\n"
                 "  00000000000c4000-000000000fffffff (prio 0, ram): pc.ram @00000000000c4000\n"
                 "  00000000fffc0000-00000000ffffffff (prio 0, rom): pc.bios\n"
                 "\n"
                 "FlatView #1\n"
                 " AS \"I/O\", root: io\n"
                 " Root memory region: (none)\n"
                 "  No rendered FlatView\n"
                 "\n");
    free(text);
    lunik_space_free(twin);
    drop(pam);
    drop(isa);
    drop(bios);
    drop(below);
    drop(pci);
    lunik_region_unref(ram);
}

int main(void)
{
    setup();
    test_documented_overlap();
    test_pc_map();
    test_edges();
    test_errors();
    test_ports();
    test_depth();
    test_dispatch();
    test_borders();
    test_rom_device();
    test_readonly_ram();
    test_refused_half();
    test_peek();
    test_rejected_last();
    test_callbacks();
    test_map();
    test_listeners();
    test_rollback();
    test_refused_space();
    test_closed();
    test_sharing();
    test_reclaim();
    test_mtree();
    lunik_runtime_free(rt);
    return check_result();
}
