/* object_outlet.c: notes which outlets of an object hold output; see core/outlet.c. */
#include "core/misuse.h"
#include "object.h"

void lunik_outlet_fill(lunik_outlet *outlet, lunik_object *owner)
{
    NOT_NULL(outlet);
    NOT_NULL(owner);

    lunik_machine *m = lunik_object_machine(owner);

    if (outlet->owner)
        return;
    outlet->owner = owner;
    outlet->pass = m->outlet_pass;
    TAILQ_INSERT_TAIL(&m->outlets, outlet, entry);
}

void lunik_outlet_clear(lunik_outlet *outlet)
{
    NOT_NULL(outlet);

    if (!outlet->owner)
        return;
    TAILQ_REMOVE(&lunik_object_machine(outlet->owner)->outlets, outlet, entry);
    outlet->owner = NULL;
}
