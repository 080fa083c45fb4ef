/* machine_rig.h: a runtime, a machine without devices, and regions of it, for tests of what
 * machines and their memory do. */
#ifndef SPEC_MACHINE_RIG_H
#define SPEC_MACHINE_RIG_H

#include <stdlib.h>

#include "check.h"
#include "memory/memory.h"

static lunik_runtime *rt;
static lunik_machine *m;
static lunik_error err;

/* Ends the test if a step has failed that the rest needs. */
static inline void must(const char *what, int rc)
{
    if (!rc)
        return;
    printf("not ok %s: %s\n", what, err.message);
    exit(1);
}

/* Without types. */
static inline void new_runtime(void)
{
    static const lunik_type *const no_types[] = {NULL};

    must("runtime", lunik_runtime_new(no_types, &rt, &err));
}

static inline void new_machine(lunik_accel accel)
{
    lunik_machine_config config = {.name = "test", .accel = accel, .cpus = 1};

    must("machine", lunik_machine_new(rt, &config, &m, &err));
}

static inline lunik_ram *new_ram(const char *name, uint64_t size)
{
    lunik_ram_config config = {.name = name, .size = size, .fd = -1};
    lunik_ram *ram = NULL;

    must(name, lunik_ram_new(&config, &ram, &err));
    return ram;
}

static inline lunik_region *region_of(lunik_region_config config)
{
    lunik_region *r = NULL;

    must(config.name, lunik_region_new(m, &config, &r, &err));
    return r;
}

/* With RAM of its own. */
static inline lunik_region *ram_region_of(lunik_region_config config)
{
    lunik_region *r;

    config.ram = new_ram(config.name, config.size);
    r = region_of(config);
    lunik_ram_unref(config.ram);
    return r;
}

static inline lunik_region *add(lunik_region *parent, uint64_t at, lunik_region *r, int priority)
{
    must(r->name, lunik_region_add(parent, at, r, priority, true, &err));
    return r;
}

static inline lunik_region *add_to(lunik_space *s, uint64_t at, lunik_region *r, int priority)
{
    return add(lunik_space_root(s), at, r, priority);
}

/* Part of a block at an address of the machine's memory. */
static inline lunik_region *show_ram(const char *name, lunik_ram *ram, uint64_t offset,
                                     uint64_t size, uint64_t at, int priority)
{
    lunik_region_config config = {
        .kind = LUNIK_REGION_RAM, .name = name, .ram = ram, .ram_offset = offset, .size = size};

    return add_to(m->memory_space, at, region_of(config), priority);
}

static inline void drop(lunik_region *r)
{
    must(r->name, lunik_region_del(r, &err));
    lunik_region_unref(r);
}

#endif
