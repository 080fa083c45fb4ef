/* access_step.c: accesses to devices as steps. */
#include <string.h>

#include "core/trace.h"
#include "memory.h"

/* Whether the region's device has a part in hotplug: the guest is notified or answers there. */
static bool is_of_hotplug(const lunik_region *r)
{
    return r->owner && (lunik_acpi_slots_iface(r->owner) || lunik_gpe_iface(r->owner));
}

void access_step_begin(lunik_span *span, const lunik_region *r, uint64_t offset,
                       const lunik_cause *c)
{
    lunik_machine *m = r->core->machine;
    bool write = *c->action == 'w', common = !is_of_hotplug(r);
    const lunik_field fields[] = {
        LUNIK_FIELD_BOOL("write", write),     LUNIK_FIELD_UINT("address", c->address),
        LUNIK_FIELD_UINT("offset", offset),   LUNIK_FIELD_UINT("size", c->size),
        LUNIK_FIELD_STRING("bus", c->detail), LUNIK_FIELD_UINT("value", c->value),
    };

    if (common && !trace_wants_accesses(m))
        return;
    trace_begin(m, span,
                &(const lunik_step){.kind = "access",
                                    .name = r->name,
                                    .fields = fields,
                                    .count = write && c->size <= sizeof(c->value) ? 6 : 5,
                                    .common = common});
}

void access_step_end(lunik_span *span, const void *data, unsigned size)
{
    lunik_field value = LUNIK_FIELD_UINT("value", 0);

    if (data)
        memcpy(&value.value.uint, data, size);
    trace_end(span, 0, NULL, &value, data != NULL);
}
