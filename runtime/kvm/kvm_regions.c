/*
 * kvm_regions.c: reserved regions for the devices that KVM emulates.
 *
 * The guest's accesses to its interrupt controllers and its timer never leave KVM, so a region at
 * the same addresses would never see one: the reserved regions hide it. They hide RAM as well, or
 * KVM would serve these addresses from RAM. The priority is that of QEMU's "kvm-apic-msi".
 */
#include "kvm.h"
#include "memory/memory.h"

enum { PRIORITY = 4096 };

static const struct {
    const char *name;
    bool port;
    bool irqchip; /* not of a split one */
    uint64_t address, size;
} places[] = {
    {"kvm-ioapic", false, true, 0xfec00000, 0x1000},
    {"kvm-apic-msi", false, false, 0xfee00000, 0x100000},
    {"kvm-identity-map", false, false, KVM_IDENTITY_MAP_ADDRESS, 0x1000},
    {"kvm-tss", false, false, KVM_TSS_ADDRESS, 0x3000},
    {"kvm-pic", true, true, 0x20, 2},
    {"kvm-pit", true, true, 0x40, 4},
    {"kvm-speaker", true, true, 0x61, 1},
    {"kvm-pic", true, true, 0xa0, 2},
    {"kvm-elcr", true, true, 0x4d0, 2},
};

static int add_region(lunik_machine *m, size_t i, lunik_error *err)
{
    const lunik_region_config config = {
        .kind = LUNIK_REGION_RESERVED, .name = places[i].name, .size = places[i].size};
    lunik_space *space = places[i].port ? m->io_space : m->memory_space;
    lunik_region *r;
    int rc = lunik_region_new(m, &config, &r, err);

    if (rc)
        return rc;
    rc = lunik_region_add(lunik_space_root(space), places[i].address, r, PRIORITY, true, err);
    lunik_region_unref(r);
    return rc;
}

int kvm_regions_init(lunik_machine *m, lunik_error *err)
{
    int rc = 0;

    lunik_transaction_begin(m);
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]) && !rc; i++)
        if (!places[i].irqchip || !m->kvm->split)
            rc = add_region(m, i, err);
    if (rc)
        lunik_transaction_abort(m);
    else
        rc = lunik_transaction_commit(m, err);
    return rc;
}
