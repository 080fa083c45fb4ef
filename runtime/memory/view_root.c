/*
 * view_root.c: from marked windows to the next flat view of a root region.
 *
 * Only the windows are rendered. Old ranges that a window cuts, or that adjoin it, may merge with
 * new ones, so they belong to what is compared and replaced.
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

/* Never fails: without memory for another window, one large window is as good. */
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
    const struct flat_view *old;
    struct range_list ranges;
    struct patch *patches;
    size_t count, capacity;
    lunik_error *err;
};

/* The window and the old ranges that reach into or adjoin it. */
static struct span widen(const struct flat_view *old, struct span window)
{
    struct span wide = window;
    struct view_cursor c = view_seek(old, window.first ? window.first - 1 : 0);
    const struct flat_range *r = cursor_range(&c);

    if (r && r->span.first < wide.first)
        wide.first = r->span.first;
    c = view_seek(old, window.last);
    for (; (r = cursor_range(&c)); cursor_next(&c)) {
        if (r->span.first > add_saturated(window.last, 1))
            break;
        if (r->span.last > wide.last)
            wide.last = r->span.last;
    }
    return wide;
}

static int copy_old(struct differ *d, uint64_t first, uint64_t last)
{
    struct view_cursor c = view_seek(d->old, first);
    const struct flat_range *r;
    int rc = 0;

    for (; !rc && (r = cursor_range(&c)) && r->span.first <= last; cursor_next(&c)) {
        struct flat_range part = *r;

        if (part.span.first < first) {
            part.offset += first - part.span.first;
            part.span.first = first;
        }
        if (part.span.last > last)
            part.span.last = last;
        rc = ranges_append(&d->ranges, &part, 1, d->err);
    }
    return rc;
}

/* Renders the windows inside span, takes what is between them from the old view. */
static int make_ranges(struct differ *d, lunik_region *root, struct span span,
                       const struct span *windows, size_t count)
{
    uint64_t at = span.first;
    int rc = 0;

    for (size_t i = 0; i < count && !rc; i++) {
        if (at < windows[i].first)
            rc = copy_old(d, at, windows[i].first - 1);
        if (!rc)
            rc = render_window(root, windows[i], &d->ranges, d->err);
        at = windows[i].last + 1;
    }
    if (!rc && windows[count - 1].last < span.last)
        rc = copy_old(d, at, span.last);
    return rc;
}

/* True if the old view has exactly the ranges of patch in its span. */
static bool unchanged(const struct differ *d, const struct patch *patch)
{
    struct view_cursor c = view_seek(d->old, patch->span.first);
    const struct flat_range *r;

    for (size_t i = patch->first; i < patch->end; i++, cursor_next(&c)) {
        r = cursor_range(&c);
        if (!r || !range_equal(r, &d->ranges.items[i]))
            return false;
    }
    r = cursor_range(&c);
    return !r || r->span.first > patch->span.last;
}

static int add_patch(struct differ *d, lunik_region *root, struct span span,
                     const struct span *windows, size_t count)
{
    struct patch patch = {.span = span, .first = d->ranges.count};
    int rc = make_ranges(d, root, span, windows, count);

    if (rc)
        return rc;
    ranges_merge(&d->ranges, patch.first);
    patch.end = d->ranges.count;
    if (unchanged(d, &patch)) {
        d->ranges.count = patch.first;
        return 0;
    }
    if (!grow((void **)&d->patches, &d->capacity, d->count + 1, sizeof(*d->patches)))
        return fail_no_memory(d->err);
    d->patches[d->count++] = patch;
    return 0;
}

static int make_patches(struct differ *d, const struct view_root *vr)
{
    const struct span *windows = vr->all_valid ? &vr->all : vr->windows;
    size_t count = vr->all_valid ? 1 : vr->window_count;
    int rc = 0;

    for (size_t i = 0, end; i < count && !rc; i = end) {
        struct span span = widen(d->old, windows[i]);

        for (end = i + 1; end < count; end++) {
            struct span next = widen(d->old, windows[end]);

            if (next.first > span.last)
                break;
            if (next.last > span.last)
                span.last = next.last;
        }
        rc = add_patch(d, vr->root, span, windows + i, end - i);
    }
    return rc;
}

/* ---- commit --------------------------------------------------------------------------------- */

static int keep_spans(struct view_root *vr, const struct differ *d, lunik_error *err)
{
    vr->changed = malloc(d->count * sizeof(*vr->changed));
    if (!vr->changed)
        return fail_no_memory(err);
    for (size_t i = 0; i < d->count; i++)
        vr->changed[i] = d->patches[i].span;
    vr->changed_count = d->count;
    return 0;
}

int view_root_prepare(struct view_root *vr, lunik_error *err)
{
    struct differ d = {.old = view_root_current(vr), .err = err};
    int rc;

    windows_normalize(vr);
    rc = make_patches(&d, vr);
    if (!rc && d.count)
        rc = keep_spans(vr, &d, err);
    if (!rc && d.count)
        rc = view_patch(d.old, &d.ranges, d.patches, d.count, &vr->update, err);
    free(d.ranges.items);
    free(d.patches);
    return rc ? rc : io_view_prepare(vr, err);
}

void view_root_discard(struct view_root *vr)
{
    io_view_discard(&vr->io);
    if (vr->update)
        view_retire(vr->update, view_root_current(vr));
    free(vr->changed);
    vr->update = NULL;
    vr->changed = NULL;
    vr->changed_count = 0;
}

void view_root_publish(struct view_root *vr)
{
    struct flat_view *old = view_root_current(vr);

    io_view_publish(&vr->io);
    if (vr->update) {
        atomic_store_explicit(&vr->view, vr->update, memory_order_release);
        vr->update = old; /* the one to retire */
    }
    view_root_discard(vr);
    view_root_unmark(vr);
    vr->fresh = false;
}
