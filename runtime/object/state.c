/* state.c: state structs to bytes and back, by their tables. */
#include <stdlib.h>
#include <string.h>

#include "state.h"

static size_t kind_size(unsigned kind)
{
    switch (kind) {
    case LUNIK_STATE_KIND_BOOL:
    case LUNIK_STATE_KIND_U8:
        return 1;
    case LUNIK_STATE_KIND_U16:
        return 2;
    case LUNIK_STATE_KIND_U32:
    case LUNIK_STATE_KIND_INT:
        return 4;
    default:
        return 8;
    }
}

/* ---- save ----------------------------------------------------------------------------------- */

static int reserve(struct state_bytes *b, size_t more)
{
    size_t capacity = b->capacity ? b->capacity : 256;
    uint8_t *data;

    while (capacity - b->size < more)
        capacity *= 2;
    if (capacity == b->capacity)
        return 0;
    data = realloc(b->data, capacity);
    if (!data)
        return LUNIK_E_NO_MEMORY;
    b->data = data;
    b->capacity = capacity;
    return 0;
}

/* Needs room that was reserved. */
static void put(struct state_bytes *b, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        b->data[b->size++] = (uint8_t)(value >> (8 * i));
}

static void put_name(struct state_bytes *b, const char *name)
{
    size_t length = strlen(name);

    put(b, length, 1);
    memcpy(b->data + b->size, name, length);
    b->size += length;
}

/* An element in the host's byte order, which is the stream's: Lunik runs on x86-64 only. */
static void put_field(struct state_bytes *b, const lunik_state_field *f, const void *state)
{
    size_t bytes = f->count * kind_size(f->kind);

    put_name(b, f->name);
    put(b, f->kind, 1);
    put(b, f->count, 4);
    memcpy(b->data + b->size, (const uint8_t *)state + f->offset, bytes);
    b->size += bytes;
}

static size_t encoded_size(const lunik_state_table *t, uint16_t *count)
{
    size_t size = 1 + strlen(t->name) + 2 + 2;

    *count = 0;
    for (const lunik_state_field *f = t->fields; f->name; f++) {
        size += 1 + strlen(f->name) + 1 + 4 + f->count * kind_size(f->kind);
        ++*count;
    }
    return size;
}

int state_encode(const lunik_state_table *t, const void *state, struct state_bytes *out,
                 lunik_error *err)
{
    uint16_t count;
    size_t size = encoded_size(t, &count);

    if (reserve(out, size))
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "%s: no memory for %zu bytes of state", t->name,
                          size);
    put_name(out, t->name);
    put(out, t->version, 2);
    put(out, count, 2);
    for (const lunik_state_field *f = t->fields; f->name; f++)
        put_field(out, f, state);
    return 0;
}

void state_bytes_free(struct state_bytes *b)
{
    free(b->data);
    *b = (struct state_bytes){0};
}

/* ---- load ----------------------------------------------------------------------------------- */

struct reader {
    const uint8_t *data;
    size_t left;
    const char *table;
    lunik_error *err;
};

/* Returns the next bytes; NULL, with the error set, if there are not as many. */
static const uint8_t *get(struct reader *r, const char *what, size_t bytes)
{
    const uint8_t *at = r->data;

    if (r->left < bytes) {
        lunik_fail(r->err, LUNIK_E_INVALID,
                   "%s: the state ends in %s: %zu bytes expected, %zu left", r->table, what, bytes,
                   r->left);
        return NULL;
    }
    r->data += bytes;
    r->left -= bytes;
    return at;
}

static int get_number(struct reader *r, const char *what, size_t bytes, uint64_t *out)
{
    const uint8_t *at = get(r, what, bytes);

    *out = 0;
    if (!at)
        return LUNIK_E_INVALID;
    for (size_t i = 0; i < bytes; i++)
        *out |= (uint64_t)at[i] << (8 * i);
    return 0;
}

/* The stream's names are not trusted: an error shows only the one that was expected. */
static int get_name(struct reader *r, const char *want)
{
    uint64_t length;
    const uint8_t *at;
    int rc = get_number(r, want, 1, &length);

    if (rc)
        return rc;
    at = get(r, want, (size_t)length);
    if (!at)
        return LUNIK_E_INVALID;
    if (length != strlen(want) || memcmp(at, want, length) != 0)
        return lunik_fail(r->err, LUNIK_E_INVALID, "%s: '%s' expected, another name found",
                          r->table, want);
    return 0;
}

static int get_field(struct reader *r, const lunik_state_field *f, void *shadow)
{
    size_t bytes = f->count * kind_size(f->kind);
    uint64_t kind = 0, count = 0;
    const uint8_t *at;
    int rc = get_name(r, f->name);

    if (!rc)
        rc = get_number(r, f->name, 1, &kind);
    if (!rc)
        rc = get_number(r, f->name, 4, &count);
    if (rc)
        return rc;
    if (kind != (uint64_t)f->kind || count != f->count)
        return lunik_fail(r->err, LUNIK_E_INVALID,
                          "%s.%s: kind %u, %zu elements expected, got kind %u, %u elements",
                          r->table, f->name, (unsigned)f->kind, f->count, (unsigned)kind,
                          (unsigned)count);
    at = get(r, f->name, bytes);
    if (!at)
        return LUNIK_E_INVALID;
    for (size_t i = 0; f->kind == LUNIK_STATE_KIND_BOOL && i < bytes; i++)
        if (at[i] > 1)
            return lunik_fail(r->err, LUNIK_E_INVALID, "%s.%s: 0 or 1 expected, got %u", r->table,
                              f->name, at[i]);
    memcpy((uint8_t *)shadow + f->offset, at, bytes);
    return 0;
}

static int get_header(struct reader *r, const lunik_state_table *t)
{
    uint64_t version = 0, count = 0, fields = 0;
    int rc = get_name(r, t->name);

    if (!rc)
        rc = get_number(r, "the version", 2, &version);
    if (!rc)
        rc = get_number(r, "the number of fields", 2, &count);
    if (rc)
        return rc;
    if (version < t->min_version || version > t->version)
        return lunik_fail(r->err, LUNIK_E_INVALID,
                          "%s: the state has version %u, versions %u to %u can be loaded", t->name,
                          (unsigned)version, t->min_version, t->version);
    for (const lunik_state_field *f = t->fields; f->name; f++)
        fields++;
    if (count != fields)
        return lunik_fail(r->err, LUNIK_E_INVALID, "%s: %u fields expected, got %u", t->name,
                          (unsigned)fields, (unsigned)count);
    return 0;
}

int state_decode(const lunik_state_table *t, const uint8_t *data, size_t size, void *shadow,
                 lunik_error *err)
{
    struct reader r = {data, size, t->name, err};
    int rc = get_header(&r, t);

    for (const lunik_state_field *f = t->fields; !rc && f->name; f++)
        rc = get_field(&r, f, shadow);
    if (!rc && r.left)
        rc = lunik_fail(err, LUNIK_E_INVALID, "%s: %zu bytes after the end of the state", t->name,
                        r.left);
    return rc;
}

void state_commit(const lunik_state_table *t, void *state, const void *shadow)
{
    for (const lunik_state_field *f = t->fields; f->name; f++)
        memcpy((uint8_t *)state + f->offset, (const uint8_t *)shadow + f->offset,
               f->count * kind_size(f->kind));
}
