/*
 * object_drain.c: objects that finish what is in flight when they are asked to.
 *
 * DESIGN. Every object whose type has a drain function has a lunik_drain from its creation on, so
 * that asking it takes no memory. It is asked while all of the machine's objects are
 * (drains.holds), or while it is asked alone (held): an object that uses another one is asked
 * first, and the other when the first has finished, because that may need it for what is in flight.
 *
 * An object owes one report for each time it is asked, also if it was undrained before
 * that. Until then it is not asked again: a report is always the one for the last time. A reference
 * keeps the object's struct meanwhile, and with it the machine's.
 */
#include <stdlib.h>

#include "core/misuse.h"
#include "core/monotonic.h"
#include "core/trace.h"
#include "object.h"

enum drain_state {
    DRAIN_IDLE,
    DRAIN_OWED,     /* asked, has not reported yet */
    DRAIN_REPORTED, /* has answered the last call of drain */
};

static enum drain_state state_of(const lunik_drain *d)
{
    return (enum drain_state)atomic_load_explicit(&d->state, memory_order_acquire);
}

static bool is_wanted(const lunik_drain *d)
{
    return d->held || d->object->machine->drains.holds;
}

static bool has_finished(const lunik_drain *d)
{
    return d->asked && state_of(d) == DRAIN_REPORTED;
}

/* ---- reports -------------------------------------------------------------------------------- */

void lunik_drain_done(lunik_drain *d)
{
    NOT_NULL(d);

    lunik_object *o = d->object;
    int owed = DRAIN_OWED;

    REQUIRE(atomic_compare_exchange_strong(&d->state, &owed, DRAIN_REPORTED),
            "the device has not been asked to drain, or has reported already");
    drains_changed(o->machine);
    lunik_object_unref(o);
}

lunik_object *lunik_drain_object(const lunik_drain *d)
{
    NOT_NULL(d, NULL);

    return d->object;
}

/* ---- asking --------------------------------------------------------------------------------- */

static void ask(lunik_drain *d)
{
    lunik_object *o = d->object;

    d->asked = true;
    atomic_store_explicit(&d->state, DRAIN_OWED, memory_order_release);
    lunik_object_ref(o);
    TRACE(o->machine, .kind = "drain", STEP_ABOUT(o));
    o->type->drain(o, d);
}

static void let_go_on(lunik_drain *d)
{
    lunik_object *o = d->object;

    d->asked = false;
    if (o->type->undrain)
        o->type->undrain(o);
}

static bool can_be_asked(const lunik_drain *d)
{
    return is_wanted(d) && !d->asked && state_of(d) != DRAIN_OWED;
}

/* Returns whether all objects that use o have finished, those included that use it through objects
 * without a drain function. A user is younger than what it uses, so the search ends. */
static bool users_have_finished(const lunik_object *o)
{
    const struct object_use *use;

    LIST_FOREACH (use, &o->users, of_used) {
        const lunik_object *user = use->user;

        if (user->drain ? !has_finished(user->drain)
                        : user->serial > o->serial && !users_have_finished(user))
            return false;
    }
    return true;
}

/* Returns the youngest object that can be asked now. If objects use each other in a circle, that is
 * the youngest of all, once no report is owed. */
static lunik_drain *next_to_ask(const lunik_machine *m)
{
    lunik_drain *d, *youngest = NULL;
    bool owed = false;

    TAILQ_FOREACH_REVERSE(d, &m->drains.list, drain_list, entry)
    {
        if (can_be_asked(d) && users_have_finished(d->object))
            return d;
        if (can_be_asked(d) && !youngest)
            youngest = d;
        owed |= state_of(d) == DRAIN_OWED;
    }
    return owed ? NULL : youngest;
}

bool objects_drained(lunik_machine *m)
{
    lunik_drain *d;

    while ((d = next_to_ask(m)))
        ask(d);
    TAILQ_FOREACH (d, &m->drains.list, entry)
        if (is_wanted(d) && !has_finished(d))
            return false;
    return true;
}

void objects_drain(lunik_machine *m)
{
    m->drains.holds++;
    objects_drained(m);
}

/* Returns the oldest object whose undrain is to be called. */
static lunik_drain *next_to_go_on(const lunik_machine *m)
{
    lunik_drain *d;

    TAILQ_FOREACH (d, &m->drains.list, entry)
        if (d->asked && !is_wanted(d))
            return d;
    return NULL;
}

void objects_undrain(lunik_machine *m)
{
    lunik_drain *d;

    m->drains.holds--;
    while ((d = next_to_go_on(m)))
        let_go_on(d);
}

/* ---- one object ----------------------------------------------------------------------------- */

int object_drain_new(lunik_object *o, lunik_error *err)
{
    int rc;

    if (!o->type->drain)
        return 0;
    rc = drains_make_alarm(o->machine, err);
    if (rc)
        return rc;
    o->drain = calloc(1, sizeof(*o->drain));
    if (!o->drain)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "%s: out of memory", o->type_name);
    o->drain->object = o;
    return 0;
}

void object_drain_join(lunik_object *o)
{
    if (o->drain)
        TAILQ_INSERT_TAIL(&o->machine->drains.list, o->drain, entry);
}

void object_drain_part(lunik_object *o)
{
    if (o->drain)
        TAILQ_REMOVE(&o->machine->drains.list, o->drain, entry);
}

bool object_drain(lunik_object *o)
{
    if (!o->drain)
        return true;
    o->drain->held = true;
    if (can_be_asked(o->drain))
        ask(o->drain);
    return has_finished(o->drain);
}

void object_undrain(lunik_object *o)
{
    lunik_drain *d = o->drain;

    if (!d || !d->held)
        return;
    d->held = d->leaving = false;
    if (d->asked && !is_wanted(d))
        let_go_on(d);
}

/* ---- objects on their way out --------------------------------------------------------------- */

void object_drain_leave(lunik_object *o)
{
    lunik_drain *d = o->drain;

    d->leaving = true;
    d->until = drains_until(o->machine);
    lunik_defer(o->machine->rt, &o->machine->work);
}

lunik_object *objects_next_leaving(lunik_machine *m, bool *late)
{
    uint64_t now = monotonic_ns();
    lunik_drain *d;

    TAILQ_FOREACH (d, &m->drains.list, entry) {
        if (!d->leaving)
            continue;
        if (can_be_asked(d)) /* the report that it owed has come */
            ask(d);
        *late = !has_finished(d);
        if (!*late || d->until <= now) {
            d->leaving = false;
            return d->object;
        }
    }
    return NULL;
}

uint64_t objects_leaving_until(const lunik_machine *m)
{
    uint64_t first = UINT64_MAX;
    const lunik_drain *d;

    TAILQ_FOREACH (d, &m->drains.list, entry)
        if (d->leaving && d->until < first)
            first = d->until;
    return first;
}

/* ---- those that take too long --------------------------------------------------------------- */

/* Objects that this one uses wait for it: they have not been asked yet. */
static bool is_late(const lunik_drain *d)
{
    return is_wanted(d) && state_of(d) == DRAIN_OWED;
}

int object_fail_late(const lunik_object *o, lunik_error *err)
{
    return lunik_fail(err, LUNIK_E_TIMEOUT,
                      "%s '%s' (%s) has not finished what is in flight within %g s",
                      o->is_device ? "device" : "object", object_name(o), o->type_name,
                      o->machine->config.drain_timeout / 1e3);
}

void objects_report_late(lunik_machine *m, const char *source)
{
    const lunik_drain *d;
    lunik_error err;

    TAILQ_FOREACH (d, &m->drains.list, entry) {
        if (!is_late(d))
            continue;
        object_fail_late(d->object, &err);
        lunik_emit(m, "error", LUNIK_FIELD_STRING("message", err.message),
                   LUNIK_FIELD_STRING("source", source),
                   LUNIK_FIELD_STRING("device", d->object->path));
    }
}

int objects_fail_late(const lunik_machine *m, const char *what, lunik_error *err)
{
    const lunik_drain *d, *first = NULL;
    unsigned count = 0;

    TAILQ_FOREACH (d, &m->drains.list, entry) {
        if (!is_late(d))
            continue;
        count++;
        first = first ? first : d;
    }
    if (!first) /* it has just finished */
        return lunik_fail(err, LUNIK_E_TIMEOUT, "machine '%s' can't be %s in time", m->name, what);
    object_fail_late(first->object, err);
    return count == 1
               ? lunik_fail_prefix(err, LUNIK_E_TIMEOUT, "machine '%s' can't be %s", m->name, what)
               : lunik_fail_prefix(err, LUNIK_E_TIMEOUT,
                                   "machine '%s' can't be %s: %u devices are busy", m->name, what,
                                   count);
}
