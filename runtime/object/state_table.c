/* state_table.c: the kinds of fields, and whether a table makes sense. */
#include <string.h>

#include "state.h"

enum {
    NAME_MOST = 255,
    DEEPEST = 8, /* structs within structs: a table that contains itself is an error */
};

const lunik_state_table lunik_state_none = {.name = "none", .version = 1};

static const struct {
    const char *name;
    size_t bytes;
    bool integer;
} kinds[] = {
    [LUNIK_STATE_KIND_BOOL] = {"bool", 1, false},
    [LUNIK_STATE_KIND_U8] = {"u8", 1, true},
    [LUNIK_STATE_KIND_U16] = {"u16", 2, true},
    [LUNIK_STATE_KIND_U32] = {"u32", 4, true},
    [LUNIK_STATE_KIND_U64] = {"u64", 8, true},
    [LUNIK_STATE_KIND_INT] = {"int", 4, true},
    [LUNIK_STATE_KIND_I64] = {"i64", 8, true},
    [LUNIK_STATE_KIND_BITMAP] = {"bitmap", 8, false},
    [LUNIK_STATE_KIND_STRING] = {"string", 0, false},
    [LUNIK_STATE_KIND_TIME] = {"time", 8, false},
    [LUNIK_STATE_KIND_TIMER] = {"timer", 8, false},
    [LUNIK_STATE_KIND_LINE] = {"line", 1, false},
    [LUNIK_STATE_KIND_OBJECT] = {"object", 0, false},
    [LUNIK_STATE_KIND_STRUCT] = {"struct", 0, false},
};

static bool is_kind(unsigned kind)
{
    return kind && kind < sizeof(kinds) / sizeof(kinds[0]);
}

size_t state_kind_bytes(unsigned kind)
{
    return is_kind(kind) ? kinds[kind].bytes : 0;
}

const char *state_kind_name(unsigned kind)
{
    return is_kind(kind) ? kinds[kind].name : "unknown";
}

/* ---- elements ------------------------------------------------------------------------------- */

uint64_t state_get(const void *at, lunik_state_kind kind)
{
    switch (state_kind_bytes(kind)) {
    case 1:
        return __atomic_load_n((const uint8_t *)at, __ATOMIC_RELAXED);
    case 2:
        return __atomic_load_n((const uint16_t *)at, __ATOMIC_RELAXED);
    case 4:
        if (kind == LUNIK_STATE_KIND_INT)
            return (uint64_t)(int64_t)__atomic_load_n((const int32_t *)at, __ATOMIC_RELAXED);
        return __atomic_load_n((const uint32_t *)at, __ATOMIC_RELAXED);
    default:
        return __atomic_load_n((const uint64_t *)at, __ATOMIC_RELAXED);
    }
}

void state_put(void *at, lunik_state_kind kind, uint64_t value)
{
    switch (state_kind_bytes(kind)) {
    case 1:
        __atomic_store_n((uint8_t *)at, (uint8_t)value, __ATOMIC_RELAXED);
        break;
    case 2:
        __atomic_store_n((uint16_t *)at, (uint16_t)value, __ATOMIC_RELAXED);
        break;
    case 4:
        __atomic_store_n((uint32_t *)at, (uint32_t)value, __ATOMIC_RELAXED);
        break;
    default:
        __atomic_store_n((uint64_t *)at, value, __ATOMIC_RELAXED);
    }
}

uint64_t state_count(const lunik_state_field *f, const void *state)
{
    return f->counter_kind ? state_get((const char *)state + f->counter, f->counter_kind)
                           : f->count;
}

void *state_elements(const lunik_state_field *f, const void *state)
{
    char *at = (char *)state + f->offset;

    return f->flags & LUNIK_STATE_POINTER ? *(void **)at : at;
}

/* ---- checks of a table ---------------------------------------------------------------------- */

static bool name_fits(const char *name)
{
    return name && *name && strlen(name) <= NAME_MOST;
}

/* Returns the bytes that the field takes in the struct, 0 if the size overflows. */
static size_t field_size(const lunik_state_field *f)
{
    size_t size;

    if (f->flags & LUNIK_STATE_POINTER)
        return sizeof(void *);
    return __builtin_mul_overflow(f->count, f->stride, &size) ? 0 : size;
}

/* Returns the required stride of elements of the kind, 0 if any stride is allowed. */
static size_t kind_stride(lunik_state_kind kind)
{
    switch (kind) {
    case LUNIK_STATE_KIND_TIMER:
        return sizeof(lunik_timer);
    case LUNIK_STATE_KIND_LINE:
        return sizeof(lunik_irq);
    case LUNIK_STATE_KIND_OBJECT:
        return sizeof(lunik_object *);
    default:
        return state_kind_bytes(kind);
    }
}

static bool has_counter(const lunik_state_table *t, const lunik_state_field *f)
{
    for (const lunik_state_field *c = t->fields; c != f; c++)
        if (c->offset == f->counter && c->kind == f->counter_kind && c->count == 1 &&
            !c->counter_kind && is_kind(c->kind) && kinds[c->kind].integer && c->since <= f->since)
            return true;
    return false;
}

/* Returns the end of a message that says what is wrong with a field, or NULL. */
static const char *field_fault(const lunik_state_table *t, const lunik_state_field *f)
{
    size_t size = field_size(f), stride = kind_stride(f->kind);
    bool pointer = f->flags & LUNIK_STATE_POINTER, integer;

    if (!is_kind(f->kind))
        return "has no kind";
    integer = kinds[f->kind].integer;
    if (!f->count || f->count > UINT32_MAX || !f->stride || (stride && stride != f->stride))
        return "has no elements of its kind";
    if (!size || f->offset > t->size || size > t->size - f->offset)
        return "does not lie in the struct";
    if (f->counter_kind && !has_counter(t, f))
        return "its counter is no integer that is saved before it";
    if (pointer && (!f->counter_kind || !integer))
        return "a pointer needs a counter, and integers to point to";
    if (f->flags & LUNIK_STATE_SAME &&
        (f->counter_kind || !(integer || f->kind == LUNIK_STATE_KIND_BOOL)))
        return "only integers and bools can be required to be the same";
    if (f->kind == LUNIK_STATE_KIND_BITMAP && (f->limit == 0 || f->limit > f->count * 64))
        return "has not as many bits";
    if (f->kind == LUNIK_STATE_KIND_STRUCT && (!f->table || f->table->size != f->stride))
        return "has no table of its size";
    if (f->since > t->version)
        return "comes with a later version";
    for (const lunik_state_field *other = t->fields; other != f; other++)
        if (!strcmp(other->name, f->name))
            return "is in the table twice";
    return NULL;
}

static int check_table(const lunik_state_table *t, const char *what, size_t size, unsigned depth,
                       lunik_error *err);

static int check_fields(const lunik_state_table *t, const char *what, unsigned depth,
                        lunik_error *err)
{
    size_t count = 0;
    int rc = 0;

    for (const lunik_state_field *f = t->fields; !rc && f && f->name; f++) {
        const char *fault = name_fits(f->name) ? field_fault(t, f) : "has a bad name";

        if (fault || ++count > UINT16_MAX)
            rc = lunik_fail(err, LUNIK_E_INVALID, "type %s: state: %s.%.64s: %s", what, t->name,
                            f->name, fault ? fault : "is one field too many");
        else if (f->kind == LUNIK_STATE_KIND_STRUCT)
            rc = check_table(f->table, what, f->stride, depth + 1, err);
    }
    return rc;
}

static int check_sections(const lunik_state_table *t, const char *what, unsigned depth,
                          lunik_error *err)
{
    int rc = 0;

    for (size_t i = 0; !rc && t->sections && t->sections[i]; i++) {
        const lunik_state_table *section = t->sections[i];

        rc = check_table(section, what, t->size, depth + 1, err);
        for (size_t j = 0; !rc && j < i; j++)
            if (!strcmp(section->name, t->sections[j]->name))
                rc = lunik_fail(err, LUNIK_E_INVALID, "type %s: state: section %s is there twice",
                                what, section->name);
        if (!rc && !section->needed)
            rc = lunik_fail(err, LUNIK_E_INVALID, "type %s: state: section %s: needed is NULL",
                            what, section->name);
    }
    return rc;
}

static int check_table(const lunik_state_table *t, const char *what, size_t size, unsigned depth,
                       lunik_error *err)
{
    int rc;

    if (depth > DEEPEST)
        return lunik_fail(err, LUNIK_E_INVALID, "type %s: state: tables are nested too deeply",
                          what);
    if (!name_fits(t->name))
        return lunik_fail(err, LUNIK_E_INVALID, "type %s: state: a table has a bad name", what);
    if (!t->version || t->min_version > t->version)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "type %s: state: %s: versions %u to %u are no range (want 1 or more)",
                          what, t->name, t->min_version, t->version);
    if (t->size != size)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "type %s: state: %s: its struct has %zu bytes, not %zu", what, t->name,
                          size, t->size);
    rc = check_fields(t, what, depth, err);
    return rc ? rc : check_sections(t, what, depth, err);
}

int state_check_table(const lunik_state_table *t, const char *what, size_t size, lunik_error *err)
{
    return t == &lunik_state_none ? 0 : check_table(t, what, size, 0, err);
}
