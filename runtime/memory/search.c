/*
 * search.c: finds a pattern in guest memory.
 *
 * Two bytes of the pattern (anchors), different ones if possible, are compared at sixteen addresses
 * at once; the rest is compared only where both match. So memory full of one byte, as most is, does
 * not slow down the search for a pattern that begins with it.
 */
#include <emmintrin.h>
#include <stdlib.h>
#include <string.h>

#include "core/misuse.h"
#include "bulk.h"

enum { BLOCK = 16, ANCHORS = 2 };

struct anchor {
    size_t at; /* in the pattern */
    __m128i byte, mask;
};

struct searcher {
    struct reader reader;
    const lunik_pattern *pattern;
    struct anchor anchors[ANCHORS];
    uint8_t *border;
    size_t held; /* bytes kept in border, in which a match may begin that ends in the next piece */
    uint64_t found;
    bool matched;
};

/* ---- anchors -------------------------------------------------------------------------------- */

static uint8_t mask_at(const lunik_pattern *p, size_t at)
{
    return p->mask ? p->mask[at] : 0xff;
}

static struct anchor make_anchor(const lunik_pattern *p, size_t at)
{
    return (struct anchor){.at = at,
                           .byte = _mm_set1_epi8((char)(p->data[at] & mask_at(p, at))),
                           .mask = _mm_set1_epi8((char)mask_at(p, at))};
}

/* Rates how rare a byte of the pattern is likely to be in memory, given `other` as second anchor.
 */
static int worth(const lunik_pattern *p, size_t at, size_t other)
{
    uint8_t mask = mask_at(p, at), byte = p->data[at] & mask;
    int bits = __builtin_popcount(mask);

    if (at == other)
        return -1;
    if (byte == (p->data[other] & mask_at(p, other)))
        bits -= 8;
    return 2 * bits + (byte != 0 && byte != mask); /* zeros and ones are everywhere */
}

static size_t best_anchor(const lunik_pattern *p, size_t other)
{
    size_t best = 0;

    for (size_t i = 1; i < p->length; i++)
        if (worth(p, i, other) > worth(p, best, other))
            best = i;
    return best;
}

static void choose_anchors(struct searcher *f)
{
    size_t first = best_anchor(f->pattern, f->pattern->length - 1);
    size_t second = best_anchor(f->pattern, first);

    f->anchors[0] = make_anchor(f->pattern, first);
    f->anchors[1] = make_anchor(f->pattern, second);
}

/* Returns one bit for each of the addresses from data on: whether both anchors match there. */
static unsigned candidates(const struct searcher *f, const uint8_t *data)
{
    __m128i right = _mm_set1_epi8(-1);

    for (unsigned i = 0; i < ANCHORS; i++) {
        const struct anchor *a = &f->anchors[i];
        __m128i bytes = _mm_loadu_si128((const __m128i *)(data + a->at));

        right = _mm_and_si128(right, _mm_cmpeq_epi8(_mm_and_si128(bytes, a->mask), a->byte));
    }
    return (unsigned)_mm_movemask_epi8(right);
}

/* ---- search --------------------------------------------------------------------------------- */

static bool matches_at(const struct searcher *f, uint64_t address, const uint8_t *data)
{
    const lunik_pattern *p = f->pattern;

    if (p->align > 1 && address % p->align)
        return false;
    if (!p->mask)
        return !memcmp(data, p->data, p->length);
    for (size_t i = 0; i < p->length; i++)
        if ((data[i] ^ p->data[i]) & p->mask[i])
            return false;
    return true;
}

static bool match(struct searcher *f, uint64_t address)
{
    f->found = address;
    return f->matched = true;
}

/* Returns true if there is a match that lies in data. */
static bool search_piece(struct searcher *f, uint64_t address, const uint8_t *data, uint64_t size)
{
    const size_t length = f->pattern->length;
    uint64_t i = 0;

    for (; size - i >= length + BLOCK - 1; i += BLOCK)
        for (unsigned bits = candidates(f, data + i); bits; bits &= bits - 1) {
            uint64_t at = i + (unsigned)__builtin_ctz(bits);

            if (matches_at(f, address + at, data + at))
                return match(f, address + at);
        }
    for (; size - i >= length; i++)
        if (matches_at(f, address + i, data + i))
            return match(f, address + i);
    return false;
}

static bool take_search(struct reader *r, uint64_t address, const uint8_t *data, uint64_t size)
{
    struct searcher *f = lunik_container_of(r, struct searcher, reader);
    size_t keep = f->pattern->length - 1, head = size < keep ? (size_t)size : keep, drop;

    if (f->held) {
        memcpy(f->border + f->held, data, head);
        if (search_piece(f, address - f->held, f->border, f->held + head))
            return false;
    }
    if (search_piece(f, address, data, size))
        return false;
    if (size >= keep) {
        memcpy(f->border, data + (size - keep), keep);
        f->held = keep;
        return true;
    }
    if (!f->held)
        memcpy(f->border, data, head);
    f->held += head;
    drop = f->held > keep ? f->held - keep : 0;
    memmove(f->border, f->border + drop, f->held - drop);
    f->held -= drop;
    return true;
}

static void skip_search(struct reader *r)
{
    lunik_container_of(r, struct searcher, reader)->held = 0;
}

int lunik_space_search(lunik_space *s, uint64_t address, uint64_t size,
                       const lunik_pattern *pattern, uint64_t *found)
{
    NOT_NULL(s, LUNIK_E_INVALID);
    NOT_NULL(pattern, LUNIK_E_INVALID);
    NOT_NULL(found, LUNIK_E_INVALID);

    struct searcher f = {.reader = {.take = take_search, .skip = skip_search}, .pattern = pattern};
    int rc;

    if (!pattern->length)
        return LUNIK_E_INVALID;
    if (pattern->length > SIZE_MAX / 2 || !(f.border = malloc(2 * pattern->length)))
        return LUNIK_E_NO_MEMORY;
    choose_anchors(&f);
    rc = bulk_read(&f.reader, s, address, size);
    free(f.border);
    if (!rc && !f.matched)
        rc = LUNIK_E_NOT_FOUND;
    *found = f.found;
    return rc;
}
