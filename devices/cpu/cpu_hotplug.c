/*
 * cpu_hotplug.c: the ACPI CPU hotplug registers on the I/O bus, and the handler that takes CPUs in
 * and out.
 *
 * A CPU's place is checked in the order and much in the words of QEMU's pc machine. The CPUs that a
 * machine has been made with are there without a device; a device that is added before the start
 * takes the place of one of them.
 */
#include <inttypes.h>

#include "cpu_hotplug_chip.h"
#include "cpu_topology.h"
#include "lunik_trace.h"
#include "../acpi_events.h"
#include "../types.h"

struct cpu_hotplug {
    uint64_t iobase;
    struct acpi_notifier notifier;
    struct cpu_slots slots;
    lunik_object *device[CPU_SLOTS_MOST]; /* of each CPU, or NULL */
    lunik_region *ports;
    uint64_t fresh[(CPU_SLOTS_MOST + 63) / 64]; /* a bit for each that the guest has not seen */
    lunik_change news; /* notifies the guest once the transaction is committed */
    bool notify;
};

static const lunik_machine_config *config_of(const struct cpu_hotplug *d)
{
    return lunik_machine_config_get(lunik_object_machine(lunik_state_object(d)));
}

/* Shows the guest the CPUs that there are. Tables that the guest finds after a reset have these. */
static void reset(lunik_object *o)
{
    struct cpu_hotplug *d = lunik_state(o);

    if (acpi_notifier_wakes(&d->notifier, o, cpu_slots_pending(&d->slots)))
        return;
    cpu_slots_reset(&d->slots);
    lunik_acpi_refresh(lunik_object_machine(o));
}

/* ---- from the guest ------------------------------------------------------------------------- */

static struct cpu_hotplug *from_slots(struct cpu_slots *s)
{
    return lunik_container_of(s, struct cpu_hotplug, slots);
}

static void on_eject(struct cpu_slots *s, unsigned slot)
{
    lunik_object *device = from_slots(s)->device[slot];

    if (device)
        lunik_device_ejected(device); /* leads to unplug() */
}

static void on_ost(struct cpu_slots *s, unsigned slot, uint32_t event, uint32_t status)
{
    struct cpu_hotplug *d = from_slots(s);
    const struct acpi_ost ost = {"CPU", slot, event, status};

    acpi_ost_report(lunik_state_object(d), d->device[slot], &ost, NULL);
    if (d->device[slot] && acpi_ost_refuses(&ost))
        lunik_device_refused(d->device[slot], event, status);
}

static const struct cpu_slots_ops slots_ops = {.eject = on_eject, .ost = on_ost};

/* ---- ports ---------------------------------------------------------------------------------- */

/* Names the device of a CPU as the one that the guest's access is about; if there is none, this
 * one. */
static void about_slot(const struct cpu_hotplug *d, uint64_t slot)
{
    lunik_object *o = lunik_state_object(d), *device;

    if (!lunik_traced(lunik_object_machine(o)))
        return;
    device = slot < d->slots.count ? d->device[slot] : NULL;
    lunik_trace_about(lunik_object_machine(o), device ? device : o);
}

static lunik_access port_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    struct cpu_hotplug *d = opaque;

    about_slot(d, d->slots.selector);
    *value = cpu_slots_read(&d->slots, (unsigned)offset);
    return LUNIK_ACCESS_OK;
}

static lunik_access port_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct cpu_hotplug *d = opaque;

    about_slot(d, offset == CHP_SELECTOR ? value : d->slots.selector);
    cpu_slots_write(&d->slots, (unsigned)offset, (uint32_t)value);
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops port_ops = {
    .read = port_read,
    .write = port_write,
    .valid = {.min = 1, .max = 4, .unaligned = true},
    .impl = {.min = 1, .max = 4, .unaligned = true},
};

/* ---- events for the guest ------------------------------------------------------------------- */

static void show_device(struct cpu_hotplug *d, unsigned slot)
{
    lunik_object *device = d->device[slot];
    bool hotplugged = lunik_cpu_device_iface(device)->get(device)->hotplugged;

    lunik_trace(lunik_object_machine(device), "shown", device, LUNIK_FIELD_UINT("slot", slot),
                LUNIK_FIELD_STRING("asks", hotplugged ? "insert" : ""));
    d->slots.slot[slot] = (struct cpu_slot){.enabled = true, .inserting = hotplugged};
    d->notify = d->notify || hotplugged;
}

/* Shows the guest the CPUs of a transaction, and notifies it once of all of them. */
static void show_news(lunik_change *c)
{
    struct cpu_hotplug *d = lunik_container_of(c, struct cpu_hotplug, news);

    for (unsigned slot = 0; slot < d->slots.count; slot++)
        if (d->fresh[slot / 64] >> slot % 64 & 1)
            show_device(d, slot);
    for (unsigned i = 0; i < sizeof(d->fresh) / sizeof(d->fresh[0]); i++)
        d->fresh[i] = 0;
    if (d->notify)
        acpi_notifier_raise(&d->notifier);
    d->notify = false;
}

static void drop_news(lunik_change *c)
{
    struct cpu_hotplug *d = lunik_container_of(c, struct cpu_hotplug, news);

    d->notify = false;
}

static void note_news(struct cpu_hotplug *d)
{
    lunik_transaction_note(lunik_object_machine(lunik_state_object(d)), &d->news);
}

/* ---- hotplug handler ------------------------------------------------------------------------ */

static const char *name_of(const lunik_object *device)
{
    return *lunik_object_id(device) ? lunik_object_id(device) : lunik_object_path(device);
}

/* Whether a device can have the CPU: one that is not plugged, or, before the start, one that has no
 * device yet. */
static bool is_free(const struct cpu_hotplug *d, unsigned index)
{
    lunik_machine *m = lunik_object_machine(lunik_state_object(d));

    return !d->device[index] &&
           (!lunik_cpu_present(m, index) || lunik_machine_state(m) == LUNIK_STATE_CREATED);
}

static int choose_free(const struct cpu_hotplug *d, lunik_cpu_device *cpu, lunik_error *err)
{
    unsigned index = 0;

    while (index < d->slots.count && !is_free(d, index))
        index++;
    if (index == d->slots.count)
        return lunik_fail(err, LUNIK_E_NO_SPACE, "cpu: all %u CPUs of the machine are plugged",
                          d->slots.count);
    cpu_place_of(config_of(d), index, cpu);
    return 0;
}

static int check_free(const struct cpu_hotplug *d, const lunik_cpu_device *cpu, lunik_error *err)
{
    unsigned index = (unsigned)cpu->index;

    if (is_free(d, index))
        return 0;
    return lunik_fail(err, LUNIK_E_EXISTS,
                      "cpu: CPU[%u] with APIC ID %u exists%s%s%s (socket-id %" PRId64
                      ", core-id %" PRId64 ", thread-id %" PRId64 ")",
                      index, index, d->device[index] ? ": '" : "",
                      d->device[index] ? name_of(d->device[index]) : "",
                      d->device[index] ? "'" : "", cpu->socket, cpu->core, cpu->thread);
}

static int pre_plug(lunik_object *handler, lunik_object *device, lunik_error *err)
{
    const struct cpu_hotplug *d = lunik_state(handler);
    lunik_cpu_device *cpu;
    int rc;

    if (!lunik_cpu_device_iface(device))
        return lunik_fail(err, LUNIK_E_INVALID, "%s: '%s' is no CPU (want the interface cpu)",
                          lunik_object_type_name(device), name_of(device));
    cpu = lunik_cpu_device_iface(device)->get(device);
    if (cpu_place_is_open(cpu))
        rc = choose_free(d, cpu, err);
    else
        rc = cpu_place_check(config_of(d), cpu, err);
    if (!rc)
        rc = check_free(d, cpu, err);
    if (!rc)
        rc = cpu_place_check_node(lunik_object_machine(handler), cpu, err);
    if (!rc)
        lunik_trace(lunik_object_machine(device), "place", device,
                    LUNIK_FIELD_UINT("slot", cpu->index));
    return rc;
}

static int plug(lunik_object *handler, lunik_object *device, lunik_error *err)
{
    struct cpu_hotplug *d = lunik_state(handler);
    lunik_machine *m = lunik_object_machine(handler);
    unsigned index = (unsigned)lunik_cpu_device_iface(device)->get(device)->index;
    int rc = lunik_cpu_present(m, index) ? 0 : lunik_cpu_plug(m, index, err);

    if (rc)
        return lunik_fail_prefix(err, rc, "cpu: '%s' can't be plugged", name_of(device));
    d->device[index] = device;
    d->fresh[index / 64] |= UINT64_C(1) << index % 64;
    note_news(d);
    return 0;
}

static int unplug_request(lunik_object *handler, lunik_object *device, lunik_error *err)
{
    struct cpu_hotplug *d = lunik_state(handler);
    unsigned index = (unsigned)lunik_cpu_device_iface(device)->get(device)->index;

    if (!index)
        return lunik_fail(err, LUNIK_E_UNSUPPORTED,
                          "cpu: '%s' is the boot CPU, which can't be unplugged", name_of(device));
    d->slots.slot[index].removing = true;
    lunik_trace(lunik_object_machine(handler), "shown", device, LUNIK_FIELD_UINT("slot", index),
                LUNIK_FIELD_STRING("asks", "remove"));
    d->notify = true;
    note_news(d);
    return 0;
}

/* The first CPU stays when its device goes, which it does before the start or at the end. */
static void unplug(lunik_object *handler, lunik_object *device)
{
    struct cpu_hotplug *d = lunik_state(handler);
    unsigned index = (unsigned)lunik_cpu_device_iface(device)->get(device)->index;

    d->fresh[index / 64] &= ~(UINT64_C(1) << index % 64);
    d->slots.slot[index] = (struct cpu_slot){.enabled = index == 0};
    d->device[index] = NULL;
    if (index)
        lunik_cpu_unplug(lunik_object_machine(handler), index);
}

static const lunik_hotplug_ops hotplug_ops = {
    .pre_plug = pre_plug,
    .plug = plug,
    .unplug_request = unplug_request,
    .unplug = unplug,
};

/* ---- life cycle ----------------------------------------------------------------------------- */

static int realize(lunik_object *o, lunik_error *err)
{
    struct cpu_hotplug *d = lunik_state(o);
    lunik_machine *m = lunik_object_machine(o);
    int rc = acpi_notifier_check(&d->notifier, o, err);

    if (rc)
        return rc;
    d->news.commit = show_news;
    d->news.undo = drop_news;
    cpu_slots_init(&d->slots, config_of(d)->maxcpus, &slots_ops);
    for (unsigned i = 0; i < d->slots.count; i++)
        d->slots.slot[i].enabled = lunik_cpu_present(m, i);
    rc = device_ports_new(&d->ports, o, "acpi-cpu-hotplug", d->iobase, CPU_SLOTS_LEGACY_SIZE,
                          &port_ops, d, err);
    if (!rc)
        rc = lunik_machine_set_hotplug_handler(m, "cpu", o, err);
    if (rc)
        device_region_drop(&d->ports);
    return rc;
}

static void unrealize(lunik_object *o)
{
    struct cpu_hotplug *d = lunik_state(o);
    lunik_machine *m = lunik_object_machine(o);

    lunik_machine_set_hotplug_handler(m, "cpu", NULL, NULL);
    lunik_transaction_forget(m, &d->news);
    device_region_drop(&d->ports);
}

/* ---- properties and interfaces -------------------------------------------------------------- */

static const lunik_prop props[] = {
    DEVICE_IOBASE_PROP(struct cpu_hotplug, "The first of 32 I/O ports.", 0xaf00,
                       0x10000 - CPU_SLOTS_LEGACY_SIZE),
    ACPI_NOTIFIER_PROPS(struct cpu_hotplug, notifier, 2),
    {0},
};

static void describe(lunik_object *o, lunik_acpi_node *out)
{
    const struct cpu_hotplug *d = lunik_state(o);

    *out = (lunik_acpi_node){
        .part = "cpu_hotplug",
        .count = 2,
        .values = {{"CHIO", d->iobase}, {"CHGP", d->notifier.gpe}},
    };
}

/* Describes the CPUs, in the container: the first, which can't be ejected, and the others; and the
 * device that has the ports. */
static bool describe_more(lunik_object *o, unsigned index, lunik_acpi_node *out)
{
    const struct cpu_hotplug *d = lunik_state(o);
    const lunik_acpi_node nodes[] = {
        {.part = "cpu_first", .scope = "\\_SB.CPUS"},
        {
            .part = "cpu_slot",
            .scope = "\\_SB.CPUS",
            .first = 1,
            .copies = d->slots.count - 1,
            .notify = "CTFY",
        },
        {.part = "cpu_ports", .count = 1, .values = {{"CHIO", d->iobase}}},
    };

    if (index >= sizeof(nodes) / sizeof(nodes[0]))
        return false;
    *out = nodes[index];
    return true;
}

static const lunik_acpi_ops acpi_ops = {.describe = describe, .describe_more = describe_more};

static const lunik_iface ifaces[] = {
    LUNIK_IFACE(hotplug, &hotplug_ops),
    LUNIK_IFACE(acpi, &acpi_ops),
    {0},
};

/* ---- state ---------------------------------------------------------------------------------- */

/* The CPUs that the guest sees must be the ones that are here. */
static int post_load(void *staged, const void *state, uint16_t version, lunik_error *err)
{
    const struct cpu_hotplug *d = staged, *here = state;

    for (unsigned i = 0; i < here->slots.count; i++) {
        bool seen = d->slots.slot[i].enabled, plugged = here->slots.slot[i].enabled;

        if (seen != plugged)
            return lunik_fail(err, LUNIK_E_INVALID, "slots: slot: [%u]: %s in the state, %s here",
                              i, seen ? "plugged" : "not plugged",
                              plugged ? "plugged" : "not plugged");
    }
    return 0;
}

static const lunik_state_field state_fields[] = {
    LUNIK_STATE_STRUCT(struct cpu_hotplug, slots, &cpu_slots_state),
    {0},
};

static const lunik_state_table state_table = {
    .name = "acpi-cpu-hotplug",
    .version = 1,
    .size = sizeof(struct cpu_hotplug),
    .fields = state_fields,
    .post_load = post_load,
};

const lunik_type cpu_hotplug_type = {
    .name = "acpi-cpu-hotplug",
    .doc = "Takes CPUs in and out, and the registers through which ACPI does.",
    .flags = LUNIK_TYPE_DEVICE,
    .size = sizeof(struct cpu_hotplug),
    .props = props,
    .ifaces = ifaces,
    .realize = realize,
    .unrealize = unrealize,
    .reset = reset,
    .state = &state_table,
};
