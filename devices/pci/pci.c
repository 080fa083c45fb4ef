/*
 * pci.c: the PCI bus core: configuration spaces with write masks, and configuration mechanism 1
 * (PCI Local Bus 3.0, sections 3.2.2.3, 6.1, 6.2), also to buses behind bridges.
 *
 * Not modelled: special cycles, parity and abort status.
 */
#include <stdlib.h>
#include <string.h>

#include "pci.h"

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

/* The bit says that the slot has other functions. */
static bool multi_function(const lunik_pci_function *f)
{
    for (unsigned i = 0; f->bus && i < 8; i++) {
        const lunik_pci_function *other = f->bus->functions[(f->devfn & ~7u) | i];

        if (other && other != f)
            return true;
    }
    return false;
}

uint32_t lunik_pci_config_read(const lunik_pci_function *f, unsigned offset, unsigned size)
{
    LUNIK_NOT_NULL(f, UINT32_MAX);
    LUNIK_REQUIRE(size <= 4, "size is more than 4", UINT32_MAX);

    uint32_t value = 0;

    for (unsigned i = 0; i < size && offset + i < LUNIK_PCI_CONFIG_SIZE; i++)
        value |= (uint32_t)f->config[offset + i] << 8 * i;
    if (pci_touches(offset, size, LUNIK_PCI_HEADER, 1) && multi_function(f))
        value |= (uint32_t)LUNIK_PCI_HEADER_MULTI << 8 * (LUNIK_PCI_HEADER - offset);
    return value;
}

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
    if (pci_touches(offset, size, LUNIK_PCI_COMMAND, 2)) {
        pci_update_intx(f);
        pci_update_mastering(f);
    }
    if (pci_touches(offset, size, LUNIK_PCI_COMMAND, 2) ||
        pci_touches(offset, size, LUNIK_PCI_BAR0, 4 * LUNIK_PCI_BARS) ||
        pci_touches(offset, size, LUNIK_PCI_ROM, 4))
        pci_update_bars(f);
    if (f->extra)
        pci_features_written(f, offset, size);
    if (f->written)
        f->written(f, offset, size);
}

void lunik_pci_function_reset(lunik_pci_function *f)
{
    LUNIK_NOT_NULL(f);

    f->intx = false;
    memcpy(f->config, f->initial, sizeof f->config);
    pci_msix_reset(f);
    pci_update_intx(f);
    pci_update_mastering(f);
    pci_update_bars(f);
}

void pci_function_reset_owner(lunik_pci_function *f)
{
    if (!f->owner || !lunik_object_reset(f->owner))
        lunik_pci_function_reset(f);
}

void pci_bus_reset(lunik_pci_bus *bus)
{
    for (unsigned i = 0; i < 256; i++) {
        lunik_pci_function *f = bus->functions[i];

        if (f && f->extra && f->extra->secondary)
            pci_bus_reset(f->extra->secondary);
        if (f)
            pci_function_reset_owner(f);
    }
}

bool pci_may_master(const lunik_pci_function *f)
{
    for (; f; f = f->bus ? f->bus->bridge : NULL)
        if (!(lunik_pci_get_word(f->config, LUNIK_PCI_COMMAND) & LUNIK_PCI_COMMAND_MASTER))
            return false;
    return true;
}

void pci_update_mastering(lunik_pci_function *f)
{
    lunik_pci_bus *behind = f->extra ? f->extra->secondary : NULL;

    pci_update_masters(f);
    pci_msi_update(f);
    pci_msix_update(f);
    for (unsigned i = 0; behind && i < 256; i++)
        if (behind->functions[i])
            pci_update_mastering(behind->functions[i]);
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

static const char *id_of(const lunik_object *o)
{
    return *lunik_object_id(o) ? lunik_object_id(o) : lunik_object_path(o);
}

int pci_check_free(const lunik_pci_bus *bus, uint8_t devfn, const lunik_object *device,
                   lunik_error *err)
{
    const lunik_pci_function *other = bus->functions[devfn];

    if (!other)
        return 0;
    return lunik_fail(err, LUNIK_E_EXISTS,
                      "PCI: slot %u function %u not available for %s, in use by %s,id=%s",
                      devfn >> 3, devfn & 7, device ? lunik_object_type_name(device) : "a function",
                      other->owner ? lunik_object_type_name(other->owner) : "a function",
                      other->owner ? id_of(other->owner) : "");
}

static int check_off_bus(const lunik_pci_function *f, lunik_error *err)
{
    return f->bus ? lunik_fail(err, LUNIK_E_EXISTS, "%s is at PCI address %x.%x already",
                               lunik_object_path(f->owner), f->devfn >> 3, f->devfn & 7)
                  : 0;
}

int pci_bus_add(lunik_pci_bus *bus, lunik_pci_function *f, uint8_t devfn, lunik_error *err)
{
    int rc = check_off_bus(f, err);

    if (!rc)
        rc = pci_check_free(bus, devfn, f->owner, err);
    if (rc)
        return rc;
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
    rc = check_off_bus(f, err);
    if (!rc)
        rc = pci_bus_place(ops->bus(bus), f->owner, addr, &devfn, err);
    return rc ? rc : pci_bus_add(ops->bus(bus), f, devfn, err);
}

void lunik_pci_device_remove(lunik_pci_function *f)
{
    LUNIK_NOT_NULL(f);

    if (f->bus) {
        lunik_pci_function_reset(f);
        f->bus->functions[f->devfn] = NULL;
        f->bus = NULL;
    }
    pci_extra_free(f);
}

lunik_pci_function *lunik_pci_bus_function(lunik_object *bus, unsigned devfn)
{
    LUNIK_NOT_NULL(bus, NULL);

    const lunik_pci_bus_ops *ops = lunik_pci_bus_iface(bus);

    return ops && devfn < 256 ? ops->bus(bus)->functions[devfn] : NULL;
}

/* Returns the bus of that number, on bus or behind it; NULL: there is none. */
static lunik_pci_bus *find_bus(lunik_pci_bus *bus, unsigned number)
{
    unsigned at = 0;

    while (bus && at != number) {
        lunik_pci_bus *next = NULL;

        for (unsigned i = 0; !next && i < 256; i++) {
            const lunik_pci_function *f = bus->functions[i];

            if (!f || !f->extra || !f->extra->secondary)
                continue;
            at = f->config[PCI_SECONDARY_BUS];
            if (at <= number && number <= f->config[PCI_SUBORDINATE_BUS])
                next = f->extra->secondary;
        }
        bus = next;
    }
    return bus;
}

static lunik_pci_function *selected(lunik_pci_bus *bus, uint32_t address)
{
    if (!(address & MECHANISM1_ENABLE))
        return NULL;
    bus = find_bus(bus, address >> 16 & 0xff);
    return bus ? bus->functions[address >> 8 & 0xff] : NULL;
}

/* Returns the register that a cycle at the data port reaches. Guests put bits 1:0 of its number
 * into the latch, select a byte of the data port by them, or do both. */
static unsigned register_of(uint32_t address, unsigned offset)
{
    return (address & 0xff) | offset;
}

uint32_t pci_mechanism1_read(lunik_pci_bus *bus, uint32_t address, unsigned offset, unsigned size)
{
    lunik_pci_function *f = selected(bus, address);

    if (!f)
        return UINT32_MAX;
    if (f->reading)
        f->reading(f, register_of(address, offset), size);
    return lunik_pci_config_read(f, register_of(address, offset), size);
}

void pci_mechanism1_write(lunik_pci_bus *bus, uint32_t address, unsigned offset, unsigned size,
                          uint32_t value)
{
    lunik_pci_function *f = selected(bus, address);

    if (f)
        lunik_pci_config_write(f, register_of(address, offset), size, value);
}

/* ---- ACPI ----------------------------------------------------------------------------------- */

void pci_describe(lunik_acpi_node *out, const char *part, const lunik_pci_function *f)
{
    *out = (lunik_acpi_node){
        .part = part,
        .count = 1,
        .values = {{"_ADR", f->devfn >> 3 << 16 | (f->devfn & 7)}},
    };
}
