/* piix4_ports.c: the port ranges of the PIIX4's power management. */
#include "piix4_pm.h"
#include "../ports.h"

/* ---- accesses ------------------------------------------------------------------------------- */

static lunik_access event_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    struct piix4_pm *s = opaque;

    *value = acpi_pm_event_read(&s->pm, (unsigned)offset, size);
    return LUNIK_ACCESS_OK;
}

static lunik_access event_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct piix4_pm *s = opaque;

    acpi_pm_event_write(&s->pm, (unsigned)offset, size, (uint32_t)value);
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops event_ops = {
    .read = event_read,
    .write = event_write,
    DEVICE_DWORD_PORTS,
};

static lunik_access control_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    const struct piix4_pm *s = opaque;

    *value = acpi_pm_control_read(&s->pm, (unsigned)offset, size);
    return LUNIK_ACCESS_OK;
}

static lunik_access control_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct piix4_pm *s = opaque;

    acpi_pm_control_write(&s->pm, (unsigned)offset, size, (uint32_t)value);
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops control_ops = {
    .read = control_read,
    .write = control_write,
    DEVICE_DWORD_PORTS,
};

static lunik_access timer_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    const struct piix4_pm *s = opaque;

    *value = acpi_pm_timer_read(&s->pm, (unsigned)offset, size);
    return LUNIK_ACCESS_OK;
}

static lunik_access timer_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    return LUNIK_ACCESS_OK; /* read-only */
}

/* Reading the timer touches nothing but the clock. */
static const lunik_io_ops timer_ops = {
    .read = timer_read,
    .write = timer_write,
    DEVICE_DWORD_PORTS,
    .lockless = true,
};

static lunik_access gpe_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    const struct piix4_pm *s = opaque;

    *value = acpi_pm_gpe_read(&s->pm, (unsigned)offset, size);
    return LUNIK_ACCESS_OK;
}

static lunik_access gpe_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct piix4_pm *s = opaque;

    acpi_pm_gpe_write(&s->pm, (unsigned)offset, size, (uint32_t)value);
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops gpe_ops = {
    .read = gpe_read,
    .write = gpe_write,
    DEVICE_DWORD_PORTS,
};

static lunik_access apm_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    const struct piix4_pm *s = opaque;

    *value = s->apm[offset];
    return LUNIK_ACCESS_OK;
}

static lunik_access apm_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct piix4_pm *s = opaque;

    s->apm[offset] = (uint8_t)value;
    if (offset == 0 && value == APM_ACPI_ENABLE)
        acpi_pm_enable(&s->pm, true);
    else if (offset == 0 && value == APM_ACPI_DISABLE)
        acpi_pm_enable(&s->pm, false);
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops apm_ops = {
    .read = apm_read,
    .write = apm_write,
    DEVICE_BYTE_PORTS,
};

/* ---- ranges --------------------------------------------------------------------------------- */

/* Makes a port range. At 0 it is off until the guest gives it a place, which may be anywhere: as in
 * hardware, it may hide other ports. */
static int new_port(struct piix4_pm *s, lunik_region **out, const char *name, lunik_region *parent,
                    uint64_t offset, uint64_t size, const lunik_io_ops *ops, void *opaque,
                    lunik_error *err)
{
    lunik_object *o = lunik_state_object(s);
    lunik_region_config config = {
        .kind = ops ? LUNIK_REGION_IO : LUNIK_REGION_CONTAINER,
        .name = name,
        .size = size,
        .ops = ops,
        .opaque = opaque,
    };
    bool movable = parent != s->pm_ports && !offset;
    int rc = device_region_new(out, o, config, err);

    if (!rc && movable)
        rc = lunik_region_set_enabled(*out, false, err);
    if (!rc)
        rc = lunik_region_add(parent, offset, *out, 0, movable, err);
    return rc ? lunik_fail_prefix(err, rc, "%s", lunik_object_type_name(o)) : 0;
}

int piix4_ports_new(struct piix4_pm *s, lunik_error *err)
{
    lunik_region *io = lunik_space_root(lunik_machine_io(lunik_object_machine(s->bus)));
    int rc = new_port(s, &s->pm_ports, "piix4-pm", io, s->pm_base, PM_PORTS, NULL, NULL, err);

    if (!rc)
        rc = new_port(s, &s->event_port, "acpi-evt", s->pm_ports, PM_EVENT, 4, &event_ops, s, err);
    if (!rc)
        rc = new_port(s, &s->control_port, "acpi-cnt", s->pm_ports, PM_CONTROL, 2, &control_ops, s,
                      err);
    if (!rc)
        rc = new_port(s, &s->timer_port, "acpi-tmr", s->pm_ports, PM_TIMER, 4, &timer_ops, s, err);
    if (!rc)
        rc = new_port(s, &s->gpe_port, "acpi-gpe0", io, s->gpe_base, GPE0_PORTS, &gpe_ops, s, err);
    if (!rc)
        rc = new_port(s, &s->apm_port, "apm-io", io, APM_PORT, 2, &apm_ops, s, err);
    if (!rc)
        rc = new_port(s, &s->smbus_port, "pm-smbus", io, s->smb_base, PIIX4_SMBUS_PORTS,
                      &piix4_smbus_ops, &s->smbus, err);
    return rc;
}

void piix4_ports_drop(struct piix4_pm *s)
{
    device_region_drop(&s->smbus_port);
    device_region_drop(&s->apm_port);
    device_region_drop(&s->gpe_port);
    device_region_drop(&s->timer_port);
    device_region_drop(&s->control_port);
    device_region_drop(&s->event_port);
    device_region_drop(&s->pm_ports);
}
