/* object_create.c: creates objects: id, memory, properties, realization. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "object.h"
#include "core/misuse.h"
#include "core/runtime.h"
#include "core/trace.h"

/* ---- names and memory ----------------------------------------------------------------------- */

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

int field_check(const char *type, const lunik_field *f, lunik_error *err)
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
        int rc = field_check(type, &props[i], err);

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

/* Allocates an object with zeroed state, not yet in the table. The names are at the end of its
 * memory. */
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

/* ---- realization ---------------------------------------------------------------------------- */

static int realize(lunik_object *o, lunik_error *err)
{
    lunik_span span;
    int rc;

    if (!o->type->realize)
        return 0;
    TRACE_BEGIN(o->machine, &span, .kind = "realize", STEP_ABOUT(o));
    rc = o->type->realize(o, err);
    trace_finish(&span, rc, err);
    return rc;
}

/* Realizes a device between the two calls of its hotplug handler. A failure undoes everything. */
static int realize_and_plug(lunik_object *o, lunik_error *err)
{
    int rc = hotplug_prepare(o, err);

    if (rc)
        return rc;
    rc = realize(o, err);
    if (rc) {
        hotplug_unplug(o);
        return rc;
    }
    rc = hotplug_plug(o, err);
    if (rc)
        object_unrealize(o);
    return rc;
}

/* May release the lock for a while: the machine may be closed when it returns. */
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
    object_drain_join(o);
    if (hotplug)
        lunik_object_reset(o);
    if (o->machine->devices_running && o->type->run_state)
        o->type->run_state(o, true);
    if (o->machine->drains.holds)
        objects_drained(o->machine);
    return 0;
}

/* ---- transactions --------------------------------------------------------------------------- */

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
        announce(o); /* an older object uses it, so it stays */
    else
        object_remove(o);
    lunik_object_unref(o);
}

/* ---- adding -------------------------------------------------------------------------------- */

/* An allocation that fails far below does not name the object: adds its type and name. */
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

    rcu_checkpoint(); /* a script may add and delete many objects before the loop runs again */
    rc = id_from_props(m, type_name, props, count, &id, err);
    if (rc)
        return rc;
    if (!id && !(type->type->flags & LUNIK_TYPE_DEVICE))
        return lunik_fail(err, LUNIK_E_INVALID, "%s: id: is missing (want a name)", type_name);
    o = object_alloc(m, type, id, err);
    if (!o)
        return LUNIK_E_NO_MEMORY;
    object_insert(m->objects, o);
    if (trace_on(m))
        trace_about(m, object_name(o), o->type_name);
    lunik_object_ref(o); /* the machine may be closed meanwhile */
    rc = object_drain_new(o, err);
    if (!rc)
        rc = props_init(o, props, count, err);
    if (!rc)
        rc = object_realize(o, err);
    if (rc) {
        rc = name_in(err, rc, o);
        props_release(o);
        object_take_out(o);
    } else if (out) {
        *out = o;
    }
    if (!rc)
        object_note(o, creation_commit, creation_undo);
    lunik_object_unref(o);
    return rc;
}

/* Returns the type if objects (if device: devices) can be made of it; NULL is an error. */
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

/* ---- calls ---------------------------------------------------------------------------------- */

/* Writes what an object is to be made with, as "name=value name=value", as far as there is room. */
static void describe(char *text, size_t size, const lunik_field *props, size_t count)
{
    size_t length = 0;

    *text = 0;
    for (size_t i = 0; i < count && length < size; i++) {
        const char *name = props[i].name ? props[i].name : "?";
        const lunik_value *v = &props[i].value;
        const char *value = v->kind == LUNIK_STRING && v->string  ? v->string
                            : v->kind == LUNIK_BOOL && v->boolean ? "true"
                            : v->kind == LUNIK_BOOL               ? "false"
                                                                  : "...";
        char number[24];
        int n;

        if (v->kind == LUNIK_INT || v->kind == LUNIK_UINT) {
            snprintf(number, sizeof(number), "%" PRId64, v->sint);
            value = number;
        }
        n = snprintf(text + length, size - length, "%s%s=%s", i ? " " : "", name, value);
        length += n > 0 ? (size_t)n : 0;
    }
}

/* Returns the id among the properties, which are not checked yet, or NULL. */
static const char *id_given(const lunik_field *props, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (props[i].name && !strcmp(props[i].name, "id") && props[i].value.kind == LUNIK_STRING)
            return props[i].value.string;
    return NULL;
}

/* Begins the step of a call that makes an object. */
static void trace_call(lunik_machine *m, lunik_span *span, const char *kind, const char *type,
                       const lunik_field *props, size_t count)
{
    char text[256];
    lunik_field fields[] = {LUNIK_FIELD_STRING("options", text),
                            LUNIK_FIELD_BOOL("in_transaction", lunik_in_transaction(m)),
                            LUNIK_FIELD_STRING("state", lunik_state_name(lunik_machine_state(m)))};

    describe(text, sizeof(text), props, count);
    trace_begin(m, span,
                &(const lunik_step){.kind = kind,
                                    .device = id_given(props, count),
                                    .driver = type,
                                    .fields = fields,
                                    .count = sizeof(fields) / sizeof(fields[0])});
}

static int object_add(lunik_machine *m, const char *type_name, const lunik_field *props,
                      size_t count, lunik_object **out, lunik_error *err)
{
    const struct type_entry *type = creatable_type(m, type_name, false, err);

    return type ? object_create(m, type, props, count, out, err) : err->code;
}

int lunik_object_add(lunik_machine *m, const char *type_name, const lunik_field *props,
                     size_t count, lunik_object **out, lunik_error *err)
{
    NOT_NULL_OR_FAIL(m, err);
    if (lunik_machine_state(m) == LUNIK_STATE_CLOSED)
        return machine_fail_closed(m, err);
    REQUIRE_OR_FAIL(lunik_locked(m->rt), UNLOCKED, err);
    NOT_NULL_OR_FAIL(type_name, err);
    REQUIRE_OR_FAIL(props || !count, "props is NULL", err);

    lunik_span span = {0};
    lunik_error local;
    int rc;

    err = err ? err : &local; // cppcheck-suppress uninitvar ; set when there is no type
    if (trace_on(m))
        trace_call(m, &span, "object_add", type_name, props, count);
    rc = object_add(m, type_name, props, count, out, err);
    trace_finish(&span, rc, err);
    return rc;
}

static int device_add(lunik_machine *m, const char *driver, const lunik_field *props, size_t count,
                      lunik_object **out, lunik_error *err)
{
    const struct type_entry *type = creatable_type(m, driver, true, err);

    if (!type)
        return err->code;
    if (lunik_machine_state(m) != LUNIK_STATE_CREATED && !(type->type->flags & LUNIK_TYPE_HOTPLUG))
        return lunik_fail(err, LUNIK_E_STATE,
                          "'%s' can't be added to a machine that has been started", driver);
    return object_create(m, type, props, count, out, err);
}

int lunik_device_add(lunik_machine *m, const char *driver, const lunik_field *props, size_t count,
                     lunik_object **out, lunik_error *err)
{
    NOT_NULL_OR_FAIL(m, err);
    if (lunik_machine_state(m) == LUNIK_STATE_CLOSED)
        return machine_fail_closed(m, err);
    REQUIRE_OR_FAIL(lunik_locked(m->rt), UNLOCKED, err);
    NOT_NULL_OR_FAIL(driver, err);
    REQUIRE_OR_FAIL(props || !count, "props is NULL", err);

    lunik_span span = {0};
    lunik_error local;
    int rc;

    err = err ? err : &local; // cppcheck-suppress uninitvar ; set when there is no type
    if (trace_on(m))
        trace_call(m, &span, "device_add", driver, props, count);
    rc = device_add(m, driver, props, count, out, err);
    trace_finish(&span, rc, err);
    return rc;
}
