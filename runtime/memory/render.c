/*
 * render.c: what a region graph shows in a window of addresses.
 *
 * Regions are rendered from the highest priority down; each fills only what those above it left
 * free.
 */
#include <stdlib.h>
#include <string.h>

#include "memory.h"

struct renderer {
    struct range_list *out;
    size_t base; /* the window's first item in out */
    struct scratch *scratch;
    size_t kid_count; /* of the scratch's */
    int rc;
    lunik_error *err;
};

static bool reserve(struct renderer *rd, void **items, size_t *capacity, size_t need, size_t size)
{
    if (!rd->rc && !grow(items, capacity, need, size))
        rd->rc = fail_no_memory(rd->err);
    return !rd->rc;
}

static void insert_range(struct renderer *rd, size_t at, struct flat_range range)
{
    struct range_list *l = rd->out;

    if (!reserve(rd, (void **)&l->items, &l->capacity, l->count + 1, sizeof(*l->items)))
        return;
    memmove(&l->items[at + 1], &l->items[at], (l->count - at) * sizeof(*l->items));
    l->items[at] = range;
    l->count++;
}

/* The first item of the window that does not end before address. */
static size_t find_item(const struct renderer *rd, uint64_t address)
{
    size_t low = rd->base, high = rd->out->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (rd->out->items[middle].span.last < address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Puts range into the gaps between what is there. */
static void fill_gaps(struct renderer *rd, struct flat_range range)
{
    struct range_list *l = rd->out;
    const uint64_t last = range.span.last;
    const uint64_t delta = range.offset - range.span.first; /* address to offset, modulo 2^64 */
    uint64_t first = range.span.first;

    for (size_t i = find_item(rd, first); !rd->rc; i++) {
        bool below = i < l->count && l->items[i].span.first <= last;

        if (!below || l->items[i].span.first > first) {
            range.span.first = first;
            range.span.last = below ? l->items[i].span.first - 1 : last;
            range.offset = first + delta;
            insert_range(rd, i, range);
            if (!below || rd->rc)
                return;
            i++;
        }
        if (l->items[i].span.last >= last)
            return;
        first = l->items[i].span.last + 1;
    }
}

static bool collect(void *opaque, lunik_region *child)
{
    struct renderer *rd = opaque;
    struct scratch *s = rd->scratch;

    if (child->s.enabled &&
        reserve(rd, (void **)&s->kids, &s->kid_capacity, rd->kid_count + 1, sizeof(*s->kids)))
        s->kids[rd->kid_count++] = child;
    return !rd->rc;
}

static int compare_priority(const void *a, const void *b)
{
    const struct region_state *x = &(*(lunik_region *const *)a)->s;
    const struct region_state *y = &(*(lunik_region *const *)b)->s;

    if (x->priority != y->priority)
        return x->priority > y->priority ? -1 : 1;
    return x->seq > y->seq ? -1 : 1;
}

static void render(struct renderer *rd, lunik_region *r, uint64_t base, struct span window,
                   unsigned flags, unsigned depth);

static void render_children(struct renderer *rd, lunik_region *r, uint64_t base, struct span window,
                            unsigned flags, unsigned depth)
{
    size_t bottom = rd->kid_count;

    children_visit(r, window, collect, rd);
    if (rd->kid_count - bottom > 1)
        qsort(rd->scratch->kids + bottom, rd->kid_count - bottom, sizeof(lunik_region *),
              compare_priority);
    for (size_t i = bottom, end = rd->kid_count; i < end; i++) {
        lunik_region *child = rd->scratch->kids[i];
        uint64_t at = child->s.address;
        struct span part = {window.first > at ? window.first - at : 0, window.last - at};

        render(rd, child, base + at, part, flags, depth);
    }
    rd->kid_count = bottom;
}

/* Renders the offsets `window` of r, whose offset 0 is at address base. */
static void render(struct renderer *rd, lunik_region *r, uint64_t base, struct span window,
                   unsigned flags, unsigned depth)
{
    uint64_t skip = r->s.alias_offset;

    if (!r->s.enabled || window.first > r->s.last || rd->rc)
        return;
    if (depth > MEMORY_MAX_DEPTH) {
        rd->rc = lunik_fail(rd->err, LUNIK_E_INVALID,
                            "memory region '%s' is nested too deeply (want at most %d levels)",
                            r->name, MEMORY_MAX_DEPTH);
        return;
    }
    if (window.last > r->s.last)
        window.last = r->s.last;
    flags |= (r->s.readonly ? RANGE_READONLY : 0) | (r->nonvolatile ? RANGE_NONVOLATILE : 0);
    if (r->kind == LUNIK_REGION_ALIAS) {
        if (window.first > UINT64_MAX - skip)
            return;
        window = (struct span){window.first + skip, add_saturated(window.last, skip)};
        render(rd, r->target, base - skip, window, flags, depth + 1);
        return;
    }
    if (r->children)
        render_children(rd, r, base, window, flags, depth + 1);
    if (r->kind == LUNIK_REGION_CONTAINER)
        return;
    if (region_has_ram(r) && (r->kind != LUNIK_REGION_ROM_DEVICE || r->s.romd))
        flags |= RANGE_DIRECT;
    fill_gaps(rd, (struct flat_range){.span = {base + window.first, base + window.last},
                                      .region = r,
                                      .offset = window.first,
                                      .flags = flags});
}

int render_window(lunik_region *root, struct span window, struct range_list *out, lunik_error *err)
{
    struct renderer rd = {
        .out = out, .base = out->count, .scratch = &root->core->scratch, .err = err};

    render(&rd, root, 0, window, 0, 1);
    return rd.rc;
}

int ranges_append(struct range_list *list, const struct flat_range *ranges, size_t count,
                  lunik_error *err)
{
    if (!count)
        return 0;
    if (!grow((void **)&list->items, &list->capacity, list->count + count, sizeof(*list->items)))
        return fail_no_memory(err);
    memcpy(&list->items[list->count], ranges, count * sizeof(*ranges));
    list->count += count;
    return 0;
}

static bool mergeable(const struct flat_range *a, const struct flat_range *b)
{
    return a->region == b->region && a->flags == b->flags && a->span.last + 1 == b->span.first &&
           a->offset + (b->span.first - a->span.first) == b->offset;
}

void ranges_merge(struct range_list *list, size_t from)
{
    size_t kept = from;

    for (size_t i = from + 1; i < list->count; i++) {
        if (mergeable(&list->items[kept], &list->items[i]))
            list->items[kept].span.last = list->items[i].span.last;
        else
            list->items[++kept] = list->items[i];
    }
    if (list->count > from)
        list->count = kept + 1;
}

bool range_equal(const struct flat_range *a, const struct flat_range *b)
{
    return a->span.first == b->span.first && a->span.last == b->span.last &&
           a->region == b->region && a->offset == b->offset && a->flags == b->flags;
}
