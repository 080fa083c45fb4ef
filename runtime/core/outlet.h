/* outlet.h: output on its way out of a machine; see lunik_outlet in lunik_device.h. */
#ifndef CORE_OUTLET_H
#define CORE_OUTLET_H

#include "machine.h"

/* Waits, without the machine lock, until the outlets of m (only those of owner, unless that is
 * NULL) are empty, their readers have taken nothing for a while, or lunik_stop() is called. Returns
 * whether the lock was released meanwhile: m may be closed then. Does nothing where the lock cannot
 * be released: on a vCPU's thread and while a transaction is open. */
bool outlets_wait(lunik_machine *m, const lunik_object *owner);

#endif
