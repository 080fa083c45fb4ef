/*
 * object_uses.c: the users of an object, which keep it from being deleted.
 *
 * A use is in two lists: of the object that is used, and of its user. A search walks both at once
 * and so takes as long as the shorter one.
 */
#include <stdlib.h>

#include "core/misuse.h"
#include "object.h"

int lunik_object_use(lunik_object *o, lunik_object *user, lunik_error *err)
{
    NOT_NULL_OR_FAIL(o, err);
    NOT_NULL_OR_FAIL(user, err);

    struct object_use *use = malloc(sizeof(*use));

    if (!use)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "%s: out of memory", object_name(o));
    use->used = o;
    use->user = user;
    LIST_INSERT_HEAD(&o->users, use, of_used);
    LIST_INSERT_HEAD(&user->usings, use, of_user);
    return 0;
}

static struct object_use *use_find(const lunik_object *o, const lunik_object *user)
{
    struct object_use *a = LIST_FIRST(&o->users), *b = LIST_FIRST(&user->usings);

    for (; a && b; a = LIST_NEXT(a, of_used), b = LIST_NEXT(b, of_user)) {
        if (a->user == user)
            return a;
        if (b->used == o)
            return b;
    }
    return NULL;
}

static void use_end(struct object_use *use)
{
    LIST_REMOVE(use, of_used);
    LIST_REMOVE(use, of_user);
    free(use);
}

void lunik_object_unuse(lunik_object *o, lunik_object *user)
{
    NOT_NULL(o);
    NOT_NULL(user);

    struct object_use *use = use_find(o, user);

    if (use)
        use_end(use);
}

void uses_forget(lunik_object *o)
{
    while (!LIST_EMPTY(&o->users))
        use_end(LIST_FIRST(&o->users));
    while (!LIST_EMPTY(&o->usings))
        use_end(LIST_FIRST(&o->usings));
}

/* Returns a user of o other than `user`, or NULL. */
static const lunik_object *other_user(const lunik_object *o, const lunik_object *user)
{
    const struct object_use *use;

    if (o->claimed_by && o->claimed_by != user)
        return o->claimed_by;
    LIST_FOREACH (use, &o->users, of_used)
        if (use->user != user)
            return use->user;
    return NULL;
}

/* Returns a user that is not about to be deleted, or NULL. */
static const lunik_object *staying_user(const lunik_object *o)
{
    const struct object_use *use;

    if (o->claimed_by && o->claimed_by->state != OBJECT_LEAVING)
        return o->claimed_by;
    LIST_FOREACH (use, &o->users, of_used)
        if (use->user->state != OBJECT_LEAVING)
            return use->user;
    return NULL;
}

int lunik_object_claim(lunik_object *o, lunik_object *user, lunik_error *err)
{
    NOT_NULL_OR_FAIL(o, err);
    NOT_NULL_OR_FAIL(user, err);

    const lunik_object *other = other_user(o, user);

    if (other)
        return lunik_fail(err, LUNIK_E_BUSY, "object '%s' is already in use by '%s'",
                          object_name(o), object_name(other));
    o->claimed_by = user;
    return 0;
}

void lunik_object_release(lunik_object *o, lunik_object *user)
{
    NOT_NULL(o);
    NOT_NULL(user);

    if (o->claimed_by == user)
        o->claimed_by = NULL;
}

lunik_object *lunik_object_claimed_by(const lunik_object *o)
{
    NOT_NULL(o, NULL);

    return o->claimed_by;
}

int object_check_unused(const lunik_object *o, lunik_error *err)
{
    const lunik_object *user = staying_user(o);

    if (!user)
        return 0;
    return lunik_fail(err, LUNIK_E_BUSY, "%s '%s' is in use by '%s' and can't be deleted",
                      lunik_object_is_device(o) ? "device" : "object", object_name(o),
                      object_name(user));
}
