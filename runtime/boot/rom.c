/* rom.c: blobs that are copied to guest memory at every reset. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/misuse.h"
#include "boot.h"

/* Writes to one RAM section, ignoring its read-only attribute. */
static void write_host(const lunik_section *s, uint64_t skip, const void *data, uint64_t size)
{
    lunik_ram *ram = lunik_region_ram(s->region);
    uint8_t *host = lunik_ram_host(ram);

    host += lunik_region_ram_offset(s->region) + s->offset + skip;
    if (data)
        memcpy(host, data, size);
    else
        memset(host, 0, size);
    lunik_dirty_mark(s->region, s->offset + skip, size);
}

static bool is_ram(const lunik_section *s)
{
    lunik_region_kind kind = lunik_region_get_kind(s->region);
    lunik_ram *ram = lunik_region_ram(s->region);

    return ram && !lunik_ram_readonly(ram) &&
           (kind == LUNIK_REGION_RAM || kind == LUNIK_REGION_ROM);
}

int boot_write(lunik_machine *m, const char *what, uint64_t address, const void *data,
               uint64_t size, lunik_error *err)
{
    const uint8_t *from = data;

    while (size) {
        lunik_section s;
        uint64_t skip, n;

        if (!lunik_space_find(m->memory_space, address, &s) || !is_ram(&s))
            return lunik_fail(err, LUNIK_E_ACCESS, "%s: no RAM decodes at 0x%" PRIx64, what,
                              address);
        skip = address - s.address;
        n = s.size - skip < size ? s.size - skip : size;
        if (s.readonly || !from)
            write_host(&s, skip, from, n);
        else if (lunik_space_write(m->memory_space, address, from, n) < 0)
            return lunik_fail(err, LUNIK_E_ACCESS, "%s: RAM at 0x%" PRIx64 " can't be written",
                              what, address);
        address += n;
        size -= n;
        if (from)
            from += n;
    }
    return 0;
}

static void rom_free(struct boot_rom *rom)
{
    free(rom->name);
    free(rom->data);
    free(rom);
}

/* self: a ROM that is about to be there instead of itself; NULL: a new one. */
static int check_free(const struct boot_state *b, const struct boot_rom *self, const char *name,
                      uint64_t address, size_t size, lunik_error *err)
{
    if (!size || size > UINT64_MAX - address)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "ROM '%s': size: '%zu' is not possible at 0x%" PRIx64
                          " (want at least 1 and an end below 2^64)",
                          name, size, address);
    for (const struct boot_rom *r = b->roms; r; r = r->next)
        if (r != self && address < r->address + r->size && r->address < address + size)
            return lunik_fail(err, LUNIK_E_EXISTS,
                              "ROM '%s': 0x%" PRIx64 "-0x%" PRIx64
                              " overlaps ROM '%s' at 0x%" PRIx64 "-0x%" PRIx64,
                              name, address, address + size - 1, r->name, r->address,
                              r->address + r->size - 1);
    return 0;
}

int lunik_rom_add(lunik_machine *m, const char *name, uint64_t address, const void *data,
                  size_t size, lunik_error *err)
{
    NOT_NULL_OR_FAIL(m, err);
    NOT_NULL_OR_FAIL(name, err);
    REQUIRE_OR_FAIL(data || !size, "data is NULL", err);

    struct boot_state *b = m->boot;
    struct boot_rom *rom;
    int rc;

    if (!b)
        return machine_fail_closed(m, err);
    rc = check_free(b, NULL, name, address, size, err);
    if (rc)
        return rc;
    rom = calloc(1, sizeof(*rom));
    if (!rom)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "ROM '%s': out of memory", name);
    rom->name = strdup(name);
    rom->data = malloc(size);
    rom->address = address;
    rom->size = size;
    if (!rom->name || !rom->data) {
        rom_free(rom);
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "ROM '%s': out of memory", name);
    }
    memcpy(rom->data, data, size);
    rc = boot_write(m, name, address, data, size, err);
    if (rc) {
        rom_free(rom);
        return rc;
    }
    rom->next = b->roms;
    b->roms = rom;
    return 0;
}

static int rom_replace(const struct boot_state *b, struct boot_rom *rom, const void *data,
                       size_t size, lunik_error *err)
{
    int rc = check_free(b, rom, rom->name, rom->address, size, err);
    void *copy;

    if (rc)
        return rc;
    copy = malloc(size);
    if (!copy)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "ROM '%s': out of memory", rom->name);
    memcpy(copy, data, size);
    free(rom->data);
    rom->data = copy;
    rom->size = size;
    return 0;
}

int lunik_rom_set(lunik_machine *m, uint64_t address, const void *data, size_t size,
                  lunik_error *err)
{
    NOT_NULL_OR_FAIL(m, err);
    REQUIRE_OR_FAIL(data || !size, "data is NULL", err);

    if (!m->boot)
        return machine_fail_closed(m, err);
    for (struct boot_rom *r = m->boot->roms; r; r = r->next)
        if (r->address == address)
            return rom_replace(m->boot, r, data, size, err);
    return lunik_fail(err, LUNIK_E_NOT_FOUND, "there is no ROM at 0x%" PRIx64, address);
}

int roms_place(lunik_machine *m, lunik_error *err)
{
    for (const struct boot_rom *r = m->boot->roms; r; r = r->next) {
        int rc = boot_write(m, r->name, r->address, r->data, r->size, err);

        if (rc)
            return rc;
    }
    return 0;
}

void roms_free(struct boot_state *b)
{
    while (b->roms) {
        struct boot_rom *next = b->roms->next;

        rom_free(b->roms);
        b->roms = next;
    }
}
