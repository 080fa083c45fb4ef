/*
 * view_root.c: makes the next flat view of a root region from marked windows.
 *
 * Only the windows are rendered. Old ranges that a window cuts, or that adjoin it and may merge
 * with new ones, are compared and replaced with it.
 */
#include <stdlib.h>

#include "memory.h"

/* ---- marked windows ------------------------------------------------------------------------- */

static int compare_spans(const void *a, const void *b)
{
    const struct span *x = a, *y = b;

    return x->first < y->first ? -1 : x->first > y->first;
}

/* Sorts the windows and joins those that overlap or adjoin. */
static void windows_normalize(struct view_root *vr)
{
    size_t kept = 0;

    if (!vr->window_count)
        return;
    qsort(vr->windows, vr->window_count, sizeof(*vr->windows), compare_spans);
    for (size_t i = 1; i < vr->window_count; i++) {
        struct span *a = &vr->windows[kept], b = vr->windows[i];

        if (b.first > add_saturated(a->last, 1))
            vr->windows[++kept] = b;
        else if (b.last > a->last)
            a->last = b.last;
    }
    vr->window_count = kept + 1;
}

/* Never fails: without memory for another window, marks one window of all addresses. */
void view_root_mark(struct view_root *vr, struct span window)
{
    if (vr->window_count == vr->window_capacity)
        windows_normalize(vr);
    if (vr->all_valid || !grow((void **)&vr->windows, &vr->window_capacity, vr->window_count + 1,
                               sizeof(*vr->windows))) {
        vr->all = (struct span){0, UINT64_MAX};
        vr->all_valid = true;
        return;
    }
    vr->windows[vr->window_count++] = window;
}

void view_root_unmark(struct view_root *vr)
{
    vr->window_count = 0;
    vr->all_valid = false;
}

/* ---- rendering the difference --------------------------------------------------------------- */

struct differ {
    struct view_root *vr;
    struct view_cursor at; /* the old view's next range in a span */
    struct range_list *ranges;
    size_t count; /* of the root's changes */
    lunik_error *err;
};

/* Whether a neighbour may continue the range: whether its region has more bytes on that side. */
static bool may_go_on_before(const struct flat_range *r)
{
    return r->offset > 0;
}

static bool may_go_on_behind(const struct flat_range *r)
{
    return r->offset + (r->span.last - r->span.first) < r->region->s.last;
}

/* Widens the window by old ranges that reach into it, or adjoin it and may merge with new ones. */
static struct view_change widen(const struct flat_view *old, struct span window)
{
    struct view_change c = {.span = window,
                            .old = view_seek(old, window.first ? window.first - 1 : 0)};
    struct view_cursor at;
    const struct flat_range *r = cursor_range(&c.old);

    if (r && r->span.last < window.first && !may_go_on_behind(r)) {
        cursor_next(&c.old);
        r = cursor_range(&c.old);
    }
    if (r && r->span.first < window.first)
        c.span.first = r->span.first;
    for (at = c.old; (r = cursor_range(&at)); cursor_next(&at)) {
        if (r->span.first > window.last &&
            (r->span.first - window.last > 1 || !may_go_on_before(r)))
            break;
        if (r->span.last > c.span.last)
            c.span.last = r->span.last;
    }
    return c;
}

static int copy_old(struct differ *d, uint64_t first, uint64_t last)
{
    const struct flat_range *r;
    int rc = 0;

    while ((r = cursor_range(&d->at)) && r->span.last < first)
        cursor_next(&d->at);
    for (; !rc && (r = cursor_range(&d->at)) && r->span.first <= last; cursor_next(&d->at)) {
        struct flat_range part = *r;

        if (part.span.first < first) {
            part.offset += first - part.span.first;
            part.span.first = first;
        }
        if (part.span.last > last)
            part.span.last = last;
        rc = ranges_append(d->ranges, &part, 1, d->err);
        if (r->span.last > last)
            break; /* the rest of r may be in the next part */
    }
    return rc;
}

/* Renders the windows inside span, and copies the old view's ranges between them. */
static int make_ranges(struct differ *d, struct span span, const struct span *windows, size_t count)
{
    uint64_t at = span.first;
    int rc = 0;

    for (size_t i = 0; i < count && !rc; i++) {
        if (at < windows[i].first)
            rc = copy_old(d, at, windows[i].first - 1);
        if (!rc)
            rc = render_window(d->vr->root, windows[i], d->ranges, d->err);
        at = windows[i].last + 1;
    }
    if (!rc && windows[count - 1].last < span.last)
        rc = copy_old(d, at, span.last);
    return rc;
}

/* True if the old view has exactly the new ranges in the span. */
static bool unchanged(const struct differ *d, const struct view_change *change)
{
    struct view_cursor c = change->old;
    const struct flat_range *r;

    for (size_t i = change->first; i < change->end; i++, cursor_next(&c)) {
        r = cursor_range(&c);
        if (!r || !range_equal(r, &d->ranges->items[i]))
            return false;
    }
    r = cursor_range(&c);
    return !r || r->span.first > change->span.last;
}

static int add_change(struct differ *d, struct view_change change, const struct span *windows,
                      size_t count)
{
    struct view_root *vr = d->vr;
    int rc;

    change.first = d->ranges->count;
    d->at = change.old;
    rc = make_ranges(d, change.span, windows, count);
    if (rc)
        return rc;
    ranges_merge(d->ranges, change.first);
    change.end = d->ranges->count;
    if (unchanged(d, &change)) {
        d->ranges->count = change.first;
        return 0;
    }
    if (!grow((void **)&vr->changed, &vr->changed_capacity, d->count + 1, sizeof(*vr->changed)))
        return fail_no_memory(d->err);
    vr->changed[d->count++] = change;
    return 0;
}

static int find_changes(struct differ *d)
{
    const struct view_root *vr = d->vr;
    const struct flat_view *old = view_root_current(vr);
    const struct span *windows = vr->all_valid ? &vr->all : vr->windows;
    size_t count = vr->all_valid ? 1 : vr->window_count;
    int rc = 0;

    for (size_t i = 0, end; i < count && !rc; i = end) {
        struct view_change change = widen(old, windows[i]);

        for (end = i + 1; end < count; end++) {
            struct span next = widen(old, windows[end]).span;

            if (next.first > change.span.last)
                break;
            if (next.last > change.span.last)
                change.span.last = next.last;
        }
        rc = add_change(d, change, windows + i, end - i);
    }
    return rc;
}

/* ---- scratch -------------------------------------------------------------------------------- */

void scratch_free(struct scratch *scratch)
{
    free(scratch->rendered.items);
    free(scratch->pending.items);
    free(scratch->leaves.items);
    free(scratch->kids);
    *scratch = (struct scratch){0};
}

static void scratch_trim(struct scratch *scratch)
{
    const size_t limit = 1024; /* items */

    if (scratch->rendered.capacity > limit || scratch->pending.capacity > limit ||
        scratch->leaves.capacity > limit || scratch->kid_capacity > limit)
        scratch_free(scratch);
}

/* ---- commit --------------------------------------------------------------------------------- */

/* Ends a commit: retires one of its two views. */
static void let_go(struct view_root *vr, struct flat_view *view, struct flat_view *stays)
{
    view_retire(view, stays);
    vr->update = NULL;
    vr->changed_count = 0;
}

int view_root_prepare(struct view_root *vr, lunik_error *err)
{
    struct scratch *scratch = &vr->core->scratch;
    struct differ d = {.vr = vr, .ranges = &scratch->rendered, .err = err};
    int rc;

    scratch->rendered.count = 0;
    windows_normalize(vr);
    rc = find_changes(&d);
    if (!rc && d.count)
        rc = view_make_next(view_root_current(vr), scratch, vr->changed, d.count, &vr->update, err);
    scratch_trim(scratch);
    if (rc)
        return rc;
    vr->changed_count = d.count;
    return io_view_prepare(vr, err);
}

void view_root_discard(struct view_root *vr)
{
    io_view_discard(&vr->io);
    if (vr->update)
        let_go(vr, vr->update, view_root_current(vr));
}

void view_root_publish(struct view_root *vr)
{
    struct flat_view *old = view_root_current(vr);

    io_view_publish(&vr->io);
    io_view_discard(&vr->io);
    if (vr->update) {
        atomic_store_explicit(&vr->view, vr->update, memory_order_release);
        let_go(vr, old, vr->update);
    }
    view_root_unmark(vr);
    vr->fresh = false;
}
