/* pci_bar.c: base address registers and expansion ROMs (PCI Local Bus 3.0, section 6.2.5). */
#include <inttypes.h>

#include "pci.h"
#include "../ports.h"

static bool is_64(lunik_pci_bar_kind kind)
{
    return kind == LUNIK_PCI_BAR_MEM64 || kind == LUNIK_PCI_BAR_MEM64_PREFETCH;
}

/* Returns the address that no BAR of a kind may reach: all ones are the pattern of sizing. */
static uint64_t limit_of(lunik_pci_bar_kind kind)
{
    return kind == LUNIK_PCI_BAR_IO ? 0x10000 : is_64(kind) ? UINT64_MAX : UINT32_MAX;
}

/* Returns the largest size of one. */
static uint64_t largest(lunik_pci_bar_kind kind)
{
    return kind == LUNIK_PCI_BAR_IO ? 0x10000 : UINT64_C(1) << (is_64(kind) ? 62 : 31);
}

/* Returns the bits of a BAR that say what it is. */
static uint32_t kind_bits(lunik_pci_bar_kind kind)
{
    static const uint32_t bits[] = {1, 0, 4, 8, 12};

    return bits[kind];
}

/* Whether BAR index is in use, as one of its own or as the upper half of the one before. */
static bool bar_taken(const lunik_pci_function *f, unsigned index)
{
    return f->bars[index].region ||
           (index && f->bars[index - 1].region && is_64(f->bars[index - 1].kind));
}

int lunik_pci_bar_init(lunik_pci_function *f, unsigned index, lunik_pci_bar_kind kind,
                       lunik_region *region, lunik_error *err)
{
    LUNIK_NOT_NULL_OR_FAIL(f, err);
    LUNIK_NOT_NULL_OR_FAIL(region, err);

    if ((unsigned)kind > LUNIK_PCI_BAR_MEM64_PREFETCH)
        return lunik_fail(err, LUNIK_E_INVALID, "pci: BAR %u: %d is not a kind of BARs", index,
                          (int)kind);

    uint64_t size = lunik_region_size(region), most = largest(kind);
    uint64_t least = kind == LUNIK_PCI_BAR_IO ? 4 : 16;
    unsigned last = is_64(kind) ? index + 1 : index;

    if (index >= LUNIK_PCI_BARS || last >= LUNIK_PCI_BARS || bar_taken(f, index) ||
        bar_taken(f, last))
        return lunik_fail(err, LUNIK_E_INVALID, "pci: BAR %u is taken or does not exist", index);
    if (size < least || size > most || (size & (size - 1)))
        return lunik_fail(err, LUNIK_E_INVALID,
                          "pci: BAR %u: size 0x%" PRIx64 " is no power of two from 0x%" PRIx64
                          " to 0x%" PRIx64,
                          index, size, least, most);
    f->bars[index] = (lunik_pci_bar){region, kind};

    unsigned offset = LUNIK_PCI_BAR0 + 4 * index;
    uint64_t mask = ~(size - 1);
    lunik_pci_set_long(f->writable, offset, (uint32_t)mask);
    lunik_pci_set_long(f->initial, offset, kind_bits(kind));
    if (is_64(kind))
        lunik_pci_set_long(f->writable, offset + 4, (uint32_t)(mask >> 32));
    return 0;
}

int lunik_pci_rom_init(lunik_pci_function *f, lunik_region *region, lunik_error *err)
{
    LUNIK_NOT_NULL_OR_FAIL(f, err);
    LUNIK_NOT_NULL_OR_FAIL(region, err);

    uint64_t size = lunik_region_size(region);
    lunik_pci_extra *extra = pci_extra(f, err);

    if (!extra)
        return LUNIK_E_NO_MEMORY;
    if (extra->rom)
        return lunik_fail(err, LUNIK_E_INVALID, "pci: the function has a ROM already");
    if (size < 0x800 || size > 0x1000000 || (size & (size - 1)))
        return lunik_fail(err, LUNIK_E_INVALID,
                          "pci: ROM: size 0x%" PRIx64 " is no power of two from 0x800 to 0x1000000",
                          size);
    extra->rom = region;
    lunik_pci_set_long(f->writable, LUNIK_PCI_ROM, (uint32_t)-size | LUNIK_PCI_ROM_ENABLE);
    return 0;
}

/* Returns whether BAR index decodes now, and where. An address of zero, one that wraps and the
 * all-ones pattern of sizing do not decode. */
static bool bar_address(const lunik_pci_function *f, unsigned index, uint64_t *address)
{
    const lunik_pci_bar *bar = &f->bars[index];
    unsigned offset = LUNIK_PCI_BAR0 + 4 * index;
    uint16_t enable =
        bar->kind == LUNIK_PCI_BAR_IO ? LUNIK_PCI_COMMAND_IO : LUNIK_PCI_COMMAND_MEMORY;
    uint64_t size = lunik_region_size(bar->region);
    uint64_t limit = limit_of(bar->kind);

    *address = lunik_pci_get_long(f->config, offset);
    if (is_64(bar->kind))
        *address |= (uint64_t)lunik_pci_get_long(f->config, offset + 4) << 32;
    *address &= ~(size - 1);
    return (lunik_pci_get_word(f->config, LUNIK_PCI_COMMAND) & enable) && *address &&
           *address <= limit - size;
}

static bool rom_address(const lunik_pci_function *f, uint64_t *address)
{
    uint64_t size = lunik_region_size(f->extra->rom);
    uint32_t bar = lunik_pci_get_long(f->config, LUNIK_PCI_ROM);

    *address = bar & ~(size - 1);
    return lunik_pci_get_word(f->config, LUNIK_PCI_COMMAND) & LUNIK_PCI_COMMAND_MEMORY &&
           bar & LUNIK_PCI_ROM_ENABLE && *address && *address <= UINT32_MAX - size;
}

void lunik_pci_map_failed(lunik_pci_function *f, lunik_error *why)
{
    LUNIK_NOT_NULL(f);
    LUNIK_NOT_NULL(why);
    LUNIK_REQUIRE(f->bus, "the function is on no bus");

    lunik_fail_prefix(why, why->code, "%s: the memory map can't follow the guest's registers",
                      lunik_object_type_name(f->owner));
    lunik_machine_map_broken(f->bus->machine, why);
}

/* Puts a region where it is wanted, or takes it away. */
static void place(lunik_region *parent, lunik_region *region, bool want, uint64_t address,
                  int priority)
{
    bool mapped = lunik_region_parent(region) != NULL;

    if (mapped && (!want || lunik_region_offset(region) != address)) {
        if (lunik_region_del(region, NULL))
            return;
        mapped = false;
    }
    if (want && !mapped)
        lunik_region_add(parent, address, region, priority, true, NULL);
}

int pci_map_bars(lunik_pci_function *f, lunik_error *err)
{
    uint64_t address;

    if (!f->bus || !f->bus->machine)
        return 0;
    lunik_transaction_begin(f->bus->machine);
    for (unsigned i = 0; i < LUNIK_PCI_BARS; i++) {
        const lunik_pci_bar *bar = &f->bars[i];
        bool want = bar->region && bar_address(f, i, &address);

        if (bar->region)
            place(bar->kind == LUNIK_PCI_BAR_IO ? f->bus->io : f->bus->memory, bar->region, want,
                  address, 0);
    }
    if (f->extra && f->extra->rom) {
        bool want = rom_address(f, &address);

        place(f->bus->memory, f->extra->rom, want, address, 1);
    }
    return lunik_transaction_commit(f->bus->machine, err);
}

void pci_update_bars(lunik_pci_function *f)
{
    lunik_error err;

    if (pci_map_bars(f, &err))
        lunik_pci_map_failed(f, &err);
}

int pci_registers_init(lunik_pci_function *f, lunik_region **out, const char *name, uint64_t size,
                       const lunik_io_ops *ops, lunik_error *err)
{
    const lunik_region_config config = {
        .kind = LUNIK_REGION_IO,
        .name = name,
        .size = size,
        .ops = ops,
        .opaque = lunik_state(f->owner),
    };
    int rc = device_region_new(out, f->owner, config, err);

    return rc ? rc : lunik_pci_bar_init(f, 0, LUNIK_PCI_BAR_MEM32, *out, err);
}
