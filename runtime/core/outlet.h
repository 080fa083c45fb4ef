/* outlet.h: output on its way out of a machine; see lunik_outlet in lunik_device.h. */
#ifndef CORE_OUTLET_H
#define CORE_OUTLET_H

#include "machine.h"

/* Waits, without the machine lock, until what the outlets of m (of owner alone, unless that is
 * NULL) hold has gone out, their readers have taken nothing for a while, or a signal came with
 * lunik_stop(). Returns whether the lock was free meanwhile: m may be closed by now. Not where the
 * lock cannot be released. */
bool outlets_wait(lunik_machine *m, const lunik_object *owner);

#endif
