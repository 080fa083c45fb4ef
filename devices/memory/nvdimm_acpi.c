/*
 * nvdimm_acpi.c: what ACPI has of NVDIMMs: the NFIT, the I/O port through which the methods of the
 * root device (\_SB.NVDR) call nvdimm_dsm.c, and the event that asks the guest to read the
 * NFIT again.
 *
 * A write of an address to the port carries out the call in the page of guest memory there. QEMU's
 * port is 0xa18, where the ports of memory_hotplug.c are here; the methods name it to the guest.
 */
#include <inttypes.h>
#include <string.h>

#include "lunik_trace.h"
#include "nvdimm.h"
#include "../acpi_events.h"
#include "../types.h"

enum { PORTS = 4, NFIT_REVISION = 1, NFIT_RESERVED = 4 };

struct acpi_nvdimm {
    uint64_t iobase, slots_count;
    struct acpi_notifier notifier;
    struct nvdimm_dsm dsm;
    struct nvdimm *nvdimm[LUNIK_MEMORY_SLOTS_MAX]; /* in each slot, or NULL */
    size_t count;
    lunik_region *ports;
    lunik_dma *dma;
    lunik_change news; /* notifies the guest once the transaction is committed */
};

/* Tables that the guest finds after a reset have the NVDIMMs that are there. */
static void reset(lunik_object *o)
{
    struct acpi_nvdimm *d = lunik_state(o);

    if (acpi_notifier_wakes(&d->notifier, o, d->count)) /* the guest reads the NFIT again */
        return;
    d->dsm.fit_changed = false;
    lunik_acpi_refresh(lunik_object_machine(o));
}

/* ---- the NFIT ------------------------------------------------------------------------------- */

static size_t fit_size(const struct acpi_nvdimm *d)
{
    return d->count * NVDIMM_FIT_SIZE;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Copies size bytes of the structures, from offset on, which are there. */
static void fit_copy(const struct acpi_nvdimm *d, size_t offset, uint8_t *out, size_t size)
{
    uint8_t structures[NVDIMM_FIT_SIZE];

    for (size_t slot = 0; size && slot < d->slots_count; slot++) {
        if (!d->nvdimm[slot])
            continue;
        if (offset >= NVDIMM_FIT_SIZE) {
            offset -= NVDIMM_FIT_SIZE;
            continue;
        }
        size_t n = least(size, NVDIMM_FIT_SIZE - offset);
        nvdimm_fit_put(d->nvdimm[slot], structures);
        memcpy(out, structures + offset, n);
        out += n;
        size -= n;
        offset = 0;
    }
}

static size_t table_contents(lunik_object *o, void *buf, size_t size)
{
    const struct acpi_nvdimm *d = lunik_state(o);

    if (!d->count)
        return 0;
    if (size >= NFIT_RESERVED) {
        memset(buf, 0, NFIT_RESERVED);
        fit_copy(d, 0, (uint8_t *)buf + NFIT_RESERVED, least(size - NFIT_RESERVED, fit_size(d)));
    }
    return NFIT_RESERVED + fit_size(d);
}

static const lunik_acpi_table_ops table_ops = {
    .signature = "NFIT", .revision = NFIT_REVISION, .contents = table_contents};

/* ---- calls of the guest --------------------------------------------------------------------- */

static struct acpi_nvdimm *from_dsm(struct nvdimm_dsm *dsm)
{
    return lunik_container_of(dsm, struct acpi_nvdimm, dsm);
}

static bool dsm_find(struct nvdimm_dsm *dsm, uint32_t handle, struct nvdimm_labels *out)
{
    const struct acpi_nvdimm *d = from_dsm(dsm);
    uint32_t slot = handle - nvdimm_handle(0);

    if (slot >= d->slots_count || !d->nvdimm[slot])
        return false;
    *out = nvdimm_labels_of(d->nvdimm[slot]);
    return true;
}

static size_t dsm_fit_size(struct nvdimm_dsm *dsm)
{
    return fit_size(from_dsm(dsm));
}

static void dsm_fit_read(struct nvdimm_dsm *dsm, size_t offset, uint8_t *out, size_t size)
{
    fit_copy(from_dsm(dsm), offset, out, size);
}

static const struct nvdimm_dsm_ops dsm_ops = {
    .find = dsm_find, .fit_size = dsm_fit_size, .fit_read = dsm_fit_read};

static lunik_access port_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    *value = 0;
    return LUNIK_ACCESS_OK;
}

static lunik_access port_write(void *opaque, uint64_t offset, unsigned size, uint64_t address)
{
    struct acpi_nvdimm *d = opaque;
    uint8_t page[NVDIMM_DSM_PAGE];
    size_t length;

    if (!d->dma || lunik_dma_read(d->dma, address, page, sizeof(page)))
        return LUNIK_ACCESS_DEVICE;
    length = nvdimm_dsm_call(&d->dsm, page);
    return lunik_dma_write(d->dma, address, page, length) ? LUNIK_ACCESS_DEVICE : LUNIK_ACCESS_OK;
}

static const lunik_io_ops port_ops = {
    .read = port_read,
    .write = port_write,
    .valid = {.min = 4, .max = 4},
};

/* ---- from the machine ----------------------------------------------------------------------- */

static void notify_guest(lunik_change *c)
{
    const struct acpi_nvdimm *d = lunik_container_of(c, struct acpi_nvdimm, news);

    acpi_notifier_raise(&d->notifier);
}

static unsigned acpi_count(lunik_object *o)
{
    const struct acpi_nvdimm *d = lunik_state(o);

    return (unsigned)d->slots_count;
}

static void acpi_plug(lunik_object *o, lunik_object *device)
{
    struct acpi_nvdimm *d = lunik_state(o);
    const lunik_memory_device *md = lunik_memory_device_get(device);

    d->nvdimm[md->slot] = nvdimm_of(device);
    d->count++;
    d->dsm.fit_changed = true;
    lunik_trace(lunik_object_machine(o), "shown", device,
                LUNIK_FIELD_UINT("slot", (uint64_t)md->slot),
                LUNIK_FIELD_STRING("asks", md->hotplugged ? "insert" : ""));
    if (md->hotplugged)
        lunik_transaction_note(lunik_object_machine(o), &d->news);
}

/* Before the start, at the end, and when a transaction fails. */
static void acpi_unplug(lunik_object *o, lunik_object *device)
{
    struct acpi_nvdimm *d = lunik_state(o);

    d->nvdimm[lunik_memory_device_get(device)->slot] = NULL;
    d->count--;
    d->dsm.fit_changed = true;
}

static const lunik_acpi_slots_ops acpi_slots_ops = {
    .count = acpi_count, .plug = acpi_plug, .unplug = acpi_unplug};

/* ---- life cycle ----------------------------------------------------------------------------- */

static int realize(lunik_object *o, lunik_error *err)
{
    struct acpi_nvdimm *d = lunik_state(o);
    int rc = acpi_notifier_check(&d->notifier, o, err);

    if (rc)
        return rc;
    d->dsm.ops = &dsm_ops;
    d->news.commit = notify_guest;
    rc = lunik_dma_new(lunik_machine_memory(lunik_object_machine(o)), &d->dma, err);
    if (rc)
        return rc;
    lunik_dma_enable(d->dma);
    rc = device_ports_new(&d->ports, o, "acpi-nvdimm", d->iobase, PORTS, &port_ops, d, err);
    if (rc)
        lunik_dma_free(d->dma);
    return rc;
}

static void unrealize(lunik_object *o)
{
    struct acpi_nvdimm *d = lunik_state(o);

    lunik_transaction_forget(lunik_object_machine(o), &d->news);
    device_region_drop(&d->ports);
    lunik_dma_free(d->dma);
    d->dma = NULL;
}

/* ---- properties and interfaces -------------------------------------------------------------- */

static const lunik_prop props[] = {
    DEVICE_IOBASE_PROP(struct acpi_nvdimm, "The first of 4 I/O ports.", 0xb18, 0x10000 - PORTS),
    {
        .name = "slots",
        .kind = LUNIK_PROP_UINT,
        .doc = "Memory slots, 1 to 256.",
        .offset = offsetof(struct acpi_nvdimm, slots_count),
        .flags = LUNIK_PROP_REQUIRED,
        .min = 1,
        .max = LUNIK_MEMORY_SLOTS_MAX,
    },
    ACPI_NOTIFIER_PROPS(struct acpi_nvdimm, notifier, 4),
    {0},
};

static void describe(lunik_object *o, lunik_acpi_node *out)
{
    const struct acpi_nvdimm *d = lunik_state(o);

    *out = (lunik_acpi_node){
        .part = "nvdimm",
        .count = 2,
        .values = {{"NVIO", d->iobase}, {"NVGP", d->notifier.gpe}},
    };
}

static bool describe_more(lunik_object *o, unsigned index, lunik_acpi_node *out)
{
    const struct acpi_nvdimm *d = lunik_state(o);

    *out =
        (lunik_acpi_node){.part = "nvdimm_slot", .scope = "\\_SB.NVDR", .copies = d->slots_count};
    return index == 0;
}

static const lunik_acpi_ops acpi_ops = {.describe = describe, .describe_more = describe_more};

static const lunik_iface ifaces[] = {
    LUNIK_IFACE(acpi_slots, &acpi_slots_ops),
    LUNIK_IFACE(acpi, &acpi_ops),
    LUNIK_IFACE(acpi_table, &table_ops),
    {0},
};

static const lunik_state_field state_fields[] = {
    LUNIK_STATE(struct acpi_nvdimm, dsm.fit_changed),
    {0},
};

static const lunik_state_table state_table = {
    .name = "acpi-nvdimm",
    .version = 1,
    .size = sizeof(struct acpi_nvdimm),
    .fields = state_fields,
};

const lunik_type acpi_nvdimm_type = {
    .name = "acpi-nvdimm",
    .doc = "The tables and the I/O port through which ACPI names NVDIMMs.",
    .flags = LUNIK_TYPE_DEVICE,
    .size = sizeof(struct acpi_nvdimm),
    .props = props,
    .ifaces = ifaces,
    .realize = realize,
    .unrealize = unrealize,
    .reset = reset,
    .state = &state_table,
};
