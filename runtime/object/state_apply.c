/* state_apply.c: puts staged copies of state structs in place of the current values. */
#include <stdlib.h>
#include <string.h>

#include "state.h"

static void exchange_bytes(char *a, char *b, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        char kept = a[i];

        a[i] = b[i];
        b[i] = kept;
    }
}

static void exchange_numbers(const lunik_state_field *f, char *a, char *b)
{
    for (size_t i = 0; i < f->count; i++, a += f->stride, b += f->stride) {
        uint64_t kept = state_get(a, f->kind);

        state_put(a, f->kind, state_get(b, f->kind));
        state_put(b, f->kind, kept);
    }
}

/* Elements of a counted array that are not in use are zeros in the staged copy. */
static void exchange_field(const lunik_state_field *f, char *a, char *b)
{
    if (f->flags & LUNIK_STATE_SAME)
        return;
    if (f->flags & LUNIK_STATE_POINTER) {
        exchange_bytes(a, b, sizeof(void *));
        return;
    }
    switch (f->kind) {
    case LUNIK_STATE_KIND_TIMER:
    case LUNIK_STATE_KIND_LINE:
    case LUNIK_STATE_KIND_OBJECT:
        break;
    case LUNIK_STATE_KIND_STRING:
        exchange_bytes(a, b, f->stride * f->count);
        break;
    case LUNIK_STATE_KIND_STRUCT:
        for (size_t i = 0; i < f->count; i++)
            state_exchange(f->table, a + i * f->stride, b + i * f->stride);
        break;
    default:
        exchange_numbers(f, a, b);
    }
}

void state_exchange(const lunik_state_table *t, void *state, void *staged)
{
    for (const lunik_state_field *f = t->fields; f && f->name; f++)
        exchange_field(f, (char *)state + f->offset, (char *)staged + f->offset);
    for (size_t i = 0; t->sections && t->sections[i]; i++)
        state_exchange(t->sections[i], state, staged);
}

int state_map(const lunik_state_table *t, void *state, lunik_error *err)
{
    int rc = 0;

    for (const lunik_state_field *f = t->fields; !rc && f && f->name; f++) {
        uint64_t count = f->kind == LUNIK_STATE_KIND_STRUCT ? state_count(f, state) : 0;

        for (uint64_t i = 0; !rc && i < count; i++)
            rc = state_map(f->table, (char *)state + f->offset + i * f->stride, err);
    }
    for (size_t i = 0; !rc && t->sections && t->sections[i]; i++)
        rc = state_map(t->sections[i], state, err);
    if (!rc && t->map)
        rc = t->map(state, err);
    return rc;
}

static void set_output(const lunik_state_field *f, char *state, const char *staged);

/* All elements of counted arrays: the timers of those that are not in use are idle. */
static void set_outputs(const lunik_state_table *t, char *state, const char *staged)
{
    for (const lunik_state_field *f = t->fields; f && f->name; f++)
        for (size_t i = 0; i < f->count && !(f->flags & LUNIK_STATE_POINTER); i++)
            set_output(f, state + f->offset + i * f->stride, staged + f->offset + i * f->stride);
    for (size_t i = 0; t->sections && t->sections[i]; i++)
        set_outputs(t->sections[i], state, staged);
}

static void set_output(const lunik_state_field *f, char *state, const char *staged)
{
    if (f->kind == LUNIK_STATE_KIND_TIMER)
        lunik_timer_set((lunik_timer *)state, ((const lunik_timer *)staged)->deadline);
    else if (f->kind == LUNIK_STATE_KIND_LINE)
        lunik_irq_set((lunik_irq *)state, ((const lunik_irq *)staged)->level);
    else if (f->kind == LUNIK_STATE_KIND_STRUCT)
        set_outputs(f->table, state, staged);
}

static void call_loaded(const lunik_state_table *t, void *state)
{
    for (const lunik_state_field *f = t->fields; f && f->name; f++) {
        uint64_t count = f->kind == LUNIK_STATE_KIND_STRUCT ? state_count(f, state) : 0;

        for (uint64_t i = 0; i < count; i++)
            call_loaded(f->table, (char *)state + f->offset + i * f->stride);
    }
    for (size_t i = 0; t->sections && t->sections[i]; i++)
        call_loaded(t->sections[i], state);
    if (t->loaded)
        t->loaded(state);
}

void state_finish(const lunik_state_table *t, void *state, const void *staged)
{
    set_outputs(t, state, staged);
    call_loaded(t, state);
}

static void free_pointers(const lunik_state_table *t, char *staged)
{
    for (const lunik_state_field *f = t->fields; f && f->name; f++) {
        if (f->flags & LUNIK_STATE_POINTER)
            free(*(void **)(staged + f->offset));
        for (size_t i = 0; i < f->count && f->kind == LUNIK_STATE_KIND_STRUCT; i++)
            free_pointers(f->table, staged + f->offset + i * f->stride);
    }
    for (size_t i = 0; t->sections && t->sections[i]; i++)
        free_pointers(t->sections[i], staged);
}

void state_discard(const lunik_state_table *t, void *staged)
{
    if (staged)
        free_pointers(t, staged);
    free(staged);
}
