/*
 * property_change.c: restores the properties that an undone transaction has set.
 *
 * A plain field is copied and copied back. A property with a set function is read with
 * lunik_object_get() and restored through that function.
 */
#include <stdlib.h>
#include <string.h>

#include "object.h"

struct prop_change {
    lunik_change change;
    lunik_object *object; /* a reference */
    const lunik_prop *prop;
    union converted field; /* of a property without a set function; holds a link's target */
    lunik_value value;     /* of a property with one */
};

/* ---- values --------------------------------------------------------------------------------- */

static bool copy_field(struct prop_change *c)
{
    const void *field = prop_field(c->object, c->prop);
    const lunik_uint_list *list = field;
    size_t size;

    switch (c->prop->kind) {
    case LUNIK_PROP_SIZE:
    case LUNIK_PROP_UINT:
    case LUNIK_PROP_INT:
        c->field.number = *(const uint64_t *)field;
        return true;
    case LUNIK_PROP_BOOL:
        c->field.number = *(const bool *)field;
        return true;
    case LUNIK_PROP_ENUM:
        c->field.number = (uint64_t) * (const int *)field;
        return true;
    case LUNIK_PROP_STRING:
        c->field.string = *(char *const *)field;
        return !c->field.string || (c->field.string = prop_copy_string(c->field.string));
    case LUNIK_PROP_LINK:
        c->field.link = *(lunik_object *const *)field;
        if (c->field.link)
            lunik_object_ref(c->field.link);
        return true;
    case LUNIK_PROP_UINT_LIST:
        if (!list->items)
            return true;
        size = list->count * sizeof(*list->items);
        c->field.list = (lunik_uint_list){prop_alloc(size), list->count};
        return c->field.list.items && memcpy(c->field.list.items, list->items, size);
    }
    return false;
}

static bool copy_value(struct prop_change *c)
{
    lunik_value *v = &c->value, *items;

    if (lunik_object_get(c->object, c->prop->name, v, NULL))
        return false;
    if (v->kind == LUNIK_STRING)
        return (v->string = strdup(v->string));
    if (v->kind != LUNIK_LIST)
        return true;
    items = calloc(v->list.count + 1, sizeof(*items)); /* of numbers */
    if (!items) {
        v->kind = LUNIK_NIL;
        return false;
    }
    for (size_t i = 0; i < v->list.count; i++)
        items[i] = v->list.items[i];
    v->list.items = items;
    return true;
}

/* ---- changes -------------------------------------------------------------------------------- */

void prop_change_free(struct prop_change *c)
{
    if (!c)
        return;
    if (c->prop->kind == LUNIK_PROP_LINK && c->field.link)
        lunik_object_unref(c->field.link);
    else if (c->prop->kind == LUNIK_PROP_STRING)
        prop_free((char *)c->field.string);
    else if (c->prop->kind == LUNIK_PROP_UINT_LIST)
        prop_free(c->field.list.items);
    if (c->value.kind == LUNIK_STRING)
        free((char *)c->value.string);
    else if (c->value.kind == LUNIK_LIST)
        free((lunik_value *)c->value.list.items);
    lunik_object_unref(c->object);
    free(c);
}

int prop_change_new(struct prop_change **out, lunik_object *o, const lunik_prop *p,
                    lunik_error *err)
{
    struct prop_change *c = calloc(1, sizeof(*c));

    if (!c)
        return prop_fail_memory(o, p, err);
    c->object = o;
    c->prop = p;
    lunik_object_ref(o);
    if (p->set ? !copy_value(c) : !copy_field(c)) {
        prop_change_free(c);
        return prop_fail_memory(o, p, err);
    }
    *out = c;
    return 0;
}

static void change_commit(lunik_change *change)
{
    prop_change_free(lunik_container_of(change, struct prop_change, change));
}

static void change_undo(lunik_change *change)
{
    struct prop_change *c = lunik_container_of(change, struct prop_change, change);

    if (c->object->state != OBJECT_DEAD && c->prop->set) {
        c->prop->set(c->object, &c->value, NULL);
    } else if (c->object->state != OBJECT_DEAD && !prop_put(c->object, c->prop, &c->field, NULL) &&
               c->prop->kind != LUNIK_PROP_LINK) {
        c->field = (union converted){0}; /* the property owns it now */
    }
    prop_change_free(c);
}

void prop_change_note(struct prop_change *c)
{
    c->change.commit = change_commit;
    c->change.undo = change_undo;
    lunik_transaction_note(c->object->machine, &c->change);
}
