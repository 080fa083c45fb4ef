/* ports.h: the properties, ports and ACPI parts that most devices have, in one line each. */
#ifndef DEVICES_PORTS_H
#define DEVICES_PORTS_H

#include "lunik_device.h"

/* A property for a number, kept in `uint64_t field` of the state; last: the highest value. */
#define DEVICE_UINT_PROP(prop, state, field, text, value, last)                                    \
    {                                                                                              \
        .name = (prop), .kind = LUNIK_PROP_UINT, .doc = (text), .offset = offsetof(state, field),  \
        .def = (value), .max = (last)                                                              \
    }

/* The property "iobase", kept in `uint64_t iobase` of the state; last: the highest value. */
#define DEVICE_IOBASE_PROP(state, text, port, last)                                                \
    DEVICE_UINT_PROP("iobase", state, iobase, text, port, last)

/* A property for the number of a line (GSI), kept in `uint64_t field` of the state. */
#define DEVICE_IRQ_PROP(prop, state, field, text, gsi)                                             \
    DEVICE_UINT_PROP(prop, state, field, text, gsi, LUNIK_GSI_COUNT - 1)

/* The property "chardev", a link to a character device, kept in `lunik_object *chardev` of the
 * state. */
#define DEVICE_CHARDEV_PROP(state, text)                                                           \
    {                                                                                              \
        .name = "chardev", .kind = LUNIK_PROP_LINK, .doc = (text),                                 \
        .offset = offsetof(state, chardev), .link = "chardev"                                      \
    }

/* Part of lunik_io_ops: registers that take accesses of 1, 2 and 4 bytes at any offset. */
#define DEVICE_DWORD_PORTS                                                                         \
    .valid = {.min = 1, .max = 4, .unaligned = true}, .impl = {.min = 1, .max = 4}
/* Part of lunik_io_ops: byte registers, which wider accesses reach one after another. */
#define DEVICE_BYTE_PORTS                                                                          \
    .valid = {.min = 1, .max = 4, .unaligned = true}, .impl = {.min = 1, .max = 1}

/* Makes a region as `config` says, owned by o. */
int device_region_new(lunik_region **out, lunik_object *o, lunik_region_config config,
                      lunik_error *err);
/* Makes an I/O region of `size` ports, owned by o, and maps it at `port` in the machine's I/O
 * space; ops receive `opaque`. Ports that are taken, or beyond 0xffff, are refused: no device hides
 * another. */
int device_ports_new(lunik_region **out, lunik_object *o, const char *name, uint64_t port,
                     uint64_t size, const lunik_io_ops *ops, void *opaque, lunik_error *err);

/* Unmaps and drops *region, and sets it to NULL; does nothing where it is NULL. */
void device_region_drop(lunik_region **region);

/* Describes an ISA device in ACPI with the ASL part of that name, which takes the first I/O port as
 * io_name and the interrupt number (GSI) as irq_name. */
void device_describe_isa(lunik_acpi_node *out, const char *part, const char *io_name,
                         uint64_t iobase, const char *irq_name, uint64_t irq);

#endif
