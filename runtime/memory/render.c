/*
 * render.c: renders what a region graph shows in a window of addresses.
 *
 * A walk of the graph from the highest priority down lists the leaves in the order in which they
 * hide each other. A sweep by address then picks, at each address, the first leaf in that order.
 * With n leaves this takes n log n steps, however they overlap.
 */
#include <stdlib.h>
#include <string.h>

#include "memory.h"

struct renderer {
    struct scratch *scratch; /* its leaves: each hides those after it */
    size_t kid_count;        /* of the scratch's */
    int rc;
    lunik_error *err;
};

static bool reserve(struct renderer *rd, void **items, size_t *capacity, size_t need, size_t size)
{
    if (!rd->rc && !grow(items, capacity, need, size))
        rd->rc = fail_no_memory(rd->err);
    return !rd->rc;
}

/* ---- the walk ------------------------------------------------------------------------------- */

static void add_leaf(struct renderer *rd, struct flat_range range)
{
    struct leaf_list *l = &rd->scratch->leaves;

    if (!reserve(rd, (void **)&l->items, &l->capacity, l->count + 1, sizeof(*l->items)))
        return;
    l->items[l->count] = (struct leaf){.range = range, .rank = l->count};
    l->count++;
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
    add_leaf(rd, (struct flat_range){.span = {base + window.first, base + window.last},
                                     .region = r,
                                     .offset = window.first,
                                     .flags = flags});
}

/* ---- the sweep ------------------------------------------------------------------------------ */

static int compare_first(const void *a, const void *b)
{
    const struct leaf *x = a, *y = b;

    if (x->range.span.first != y->range.span.first)
        return x->range.span.first < y->range.span.first ? -1 : 1;
    return x->rank < y->rank ? -1 : 1;
}

/* A heap of the leaves that the sweep has reached: the one that shows is on top. It overlays the
 * front of the array of leaves, from which the sweep has taken them. */
struct heap {
    struct leaf *items;
    size_t count;
};

static void swap(struct leaf *a, struct leaf *b)
{
    struct leaf keep = *a;

    *a = *b;
    *b = keep;
}

static void heap_add(struct heap *h, struct leaf leaf)
{
    size_t i = h->count++;

    h->items[i] = leaf;
    for (; i && h->items[i].rank < h->items[(i - 1) / 2].rank; i = (i - 1) / 2)
        swap(&h->items[i], &h->items[(i - 1) / 2]);
}

static void heap_drop(struct heap *h)
{
    size_t i = 0, least;

    h->items[0] = h->items[--h->count];
    while ((least = 2 * i + 1) < h->count) {
        if (least + 1 < h->count && h->items[least + 1].rank < h->items[least].rank)
            least++;
        if (h->items[i].rank < h->items[least].rank)
            return;
        swap(&h->items[i], &h->items[least]);
        i = least;
    }
}

/* Returns the part of leaf in span. */
static struct flat_range part_of(const struct leaf *leaf, struct span span)
{
    struct flat_range range = leaf->range;

    range.offset += span.first - range.span.first;
    range.span = span;
    return range;
}

/* Sweeps over the leaves, which are sorted by address, and appends the ranges that show. */
static int sweep(struct leaf_list *l, struct range_list *out, lunik_error *err)
{
    struct heap h = {.items = l->items};
    uint64_t at = 0;
    size_t next = 0;
    int rc = 0;

    while (!rc && (h.count || next < l->count)) {
        struct flat_range range;
        struct leaf top;

        if (!h.count) {
            at = l->items[next].range.span.first;
            heap_add(&h, l->items[next++]);
        }
        top = h.items[0];
        if (top.range.span.last < at) {
            heap_drop(&h);
            continue;
        }
        range = part_of(&top, (struct span){at, top.range.span.last});
        for (; next < l->count && l->items[next].range.span.first <= range.span.last; next++) {
            struct leaf leaf = l->items[next];

            if (leaf.rank < top.rank) /* it hides top from here on */
                range.span.last = leaf.range.span.first - 1;
            heap_add(&h, leaf);
        }
        if (range.span.last >= at)
            rc = ranges_append(out, &range, 1, err);
        if (range.span.last == UINT64_MAX)
            return rc;
        at = range.span.last + 1;
    }
    return rc;
}

int render_window(lunik_region *root, struct span window, struct range_list *out, lunik_error *err)
{
    struct leaf_list *leaves = &root->core->scratch.leaves;
    struct renderer rd = {.scratch = &root->core->scratch, .err = err};

    leaves->count = 0;
    render(&rd, root, 0, window, 0, 1);
    if (rd.rc)
        return rd.rc;
    if (leaves->count > 1)
        qsort(leaves->items, leaves->count, sizeof(*leaves->items), compare_first);
    return sweep(leaves, out, err);
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
