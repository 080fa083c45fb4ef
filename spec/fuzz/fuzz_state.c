/*
 * fuzz_state.c: lunik_object_load() with whatever there is: bytes of the input, or the state that a
 * device has with some of them changed. What is refused changes nothing; what is loaded is saved
 * and loaded again, and leaves a machine that a guest can use. -max_len=4096 -runs=1200
 */
#include "fuzz.h"
#include "state_machine.h"

static lunik_runtime *rt;
static lunik_machine *machine;
static lunik_error err;
static lunik_state_buffer pristine[STATE_PARTS]; /* of each object, in order */

static lunik_object *object_at(unsigned index)
{
    lunik_object *o = lunik_object_next(machine, NULL);

    for (unsigned i = 0; o && i < index; i++)
        o = lunik_object_next(machine, o);
    return o;
}

static void save(lunik_object *o, lunik_state_buffer *out)
{
    *out = (lunik_state_buffer){0};
    fuzz_must(lunik_object_save(o, out, &err), err);
}

static void make(void)
{
    fuzz_must(lunik_runtime_new(lunik_builtin_types(), &rt, &err), err);
    machine = state_machine_new(rt, 1000000000);
    fuzz_check(machine, "there is no machine");
    for (unsigned i = 0; i < STATE_PARTS; i++)
        save(object_at(i), &pristine[i]);
}

static bool same(const lunik_state_buffer *a, const lunik_state_buffer *b)
{
    return a->size == b->size && !memcmp(a->data, b->data, a->size);
}

/* In a piece of memory of its size, so that reads beyond it are seen. */
static uint8_t *choose_bytes(const lunik_state_buffer *before, size_t *size)
{
    bool changed = fuzz_byte() & 1;
    const uint8_t *from = changed ? before->data : fuzz_input.data;
    uint8_t *bytes;

    *size = changed ? before->size : fuzz_input.size;
    bytes = malloc(*size + !*size);
    fuzz_check(bytes, "out of memory");
    memcpy(bytes, from, *size);
    for (unsigned n = changed ? fuzz_byte() % 16 : 0; n; n--) {
        size_t at = fuzz_number(2) % before->size;

        bytes[at] = fuzz_byte();
    }
    return bytes;
}

static uint32_t decide(void)
{
    return (uint32_t)fuzz_number(1) * 0x01010101u;
}

/* Saved and loaded as often as one likes it stays what it is. */
static void check_stable(lunik_object *o)
{
    lunik_state_buffer first, second;

    save(o, &first);
    fuzz_must(lunik_object_load(o, first.data, first.size, &err), err);
    save(o, &second);
    fuzz_check(same(&first, &second), "%s is saved differently", lunik_object_path(o));
    lunik_state_buffer_free(&first);
    lunik_state_buffer_free(&second);
}

static void check_unchanged(lunik_object *o, const lunik_state_buffer *before)
{
    lunik_state_buffer after;

    save(o, &after);
    fuzz_check(same(before, &after), "%s has changed: %s", lunik_object_path(o), err.message);
    lunik_state_buffer_free(&after);
}

static void restore(void)
{
    for (unsigned i = 0; i < STATE_PARTS; i++)
        fuzz_must(lunik_object_load(object_at(i), pristine[i].data, pristine[i].size, &err), err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lunik_state_buffer before;
    lunik_object *o;
    uint8_t *bytes;

    if (!machine)
        make();
    fuzz_begin(data, size);
    o = object_at(fuzz_below(STATE_PARTS));
    save(o, &before);
    bytes = choose_bytes(&before, &size);
    if (lunik_object_load(o, bytes, size, &err))
        check_unchanged(o, &before);
    else
        check_stable(o);
    free(bytes);
    lunik_state_buffer_free(&before);
    guest_run(machine, decide, fuzz_more() ? 20 : 0);
    guest_drain(machine);
    restore();
    fuzz_settle(rt);
    return 0;
}
