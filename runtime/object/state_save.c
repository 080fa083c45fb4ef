/* state_save.c: state structs to bytes, by their tables. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/grow.h"
#include "state.h"

enum { STRING_MOST = UINT16_MAX };

/* ---- the buffer ----------------------------------------------------------------------------- */

static int reserve(lunik_state_buffer *b, size_t more, lunik_error *err)
{
    if (more > SIZE_MAX - b->size || !grow((void **)&b->data, &b->capacity, b->size + more, 1))
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "no memory for %zu bytes of state", more);
    return 0;
}

void lunik_state_buffer_free(lunik_state_buffer *b)
{
    LUNIK_NOT_NULL(b);

    free(b->data);
    *b = (lunik_state_buffer){0};
}

static void set_number(uint8_t *at, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

int state_put_number(lunik_state_buffer *b, uint64_t value, size_t bytes, lunik_error *err)
{
    int rc = reserve(b, bytes, err);

    if (rc)
        return rc;
    set_number(b->data + b->size, value, bytes);
    b->size += bytes;
    return 0;
}

static int put_bytes(lunik_state_buffer *b, const void *data, size_t size, lunik_error *err)
{
    int rc = reserve(b, size, err);

    if (rc)
        return rc;
    memcpy(b->data + b->size, data, size);
    b->size += size;
    return 0;
}

int state_put_name(lunik_state_buffer *b, const char *name, lunik_error *err)
{
    size_t length = strlen(name);
    int rc = state_put_number(b, length, 1, err);

    return rc ? rc : put_bytes(b, name, length, err);
}

int state_put_format(lunik_state_buffer *b, const struct state_format *format, lunik_error *err)
{
    int rc = put_bytes(b, format->word, strlen(format->word), err);

    return rc ? rc : state_put_number(b, format->version, 2, err);
}

/* ---- elements ------------------------------------------------------------------------------- */

struct saver {
    lunik_state_buffer *out;
    uint64_t now;
    lunik_error *err;
};

static int save_body(struct saver *s, const lunik_state_table *t, const void *state);

static int save_string(struct saver *s, const char *text, size_t most)
{
    size_t length = strnlen(text, most);
    int rc;

    if (length > STRING_MOST)
        return lunik_fail(s->err, LUNIK_E_INVALID, "a text of %zu bytes is too long", length);
    rc = state_put_number(s->out, length, 2, s->err);
    return rc ? rc : put_bytes(s->out, text, length, s->err);
}

/* Returns then - now, limited to the range of int64_t; INT64_MAX: never. */
static int64_t time_left(uint64_t now, uint64_t then)
{
    if (then == UINT64_MAX)
        return INT64_MAX;
    if (then >= now)
        return then - now < INT64_MAX ? (int64_t)(then - now) : INT64_MAX - 1;
    return now - then < INT64_MAX ? -(int64_t)(now - then) : INT64_MIN;
}

static int save_element(struct saver *s, const lunik_state_field *f, const char *at)
{
    const lunik_object *o;

    switch (f->kind) {
    case LUNIK_STATE_KIND_STRING:
        return save_string(s, at, f->stride);
    case LUNIK_STATE_KIND_OBJECT:
        o = *(lunik_object *const *)at;
        return save_string(s, o ? lunik_object_path(o) : "", SIZE_MAX);
    case LUNIK_STATE_KIND_STRUCT:
        return save_body(s, f->table, at);
    case LUNIK_STATE_KIND_TIME:
        return state_put_number(s->out, (uint64_t)time_left(s->now, state_get(at, f->kind)), 8,
                                s->err);
    case LUNIK_STATE_KIND_TIMER:
        return state_put_number(
            s->out, (uint64_t)time_left(s->now, ((const lunik_timer *)at)->deadline), 8, s->err);
    case LUNIK_STATE_KIND_LINE:
        return state_put_number(s->out, ((const lunik_irq *)at)->level, 1, s->err);
    default:
        return state_put_number(s->out, state_get(at, f->kind), state_kind_bytes(f->kind), s->err);
    }
}

static int save_elements(struct saver *s, const lunik_state_field *f, const void *state,
                         uint64_t count)
{
    const char *elements = state_elements(f, state);
    int rc = 0;

    for (uint64_t i = 0; !rc && i < count; i++)
        rc = save_element(s, f, elements + i * f->stride);
    return rc;
}

/* Sets the four bytes at `at` to the number of those that follow them. */
static int set_size(struct saver *s, size_t at)
{
    size_t size = s->out->size - at - 4;

    if (size > UINT32_MAX)
        return lunik_fail(s->err, LUNIK_E_INVALID, "%zu bytes are too many", size);
    set_number(s->out->data + at, size, 4);
    return 0;
}

static int save_field(struct saver *s, const lunik_state_field *f, const void *state)
{
    uint64_t count = state_count(f, state);
    size_t at = 0;
    int rc = 0;

    if (count > f->count || (count && !state_elements(f, state)))
        rc = lunik_fail(s->err, LUNIK_E_STATE, "%" PRIu64 " elements, of at most %zu", count,
                        f->count);
    if (!rc)
        rc = state_put_name(s->out, f->name, s->err);
    if (!rc)
        rc = state_put_number(s->out, f->kind, 1, s->err);
    if (!rc)
        rc = state_put_number(s->out, count, 4, s->err);
    at = s->out->size;
    if (!rc)
        rc = state_put_number(s->out, 0, 4, s->err);
    if (!rc)
        rc = save_elements(s, f, state, count);
    if (!rc)
        rc = set_size(s, at);
    return rc ? lunik_fail_prefix(s->err, rc, "%s", f->name) : 0;
}

/* ---- tables --------------------------------------------------------------------------------- */

static int save_section(struct saver *s, const lunik_state_table *t, const void *state)
{
    int rc = state_put_name(s->out, t->name, s->err);
    size_t at = s->out->size;

    if (!rc)
        rc = state_put_number(s->out, 0, 4, s->err);
    if (!rc)
        rc = save_body(s, t, state);
    if (!rc)
        rc = set_size(s, at);
    return rc ? lunik_fail_prefix(s->err, rc, "%s", t->name) : 0;
}

static int save_sections(struct saver *s, const lunik_state_table *t, const void *state)
{
    size_t count = 0;
    int rc;

    for (size_t i = 0; t->sections && t->sections[i]; i++)
        count += t->sections[i]->needed(state);
    rc = state_put_number(s->out, count, 2, s->err);
    for (size_t i = 0; !rc && t->sections && t->sections[i]; i++)
        if (t->sections[i]->needed(state))
            rc = save_section(s, t->sections[i], state);
    return rc;
}

static int save_body(struct saver *s, const lunik_state_table *t, const void *state)
{
    size_t count = 0;
    int rc = state_put_number(s->out, t->version, 2, s->err);

    for (const lunik_state_field *f = t->fields; f && f->name; f++)
        count++;
    if (!rc)
        rc = state_put_number(s->out, count, 2, s->err);
    for (const lunik_state_field *f = t->fields; !rc && f && f->name; f++)
        rc = save_field(s, f, state);
    return rc ? rc : save_sections(s, t, state);
}

/* Outer tables first: they may count the inner structs. */
static int prepare(const lunik_state_table *t, void *state, lunik_error *err)
{
    int rc = t->pre_save ? t->pre_save(state, err) : 0;

    for (const lunik_state_field *f = t->fields; !rc && f && f->name; f++) {
        uint64_t count = f->kind == LUNIK_STATE_KIND_STRUCT ? state_count(f, state) : 0;
        char *elements = (char *)state + f->offset;

        for (uint64_t i = 0; !rc && i < count && i < f->count; i++)
            rc = prepare(f->table, elements + i * f->stride, err);
    }
    for (size_t i = 0; !rc && t->sections && t->sections[i]; i++)
        if (t->sections[i]->needed(state))
            rc = prepare(t->sections[i], state, err);
    return rc;
}

int state_save(const lunik_state_table *t, void *state, uint64_t now, lunik_state_buffer *out,
               lunik_error *err)
{
    struct saver s = {out, now, err};
    size_t size = out->size;
    int rc = prepare(t, state, err);

    if (rc)
        return lunik_fail_prefix(err, rc, "%s", t->name);
    rc = save_section(&s, t, state);
    if (rc)
        out->size = size;
    return rc;
}
