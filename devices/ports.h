/* ports.h: what most devices do with their regions, in one call each. */
#ifndef DEVICES_PORTS_H
#define DEVICES_PORTS_H

#include "lunik_device.h"

/* The property "iobase" of a device whose state has `uint64_t iobase`; last: the highest value. */
#define DEVICE_IOBASE_PROP(state, text, port, last)                                                \
    {                                                                                              \
        .name = "iobase", .kind = LUNIK_PROP_UINT, .doc = (text),                                  \
        .offset = offsetof(state, iobase), .def = (port), .max = (last)                            \
    }

/* A property for the number of a line (GSI), kept in `uint64_t field` of the state. */
#define DEVICE_IRQ_PROP(prop, state, field, text, gsi)                                             \
    {                                                                                              \
        .name = (prop), .kind = LUNIK_PROP_UINT, .doc = (text), .offset = offsetof(state, field),  \
        .def = (gsi), .max = LUNIK_GSI_COUNT - 1                                                   \
    }

/* Makes an I/O region of `size` ports, owned by the object of `state` (which ops receive), and
 * maps it at `port` in the machine's I/O space. Ports that are taken, or beyond 0xffff, are
 * refused: no device hides another. */
int device_ports_new(lunik_region **out, void *state, const char *name, uint64_t port,
                     uint64_t size, const lunik_io_ops *ops, lunik_error *err);

/* Unmaps and drops *region, if there is one. */
void device_region_drop(lunik_region **region);

#endif
