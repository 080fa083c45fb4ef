/*
 * bulk.c: large operations on guest memory: fill, hash, search.
 *
 * RAM is worked on where it is, section by section; what is not RAM goes through a buffer, in
 * accesses that the devices there take.
 */
#define _GNU_SOURCE /* memmem */
#include <sha2.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "memory.h"

enum { BUFFER_SIZE = 4096 };

/* ---- reading -------------------------------------------------------------------------------- */

struct reader {
    /* Takes the next bytes; false ends the walk. */
    bool (*take)(struct reader *r, uint64_t address, const uint8_t *data, uint64_t size);
    /* What is not RAM is left out; NULL: it is read. */
    void (*skip)(struct reader *r);
};

static bool in_space(uint64_t address, uint64_t size)
{
    return !size || size - 1 <= UINT64_MAX - address;
}

enum piece { PIECE_NOTHING, PIECE_RAM, PIECE_DEVICE };

/* What is at address; *size is cut to it. */
static enum piece piece_at(lunik_space *s, uint64_t address, uint64_t *size)
{
    struct view_cursor c = view_seek(view_root_current(s->vr), address);
    const struct flat_range *range = cursor_range(&c);
    bool there = range && range->span.first <= address;
    uint64_t last = UINT64_MAX;

    if (range)
        last = there ? range->span.last : range->span.first - 1;
    if (*size - 1 > last - address)
        *size = last - address + 1;
    if (!there)
        return PIECE_NOTHING;
    return range->flags & RANGE_DIRECT ? PIECE_RAM : PIECE_DEVICE;
}

static int read_buffered(struct reader *r, lunik_space *s, uint64_t address, uint64_t *size,
                         bool *more)
{
    uint8_t buffer[BUFFER_SIZE];
    int rc;

    if (*size > sizeof(buffer))
        *size = sizeof(buffer);
    rc = lunik_space_read(s, address, buffer, *size);
    if (!rc)
        *more = r->take(r, address, buffer, *size);
    return rc;
}

static int walk(struct reader *r, lunik_space *s, uint64_t address, uint64_t size)
{
    bool more = true;
    int rc = 0;

    if (!in_space(address, size))
        return LUNIK_E_ACCESS;
    while (size && more && !rc) {
        uint64_t n = size;

        if (piece_at(s, address, &n) == PIECE_RAM) {
            void *host = lunik_space_map(s, address, &n, false);

            if (!host)
                return LUNIK_E_NO_MEMORY;
            more = r->take(r, address, host, n);
            lunik_space_unmap(s, host, n, false, 0);
        } else if (r->skip) {
            r->skip(r);
        } else {
            rc = read_buffered(r, s, address, &n, &more);
        }
        address += n;
        size -= n;
    }
    return rc;
}

/* ---- hash ----------------------------------------------------------------------------------- */

struct hasher {
    struct reader reader;
    XXH64_state_t *xxh;
    SHA2_CTX sha;
};

static bool take_xxh64(struct reader *r, uint64_t address, const uint8_t *data, uint64_t size)
{
    struct hasher *h = lunik_container_of(r, struct hasher, reader);

    XXH64_update(h->xxh, data, size);
    return true;
}

static bool take_sha256(struct reader *r, uint64_t address, const uint8_t *data, uint64_t size)
{
    struct hasher *h = lunik_container_of(r, struct hasher, reader);

    SHA256Update(&h->sha, data, size);
    return true;
}

int lunik_space_hash(lunik_space *s, uint64_t address, uint64_t size, uint64_t *hash)
{
    struct hasher h = {.reader = {.take = take_xxh64}};
    int rc;

    h.xxh = XXH64_createState();
    if (!h.xxh)
        return LUNIK_E_NO_MEMORY;
    XXH64_reset(h.xxh, 0);
    rc = walk(&h.reader, s, address, size);
    *hash = XXH64_digest(h.xxh);
    XXH64_freeState(h.xxh);
    return rc;
}

int lunik_space_sha256(lunik_space *s, uint64_t address, uint64_t size, uint8_t digest[32])
{
    struct hasher h = {.reader = {.take = take_sha256}};
    int rc;

    SHA256Init(&h.sha);
    rc = walk(&h.reader, s, address, size);
    SHA256Final(digest, &h.sha);
    return rc;
}

/* ---- search --------------------------------------------------------------------------------- */

struct searcher {
    struct reader reader;
    const lunik_pattern *pattern;
    size_t anchor; /* the first byte that has to be equal; length: none has to be */
    uint8_t *border;
    size_t held; /* bytes before the next piece, as many as may begin a match that goes on there */
    uint64_t found;
    bool matched;
};

static bool matches_at(const lunik_pattern *p, const uint8_t *data)
{
    for (size_t i = 0; i < p->length; i++)
        if ((data[i] ^ p->data[i]) & (p->mask ? p->mask[i] : 0xff))
            return false;
    return true;
}

/* The first match that begins in data and ends in it; NULL: none. */
static const uint8_t *find_in(const struct searcher *f, const uint8_t *data, uint64_t size)
{
    const lunik_pattern *p = f->pattern;
    const uint8_t *end = data + size, *at = data;

    if (size < p->length)
        return NULL;
    if (!p->mask)
        return memmem(data, size, p->data, p->length);
    while ((uint64_t)(end - at) >= p->length) {
        if (f->anchor < p->length) {
            at = memchr(at + f->anchor, p->data[f->anchor], (size_t)(end - at) - p->length + 1);
            if (!at)
                return NULL;
            at -= f->anchor;
        }
        if (matches_at(p, at))
            return at;
        at++;
    }
    return NULL;
}

static bool search_piece(struct searcher *f, uint64_t address, const uint8_t *data, uint64_t size)
{
    uint64_t align = f->pattern->align ? f->pattern->align : 1;
    const uint8_t *at = data, *end = data + size;

    while ((at = find_in(f, at, (uint64_t)(end - at)))) {
        f->found = address + (uint64_t)(at - data);
        if (f->found % align == 0)
            return f->matched = true;
        at++;
    }
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
    struct searcher f = {.reader = {take_search, skip_search}, .pattern = pattern};
    int rc;

    if (!pattern->length)
        return LUNIK_E_INVALID;
    if (pattern->length > SIZE_MAX / 2 || !(f.border = malloc(2 * pattern->length)))
        return LUNIK_E_NO_MEMORY;
    while (f.anchor < pattern->length && pattern->mask && pattern->mask[f.anchor] != 0xff)
        f.anchor++;
    rc = walk(&f.reader, s, address, size);
    free(f.border);
    if (!rc && !f.matched)
        rc = LUNIK_E_NOT_FOUND;
    *found = f.found;
    return rc;
}

/* ---- fill ----------------------------------------------------------------------------------- */

int lunik_space_fill(lunik_space *s, uint64_t address, uint8_t value, uint64_t size)
{
    uint8_t buffer[BUFFER_SIZE];
    int rc = 0;

    if (!in_space(address, size))
        return LUNIK_E_ACCESS;
    memset(buffer, value, sizeof(buffer));
    while (size) {
        uint64_t n = size;
        enum piece piece = piece_at(s, address, &n);
        void *host = piece == PIECE_RAM ? lunik_space_map(s, address, &n, true) : NULL;

        if (host) {
            memset(host, value, n);
            lunik_space_unmap(s, host, n, true, n);
        } else {
            uint64_t part = n < sizeof(buffer) ? n : sizeof(buffer);
            int failed = lunik_space_write(s, address, buffer, part);

            /* A hole may be nearly the whole address space: the rest of it is not tried. */
            if (piece != PIECE_NOTHING)
                n = part;
            if (failed && rc != LUNIK_E_ACCESS)
                rc = failed;
        }
        address += n;
        size -= n;
    }
    return rc;
}
