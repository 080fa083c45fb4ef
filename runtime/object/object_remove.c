/* object_remove.c: removes objects, at once or when a transaction commits. */
#include "object.h"
#include "core/misuse.h"
#include "core/outlet.h"
#include "core/trace.h"

void object_unrealize(lunik_object *o)
{
    lunik_span span;

    hotplug_unplug(o);
    if (o->type->unrealize) {
        TRACE_BEGIN(o->machine, &span, .kind = "unrealize", STEP_ABOUT(o));
        o->type->unrealize(o);
        trace_finish(&span, 0, NULL);
    }
    props_release(o);
}

static lunik_cause removal_cause(const lunik_object *o)
{
    return (lunik_cause){
        .action = o->is_device ? "device_del" : "object_del",
        .name = object_name(o),
        .detail = o->type_name,
        .vcpu = -1,
    };
}

void object_remove(lunik_object *o)
{
    lunik_cause cause = removal_cause(o);

    o->state = OBJECT_REMOVING;
    object_drain_part(o);
    lunik_object_ref(o);
    lunik_cause_push(&cause);
    object_unrealize(o);
    o->machine->regions->orphan(o->machine, &o->regions);
    lunik_cause_pop(&cause);
    object_take_out(o);
    lunik_object_unref(o);
}

static void leave_commit(lunik_change *c)
{
    lunik_object *o = object_noted(c);

    o->remove(o);
    lunik_object_unref(o);
}

static void leave_undo(lunik_change *c)
{
    lunik_object *o = object_noted(c);

    o->state = OBJECT_ALIVE;
    object_undrain(o);
    lunik_object_unref(o);
}

/* Only the change of the memory map can fail, so it comes before the rest of the removal. */
static int hide_regions(lunik_object *o, lunik_error *err)
{
    lunik_cause cause = removal_cause(o);
    int rc;

    lunik_cause_push(&cause);
    rc = o->machine->regions->disable(o->machine, &o->regions, err);
    lunik_cause_pop(&cause);
    return rc ? lunik_fail_prefix(err, rc, "%s: '%s' can't be taken out", o->type_name,
                                  object_name(o))
              : 0;
}

int object_leave(lunik_object *o, void (*remove)(lunik_object *o), lunik_error *err)
{
    int rc;

    if (!o->announced) {
        object_remove(o); /* added in this transaction: no event has named it */
        return 0;
    }
    rc = hide_regions(o, err);
    if (rc)
        return rc;
    object_forget_note(o); /* the commit was going to ask the guest */
    o->state = OBJECT_LEAVING;
    o->remove = remove;
    object_note(o, leave_commit, leave_undo);
    return 0;
}

static int find_unused(lunik_machine *m, const char *id, lunik_object **out, lunik_error *err)
{
    lunik_object *o = lunik_object_find(m, id);

    if (!o)
        return lunik_fail(err, LUNIK_E_NOT_FOUND, "there is no object '%s'", id);
    if (o->is_device)
        return lunik_fail(err, LUNIK_E_INVALID, "'%s' is a device (use device_del)", id);
    *out = o;
    return object_check_unused(o, err);
}

/* Waiting is the caller's business: it is in use by itself. */
static int leave_if_finished(lunik_object *o, lunik_error *err)
{
    int rc = object_drain(o)
                 ? object_leave(o, object_remove, err)
                 : lunik_fail(err, LUNIK_E_BUSY, "'%s' (%s) has not finished what is in flight",
                              object_name(o), o->type_name);

    if (rc)
        object_undrain(o);
    return rc;
}

static int object_del(lunik_machine *m, const char *id, lunik_error *err)
{
    lunik_object *named = NULL, *o;
    int rc = find_unused(m, id, &named, err);

    if (rc)
        return rc;
    lunik_object_ref(named); /* id may point into it */
    o = named;
    /* The wait releases the lock: the object may be gone or in use now. */
    if (outlets_wait(m, named))
        rc = find_unused(m, id, &o, err);
    if (!rc && o)
        rc = leave_if_finished(o, err);
    lunik_object_unref(named);
    return rc;
}

int lunik_object_del(lunik_machine *m, const char *id, lunik_error *err)
{
    NOT_NULL_OR_FAIL(m, err);
    NOT_NULL_OR_FAIL(id, err);
    if (lunik_machine_state(m) == LUNIK_STATE_CLOSED)
        return machine_fail_closed(m, err);
    REQUIRE_OR_FAIL(lunik_locked(m->rt), UNLOCKED, err);

    lunik_span span;
    int rc;

    TRACE_BEGIN(m, &span, .kind = "object_del", .device = id);
    rc = object_del(m, id, err);
    trace_finish(&span, rc, err);
    return rc;
}
