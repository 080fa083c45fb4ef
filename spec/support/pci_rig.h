/*
 * pci_rig.h: a machine with i440FX, PIIX3 and PIIX4 PM and a PCI device of our own, driven through
 * its ports and memory.
 */
#ifndef SPEC_PCI_RIG_H
#define SPEC_PCI_RIG_H

#include <stdlib.h>

#include "devices/pci/pci.h"
#include "check.h"

/* For what the rest can't do without. */
static inline void must(const char *name, int rc, const lunik_error *err)
{
    if (!rc)
        return;
    printf("not ok %s: %d %s\n", name, rc, err->message);
    exit(1);
}

/* ---- a PCI device with a BAR of each kind, and one of memory -------------------------------- */

enum { PROBE_RAM = 0x10000 };

struct probe {
    lunik_object *bus;
    char *addr;
    lunik_pci_function function;
    lunik_region *bars[4];
    lunik_ram *ram;
};

static inline lunik_access probe_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    *value = 0x50 + offset;
    return LUNIK_ACCESS_OK;
}

static inline lunik_access probe_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops probe_ops = {.read = probe_read, .write = probe_write};

static inline int probe_realize(lunik_object *o, lunik_error *err)
{
    static const struct {
        const char *name;
        unsigned index;
        lunik_pci_bar_kind kind;
        uint64_t size;
    } bars[] = {
        {"probe-io", 0, LUNIK_PCI_BAR_IO, 32},
        {"probe-mem", 1, LUNIK_PCI_BAR_MEM32, 4096},
        {"probe-mem64", 2, LUNIK_PCI_BAR_MEM64, UINT64_C(8) << 30},
        {"probe-ram", 4, LUNIK_PCI_BAR_MEM32, PROBE_RAM},
    };
    const lunik_ram_config ram = {.name = "probe-ram", .size = PROBE_RAM, .fd = -1};
    struct probe *s = lunik_state(o);
    int rc = lunik_ram_new(&ram, &s->ram, err);

    if (rc)
        return rc;
    lunik_pci_function_init(&s->function, o, 0x1234, 0x5678, 0, 0xff0000);
    s->function.initial[LUNIK_PCI_INTERRUPT_PIN] = 1;
    for (unsigned i = 0; i < 4; i++) {
        lunik_region_config config = {.kind = i == 3 ? LUNIK_REGION_RAM : LUNIK_REGION_IO,
                                      .name = bars[i].name,
                                      .size = bars[i].size,
                                      .owner = o,
                                      .ops = &probe_ops,
                                      .opaque = s,
                                      .ram = s->ram};

        rc = lunik_region_new(lunik_object_machine(o), &config, &s->bars[i], err);
        if (!rc)
            rc = lunik_pci_bar_init(&s->function, bars[i].index, bars[i].kind, s->bars[i], err);
        if (rc < 0)
            return rc;
    }
    return lunik_pci_device_add(s->bus, s->addr, &s->function, err);
}

static inline void probe_unrealize(lunik_object *o)
{
    struct probe *s = lunik_state(o);

    lunik_pci_device_remove(&s->function);
    for (unsigned i = 0; i < 4; i++)
        lunik_region_unref(s->bars[i]);
    lunik_ram_unref(s->ram);
}

static inline void probe_reset(lunik_object *o)
{
    struct probe *s = lunik_state(o);

    lunik_pci_function_reset(&s->function);
}

static const lunik_prop probe_props[] = {LUNIK_PCI_DEVICE_PROPS(struct probe, "3.0"), {0}};

static const lunik_type probe_type = {
    .name = "probe",
    .doc = "A PCI device for tests.",
    .flags = LUNIK_TYPE_DEVICE | LUNIK_TYPE_HOTPLUG | LUNIK_TYPE_UNPLUG,
    .size = sizeof(struct probe),
    .props = probe_props,
    .realize = probe_realize,
    .unrealize = probe_unrealize,
    .reset = probe_reset,
};

/* ---- the machine ---------------------------------------------------------------------------- */

struct rig {
    lunik_runtime *rt;
    lunik_machine *m;
    lunik_space *io, *memory;
    lunik_object *probe;
};

static inline uint64_t in(struct rig *r, uint16_t port, unsigned size)
{
    uint64_t value = UINT64_MAX;

    lunik_space_load(r->io, port, size, &value);
    return value & (UINT64_MAX >> (64 - 8 * size));
}

static inline void out(struct rig *r, uint16_t port, unsigned size, uint64_t value)
{
    lunik_space_store(r->io, port, size, value);
}

static inline uint32_t config(struct rig *r, uint8_t devfn, unsigned offset, unsigned size)
{
    out(r, 0xcf8, 4, 0x80000000u | (uint32_t)devfn << 8 | (offset & 0xfc));
    return (uint32_t)in(r, (uint16_t)(0xcfc + (offset & 3)), size);
}

static inline void set_config(struct rig *r, uint8_t devfn, unsigned offset, unsigned size,
                              uint32_t value)
{
    out(r, 0xcf8, 4, 0x80000000u | (uint32_t)devfn << 8 | (offset & 0xfc));
    out(r, (uint16_t)(0xcfc + (offset & 3)), size, value);
}

static inline uint64_t load(struct rig *r, uint64_t address, unsigned size)
{
    uint64_t value = UINT64_MAX;

    lunik_space_load(r->memory, address, size, &value);
    return value & (UINT64_MAX >> (64 - 8 * size));
}

/* Makes it, not started. */
static inline void rig_make(struct rig *r, lunik_accel accel, bool shadow)
{
    const lunik_machine_config mc = {
        .name = "rig", .accel = accel, .cpus = 1, .manual_clock = true};
    const lunik_field ram[] = {LUNIK_FIELD_STRING("id", "ram"), LUNIK_FIELD_UINT("size", 2u << 20)};
    const lunik_field host[] = {LUNIK_FIELD_STRING("id", "host"), LUNIK_FIELD_STRING("ram", "ram"),
                                LUNIK_FIELD_BOOL("shadow", shadow)};
    const lunik_field isa[] = {LUNIK_FIELD_STRING("bus", "host"), LUNIK_FIELD_UINT("pirq-c", 11)};
    const lunik_field pm[] = {LUNIK_FIELD_STRING("bus", "host")};
    const lunik_field probe[] = {LUNIK_FIELD_STRING("id", "probe"),
                                 LUNIK_FIELD_STRING("bus", "host")};
    lunik_error err;

    must("runtime", lunik_runtime_new(lunik_builtin_types(), &r->rt, &err), &err);
    must("probe type", lunik_type_add(r->rt, &probe_type, &err), &err);
    must("machine", lunik_machine_new(r->rt, &mc, &r->m, &err), &err);
    r->io = lunik_machine_io(r->m);
    r->memory = lunik_machine_memory(r->m);
    must("ram", lunik_object_add(r->m, "memory-backend-ram", ram, 2, NULL, &err), &err);
    must("i440fx", lunik_device_add(r->m, "i440fx", host, 3, NULL, &err), &err);
    must("piix3", lunik_device_add(r->m, "piix3", isa, 2, NULL, &err), &err);
    must("piix4-pm", lunik_device_add(r->m, "piix4-pm", pm, 1, NULL, &err), &err);
    must("probe", lunik_device_add(r->m, "probe", probe, 2, &r->probe, &err), &err);
}

static inline void rig_open(struct rig *r, lunik_accel accel, bool shadow)
{
    lunik_error err;

    rig_make(r, accel, shadow);
    if (accel == LUNIK_ACCEL_NONE) /* a vCPU would find nothing to run */
        must("start", lunik_machine_start(r->m, &err), &err);
}

static inline void rig_close(struct rig *r)
{
    lunik_machine_close(r->m);
    lunik_runtime_free(r->rt);
}

#endif
