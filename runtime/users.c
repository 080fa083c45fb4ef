/* users.c: who uses an object and so keeps it from being deleted. */
#include <stdlib.h>

#include "object.h"

int lunik_object_use(lunik_object *o, lunik_object *user, lunik_error *err)
{
    struct object_use *use = malloc(sizeof(*use));

    if (!use)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "%s: out of memory", object_name(o));
    *use = (struct object_use){.user = user, .next = o->uses};
    o->uses = use;
    return 0;
}

void lunik_object_unuse(lunik_object *o, lunik_object *user)
{
    for (struct object_use **p = &o->uses; *p; p = &(*p)->next)
        if ((*p)->user == user) {
            struct object_use *use = *p;
            *p = use->next;
            free(use);
            return;
        }
}

/* Somebody other than `user` who uses o, or NULL. */
static const lunik_object *other_user(const lunik_object *o, const lunik_object *user)
{
    if (o->claimed_by && o->claimed_by != user)
        return o->claimed_by;
    for (const struct object_use *use = o->uses; use; use = use->next)
        if (use->user != user)
            return use->user;
    return NULL;
}

/* Somebody who does not leave before o, or NULL. */
static const lunik_object *staying_user(const lunik_object *o)
{
    if (o->claimed_by && o->claimed_by->state != OBJECT_LEAVING)
        return o->claimed_by;
    for (const struct object_use *use = o->uses; use; use = use->next)
        if (use->user->state != OBJECT_LEAVING)
            return use->user;
    return NULL;
}

int lunik_object_claim(lunik_object *o, lunik_object *user, lunik_error *err)
{
    const lunik_object *other = other_user(o, user);

    if (other)
        return lunik_fail(err, LUNIK_E_BUSY, "object '%s' is already in use by '%s'",
                          object_name(o), object_name(other));
    o->claimed_by = user;
    return 0;
}

void lunik_object_release(lunik_object *o, lunik_object *user)
{
    if (o->claimed_by == user)
        o->claimed_by = NULL;
}

lunik_object *lunik_object_claimed_by(const lunik_object *o)
{
    return o->claimed_by;
}

int object_check_unused(const lunik_object *o, lunik_error *err)
{
    const lunik_object *user = staying_user(o);

    if (!user)
        return 0;
    return lunik_fail(err, LUNIK_E_BUSY, "%s '%s' is in use by '%s', can not be deleted",
                      lunik_object_is_device(o) ? "device" : "object", object_name(o),
                      object_name(user));
}
