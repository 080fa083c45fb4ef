/* plug.c: unplugging of devices: plug states, requests and the guest's answers. */
#include "core/misuse.h"
#include "core/trace.h"
#include "object.h"

/* ---- events --------------------------------------------------------------------------------- */

void device_emit(lunik_object *o, const char *event, const lunik_field *extra, size_t count)
{
    lunik_field fields[LUNIK_EVENT_FIELDS];
    size_t n = 0;

    if (*o->id)
        fields[n++] = LUNIK_FIELD_STRING("device", o->id);
    fields[n++] = LUNIK_FIELD_STRING("path", o->path);
    for (size_t i = 0; i < count && n < LUNIK_EVENT_FIELDS; i++)
        fields[n++] = extra[i];
    lunik_emit_fields(o->machine, event, fields, n);
}

/* ---- plug states ---------------------------------------------------------------------------- */

lunik_plug_state lunik_device_plug_state(const lunik_object *o)
{
    NOT_NULL(o, LUNIK_PLUG_EJECTED);

    return o->plug;
}

const char *lunik_plug_state_name(lunik_plug_state state)
{
    switch (state) {
#define PLUG_CASE(name, lua)                                                                       \
    case LUNIK_PLUG_##name:                                                                        \
        return lua;
        LUNIK_PLUG_MAP(PLUG_CASE)
#undef PLUG_CASE
    }
    return "unknown";
}

static bool is_leaving(const lunik_object *o)
{
    return o->plug == LUNIK_PLUG_DRAINING;
}

static void device_remove(lunik_object *o)
{
    lunik_object_ref(o);
    object_remove(o);
    device_emit(o, "device-deleted", NULL, 0);
    lunik_object_unref(o);
}

/* Removes a device whose guest has agreed. Fails if an object uses it or the memory map can't
 * change. */
static int device_leave(lunik_object *o, lunik_error *err)
{
    int rc = object_check_unused(o, err);

    return rc ? rc : object_leave(o, device_remove, err);
}

static void refuse(lunik_object *o, const char *reason)
{
    object_undrain(o);
    o->plug = LUNIK_PLUG_REFUSED;
    device_emit(o, "device-unplug-guest-error", &LUNIK_FIELD_STRING("reason", reason), 1);
}

/* ---- devices that have something in flight --------------------------------------------------- */

static void begin_leaving(lunik_object *o)
{
    o->plug = LUNIK_PLUG_DRAINING;
    object_drain_leave(o);
}

static void drain_commit(lunik_change *c)
{
    lunik_object *o = object_noted(c);

    if (o->state == OBJECT_ALIVE)
        begin_leaving(o);
    lunik_object_unref(o);
}

static void drain_undo(lunik_change *c)
{
    lunik_object *o = object_noted(c);

    object_undrain(o);
    lunik_object_unref(o);
}

/* Removes a device whose guest has agreed: now if nothing is in flight, else when that has
 * finished. A failure changes nothing. */
static int device_let_go(lunik_object *o, lunik_error *err)
{
    int rc = object_check_unused(o, err);

    if (rc || is_leaving(o))
        return rc;
    if (!o->announced || object_drain(o)) {
        rc = device_leave(o, err);
        if (rc)
            object_undrain(o);
        return rc;
    }
    object_forget_note(o);
    object_note(o, drain_commit, drain_undo);
    return 0;
}

void objects_let_go(lunik_machine *m)
{
    lunik_object *o;
    lunik_error err;
    bool late;

    while ((o = objects_next_leaving(m, &late)))
        if (late ? object_fail_late(o, &err) : device_leave(o, &err))
            refuse(o, err.message);
}

void lunik_device_ejected(lunik_object *o)
{
    NOT_NULL(o);

    lunik_error err;

    if (o->state != OBJECT_ALIVE)
        return;
    TRACE(o->machine, .kind = "eject", STEP_ABOUT(o));
    if (device_let_go(o, &err))
        refuse(o, err.message);
}

void lunik_device_refused(lunik_object *o, uint64_t source, uint64_t status)
{
    NOT_NULL(o);

    if (o->state != OBJECT_ALIVE || o->plug != LUNIK_PLUG_REQUESTED)
        return;
    o->plug = LUNIK_PLUG_REFUSED;
    device_emit(o, "device-unplug-guest-error",
                (const lunik_field[]){LUNIK_FIELD_UINT("source", source),
                                      LUNIK_FIELD_UINT("status", status)},
                2);
}

/* Asks the handler, or else the type, to unplug the device. The answer may come within the call. */
static int device_request(lunik_object *o, lunik_error *err)
{
    lunik_plug_state before = o->plug;
    int rc;

    lunik_object_ref(o);
    o->plug = LUNIK_PLUG_REQUESTED;
    rc = hotplug_request(o, err);
    if (rc && o->plug == LUNIK_PLUG_REQUESTED)
        o->plug = before;
    else if (o->plug == LUNIK_PLUG_REQUESTED && before != LUNIK_PLUG_REQUESTED)
        device_emit(o, "device-unplug-request", NULL, 0);
    lunik_object_unref(o);
    return rc;
}

static void request_commit(lunik_change *c)
{
    lunik_object *o = object_noted(c);
    lunik_error err;

    if (o->state == OBJECT_ALIVE && device_request(o, &err))
        refuse(o, err.message);
    lunik_object_unref(o);
}

static void request_undo(lunik_change *c)
{
    lunik_object_unref(object_noted(c));
}

static int device_del(lunik_machine *m, lunik_object *o, const char *id, lunik_error *err)
{
    bool started = lunik_machine_state(m) != LUNIK_STATE_CREATED;
    int rc;

    if (!o)
        return lunik_fail(err, LUNIK_E_NOT_FOUND, "there is no device '%s'", id);
    if (!o->is_device)
        return lunik_fail(err, LUNIK_E_INVALID, "'%s' is not a device (use object_del)", id);
    if (started && !(o->type->type->flags & LUNIK_TYPE_UNPLUG))
        return lunik_fail(err, LUNIK_E_STATE,
                          "device '%s' (%s) can't be removed from a machine that has been started",
                          object_name(o), o->type_name);
    if (!started || !hotplug_must_ask(o) || !o->announced || is_leaving(o))
        return device_let_go(o, err);
    rc = object_check_unused(o, err);
    if (rc)
        return rc;
    if (!lunik_in_transaction(m))
        return device_request(o, err);
    object_note(o, request_commit, request_undo);
    return 0;
}

int lunik_device_del(lunik_machine *m, const char *id, lunik_error *err)
{
    NOT_NULL_OR_FAIL(m, err);
    NOT_NULL_OR_FAIL(id, err);
    if (lunik_machine_state(m) == LUNIK_STATE_CLOSED)
        return machine_fail_closed(m, err);
    REQUIRE_OR_FAIL(lunik_locked(m->rt), UNLOCKED, err);

    lunik_object *o = lunik_object_find(m, id);
    lunik_span span;
    int rc;

    TRACE_BEGIN(m, &span, .kind = "device_del", .device = o ? object_name(o) : id,
                .driver = o ? o->type_name : NULL,
                .fields = &LUNIK_FIELD_BOOL("in_transaction", lunik_in_transaction(m)), .count = 1);
    rc = device_del(m, o, id, err);
    trace_finish(&span, rc, err);
    return rc;
}

/* The guest that would have answered is gone, and the machine has waited for what was in flight. */
static void leave_if_asked(lunik_object *o)
{
    lunik_error err;

    if ((o->plug == LUNIK_PLUG_REQUESTED || is_leaving(o)) && device_leave(o, &err))
        refuse(o, err.message);
}

void plug_reset(lunik_machine *m)
{
    objects_each(m, true, leave_if_asked);
}
