/* property.c: the fields of a device's state as properties: defaults, creation, get, set. */
#include <stdlib.h>
#include <string.h>

#include "core/misuse.h"
#include "object.h"

/* The allocation of a string or list; its field points to data. */
struct owned {
    struct rcu_head rcu;
    char data[];
};

/* ---- memory of strings and lists ------------------------------------------------------------ */

void *prop_alloc(size_t size)
{
    struct owned *owned = malloc(sizeof(*owned) + size);
    // cppcheck-suppress memleak ; prop_free() finds it from its data
    return owned ? owned->data : NULL;
}

void prop_free(void *data)
{
    if (data)
        free(lunik_container_of(data, struct owned, data));
}

static void owned_reclaim(struct rcu_head *head)
{
    rcu_note_reclaim();
    free(lunik_container_of(head, struct owned, rcu));
}

static void owned_free(void *data)
{
    if (data)
        rcu_defer(&lunik_container_of(data, struct owned, data)->rcu, owned_reclaim);
}

char *prop_copy_string(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = prop_alloc(size);
    return copy ? memcpy(copy, text, size) : NULL;
}

/* ---- fields --------------------------------------------------------------------------------- */

void *prop_field(const lunik_object *o, const lunik_prop *p)
{
    return (char *)lunik_state(o) + p->offset;
}

static void link_release(lunik_object *o, lunik_object **field)
{
    lunik_object *target = *field;

    if (!target)
        return;
    *field = NULL;
    lunik_object_unuse(target, o);
    lunik_object_unref(target);
}

static int link_store(lunik_object *o, const lunik_prop *p, lunik_object *target, lunik_error *err)
{
    lunik_object **field = prop_field(o, p);

    if (target) {
        int rc = lunik_object_use(target, o, err);
        if (rc)
            return rc;
        lunik_object_ref(target);
    }
    link_release(o, field);
    *field = target;
    return 0;
}

int prop_put(lunik_object *o, const lunik_prop *p, const union converted *c, lunik_error *err)
{
    void *field = prop_field(o, p);

    switch (p->kind) {
    case LUNIK_PROP_SIZE:
    case LUNIK_PROP_UINT:
    case LUNIK_PROP_INT:
        *(uint64_t *)field = c->number;
        return 0;
    case LUNIK_PROP_BOOL:
        *(bool *)field = c->number != 0;
        return 0;
    case LUNIK_PROP_ENUM:
        *(int *)field = (int)c->number;
        return 0;
    case LUNIK_PROP_STRING:
        owned_free(*(char **)field);
        *(const char **)field = c->string;
        return 0;
    case LUNIK_PROP_LINK:
        return link_store(o, p, c->link, err);
    case LUNIK_PROP_UINT_LIST:
        owned_free(((lunik_uint_list *)field)->items);
        *(lunik_uint_list *)field = c->list;
        return 0;
    }
    return 0;
}

static int prop_store(lunik_object *o, const lunik_prop *p, const union converted *c,
                      lunik_error *err)
{
    union converted own = *c;

    if (p->kind == LUNIK_PROP_STRING && !(own.string = prop_copy_string(c->string)))
        return prop_fail_memory(o, p, err);
    return prop_put(o, p, &own, err);
}

static int prop_default(lunik_object *o, const lunik_prop *p, lunik_error *err)
{
    union converted c = {.number = p->def};

    if (p->flags & LUNIK_PROP_READONLY)
        return 0; /* the device computes it; there may be no field */
    if (p->kind == LUNIK_PROP_LINK || p->kind == LUNIK_PROP_UINT_LIST)
        return 0;
    if (p->kind == LUNIK_PROP_STRING) {
        if (!p->def_string)
            return 0;
        c.string = p->def_string;
    }
    return prop_store(o, p, &c, err);
}

/* ---- creation ------------------------------------------------------------------------------- */

static int fail_unknown(const lunik_object *o, const char *name, lunik_error *err)
{
    struct suggestion s = {.wanted = name};

    suggestion_consider(&s, "id");
    for (size_t i = 0; i < o->type->prop_count; i++)
        suggestion_consider(&s, o->type->props[i]->name);
    if (s.best)
        return lunik_fail(err, LUNIK_E_NOT_FOUND, "%s: has no property '%s' (did you mean '%s'?)",
                          o->type_name, name, s.best);
    return lunik_fail(err, LUNIK_E_NOT_FOUND, "%s: has no property '%s'", o->type_name, name);
}

static int prop_init(lunik_object *o, const lunik_field *field, bool *given, lunik_error *err)
{
    union converted c;
    size_t index;
    const lunik_prop *p = type_prop(o->type, field->name, &index);

    if (!p)
        return fail_unknown(o, field->name, err);
    if (p->flags & LUNIK_PROP_READONLY)
        return lunik_fail(err, LUNIK_E_INVALID, "%s: %s: can only be read", o->type_name, p->name);
    if (given[index])
        return lunik_fail(err, LUNIK_E_EXISTS, "%s: %s: is given twice", o->type_name, p->name);
    given[index] = true;
    int rc = prop_convert(o, p, &field->value, &c, err);
    return rc ? rc : prop_store(o, p, &c, err);
}

/* Returns the handler that takes the device in, if the property can link to it. */
static lunik_object *handler_for(const lunik_object *o, const lunik_prop *p)
{
    const char *kind = o->type->hotplug;
    lunik_object *handler = kind ? lunik_machine_hotplug_handler(o->machine, kind) : NULL;

    return handler && p->kind == LUNIK_PROP_LINK && lunik_object_is(handler, p->link) ? handler
                                                                                      : NULL;
}

/* A required property that is not given: a device sits on what takes it in, such as a machine's PCI
 * bus, unless it is told where. */
static int prop_missing(lunik_object *o, const lunik_prop *p, lunik_error *err)
{
    lunik_object *handler = handler_for(o, p);
    char want[256];

    if (handler)
        return link_store(o, p, handler, err);
    prop_want_text(p, want, sizeof(want));
    return lunik_fail(err, LUNIK_E_INVALID, "%s: %s: is missing (want %s)", o->type_name, p->name,
                      want);
}

static int props_check_required(lunik_object *o, const bool *given, lunik_error *err)
{
    int rc = 0;

    for (size_t i = 0; i < o->type->prop_count && !rc; i++)
        if (o->type->props[i]->flags & LUNIK_PROP_REQUIRED && !given[i])
            rc = prop_missing(o, o->type->props[i], err);
    return rc;
}

int props_init(lunik_object *o, const lunik_field *props, size_t count, lunik_error *err)
{
    bool *given = calloc(o->type->prop_count + 1, sizeof(*given));
    int rc = 0;

    if (!given)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "%s: out of memory", o->type_name);
    for (size_t i = 0; i < o->type->prop_count && !rc; i++)
        rc = prop_default(o, o->type->props[i], err);
    for (size_t i = 0; i < count && !rc; i++)
        if (strcmp(props[i].name, "id"))
            rc = prop_init(o, &props[i], given, err);
    if (!rc)
        rc = props_check_required(o, given, err);
    free(given);
    return rc;
}

void props_release(lunik_object *o)
{
    for (size_t i = 0; i < o->type->prop_count; i++) {
        const lunik_prop *p = o->type->props[i];
        if (p->kind == LUNIK_PROP_LINK && !(p->flags & LUNIK_PROP_READONLY))
            link_release(o, prop_field(o, p));
    }
}

void props_free(lunik_object *o)
{
    for (size_t i = 0; i < o->owned_count; i++)
        prop_free(*(void **)((char *)lunik_state(o) + o->owned[i]));
}

bool prop_name_equal(const char *a, const char *b)
{
    for (;; a++, b++) {
        char x = *a == '_' ? '-' : *a, y = *b == '_' ? '-' : *b;
        if (x != y)
            return false;
        if (!x)
            return true;
    }
}

/* ---- access --------------------------------------------------------------------------------- */

static int get_list(lunik_object *o, const lunik_prop *p, lunik_value *out, lunik_error *err)
{
    const lunik_uint_list *list = prop_field(o, p);
    lunik_value *items = calloc(list->count + 1, sizeof(*items));

    if (!items)
        return prop_fail_memory(o, p, err);
    for (size_t i = 0; i < list->count; i++)
        items[i] = (lunik_value){.kind = LUNIK_UINT, .uint = list->items[i]};
    free(o->list_items);
    o->list_items = items;
    *out = (lunik_value){.kind = LUNIK_LIST, .list = {items, list->count}};
    return 0;
}

static int prop_get(lunik_object *o, const lunik_prop *p, lunik_value *out, lunik_error *err)
{
    const void *field = prop_field(o, p);

    switch (p->kind) {
    case LUNIK_PROP_SIZE:
    case LUNIK_PROP_UINT:
        *out = (lunik_value){.kind = LUNIK_UINT, .uint = *(const uint64_t *)field};
        return 0;
    case LUNIK_PROP_INT:
        *out = (lunik_value){.kind = LUNIK_INT, .sint = *(const int64_t *)field};
        return 0;
    case LUNIK_PROP_BOOL:
        *out = (lunik_value){.kind = LUNIK_BOOL, .boolean = *(const bool *)field};
        return 0;
    case LUNIK_PROP_ENUM:
        *out = (lunik_value){.kind = LUNIK_STRING, .string = p->choices[*(const int *)field]};
        return 0;
    case LUNIK_PROP_STRING:
        if (*(char *const *)field)
            *out = (lunik_value){.kind = LUNIK_STRING, .string = *(char *const *)field};
        return 0;
    case LUNIK_PROP_LINK:
        if (*(lunik_object *const *)field)
            *out = (lunik_value){.kind = LUNIK_STRING,
                                 .string = object_name(*(lunik_object *const *)field)};
        return 0;
    case LUNIK_PROP_UINT_LIST:
        return get_list(o, p, out, err);
    }
    return 0;
}

static int fail_gone(const lunik_object *o, lunik_error *err)
{
    return lunik_fail(err, LUNIK_E_GONE, "%s '%s' is gone",
                      lunik_object_is_device(o) ? "device" : "object", object_name(o));
}

int lunik_object_get(lunik_object *o, const char *name, lunik_value *out, lunik_error *err)
{
    NOT_NULL_OR_FAIL(o, err);
    NOT_NULL_OR_FAIL(name, err);
    NOT_NULL_OR_FAIL(out, err);

    const lunik_prop *p;
    size_t index;

    *out = (lunik_value){.kind = LUNIK_NIL};
    if (o->state == OBJECT_DEAD)
        return fail_gone(o, err);
    if (!strcmp(name, "id")) {
        *out = (lunik_value){.kind = LUNIK_STRING, .string = o->id};
        return 0;
    }
    p = type_prop(o->type, name, &index);
    if (!p)
        return fail_unknown(o, name, err);
    if (p->get) {
        p->get(o, out);
        return 0;
    }
    return prop_get(o, p, out, err);
}

/* Returns the value in the property's own kind, for its set function. */
static lunik_value normal_value(const lunik_prop *p, const lunik_value *v, const union converted *c)
{
    switch (p->kind) {
    case LUNIK_PROP_SIZE:
    case LUNIK_PROP_UINT:
        return (lunik_value){.kind = LUNIK_UINT, .uint = c->number};
    case LUNIK_PROP_INT:
        return (lunik_value){.kind = LUNIK_INT, .sint = (int64_t)c->number};
    case LUNIK_PROP_BOOL:
        return (lunik_value){.kind = LUNIK_BOOL, .boolean = c->number != 0};
    default:
        return *v; /* already is */
    }
}

/* Takes over the memory of a list in c, unless that fails. */
static int prop_set(lunik_object *o, const lunik_prop *p, const lunik_value *value,
                    const union converted *c, lunik_error *err)
{
    lunik_cause cause = {.action = "set", .name = object_name(o), .detail = p->name, .vcpu = -1};
    lunik_value normal;
    int rc;

    if (!p->set)
        return prop_store(o, p, c, err);
    normal = normal_value(p, value, c);
    lunik_cause_push(&cause);
    rc = p->set(o, &normal, err);
    lunik_cause_pop(&cause);
    if (!rc && p->kind == LUNIK_PROP_UINT_LIST)
        prop_free(c->list.items);
    return rc;
}

int lunik_object_set(lunik_object *o, const char *name, const lunik_value *value, lunik_error *err)
{
    NOT_NULL_OR_FAIL(o, err);
    NOT_NULL_OR_FAIL(name, err);
    NOT_NULL_OR_FAIL(value, err);

    const lunik_field field = {name, *value};
    struct prop_change *change = NULL;
    union converted c = {.number = 0};
    const lunik_prop *p;
    size_t index;
    int rc = field_check(o->type_name, &field, err);

    if (rc)
        return rc;
    if (o->state == OBJECT_DEAD)
        return fail_gone(o, err);
    p = strcmp(name, "id") ? type_prop(o->type, name, &index) : NULL;
    if (!p && strcmp(name, "id"))
        return fail_unknown(o, name, err);
    if (!p || p->flags & LUNIK_PROP_READONLY)
        return lunik_fail(err, LUNIK_E_INVALID, "%s: %s: can only be read", o->type_name, name);
    if (!(p->flags & LUNIK_PROP_LIVE))
        return lunik_fail(err, LUNIK_E_STATE, "%s: %s: can't be changed after creation",
                          o->type_name, p->name);
    if (p->kind != LUNIK_PROP_LINK || value->kind != LUNIK_NIL) /* nil cuts a link */
        rc = prop_convert(o, p, value, &c, err);
    if (rc)
        return rc;
    if (lunik_in_transaction(o->machine))
        rc = prop_change_new(&change, o, p, err);
    if (!rc)
        rc = prop_set(o, p, value, &c, err);
    if (rc && p->kind == LUNIK_PROP_UINT_LIST)
        prop_free(c.list.items);
    if (rc)
        prop_change_free(change);
    else if (change)
        prop_change_note(change);
    return rc;
}
