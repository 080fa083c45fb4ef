/* device_memory_place.h: the window for memory devices, and the choice of addresses in it. */
#ifndef MEMORY_DEVICE_MEMORY_PLACE_H
#define MEMORY_DEVICE_MEMORY_PLACE_H

#include "device_memory.h"
#include "gaps.h"

/* Devices without a slot. */
enum { EXTRA_MAX = GAPS_MAX - 1 - LUNIK_MEMORY_SLOTS_MAX, DEVICES_MAX = GAPS_MAX - 1 };

struct device_memory {
    uint64_t base, size, slots, limit;
    lunik_object *acpi;   /* iface "acpi-slots"; NULL: the guest is not notified */
    lunik_object *nvdimm; /* the same for NVDIMMs; NULL: they are refused */
    lunik_region *window;
    lunik_object *slot[DEVICES_MAX]; /* the device in it, or NULL; then those without */
    struct gaps gaps;                /* between the devices */
    uint64_t used;                   /* bytes */
};

/* Returns a device's id, or its path if it has none. */
const char *device_memory_name(const lunik_object *device);
/* Checks the size of a device, and the address that it wants, or chooses one. */
int device_memory_place(const struct device_memory *d, lunik_object *device, lunik_error *err);

#endif
