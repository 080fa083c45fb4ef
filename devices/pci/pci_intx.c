/* pci_intx.c: interrupt pins, shared lines, and their way through bridges (PCI Local Bus 3.0,
 * section 2.2.6; PCI-to-PCI Bridge 1.2, section 9.1). */
#include "pci.h"

unsigned pci_pirq(uint8_t devfn, unsigned pin)
{
    return ((devfn >> 3) + pin + 2) % PCI_PIRQS;
}

/* Returns the line of bus that pin 1..4 of the function at devfn is wired to. Behind a bridge they
 * are its own pins. */
static unsigned line_of(const lunik_pci_bus *bus, uint8_t devfn, unsigned pin)
{
    return bus->bridge ? ((devfn >> 3) + pin + 3) % PCI_PIRQS : pci_pirq(devfn, pin);
}

/* Counts a function that begins or ends to hold a line. */
static void drive(lunik_pci_bus *bus, unsigned line, bool level)
{
    unsigned before = bus->asserted[line];

    bus->asserted[line] = level ? before + 1 : before - 1;
    if (bus->route && (before == 0 || bus->asserted[line] == 0))
        bus->route(bus->route_opaque, line, level);
}

void pci_update_intx(lunik_pci_function *f)
{
    unsigned pin = f->initial[LUNIK_PCI_INTERRUPT_PIN];
    uint16_t status =
        lunik_pci_get_word(f->config, LUNIK_PCI_STATUS) & (uint16_t)~LUNIK_PCI_STATUS_INTX;
    bool level = f->intx && pin && !lunik_pci_vectors(f) &&
                 !(lunik_pci_get_word(f->config, LUNIK_PCI_COMMAND) & LUNIK_PCI_COMMAND_INTX_OFF);

    lunik_pci_set_word(f->config, LUNIK_PCI_STATUS, status | (f->intx ? LUNIK_PCI_STATUS_INTX : 0));
    if (level == f->driven || !f->bus)
        return;
    f->driven = level;
    drive(f->bus, line_of(f->bus, f->devfn, pin), level);
}

void lunik_pci_intx_set(lunik_pci_function *f, bool level)
{
    LUNIK_NOT_NULL(f);

    f->intx = level;
    pci_update_intx(f);
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

/* A line behind a bridge is the bridge's pin of that number. */
static void pin_changed(void *opaque, unsigned line, bool level)
{
    lunik_pci_function *bridge = opaque;

    drive(bridge->bus, line_of(bridge->bus, bridge->devfn, line + 1), level);
}

void pci_bus_join_intx(lunik_pci_bus *bus)
{
    pci_bus_set_router(bus, pin_changed, bus->bridge);
}
