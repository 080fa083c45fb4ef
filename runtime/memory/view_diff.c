/*
 * view_diff.c: walks two views in step and reports ranges that only one of them has.
 */
#include "memory.h"

struct view_diff view_diff_start(const struct view_change *c, bool reverse)
{
    return (struct view_diff){
        .old = reverse ? c->new : c->old, .new = reverse ? c->old : c->new, .last = c->span.last};
}

static const struct flat_range *range_until(const struct view_cursor *c, uint64_t last)
{
    const struct flat_range *r = cursor_range(c);

    return r && r->span.first <= last ? r : NULL;
}

const struct flat_range *view_diff_next(struct view_diff *d, enum view_diff_kind *kind)
{
    const struct flat_range *old = range_until(&d->old, d->last),
                            *new = range_until(&d->new, d->last);
    bool same = old && new &&range_equal(old, new);

    if (old && !same && (!new || old->span.first <= new->span.first)) {
        *kind = DIFF_GONE;
        cursor_next(&d->old);
        return old;
    }
    if (!new)
        return NULL;
    *kind = same ? DIFF_SAME : DIFF_NEW;
    if (same)
        cursor_next(&d->old);
    cursor_next(&d->new);
    return new;
}
