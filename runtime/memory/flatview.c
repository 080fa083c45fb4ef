/*
 * flatview.c: flat views as chunks of ranges.
 *
 * A view owns a reference to each of its chunks; a chunk uses the regions of its ranges as long as
 * a published view shows it. Chunk memory goes with the last view that had it, after a grace
 * period.
 */
#include <stdlib.h>

#include "memory.h"

enum { CHUNK_MAX = 64, CHUNK_MIN = 16 };

struct view_chunk {
    unsigned refs;
    unsigned count;
    struct view_chunk *next_dead;
    struct flat_range ranges[];
};

/* ---- looking up ----------------------------------------------------------------------------- */

const struct flat_range *cursor_range(const struct view_cursor *c)
{
    return c->chunk < c->view->count ? &c->view->top[c->chunk].chunk->ranges[c->index] : NULL;
}

void cursor_next(struct view_cursor *c)
{
    if (++c->index == c->view->top[c->chunk].chunk->count) {
        c->chunk++;
        c->index = 0;
    }
}

struct view_cursor view_seek(const struct flat_view *view, uint64_t address)
{
    struct view_cursor c = {.view = view};
    const struct view_chunk *chunk;
    size_t low = 0, high = view->count;

    while (low < high) { /* the first chunk that begins after address */
        size_t middle = low + (high - low) / 2;

        if (view->top[middle].first <= address)
            low = middle + 1;
        else
            high = middle;
    }
    if (!low)
        return c;
    c.chunk = low - 1;
    chunk = view->top[c.chunk].chunk;
    low = 0;
    high = chunk->count;
    while (low < high) { /* the first range in it that does not end before address */
        size_t middle = low + (high - low) / 2;

        if (chunk->ranges[middle].span.last < address)
            low = middle + 1;
        else
            high = middle;
    }
    c.index = low;
    if (low == chunk->count) {
        c.chunk++;
        c.index = 0;
    }
    return c;
}

const struct flat_range *view_find(const struct flat_view *view, uint64_t address)
{
    struct view_cursor c = view_seek(view, address);
    const struct flat_range *r = cursor_range(&c);

    return r && r->span.first <= address ? r : NULL;
}

/* ---- life ----------------------------------------------------------------------------------- */

static struct view_chunk *chunk_new(const struct flat_range *ranges, size_t count)
{
    struct view_chunk *chunk = malloc(sizeof(*chunk) + count * sizeof(*ranges));

    if (!chunk)
        return NULL;
    chunk->refs = 1;
    chunk->count = (unsigned)count;
    chunk->next_dead = NULL;
    for (size_t i = 0; i < count; i++) {
        chunk->ranges[i] = ranges[i];
        region_use(ranges[i].region);
    }
    return chunk;
}

/* Drops a reference; true if it was the last and the memory can be freed. */
static bool chunk_unref(struct view_chunk *chunk)
{
    if (--chunk->refs)
        return false;
    for (unsigned i = 0; i < chunk->count; i++)
        region_unuse(chunk->ranges[i].region);
    return true;
}

struct flat_view *view_new_empty(void)
{
    return calloc(1, sizeof(struct flat_view));
}

static void view_free(struct rcu_head *head)
{
    struct flat_view *view = lunik_container_of(head, struct flat_view, rcu);

    rcu_note_reclaim();
    while (view->dead) {
        struct view_chunk *chunk = view->dead;

        view->dead = chunk->next_dead;
        free(chunk);
    }
    free(view);
}

void view_retire(struct flat_view *view)
{
    for (size_t i = 0; i < view->count; i++) {
        struct view_chunk *chunk = view->top[i].chunk;

        if (!chunk_unref(chunk))
            continue;
        chunk->next_dead = view->dead;
        view->dead = chunk;
    }
    rcu_defer(&view->rcu, view_free);
}

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

/* New content for a span whose borders no old or new range crosses. */
struct patch {
    struct span span;
    size_t first, end; /* items of the new ranges */
};

struct differ {
    const struct flat_view *old;
    struct range_list ranges;
    struct patch *patches;
    size_t count, capacity;
    lunik_error *err;
};

static int no_memory(lunik_error *err)
{
    return lunik_fail(err, LUNIK_E_NO_MEMORY, "memory: out of memory");
}

static int put_range(struct range_list *l, const struct flat_range *r, lunik_error *err)
{
    if (!grow((void **)&l->items, &l->capacity, l->count + 1, sizeof(*l->items)))
        return no_memory(err);
    l->items[l->count++] = *r;
    return 0;
}

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
        rc = put_range(&d->ranges, &part, d->err);
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
        return no_memory(d->err);
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

/* ---- the next view -------------------------------------------------------------------------- */

struct assembler {
    struct view_cursor old;
    struct range_list pending; /* for chunks yet to be made */
    struct view_chunk **chunks;
    size_t count, capacity;
    lunik_error *err;
};

/* Drops a reference to a chunk; if it was made for this assembly, it goes. */
static void chunk_drop(struct view_chunk *chunk)
{
    if (chunk_unref(chunk))
        free(chunk);
}

static int put_chunk(struct assembler *a, struct view_chunk *chunk)
{
    if (!chunk)
        return no_memory(a->err);
    if (!grow((void **)&a->chunks, &a->capacity, a->count + 1, sizeof(*a->chunks))) {
        chunk_drop(chunk);
        return no_memory(a->err);
    }
    a->chunks[a->count++] = chunk;
    return 0;
}

/* Makes chunks of even size out of the pending ranges. */
static int flush(struct assembler *a)
{
    size_t left = a->pending.count, chunks = (left + CHUNK_MAX - 1) / CHUNK_MAX;
    const struct flat_range *from = a->pending.items;
    int rc = 0;

    for (; chunks && !rc; chunks--) {
        size_t count = left / chunks;

        rc = put_chunk(a, chunk_new(from, count));
        from += count;
        left -= count;
    }
    a->pending.count = 0;
    return rc;
}

/* Takes the old ranges that begin before limit (all: every one) over. Whole chunks are shared,
 * unless one is so small that it had better be joined with its neighbours. */
static int take_old(struct assembler *a, uint64_t limit, bool all)
{
    const struct flat_range *r;
    int rc = 0;

    while (!rc && (r = cursor_range(&a->old)) && (all || r->span.first < limit)) {
        struct view_chunk *chunk = a->old.view->top[a->old.chunk].chunk;
        bool share = !a->old.index && chunk->count >= CHUNK_MIN &&
                     (all || chunk->ranges[chunk->count - 1].span.first < limit);

        if (share && !a->pending.count) {
            chunk->refs++;
            rc = put_chunk(a, chunk);
            a->old.chunk++;
        } else if (share && a->pending.count >= CHUNK_MIN) {
            rc = flush(a);
        } else {
            rc = put_range(&a->pending, r, a->err);
            cursor_next(&a->old);
        }
    }
    return rc;
}

static int apply_patch(struct assembler *a, const struct differ *d, const struct patch *patch)
{
    const struct flat_range *r;
    int rc = take_old(a, patch->span.first, false);

    while ((r = cursor_range(&a->old)) && r->span.first <= patch->span.last)
        cursor_next(&a->old);
    for (size_t i = patch->first; i < patch->end && !rc; i++)
        rc = put_range(&a->pending, &d->ranges.items[i], a->err);
    return rc;
}

static struct flat_view *view_of_chunks(struct view_chunk **chunks, size_t count)
{
    struct flat_view *view = malloc(sizeof(*view) + count * sizeof(view->top[0]));

    if (!view)
        return NULL;
    view->dead = NULL;
    view->count = count;
    for (size_t i = 0; i < count; i++) {
        view->top[i].first = chunks[i]->ranges[0].span.first;
        view->top[i].chunk = chunks[i];
    }
    return view;
}

static int assemble(const struct differ *d, struct flat_view **out, lunik_error *err)
{
    struct assembler a = {.old = view_seek(d->old, 0), .err = err};
    int rc = 0;

    for (size_t i = 0; i < d->count && !rc; i++)
        rc = apply_patch(&a, d, &d->patches[i]);
    if (!rc)
        rc = take_old(&a, 0, true);
    if (!rc)
        rc = flush(&a);
    if (!rc && !(*out = view_of_chunks(a.chunks, a.count)))
        rc = no_memory(err);
    for (size_t i = 0; rc && i < a.count; i++)
        chunk_drop(a.chunks[i]);
    free(a.pending.items);
    free(a.chunks);
    return rc;
}

static int keep_spans(struct view_root *vr, const struct differ *d, lunik_error *err)
{
    vr->changed = malloc(d->count * sizeof(*vr->changed));
    if (!vr->changed)
        return no_memory(err);
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
        rc = assemble(&d, &vr->update, err);
    free(d.ranges.items);
    free(d.patches);
    return rc;
}

void view_root_discard(struct view_root *vr)
{
    if (vr->update)
        view_retire(vr->update);
    free(vr->changed);
    vr->update = NULL;
    vr->changed = NULL;
    vr->changed_count = 0;
}

void view_root_publish(struct view_root *vr)
{
    struct flat_view *old = view_root_current(vr);

    if (vr->update) {
        atomic_store_explicit(&vr->view, vr->update, memory_order_release);
        vr->update = old; /* the one to retire */
    }
    view_root_discard(vr);
    view_root_unmark(vr);
    vr->fresh = false;
}
