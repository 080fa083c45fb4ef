/*
 * pci.c: the PCI bus core: configuration spaces with write masks, BARs, INTx lines,
 * configuration mechanism 1 (PCI Local Bus 3.0, sections 3.2.2.3, 6.1, 6.2).
 *
 * Not modelled: special cycles, parity and abort status, buses behind bridges (cycles to other
 * bus numbers find nothing).
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "pci.h"

#define MECHANISM1_ENABLE 0x80000000u

/* ---- configuration space -------------------------------------------------------------------- */

void pci_set_word(uint8_t *array, unsigned offset, uint16_t value)
{
    array[offset] = (uint8_t)value;
    array[offset + 1] = (uint8_t)(value >> 8);
}

void pci_set_long(uint8_t *array, unsigned offset, uint32_t value)
{
    pci_set_word(array, offset, (uint16_t)value);
    pci_set_word(array, offset + 2, (uint16_t)(value >> 16));
}

uint16_t pci_get_word(const uint8_t *array, unsigned offset)
{
    return (uint16_t)(array[offset] | array[offset + 1] << 8);
}

uint32_t pci_get_long(const uint8_t *array, unsigned offset)
{
    return pci_get_word(array, offset) | (uint32_t)pci_get_word(array, offset + 2) << 16;
}

void pci_function_init(pci_function *f, lunik_object *owner, uint16_t vendor, uint16_t device,
                       uint8_t revision, uint32_t class_code)
{
    memset(f, 0, sizeof *f);
    f->owner = owner;
    pci_set_word(f->initial, PCI_VENDOR_ID, vendor);
    pci_set_word(f->initial, PCI_DEVICE_ID, device);
    pci_set_long(f->initial, PCI_REVISION, class_code << 8 | revision);
    pci_set_word(f->writable, PCI_COMMAND,
                 PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_OFF);
    pci_set_word(f->clearable, PCI_STATUS, PCI_STATUS_ERRORS);
    f->writable[PCI_INTERRUPT_LINE] = 0xff;
}

int pci_bar_init(pci_function *f, unsigned index, pci_bar_kind kind, lunik_region *region,
                 lunik_error *err)
{
    uint64_t size = lunik_region_size(region);
    uint64_t least = kind == PCI_BAR_IO ? 4 : 16;
    uint64_t most = kind == PCI_BAR_IO      ? 0x10000
                    : kind == PCI_BAR_MEM32 ? UINT64_C(1) << 31
                                            : UINT64_C(1) << 62;
    unsigned last = kind == PCI_BAR_MEM64 ? index + 1 : index;

    if (last >= PCI_BARS || f->bars[index].region)
        return lunik_fail(err, LUNIK_E_INVALID, "pci: BAR %u is taken or does not exist", index);
    if (size < least || size > most || (size & (size - 1)))
        return lunik_fail(err, LUNIK_E_INVALID,
                          "pci: BAR %u: size 0x%" PRIx64 " is no power of two from 0x%" PRIx64
                          " to 0x%" PRIx64,
                          index, size, least, most);
    f->bars[index] = (pci_bar){region, kind};

    unsigned offset = PCI_BAR0 + 4 * index;
    uint64_t mask = ~(size - 1);
    pci_set_long(f->writable, offset, (uint32_t)mask);
    pci_set_long(f->initial, offset, kind == PCI_BAR_IO ? 1 : kind == PCI_BAR_MEM64 ? 4 : 0);
    if (kind == PCI_BAR_MEM64)
        pci_set_long(f->writable, offset + 4, (uint32_t)(mask >> 32));
    return 0;
}

/* Where BAR index decodes now; false if it does not. An address of zero, one that wraps and the
 * all-ones pattern of sizing do not decode. */
static bool bar_address(const pci_function *f, unsigned index, uint64_t *address)
{
    const pci_bar *bar = &f->bars[index];
    unsigned offset = PCI_BAR0 + 4 * index;
    uint16_t enable = bar->kind == PCI_BAR_IO ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;
    uint64_t size = lunik_region_size(bar->region);
    uint64_t limit = bar->kind == PCI_BAR_IO      ? 0x10000
                     : bar->kind == PCI_BAR_MEM32 ? UINT64_C(0xffffffff)
                                                  : UINT64_MAX;

    *address = pci_get_long(f->config, offset);
    if (bar->kind == PCI_BAR_MEM64)
        *address |= (uint64_t)pci_get_long(f->config, offset + 4) << 32;
    *address &= ~(size - 1);
    return (pci_get_word(f->config, PCI_COMMAND) & enable) && *address && *address <= limit - size;
}

void pci_map_failed(pci_function *f, lunik_error *why)
{
    lunik_fail_prefix(why, why->code, "%s: the memory map can't follow the guest's registers",
                      lunik_object_type_name(f->owner));
    lunik_machine_map_broken(f->bus->machine, why);
}

/* Makes the regions follow BARs and command register. */
static void update_bars(pci_function *f)
{
    lunik_error err;

    if (!f->bus || !f->bus->machine)
        return;
    lunik_transaction_begin(f->bus->machine);
    for (unsigned i = 0; i < PCI_BARS; i++) {
        lunik_region *region = f->bars[i].region;
        lunik_region *parent = f->bars[i].kind == PCI_BAR_IO ? f->bus->io : f->bus->memory;
        uint64_t address;

        if (!region)
            continue;
        bool want = bar_address(f, i, &address);
        bool mapped = lunik_region_parent(region) != NULL;
        if (mapped && (!want || lunik_region_offset(region) != address)) {
            if (lunik_region_del(region, NULL) < 0)
                continue;
            mapped = false;
        }
        if (want && !mapped)
            lunik_region_add(parent, address, region, 0, true, NULL);
    }
    if (lunik_transaction_commit(f->bus->machine, &err))
        pci_map_failed(f, &err);
}

uint32_t pci_config_read(const pci_function *f, unsigned offset, unsigned size)
{
    uint32_t value = 0;

    for (unsigned i = 0; i < size && offset + i < PCI_CONFIG_SIZE; i++)
        value |= (uint32_t)f->config[offset + i] << 8 * i;
    return value;
}

static void drive_intx(pci_function *f);

void pci_config_write(pci_function *f, unsigned offset, unsigned size, uint32_t value)
{
    if (size > PCI_CONFIG_SIZE - offset)
        size = PCI_CONFIG_SIZE - offset;
    for (unsigned i = 0; i < size; i++) {
        unsigned at = offset + i;
        uint8_t byte = (uint8_t)(value >> 8 * i);
        uint8_t mask = f->writable[at];

        f->config[at] = (uint8_t)((f->config[at] & ~mask) | (byte & mask));
        f->config[at] &= (uint8_t) ~(byte & f->clearable[at]);
    }
    if (offset < PCI_COMMAND + 2 && offset + size > PCI_COMMAND)
        drive_intx(f);
    if (offset < PCI_BAR0 + 4 * PCI_BARS && offset + size > PCI_COMMAND)
        update_bars(f);
    if (f->written)
        f->written(f, offset, size);
}

void pci_function_reset(pci_function *f)
{
    f->intx = false;
    memcpy(f->config, f->initial, sizeof f->config);
    drive_intx(f);
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

int pci_bus_add(pci_bus *bus, pci_function *f, uint8_t devfn, lunik_error *err)
{
    if (bus->functions[devfn])
        return lunik_fail(err, LUNIK_E_EXISTS, "PCI address %x.%x is taken by %s", devfn >> 3,
                          devfn & 7, lunik_object_path(bus->functions[devfn]->owner));
    f->bus = bus;
    f->devfn = devfn;
    bus->functions[devfn] = f;
    pci_function_reset(f);
    return 0;
}

int pci_device_add(lunik_object *bus, const char *addr, pci_function *f, lunik_error *err)
{
    const pci_bus_ops *ops = lunik_object_iface(bus, "pci-bus");
    uint8_t devfn = 0;
    int rc = pci_parse_addr(addr, &devfn, err);

    return rc < 0 ? rc : pci_bus_add(ops->bus(bus), f, devfn, err);
}

void pci_bus_remove(pci_function *f)
{
    if (!f->bus)
        return;
    pci_function_reset(f);
    f->bus->functions[f->devfn] = NULL;
    f->bus = NULL;
}

static pci_function *selected(const pci_bus *bus, uint32_t address)
{
    if (!(address & MECHANISM1_ENABLE) || (address >> 16 & 0xff) != 0)
        return NULL;
    return bus->functions[address >> 8 & 0xff];
}

/* The register that a cycle at the data port reaches. Guests put bits 1:0 of its number into the
 * latch, select a byte of the data port by them, or do both. */
static unsigned register_of(uint32_t address, unsigned offset)
{
    return (address & 0xff) | offset;
}

uint32_t pci_mechanism1_read(const pci_bus *bus, uint32_t address, unsigned offset, unsigned size)
{
    const pci_function *f = selected(bus, address);

    return f ? pci_config_read(f, register_of(address, offset), size) : UINT32_MAX;
}

void pci_mechanism1_write(pci_bus *bus, uint32_t address, unsigned offset, unsigned size,
                          uint32_t value)
{
    pci_function *f = selected(bus, address);

    if (f)
        pci_config_write(f, register_of(address, offset), size, value);
}

/* ---- interrupts ----------------------------------------------------------------------------- */

unsigned pci_pirq(uint8_t devfn, unsigned pin)
{
    return ((devfn >> 3) + pin + 2) % PCI_PIRQS;
}

/* Makes status bit and PIRQ follow what the device asks for and the guest allows. */
static void drive_intx(pci_function *f)
{
    unsigned pin = f->config[PCI_INTERRUPT_PIN];
    uint16_t status = pci_get_word(f->config, PCI_STATUS) & (uint16_t)~PCI_STATUS_INTX;
    bool level = f->intx && pin && !(pci_get_word(f->config, PCI_COMMAND) & PCI_COMMAND_INTX_OFF);

    pci_set_word(f->config, PCI_STATUS, status | (f->intx ? PCI_STATUS_INTX : 0));
    if (level == f->driven || !f->bus)
        return;
    f->driven = level;

    pci_bus *bus = f->bus;
    unsigned pirq = pci_pirq(f->devfn, f->initial[PCI_INTERRUPT_PIN]);
    unsigned before = bus->asserted[pirq];
    bus->asserted[pirq] = level ? before + 1 : before - 1;
    if (bus->route && (before == 0 || bus->asserted[pirq] == 0))
        bus->route(bus->route_opaque, pirq, level);
}

void pci_intx_set(pci_function *f, bool level)
{
    f->intx = level;
    drive_intx(f);
}

void pci_bus_set_router(pci_bus *bus, void (*fn)(void *opaque, unsigned pirq, bool level),
                        void *opaque)
{
    bus->route = fn;
    bus->route_opaque = opaque;
    for (unsigned i = 0; fn && i < PCI_PIRQS; i++) {
        if (bus->asserted[i])
            fn(opaque, i, true);
    }
}
