/* object_trace.c: steps that devices report; see lunik_trace.h. */
#include "object.h"
#include "core/misuse.h"
#include "core/trace.h"

void lunik_trace_fields(lunik_machine *m, const char *kind, const lunik_object *device,
                        const lunik_field *fields, size_t count)
{
    NOT_NULL(m);
    NOT_NULL(kind);
    REQUIRE(fields || !count, "fields is NULL");
    if (!trace_on(m))
        return;
    REQUIRE(lunik_locked(m->rt), UNLOCKED);

    trace_step(m, &(const lunik_step){.kind = kind,
                                      .device = device ? object_name(device) : NULL,
                                      .driver = device ? device->type_name : NULL,
                                      .fields = fields,
                                      .count = count});
}

void lunik_trace_about(lunik_machine *m, const lunik_object *device)
{
    NOT_NULL(m);
    if (!trace_on(m) || !device)
        return;
    REQUIRE(lunik_locked(m->rt), UNLOCKED);

    trace_about(m, object_name(device), device->type_name);
}
