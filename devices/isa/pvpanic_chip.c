/* pvpanic_chip.c: what a guest reports of its own end, and what the machine does then. */
#include "pvpanic_chip.h"
#include "../action.h"

static const enum device_action actions[] = {ACTION_SHUTDOWN, ACTION_EXIT_FAILURE, ACTION_PAUSE,
                                             ACTION_RESET, ACTION_NONE};
const char *const pvpanic_actions[] = {"shutdown", "exit-failure", "pause", "reset", "none", NULL};

static const char *name_of(const lunik_object *o)
{
    return *lunik_object_id(o) ? lunik_object_id(o) : lunik_object_path(o);
}

void pvpanic_write(lunik_object *o, const struct pvpanic *p, uint64_t value)
{
    lunik_machine *m = lunik_object_machine(o);
    lunik_field fields[] = {
        LUNIK_FIELD_STRING("device", name_of(o)),
        LUNIK_FIELD_STRING("action", pvpanic_actions[p->on_panic]),
    };

    value &= p->events;
    if (value & PVPANIC_CRASH_LOADED)
        lunik_emit_fields(m, "guest-crashloaded", fields, 1);
    if (!(value & PVPANIC_PANICKED))
        return;
    lunik_emit_fields(m, "guest-panicked", fields, 2);
    device_act(o, actions[p->on_panic], "guest-panicked");
}
