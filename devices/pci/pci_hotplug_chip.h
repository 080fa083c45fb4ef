/* pci_hotplug_chip.h: the register model of ACPI PCI hotplug, apart from its bus. */
#ifndef PCI_PCI_HOTPLUG_CHIP_H
#define PCI_PCI_HOTPLUG_CHIP_H

#include <stdbool.h>
#include <stdint.h>

#include "lunik_device.h"

#define PCI_HOTPLUG_BUSES 256
#define PCI_HOTPLUG_SLOTS 32

enum { PCI_HOTPLUG_SIZE = 32 }; /* bytes of registers */

/* Offsets; every register has 32 bits. */
enum {
    PHP_UP = 0x00,        /* read, which clears it: a bit for each slot that was filled */
    PHP_DOWN = 0x04,      /* read: a bit for each slot that is asked for */
    PHP_EJECT = 0x08,     /* write: the lowest bit set names the slot; reads as features: none */
    PHP_REMOVABLE = 0x0c, /* read: a bit for each slot whose device can go */
    PHP_BUS = 0x10,       /* both: selects the bus of the others */
    PHP_INDEX = 0x14,     /* write: the lowest bit set selects a slot; read: its acpi-index, once */
    PHP_OST_EVENT = 0x18, /* both: of the slot last selected through PHP_INDEX */
    PHP_OST_STATUS = 0x1c, /* write; concludes the _OST */
};

struct pci_slots;

/* Calls that the guest's accesses lead to; bus < count, slot < 32. */
struct pci_slots_ops {
    /* The guest gives a slot up; it may be empty. */
    void (*eject)(struct pci_slots *s, unsigned bus, unsigned slot);
    /* The guest has reported a status (_OST) of a slot. */
    void (*ost)(struct pci_slots *s, unsigned bus, unsigned slot, uint32_t event, uint32_t status);
    uint32_t (*removable)(struct pci_slots *s, unsigned bus);
    uint32_t (*acpi_index)(struct pci_slots *s, unsigned bus, unsigned slot); /* 0: it has none */
};

struct pci_slots_bus {
    uint32_t up, down;
};

struct pci_slots {
    const struct pci_slots_ops *ops;
    uint32_t count; /* of buses */
    uint32_t selector;
    uint32_t slot;  /* selected through PHP_INDEX; 32: none */
    uint32_t index; /* what PHP_INDEX reads as next */
    uint32_t ost_event;
    struct pci_slots_bus bus[PCI_HOTPLUG_BUSES];
};

/* No bus, no event; count is for the caller to raise. */
void pci_slots_init(struct pci_slots *s, const struct pci_slots_ops *ops);
/* Drops pending events and selections. */
void pci_slots_reset(struct pci_slots *s);
/* Whether the guest has not handled an event of some slot yet. */
bool pci_slots_pending(const struct pci_slots *s);
/* offset is a multiple of 4 below PCI_HOTPLUG_SIZE. */
uint32_t pci_slots_read(struct pci_slots *s, unsigned offset);
void pci_slots_write(struct pci_slots *s, unsigned offset, uint32_t value);

extern const lunik_state_table pci_slots_state;

#endif
