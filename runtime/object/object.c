/* object.c: the objects of a machine: references, lookup, iteration, life cycle. */
#include <stdlib.h>
#include <string.h>

#include "object.h"
#include "core/misuse.h"
#include "core/trace.h"
#include "core/runtime.h"
#include "core/rcu.h"

/* ---- references ----------------------------------------------------------------------------- */

void *lunik_state(const lunik_object *o)
{
    return (char *)o + OBJECT_STATE_OFFSET;
}

lunik_object *lunik_state_object(const void *state)
{
    return (lunik_object *)((char *)state - OBJECT_STATE_OFFSET);
}

static void object_free(lunik_object *o)
{
    lunik_machine *m = o->machine;

    props_free(o);
    free(o->drain);
    free(o->list_items);
    free(o);
    lunik_machine_unref(m);
}

static void object_reclaim(struct rcu_head *head)
{
    rcu_note_reclaim();
    object_free(lunik_container_of(head, lunik_object, rcu));
}

void lunik_object_ref(lunik_object *o)
{
    NOT_NULL(o);

    atomic_fetch_add_explicit(&o->refs, 1, memory_order_relaxed);
}

void lunik_object_unref(lunik_object *o)
{
    NOT_NULL(o);

    if (atomic_fetch_sub_explicit(&o->refs, 1, memory_order_acq_rel) == 1)
        rcu_defer(&o->rcu, object_reclaim);
}

/* ---- names and lookup ----------------------------------------------------------------------- */

const char *object_name(const lunik_object *o)
{
    return *o->id ? o->id : o->path;
}

const char *lunik_object_id(const lunik_object *o)
{
    NOT_NULL(o, "");

    return o->id;
}

const char *lunik_object_path(const lunik_object *o)
{
    NOT_NULL(o, "");

    return o->path;
}

const char *lunik_object_type_name(const lunik_object *o)
{
    NOT_NULL(o, "");

    return o->type_name;
}

lunik_machine *lunik_object_machine(const lunik_object *o)
{
    NOT_NULL(o, NULL);

    return o->machine;
}

bool lunik_object_alive(const lunik_object *o)
{
    NOT_NULL(o, false);

    return o->state != OBJECT_DEAD;
}

const lunik_type *lunik_object_type(const lunik_object *o)
{
    NOT_NULL(o, NULL);

    return o->type->type;
}

bool lunik_object_is(const lunik_object *o, const char *type)
{
    NOT_NULL(o, false);
    NOT_NULL(type, false);

    return type_is(o->type, type);
}

bool lunik_object_is_device(const lunik_object *o)
{
    NOT_NULL(o, false);

    return o->is_device;
}

const void *lunik_object_iface(const lunik_object *o, const char *name)
{
    NOT_NULL(o, NULL);
    NOT_NULL(name, NULL);

    return type_iface(o->type, name);
}

/* Returns the first object whose path ends with the name, or the next one after previous; NULL at
 * the end. */
static lunik_object *find_name(const struct object_table *t, const char *name,
                               const lunik_object *previous)
{
    struct named *found = names_find(&t->by_name, name, previous ? &previous->by_name : NULL);

    return found ? lunik_container_of(found, lunik_object, by_name) : NULL;
}

lunik_object *object_lookup(lunik_machine *m, const char *id)
{
    bool path = *id == '/';
    const char *name = path ? strrchr(id, '/') + 1 : id;
    lunik_object *o;

    if (!m->objects || !*id)
        return NULL;
    o = find_name(m->objects, name, NULL);
    while (o && strcmp(path ? o->path : o->id, id) != 0)
        o = find_name(m->objects, name, o);
    return o;
}

lunik_object *lunik_object_find(lunik_machine *m, const char *id)
{
    NOT_NULL(m, NULL);
    NOT_NULL(id, NULL);

    lunik_object *o = object_lookup(m, id);
    return o && o->state == OBJECT_ALIVE ? o : NULL;
}

/* A removed object is no longer in the list: its serial says where the iteration continues. */
lunik_object *lunik_object_next(lunik_machine *m, lunik_object *previous)
{
    NOT_NULL(m, NULL);

    lunik_object *o = m->objects ? m->objects->first : NULL;

    if (o && previous && previous->state != OBJECT_DEAD)
        o = previous->next;
    while (o && ((previous && o->serial <= previous->serial) || o->state != OBJECT_ALIVE))
        o = o->next;
    return o;
}

static lunik_object *object_before(lunik_machine *m, lunik_object *next)
{
    lunik_object *o = m->objects ? m->objects->last : NULL;

    if (o && next && next->state != OBJECT_DEAD)
        o = next->prev;
    while (o && ((next && o->serial >= next->serial) || o->state != OBJECT_ALIVE))
        o = o->prev;
    return o;
}

void objects_each(lunik_machine *m, bool oldest_first, void (*fn)(lunik_object *o))
{
    lunik_object *(*const step)(lunik_machine * m, lunik_object * o) =
        oldest_first ? lunik_object_next : object_before;
    lunik_object *o = step(m, NULL), *next;

    for (; o; o = next) {
        lunik_object_ref(o);
        fn(o);
        next = step(m, o);
        lunik_object_unref(o);
    }
}

/* ---- the list of objects -------------------------------------------------------------------- */

void object_insert(struct object_table *t, lunik_object *o)
{
    o->serial = ++t->serial;
    o->prev = t->last;
    if (t->last)
        t->last->next = o;
    else
        t->first = o;
    t->last = o;
    names_add(&t->by_name, &o->by_name, strrchr(o->path, '/') + 1);
}

void object_take_out(lunik_object *o)
{
    struct object_table *t = o->machine->objects;

    if (o->state == OBJECT_DEAD)
        return;
    names_remove(&t->by_name, &o->by_name);
    uses_forget(o);
    *(o->prev ? &o->prev->next : &t->first) = o->next;
    *(o->next ? &o->next->prev : &t->last) = o->prev;
    o->prev = o->next = NULL;
    object_forget_note(o);
    o->state = OBJECT_DEAD;
    o->plug = LUNIK_PLUG_EJECTED;
    hotplug_forget_handler(o->machine, o);
    lunik_object_unref(o);
}

/* ---- transactions --------------------------------------------------------------------------- */

void object_note(lunik_object *o, void (*commit)(lunik_change *c), void (*undo)(lunik_change *c))
{
    if (o->change.noted)
        return;
    lunik_object_ref(o);
    o->change.commit = commit;
    o->change.undo = undo;
    lunik_transaction_note(o->machine, &o->change);
}

void object_forget_note(lunik_object *o)
{
    if (!o->change.noted)
        return;
    lunik_transaction_forget(o->machine, &o->change);
    lunik_object_unref(o);
}

lunik_object *object_noted(lunik_change *c)
{
    return lunik_container_of(c, lunik_object, change);
}

/* ---- life cycle of the machine -------------------------------------------------------------- */

int objects_init(lunik_machine *m, lunik_error *err)
{
    m->objects = calloc(1, sizeof(*m->objects));
    if (!m->objects)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "machine: out of memory");
    names_init(&m->objects->by_name);
    return 0;
}

void objects_fini(lunik_machine *m)
{
    struct object_table *t = m->objects;

    if (!t)
        return;
    while (t->last) {
        if (t->last->state == OBJECT_ALIVE || t->last->state == OBJECT_LEAVING)
            object_remove(t->last);
        else
            object_take_out(t->last); /* the call that creates or removes it finishes the rest */
    }
    while (t->handlers) {
        struct hotplug_entry *entry = t->handlers;
        t->handlers = entry->next;
        free(entry->kind);
        free(entry);
    }
    names_fini(&t->by_name);
    free(t);
    m->objects = NULL;
}

bool lunik_object_reset(lunik_object *o)
{
    NOT_NULL(o, false);
    REQUIRE(lunik_locked(o->machine->rt), UNLOCKED, false);

    lunik_span span;

    if (!o->type->reset)
        return false;
    TRACE_BEGIN(o->machine, &span, .kind = "device_reset", STEP_ABOUT(o));
    o->type->reset(o);
    trace_finish(&span, 0, NULL);
    return true;
}

static void reset_each(lunik_object *o)
{
    lunik_object_reset(o);
}

void objects_reset(lunik_machine *m)
{
    lunik_cause cause = {.action = m->waking ? "wakeup" : "reset", .vcpu = -1};

    lunik_cause_push(&cause);
    if (!m->waking)
        plug_reset(m);
    objects_each(m, true, reset_each);
    lunik_cause_pop(&cause);
}

static void object_resume(lunik_object *o)
{
    if (o->type->run_state)
        o->type->run_state(o, true);
}

static void object_stop(lunik_object *o)
{
    if (o->type->run_state)
        o->type->run_state(o, false);
}

/* Devices resume in order of creation and stop in reverse. */
void objects_run_state(lunik_machine *m, bool running)
{
    objects_each(m, running, running ? object_resume : object_stop);
}
