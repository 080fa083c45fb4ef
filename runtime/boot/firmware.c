/* firmware.c: a flat firmware image, read-only at the top of 4 GiB and below 1 MiB. */
#include <inttypes.h>
#include <string.h>

#include "core/misuse.h"
#include "boot.h"

#define FIRMWARE_MAX  (8u << 20) /* stays clear of the APICs */
#define FIRMWARE_UNIT 4096u
#define ISA_WINDOW    (128u << 10)
#define ISA_END       0x100000u

/* Returns the container for firmware: the PCI bus's memory if the board has one, so that the
 * chipset's shadow RAM controls apply, else the root. */
static lunik_region *find_bus(lunik_machine *m)
{
    lunik_region *root = lunik_space_root(m->memory_space), *child = NULL;

    while ((child = lunik_region_next_child(root, child)))
        if (!strcmp(lunik_region_name(child), "pci"))
            return child;
    return root;
}

static int map_regions(lunik_machine *m, lunik_region *rom, lunik_region *isa, uint64_t size,
                       lunik_error *err)
{
    lunik_region *bus = find_bus(m);
    int rc;

    lunik_transaction_begin(m);
    rc = lunik_region_add(bus, BOOT_4G - size, rom, 0, false, err);
    if (!rc)
        rc = lunik_region_add(bus, ISA_END - lunik_region_size(isa), isa, 1, true, err);
    if (rc) {
        lunik_transaction_abort(m);
        return rc;
    }
    return lunik_transaction_commit(m, err);
}

static int make_regions(lunik_machine *m, const struct boot_file *f, lunik_region **rom,
                        lunik_region **isa, lunik_error *err)
{
    const lunik_ram_config ram_config = {.name = "pc.bios", .size = f->size, .fd = -1};
    lunik_region_config config = {.kind = LUNIK_REGION_ROM, .name = "pc.bios", .size = f->size};
    uint64_t window = f->size < ISA_WINDOW ? f->size : ISA_WINDOW;
    int rc = lunik_ram_new(&ram_config, &config.ram, err);

    if (rc)
        return rc;
    memcpy(lunik_ram_host(config.ram), f->data, f->size);
    rc = lunik_region_new(m, &config, rom, err);
    lunik_ram_unref(config.ram);
    if (rc)
        return rc;
    config = (lunik_region_config){.kind = LUNIK_REGION_ALIAS,
                                   .name = "isa-bios",
                                   .size = window,
                                   .target = *rom,
                                   .offset = f->size - window,
                                   .readonly = true};
    rc = lunik_region_new(m, &config, isa, err);
    if (rc)
        lunik_region_unref(*rom);
    return rc;
}

static int install(lunik_machine *m, const struct boot_file *f, lunik_error *err)
{
    lunik_region *rom, *isa;
    int rc;

    if (f->size % FIRMWARE_UNIT)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "'%s' has %" PRIu64 " bytes (want a multiple of %u)", f->path, f->size,
                          FIRMWARE_UNIT);
    rc = make_regions(m, f, &rom, &isa, err);
    if (rc)
        return rc;
    rc = map_regions(m, rom, isa, f->size, err);
    if (rc) {
        lunik_region_unref(isa);
        lunik_region_unref(rom);
        return rc;
    }
    m->boot->firmware = rom;
    m->boot->isa_firmware = isa;
    return 0;
}

int lunik_boot_firmware(lunik_machine *m, const char *path, lunik_error *err)
{
    NOT_NULL_OR_FAIL(m, err);
    NOT_NULL_OR_FAIL(path, err);

    struct boot_file f;
    int rc;

    if (!m->boot)
        return machine_fail_closed(m, err);
    if (m->boot->firmware)
        return lunik_fail(err, LUNIK_E_EXISTS, "firmware: '%s': the machine has firmware already",
                          path);
    if (m->boot->images)
        return lunik_fail(err, LUNIK_E_EXISTS,
                          "firmware: '%s': the machine boots a kernel directly", path);
    rc = boot_file_read(&f, path, FIRMWARE_MAX, err);
    if (!rc) {
        rc = install(m, &f, err);
        boot_file_free(&f);
    }
    return rc ? lunik_fail_prefix(err, rc, "firmware") : 0;
}

void firmware_free(struct boot_state *b)
{
    if (!b->firmware)
        return;
    lunik_region_del(b->isa_firmware, NULL);
    lunik_region_del(b->firmware, NULL);
    lunik_region_unref(b->isa_firmware);
    lunik_region_unref(b->firmware);
    b->firmware = b->isa_firmware = NULL;
}
