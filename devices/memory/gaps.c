/* gaps.c: see gaps.h. */
#include "gaps.h"

#include <string.h>

static uint64_t gap_end(const struct gap *gap)
{
    return gap->start + gap->size;
}

/* Returns the first gap that ends after offset; gap_count if there is none. */
static size_t gap_after(const struct gaps *g, uint64_t offset)
{
    size_t i = 0;

    while (i < g->count && gap_end(&g->items[i]) <= offset)
        i++;
    return i;
}

bool gaps_free(const struct gaps *g, uint64_t start, uint64_t size)
{
    size_t i = gap_after(g, start);

    return i < g->count && g->items[i].start <= start && size <= gap_end(&g->items[i]) - start;
}

static void insert_gap(struct gaps *g, size_t at, struct gap gap)
{
    memmove(&g->items[at + 1], &g->items[at], (g->count++ - at) * sizeof(gap));
    g->items[at] = gap;
}

static void remove_gap(struct gaps *g, size_t at)
{
    memmove(&g->items[at], &g->items[at + 1], (--g->count - at) * sizeof(g->items[0]));
}

/* Takes a part out of one gap. */
void gaps_take(struct gaps *g, uint64_t start, uint64_t size)
{
    size_t i = gap_after(g, start);
    struct gap *gap = &g->items[i], rest = {start + size, gap_end(gap) - (start + size)};

    gap->size = start - gap->start;
    if (gap->size && rest.size)
        insert_gap(g, i + 1, rest);
    else if (rest.size)
        *gap = rest;
    else if (!gap->size)
        remove_gap(g, i);
}

/* Gives back a part that was taken. */
void gaps_give(struct gaps *g, uint64_t start, uint64_t size)
{
    size_t i = gap_after(g, start);

    if (i && gap_end(&g->items[i - 1]) == start)
        g->items[--i].size += size;
    else
        insert_gap(g, i, (struct gap){start, size});
    if (i + 1 < g->count && g->items[i + 1].start == start + size) {
        g->items[i].size += g->items[i + 1].size;
        remove_gap(g, i + 1);
    }
}
