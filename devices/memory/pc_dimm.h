/* pc_dimm.h: the part that all memory modules share. */
#ifndef MEMORY_PC_DIMM_H
#define MEMORY_PC_DIMM_H

#include "lunik_device.h"

/* The state of every memory module starts with this. */
struct pc_dimm {
    lunik_memory_device md; /* addr, slot, node and memdev are properties */
};

/* Claims the backend and makes the region, of the size that the handler has placed. */
int pc_dimm_realize(lunik_object *o, bool nonvolatile, lunik_error *err);

#endif
