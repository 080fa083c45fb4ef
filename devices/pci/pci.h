/* pci.h: the PCI bus as host bridges see it; lunik_pci.h is for the devices on it. */
#ifndef PCI_PCI_H
#define PCI_PCI_H

#include "lunik_pci.h"

#define PCI_PIRQS 4

#define PCI_DEVFN(slot, function) ((uint8_t)((slot) << 3 | (function)))

/* The host bridge provides the containers that BARs are mapped in. */
struct lunik_pci_bus {
    lunik_machine *machine;
    lunik_region *memory, *io;
    lunik_pci_function *functions[256]; /* by devfn */
    unsigned asserted[PCI_PIRQS];       /* functions that hold the line low */
    /* The interrupt router; called when a PIRQ line changes. */
    void (*route)(void *opaque, unsigned pirq, bool level);
    void *route_opaque;
};

/* Parses "slot" or "slot.function", hexadecimal. */
int pci_parse_addr(const char *text, uint8_t *devfn, lunik_error *err);

/* Puts f on bus at devfn, in its reset state. */
int pci_bus_add(lunik_pci_bus *bus, lunik_pci_function *f, uint8_t devfn, lunik_error *err);

/* pci_dma.c: opens or closes the gates of f as its command register says. */
void pci_update_masters(lunik_pci_function *f);

/* Access to a configuration space through configuration mechanism 1: address is the latch at 0xcf8,
 * offset 0..3 within the data port; the register is the latch's bits 7:0, or'ed with offset. Where
 * there is no function reads give all ones and writes are dropped. */
uint32_t pci_mechanism1_read(const lunik_pci_bus *bus, uint32_t address, unsigned offset,
                             unsigned size);
void pci_mechanism1_write(lunik_pci_bus *bus, uint32_t address, unsigned offset, unsigned size,
                          uint32_t value);

/* Returns the PIRQ (0..3) that pin 1..4 of the function at devfn is wired to: the usual swizzle,
 * where INTA# of slot 1 is PIRQA. */
unsigned pci_pirq(uint8_t devfn, unsigned pin);
/* Sets (fn NULL: removes) the bus's interrupt router and notifies it of lines that are high. */
void pci_bus_set_router(lunik_pci_bus *bus, void (*fn)(void *opaque, unsigned pirq, bool level),
                        void *opaque);

/* Describes a PCI device in ACPI with the ASL part of that name, which takes its address as _ADR.
 */
void pci_describe(lunik_acpi_node *out, const char *part, const lunik_pci_function *f);

#endif
