/* cause_stack.h: the cause stack of the calling thread; see lunik_cause in lunik_memory.h. */
#ifndef CORE_CAUSE_STACK_H
#define CORE_CAUSE_STACK_H

#include "lunik_device.h"

/* The innermost frame, or NULL. */
const lunik_cause *cause_current(void);

#endif
