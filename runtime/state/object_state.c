/*
 * object_state.c: the state of an object, saved and loaded by the tables of its type and of the
 * ancestors of that, each of which is a section.
 */
#include <stdlib.h>

#include "core/changes.h"
#include "core/misuse.h"
#include "object/object.h"
#include "object/state.h"

static const struct state_format format = {"LUNIKOBJ", 1, "an object"};

enum { TABLES_MOST = 16 };

/* The tables of an object, the oldest ancestor's first, and what is staged for them. */
struct tables {
    size_t count;
    const lunik_state_table *table[TABLES_MOST];
    void *staged[TABLES_MOST];
};

static int find_tables(const lunik_object *o, struct tables *out, lunik_error *err)
{
    size_t count = 0, i;

    *out = (struct tables){0};
    if (!o->type->type->state)
        return lunik_fail(err, LUNIK_E_UNSUPPORTED, "its type has no state table");
    for (const struct type_entry *t = o->type; t; t = t->parent)
        count += t->type->state && t->type->state != &lunik_state_none;
    if (count > TABLES_MOST)
        return lunik_fail(err, LUNIK_E_UNSUPPORTED, "its type has more than %d state tables",
                          TABLES_MOST);
    i = out->count = count;
    for (const struct type_entry *t = o->type; t; t = t->parent)
        if (t->type->state && t->type->state != &lunik_state_none)
            out->table[--i] = t->type->state;
    return 0;
}

static int check_machine(const lunik_object *o, lunik_error *err)
{
    lunik_run_state state = lunik_machine_state(o->machine);

    if (o->state != OBJECT_ALIVE)
        return lunik_fail(err, LUNIK_E_GONE, "the object has been deleted");
    if (state != LUNIK_STATE_CREATED && state != LUNIK_STATE_PAUSED)
        return lunik_fail(err, LUNIK_E_STATE,
                          "machine '%s' is %s (want a machine that is created or paused)",
                          o->machine->name, lunik_state_name(state));
    if (lunik_in_transaction(o->machine) || lunik_in_listener(o->machine))
        return lunik_fail(err, LUNIK_E_STATE, "machine '%s' has a transaction open",
                          o->machine->name);
    return 0;
}

/* Takes the machine's turn, so that it stays as it is found. */
static int begin(lunik_object *o, struct tables *tables, lunik_error *err)
{
    int rc = turn_take(o->machine, err);

    if (rc)
        return rc;
    rc = check_machine(o, err);
    if (!rc)
        rc = find_tables(o, tables, err);
    if (rc)
        turn_end(o->machine);
    return rc;
}

/* ---- save ----------------------------------------------------------------------------------- */

static int save(lunik_object *o, const struct tables *tables, lunik_state_buffer *out,
                lunik_error *err)
{
    uint64_t now = lunik_clock_now(o->machine);
    int rc = state_put_format(out, &format, err);

    if (!rc)
        rc = state_put_name(out, o->type_name, err);
    if (!rc)
        rc = state_put_number(out, tables->count, 2, err);
    for (size_t i = 0; !rc && i < tables->count; i++)
        rc = state_save(tables->table[i], lunik_state(o), now, out, err);
    return rc;
}

int lunik_object_save(lunik_object *o, lunik_state_buffer *out, lunik_error *err)
{
    NOT_NULL_OR_FAIL(o, err);
    REQUIRE_OR_FAIL(lunik_locked(o->machine->rt), UNLOCKED, err);
    NOT_NULL_OR_FAIL(out, err);

    size_t size = out->size;
    struct tables tables;
    int rc = begin(o, &tables, err);

    if (!rc) {
        rc = save(o, &tables, out, err);
        turn_end(o->machine);
    }
    if (rc) {
        out->size = size;
        if (!size) /* callers need not free a buffer that has nothing */
            lunik_state_buffer_free(out);
        lunik_fail_prefix(err, rc, "the state of '%s' can't be saved", object_name(o));
    }
    return rc;
}

/* ---- load ----------------------------------------------------------------------------------- */

static int read_header(struct state_reader *r, const lunik_object *o, const struct tables *tables)
{
    struct state_name type;
    uint64_t count = 0;
    int rc = state_get_format(r, &format);

    if (!rc)
        rc = state_get_name(r, "the type", &type);
    if (rc)
        return rc;
    if (!state_name_is(&type, o->type_name))
        return lunik_fail(r->err, LUNIK_E_INVALID, "it is of the type '%.*s' (want '%s')",
                          type.shown, type.text, o->type_name);
    rc = state_get_number(r, "the number of sections", 2, &count);
    if (!rc && count != tables->count)
        rc = lunik_fail(r->err, LUNIK_E_INVALID, "%zu sections expected, %u found", tables->count,
                        (unsigned)count);
    return rc;
}

/* Decodes and checks all of it. */
static int stage(const lunik_object *o, struct tables *tables, struct state_reader *r)
{
    int rc = read_header(r, o, tables);

    for (size_t i = 0; !rc && i < tables->count; i++)
        rc = state_stage(tables->table[i], lunik_state(o), r, &tables->staged[i]);
    return rc ? rc : state_get_end(r);
}

static void exchange(lunik_object *o, struct tables *tables)
{
    for (size_t i = 0; i < tables->count; i++)
        state_exchange(tables->table[i], lunik_state(o), tables->staged[i]);
}

/* Fields and memory map, both or none. */
static int apply(lunik_object *o, struct tables *tables, lunik_error *err)
{
    lunik_cause cause = {
        .action = "load", .name = object_name(o), .detail = o->type_name, .vcpu = -1};
    int rc = 0;

    lunik_cause_push(&cause);
    lunik_transaction_begin(o->machine);
    exchange(o, tables);
    for (size_t i = 0; !rc && i < tables->count; i++)
        rc = state_map(tables->table[i], lunik_state(o), err);
    if (rc)
        lunik_transaction_abort(o->machine);
    else
        rc = lunik_transaction_commit(o->machine, err);
    if (rc)
        exchange(o, tables);
    lunik_cause_pop(&cause);
    return rc;
}

static int load(lunik_object *o, struct tables *tables, struct state_reader *r)
{
    int rc = stage(o, tables, r);

    if (!rc)
        rc = apply(o, tables, r->err);
    for (size_t i = 0; !rc && i < tables->count; i++)
        state_finish(tables->table[i], lunik_state(o), tables->staged[i]);
    for (size_t i = 0; i < tables->count; i++)
        state_discard(tables->table[i], tables->staged[i]);
    return rc;
}

int lunik_object_load(lunik_object *o, const void *data, size_t size, lunik_error *err)
{
    NOT_NULL_OR_FAIL(o, err);
    REQUIRE_OR_FAIL(lunik_locked(o->machine->rt), UNLOCKED, err);
    REQUIRE_OR_FAIL(data || !size, "data is NULL", err);

    struct state_reader r = {data, size, lunik_clock_now(o->machine), err};
    lunik_machine *m = o->machine;
    struct tables tables;
    int rc;

    lunik_object_ref(o); /* a subscriber to its lines may delete it */
    rc = begin(o, &tables, err);
    if (!rc) {
        rc = load(o, &tables, &r);
        turn_end(m);
    }
    if (rc)
        lunik_fail_prefix(err, rc, "the state of '%s' can't be loaded", object_name(o));
    lunik_object_unref(o);
    return rc;
}
