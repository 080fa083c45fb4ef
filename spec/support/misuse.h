/* misuse.h: a runtime with a machine, and the last sentence about a misuse of them. */
#ifndef SPEC_MISUSE_H
#define SPEC_MISUSE_H

#include <stdio.h>

#include "lunik_device.h"

static lunik_error err;
static lunik_runtime *rt;
static lunik_machine *m;
static char said[256];

static inline void on_misuse(const char *message)
{
    snprintf(said, sizeof(said), "%s", message);
}

static inline void make(const char *name)
{
    const lunik_machine_config config = {.name = name, .accel = LUNIK_ACCEL_NONE, .cpus = 1};

    if (lunik_runtime_new(lunik_builtin_types(), &rt, &err) ||
        lunik_machine_new(rt, &config, &m, &err))
        printf("# %s\n", err.message);
}

#endif
