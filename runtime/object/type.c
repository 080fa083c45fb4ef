/* type.c: the types that are registered in a runtime. */
#include <stdlib.h>
#include <string.h>

#include "core/misuse.h"
#include "object.h"
#include "state.h"

struct type_table {
    struct type_entry *first, **tail;
    struct names by_name;
};

/* Returns the type of that name that was registered last. */
static struct type_entry *entry_find(const struct type_table *t, const char *name)
{
    struct named *found = names_find(&t->by_name, name, NULL);

    return found ? lunik_container_of(found, struct type_entry, by_name) : NULL;
}

/* Returns the entry of that very type, replaced or not. */
static struct type_entry *entry_of(const struct type_table *t, const lunik_type *type)
{
    struct type_entry *e = entry_find(t, type->name);

    while (e && e->type != type)
        e = e->replaced;
    return e;
}

static size_t prop_table_count(const lunik_prop *props)
{
    size_t n = 0;
    while (props && props[n].name)
        n++;
    return n;
}

static size_t prop_kind_size(lunik_prop_kind kind)
{
    switch (kind) {
    case LUNIK_PROP_BOOL:
        return sizeof(bool);
    case LUNIK_PROP_ENUM:
        return sizeof(int);
    case LUNIK_PROP_UINT_LIST:
        return sizeof(lunik_uint_list);
    case LUNIK_PROP_STRING:
    case LUNIK_PROP_LINK:
        return sizeof(void *);
    default:
        return sizeof(uint64_t);
    }
}

/* A computed property that can't be set needs no field in the state. */
static bool prop_has_field(const lunik_prop *p)
{
    return !p->get || !(p->flags & LUNIK_PROP_READONLY);
}

bool prop_owns_memory(const lunik_prop *p)
{
    return !(p->flags & LUNIK_PROP_READONLY) &&
           (p->kind == LUNIK_PROP_STRING || p->kind == LUNIK_PROP_UINT_LIST);
}

static int prop_check(const lunik_type *type, const lunik_prop *p, lunik_error *err)
{
    if (prop_has_field(p) &&
        (p->offset > type->size || type->size - p->offset < prop_kind_size(p->kind)))
        return lunik_fail(err, LUNIK_E_INVALID, "type %s: %s: does not lie in the state struct",
                          type->name, p->name);
    if (p->kind == LUNIK_PROP_ENUM && !p->choices)
        return lunik_fail(err, LUNIK_E_INVALID, "type %s: %s: an enum without choices", type->name,
                          p->name);
    if (!strcmp(p->name, "id"))
        return lunik_fail(err, LUNIK_E_EXISTS, "type %s: id: every object has this property",
                          type->name);
    return 0;
}

/* Makes the flat list: the parent's properties, some replaced by the type's of the same name, then
 * the type's others. */
static int entry_collect_props(struct type_entry *e, lunik_error *err)
{
    const lunik_type *type = e->type;
    size_t inherited = e->parent ? e->parent->prop_count : 0;
    size_t own = prop_table_count(type->props);

    e->props = calloc(inherited + own + 1, sizeof(*e->props));
    if (!e->props)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "type %s: out of memory", type->name);
    for (size_t i = 0; i < inherited; i++)
        e->props[i] = e->parent->props[i];
    e->prop_count = inherited;

    for (size_t i = 0; i < own; i++) {
        const lunik_prop *p = &type->props[i];
        size_t index;
        int rc = prop_check(type, p, err);
        if (rc)
            return rc;
        if (!type_prop(e, p->name, &index))
            index = e->prop_count++;
        else if (index >= inherited)
            return lunik_fail(err, LUNIK_E_EXISTS, "type %s: %s: is in its table twice", type->name,
                              p->name);
        e->props[index] = p;
    }
    for (size_t i = 0; i < e->prop_count; i++)
        e->owned_count += prop_owns_memory(e->props[i]);
    return 0;
}

static int entry_inherit(struct type_entry *e, lunik_error *err)
{
    const lunik_type *type = e->type;
    const struct type_entry *parent = e->parent;

    e->realize = type->realize;
    e->unrealize = type->unrealize;
    e->reset = type->reset;
    e->run_state = type->run_state;
    e->unplug_request = type->unplug_request;
    e->drain = type->drain;
    e->undrain = type->undrain;
    e->hotplug = type->hotplug;
    e->hotplug_wants = type->hotplug_wants;
    if (!parent)
        return 0;
    if (type->size < parent->type->size)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "type %s: its state (%zu bytes) must begin with that of %s (%zu bytes)",
                          type->name, type->size, parent->type->name, parent->type->size);
    if ((type->flags ^ parent->type->flags) & LUNIK_TYPE_DEVICE)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "type %s: must be a device exactly if its parent %s is one", type->name,
                          parent->type->name);
    if (!e->realize)
        e->realize = parent->realize;
    if (!e->unrealize)
        e->unrealize = parent->unrealize;
    if (!e->reset)
        e->reset = parent->reset;
    if (!e->run_state)
        e->run_state = parent->run_state;
    if (!e->unplug_request)
        e->unplug_request = parent->unplug_request;
    if (!e->drain)
        e->drain = parent->drain;
    if (!e->undrain)
        e->undrain = parent->undrain;
    if (!e->hotplug) {
        e->hotplug = parent->hotplug;
        e->hotplug_wants = parent->hotplug_wants;
    }
    return 0;
}

static void entry_free(struct type_entry *e)
{
    free(e->props);
    free(e);
}

static int table_add(struct type_table *t, const lunik_type *type, bool replace, lunik_error *err)
{
    struct type_entry *e, *former;
    int rc;

    if (!type->name || !*type->name)
        return lunik_fail(err, LUNIK_E_INVALID, "type: name: is missing");
    former = entry_find(t, type->name);
    if (former && !replace)
        return lunik_fail(err, LUNIK_E_EXISTS, "type %s: name: is taken", type->name);
    e = calloc(1, sizeof(*e));
    if (!e)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "type %s: out of memory", type->name);
    e->type = type;
    if (type->parent) {
        e->parent = entry_find(t, type->parent);
        if (!e->parent) {
            rc = lunik_fail(err, LUNIK_E_NOT_FOUND, "type %s: parent: there is no type '%s'",
                            type->name, type->parent);
            goto fail;
        }
    }
    rc = entry_inherit(e, err);
    if (!rc && type->state)
        rc = state_check_table(type->state, type->name, type->size, err);
    if (!rc)
        rc = entry_collect_props(e, err);
    if (rc)
        goto fail;
    *t->tail = e;
    t->tail = &e->next;
    if (former)
        names_remove(&t->by_name, &former->by_name);
    e->replaced = former;
    names_add(&t->by_name, &e->by_name, type->name);
    return 0;
fail:
    entry_free(e);
    return rc;
}

int types_init(struct type_table **out, const lunik_type *const *types, lunik_error *err)
{
    struct type_table *t = calloc(1, sizeof(*t));
    if (!t)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "types: out of memory");
    t->tail = &t->first;
    names_init(&t->by_name);
    for (; types && *types; types++) {
        int rc = table_add(t, *types, false, err);
        if (rc) {
            types_fini(t);
            return rc;
        }
    }
    *out = t;
    return 0;
}

void types_fini(struct type_table *t)
{
    if (!t)
        return;
    while (t->first) {
        struct type_entry *e = t->first;
        t->first = e->next;
        entry_free(e);
    }
    names_fini(&t->by_name);
    free(t);
}

int lunik_type_add(lunik_runtime *rt, const lunik_type *type, lunik_error *err)
{
    NOT_NULL_OR_FAIL(rt, err);
    NOT_NULL_OR_FAIL(type, err);
    NOT_NULL_OR_FAIL(type->name, err);

    return table_add(runtime_types(rt), type, false, err);
}

int lunik_type_replace(lunik_runtime *rt, const lunik_type *type, lunik_error *err)
{
    NOT_NULL_OR_FAIL(rt, err);
    NOT_NULL_OR_FAIL(type, err);
    NOT_NULL_OR_FAIL(type->name, err);

    return table_add(runtime_types(rt), type, true, err);
}

const lunik_type *lunik_type_find(const lunik_runtime *rt, const char *name)
{
    NOT_NULL(rt, NULL);
    NOT_NULL(name, NULL);

    const struct type_entry *e = entry_find(runtime_types(rt), name);
    return e ? e->type : NULL;
}

const lunik_type *lunik_type_next(const lunik_runtime *rt, const lunik_type *previous)
{
    NOT_NULL(rt, NULL);

    const struct type_table *t = runtime_types(rt);
    const struct type_entry *e = t->first;

    if (previous) {
        e = entry_of(t, previous);
        e = e ? e->next : NULL;
    }
    while (e && entry_find(t, e->type->name) != e)
        e = e->next; /* replaced */
    return e ? e->type : NULL;
}

const lunik_prop *lunik_type_prop(const lunik_runtime *rt, const lunik_type *type, size_t index)
{
    NOT_NULL(rt, NULL);
    NOT_NULL(type, NULL);

    const struct type_entry *e = entry_of(runtime_types(rt), type);
    return e && index < e->prop_count ? e->props[index] : NULL;
}

const struct type_entry *type_lookup(const lunik_runtime *rt, const char *name, lunik_error *err)
{
    const struct type_table *t = runtime_types(rt);
    const struct type_entry *found = entry_find(t, name);
    struct suggestion s = {.wanted = name};

    if (found)
        return found;
    for (const struct type_entry *e = t->first; e; e = e->next)
        if (!(e->type->flags & LUNIK_TYPE_ABSTRACT))
            suggestion_consider(&s, e->type->name);
    if (s.best)
        lunik_fail(err, LUNIK_E_NOT_FOUND, "'%s' is not a known type (did you mean '%s'?)", name,
                   s.best);
    else
        lunik_fail(err, LUNIK_E_NOT_FOUND, "'%s' is not a known type", name);
    return NULL;
}

static const lunik_iface *iface_find(const struct type_entry *t, const char *name)
{
    for (; t; t = t->parent)
        for (const lunik_iface *i = t->type->ifaces; i && i->name; i++)
            if (!strcmp(i->name, name))
                return i;
    return NULL;
}

bool type_is(const struct type_entry *t, const char *name)
{
    for (const struct type_entry *e = t; e; e = e->parent)
        if (!strcmp(e->type->name, name))
            return true;
    return iface_find(t, name) != NULL;
}

const void *type_iface(const struct type_entry *t, const char *name)
{
    const lunik_iface *i = iface_find(t, name);
    return i ? i->ops : NULL;
}

const lunik_prop *type_prop(const struct type_entry *t, const char *name, size_t *index)
{
    for (size_t i = 0; i < t->prop_count; i++)
        if (prop_name_equal(t->props[i]->name, name)) {
            *index = i;
            return t->props[i];
        }
    return NULL;
}
