/* test_state.c: structs that are saved and loaded by their tables, and bytes that are none. */
#define _GNU_SOURCE /* memmem */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "check.h"
#include "state_sample.h"

enum { NOW = 1000000 };

static lunik_error err;

static int save_at(struct sample *s, uint64_t now, lunik_state_buffer *out)
{
    return state_save(&sample_table, s, now, out, &err);
}

static int load_at(const lunik_state_table *t, struct sample *s, uint64_t now, const uint8_t *data,
                   size_t size)
{
    struct state_reader r = {data, size, now, &err};
    void *staged = NULL;
    int rc = state_stage(t, s, &r, &staged);

    if (!rc && r.left)
        rc = lunik_fail(&err, LUNIK_E_INVALID, "%zu bytes after the end", r.left);
    if (!rc) {
        state_exchange(t, s, staged);
        state_finish(t, s, staged);
        s->timer.deadline = ((struct sample *)staged)->timer.deadline; /* it has no machine */
    }
    state_discard(t, staged);
    return rc;
}

static bool same(const lunik_state_buffer *a, const lunik_state_buffer *b)
{
    return a->size == b->size && memcmp(a->data, b->data, a->size) == 0;
}

/* ---- what is saved is loaded ---------------------------------------------------------------- */

static void check_fields(const struct sample *to, const struct sample *from)
{
    check_true("scalars", to->on == from->on && to->code == from->code && to->head == from->head &&
                              to->port == from->port && to->mask == from->mask &&
                              to->address == from->address && to->level == from->level &&
                              to->base == from->base && to->colour == from->colour &&
                              to->added == from->added);
    check_true("an array", !memcmp(to->fifo, from->fifo, sizeof(to->fifo)));
    check_true("a counted array",
               to->queued == from->queued && !memcmp(to->queue, from->queue, 2 * from->queued));
    for (unsigned i = from->queued; i < RING; i++)
        check_uint("  and zeros behind it", to->queue[i], 0);
    check_true("a bitmap", !memcmp(to->bits, from->bits, sizeof(to->bits)));
    check_string("a text", to->label, from->label);
    check_true("a buffer", to->blob_size == from->blob_size &&
                               (!to->blob_size || !memcmp(to->blob, from->blob, to->blob_size)));
    check_true("times", to->activity == from->activity && to->first.since == from->first.since &&
                            to->timer.deadline == from->timer.deadline);
    check_int("a line", to->irq.level, from->irq.level);
    check_true("structs",
               to->first.number == from->first.number && to->part_count == from->part_count);
    for (unsigned i = 0; i < from->part_count; i++)
        check_uint("  in a counted array", to->parts[i].number, from->parts[i].number);
    check_uint("a section, or what its absence means", to->extra,
               from->has_extra ? from->extra : 77);
}

static void round_trip(void)
{
    struct sample from, to;
    lunik_state_buffer first = {0}, second = {0};
    uint8_t scratch;

    random_sample(&from);
    random_sample(&to);
    scratch = to.scratch;
    check_int("save", save_at(&from, NOW, &first), 0);
    if (!check_int("load", load_at(&sample_table, &to, NOW, first.data, first.size), 0))
        printf("# %s\n", err.message);
    check_true("other fields stay", to.pointer == &to && to.scratch == scratch);
    check_fields(&to, &from);
    to.has_extra = from.has_extra;
    check_int("save again", save_at(&to, NOW, &second), 0);
    check_true("the same bytes", same(&first, &second));
    lunik_state_buffer_free(&first);
    lunik_state_buffer_free(&second);
    free(from.blob);
    free(to.blob);
}

/* A deadline is as far away by another clock as it was. */
static void times(void)
{
    struct sample s;
    lunik_state_buffer b = {0};

    random_sample(&s);
    s.activity = NOW - 300;
    s.first.since = UINT64_MAX;
    s.timer.deadline = NOW + 500;
    save_at(&s, NOW, &b);
    check_int("load by a later clock", load_at(&sample_table, &s, 7 * NOW, b.data, b.size), 0);
    check_uint("the past", s.activity, 7 * NOW - 300);
    check_uint("the future", s.timer.deadline, 7 * NOW + 500);
    check_uint("never", s.first.since, UINT64_MAX);
    check_int("load by an earlier one", load_at(&sample_table, &s, 100, b.data, b.size), 0);
    check_uint("not before the clock began", s.activity, 0);
    lunik_state_buffer_free(&b);
    free(s.blob);
}

/* A state of an older version has no field that came later. */
static void versions(void)
{
    static lunik_state_field old_fields[sizeof(sample_fields) / sizeof(sample_fields[0])];
    lunik_state_table old = sample_table;
    struct sample s;
    lunik_state_buffer b = {0};

    memcpy(old_fields, sample_fields, sizeof(old_fields));
    old_fields[sizeof(old_fields) / sizeof(old_fields[0]) - 2] = (lunik_state_field){0};
    old.version = 2;
    old.fields = old_fields;
    random_sample(&s);
    check_int("save the old version", state_save(&old, &s, NOW, &b, &err), 0);
    check_int("load it", load_at(&sample_table, &s, NOW, b.data, b.size), 0);
    check_uint("post_load sees the version", s.added, 33);
    lunik_state_buffer_free(&b);
    save_at(&s, NOW, &b);
    check_int("a newer version", load_at(&old, &s, NOW, b.data, b.size), LUNIK_E_INVALID);
    check_string("  is named", err.message,
                 "sample: the state has version 3, versions 2 to 2 can be loaded");
    lunik_state_buffer_free(&b);
    free(s.blob);
}

/* ---- bytes that are none -------------------------------------------------------------------- */

/* Loads a state in which `size` bytes have been replaced, at `at` behind the name of a field. */
static void refused_value(const char *field, int at, uint64_t value, size_t size, const char *text)
{
    char name[64];
    struct sample s, before;
    lunik_state_buffer b = {0};
    uint8_t *found;

    random_sample(&s);
    s.part_count = 3;
    save_at(&s, NOW, &b);
    snprintf(name, sizeof(name), "%c%s", (int)strlen(field), field);
    found = memmem(b.data, b.size, name, strlen(name));
    if (check_true(field, found != NULL))
        memcpy(found + strlen(name) + at, &value, size);
    before = s;
    check_int(field, load_at(&sample_table, &s, NOW, b.data, b.size), LUNIK_E_INVALID);
    check_contains(field, err.message, text);
    check_true("  leaves all as it was", !memcmp(&s, &before, sizeof(s)));
    lunik_state_buffer_free(&b);
    free(s.blob);
}

enum { KIND = 0, COUNT = 1, SIZE = 5, VALUE = 9 }; /* behind the name of a field */

static void refusals(void)
{
    refused_value("on", VALUE, 2, 1, "sample: on: 2 is not 0 or 1");
    refused_value("on", KIND, LUNIK_STATE_KIND_U8, 1,
                  "sample: on: kind bool expected, kind 2 (u8)");
    refused_value("on", KIND, 99, 1, "kind 99 (unknown) found");
    refused_value("irq", VALUE, 2, 1, "sample: irq: 2 is not 0 or 1");
    refused_value("fifo", COUNT, 15, 4, "sample: fifo: 16 elements expected, 15 found");
    refused_value("fifo", SIZE, 15, 4, "sample: fifo: [15]: the state ends in a number");
    refused_value("fifo", SIZE, 17, 4, "sample: fifo: 1 bytes too many");
    refused_value("head", VALUE, RING, 4, "sample: head: 16 is out of range (want 0 to 15)");
    refused_value("colour", VALUE, COLOURS, 4, "sample: colour: 3 is out of range (want 0 to 2)");
    refused_value("queued", VALUE, RING + 1, 4, "sample: queue: 17 elements (want at most 16)");
    refused_value("bits", VALUE + 8, UINT64_C(1) << 36, 8,
                  "sample: bits: [1]: a bit beyond the first 100 is set");
    refused_value("label", VALUE, 12, 2, "sample: label: ");
    refused_value("label", VALUE + 2, 0, 1, "sample: label: there is a zero byte in a text");
    refused_value("blob_size", VALUE, BLOB_MOST + 1, 8, "sample: blob: 41 elements");
    refused_value("slots", VALUE, 5, 8, "sample: slots: 5 in the state, 4 in this machine");
    refused_value("number", VALUE, 13, 1, "sample: first: number: 13 brings bad luck");
    refused_value("added", -5, 'x', 1, "sample: 'xdded' is not a known field");
    refused_value("port", -4, 0x6b73616d, 4, "sample: the field 'port' expected, 'mask' found");
}

static void parts_refused(void)
{
    struct sample s;
    lunik_state_buffer b = {0};

    random_sample(&s);
    s.part_count = 3;
    s.parts[2].number = 13;
    save_at(&s, NOW, &b);
    load_at(&sample_table, &s, NOW, b.data, b.size);
    check_string("an element of an array is named", err.message,
                 "sample: parts: [2]: number: 13 brings bad luck");
    lunik_state_buffer_free(&b);
    free(s.blob);
}

/* Tables that are alike but for a field or a section. */
static void tables_refused(void)
{
    lunik_state_table other = sample_table;
    struct sample s;
    lunik_state_buffer b = {0};

    random_sample(&s);
    s.has_extra = true;
    save_at(&s, NOW, &b);
    other.name = "simple";
    load_at(&other, &s, NOW, b.data, b.size);
    check_string("another name", err.message, "the section 'simple' expected, 'sample' found");
    other = sample_table;
    other.sections = NULL;
    load_at(&other, &s, NOW, b.data, b.size);
    check_string("an unknown section", err.message,
                 "sample: 'extra' is not a known section, or not in its place");
    other = sample_table;
    other.fields = part_fields;
    load_at(&other, &s, NOW, b.data, b.size);
    check_string("unknown fields", err.message, "sample: 'on' is not a known field");
    lunik_state_buffer_free(&b);
    free(s.blob);
}

/* Every prefix is refused, from a piece of memory of its size so that sanitizers see more reads. */
static void truncations(void)
{
    struct sample s;
    lunik_state_buffer b = {0};
    size_t accepted = 0;

    random_sample(&s);
    save_at(&s, NOW, &b);
    for (size_t size = 0; size < b.size; size++) {
        uint8_t *part = malloc(size + !size);

        memcpy(part, b.data, size);
        accepted += load_at(&sample_table, &s, NOW, part, size) == 0;
        free(part);
    }
    check_uint("no prefix is accepted", accepted, 0);
    lunik_state_buffer_free(&b);
    free(s.blob);
}

/* Changed bytes are refused or make another valid struct, which is saved as just these bytes. */
static void mutations(void)
{
    struct sample s;
    lunik_state_buffer b = {0};
    size_t different = 0, loaded = 0;

    random_sample(&s);
    save_at(&s, NOW, &b);
    for (int i = 0; i < 20000; i++) {
        lunik_state_buffer again = {0};
        size_t at = (size_t)rand() % b.size;
        uint8_t kept = b.data[at];

        b.data[at] = (uint8_t)rand();
        /* A time before the clock began is its beginning. */
        if (load_at(&sample_table, &s, INT64_MAX, b.data, b.size) == 0) {
            loaded++;
            save_at(&s, INT64_MAX, &again);
            different += !same(&again, &b);
        }
        b.data[at] = kept;
        lunik_state_buffer_free(&again);
    }
    check_true("some are accepted", loaded > 0);
    check_uint("what is accepted is saved alike", different, 0);
    lunik_state_buffer_free(&b);
    free(s.blob);
}

/* ---- tables that make no sense -------------------------------------------------------------- */

static void fault(const lunik_state_field *field, const char *text)
{
    const lunik_state_field fields[] = {LUNIK_STATE(struct sample, queued), *field, {0}};
    const lunik_state_table t = {
        .name = "t", .version = 1, .size = sizeof(struct sample), .fields = fields};

    check_int(text, state_check_table(&t, "x", sizeof(struct sample), &err), LUNIK_E_INVALID);
    check_contains(text, err.message, text);
}

static void faults(void)
{
    lunik_state_field f = LUNIK_STATE(struct sample, port);

    f.offset = sizeof(struct sample) - 1;
    fault(&f, "type x: state: t.port: does not lie in the struct");
    f = (lunik_state_field)LUNIK_STATE(struct sample, queued);
    fault(&f, "is in the table twice");
    f = (lunik_state_field)LUNIK_STATE_COUNTED(struct sample, queue, port);
    fault(&f, "its counter is no integer");
    f = (lunik_state_field)LUNIK_STATE(struct sample, port, .since = 2);
    fault(&f, "comes with a later version");
    f = (lunik_state_field)LUNIK_STATE_BITMAP(struct sample, bits, 129);
    fault(&f, "has not as many bits");
    f = (lunik_state_field)LUNIK_STATE_STRUCT(struct sample, first, NULL);
    fault(&f, "has no table of its size");
    check_int("the sample's table is fine",
              state_check_table(&sample_table, "x", sizeof(struct sample), &err), 0);
    check_int("that of nothing is", state_check_table(&lunik_state_none, "x", 7, &err), 0);
    check_int("the wrong size", state_check_table(&sample_table, "x", 7, &err), LUNIK_E_INVALID);
}

int main(int argc, char **argv)
{
    unsigned seed = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 0) : (unsigned)time(NULL);

    printf("# seed %u\n", seed);
    srand(seed);
    for (int i = 0; i < 20; i++)
        round_trip();
    times();
    versions();
    refusals();
    parts_refused();
    tables_refused();
    truncations();
    mutations();
    faults();
    return check_result();
}
