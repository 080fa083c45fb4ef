/*
 * lunik_pci.h: what the author of a PCI device needs in addition to lunik_device.h.
 *
 * A device has the properties of LUNIK_PCI_DEVICE_PROPS and embeds a lunik_pci_function. Its
 * realize calls lunik_pci_function_init(), fills in what the guest finds in configuration space,
 * gives its regions to lunik_pci_bar_init() and puts itself on the bus with lunik_pci_device_add();
 * its reset calls lunik_pci_function_reset(), its unrealize lunik_pci_device_remove().
 *
 * References are to PCI Local Bus Specification 3.0. What lunik.h says of errors, arguments,
 * threads and lifetime holds here: every function is called with the machine lock held, on any
 * thread.
 *
 * Capabilities, MSI, MSI-X and an expansion ROM are added between lunik_pci_function_init() and
 * lunik_pci_device_add(). Their memory outside lunik_pci_function is freed by
 * lunik_pci_device_remove(), which unrealize, and a realize that fails, call in any case.
 */
#ifndef LUNIK_PCI_H
#define LUNIK_PCI_H

#include "lunik_device.h"

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/* ---- configuration space -------------------------------------------------------------------- */

/* Configuration header (chapter 6). */
#define LUNIK_PCI_VENDOR_ID           0x00
#define LUNIK_PCI_DEVICE_ID           0x02
#define LUNIK_PCI_COMMAND             0x04
#define LUNIK_PCI_COMMAND_IO          0x0001
#define LUNIK_PCI_COMMAND_MEMORY      0x0002
#define LUNIK_PCI_COMMAND_MASTER      0x0004
#define LUNIK_PCI_COMMAND_INTX_OFF    0x0400
#define LUNIK_PCI_STATUS              0x06
#define LUNIK_PCI_STATUS_INTX         0x0008
#define LUNIK_PCI_STATUS_CAPABILITIES 0x0010
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
#define LUNIK_PCI_ROM                 0x30
#define LUNIK_PCI_ROM_ENABLE          0x00000001
#define LUNIK_PCI_CAPABILITIES        0x34
#define LUNIK_PCI_INTERRUPT_LINE      0x3c
#define LUNIK_PCI_INTERRUPT_PIN       0x3d

#define LUNIK_PCI_CONFIG_SIZE 256
#define LUNIK_PCI_BARS        6

/* A bus: what a host bridge provides. */
typedef struct lunik_pci_bus lunik_pci_bus;
typedef struct lunik_pci_function lunik_pci_function;
typedef struct lunik_pci_master lunik_pci_master;
typedef struct lunik_pci_extra lunik_pci_extra;

typedef enum lunik_pci_bar_kind {
    LUNIK_PCI_BAR_IO,
    LUNIK_PCI_BAR_MEM32,
    LUNIK_PCI_BAR_MEM64, /* takes the next BAR as well */
    LUNIK_PCI_BAR_MEM32_PREFETCH,
    LUNIK_PCI_BAR_MEM64_PREFETCH, /* takes the next BAR as well */
} lunik_pci_bar_kind;

typedef struct lunik_pci_bar {
    lunik_region *region; /* NULL: not implemented */
    lunik_pci_bar_kind kind;
} lunik_pci_bar;

/* One function's configuration space; the device embeds it. Between lunik_pci_function_init() and
 * lunik_pci_device_add() the device changes the three arrays of what the guest finds and may do,
 * and sets `written`. Afterwards it changes `config` where its own registers there change. */
struct lunik_pci_function {
    lunik_object *owner;
    uint8_t config[LUNIK_PCI_CONFIG_SIZE];    /* now */
    uint8_t initial[LUNIK_PCI_CONFIG_SIZE];   /* after reset */
    uint8_t writable[LUNIK_PCI_CONFIG_SIZE];  /* bits the guest may change */
    uint8_t clearable[LUNIK_PCI_CONFIG_SIZE]; /* bits the guest clears by writing 1 */
    /* Called after the guest wrote size bytes at offset; may be NULL. */
    void (*written)(lunik_pci_function *f, unsigned offset, unsigned size);
    /* The rest is private to the bus. */
    lunik_pci_bar bars[LUNIK_PCI_BARS];
    lunik_pci_bus *bus;
    lunik_pci_master *masters; /* of lunik_pci_dma_new() */
    uint8_t devfn;
    bool intx;   /* what the device asks for */
    bool driven; /* what its interrupt line shows */
    uint16_t msix_words, msix_pending_words;
    uint32_t *msix_table;   /* four words a vector */
    uint64_t *msix_pending; /* a bit for each vector */
    lunik_pci_extra *extra; /* of capabilities, ROM and bridges */
    /* Set like `written`; may be NULL. `reading` is called before the guest reads size bytes at
     * offset, and brings `config` up to date; `mastering` after a gate of lunik_pci_dma_new() was
     * opened or closed; `removing` before the guest is asked to release the function, whose removal
     * it refuses by failing. */
    void (*reading)(lunik_pci_function *f, unsigned offset, unsigned size);
    void (*mastering)(lunik_pci_function *f, bool open);
    int (*removing)(lunik_pci_function *f, lunik_error *err);
    void *reserved[1];
};

/* Clears f and sets its identification, the masks of the header, and owner, whose name errors
 * carry. class_code is base class, subclass and programming interface in 24 bits (appendix D). f is
 * on no bus. */
void lunik_pci_function_init(lunik_pci_function *f, lunik_object *owner, uint16_t vendor,
                             uint16_t device, uint8_t revision, uint32_t class_code);

/* Sets a little-endian word in one of a function's four arrays; offset 0..254. */
static inline void lunik_pci_set_word(uint8_t *array, unsigned offset, uint16_t value)
{
    array[offset] = (uint8_t)value;
    array[offset + 1] = (uint8_t)(value >> 8);
}

/* Sets 32 bits; offset 0..252. */
static inline void lunik_pci_set_long(uint8_t *array, unsigned offset, uint32_t value)
{
    lunik_pci_set_word(array, offset, (uint16_t)value);
    lunik_pci_set_word(array, offset + 2, (uint16_t)(value >> 16));
}

/* Returns a word; offset 0..254. */
static inline uint16_t lunik_pci_get_word(const uint8_t *array, unsigned offset)
{
    return (uint16_t)(array[offset] | array[offset + 1] << 8);
}

/* Returns 32 bits; offset 0..252. */
static inline uint32_t lunik_pci_get_long(const uint8_t *array, unsigned offset)
{
    return lunik_pci_get_word(array, offset) | (uint32_t)lunik_pci_get_word(array, offset + 2)
                                                   << 16;
}

/* Make a configuration access of 1, 2 or 4 bytes as the guest does; offset 0..255, on any boundary.
 * Bytes beyond the last register read as zeros and drop what is written. A write may change the
 * memory map and the interrupt line, and calls `written`. */
uint32_t lunik_pci_config_read(const lunik_pci_function *f, unsigned offset, unsigned size);
void lunik_pci_config_write(lunik_pci_function *f, unsigned offset, unsigned size, uint32_t value);

/* ---- base address registers ----------------------------------------------------------------- */

/* Makes region decode at the address that the guest writes into BAR index (0..5; a 64-bit BAR also
 * takes index + 1). Its size is a power of two: from 4 bytes to 64 KiB for ports, from 16 bytes to
 * 2 GiB for 32-bit memory, to 4 EiB for 64-bit memory. LUNIK_E_INVALID: another size or kind, or
 * the BAR is taken or does not exist. Before lunik_pci_device_add(). The caller keeps its reference
 * to region until f is off the bus, which maps and unmaps it. */
int lunik_pci_bar_init(lunik_pci_function *f, unsigned index, lunik_pci_bar_kind kind,
                       lunik_region *region, lunik_error *err);
/* Does the same for the expansion ROM (section 6.2.5.2), whose size is a power of two from 2 KiB to
 * 16 MiB. It decodes while its own enable bit and the memory bit of the command register are set,
 * and hides BARs that it overlaps. LUNIK_E_INVALID: another size, or f has a ROM already;
 * LUNIK_E_NO_MEMORY. */
int lunik_pci_rom_init(lunik_pci_function *f, lunik_region *region, lunik_error *err);

/* ---- capabilities --------------------------------------------------------------------------- */

#define LUNIK_PCI_CAP_MSI      0x05
#define LUNIK_PCI_CAP_VENDOR   0x09
#define LUNIK_PCI_CAP_MSIX     0x11
#define LUNIK_PCI_CAP_FEATURES 0x13

/* Appends a capability (section 6.7) of size bytes (2..192), of which the list takes the first two;
 * the caller fills the others into f's arrays. offset, a multiple of 4 from 0x40 on, or 0: the
 * first place where no capability is and the arrays hold zeros. The place is written to *out (may
 * be NULL). LUNIK_E_INVALID: a size or offset that is not possible; LUNIK_E_EXISTS: another
 * capability is there; LUNIK_E_NO_SPACE: no place is left; LUNIK_E_NO_MEMORY. */
int lunik_pci_capability_add(lunik_pci_function *f, uint8_t id, unsigned offset, unsigned size,
                             unsigned *out, lunik_error *err);
/* Returns where the first capability of that id is, or 0: there is none. */
unsigned lunik_pci_capability_find(const lunik_pci_function *f, uint8_t id);
/* Adds the capability by which the guest resets the function alone ("Advanced Features"): the reset
 * function of its owner's type is called. The errors are those of lunik_pci_capability_add(). */
int lunik_pci_function_level_reset_init(lunik_pci_function *f, lunik_error *err);

/* ---- on the bus ----------------------------------------------------------------------------- */

/* "pci-bus": what a host bridge or a bridge offers to the devices behind it. */
typedef struct lunik_pci_bus_ops {
    lunik_pci_bus *(*bus)(lunik_object *o);
} lunik_pci_bus_ops;
#define LUNIK_IFACE_pci_bus "pci-bus"
LUNIK_IFACE_GETTER(pci_bus)

/* Gives the value of the property "addr": where a device is on its PCI bus, "1f.7" at most, or
 * "auto" while it is on none. */
void lunik_pci_addr_get(lunik_object *device, lunik_value *out);

/* The link and address properties of a device on a PCI bus: `lunik_object *bus; char *addr;` in
 * its state. default_addr "auto": the first slot that is free. A type whose devices can come and go
 * while the guest runs has .hotplug = "pci" and the flags LUNIK_TYPE_HOTPLUG and
 * LUNIK_TYPE_UNPLUG. */
#define LUNIK_PCI_DEVICE_PROPS(type, default_addr)                                                 \
    {.name = "bus",                                                                                \
     .kind = LUNIK_PROP_LINK,                                                                      \
     .doc = "The PCI bus it sits on.",                                                             \
     .offset = offsetof(type, bus),                                                                \
     .flags = LUNIK_PROP_REQUIRED,                                                                 \
     .link = LUNIK_IFACE_pci_bus},                                                                 \
    {                                                                                              \
        .name = "addr", .kind = LUNIK_PROP_STRING,                                                 \
        .doc = "Slot and function on the bus, in hexadecimal: \"1f.7\" at most; \"auto\": the "    \
               "first slot that is free.",                                                         \
        .offset = offsetof(type, addr), .def_string = (default_addr), .get = lunik_pci_addr_get    \
    }

/* The number by which the guest's operating system names the device (PCI Firmware Specification
 * 3.1, _DSM function 7): `uint64_t acpi_index;` in its state. */
#define LUNIK_PCI_ACPI_INDEX_PROP(type)                                                            \
    {                                                                                              \
        .name = "acpi-index", .kind = LUNIK_PROP_UINT,                                             \
        .doc = "Number that the guest names the device by, such as eno1; 0: none.",                \
        .offset = offsetof(type, acpi_index), .max = 16383                                         \
    }

/* Puts f in its reset state on the bus that the object bus offers ("pci-bus"), at addr: "slot" or
 * "slot.function", hexadecimal, "0.0" to "1f.7"; or NULL or "auto": the first slot that is free.
 * LUNIK_E_NO_SPACE: none is. LUNIK_E_UNSUPPORTED: devices can't be hot-plugged there.
 * LUNIK_E_INVALID: bus has no PCI bus, or there is no such address; LUNIK_E_EXISTS: another
 * function has it, or f is on a bus. */
int lunik_pci_device_add(lunik_object *bus, const char *addr, lunik_pci_function *f,
                         lunik_error *err);
/* Unmaps the BARs of f, lowers its interrupt, takes it off the bus if it is on one, and frees what
 * its capabilities, MSI, MSI-X and ROM need. With any of these f has to be initialized again before
 * it can be added again. */
void lunik_pci_device_remove(lunik_pci_function *f);

/* Returns the function at devfn (slot << 3 | function; 0..255) of the bus that the object bus
 * offers; NULL: there is none. */
lunik_pci_function *lunik_pci_bus_function(lunik_object *bus, unsigned devfn);

/* Restores the power-on state: `initial`, BARs unmapped, interrupt low, all vectors of MSI-X masked
 * and none pending. */
void lunik_pci_function_reset(lunik_pci_function *f);

/* The part of a device's state table for its lunik_pci_function:
 *   LUNIK_STATE_STRUCT(struct card, function, &lunik_pci_function_state)
 * Configuration space, whose bits in the header and in the capabilities' first words that the guest
 * can't change must be as here, the interrupt, and the vectors of MSI-X. Loading maps the BARs,
 * drives the pin, and opens or closes the gates of lunik_pci_dma_new(). */
extern const lunik_state_table lunik_pci_function_state;

/* Reports that the memory map could not follow what the guest wrote to f, and stayed as it was: an
 * event "error", and the machine pauses. why says what failed; the device's type is added. f is on
 * a bus. */
void lunik_pci_map_failed(lunik_pci_function *f, lunik_error *why);

/* ---- interrupts ----------------------------------------------------------------------------- */

/* Drives the pin (INTA# to INTD#) that LUNIK_PCI_INTERRUPT_PIN in `initial` names (1..4; 0: none);
 * true asserts it. The guest's interrupt-disable bit is obeyed, and the pin is low while the guest
 * has MSI or MSI-X on. */
void lunik_pci_intx_set(lunik_pci_function *f, bool level);

enum {
    LUNIK_PCI_MSI_64 = 1,   /* takes 64-bit addresses */
    LUNIK_PCI_MSI_MASK = 2, /* each vector has a mask and a pending bit */
};
/* Adds the MSI capability (section 6.8.1), with 1, 2, 4, 8, 16 or 32 vectors. offset as for
 * lunik_pci_capability_add(), whose errors are those here. */
int lunik_pci_msi_init(lunik_pci_function *f, unsigned vectors, unsigned flags, unsigned offset,
                       lunik_error *err);
/* Adds the MSI-X capability (section 6.8.2), with 1 to 2048 vectors. Their table (16 bytes each)
 * and the pending bits (8 bytes for 64) appear at table and pba in BAR bar, multiples of 8, on top
 * of what its region has there; without such a BAR this makes a 32-bit one of its own. The errors
 * are those of lunik_pci_capability_add() and lunik_region_add(); LUNIK_E_INVALID also if table and
 * pending bits overlap or do not fit into the BAR. */
int lunik_pci_msix_init(lunik_pci_function *f, unsigned vectors, unsigned bar, uint64_t table,
                        uint64_t pba, unsigned offset, lunik_error *err);
/* Returns how many vectors the guest has turned on, by MSI or MSI-X; 0: the device uses its pin. */
unsigned lunik_pci_vectors(const lunik_pci_function *f);
/* Sends the message of a vector. While the guest masks it or the function may not be a bus master
 * it stays pending where the guest can see that (MSI-X, and MSI with masks), and is sent later; MSI
 * without masks loses it. Vectors beyond those that are on are counted from 0 again. Does nothing
 * while none is on. */
void lunik_pci_vector_send(lunik_pci_function *f, unsigned vector);
/* Returns the eventfd of a vector of MSI-X (of MSI, if there is no MSI-X), made by the first call:
 * a signal on any thread, with the lock or without, does what lunik_pci_vector_send() does, soon;
 * with KVM the kernel does it, unless the vector is masked. lunik_pci_device_remove() closes it.
 * -1, with *err set: there is no such vector (LUNIK_E_INVALID), or one of the errors of
 * lunik_msi_route_new(). */
int lunik_pci_vector_fd(lunik_pci_function *f, unsigned vector, lunik_error *err);

/* ---- bus mastering -------------------------------------------------------------------------- */

/* Makes a lunik_dma to the memory that f reaches as a bus master, the machine's "memory". Its gate
 * follows the bus-master bit of the command register, and those of the bridges above: the guest's
 * writes open and close it, a reset and lunik_pci_device_remove() close it. Between
 * lunik_pci_function_init() and lunik_pci_dma_free(); a function may have several, one for each
 * queue. LUNIK_E_NO_MEMORY: there is no memory. */
int lunik_pci_dma_new(lunik_pci_function *f, lunik_dma **out, lunik_error *err);
/* Frees one of them, as lunik_dma_free() does. d may be NULL. */
void lunik_pci_dma_free(lunik_pci_function *f, lunik_dma *d);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
