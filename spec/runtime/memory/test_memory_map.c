/* test_memory_map.c: what regions, aliases and priorities make of an address space. */
#include "memory_rig.h"

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
    check_uint("errors: which has no other user then", ram->refs, 1);
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

/* ---- text ----------------------------------------------------------------------------------- */

static void test_mtree(void)
{
    lunik_region *root = lunik_space_root(m->memory_space);
    lunik_region *ram = new_ram_region("pc.ram", LUNIK_REGION_RAM, 0x10000000, NULL);
    lunik_region *bios = new_ram_region("pc.bios", LUNIK_REGION_ROM, 0x40000, NULL);
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
    new_runtime();
    new_machine(LUNIK_ACCEL_NONE);
    test_documented_overlap();
    test_pc_map();
    test_edges();
    test_errors();
    test_ports();
    test_depth();
    test_mtree();
    lunik_runtime_free(rt);
    return check_result();
}
