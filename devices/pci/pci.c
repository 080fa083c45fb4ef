/*
 * pci.c: the PCI bus core: configuration spaces with write masks, BARs, INTx lines,
 * configuration mechanism 1 (PCI Local Bus 3.0, sections 3.2.2.3, 6.1, 6.2).
 *
 * Not modelled: special cycles, parity and abort status, buses behind bridges (cycles to other
 * bus numbers reach nothing).
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "pci.h"

#define HEADER_SIZE 0x40 /* of configuration space */

#define MECHANISM1_ENABLE 0x80000000u

/* ---- configuration space -------------------------------------------------------------------- */

void lunik_pci_function_init(lunik_pci_function *f, lunik_object *owner, uint16_t vendor,
                             uint16_t device, uint8_t revision, uint32_t class_code)
{
    LUNIK_NOT_NULL(f);

    memset(f, 0, sizeof *f);
    f->owner = owner;
    lunik_pci_set_word(f->initial, LUNIK_PCI_VENDOR_ID, vendor);
    lunik_pci_set_word(f->initial, LUNIK_PCI_DEVICE_ID, device);
    lunik_pci_set_long(f->initial, LUNIK_PCI_REVISION, class_code << 8 | revision);
    lunik_pci_set_word(f->writable, LUNIK_PCI_COMMAND,
                       LUNIK_PCI_COMMAND_IO | LUNIK_PCI_COMMAND_MEMORY | LUNIK_PCI_COMMAND_MASTER |
                           LUNIK_PCI_COMMAND_INTX_OFF);
    lunik_pci_set_word(f->clearable, LUNIK_PCI_STATUS, LUNIK_PCI_STATUS_ERRORS);
    f->writable[LUNIK_PCI_INTERRUPT_LINE] = 0xff;
}

/* Whether BAR index is in use, as one of its own or as the upper half of the one before. */
static bool bar_taken(const lunik_pci_function *f, unsigned index)
{
    return f->bars[index].region ||
           (index && f->bars[index - 1].region && f->bars[index - 1].kind == LUNIK_PCI_BAR_MEM64);
}

int lunik_pci_bar_init(lunik_pci_function *f, unsigned index, lunik_pci_bar_kind kind,
                       lunik_region *region, lunik_error *err)
{
    LUNIK_NOT_NULL_OR_FAIL(f, err);
    LUNIK_NOT_NULL_OR_FAIL(region, err);

    uint64_t size = lunik_region_size(region);
    uint64_t least = kind == LUNIK_PCI_BAR_IO ? 4 : 16;
    uint64_t most = kind == LUNIK_PCI_BAR_IO      ? 0x10000
                    : kind == LUNIK_PCI_BAR_MEM32 ? UINT64_C(1) << 31
                                                  : UINT64_C(1) << 62;
    unsigned last = kind == LUNIK_PCI_BAR_MEM64 ? index + 1 : index;

    if ((unsigned)kind > LUNIK_PCI_BAR_MEM64)
        return lunik_fail(err, LUNIK_E_INVALID, "pci: BAR %u: %d is not a kind of BARs", index,
                          (int)kind);
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
    lunik_pci_set_long(f->initial, offset,
                       kind == LUNIK_PCI_BAR_IO      ? 1
                       : kind == LUNIK_PCI_BAR_MEM64 ? 4
                                                     : 0);
    if (kind == LUNIK_PCI_BAR_MEM64)
        lunik_pci_set_long(f->writable, offset + 4, (uint32_t)(mask >> 32));
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
    uint64_t limit = bar->kind == LUNIK_PCI_BAR_IO      ? 0x10000
                     : bar->kind == LUNIK_PCI_BAR_MEM32 ? UINT64_C(0xffffffff)
                                                        : UINT64_MAX;

    *address = lunik_pci_get_long(f->config, offset);
    if (bar->kind == LUNIK_PCI_BAR_MEM64)
        *address |= (uint64_t)lunik_pci_get_long(f->config, offset + 4) << 32;
    *address &= ~(size - 1);
    return (lunik_pci_get_word(f->config, LUNIK_PCI_COMMAND) & enable) && *address &&
           *address <= limit - size;
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

/* Makes the regions follow BARs and command register, or leaves them as they were. */
static int map_bars(lunik_pci_function *f, lunik_error *err)
{
    if (!f->bus || !f->bus->machine)
        return 0;
    lunik_transaction_begin(f->bus->machine);
    for (unsigned i = 0; i < LUNIK_PCI_BARS; i++) {
        lunik_region *region = f->bars[i].region;
        lunik_region *parent = f->bars[i].kind == LUNIK_PCI_BAR_IO ? f->bus->io : f->bus->memory;
        uint64_t address;

        if (!region)
            continue;
        bool want = bar_address(f, i, &address);
        bool mapped = lunik_region_parent(region) != NULL;
        if (mapped && (!want || lunik_region_offset(region) != address)) {
            if (lunik_region_del(region, NULL))
                continue;
            mapped = false;
        }
        if (want && !mapped)
            lunik_region_add(parent, address, region, 0, true, NULL);
    }
    return lunik_transaction_commit(f->bus->machine, err);
}

static void update_bars(lunik_pci_function *f)
{
    lunik_error err;

    if (map_bars(f, &err))
        lunik_pci_map_failed(f, &err);
}

uint32_t lunik_pci_config_read(const lunik_pci_function *f, unsigned offset, unsigned size)
{
    LUNIK_NOT_NULL(f, UINT32_MAX);
    LUNIK_REQUIRE(size <= 4, "size is more than 4", UINT32_MAX);

    uint32_t value = 0;

    for (unsigned i = 0; i < size && offset + i < LUNIK_PCI_CONFIG_SIZE; i++)
        value |= (uint32_t)f->config[offset + i] << 8 * i;
    return value;
}

static void drive_intx(lunik_pci_function *f);

void lunik_pci_config_write(lunik_pci_function *f, unsigned offset, unsigned size, uint32_t value)
{
    LUNIK_NOT_NULL(f);
    LUNIK_REQUIRE(offset < LUNIK_PCI_CONFIG_SIZE, "offset is beyond configuration space");
    LUNIK_REQUIRE(size <= 4, "size is more than 4");

    if (size > LUNIK_PCI_CONFIG_SIZE - offset)
        size = LUNIK_PCI_CONFIG_SIZE - offset;
    for (unsigned i = 0; i < size; i++) {
        unsigned at = offset + i;
        uint8_t byte = (uint8_t)(value >> 8 * i);
        uint8_t mask = f->writable[at];

        f->config[at] = (uint8_t)((f->config[at] & ~mask) | (byte & mask));
        f->config[at] &= (uint8_t) ~(byte & f->clearable[at]);
    }
    if (offset < LUNIK_PCI_COMMAND + 2 && offset + size > LUNIK_PCI_COMMAND) {
        drive_intx(f);
        pci_update_masters(f);
    }
    if (offset < LUNIK_PCI_BAR0 + 4 * LUNIK_PCI_BARS && offset + size > LUNIK_PCI_COMMAND)
        update_bars(f);
    if (f->written)
        f->written(f, offset, size);
}

void lunik_pci_function_reset(lunik_pci_function *f)
{
    LUNIK_NOT_NULL(f);

    f->intx = false;
    memcpy(f->config, f->initial, sizeof f->config);
    drive_intx(f);
    pci_update_masters(f);
    update_bars(f);
}

/* ---- the bus -------------------------------------------------------------------------------- */

int pci_parse_addr(const char *text, uint8_t *devfn, lunik_error *err)
{
    char *end = NULL;
    unsigned long slot = 32, function = 0;

    if (text && *text >= '0') {
        slot = strtoul(text, &end, 16);
        if (*end == '.' && end[1] >= '0')
            function = strtoul(end + 1, &end, 16);
    }
    if (!end || *end || slot > 31 || function > 7)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "addr: '%s' is no PCI slot and function (want \"0.0\" to \"1f.7\")",
                          text ? text : "");
    *devfn = PCI_DEVFN(slot, function);
    return 0;
}

int pci_bus_add(lunik_pci_bus *bus, lunik_pci_function *f, uint8_t devfn, lunik_error *err)
{
    if (f->bus)
        return lunik_fail(err, LUNIK_E_EXISTS, "%s is at PCI address %x.%x already",
                          lunik_object_path(f->owner), f->devfn >> 3, f->devfn & 7);
    if (bus->functions[devfn])
        return lunik_fail(err, LUNIK_E_EXISTS, "PCI address %x.%x is taken by %s", devfn >> 3,
                          devfn & 7, lunik_object_path(bus->functions[devfn]->owner));
    f->bus = bus;
    f->devfn = devfn;
    bus->functions[devfn] = f;
    lunik_pci_function_reset(f);
    return 0;
}

int lunik_pci_device_add(lunik_object *bus, const char *addr, lunik_pci_function *f,
                         lunik_error *err)
{
    LUNIK_NOT_NULL_OR_FAIL(bus, err);
    LUNIK_NOT_NULL_OR_FAIL(f, err);

    const lunik_pci_bus_ops *ops = lunik_pci_bus_iface(bus);
    uint8_t devfn = 0;
    int rc;

    if (!ops)
        return lunik_fail(err, LUNIK_E_INVALID, "bus: '%s' is no PCI bus", lunik_object_path(bus));
    rc = pci_parse_addr(addr, &devfn, err);
    return rc ? rc : pci_bus_add(ops->bus(bus), f, devfn, err);
}

void lunik_pci_device_remove(lunik_pci_function *f)
{
    LUNIK_NOT_NULL(f);

    if (!f->bus)
        return;
    lunik_pci_function_reset(f);
    f->bus->functions[f->devfn] = NULL;
    f->bus = NULL;
}

static lunik_pci_function *selected(const lunik_pci_bus *bus, uint32_t address)
{
    if (!(address & MECHANISM1_ENABLE) || (address >> 16 & 0xff) != 0)
        return NULL;
    return bus->functions[address >> 8 & 0xff];
}

/* Returns the register that a cycle at the data port reaches. Guests put bits 1:0 of its number
 * into the latch, select a byte of the data port by them, or do both. */
static unsigned register_of(uint32_t address, unsigned offset)
{
    return (address & 0xff) | offset;
}

uint32_t pci_mechanism1_read(const lunik_pci_bus *bus, uint32_t address, unsigned offset,
                             unsigned size)
{
    const lunik_pci_function *f = selected(bus, address);

    return f ? lunik_pci_config_read(f, register_of(address, offset), size) : UINT32_MAX;
}

void pci_mechanism1_write(lunik_pci_bus *bus, uint32_t address, unsigned offset, unsigned size,
                          uint32_t value)
{
    lunik_pci_function *f = selected(bus, address);

    if (f)
        lunik_pci_config_write(f, register_of(address, offset), size, value);
}

/* ---- interrupts ----------------------------------------------------------------------------- */

unsigned pci_pirq(uint8_t devfn, unsigned pin)
{
    return ((devfn >> 3) + pin + 2) % PCI_PIRQS;
}

/* Makes status bit and PIRQ follow the device's request, where the guest allows it. */
static void drive_intx(lunik_pci_function *f)
{
    unsigned pin = f->config[LUNIK_PCI_INTERRUPT_PIN];
    uint16_t status =
        lunik_pci_get_word(f->config, LUNIK_PCI_STATUS) & (uint16_t)~LUNIK_PCI_STATUS_INTX;
    bool level = f->intx && pin &&
                 !(lunik_pci_get_word(f->config, LUNIK_PCI_COMMAND) & LUNIK_PCI_COMMAND_INTX_OFF);

    lunik_pci_set_word(f->config, LUNIK_PCI_STATUS, status | (f->intx ? LUNIK_PCI_STATUS_INTX : 0));
    if (level == f->driven || !f->bus)
        return;
    f->driven = level;

    lunik_pci_bus *bus = f->bus;
    unsigned pirq = pci_pirq(f->devfn, f->initial[LUNIK_PCI_INTERRUPT_PIN]);
    unsigned before = bus->asserted[pirq];
    bus->asserted[pirq] = level ? before + 1 : before - 1;
    if (bus->route && (before == 0 || bus->asserted[pirq] == 0))
        bus->route(bus->route_opaque, pirq, level);
}

void lunik_pci_intx_set(lunik_pci_function *f, bool level)
{
    LUNIK_NOT_NULL(f);

    f->intx = level;
    drive_intx(f);
}

void pci_bus_set_router(lunik_pci_bus *bus, void (*fn)(void *opaque, unsigned pirq, bool level),
                        void *opaque)
{
    bus->route = fn;
    bus->route_opaque = opaque;
    for (unsigned i = 0; fn && i < PCI_PIRQS; i++) {
        if (bus->asserted[i])
            fn(opaque, i, true);
    }
}

/* ---- state ---------------------------------------------------------------------------------- */

/* The bits of a byte of the header that the guest can't change, nor drive_intx(). */
static uint8_t fixed_bits(const lunik_pci_function *f, unsigned offset)
{
    uint8_t changing = f->writable[offset] | f->clearable[offset];

    return (uint8_t) ~(offset == LUNIK_PCI_STATUS ? changing | LUNIK_PCI_STATUS_INTX : changing);
}

static int post_load(void *staged, const void *state, uint16_t version, lunik_error *err)
{
    const lunik_pci_function *f = staged, *here = state;

    for (unsigned i = 0; i < HEADER_SIZE; i++)
        if ((f->config[i] ^ here->initial[i]) & fixed_bits(here, i))
            return lunik_fail(
                err, LUNIK_E_INVALID,
                "config: [0x%02x]: 0x%02x in the state, 0x%02x in this machine, which "
                "the guest can't change",
                i, f->config[i], here->initial[i]);
    return 0;
}

static int map(void *state, lunik_error *err)
{
    return map_bars(state, err);
}

static void loaded(void *state)
{
    drive_intx(state);
    pci_update_masters(state);
}

static const lunik_state_field state_fields[] = {
    LUNIK_STATE_ARRAY(lunik_pci_function, config),
    LUNIK_STATE(lunik_pci_function, devfn, .flags = LUNIK_STATE_SAME),
    LUNIK_STATE(lunik_pci_function, intx),
    {0},
};

const lunik_state_table lunik_pci_function_state = {
    .name = "pci",
    .version = 1,
    .size = sizeof(lunik_pci_function),
    .fields = state_fields,
    .post_load = post_load,
    .map = map,
    .loaded = loaded,
};

/* ---- ACPI ----------------------------------------------------------------------------------- */

void pci_describe(lunik_acpi_node *out, const char *part, const lunik_pci_function *f)
{
    *out = (lunik_acpi_node){
        .part = part,
        .count = 1,
        .values = {{"_ADR", f->devfn >> 3 << 16 | (f->devfn & 7)}},
    };
}
