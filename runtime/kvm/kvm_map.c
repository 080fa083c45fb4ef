/* kvm_map.c: makes KVM follow a machine's memory map, and sets the memory core's hooks. */
#include "kvm.h"
#include "memory/memory.h"

static const struct memory_hooks hooks = {
    .flush = kvm_io_flush,
    .repair = kvm_memory_repair,
    .has_slot = kvm_memory_has,
};

int kvm_map_init(lunik_machine *m, lunik_error *err)
{
    int rc;

    m->memory->hooks = &hooks;
    rc = kvm_memory_init(m, err);
    if (!rc)
        rc = kvm_io_init(m, err);
    if (!rc)
        rc = kvm_regions_init(m, err);
    return rc;
}

void kvm_map_fini(lunik_machine *m)
{
    kvm_io_fini(m);
    kvm_memory_fini(m);
    if (m->memory)
        m->memory->hooks = NULL;
}
