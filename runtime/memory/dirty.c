/*
 * dirty.c: the dirty bitmaps of RAM blocks.
 *
 * One bit per host page and client, set and cleared a word at a time by atomic operations: writers
 * on any thread need no lock. A writer sets the bit after its write, a reader of pages clears it
 * before it reads; so what the reader misses has a bit that is set again.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "memory.h"

#define PAGE ((uint64_t)LUNIK_DIRTY_PAGE)

/* A part of one word of a bitmap. */
struct piece {
    size_t word;
    uint64_t mask;
    unsigned shift;
};

static size_t bitmap_words(const lunik_ram *ram)
{
    return (ram->size / PAGE + 63) / 64;
}

static size_t all_bytes(const lunik_ram *ram)
{
    return bitmap_words(ram) * LUNIK_DIRTY_CLIENTS * sizeof(uint64_t);
}

static _Atomic uint64_t *bitmap(const lunik_ram *ram, unsigned client)
{
    return ram->dirty + (size_t)__builtin_ctz(client) * bitmap_words(ram);
}

/* The bitmap is as sparse as the memory it describes: nothing is reserved for it. */
int ram_dirty_init(lunik_ram *ram, lunik_error *err)
{
    void *bits = mmap(NULL, all_bytes(ram), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (bits == MAP_FAILED)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "%s: out of memory", ram->name);
    ram->dirty = bits;
    return 0;
}

void ram_dirty_fini(lunik_ram *ram)
{
    if (ram->dirty)
        munmap((void *)ram->dirty, all_bytes(ram));
}

/* The pages that a range touches, cut to the block; false if there are none. */
static bool pages_of(const lunik_ram *ram, uint64_t offset, uint64_t size, struct span *out)
{
    uint64_t last;

    if (!size || offset >= ram->size)
        return false;
    last = add_saturated(offset, size - 1);
    if (last >= ram->size)
        last = ram->size - 1;
    *out = (struct span){offset / PAGE, last / PAGE};
    return true;
}

/* Takes the pages that lie in one word from the front of s; false when s is used up. */
static bool next_piece(struct span *s, struct piece *out)
{
    uint64_t end;

    if (s->first > s->last)
        return false;
    out->word = s->first / 64;
    out->shift = s->first % 64;
    end = s->first | 63;
    if (end > s->last)
        end = s->last;
    out->mask = UINT64_MAX << out->shift & UINT64_MAX >> (63 - end % 64);
    s->first = end + 1;
    return true;
}

void ram_dirty_mark(lunik_ram *ram, uint64_t offset, uint64_t size, unsigned mask)
{
    struct span all, s;
    struct piece p;

    if (!pages_of(ram, offset, size, &all))
        return;
    for (; mask; mask &= mask - 1) {
        _Atomic uint64_t *bits = bitmap(ram, mask & -mask);

        for (s = all; next_piece(&s, &p);)
            atomic_fetch_or(&bits[p.word], p.mask);
    }
}

/* Pages that don't start where the block's do each touch two of them. */
static void merge_unaligned(lunik_ram *ram, uint64_t offset, const uint64_t *bits, uint64_t pages,
                            unsigned mask)
{
    for (uint64_t i = 0; i < pages; i++)
        if (bits[i / 64] >> i % 64 & 1)
            ram_dirty_mark(ram, offset + i * PAGE, PAGE, mask);
}

static void merge_word(_Atomic uint64_t *bits, uint64_t page, uint64_t word)
{
    unsigned shift = page % 64;

    atomic_fetch_or(&bits[page / 64], word << shift);
    if (shift && word >> (64 - shift))
        atomic_fetch_or(&bits[page / 64 + 1], word >> (64 - shift));
}

void ram_dirty_merge(lunik_ram *ram, uint64_t offset, const uint64_t *bits, uint64_t pages,
                     unsigned mask)
{
    uint64_t first = offset / PAGE;

    if (offset % PAGE) {
        merge_unaligned(ram, offset, bits, pages, mask);
        return;
    }
    for (uint64_t i = 0; i < pages; i += 64) {
        uint64_t word = bits[i / 64];

        if (pages - i < 64)
            word &= UINT64_MAX >> (64 - (pages - i));
        for (unsigned m = mask; word && m; m &= m - 1)
            merge_word(bitmap(ram, m & -m), first + i, word);
    }
}

uint64_t ram_dirty_clear(lunik_ram *ram, unsigned client, uint64_t offset, uint64_t size,
                         uint64_t *out)
{
    _Atomic uint64_t *bits = bitmap(ram, client);
    uint64_t count = 0, first;
    struct span s;
    struct piece p;

    if (!pages_of(ram, offset, size, &s))
        return 0;
    if (out)
        memset(out, 0, (s.last - s.first + 64) / 64 * sizeof(*out));
    first = s.first;
    while (next_piece(&s, &p)) {
        uint64_t at = p.word * 64 + p.shift - first, word;

        if (!(atomic_load_explicit(&bits[p.word], memory_order_relaxed) & p.mask))
            continue;
        word = (atomic_fetch_and(&bits[p.word], ~p.mask) & p.mask) >> p.shift;
        count += (uint64_t)__builtin_popcountll(word);
        if (!out)
            continue;
        out[at / 64] |= word << at % 64;
        if (at % 64 && word >> (64 - at % 64))
            out[at / 64 + 1] |= word >> (64 - at % 64);
    }
    return count;
}

uint64_t lunik_dirty_count(const lunik_ram *ram, lunik_dirty_client client, uint64_t offset,
                           uint64_t size)
{
    _Atomic uint64_t *bits = bitmap(ram, client);
    uint64_t count = 0;
    struct span s;
    struct piece p;

    if (!pages_of(ram, offset, size, &s))
        return 0;
    while (next_piece(&s, &p))
        count += (uint64_t)__builtin_popcountll(
            atomic_load_explicit(&bits[p.word], memory_order_relaxed) & p.mask);
    return count;
}

/* The first page in s whose bit is `state`; s->last + 1 if there is none. */
static uint64_t find_page(_Atomic uint64_t *bits, struct span s, bool state)
{
    struct piece p;

    while (next_piece(&s, &p)) {
        uint64_t word = atomic_load_explicit(&bits[p.word], memory_order_relaxed);

        word = (state ? word : ~word) & p.mask;
        if (word)
            return p.word * 64 + (uint64_t)__builtin_ctzll(word);
    }
    return s.last + 1;
}

bool lunik_dirty_next(const lunik_ram *ram, lunik_dirty_client client, uint64_t *offset,
                      uint64_t end, uint64_t *size)
{
    _Atomic uint64_t *bits = bitmap(ram, client);
    struct span s;
    uint64_t first;

    if (*offset >= end || !pages_of(ram, *offset, end - *offset, &s))
        return false;
    first = find_page(bits, s, true);
    if (first > s.last)
        return false;
    s.first = first;
    *offset = first * PAGE;
    *size = (find_page(bits, s, false) - first) * PAGE;
    return true;
}
