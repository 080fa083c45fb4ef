/*
 * pci_hotplug_chip.c: the register model of ACPI PCI hotplug.
 *
 * Layout and rules of QEMU's docs/specs/acpi_pci_hotplug.rst, with bridges: one selected bus shows
 * in six registers. Reading the slots that were filled clears them; a slot that is asked for stays
 * so until the guest ejects it or refuses. Where the selector names no bus registers read as zero
 * and take only writes of the selector. Behind QEMU's registers there are two for _OST.
 */
#include "pci_hotplug_chip.h"

#include <string.h>

void pci_slots_init(struct pci_slots *s, const struct pci_slots_ops *ops)
{
    memset(s, 0, sizeof(*s));
    s->ops = ops;
    s->slot = PCI_HOTPLUG_SLOTS;
}

void pci_slots_reset(struct pci_slots *s)
{
    s->selector = s->index = s->ost_event = 0;
    s->slot = PCI_HOTPLUG_SLOTS;
    memset(s->bus, 0, s->count * sizeof(s->bus[0]));
}

bool pci_slots_pending(const struct pci_slots *s)
{
    for (unsigned i = 0; i < s->count; i++)
        if (s->bus[i].up || s->bus[i].down)
            return true;
    return false;
}

/* Returns the slot that a mask names; 32: none. */
static unsigned slot_of(uint32_t mask)
{
    return mask ? (unsigned)__builtin_ctz(mask) : PCI_HOTPLUG_SLOTS;
}

static uint32_t take(uint32_t *value)
{
    uint32_t taken = *value;

    *value = 0;
    return taken;
}

uint32_t pci_slots_read(struct pci_slots *s, unsigned offset)
{
    if (offset == PHP_BUS)
        return s->selector;
    if (s->selector >= s->count)
        return 0;
    switch (offset) {
    case PHP_UP:
        return take(&s->bus[s->selector].up);
    case PHP_DOWN:
        return s->bus[s->selector].down;
    case PHP_REMOVABLE:
        return s->ops->removable(s, s->selector);
    case PHP_INDEX:
        return take(&s->index);
    case PHP_OST_EVENT:
        return s->ost_event;
    default:
        return 0;
    }
}

static void eject(struct pci_slots *s, unsigned slot)
{
    struct pci_slots_bus *bus = &s->bus[s->selector];

    if (slot == PCI_HOTPLUG_SLOTS)
        return;
    bus->up &= ~(UINT32_C(1) << slot);
    bus->down &= ~(UINT32_C(1) << slot);
    s->ops->eject(s, s->selector, slot);
}

static void select_slot(struct pci_slots *s, unsigned slot)
{
    s->slot = slot;
    s->index = slot < PCI_HOTPLUG_SLOTS ? s->ops->acpi_index(s, s->selector, slot) : 0;
}

void pci_slots_write(struct pci_slots *s, unsigned offset, uint32_t value)
{
    if (offset == PHP_BUS) {
        s->selector = value;
        s->slot = PCI_HOTPLUG_SLOTS;
        s->index = 0;
    }
    if (s->selector >= s->count)
        return;
    switch (offset) {
    case PHP_EJECT:
        eject(s, slot_of(value));
        break;
    case PHP_INDEX:
        select_slot(s, slot_of(value));
        break;
    case PHP_OST_EVENT:
        s->ost_event = value;
        break;
    case PHP_OST_STATUS:
        if (s->slot < PCI_HOTPLUG_SLOTS)
            s->ops->ost(s, s->selector, s->slot, s->ost_event, value);
        break;
    }
}

/* ---- state ---------------------------------------------------------------------------------- */

static int post_load(void *staged, const void *state, uint16_t version, lunik_error *err)
{
    const struct pci_slots *s = staged;

    if (s->slot > PCI_HOTPLUG_SLOTS)
        return lunik_fail(err, LUNIK_E_INVALID, "slot: %u is no slot (want at most %u)", s->slot,
                          PCI_HOTPLUG_SLOTS);
    return 0;
}

static const lunik_state_field bus_fields[] = {
    LUNIK_STATE(struct pci_slots_bus, up),
    LUNIK_STATE(struct pci_slots_bus, down),
    {0},
};

static const lunik_state_table bus_table = {
    .name = "bus",
    .version = 1,
    .size = sizeof(struct pci_slots_bus),
    .fields = bus_fields,
};

static const lunik_state_field state_fields[] = {
    LUNIK_STATE(struct pci_slots, count, .flags = LUNIK_STATE_SAME),
    LUNIK_STATE(struct pci_slots, selector),
    LUNIK_STATE(struct pci_slots, slot),
    LUNIK_STATE(struct pci_slots, index),
    LUNIK_STATE(struct pci_slots, ost_event),
    LUNIK_STATE_COUNTED_STRUCTS(struct pci_slots, bus, count, &bus_table),
    {0},
};

const lunik_state_table pci_slots_state = {
    .name = "slots",
    .version = 1,
    .size = sizeof(struct pci_slots),
    .fields = state_fields,
    .post_load = post_load,
};
