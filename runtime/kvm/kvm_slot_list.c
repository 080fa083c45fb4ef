/* kvm_slot_list.c: growing arrays of slots, some of them sorted by address, and slot ids. */
#include <stdlib.h>
#include <string.h>

#include "kvm_memory.h"
#include "core/grow.h"

bool slots_reserve(struct slot_list *l, size_t need)
{
    return grow((void **)&l->items, &l->capacity, need, sizeof(*l->items));
}

int slot_compare(const struct slot *x, const struct slot *y)
{
    if (x->first != y->first)
        return x->first < y->first ? -1 : 1;
    if (x->last != y->last)
        return x->last < y->last ? -1 : 1;
    if (x->host != y->host)
        return x->host < y->host ? -1 : 1;
    return x->flags < y->flags ? -1 : x->flags > y->flags;
}

static int compare(const void *a, const void *b)
{
    return slot_compare(a, b);
}

void slots_sort(struct slot_list *l)
{
    if (l->count > 1)
        qsort(l->items, l->count, sizeof(l->items[0]), compare);
}

size_t slots_find(const struct slot_list *l, uint64_t address)
{
    size_t low = 0, high = l->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (l->items[middle].first < address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct slot *kvm_slot_at(struct kvm_memory *k, uint64_t first, uint64_t last)
{
    size_t at = slots_find(&k->slots, first);

    if (at && k->slots.items[at - 1].last >= first)
        at--;
    return at < k->slots.count && k->slots.items[at].first <= last ? &k->slots.items[at] : NULL;
}

void slots_insert(struct slot_list *l, size_t at, struct slot slot)
{
    memmove(&l->items[at + 1], &l->items[at], (l->count - at) * sizeof(slot));
    l->items[at] = slot;
    l->count++;
}

void slots_remove(struct slot_list *l, size_t at)
{
    l->count--;
    memmove(&l->items[at], &l->items[at + 1], (l->count - at) * sizeof(l->items[0]));
}

/* ---- slot ids ------------------------------------------------------------------------------- */

uint32_t slot_id_take(struct kvm_memory *k)
{
    uint32_t word = 0;
    uint32_t bit;

    while (k->used[word] == UINT64_MAX)
        word++;
    bit = (uint32_t)__builtin_ctzll(~k->used[word]);
    k->used[word] |= 1ull << bit;
    return word * 64 + bit;
}

void slot_id_release(struct kvm_memory *k, uint32_t id)
{
    k->used[id / 64] &= ~(1ull << id % 64);
}
