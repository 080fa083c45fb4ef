/* test_device_state.c: every type of devices has a table of what is saved; random states of all of
 * them are saved, loaded into a fresh machine and saved again; bytes that are no state change
 * nothing. */
#include <time.h>

#include "state_machine.h"
#include "check.h"

static lunik_runtime *rt;
static lunik_error err;

/* Types that need the world outside to be created, and have nothing to save. */
static const char *const outside[] = {
    "memory-backend-file", "chardev-stdio", "chardev-pty", "chardev-socket", "netdev-socket",
    "netdev-tap",          "netdev-user",   "rng-random",  "blockdev-file",  NULL};

static uint32_t random32(void)
{
    return (uint32_t)rand() << 16 ^ (uint32_t)rand();
}

/* ---- which types there are ------------------------------------------------------------------ */

static bool in_machine(const char *type)
{
    for (size_t i = 0; i < STATE_PARTS; i++)
        if (!strcmp(state_parts[i].type, type))
            return true;
    return false;
}

static bool is_outside(const lunik_type *type)
{
    for (size_t i = 0; outside[i]; i++)
        if (!strcmp(outside[i], type->name))
            return type->state == &lunik_state_none;
    return false;
}

static void test_types(void)
{
    for (const lunik_type *t = lunik_type_next(rt, NULL); t; t = lunik_type_next(rt, t)) {
        if (t->flags & LUNIK_TYPE_ABSTRACT)
            continue;
        if (!check_true(t->name, t->state != NULL))
            printf("# %s: .state: is missing (want a table, or &lunik_state_none)\n", t->name);
        if (!check_true(t->name, in_machine(t->name) || is_outside(t)))
            printf("# %s: is not in state_parts\n", t->name);
    }
}

/* ---- save and load -------------------------------------------------------------------------- */

enum { OBJECTS_MOST = 64 };

struct saved {
    size_t count;
    lunik_state_buffer of[OBJECTS_MOST];
};

static void save_all(lunik_machine *m, struct saved *out)
{
    *out = (struct saved){0};
    for (lunik_object *o = lunik_object_next(m, NULL); o && out->count < OBJECTS_MOST;
         o = lunik_object_next(m, o))
        if (lunik_object_save(o, &out->of[out->count++], &err))
            check_string(lunik_object_path(o), err.message, "");
}

static void load_all(lunik_machine *m, const struct saved *saved)
{
    size_t i = 0;

    for (lunik_object *o = lunik_object_next(m, NULL); o; o = lunik_object_next(m, o), i++)
        if (lunik_object_load(o, saved->of[i].data, saved->of[i].size, &err))
            check_string(lunik_object_path(o), err.message, "");
}

static void free_all(struct saved *saved)
{
    for (size_t i = 0; i < saved->count; i++)
        lunik_state_buffer_free(&saved->of[i]);
}

static bool same(const lunik_state_buffer *a, const lunik_state_buffer *b)
{
    return a->size == b->size && !memcmp(a->data, b->data, a->size);
}

static void check_same(lunik_machine *m, const struct saved *a, const struct saved *b)
{
    size_t i = 0;

    check_uint("as many objects", a->count, b->count);
    for (lunik_object *o = lunik_object_next(m, NULL); o; o = lunik_object_next(m, o), i++)
        check_true(lunik_object_type_name(o), same(&a->of[i], &b->of[i]));
}

/* The same lines are high, and the same regions are where they were. */
static void check_effects(lunik_machine *from, lunik_machine *to)
{
    char *a = NULL, *b = NULL;

    for (unsigned i = 0; i < LUNIK_GSI_COUNT; i++)
        if (lunik_gsi_level(from, i) != lunik_gsi_level(to, i))
            check_uint("a line", i, LUNIK_GSI_COUNT);
    lunik_mtree(from, LUNIK_MTREE_FLAT, &a);
    lunik_mtree(to, LUNIK_MTREE_FLAT, &b);
    check_string("the memory map", b, a);
    free(a);
    free(b);
}

/* From now on the guest finds the same in both, whatever it does. */
static void check_future(lunik_machine *from, lunik_machine *to)
{
    unsigned seed = random32();
    uint64_t sum;
    struct saved first, second;

    srand(seed);
    sum = guest_run(from, random32, 500);
    srand(seed);
    check_uint("what the guest reads", guest_run(to, random32, 500), sum);
    save_all(from, &first);
    save_all(to, &second);
    check_same(from, &first, &second);
    check_effects(from, to);
    free_all(&first);
    free_all(&second);
}

/* later: ns by which the other machine's clock is ahead */
static void round_trip(uint64_t later)
{
    lunik_machine *from = state_machine_new(rt, random32()), *to;
    struct saved first, second;

    if (!check_true("a machine", from))
        return;
    guest_run(from, random32, 2000);
    guest_drain(from);
    to = state_machine_new(rt, lunik_clock_now(from) + later);
    if (!check_true("another", to))
        return;
    save_all(from, &first);
    load_all(to, &first);
    save_all(to, &second);
    check_same(from, &first, &second);
    check_effects(from, to);
    if (!later)
        check_future(from, to);
    free_all(&first);
    free_all(&second);
    lunik_machine_close(from);
    lunik_machine_close(to);
}

/* Nothing is left of the state that a machine had before. */
static void used_before(void)
{
    lunik_machine *from = state_machine_new(rt, random32()), *to = state_machine_new(rt, 0);
    struct saved first, second;

    if (!check_true("machines", from && to))
        return;
    guest_run(from, random32, 2000);
    guest_run(to, random32, 2000);
    if (lunik_clock_now(to) < lunik_clock_now(from))
        lunik_clock_advance(to, lunik_clock_now(from) - lunik_clock_now(to), &err);
    guest_drain(from);
    guest_drain(to);
    save_all(from, &first);
    load_all(to, &first);
    save_all(to, &second);
    check_same(from, &first, &second);
    check_effects(from, to);
    free_all(&first);
    free_all(&second);
    lunik_machine_close(from);
    lunik_machine_close(to);
}

/* ---- other bytes ---------------------------------------------------------------------------- */

static void mutate(lunik_state_buffer *b)
{
    for (int n = 1 + rand() % 3; n; n--)
        b->data[(size_t)rand() % b->size] = rand() % 2 ? (uint8_t)rand() : 0xff;
    if (rand() % 8 == 0)
        b->size -= (size_t)rand() % b->size;
}

/* A refused load leaves the machine as it was. */
static void load_mutant(lunik_object *o, unsigned *refused)
{
    lunik_state_buffer b = {0}, before = {0}, after = {0};

    lunik_object_save(o, &b, &err);
    lunik_object_save(o, &before, &err);
    mutate(&b);
    if (lunik_object_load(o, b.data, b.size, &err)) {
        ++*refused;
        lunik_object_save(o, &after, &err);
        if (!same(&before, &after))
            check_string(lunik_object_path(o), err.message, "");
    } else {
        lunik_object_load(o, before.data, before.size, &err);
    }
    lunik_state_buffer_free(&b);
    lunik_state_buffer_free(&before);
    lunik_state_buffer_free(&after);
}

static void mutants(void)
{
    lunik_machine *m = state_machine_new(rt, random32());
    unsigned refused = 0;

    if (!check_true("machine", m))
        return;
    for (int i = 0; i < 200; i++) {
        guest_run(m, random32, 50);
        for (lunik_object *o = lunik_object_next(m, NULL); o; o = lunik_object_next(m, o))
            load_mutant(o, &refused);
    }
    check_true("some are refused", refused > 0);
    lunik_machine_close(m);
}

/* ---- what the machine must have ------------------------------------------------------------- */

static void test_dimm(void)
{
    lunik_machine *m = state_machine_new(rt, 0);
    lunik_object *window = lunik_object_find(m, "window"), *mhp = lunik_object_find(m, "mhp");
    lunik_state_buffer a = {0}, b = {0};

    lunik_object_save(window, &a, &err);
    lunik_object_save(mhp, &b, &err);
    lunik_device_del(m, "dimm0", &err);
    check_int("a slot that is empty", lunik_object_load(window, a.data, a.size, &err),
              LUNIK_E_INVALID);
    check_string("  is named", err.message,
                 "the state of 'window' can't be loaded: device-memory: slot: [2]: "
                 "'/machine/dimm0' in the state, '' in this machine");
    check_int("  in the registers as well", lunik_object_load(mhp, b.data, b.size, &err),
              LUNIK_E_INVALID);
    check_string("  is named", err.message,
                 "the state of 'mhp' can't be loaded: acpi-memory-hotplug: slots: slot: [2]: in "
                 "use in the state, empty here");
    lunik_state_buffer_free(&a);
    lunik_state_buffer_free(&b);
    lunik_machine_close(m);
}

int main(int argc, char **argv)
{
    unsigned seed = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 0) : (unsigned)time(NULL);

    printf("# seed %u\n", seed);
    srand(seed);
    check_int("runtime", lunik_runtime_new(lunik_builtin_types(), &rt, &err), 0);
    test_types();
    for (int i = 0; i < 10; i++) {
        round_trip(0);
        round_trip(1 + random32());
        used_before();
    }
    mutants();
    test_dimm();
    check_int("the runtime goes", lunik_runtime_free(rt), 0);
    return check_result();
}
