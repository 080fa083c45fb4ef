/* state_load.c: bytes to staged copies of state structs, by their tables; the bytes may be
 * anything.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "state.h"

enum { NAME_SHOWN = 64 }; /* bytes of a name from the input, in an error */

/* ---- the input ------------------------------------------------------------------------------ */

/* Returns the next bytes; NULL, with the error set, if there are not as many. */
static const uint8_t *get(struct state_reader *r, const char *what, size_t bytes)
{
    const uint8_t *at = r->data;

    if (r->left < bytes) {
        lunik_fail(r->err, LUNIK_E_INVALID, "the state ends in %s: %zu bytes expected, %zu left",
                   what, bytes, r->left);
        return NULL;
    }
    r->data += bytes;
    r->left -= bytes;
    return at;
}

int state_get_number(struct state_reader *r, const char *what, size_t bytes, uint64_t *out)
{
    const uint8_t *at = get(r, what, bytes);

    *out = 0;
    if (!at)
        return LUNIK_E_INVALID;
    for (size_t i = 0; i < bytes; i++)
        *out |= (uint64_t)at[i] << (8 * i);
    return 0;
}

static int get_text(struct state_reader *r, const char *what, size_t bytes, struct state_name *out)
{
    uint64_t length;
    int rc = state_get_number(r, what, bytes, &length);
    const uint8_t *at = rc ? NULL : get(r, what, (size_t)length);

    *out = (struct state_name){"", 0, 0};
    if (!at)
        return LUNIK_E_INVALID;
    if (memchr(at, 0, (size_t)length))
        return lunik_fail(r->err, LUNIK_E_INVALID, "there is a zero byte in %s", what);
    *out = (struct state_name){(const char *)at, length < NAME_SHOWN ? (int)length : NAME_SHOWN,
                               (size_t)length};
    return 0;
}

int state_get_name(struct state_reader *r, const char *what, struct state_name *out)
{
    return get_text(r, what, 1, out);
}

bool state_name_is(const struct state_name *name, const char *text)
{
    return name->length == strlen(text) && !memcmp(name->text, text, name->length);
}

int state_get_format(struct state_reader *r, const struct state_format *format)
{
    size_t size = strlen(format->word);
    uint64_t version;
    int rc;

    if (r->left < size || memcmp(r->data, format->word, size) != 0)
        return lunik_fail(r->err, LUNIK_E_INVALID, "these bytes are not the state of %s",
                          format->what);
    r->data += size;
    r->left -= size;
    rc = state_get_number(r, "the version of the format", 2, &version);
    if (!rc && version != format->version)
        rc = lunik_fail(r->err, LUNIK_E_INVALID, "the format has version %u (want %u)",
                        (unsigned)version, format->version);
    return rc;
}

int state_get_end(const struct state_reader *r)
{
    return r->left ? lunik_fail(r->err, LUNIK_E_INVALID, "%zu bytes after the end", r->left) : 0;
}

/* Splits off the next bytes, as many as the number before them says. */
static int get_part(struct state_reader *r, const char *what, struct state_reader *out)
{
    uint64_t size;
    int rc = state_get_number(r, what, 4, &size);
    const uint8_t *at = rc ? NULL : get(r, what, (size_t)size);

    if (!at)
        return LUNIK_E_INVALID;
    *out = (struct state_reader){at, (size_t)size, r->now, r->err};
    return 0;
}

static int check_end(const struct state_reader *r)
{
    return r->left ? lunik_fail(r->err, LUNIK_E_INVALID, "%zu bytes too many", r->left) : 0;
}

/* ---- elements ------------------------------------------------------------------------------- */

static int load_body(struct state_reader *r, const lunik_state_table *t, const void *state,
                     void *staged);

static int check_number(struct state_reader *r, const lunik_state_field *f, uint64_t value,
                        size_t index)
{
    uint64_t past;

    if (f->kind == LUNIK_STATE_KIND_BOOL || f->kind == LUNIK_STATE_KIND_LINE)
        return value > 1 ? lunik_fail(r->err, LUNIK_E_INVALID, "%u is not 0 or 1", (unsigned)value)
                         : 0;
    if (!f->limit)
        return 0;
    if (f->kind == LUNIK_STATE_KIND_BITMAP) {
        past = f->limit > index * 64 ? f->limit - index * 64 : 0;
        return past < 64 && value >> past
                   ? lunik_fail(r->err, LUNIK_E_INVALID,
                                "a bit beyond the first %" PRIu64 " is set", f->limit)
                   : 0;
    }
    if (value >= f->limit)
        return lunik_fail(r->err, LUNIK_E_INVALID,
                          "%" PRId64 " is out of range (want 0 to %" PRIu64 ")", (int64_t)value,
                          f->limit - 1);
    return 0;
}

/* Returns now + left, limited to valid points in time. */
static uint64_t time_after(uint64_t now, int64_t left)
{
    if (left == INT64_MAX)
        return UINT64_MAX;
    if (left < 0)
        return now > 0 - (uint64_t)left ? now + (uint64_t)left : 0;
    return now < UINT64_MAX - 1 - (uint64_t)left ? now + (uint64_t)left : UINT64_MAX - 1;
}

static int load_number(struct state_reader *r, const lunik_state_field *f, char *at, size_t index)
{
    uint64_t value;
    int rc = state_get_number(r, "a number", state_kind_bytes(f->kind), &value);

    if (!rc && f->kind == LUNIK_STATE_KIND_INT)
        value = (uint64_t)(int64_t)(int32_t)value;
    if (!rc)
        rc = check_number(r, f, value, index);
    if (rc)
        return rc;
    switch (f->kind) {
    case LUNIK_STATE_KIND_TIME:
        state_put(at, f->kind, time_after(r->now, (int64_t)value));
        break;
    case LUNIK_STATE_KIND_TIMER:
        ((lunik_timer *)at)->deadline = time_after(r->now, (int64_t)value);
        break;
    case LUNIK_STATE_KIND_LINE:
        ((lunik_irq *)at)->level = value;
        break;
    default:
        state_put(at, f->kind, value);
    }
    return 0;
}

static int load_string(struct state_reader *r, const lunik_state_field *f, char *at)
{
    struct state_name text;
    int rc = get_text(r, "a text", 2, &text);

    if (rc)
        return rc;
    if (text.length >= f->stride)
        return lunik_fail(r->err, LUNIK_E_INVALID, "a text of %zu bytes (want at most %zu)",
                          text.length, f->stride - 1);
    memcpy(at, text.text, text.length);
    return 0;
}

/* Fails unless the pointer in this machine and the one in the state name the same object, by path.
 */
static int check_object(struct state_reader *r, const char *state)
{
    const lunik_object *o = *(lunik_object *const *)state;
    const char *here = o ? lunik_object_path(o) : "";
    struct state_name path;
    int rc = get_text(r, "a path", 2, &path);

    if (rc || state_name_is(&path, here))
        return rc;
    return lunik_fail(r->err, LUNIK_E_INVALID, "'%.*s' in the state, '%s' in this machine",
                      path.shown, path.text, here);
}

static int load_element(struct state_reader *r, const lunik_state_field *f, const char *state,
                        char *staged, size_t index)
{
    switch (f->kind) {
    case LUNIK_STATE_KIND_STRING:
        return load_string(r, f, staged);
    case LUNIK_STATE_KIND_OBJECT:
        return check_object(r, state);
    case LUNIK_STATE_KIND_STRUCT:
        return load_body(r, f->table, state, staged);
    default:
        return load_number(r, f, staged, index);
    }
}

/* Fails if a field with LUNIK_STATE_SAME has another value in the state than in this machine. */
static int check_same(struct state_reader *r, const lunik_state_field *f, const char *state,
                      const char *staged)
{
    uint64_t here, loaded;

    if (!(f->flags & LUNIK_STATE_SAME))
        return 0;
    here = state_get(state, f->kind);
    loaded = state_get(staged, f->kind);
    return here == loaded ? 0
                          : lunik_fail(r->err, LUNIK_E_INVALID,
                                       "%" PRId64 " in the state, %" PRId64 " in this machine",
                                       (int64_t)loaded, (int64_t)here);
}

static int load_elements(struct state_reader *r, const lunik_state_field *f, const char *state,
                         char *staged, size_t count)
{
    int rc = 0;

    for (size_t i = 0; !rc && i < count; i++) {
        rc = load_element(r, f, state + i * f->stride, staged + i * f->stride, i);
        if (!rc)
            rc = check_same(r, f, state + i * f->stride, staged + i * f->stride);
        if (rc && f->count > 1)
            lunik_fail_prefix(r->err, rc, "[%zu]", i);
    }
    return rc ? rc : check_end(r);
}

/* ---- fields --------------------------------------------------------------------------------- */

static bool has_field(const lunik_state_table *t, const struct state_name *name)
{
    for (const lunik_state_field *f = t->fields; f && f->name; f++)
        if (state_name_is(name, f->name))
            return true;
    return false;
}

static int check_name(struct state_reader *r, const lunik_state_table *t, const char *want)
{
    struct state_name name;
    int rc = state_get_name(r, want ? want : "the name of a field", &name);

    if (rc || (want && state_name_is(&name, want)))
        return rc;
    if (!has_field(t, &name))
        return lunik_fail(r->err, LUNIK_E_INVALID, "'%.*s' is not a known field", name.shown,
                          name.text);
    return want ? lunik_fail(r->err, LUNIK_E_INVALID, "the field '%s' expected, '%.*s' found", want,
                             name.shown, name.text)
                : lunik_fail(r->err, LUNIK_E_INVALID, "the field '%.*s' is there twice", name.shown,
                             name.text);
}

/* Reads the kind and the number of elements, and checks both against the table. */
static int check_shape(struct state_reader *r, const lunik_state_field *f, const void *staged,
                       size_t *out)
{
    uint64_t kind, count, want = state_count(f, staged);
    int rc = state_get_number(r, "the kind", 1, &kind);

    if (!rc)
        rc = state_get_number(r, "the number of elements", 4, &count);
    if (rc)
        return rc;
    if (kind != (uint64_t)f->kind)
        return lunik_fail(r->err, LUNIK_E_INVALID, "kind %s expected, kind %u (%s) found",
                          state_kind_name(f->kind), (unsigned)kind,
                          state_kind_name((unsigned)kind));
    if (want > f->count)
        return lunik_fail(r->err, LUNIK_E_INVALID, "%" PRIu64 " elements (want at most %zu)", want,
                          f->count);
    if (count != want)
        return lunik_fail(r->err, LUNIK_E_INVALID,
                          "%" PRIu64 " elements expected, %" PRIu64 " found", want, count);
    *out = (size_t)count;
    return 0;
}

/* Allocates the elements of a pointer field. Only if the input has as many bytes, so that a bad
 * count can't demand much memory. */
static int make_room(struct state_reader *r, const lunik_state_field *f, size_t count, void *staged)
{
    void **pointer = (void **)((char *)staged + f->offset);

    if (!(f->flags & LUNIK_STATE_POINTER) || !count || count * f->stride != r->left)
        return 0;
    *pointer = calloc(count, f->stride);
    return *pointer ? 0
                    : lunik_fail(r->err, LUNIK_E_NO_MEMORY, "no memory for %zu elements", count);
}

static int load_field(struct state_reader *r, const lunik_state_field *f, const void *state,
                      void *staged)
{
    struct state_reader part;
    size_t count = 0;
    char *room;
    int rc = check_shape(r, f, staged, &count);

    if (!rc)
        rc = get_part(r, "the elements", &part);
    if (!rc)
        rc = make_room(&part, f, count, staged);
    room = rc ? NULL : state_elements(f, staged);
    if (!rc && count && !room)
        rc = lunik_fail(r->err, LUNIK_E_INVALID, "%zu bytes of elements expected, %zu found",
                        count * f->stride, part.left);
    if (!rc)
        rc = load_elements(&part, f, state_elements(f, state), room, count);
    return rc ? lunik_fail_prefix(r->err, rc, "%s", f->name) : 0;
}

/* Reads the fields that the table has in this version, in its order. */
static int load_fields(struct state_reader *r, const lunik_state_table *t, uint16_t version,
                       const void *state, void *staged)
{
    uint64_t count;
    int rc = state_get_number(r, "the number of fields", 2, &count);

    for (const lunik_state_field *f = t->fields; !rc && f && f->name; f++) {
        if (f->since > version)
            continue;
        if (!count)
            return lunik_fail(r->err, LUNIK_E_INVALID, "the field '%s' is missing", f->name);
        count--;
        rc = check_name(r, t, f->name);
        if (!rc)
            rc = load_field(r, f, state, staged);
    }
    return rc || !count ? rc : check_name(r, t, NULL);
}

/* ---- tables --------------------------------------------------------------------------------- */

/* Points in time that nothing is loaded into are never. */
static void clear_times(const lunik_state_table *t, void *staged)
{
    for (const lunik_state_field *f = t->fields; f && f->name; f++) {
        char *at = (char *)staged + f->offset;

        for (size_t i = 0; i < f->count && f->kind == LUNIK_STATE_KIND_TIME; i++)
            state_put(at + i * f->stride, f->kind, UINT64_MAX);
        for (size_t i = 0; i < f->count && f->kind == LUNIK_STATE_KIND_TIMER; i++)
            ((lunik_timer *)(at + i * f->stride))->deadline = UINT64_MAX;
        for (size_t i = 0; i < f->count && f->kind == LUNIK_STATE_KIND_STRUCT; i++)
            clear_times(f->table, at + i * f->stride);
    }
    for (size_t i = 0; t->sections && t->sections[i]; i++)
        clear_times(t->sections[i], staged);
}

static void set_absent(const lunik_state_table *t, void *staged, const void *state)
{
    if (t->absent)
        t->absent(staged, state);
    for (size_t i = 0; t->sections && t->sections[i]; i++)
        set_absent(t->sections[i], staged, state);
}

static int load_part(struct state_reader *r, const lunik_state_table *t, const void *state,
                     void *staged)
{
    struct state_reader part;
    int rc = get_part(r, "a section", &part);

    if (!rc)
        rc = load_body(&part, t, state, staged);
    if (!rc)
        rc = check_end(&part);
    return rc ? lunik_fail_prefix(r->err, rc, "%s", t->name) : 0;
}

/* Reads the sections in the input, which must be in the table's order; each may be absent. */
static int load_sections(struct state_reader *r, const lunik_state_table *t, const void *state,
                         void *staged)
{
    const lunik_state_table *const *next = t->sections;
    struct state_name name;
    uint64_t count;
    int rc = state_get_number(r, "the number of sections", 2, &count);

    for (; !rc && count; count--) {
        rc = state_get_name(r, "the name of a section", &name);
        if (rc)
            return rc;
        for (; next && *next && !state_name_is(&name, (*next)->name); next++)
            set_absent(*next, staged, state);
        if (!next || !*next)
            return lunik_fail(r->err, LUNIK_E_INVALID,
                              "'%.*s' is not a known section, or not in its place", name.shown,
                              name.text);
        rc = load_part(r, *next++, state, staged);
    }
    for (; !rc && next && *next; next++)
        set_absent(*next, staged, state);
    return rc;
}

static int load_body(struct state_reader *r, const lunik_state_table *t, const void *state,
                     void *staged)
{
    unsigned oldest = t->min_version ? t->min_version : t->version;
    uint64_t version;
    int rc = state_get_number(r, "the version", 2, &version);

    if (rc)
        return rc;
    if (version < oldest || version > t->version)
        return lunik_fail(r->err, LUNIK_E_INVALID,
                          "the state has version %u, versions %u to %u can be loaded",
                          (unsigned)version, oldest, t->version);
    rc = load_fields(r, t, (uint16_t)version, state, staged);
    if (!rc)
        rc = load_sections(r, t, state, staged);
    if (!rc && t->post_load)
        rc = t->post_load(staged, state, (uint16_t)version, r->err);
    return rc;
}

int state_stage(const lunik_state_table *t, const void *state, struct state_reader *r,
                void **staged)
{
    struct state_name name;
    int rc = state_get_name(r, "the name of a section", &name);

    *staged = NULL;
    if (rc)
        return rc;
    if (!state_name_is(&name, t->name))
        return lunik_fail(r->err, LUNIK_E_INVALID, "the section '%s' expected, '%.*s' found",
                          t->name, name.shown, name.text);
    *staged = calloc(1, t->size);
    if (!*staged)
        return lunik_fail(r->err, LUNIK_E_NO_MEMORY, "%s: no memory for %zu bytes", t->name,
                          t->size);
    clear_times(t, *staged);
    return load_part(r, t, state, *staged);
}
