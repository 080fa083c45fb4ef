/*
 * dirty.c: the dirty bitmaps of RAM blocks.
 *
 * A bitmap has one bit per page for each client. Bits are set and cleared a word at a time by
 * atomic operations, so writers on any thread need no lock. A writer sets the bit after its write;
 * a reader of pages clears it before it reads: a write that the reader misses sets the bit again.
 *
 * Set bits are counted as they change, so that counting them needs no scan of the bitmap after each
 * sync. A count may lag behind its bits while another thread writes.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/misuse.h"
#include "core/span.h"
#include "ram.h"

#define PAGE ((uint64_t)LUNIK_DIRTY_PAGE)

/* A part of one word of a bitmap. */
struct piece {
    size_t word;
    uint64_t mask;
    unsigned shift;
};

typedef uint64_t two_words __attribute__((vector_size(16), aligned(8), may_alias));

static size_t bitmap_words(const lunik_ram *ram)
{
    return (ram->size / PAGE + 63) / 64;
}

static size_t all_bytes(const lunik_ram *ram)
{
    return bitmap_words(ram) * LUNIK_DIRTY_CLIENTS * sizeof(uint64_t);
}

/* Returns NULL before the first client logs the block. */
static _Atomic uint64_t *bitmap(const lunik_ram *ram, unsigned client)
{
    _Atomic uint64_t *all = atomic_load_explicit(&ram->dirty, memory_order_acquire);

    return all ? all + (size_t)__builtin_ctz(client) * bitmap_words(ram) : NULL;
}

/* The bitmap is as sparse as the memory it describes: nothing is reserved for it. */
int ram_dirty_init(lunik_ram *ram, lunik_error *err)
{
    _Atomic uint64_t *none = NULL;
    void *bits;

    if (atomic_load_explicit(&ram->dirty, memory_order_acquire))
        return 0;
    bits = mmap(NULL, all_bytes(ram), PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (bits == MAP_FAILED)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "%s: out of memory", ram->name);
    if (!atomic_compare_exchange_strong(&ram->dirty, &none, bits))
        munmap(bits, all_bytes(ram)); /* a machine of another runtime shares the block */
    return 0;
}

void ram_dirty_fini(lunik_ram *ram)
{
    void *bits = (void *)atomic_load_explicit(&ram->dirty, memory_order_acquire);

    if (bits)
        munmap(bits, all_bytes(ram));
}

/* Finds the pages that a range touches, cut to the block; returns false if there are none. */
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

/* Takes the pages that lie in one word from the front of s; returns false when s is used up. */
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

/* Returns the index of the first word from i on that is not 0; end if there is none. Most words are
 * 0, so they are read by the cache line with wide loads, which compilers don't offer for atomic
 * objects; the caller loads the word again, atomically. */
__attribute__((no_sanitize("thread"))) static size_t skip_clean(const void *bits, size_t i,
                                                                size_t end)
{
    const uint64_t *words = bits;

    for (; end - i >= 8; i += 8) {
        const two_words *w = (const two_words *)(words + i);
        two_words any = w[0] | w[1] | w[2] | w[3];

        if (any[0] | any[1])
            break;
    }
    while (i < end && !words[i])
        i++;
    return i;
}

/* Like next_piece(), for the next piece that has bits set; stores them in *word. */
static bool next_dirty(const _Atomic uint64_t *bits, struct span *s, struct piece *out,
                       uint64_t *word)
{
    while (next_piece(s, out)) {
        *word = atomic_load_explicit(&bits[out->word], memory_order_relaxed) & out->mask;
        if (*word)
            return true;
        if (s->first <= s->last)
            s->first = skip_clean(bits, s->first / 64, s->last / 64 + 1) * 64;
    }
    return false;
}

/* Sets bits in *word; returns how many of them were clear before. */
static uint64_t set_bits(_Atomic uint64_t *word, uint64_t bits)
{
    return (uint64_t)__builtin_popcountll(bits & ~atomic_fetch_or(word, bits));
}

static void count_more(lunik_ram *ram, unsigned client, uint64_t pages)
{
    if (pages)
        atomic_fetch_add_explicit(&ram->dirty_count[__builtin_ctz(client)], pages,
                                  memory_order_relaxed);
}

void ram_dirty_mark(lunik_ram *ram, uint64_t offset, uint64_t size, unsigned mask)
{
    struct span all, s;
    struct piece p;

    if (!pages_of(ram, offset, size, &all))
        return;
    for (; mask; mask &= mask - 1) {
        _Atomic uint64_t *bits = bitmap(ram, mask & -mask);
        uint64_t added = 0;

        for (s = all; next_piece(&s, &p);)
            added += set_bits(&bits[p.word], p.mask);
        count_more(ram, mask & -mask, added);
    }
}

/* For an offset that is not a multiple of PAGE: each page of bits touches two pages of the block.
 */
static void merge_unaligned(lunik_ram *ram, uint64_t offset, const uint64_t *bits, uint64_t pages,
                            unsigned mask)
{
    for (uint64_t i = 0; i < pages; i++)
        if (bits[i / 64] >> i % 64 & 1)
            ram_dirty_mark(ram, offset + i * PAGE, PAGE, mask);
}

/* Sets the bits of word from `page` on, which may reach into the next word of the bitmap; returns
 * how many were clear before. */
static uint64_t merge_word(_Atomic uint64_t *bits, uint64_t page, uint64_t word)
{
    unsigned shift = page % 64;
    uint64_t added = set_bits(&bits[page / 64], word << shift);

    if (shift && word >> (64 - shift))
        added += set_bits(&bits[page / 64 + 1], word >> (64 - shift));
    return added;
}

/* Dirty words come in runs, hence two loops. Bits beyond `pages` in the last word are ignored. */
static uint64_t merge_bits(_Atomic uint64_t *to, uint64_t first, const uint64_t *bits,
                           uint64_t pages)
{
    size_t whole = pages / 64, i = skip_clean(bits, 0, whole);
    uint64_t rest = pages % 64 ? bits[whole] & UINT64_MAX >> (64 - pages % 64) : 0, added = 0;

    for (; i < whole; i = skip_clean(bits, i, whole))
        for (; i < whole && bits[i]; i++)
            added += merge_word(to, first + i * 64, bits[i]);
    return rest ? added + merge_word(to, first + whole * 64, rest) : added;
}

void ram_dirty_merge(lunik_ram *ram, uint64_t offset, const uint64_t *bits, uint64_t pages,
                     unsigned mask)
{
    if (offset % PAGE) {
        merge_unaligned(ram, offset, bits, pages, mask);
        return;
    }
    for (; mask; mask &= mask - 1)
        count_more(ram, mask & -mask,
                   merge_bits(bitmap(ram, mask & -mask), offset / PAGE, bits, pages));
}

uint64_t ram_dirty_clear(lunik_ram *ram, unsigned client, uint64_t offset, uint64_t size,
                         uint64_t *out)
{
    _Atomic uint64_t *bits = bitmap(ram, client);
    uint64_t count = 0, first, word;
    struct span s;
    struct piece p;

    if (!pages_of(ram, offset, size, &s))
        return 0;
    if (out)
        memset(out, 0, (s.last - s.first + 64) / 64 * sizeof(*out));
    if (!bits)
        return 0;
    first = s.first;
    while (next_dirty(bits, &s, &p, &word)) {
        uint64_t at = p.word * 64 + p.shift - first;

        word = (atomic_fetch_and(&bits[p.word], ~p.mask) & p.mask) >> p.shift;
        count += (uint64_t)__builtin_popcountll(word);
        if (!out)
            continue;
        out[at / 64] |= word << at % 64;
        if (at % 64 && word >> (64 - at % 64))
            out[at / 64 + 1] |= word >> (64 - at % 64);
    }
    count_more(ram, client, -count);
    return count;
}

/* The count may be below 0 for a moment: bits can be cleared before their writer has counted them.
 */
static uint64_t count_all(const lunik_ram *ram, unsigned client)
{
    uint64_t count =
        atomic_load_explicit(&ram->dirty_count[__builtin_ctz(client)], memory_order_relaxed);

    return count > INT64_MAX ? 0 : count;
}

uint64_t lunik_dirty_count(const lunik_ram *ram, lunik_dirty_client client, uint64_t offset,
                           uint64_t size)
{
    NOT_NULL(ram, 0);

    _Atomic uint64_t *bits = bitmap(ram, client);
    uint64_t count = 0, word;
    struct span s;
    struct piece p;

    if (!bits || !pages_of(ram, offset, size, &s))
        return 0;
    if (!s.first && s.last == (ram->size - 1) / PAGE)
        return count_all(ram, client);
    while (next_dirty(bits, &s, &p, &word))
        count += (uint64_t)__builtin_popcountll(word);
    return count;
}

/* Returns the first page in s whose bit is set; s.last + 1 if there is none. */
static uint64_t find_dirty(const _Atomic uint64_t *bits, struct span s)
{
    struct piece p;
    uint64_t word;

    if (!next_dirty(bits, &s, &p, &word))
        return s.last + 1;
    return p.word * 64 + (uint64_t)__builtin_ctzll(word);
}

/* Returns the first page in s whose bit is clear; s.last + 1 if there is none. */
static uint64_t find_clean(const _Atomic uint64_t *bits, struct span s)
{
    struct piece p;

    while (next_piece(&s, &p)) {
        uint64_t clean = ~atomic_load_explicit(&bits[p.word], memory_order_relaxed) & p.mask;

        if (clean)
            return p.word * 64 + (uint64_t)__builtin_ctzll(clean);
    }
    return s.last + 1;
}

bool lunik_dirty_next(const lunik_ram *ram, lunik_dirty_client client, uint64_t *offset,
                      uint64_t end, uint64_t *size)
{
    NOT_NULL(ram, false);
    NOT_NULL(offset, false);

    _Atomic uint64_t *bits = bitmap(ram, client);
    struct span s;
    uint64_t first;

    if (!bits || *offset >= end || !pages_of(ram, *offset, end - *offset, &s))
        return false;
    first = find_dirty(bits, s);
    if (first > s.last)
        return false;
    s.first = first;
    *offset = first * PAGE;
    if (size)
        *size = (find_clean(bits, s) - first) * PAGE;
    return true;
}
