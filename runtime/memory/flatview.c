/*
 * flatview.c: flat views as chunks of ranges.
 *
 * A view owns a reference to each of its chunks; a chunk uses the regions of its ranges as long as
 * a published view shows it. Chunk memory goes with the last view that had it, after a grace
 * period.
 */
#include <stdlib.h>

#include "memory.h"

enum { CHUNK_MAX = 32, CHUNK_MIN = 8 };

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
        return fail_no_memory(a->err);
    if (!grow((void **)&a->chunks, &a->capacity, a->count + 1, sizeof(*a->chunks))) {
        chunk_drop(chunk);
        return fail_no_memory(a->err);
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
            rc = ranges_put(&a->pending, r, a->err);
            cursor_next(&a->old);
        }
    }
    return rc;
}

static int apply_patch(struct assembler *a, const struct range_list *ranges,
                       const struct patch *patch)
{
    const struct flat_range *r;
    int rc = take_old(a, patch->span.first, false);

    while ((r = cursor_range(&a->old)) && r->span.first <= patch->span.last)
        cursor_next(&a->old);
    for (size_t i = patch->first; i < patch->end && !rc; i++)
        rc = ranges_put(&a->pending, &ranges->items[i], a->err);
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

int view_patch(const struct flat_view *old, const struct range_list *ranges,
               const struct patch *patches, size_t count, struct flat_view **out, lunik_error *err)
{
    struct assembler a = {.old = view_seek(old, 0), .err = err};
    int rc = 0;

    for (size_t i = 0; i < count && !rc; i++)
        rc = apply_patch(&a, ranges, &patches[i]);
    if (!rc)
        rc = take_old(&a, 0, true);
    if (!rc)
        rc = flush(&a);
    if (!rc && !(*out = view_of_chunks(a.chunks, a.count)))
        rc = fail_no_memory(err);
    for (size_t i = 0; rc && i < a.count; i++)
        chunk_drop(a.chunks[i]);
    free(a.pending.items);
    free(a.chunks);
    return rc;
}
