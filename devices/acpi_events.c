/* acpi_events.c: see acpi_events.h. */
#include "acpi_events.h"

#include <inttypes.h>

#include "lunik_trace.h"

/* _OST source events */
enum { OST_EJECT_REQUEST = 3, OST_EJECTING = 0x103 };
/* _OST status codes; all others mean that an ejection failed */
enum { OST_SUCCESS = 0, OST_EJECT_IN_PROGRESS = 0x84 };

int acpi_notifier_check(const struct acpi_notifier *n, lunik_object *o, lunik_error *err)
{
    const lunik_gpe_ops *gpe = n->pm ? lunik_gpe_iface(n->pm) : NULL;

    if (gpe && n->gpe >= gpe->count)
        return lunik_fail(
            err, LUNIK_E_INVALID, "%s: gpe: '%" PRIu64 "' is no event of '%s' (want 0 to %u)",
            lunik_object_type_name(o), n->gpe, lunik_object_path(n->pm), gpe->count - 1);
    return 0;
}

void acpi_notifier_raise(const struct acpi_notifier *n)
{
    const lunik_gpe_ops *gpe = n->pm ? lunik_gpe_iface(n->pm) : NULL;

    if (gpe)
        gpe->raise(n->pm, (unsigned)n->gpe);
}

bool acpi_notifier_wakes(const struct acpi_notifier *n, const lunik_object *o, bool pending)
{
    bool waking = lunik_machine_waking(lunik_object_machine(o));

    if (waking && pending)
        acpi_notifier_raise(n);
    return waking;
}

void acpi_ost_report(lunik_object *o, lunik_object *device, const struct acpi_ost *ost,
                     const lunik_field *more)
{
    lunik_machine *m = lunik_object_machine(o);
    const char *id = device ? lunik_object_id(device) : "";
    lunik_field fields[6] = {
        LUNIK_FIELD_UINT("slot", ost->slot),
        LUNIK_FIELD_STRING("slot_type", ost->slot_type),
        LUNIK_FIELD_UINT("source", ost->source),
        LUNIK_FIELD_UINT("status", ost->status),
    };
    size_t count = 4;

    lunik_trace(m, "ost", device, LUNIK_FIELD_UINT("slot", ost->slot),
                LUNIK_FIELD_UINT("source", ost->source), LUNIK_FIELD_UINT("status", ost->status));
    if (more)
        fields[count++] = *more;
    if (*id)
        fields[count++] = LUNIK_FIELD_STRING("device", id);
    lunik_emit_fields(m, "acpi-ost", fields, count);
}

bool acpi_ost_refuses(const struct acpi_ost *ost)
{
    return (ost->source == OST_EJECT_REQUEST || ost->source == OST_EJECTING) &&
           ost->status != OST_SUCCESS && ost->status != OST_EJECT_IN_PROGRESS;
}
