/* test_pci_capability.c: the list of capabilities, kinds of BARs, ROMs, slots with several
 * functions. */
#include "pci_rig.h"
#include "pci_card.h"

static lunik_error err;

/* ---- the list ------------------------------------------------------------------------------- */

static int add(lunik_pci_function *f, uint8_t id, unsigned offset, unsigned size, unsigned *out)
{
    return lunik_pci_capability_add(f, id, offset, size, out, &err);
}

static void test_list(void)
{
    lunik_pci_function f;
    unsigned at;

    lunik_pci_function_init(&f, NULL, 1, 2, 0, 0);
    check_uint("none at first", lunik_pci_capability_find(&f, 9), 0);
    f.initial[0x44] = 1; /* a register of the device's own */
    check_int("one of 10 bytes", add(&f, 9, 0, 10, &at), 0);
    check_uint("  is behind the register", at, 0x48);
    check_int("one in a place of its own", add(&f, 5, 0x80, 24, NULL), 0);
    check_int("a small one", add(&f, 9, 0, 2, &at), 0);
    check_uint("  fills the gap", at, 0x40);
    lunik_pci_function_reset(&f);
    check_uint("status", lunik_pci_config_read(&f, LUNIK_PCI_STATUS, 2),
               LUNIK_PCI_STATUS_CAPABILITIES);
    check_uint("the first", lunik_pci_config_read(&f, LUNIK_PCI_CAPABILITIES, 1), 0x48);
    check_uint("the second", lunik_pci_config_read(&f, 0x48, 2), 0x8009);
    check_uint("the third", lunik_pci_config_read(&f, 0x80, 2), 0x4005);
    check_uint("the end", lunik_pci_config_read(&f, 0x40, 2), 0x0009);
    check_uint("found", lunik_pci_capability_find(&f, 5), 0x80);
    lunik_pci_config_write(&f, 0x48, 4, 0);
    check_uint("read-only", lunik_pci_config_read(&f, 0x48, 2), 0x8009);
    lunik_pci_device_remove(&f);
}

static void test_refused(void)
{
    lunik_pci_function f;

    lunik_pci_function_init(&f, NULL, 1, 2, 0, 0);
    check_int("a byte", add(&f, 9, 0, 1, NULL), LUNIK_E_INVALID);
    check_int("too large", add(&f, 9, 0, 193, NULL), LUNIK_E_INVALID);
    check_contains("  says what is possible", err.message,
                   "size 193 is not possible (want 2 to 192)");
    check_int("in the header", add(&f, 9, 0x3c, 4, NULL), LUNIK_E_INVALID);
    check_int("off a dword", add(&f, 9, 0x42, 4, NULL), LUNIK_E_INVALID);
    check_int("beyond the end", add(&f, 9, 0xfc, 5, NULL), LUNIK_E_INVALID);
    check_int("at the end", add(&f, 9, 0xfc, 4, NULL), 0);
    check_int("  and there again", add(&f, 9, 0xf8, 8, NULL), LUNIK_E_EXISTS);
    check_int("all the rest", add(&f, 9, 0, 188, NULL), 0);
    check_int("no room", add(&f, 9, 0, 2, NULL), LUNIK_E_NO_SPACE);
    check_int("msi: 3 vectors", lunik_pci_msi_init(&f, 3, 0, 0, &err), LUNIK_E_INVALID);
    check_int("msi: 64 vectors", lunik_pci_msi_init(&f, 64, 0, 0, &err), LUNIK_E_INVALID);
    check_int("msi: no room", lunik_pci_msi_init(&f, 1, 0, 0, &err), LUNIK_E_NO_SPACE);
    check_uint("  changes nothing", lunik_pci_capability_find(&f, 5), 0);
    lunik_pci_device_remove(&f);
}

/* ---- MSI-X in BARs -------------------------------------------------------------------------- */

static void test_msix_places(struct rig *r)
{
    lunik_pci_function *probe = &((struct probe *)lunik_state(r->probe))->function, f;

    lunik_pci_function_init(&f, r->probe, 1, 2, 0, 0);
    f.bars[0] = probe->bars[0]; /* ports */
    f.bars[1] = probe->bars[1]; /* 4 KiB of memory */
    check_int("no vectors", lunik_pci_msix_init(&f, 0, 2, 0, 0x800, 0, &err), LUNIK_E_INVALID);
    check_int("too many", lunik_pci_msix_init(&f, 2049, 2, 0, 0x9000, 0, &err), LUNIK_E_INVALID);
    check_int("ports", lunik_pci_msix_init(&f, 1, 0, 0, 0x10, 0, &err), LUNIK_E_INVALID);
    check_int("no BAR", lunik_pci_msix_init(&f, 1, 6, 0, 0x10, 0, &err), LUNIK_E_INVALID);
    check_int("overlap", lunik_pci_msix_init(&f, 2, 1, 0, 0x18, 0, &err), LUNIK_E_INVALID);
    check_int("beyond the BAR", lunik_pci_msix_init(&f, 1, 1, 0xff8, 0, 0, &err), LUNIK_E_INVALID);
    check_int("far beyond", lunik_pci_msix_init(&f, 1, 1, UINT64_MAX - 7, 0, 0, &err),
              LUNIK_E_INVALID);
    check_int("odd", lunik_pci_msix_init(&f, 1, 1, 4, 0x800, 0, &err), LUNIK_E_INVALID);
    check_int("2048 in a BAR of its own", lunik_pci_msix_init(&f, 2048, 2, 0, 0x8000, 0, &err), 0);
    check_uint("  has room for all", lunik_region_size(f.bars[2].region), 0x10000);
    check_int("and again", lunik_pci_msix_init(&f, 1, 3, 0, 0x8000, 0, &err), LUNIK_E_EXISTS);
    lunik_pci_device_remove(&f);
    check_true("  leaves nothing", !f.bars[2].region && !f.msix_table && !f.extra);
}

/* ---- BARs and ROM --------------------------------------------------------------------------- */

static void test_bar_kinds(struct rig *r, lunik_object *card)
{
    lunik_pci_function *f = card_function(card);
    uint8_t at = f->devfn;

    set_config(r, at, LUNIK_PCI_BAR0, 4, UINT32_MAX);
    set_config(r, at, LUNIK_PCI_BAR0 + 4, 4, UINT32_MAX);
    check_uint("sizing: prefetchable, 64 bits, 8 KiB", config(r, at, LUNIK_PCI_BAR0, 4),
               0xffffe00c);
    check_uint("  the upper half", config(r, at, LUNIK_PCI_BAR0 + 4, 4), UINT32_MAX);
    set_config(r, at, LUNIK_PCI_BAR0, 4, 0x20000000);
    set_config(r, at, LUNIK_PCI_BAR0 + 4, 4, 0x12);
    set_config(r, at, LUNIK_PCI_COMMAND, 2, LUNIK_PCI_COMMAND_MEMORY);
    check_uint("decodes above 4 GiB", load(r, UINT64_C(0x1220000001), 1), 0x51);
    set_config(r, at, LUNIK_PCI_COMMAND, 2, LUNIK_PCI_COMMAND_IO);
    check_uint("not without the memory bit", load(r, UINT64_C(0x1220000001), 1), 0xff);
    set_config(r, at, LUNIK_PCI_BAR0 + 4, 4, 0);
    set_config(r, at, LUNIK_PCI_BAR0, 4, 0);
}

static void test_rom(struct rig *r)
{
    const lunik_region_config small = {.kind = LUNIK_REGION_RESERVED, .name = "rom", .size = 0x400};
    const lunik_region_config fits = {.kind = LUNIK_REGION_RESERVED, .name = "rom", .size = 0x1000};
    const lunik_pci_bus_ops *ops = lunik_pci_bus_iface(lunik_object_find(r->m, "host"));
    lunik_region *no, *rom;
    lunik_pci_function f;

    must("region", lunik_region_new(r->m, &small, &no, &err), &err);
    must("region", lunik_region_new(r->m, &fits, &rom, &err), &err);
    lunik_pci_function_init(&f, r->probe, 1, 2, 0, 0);
    check_int("a ROM too small", lunik_pci_rom_init(&f, no, &err), LUNIK_E_INVALID);
    check_int("a ROM", lunik_pci_rom_init(&f, rom, &err), 0);
    check_int("a second one", lunik_pci_rom_init(&f, rom, &err), LUNIK_E_INVALID);
    must("add", pci_bus_add(ops->bus(lunik_object_find(r->m, "host")), &f, 0x58, &err), &err);
    set_config(r, 0x58, LUNIK_PCI_ROM, 4, UINT32_MAX);
    check_uint("sizing", config(r, 0x58, LUNIK_PCI_ROM, 4), 0xfffff001);
    set_config(r, 0x58, LUNIK_PCI_ROM, 4, 0xe8000000);
    set_config(r, 0x58, LUNIK_PCI_COMMAND, 2, LUNIK_PCI_COMMAND_MEMORY);
    check_true("not without its own bit", !lunik_region_parent(rom));
    set_config(r, 0x58, LUNIK_PCI_ROM, 1, LUNIK_PCI_ROM_ENABLE);
    check_true("with both", lunik_region_parent(rom));
    check_uint("  where it was put", lunik_region_offset(rom), 0xe8000000);
    set_config(r, 0x58, LUNIK_PCI_COMMAND, 2, 0);
    check_true("not without the command bit", !lunik_region_parent(rom));
    set_config(r, 0x58, LUNIK_PCI_COMMAND, 2, LUNIK_PCI_COMMAND_MEMORY);
    lunik_pci_device_remove(&f);
    check_true("nor when it is off the bus", !lunik_region_parent(rom));
    lunik_region_unref(no);
    lunik_region_unref(rom);
}

static void test_functions(struct rig *r)
{
    check_uint("one function", config(r, PCI_DEVFN(4, 0), LUNIK_PCI_HEADER, 1), 0);
    card_add(r, "second", "host", "4.1");
    check_uint("two functions: the first says so", config(r, PCI_DEVFN(4, 0), LUNIK_PCI_HEADER, 1),
               LUNIK_PCI_HEADER_MULTI);
    check_uint("  in a dword", config(r, PCI_DEVFN(4, 0), 0x0c, 4) >> 16, LUNIK_PCI_HEADER_MULTI);
    check_uint("  and both are there", config(r, PCI_DEVFN(4, 1), 0, 4), 0xcafe1234);
    must("removal", lunik_device_del(r->m, "second", &err), &err);
    check_uint("one again", config(r, PCI_DEVFN(4, 0), LUNIK_PCI_HEADER, 1), 0);
}

int main(void)
{
    struct rig r = {0};
    lunik_object *card;

    test_list();
    test_refused();
    rig_open(&r, LUNIK_ACCEL_NONE, true);
    card = card_add(&r, "card", "host", "4.0");
    test_msix_places(&r);
    test_bar_kinds(&r, card);
    test_rom(&r);
    test_functions(&r);
    rig_close(&r);
    return check_result();
}
