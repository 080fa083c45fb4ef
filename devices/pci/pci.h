/* pci.h: PCI functions, a bus of them, and how configuration cycles reach them. */
#ifndef PCI_PCI_H
#define PCI_PCI_H

#include "lunik_device.h"

/* Configuration header (PCI Local Bus 3.0, chapter 6). */
#define LUNIK_PCI_VENDOR_ID           0x00
#define LUNIK_PCI_DEVICE_ID           0x02
#define LUNIK_PCI_COMMAND             0x04
#define LUNIK_PCI_COMMAND_IO          0x0001
#define LUNIK_PCI_COMMAND_MEMORY      0x0002
#define LUNIK_PCI_COMMAND_MASTER      0x0004
#define LUNIK_PCI_COMMAND_INTX_OFF    0x0400
#define LUNIK_PCI_STATUS              0x06
#define LUNIK_PCI_STATUS_INTX         0x0008
#define LUNIK_PCI_STATUS_FAST_B2B     0x0080
#define LUNIK_PCI_STATUS_DEVSEL_MED   0x0200
#define LUNIK_PCI_STATUS_ERRORS       0xf900 /* write 1 to clear */
#define LUNIK_PCI_REVISION            0x08
#define LUNIK_PCI_CLASS               0x09
#define LUNIK_PCI_LATENCY             0x0d
#define LUNIK_PCI_HEADER              0x0e
#define LUNIK_PCI_HEADER_MULTI        0x80
#define LUNIK_PCI_BAR0                0x10
#define LUNIK_PCI_SUBSYSTEM_VENDOR_ID 0x2c
#define LUNIK_PCI_SUBSYSTEM_ID        0x2e
#define LUNIK_PCI_INTERRUPT_LINE      0x3c
#define LUNIK_PCI_INTERRUPT_PIN       0x3d

#define LUNIK_PCI_CONFIG_SIZE 256
#define LUNIK_PCI_BARS        6
#define PCI_PIRQS             4

#define PCI_DEVFN(slot, function) ((uint8_t)((slot) << 3 | (function)))

typedef struct lunik_pci_bus lunik_pci_bus;
typedef struct lunik_pci_function lunik_pci_function;

typedef enum lunik_pci_bar_kind {
    LUNIK_PCI_BAR_IO,
    LUNIK_PCI_BAR_MEM32,
    LUNIK_PCI_BAR_MEM64
} lunik_pci_bar_kind;

typedef struct lunik_pci_bar {
    lunik_region *region; /* NULL: not implemented */
    lunik_pci_bar_kind kind;
} lunik_pci_bar;

/* One function's configuration space. The device embeds it, fills in `initial` and the masks
 * beyond the header, and puts it on a bus. */
struct lunik_pci_function {
    lunik_object *owner;
    uint8_t config[LUNIK_PCI_CONFIG_SIZE];
    uint8_t initial[LUNIK_PCI_CONFIG_SIZE];   /* after reset */
    uint8_t writable[LUNIK_PCI_CONFIG_SIZE];  /* bits the guest may change */
    uint8_t clearable[LUNIK_PCI_CONFIG_SIZE]; /* bits the guest clears by writing 1 */
    /* Called after the guest wrote size bytes at offset; may be NULL. */
    void (*written)(lunik_pci_function *f, unsigned offset, unsigned size);
    lunik_pci_bar bars[LUNIK_PCI_BARS];
    lunik_pci_bus *bus;
    uint8_t devfn;
    bool intx;   /* what the device asks for */
    bool driven; /* what its PIRQ sees */
};

/* A bus. What drives it (the host bridge) provides the containers that BARs are mapped in. */
struct lunik_pci_bus {
    lunik_machine *machine;
    lunik_region *memory, *io;
    lunik_pci_function *functions[256]; /* by devfn */
    unsigned asserted[PCI_PIRQS];       /* functions that hold the line low */
    /* The interrupt router; called when a PIRQ line changes. */
    void (*route)(void *opaque, unsigned pirq, bool level);
    void *route_opaque;
};

/* "pci-bus": what a host bridge or a bridge offers to the devices behind it. */
typedef struct lunik_pci_bus_ops {
    lunik_pci_bus *(*bus)(lunik_object *o);
} lunik_pci_bus_ops;

/* The link and address properties of a device on a PCI bus: `lunik_object *bus; char *addr;` in
 * its state. */
#define LUNIK_PCI_DEVICE_PROPS(type, default_addr)                                                 \
    {.name = "bus",                                                                                \
     .kind = LUNIK_PROP_LINK,                                                                      \
     .doc = "The PCI bus it sits on.",                                                             \
     .offset = offsetof(type, bus),                                                                \
     .flags = LUNIK_PROP_REQUIRED,                                                                 \
     .link = "pci-bus"},                                                                           \
    {                                                                                              \
        .name = "addr", .kind = LUNIK_PROP_STRING,                                                 \
        .doc = "Slot and function on the bus, in hexadecimal: \"1f.7\" at most.",                  \
        .offset = offsetof(type, addr), .def_string = (default_addr)                               \
    }

/* Sets up the identification and the header's masks. class_code is base, sub and programming
 * interface in 24 bits. */
void lunik_pci_function_init(lunik_pci_function *f, lunik_object *owner, uint16_t vendor,
                             uint16_t device, uint8_t revision, uint32_t class_code);

/* Little-endian values in any of a function's four arrays. */
void lunik_pci_set_word(uint8_t *array, unsigned offset, uint16_t value);
void lunik_pci_set_long(uint8_t *array, unsigned offset, uint32_t value);
uint16_t lunik_pci_get_word(const uint8_t *array, unsigned offset);
uint32_t lunik_pci_get_long(const uint8_t *array, unsigned offset);

/* Makes region, whose size is a power of two, decode at what the guest writes into BAR index. The
 * caller keeps its reference. */
int lunik_pci_bar_init(lunik_pci_function *f, unsigned index, lunik_pci_bar_kind kind,
                       lunik_region *region, lunik_error *err);

/* Parses "slot" or "slot.function", hexadecimal. */
int pci_parse_addr(const char *text, uint8_t *devfn, lunik_error *err);

/* Puts f on bus at devfn, in its reset state. */
int pci_bus_add(lunik_pci_bus *bus, lunik_pci_function *f, uint8_t devfn, lunik_error *err);
/* The same for a device with LUNIK_PCI_DEVICE_PROPS. */
int lunik_pci_device_add(lunik_object *bus, const char *addr, lunik_pci_function *f,
                         lunik_error *err);
/* Unmaps its BARs, lowers its interrupt and takes it off. Nothing happens if it is on no bus. */
void lunik_pci_device_remove(lunik_pci_function *f);

/* The memory map can't follow what the guest wrote to f, and stays as it was: pauses the machine,
 * and an event "error" says so. */
void lunik_pci_map_failed(lunik_pci_function *f, lunik_error *why);

/* Power-on state: `initial`, BARs unmapped, interrupt low. */
void lunik_pci_function_reset(lunik_pci_function *f);

/* A configuration access of 1, 2 or 4 bytes; offset 0..255, on any boundary. Bytes beyond the last
 * register read as zeros and drop what is written. */
uint32_t lunik_pci_config_read(const lunik_pci_function *f, unsigned offset, unsigned size);
void lunik_pci_config_write(lunik_pci_function *f, unsigned offset, unsigned size, uint32_t value);

/* The same through configuration mechanism 1: address is the latch at 0xcf8, offset 0..3 within
 * the data port; the register is the latch's bits 7:0, or'ed with offset. Nothing there: all ones,
 * or dropped. */
uint32_t pci_mechanism1_read(const lunik_pci_bus *bus, uint32_t address, unsigned offset,
                             unsigned size);
void pci_mechanism1_write(lunik_pci_bus *bus, uint32_t address, unsigned offset, unsigned size,
                          uint32_t value);

/* Drives the function's INTx pin. */
void lunik_pci_intx_set(lunik_pci_function *f, bool level);
/* The PIRQ (0..3) that pin 1..4 of the function at devfn is wired to: the usual swizzle, where
 * INTA# of slot 1 is PIRQA. */
unsigned pci_pirq(uint8_t devfn, unsigned pin);
/* Sets (fn NULL: removes) the bus's interrupt router and tells it about lines that are high. */
void pci_bus_set_router(lunik_pci_bus *bus, void (*fn)(void *opaque, unsigned pirq, bool level),
                        void *opaque);

#endif
