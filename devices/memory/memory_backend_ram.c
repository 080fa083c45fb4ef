/* memory_backend_ram.c: anonymous host memory. */
#include "memory_backend.h"
#include "../types.h"

static int realize(lunik_object *o, lunik_error *err)
{
    return memory_backend_map(o, &(lunik_ram_config){.fd = -1}, err);
}

const lunik_type memory_backend_ram_type = {
    .name = "memory-backend-ram",
    .parent = "memory-backend",
    .doc = "Anonymous host memory.",
    .size = sizeof(struct memory_backend),
    .realize = realize,
    .state = &lunik_state_none,
};
