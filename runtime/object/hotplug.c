/* hotplug.c: hotplug handlers of a machine, and the order of calls of handlers and devices. */
#include <stdlib.h>
#include <string.h>

#include "core/misuse.h"
#include "core/trace.h"
#include "object.h"

/* ---- handlers ------------------------------------------------------------------------------- */

static struct hotplug_entry **handler_slot(lunik_machine *m, const char *kind)
{
    struct hotplug_entry **p = &m->objects->handlers;

    while (*p && strcmp((*p)->kind, kind))
        p = &(*p)->next;
    return p;
}

static void handler_drop(struct hotplug_entry **slot)
{
    struct hotplug_entry *entry = *slot;

    *slot = entry->next;
    free(entry->kind);
    free(entry);
}

int lunik_machine_set_hotplug_handler(lunik_machine *m, const char *kind, lunik_object *handler,
                                      lunik_error *err)
{
    NOT_NULL_OR_FAIL(m, err);
    NOT_NULL_OR_FAIL(kind, err);

    struct hotplug_entry **slot, *entry;

    if (!m->objects)
        return handler ? lunik_fail(err, LUNIK_E_GONE, "the machine is closed") : 0;
    slot = handler_slot(m, kind);
    if (!handler) {
        if (*slot)
            handler_drop(slot);
        return 0;
    }
    if (*slot)
        return lunik_fail(err, LUNIK_E_EXISTS,
                          "%s: the machine already has a hotplug handler for %s devices: '%s'",
                          handler->type_name, kind, object_name((*slot)->handler));
    entry = calloc(1, sizeof(*entry));
    if (entry)
        entry->kind = strdup(kind);
    if (!entry || !entry->kind) {
        free(entry);
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "%s: out of memory", handler->type_name);
    }
    entry->handler = handler;
    *slot = entry;
    return 0;
}

lunik_object *lunik_machine_hotplug_handler(lunik_machine *m, const char *kind)
{
    NOT_NULL(m, NULL);
    NOT_NULL(kind, NULL);

    struct hotplug_entry *entry = m->objects ? *handler_slot(m, kind) : NULL;
    return entry ? entry->handler : NULL;
}

void hotplug_forget_handler(lunik_machine *m, lunik_object *handler)
{
    struct hotplug_entry **p = &m->objects->handlers;

    while (*p) {
        if ((*p)->handler == handler)
            handler_drop(p);
        else
            p = &(*p)->next;
    }
}

/* ---- devices -------------------------------------------------------------------------------- */

bool lunik_machine_hotplugging(const lunik_machine *m)
{
    NOT_NULL(m, false);

    return m->objects && m->objects->hotplugging;
}

static int fail_no_handler(const struct type_entry *t, const char *name, lunik_error *err)
{
    const char *wants = t->hotplug_wants;

    return lunik_fail(err, LUNIK_E_UNSUPPORTED,
                      "%s: the machine has no hotplug handler for %s devices%s%s%s", name,
                      t->hotplug, wants ? " (want " : "", wants ? wants : "", wants ? ")" : "");
}

int hotplug_prepare(lunik_object *o, lunik_error *err)
{
    const char *kind = o->type->hotplug;
    lunik_object *handler = kind ? lunik_machine_hotplug_handler(o->machine, kind) : NULL;
    const lunik_hotplug_ops *ops = handler ? lunik_hotplug_iface(handler) : NULL;
    lunik_span span;
    int rc;

    if (!kind)
        return 0;
    if (!ops)
        return fail_no_handler(o->type, o->type_name, err);
    TRACE_BEGIN(o->machine, &span, .kind = "pre_plug", .name = object_name(handler), STEP_ABOUT(o));
    rc = ops->pre_plug(handler, o, err);
    trace_finish(&span, rc, err);
    if (!rc)
        rc = lunik_object_use(handler, o, err);
    if (!rc)
        o->handler = handler;
    return rc;
}

int hotplug_plug(lunik_object *o, lunik_error *err)
{
    lunik_span span;
    int rc;

    if (!o->handler)
        return 0;
    TRACE_BEGIN(o->machine, &span, .kind = "plug", .name = object_name(o->handler), STEP_ABOUT(o));
    rc = lunik_hotplug_iface(o->handler)->plug(o->handler, o, err);
    trace_finish(&span, rc, err);
    o->plugged = !rc;
    return rc;
}

void hotplug_unplug(lunik_object *o)
{
    lunik_object *handler = o->handler;
    lunik_span span;

    if (!handler)
        return;
    if (o->plugged) {
        TRACE_BEGIN(o->machine, &span, .kind = "unplug", .name = object_name(handler),
                    STEP_ABOUT(o));
        lunik_hotplug_iface(handler)->unplug(handler, o);
        trace_finish(&span, 0, NULL);
    }
    o->plugged = false;
    o->handler = NULL;
    lunik_object_unuse(handler, o);
}

bool hotplug_must_ask(const lunik_object *o)
{
    return o->handler ? lunik_hotplug_iface(o->handler)->unplug_request != NULL
                      : o->type->unplug_request != NULL;
}

int hotplug_request(lunik_object *o, lunik_error *err)
{
    lunik_span span;
    int rc;

    TRACE_BEGIN(o->machine, &span, .kind = "unplug_request",
                .name = o->handler ? object_name(o->handler) : NULL, STEP_ABOUT(o));
    rc = o->handler ? lunik_hotplug_iface(o->handler)->unplug_request(o->handler, o, err)
                    : o->type->unplug_request(o, err);
    trace_finish(&span, rc, err);
    return rc;
}
