/* object.c: the objects of a machine: creation, deletion, lookup, iteration, life cycle. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "object.h"
#include "core/misuse.h"
#include "core/outlet.h"
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

/* The first object whose path ends with that name, or the next one. */
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

/* An object in the list knows what is next; where one was that is gone its serial tells. */
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

/* ---- creation ------------------------------------------------------------------------------- */

static bool is_letter(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool id_valid(const char *id)
{
    if (!is_letter(*id))
        return false;
    while (is_letter(*id) || (*id >= '0' && *id <= '9') || *id == '.' || *id == '_' || *id == '-')
        id++;
    return !*id;
}

/* A field as it comes from outside. */
static int check_field(const char *type, const lunik_field *f, lunik_error *err)
{
    if (!f->name)
        return lunik_fail(err, LUNIK_E_INVALID, "%s: a property's name is NULL", type);
    if ((unsigned)f->value.kind > LUNIK_LIST)
        return lunik_fail(err, LUNIK_E_INVALID, "%s: %s: %d is not a kind of values", type, f->name,
                          (int)f->value.kind);
    if ((f->value.kind == LUNIK_STRING && !f->value.string) ||
        (f->value.kind == LUNIK_LIST && f->value.list.count && !f->value.list.items))
        return lunik_fail(err, LUNIK_E_INVALID, "%s: %s: its value is NULL", type, f->name);
    return 0;
}

/* Checks the fields and finds the id among them; NULL if there is none. */
static int id_from_props(lunik_machine *m, const char *type, const lunik_field *props, size_t count,
                         const char **out, lunik_error *err)
{
    *out = NULL;
    for (size_t i = 0; i < count; i++) {
        const lunik_value *v = &props[i].value;
        int rc = check_field(type, &props[i], err);

        if (rc)
            return rc;
        if (strcmp(props[i].name, "id"))
            continue;
        if (*out)
            return lunik_fail(err, LUNIK_E_EXISTS, "%s: id: is given twice", type);
        if (v->kind != LUNIK_STRING)
            return lunik_fail(err, LUNIK_E_INVALID, "%s: id: is not a string", type);
        if (!id_valid(v->string))
            return lunik_fail(err, LUNIK_E_INVALID,
                              "%s: id: '%s' is not an id (want a letter, then letters, digits, "
                              "'.', '_' or '-')",
                              type, v->string);
        if (object_lookup(m, v->string))
            return lunik_fail(err, LUNIK_E_EXISTS, "%s: id: '%s' is taken", type, v->string);
        *out = v->string;
    }
    return 0;
}

static void note_owned_fields(lunik_object *o)
{
    for (size_t i = 0; i < o->type->prop_count; i++)
        if (prop_owns_memory(o->type->props[i]))
            o->owned[o->owned_count++] = o->type->props[i]->offset;
}

/* An object with zeroed state, not yet in the table. Its names are behind all else. */
static lunik_object *object_alloc(lunik_machine *m, const struct type_entry *type, const char *id,
                                  lunik_error *err)
{
    bool device = type->type->flags & LUNIK_TYPE_DEVICE;
    const char *folder = !device ? "/objects/" : id ? "/machine/" : "/machine/unattached/";
    size_t state_size = (type->type->size + 15) / 16 * 16;
    size_t size = OBJECT_STATE_OFFSET + state_size + type->owned_count * sizeof(size_t);
    const char *name = id;
    char number[24], *end;
    lunik_object *o;

    if (!id) {
        snprintf(number, sizeof(number), "device[%u]", m->objects->unattached++);
        name = number;
    }
    o = aligned_alloc(64, (size + strlen(folder) + strlen(name) + 64) / 64 * 64);
    if (!o) {
        lunik_fail(err, LUNIK_E_NO_MEMORY, "%s: out of memory", type->type->name);
        return NULL;
    }
    memset(o, 0, size);
    atomic_init(&o->refs, 1);
    o->machine = m;
    o->type = type;
    o->type_name = type->type->name;
    o->is_device = device;
    o->owned = (size_t *)((char *)lunik_state(o) + state_size);
    note_owned_fields(o);
    o->path = (char *)o + size;
    end = stpcpy((char *)o + size, folder);
    strcpy(end, name);
    o->id = id ? end : "";
    lunik_machine_ref(m);
    return o;
}

static void table_insert(struct object_table *t, lunik_object *o)
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

/* Takes o out of the table and drops the table's reference. */
static void table_remove(lunik_object *o)
{
    struct object_table *t = o->machine->objects;

    if (o->state == OBJECT_DEAD)
        return;
    names_remove(&t->by_name, &o->by_name);
    uses_forget(o);
    *(o->prev ? &o->prev->next : &t->first) = o->next;
    *(o->next ? &o->next->prev : &t->last) = o->prev;
    o->prev = o->next = NULL;
    if (o->change.noted) {
        lunik_transaction_forget(o->machine, &o->change);
        lunik_object_unref(o);
    }
    o->state = OBJECT_DEAD;
    o->plug = LUNIK_PLUG_EJECTED;
    hotplug_forget_handler(o->machine, o);
    lunik_object_unref(o);
}

static void object_unrealize(lunik_object *o)
{
    hotplug_unplug(o);
    if (o->type->unrealize)
        o->type->unrealize(o);
    props_release(o);
}

/* The device's own part, between its handler's two. On failure all is undone. */
static int realize_and_plug(lunik_object *o, lunik_error *err)
{
    int rc = hotplug_prepare(o, err);

    if (rc)
        return rc;
    if (o->type->realize)
        rc = o->type->realize(o, err);
    if (rc) {
        hotplug_unplug(o);
        return rc;
    }
    rc = hotplug_plug(o, err);
    if (rc)
        object_unrealize(o);
    return rc;
}

/* The lock may be free for a while in here; the machine may even be closed. */
static int object_realize(lunik_object *o, lunik_error *err)
{
    bool hotplug = o->is_device && lunik_machine_state(o->machine) != LUNIK_STATE_CREATED;
    lunik_cause cause = {
        .action = o->is_device ? "device_add" : "object_add",
        .name = object_name(o),
        .detail = o->type_name,
        .vcpu = -1,
    };
    int rc;

    o->machine->objects->hotplugging += hotplug;
    lunik_cause_push(&cause);
    rc = realize_and_plug(o, err);
    lunik_cause_pop(&cause);
    if (o->machine->objects)
        o->machine->objects->hotplugging -= hotplug;
    if (rc)
        return rc;
    if (o->state == OBJECT_DEAD) {
        object_unrealize(o);
        return machine_fail_closed(o->machine, err);
    }
    o->state = OBJECT_ALIVE;
    if (hotplug && o->type->reset)
        o->type->reset(o);
    if (o->machine->devices_running && o->type->run_state)
        o->type->run_state(o, true);
    return 0;
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

lunik_object *object_noted(lunik_change *c)
{
    return lunik_container_of(c, lunik_object, change);
}

static void announce(lunik_object *o)
{
    o->announced = true;
    if (o->is_device)
        device_emit(o, "device-added", &LUNIK_FIELD_STRING("driver", o->type_name), 1);
}

static void creation_commit(lunik_change *c)
{
    lunik_object *o = object_noted(c);

    announce(o);
    lunik_object_unref(o);
}

static void creation_undo(lunik_change *c)
{
    lunik_object *o = object_noted(c);

    if (object_check_unused(o, NULL))
        announce(o); /* by one that was there before */
    else
        object_remove(o);
    lunik_object_unref(o);
}

/* ---- objects -------------------------------------------------------------------------------- */

/* Who runs out of memory far below does not know for whom. */
static int name_in(lunik_error *err, int rc, const lunik_object *o)
{
    if (rc == LUNIK_E_NO_MEMORY && !strstr(err->message, object_name(o)) &&
        !strstr(err->message, o->type_name))
        lunik_fail_prefix(err, rc, "%s '%s'", o->type_name, object_name(o));
    return rc;
}

static int object_create(lunik_machine *m, const struct type_entry *type, const lunik_field *props,
                         size_t count, lunik_object **out, lunik_error *err)
{
    const char *type_name = type->type->name, *id;
    lunik_object *o;
    int rc;

    rcu_checkpoint(); /* a script may add and delete without ever letting the loop run */
    rc = id_from_props(m, type_name, props, count, &id, err);
    if (rc)
        return rc;
    if (!id && !(type->type->flags & LUNIK_TYPE_DEVICE))
        return lunik_fail(err, LUNIK_E_INVALID, "%s: id: is missing (want a name)", type_name);
    o = object_alloc(m, type, id, err);
    if (!o)
        return LUNIK_E_NO_MEMORY;
    table_insert(m->objects, o);
    lunik_object_ref(o); /* ours, should the machine be closed meanwhile */
    rc = props_init(o, props, count, err);
    if (!rc)
        rc = object_realize(o, err);
    if (rc) {
        rc = name_in(err, rc, o);
        props_release(o);
        table_remove(o);
    } else if (out) {
        *out = o;
    }
    if (!rc)
        object_note(o, creation_commit, creation_undo);
    lunik_object_unref(o);
    return rc;
}

/* The type if objects (devices) can be made of it. */
static const struct type_entry *creatable_type(lunik_machine *m, const char *name, bool device,
                                               lunik_error *err)
{
    const struct type_entry *type = type_lookup(m->rt, name, err);

    if (!type)
        return NULL;
    if (type->type->flags & LUNIK_TYPE_ABSTRACT) {
        lunik_fail(err, LUNIK_E_INVALID, "'%s' is abstract (want a type made from it)", name);
        return NULL;
    }
    if (device != !!(type->type->flags & LUNIK_TYPE_DEVICE)) {
        lunik_fail(err, LUNIK_E_INVALID,
                   device ? "'%s' is not a device (use object_add)"
                          : "'%s' is a device (use device_add)",
                   name);
        return NULL;
    }
    return type;
}

int lunik_object_add(lunik_machine *m, const char *type_name, const lunik_field *props,
                     size_t count, lunik_object **out, lunik_error *err)
{
    NOT_NULL_OR_FAIL(m, err);
    REQUIRE_OR_FAIL(lunik_locked(m->rt), UNLOCKED, err);
    NOT_NULL_OR_FAIL(type_name, err);
    REQUIRE_OR_FAIL(props || !count, "props is NULL", err);

    lunik_error local;
    const struct type_entry *type;

    if (lunik_machine_state(m) == LUNIK_STATE_CLOSED)
        return machine_fail_closed(m, err);
    err = err ? err : &local; // cppcheck-suppress uninitvar ; set when there is no type
    type = creatable_type(m, type_name, false, err);
    return type ? object_create(m, type, props, count, out, err) : err->code;
}

int lunik_device_add(lunik_machine *m, const char *driver, const lunik_field *props, size_t count,
                     lunik_object **out, lunik_error *err)
{
    NOT_NULL_OR_FAIL(m, err);
    REQUIRE_OR_FAIL(lunik_locked(m->rt), UNLOCKED, err);
    NOT_NULL_OR_FAIL(driver, err);
    REQUIRE_OR_FAIL(props || !count, "props is NULL", err);

    lunik_error local;
    const struct type_entry *type;

    if (lunik_machine_state(m) == LUNIK_STATE_CLOSED)
        return machine_fail_closed(m, err);
    err = err ? err : &local; // cppcheck-suppress uninitvar ; set when there is no type
    type = creatable_type(m, driver, true, err);
    if (!type)
        return err->code;
    if (lunik_machine_state(m) != LUNIK_STATE_CREATED && !(type->type->flags & LUNIK_TYPE_HOTPLUG))
        return lunik_fail(err, LUNIK_E_STATE,
                          "'%s' can not be added to a machine that has been started", driver);
    return object_create(m, type, props, count, out, err);
}

/* ---- deletion ------------------------------------------------------------------------------- */

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
    lunik_object_ref(o);
    lunik_cause_push(&cause);
    object_unrealize(o);
    o->machine->regions->orphan(o->machine, &o->regions);
    lunik_cause_pop(&cause);
    table_remove(o);
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
    lunik_object_unref(o);
}

/* What a removal does to the memory map may fail, the rest of it may not: so that comes first. */
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
        object_remove(o); /* nobody will ever know */
        return 0;
    }
    rc = hide_regions(o, err);
    if (rc)
        return rc;
    if (o->change.noted) { /* the guest was to be asked */
        lunik_transaction_forget(o->machine, &o->change);
        lunik_object_unref(o);
    }
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

int lunik_object_del(lunik_machine *m, const char *id, lunik_error *err)
{
    NOT_NULL_OR_FAIL(m, err);
    REQUIRE_OR_FAIL(lunik_locked(m->rt), UNLOCKED, err);
    NOT_NULL_OR_FAIL(id, err);

    lunik_object *named = NULL, *o;
    int rc = find_unused(m, id, &named, err);

    if (rc)
        return rc;
    lunik_object_ref(named); /* id may be its own */
    o = named;
    /* Others may have done anything while the lock was free. */
    if (outlets_wait(m, named))
        rc = find_unused(m, id, &o, err);
    if (!rc && o)
        rc = object_leave(o, object_remove, err);
    lunik_object_unref(named);
    return rc;
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
            table_remove(t->last); /* whoever is creating or removing it finishes alone */
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

static void object_reset(lunik_object *o)
{
    if (o->type->reset)
        o->type->reset(o);
}

void objects_reset(lunik_machine *m)
{
    lunik_cause cause = {.action = "reset", .vcpu = -1};

    lunik_cause_push(&cause);
    plug_reset(m);
    objects_each(m, true, object_reset);
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
