/* pci.h: the PCI bus as host bridges see it; lunik_pci.h is for the devices on it. */
#ifndef PCI_PCI_H
#define PCI_PCI_H

#include "lunik_pci.h"

#define PCI_PIRQS 4

/* Registers of a PCI-to-PCI bridge that routing needs; pci_bridge.c has the others. */
#define PCI_SECONDARY_BUS   0x19
#define PCI_SUBORDINATE_BUS 0x1a

#define PCI_DEVFN(slot, function) ((uint8_t)((slot) << 3 | (function)))

#define PCI_SLOTS     32
#define PCI_FUNCTIONS 8  /* of a slot */
#define PCI_ACPI_PATH 64 /* bytes of "\\_SB.PCI0.B010": six bridges below each other */

struct pci_announcer;

/* The part of a bus for hotplug. */
struct pci_bus_plug {
    struct pci_announcer
        *announcer; /* of a host bridge's bus; NULL: devices come and go silently */
    bool numbered;  /* the announcer has a number for the bus */
    unsigned number;
    uint32_t described;         /* a bit for each slot that the ACPI tables have */
    uint8_t handled[PCI_SLOTS]; /* a bit for each function that the handler plugged */
    char path[PCI_ACPI_PATH];   /* in ACPI's namespace */
};

/* The bridge above it provides the containers that BARs are mapped in. */
struct lunik_pci_bus {
    lunik_machine *machine;
    lunik_object *owner;        /* offers it */
    lunik_pci_function *bridge; /* the PCI-to-PCI bridge above it; NULL: a host bridge's bus */
    lunik_region *memory, *io;
    lunik_pci_function *functions[256]; /* by devfn */
    unsigned asserted[PCI_PIRQS];       /* functions that hold the line low */
    /* The interrupt router; called when a PIRQ line changes. */
    void (*route)(void *opaque, unsigned pirq, bool level);
    void *route_opaque;
    struct pci_bus_plug plug;
};

/* Announces devices to the guest; see pci_hotplug.c. The bus has a number. */
struct pci_announcer {
    void (*join)(struct pci_announcer *a, lunik_pci_bus *bus); /* numbers a bus behind a bridge */
    void (*leave)(struct pci_announcer *a, lunik_pci_bus *bus);
    void (*plug)(struct pci_announcer *a, lunik_pci_bus *bus, unsigned slot);
    void (*unplug_request)(struct pci_announcer *a, lunik_pci_bus *bus, unsigned slot);
    /* The function is about to leave the bus. */
    void (*unplug)(struct pci_announcer *a, lunik_pci_bus *bus, uint8_t devfn);
};

/* Offsets of capabilities in configuration space; 0: the function does not have it. */
struct lunik_pci_extra {
    uint64_t used; /* a bit for each dword that a capability takes */
    uint8_t last;  /* the capability at the end of the list; 0: the list is empty */
    uint8_t msi, msix, features;
    lunik_region *rom;
    lunik_region *msix_bar; /* made for the table; NULL: it is in a BAR of the device's */
    lunik_region *msix_table, *msix_pba;
    lunik_pci_bus *secondary;   /* of a bridge */
    struct pci_vector *vectors; /* those of MSI-X with eventfds; NULL: none has one */
};

/* pci_capability.c: returns what f has beyond its struct, making it if needed; NULL: out of memory.
 */
lunik_pci_extra *pci_extra(lunik_pci_function *f, lunik_error *err);
void pci_extra_free(lunik_pci_function *f);
/* To be called after the guest wrote the function's registers. */
void pci_features_written(lunik_pci_function *f, unsigned offset, unsigned size);

/* True if an access of size bytes at offset touches one of `count` bytes at `at`. */
static inline bool pci_touches(unsigned offset, unsigned size, unsigned at, unsigned count)
{
    return offset < at + count && offset + size > at;
}

/* pci_bar.c: makes the regions follow BARs, ROM and command register, or leaves them as they were.
 */
int pci_map_bars(lunik_pci_function *f, lunik_error *err);
/* The same, and reports a failure. */
void pci_update_bars(lunik_pci_function *f);
/* Makes the region of the registers of f's owner, whose state the ops get, and gives it to BAR 0,
 * of 32-bit memory. */
int pci_registers_init(lunik_pci_function *f, lunik_region **out, const char *name, uint64_t size,
                       const lunik_io_ops *ops, lunik_error *err);

/* pci_intx.c: makes status bit and line follow the device's request, where the guest allows it. */
void pci_update_intx(lunik_pci_function *f);

/* Whether f, and every bridge above it, may be a bus master. */
bool pci_may_master(const lunik_pci_function *f);
/* Makes gates and pending messages of f, and of what is behind it, follow the bus-master bits. */
void pci_update_mastering(lunik_pci_function *f);

/* pci_msi.c, pci_msix.c: send what is pending and may be sent now. */
void pci_msi_update(lunik_pci_function *f);
void pci_msix_update(lunik_pci_function *f);
unsigned pci_msi_vectors(const lunik_pci_function *f);
unsigned pci_msix_vectors(const lunik_pci_function *f);
void pci_msi_send(lunik_pci_function *f, unsigned vector);
void pci_msix_send(lunik_pci_function *f, unsigned vector);
void pci_msix_reset(lunik_pci_function *f);
/* Returns whether a message of the vector would go out now, with the message. */
bool pci_msix_ready(const lunik_pci_function *f, unsigned vector, lunik_msi *msg);
bool pci_msi_ready(const lunik_pci_function *f, unsigned vector, lunik_msi *msg);
/* Returns how many vectors the capability of MSI offers; 0: there is none. */
unsigned pci_msi_offered(const lunik_pci_function *f);
/* pci_vector_fd.c: makes the route of a vector, or those of all, follow the guest's masks. */
void pci_vector_follow(lunik_pci_function *f, unsigned vector);
void pci_vectors_follow(lunik_pci_function *f);
void pci_vectors_free(lunik_pci_function *f);
void pci_msix_free(lunik_pci_function *f);
/* The section of the function's state. */
extern const lunik_state_table pci_msix_state;

/* Resets the device that has f, or all devices on a bus and the buses behind it. */
void pci_function_reset_owner(lunik_pci_function *f);
void pci_bus_reset(lunik_pci_bus *bus);

/* pci_plug.c: the hotplug handler "pci" that host bridges are. */
extern const lunik_hotplug_ops pci_hotplug_ops;
/* Returns the host bridge's bus above a bus. */
lunik_pci_bus *pci_bus_root(lunik_pci_bus *bus);
/* Returns the slots whose functions can all leave a running machine; empty ones count. */
uint32_t pci_bus_removable(const lunik_pci_bus *bus);
/* Parses addr, or finds a slot for "auto", and checks that the place is free, and that a guest
 * could find a device that is hot-plugged there. */
int pci_bus_place(lunik_pci_bus *bus, const lunik_object *device, const char *addr, uint8_t *devfn,
                  lunik_error *err);
/* Has the bus behind a bridge join those that devices can be hot-plugged into, or leave them. */
void pci_bus_join_hotplug(lunik_pci_bus *bus);
void pci_bus_leave_hotplug(lunik_pci_bus *bus);

/* Parses "slot" or "slot.function", hexadecimal. */
int pci_parse_addr(const char *text, uint8_t *devfn, lunik_error *err);

/* Fails in words that name the function that is at devfn; device is the one that wants the place.
 */
int pci_check_free(const lunik_pci_bus *bus, uint8_t devfn, const lunik_object *device,
                   lunik_error *err);
/* Puts f on bus at devfn, in its reset state. */
int pci_bus_add(lunik_pci_bus *bus, lunik_pci_function *f, uint8_t devfn, lunik_error *err);

/* pci_dma.c: opens or closes the gates of f as its command register says. */
void pci_update_masters(lunik_pci_function *f);

/* Access to a configuration space, on bus or behind it, through configuration mechanism 1: address
 * is the latch at 0xcf8, offset 0..3 within the data port; the register is the latch's bits 7:0,
 * or'ed with offset. Where there is no function reads give all ones and writes are dropped. */
uint32_t pci_mechanism1_read(lunik_pci_bus *bus, uint32_t address, unsigned offset, unsigned size);
void pci_mechanism1_write(lunik_pci_bus *bus, uint32_t address, unsigned offset, unsigned size,
                          uint32_t value);

/* Returns the PIRQ (0..3) that pin 1..4 of the function at devfn is wired to: the usual swizzle,
 * where INTA# of slot 1 is PIRQA. */
unsigned pci_pirq(uint8_t devfn, unsigned pin);
/* Sets (fn NULL: removes) the bus's interrupt router and notifies it of lines that are high. */
void pci_bus_set_router(lunik_pci_bus *bus, void (*fn)(void *opaque, unsigned pirq, bool level),
                        void *opaque);

/* Connects the lines of a bus behind a bridge to the bridge's pins; the bridge is on its bus. */
void pci_bus_join_intx(lunik_pci_bus *bus);

/* Describes a PCI device in ACPI with the ASL part of that name, which takes its address as _ADR.
 */
void pci_describe(lunik_acpi_node *out, const char *part, const lunik_pci_function *f);

#endif
