/*
 * bulk.c: large operations on guest memory: fill, hash; strings.
 *
 * RAM is read and written in place, section by section. Everything else goes through a buffer, in
 * accesses of sizes that the devices accept.
 */
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "bulk.h"
#include "core/misuse.h"
#include "sha256.h"

enum { BUFFER_SIZE = 4096 };

/* ---- reading -------------------------------------------------------------------------------- */

static bool in_space(uint64_t address, uint64_t size)
{
    return !size || size - 1 <= UINT64_MAX - address;
}

enum piece { PIECE_NOTHING, PIECE_RAM, PIECE_DEVICE };

/* Finds what is at address; cuts *size to it. */
static enum piece piece_at(lunik_space *s, uint64_t address, uint64_t *size)
{
    const struct flat_range *range;
    uint64_t last = UINT64_MAX;
    struct view_cursor c;
    bool there;

    lunik_coalesced_flush(s->core->machine); /* delivering a write may change the map */
    c = view_seek(view_root_current(s->vr), address);
    range = cursor_range(&c);
    there = range && range->span.first <= address;
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
    uint64_t most = r->most ? r->most : sizeof(buffer);
    int rc;

    if (*size > most)
        *size = most;
    rc = lunik_space_read(s, address, buffer, *size);
    if (!rc)
        *more = r->take(r, address, buffer, *size);
    return rc;
}

int bulk_read(struct reader *r, lunik_space *s, uint64_t address, uint64_t size)
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

    sha256_update(&h->sha, data, size);
    return true;
}

int lunik_space_hash(lunik_space *s, uint64_t address, uint64_t size, uint64_t *hash)
{
    NOT_NULL(s, LUNIK_E_INVALID);
    NOT_NULL(hash, LUNIK_E_INVALID);

    struct hasher h = {.reader = {.take = take_xxh64}};
    int rc;

    h.xxh = XXH64_createState();
    if (!h.xxh)
        return LUNIK_E_NO_MEMORY;
    XXH64_reset(h.xxh, 0);
    rc = bulk_read(&h.reader, s, address, size);
    *hash = XXH64_digest(h.xxh);
    XXH64_freeState(h.xxh);
    return rc;
}

int lunik_space_sha256(lunik_space *s, uint64_t address, uint64_t size, uint8_t digest[32])
{
    NOT_NULL(s, LUNIK_E_INVALID);
    NOT_NULL(digest, LUNIK_E_INVALID);

    struct hasher h = {.reader = {.take = take_sha256}};
    int rc;

    SHA256Init(&h.sha);
    rc = bulk_read(&h.reader, s, address, size);
    SHA256Final(digest, &h.sha);
    return rc;
}

/* ---- strings -------------------------------------------------------------------------------- */

struct string {
    struct reader reader;
    char *to;
    size_t length;
    bool ended;
};

static bool take_string(struct reader *r, uint64_t address, const uint8_t *data, uint64_t size)
{
    struct string *string = lunik_container_of(r, struct string, reader);
    const uint8_t *end = memchr(data, 0, size);

    if (end)
        size = (uint64_t)(end - data);
    memcpy(string->to + string->length, data, size);
    string->length += size;
    string->ended = end;
    return !end;
}

int lunik_space_string(lunik_space *s, uint64_t address, char *buf, size_t size, size_t *length)
{
    NOT_NULL(s, LUNIK_E_INVALID);
    NOT_NULL(length, LUNIK_E_INVALID);
    REQUIRE(buf || !size, "buf is NULL", LUNIK_E_INVALID);

    /* Reads devices byte by byte: registers beyond the end of the string must not be read. */
    struct string string = {.reader = {.take = take_string, .most = 1}, .to = buf};
    int rc;

    if (!size)
        return LUNIK_E_INVALID;
    rc = bulk_read(&string.reader, s, address, size - 1);
    buf[string.length] = 0;
    *length = string.length;
    return rc || string.ended ? rc : LUNIK_E_NO_SPACE;
}

/* ---- fill ----------------------------------------------------------------------------------- */

int lunik_space_fill(lunik_space *s, uint64_t address, uint8_t value, uint64_t size)
{
    NOT_NULL(s, LUNIK_E_INVALID);

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

            /* One write per hole is enough: a hole may be nearly the whole address space. */
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
