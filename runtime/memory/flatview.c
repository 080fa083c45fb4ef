/*
 * flatview.c: flat views as chunks of ranges.
 *
 * The next view shares the chunks that stay as they are. While it is made, each of the two views
 * notes its chunks that the other does not have: they are freed, after a grace period, with the
 * view that is retired.
 *
 * All chunks but the last hold CHUNK_MIN ranges or more.
 */
#include <stdlib.h>
#include <string.h>

#include "memory.h"

enum { CHUNK_MAX = 32, CHUNK_MIN = 8 };

struct view_chunk {
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

/* Returns how many chunks begin at address or before. */
static size_t chunks_until(const struct flat_view *view, uint64_t address)
{
    size_t low = 0, high = view->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (view->top[middle].first <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct view_cursor view_seek(const struct flat_view *view, uint64_t address)
{
    struct view_cursor c = {.view = view};
    const struct view_chunk *chunk;
    size_t low = 0, high = chunks_until(view, address);

    if (!high)
        return c;
    c.chunk = high - 1;
    chunk = view->top[c.chunk].chunk;
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
    chunk->count = (unsigned)count;
    chunk->next_dead = NULL;
    memcpy(chunk->ranges, ranges, count * sizeof(*ranges));
    return chunk;
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

static void add_dead(struct view_chunk **list, struct view_chunk *chunk)
{
    chunk->next_dead = *list;
    *list = chunk;
}

void view_retire(struct flat_view *view, struct flat_view *stays)
{
    if (stays)
        stays->dead = NULL;
    else
        for (size_t i = 0; i < view->count; i++)
            add_dead(&view->dead, view->top[i].chunk);
    rcu_defer(&view->rcu, view_free);
}

/* ---- the next view -------------------------------------------------------------------------- */

struct assembler {
    struct view_cursor old;
    bool ending;                /* no more changes: nothing new comes behind the old ranges */
    struct view_chunk *dropped; /* chunks of the old view that the next does not have */
    struct range_list *pending; /* ranges for chunks that are not made yet */
    struct flat_view *view;     /* its dead chunks: those that the old view does not have */
    size_t capacity;            /* of its chunks */
    lunik_error *err;
};

/* Makes room for so many more chunks; returns false if out of memory. */
static bool make_room(struct assembler *a, size_t more)
{
    size_t capacity = 2 * a->capacity + a->old.view->count + 4;
    struct flat_view *view;

    if (a->view && a->view->count + more <= a->capacity)
        return true;
    view = realloc(a->view, sizeof(*view) + capacity * sizeof(view->top[0]));
    if (!view)
        return false;
    if (!a->view)
        *view = (struct flat_view){0};
    a->view = view;
    a->capacity = capacity;
    return true;
}

static int put_new_chunk(struct assembler *a, const struct flat_range *ranges, size_t count)
{
    struct view_chunk *chunk = make_room(a, 1) ? chunk_new(ranges, count) : NULL;

    if (!chunk)
        return fail_no_memory(a->err);
    a->view->top[a->view->count].first = ranges->span.first;
    a->view->top[a->view->count++].chunk = chunk;
    add_dead(&a->view->dead, chunk);
    return 0;
}

/* Makes chunks of even size out of the pending ranges. At the end of the view makes full chunks and
 * a rest, since most ranges are added at the end. */
static int flush(struct assembler *a, bool end)
{
    size_t left = a->pending->count, chunks = (left + CHUNK_MAX - 1) / CHUNK_MAX;
    const struct flat_range *from = a->pending->items;
    int rc = 0;

    for (; chunks && !rc; chunks--) {
        size_t count = !end ? left / chunks : left > CHUNK_MAX ? CHUNK_MAX : left;

        rc = put_new_chunk(a, from, count);
        from += count;
        left -= count;
    }
    a->pending->count = 0;
    return rc;
}

static struct view_chunk *old_chunk(const struct assembler *a)
{
    return a->old.view->top[a->old.chunk].chunk;
}

/* Moves the cursor to the range at index of its old chunk. Moving it past the end of the chunk
 * means that the chunk is not shared. */
static void advance(struct assembler *a, size_t index)
{
    struct view_chunk *chunk = old_chunk(a);

    a->old.index = index;
    if (index < chunk->count)
        return;
    add_dead(&a->dropped, chunk);
    a->old.chunk++;
    a->old.index = 0;
}

/* Whether the old view's last chunk would be too small in the next view, where it is not the last.
 */
static bool is_small(const struct assembler *a, size_t chunk)
{
    const struct flat_view *old = a->old.view;

    return !a->ending && chunk + 1 == old->count && old->top[chunk].chunk->count < CHUNK_MIN;
}

/* Shares the old chunks from the cursor up to end, of which at least the first can be shared. */
static int share_run(struct assembler *a, size_t end)
{
    const struct flat_view *old = a->old.view;
    size_t from = a->old.chunk, count;

    if (is_small(a, end - 1))
        end--;
    count = end - from;
    if (!make_room(a, count))
        return fail_no_memory(a->err);
    memcpy(&a->view->top[a->view->count], &old->top[from], count * sizeof(old->top[0]));
    a->view->count += count;
    a->old.chunk = end;
    return 0;
}

/* Copies the old chunk's ranges, from the cursor up to index end. */
static int take_ranges(struct assembler *a, size_t end)
{
    const struct flat_range *from = &old_chunk(a)->ranges[a->old.index];
    size_t count = end - a->old.index;

    advance(a, end);
    return ranges_append(a->pending, from, count, a->err);
}

/* Shares or copies the old ranges before the given chunk and index. */
static int take_old(struct assembler *a, size_t chunk, size_t index)
{
    int rc = 0;

    while (!rc && a->old.chunk < chunk) {
        bool share = !a->old.index && !is_small(a, a->old.chunk);

        if (share && !a->pending->count)
            rc = share_run(a, chunk);
        else if (share && a->pending->count >= CHUNK_MIN)
            rc = flush(a, false);
        else
            rc = take_ranges(a, old_chunk(a)->count);
    }
    if (!rc && index > a->old.index)
        rc = take_ranges(a, index);
    return rc;
}

static int apply_change(struct assembler *a, const struct range_list *ranges,
                        const struct view_change *c)
{
    const struct flat_range *r;
    int rc = take_old(a, c->old.chunk, c->old.index);

    if (rc)
        return rc;
    while ((r = cursor_range(&a->old)) && r->span.first <= c->span.last)
        advance(a, a->old.index + 1);
    return ranges_append(a->pending, &ranges->items[c->first], c->end - c->first, a->err);
}

int view_make_next(struct flat_view *old, struct scratch *scratch, struct view_change *changes,
                   size_t count, struct flat_view **out, lunik_error *err)
{
    struct assembler a = {.old = {.view = old}, .pending = &scratch->pending, .err = err};
    int rc = 0;

    if (!make_room(&a, 0))
        return fail_no_memory(err);
    a.pending->count = 0;
    for (size_t i = 0; i < count && !rc; i++)
        rc = apply_change(&a, &scratch->rendered, &changes[i]);
    a.ending = true;
    if (!rc)
        rc = take_old(&a, old->count, 0);
    if (!rc)
        rc = flush(&a, true);
    if (rc) {
        view_free(&a.view->rcu); /* it was never published */
        return rc;
    }
    old->dead = a.dropped;
    a.view->serial = old->serial + 1;
    for (size_t i = 0; i < count; i++)
        changes[i].new = view_seek(a.view, changes[i].span.first);
    *out = a.view;
    return 0;
}
