/* device_memory.h: the window for memory devices, for those that take no slot. */
#ifndef MEMORY_DEVICE_MEMORY_H
#define MEMORY_DEVICE_MEMORY_H

#include "lunik_device.h"

/* Chooses the address of a memory device, or checks the one it has, and maps its region there.
 * LUNIK_E_STATE: the machine has no such window; others: it has no room, or not at that address. */
int device_memory_add(lunik_object *device, lunik_error *err);
/* Takes it out again. Does nothing if it is not there. */
void device_memory_del(lunik_object *device);

#endif
