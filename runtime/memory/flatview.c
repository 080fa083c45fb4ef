/*
 * flatview.c: flat views as chunks of ranges.
 *
 * The next view shares the chunks that stay as they are, so a chunk goes when one of two views that
 * follow each other goes and the other does not have it: both have the chunks they share in the
 * same order, so that these are found without a look at them. A chunk uses the regions of its
 * ranges; its memory goes after a grace period.
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

/* How many chunks begin at address or before. */
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
    for (size_t i = 0; i < count; i++) {
        chunk->ranges[i] = ranges[i];
        region_use(ranges[i].region);
    }
    return chunk;
}

static void chunk_unuse(struct view_chunk *chunk)
{
    for (unsigned i = 0; i < chunk->count; i++)
        region_unuse(chunk->ranges[i].region);
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

/* Takes note of the chunks that the other view (NULL: none) does not have. Those at the beginning
 * and at the end that both have, most of all, are passed over quickly. */
static void find_dead(struct flat_view *view, const struct flat_view *other)
{
    size_t first = 0, end = view->count, other_end = other ? other->count : 0, at;

    while (first < end && first < other_end && view->top[first].chunk == other->top[first].chunk)
        first++;
    while (end > first && other_end > first &&
           view->top[end - 1].chunk == other->top[other_end - 1].chunk) {
        end--;
        other_end--;
    }
    at = first;
    for (size_t i = first; i < end; i++) {
        struct view_chunk *chunk = view->top[i].chunk;

        while (at < other_end && other->top[at].first < view->top[i].first)
            at++;
        if (at < other_end && other->top[at].chunk == chunk)
            continue;
        chunk->next_dead = view->dead;
        view->dead = chunk;
    }
}

void view_retire(struct flat_view *view, const struct flat_view *other)
{
    find_dead(view, other);
    for (struct view_chunk *chunk = view->dead; chunk; chunk = chunk->next_dead)
        chunk_unuse(chunk);
    rcu_defer(&view->rcu, view_free);
}

/* ---- the next view -------------------------------------------------------------------------- */

struct assembler {
    struct view_cursor old;
    struct range_list pending; /* for chunks yet to be made */
    struct flat_view *view;
    size_t capacity; /* of its chunks */
    lunik_error *err;
};

/* For so many chunks more; false when out of memory. */
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
    return 0;
}

/* Makes chunks of even size out of the pending ranges; at the end of the view full ones and a rest,
 * since ranges mostly come at the end. */
static int flush(struct assembler *a, bool end)
{
    size_t left = a->pending.count, chunks = (left + CHUNK_MAX - 1) / CHUNK_MAX;
    const struct flat_range *from = a->pending.items;
    int rc = 0;

    for (; chunks && !rc; chunks--) {
        size_t count = !end ? left / chunks : left > CHUNK_MAX ? CHUNK_MAX : left;

        rc = put_new_chunk(a, from, count);
        from += count;
        left -= count;
    }
    a->pending.count = 0;
    return rc;
}

/* Whether the next view can have the old chunk at the cursor: all of its ranges begin before limit
 * (all: wherever), and it is not so small that it had better be joined with its neighbours. Most
 * chunks need not be looked at for that. */
static bool can_share(const struct assembler *a, uint64_t limit, bool all)
{
    const struct flat_view *old = a->old.view;
    bool is_last = a->old.chunk + 1 == old->count;
    const struct view_chunk *chunk = old->top[a->old.chunk].chunk;

    if (a->old.index || (is_last && chunk->count < CHUNK_MIN))
        return false;
    return all || (!is_last && old->top[a->old.chunk + 1].first <= limit) ||
           chunk->ranges[chunk->count - 1].span.first < limit;
}

/* Shares the chunk at the cursor, and those behind it that are sure to be shared, too. */
static int share_run(struct assembler *a, uint64_t limit, bool all)
{
    const struct flat_view *old = a->old.view;
    size_t from = a->old.chunk, end = all ? old->count : chunks_until(old, limit), count;

    /* What the last of them holds has yet to be looked at. */
    count = end > from + 1 ? end - 1 - from : 1;
    if (!make_room(a, count))
        return fail_no_memory(a->err);
    memcpy(&a->view->top[a->view->count], &old->top[from], count * sizeof(old->top[0]));
    a->view->count += count;
    a->old.chunk += count;
    return 0;
}

/* Takes those of the old chunk's ranges over that begin before limit, from the cursor on. Sets
 * *done if not all of them do. */
static int take_ranges(struct assembler *a, uint64_t limit, bool all, bool *done)
{
    const struct view_chunk *chunk = a->old.view->top[a->old.chunk].chunk;
    const struct flat_range *from = &chunk->ranges[a->old.index],
                            *end = &chunk->ranges[chunk->count];

    if (!all)
        while (end > from && end[-1].span.first >= limit)
            end--;
    *done = end < &chunk->ranges[chunk->count];
    a->old.index += (size_t)(end - from);
    if (!*done) {
        a->old.chunk++;
        a->old.index = 0;
    }
    return ranges_append(&a->pending, from, (size_t)(end - from), a->err);
}

/* Takes the old ranges that begin before limit (all: every one) over. */
static int take_old(struct assembler *a, uint64_t limit, bool all)
{
    const struct flat_view *old = a->old.view;
    bool done = false;
    int rc = 0;

    while (!rc && !done && a->old.chunk < old->count) {
        bool share = can_share(a, limit, all);

        if (share && !a->pending.count)
            rc = share_run(a, limit, all);
        else if (share && a->pending.count >= CHUNK_MIN)
            rc = flush(a, false);
        else
            rc = take_ranges(a, limit, all, &done);
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
    if (!rc && patch->end > patch->first)
        rc = ranges_append(&a->pending, &ranges->items[patch->first], patch->end - patch->first,
                           a->err);
    return rc;
}

/* Frees a view that nobody has seen. */
static void view_drop(struct flat_view *view, const struct flat_view *old)
{
    find_dead(view, old);
    for (struct view_chunk *chunk = view->dead; chunk; chunk = chunk->next_dead)
        chunk_unuse(chunk);
    view_free(&view->rcu);
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
        rc = flush(&a, true);
    if (!rc && !make_room(&a, 0)) /* for the view, if it is empty */
        rc = fail_no_memory(err);
    if (rc && a.view)
        view_drop(a.view, old);
    if (!rc)
        *out = a.view;
    free(a.pending.items);
    return rc;
}
