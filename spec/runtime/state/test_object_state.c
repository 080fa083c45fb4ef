/* test_object_state.c: the state of objects, saved and loaded: lines, timers, regions that follow,
 * and what is left when it fails. */
#include <pthread.h>
#include <stdlib.h>

#include "lunik_device.h"
#include "check.h"

static lunik_runtime *rt;
static lunik_machine *m;
static lunik_error err;

/* ---- a device with ports that move ---------------------------------------------------------- */

struct base {
    uint8_t common;
};

struct mover {
    struct base base;
    lunik_object *friend;
    uint16_t port;
    bool on, unmappable;
    unsigned loads;
    lunik_irq irq;
    lunik_timer timer;
    lunik_region *region;
};

static lunik_access read_port(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    *value = ((const struct mover *)opaque)->base.common;
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops port_ops = {.read = read_port, .valid = {.min = 1, .max = 1}};

static void timer_fired(lunik_timer *timer)
{
}

static int mover_realize(lunik_object *o, lunik_error *e)
{
    struct mover *s = lunik_state(o);
    lunik_region_config config = {.kind = LUNIK_REGION_IO,
                                  .name = "mover",
                                  .size = 1,
                                  .owner = o,
                                  .ops = &port_ops,
                                  .opaque = s};
    lunik_region *root = lunik_space_root(lunik_machine_io(lunik_object_machine(o)));

    s->port = 0x100;
    lunik_timer_init(&s->timer, lunik_object_machine(o), timer_fired);
    check_int("irq", lunik_irq_connect(lunik_object_machine(o), &s->irq, 5, e), 0);
    check_int("region", lunik_region_new(lunik_object_machine(o), &config, &s->region, e), 0);
    return lunik_region_add(root, s->port, s->region, 0, true, e);
}

static void mover_unrealize(lunik_object *o)
{
    struct mover *s = lunik_state(o);

    lunik_timer_cancel(&s->timer);
    lunik_irq_disconnect(&s->irq);
    lunik_region_del(s->region, NULL);
    lunik_region_unref(s->region);
}

static int mover_map(void *state, lunik_error *e)
{
    struct mover *s = state;
    int rc = lunik_region_set_offset(s->region, s->port, e);

    if (!rc)
        rc = lunik_region_set_enabled(s->region, s->on, e);
    return rc || !s->unmappable ? rc : lunik_fail(e, LUNIK_E_NO_SPACE, "no room for its ports");
}

static void mover_loaded(void *state)
{
    ((struct mover *)state)->loads++;
}

static const lunik_state_field base_fields[] = {LUNIK_STATE(struct base, common), {0}};
static const lunik_state_table base_table = {
    .name = "base", .version = 1, .size = sizeof(struct base), .fields = base_fields};

static const lunik_state_field mover_fields[] = {
    LUNIK_STATE(struct mover, friend), LUNIK_STATE(struct mover, port),
    LUNIK_STATE(struct mover, on),     LUNIK_STATE(struct mover, irq),
    LUNIK_STATE(struct mover, timer),  {0},
};
static const lunik_state_table mover_table = {
    .name = "mover",
    .version = 1,
    .size = sizeof(struct mover),
    .fields = mover_fields,
    .map = mover_map,
    .loaded = mover_loaded,
};

static const lunik_prop mover_props[] = {
    {.name = "friend",
     .kind = LUNIK_PROP_LINK,
     .offset = offsetof(struct mover, friend),
     .link = "base"},
    {0},
};

static const lunik_type base_type = {.name = "base",
                                     .flags = LUNIK_TYPE_DEVICE | LUNIK_TYPE_ABSTRACT,
                                     .size = sizeof(struct base),
                                     .state = &base_table};
static const lunik_type mover_type = {.name = "mover",
                                      .parent = "base",
                                      .flags = LUNIK_TYPE_DEVICE | LUNIK_TYPE_UNPLUG,
                                      .size = sizeof(struct mover),
                                      .props = mover_props,
                                      .realize = mover_realize,
                                      .unrealize = mover_unrealize,
                                      .state = &mover_table};
static const lunik_type plain_type = {
    .name = "plain", .parent = "base", .flags = LUNIK_TYPE_DEVICE, .size = sizeof(struct base)};
static const lunik_type blank_type = {.name = "blank",
                                      .parent = "base",
                                      .flags = LUNIK_TYPE_DEVICE,
                                      .size = sizeof(struct base),
                                      .state = &lunik_state_none};

static void make(void)
{
    static const lunik_type *const types[] = {&base_type, &mover_type, &plain_type, &blank_type,
                                              NULL};
    const lunik_machine_config config = {
        .name = "m", .accel = LUNIK_ACCEL_NONE, .cpus = 1, .manual_clock = true};

    check_int("runtime", lunik_runtime_new(types, &rt, &err), 0);
    check_int("machine", lunik_machine_new(rt, &config, &m, &err), 0);
    lunik_clock_advance(m, 1000, &err);
}

static void unmake(void)
{
    lunik_machine_close(m);
    check_int("the runtime goes", lunik_runtime_free(rt), 0);
}

static lunik_object *add(const char *type, const char *id, const char *friend)
{
    const lunik_field props[] = {LUNIK_FIELD_STRING("id", id),
                                 LUNIK_FIELD_STRING("friend", friend)};
    lunik_object *o = NULL;

    if (!check_int(id, lunik_device_add(m, type, props, friend ? 2 : 1, &o, &err), 0))
        printf("# %s\n", err.message);
    return o;
}

/* ---- what is loaded ------------------------------------------------------------------------- */

static void test_load(void)
{
    struct mover *a, *b;
    lunik_state_buffer saved = {0}, again = {0};
    uint64_t value = 0;

    make();
    a = lunik_state(add("mover", "a", NULL));
    b = lunik_state(add("mover", "b", NULL));
    a->base.common = 42;
    a->port = 0x300;
    a->on = true;
    lunik_irq_set(&a->irq, true);
    lunik_timer_set(&a->timer, 1500);
    check_int("save", lunik_object_save(lunik_state_object(a), &saved, &err), 0);
    lunik_irq_set(&a->irq, false);
    lunik_clock_advance(m, 100, &err);
    check_int("load into another",
              lunik_object_load(lunik_state_object(b), saved.data, saved.size, &err), 0);
    check_true("its line is driven", b->irq.level && lunik_gsi_level(m, 5));
    check_uint("its timer is as far away", b->timer.deadline, 1600);
    check_uint("its function is called", b->loads, 1);
    check_int("its ports have moved", lunik_space_load(lunik_machine_io(m), 0x300, 1, &value),
              LUNIK_ACCESS_OK);
    check_uint("  and what the ancestor keeps is there", value, 42);
    check_int("save again", lunik_object_save(lunik_state_object(b), &again, &err), 0);
    check_true("the same bytes",
               saved.size == again.size && !memcmp(saved.data, again.data, saved.size));
    lunik_state_buffer_free(&saved);
    lunik_state_buffer_free(&again);
    unmake();
}

/* Outputs, fields and regions are as before. */
static void check_untouched(struct mover *s)
{
    check_true("its fields stay", s->base.common == 7 && s->port == 0x100 && !s->on);
    check_uint("its ports as well", lunik_region_offset(s->region), 0x100);
    check_true("its outputs as well", !s->irq.level && s->timer.deadline == UINT64_MAX);
    check_uint("it is not called", s->loads, 0);
}

static void test_failures(void)
{
    struct mover *a, *b;
    lunik_state_buffer saved = {0};

    make();
    a = lunik_state(add("mover", "a", NULL));
    b = lunik_state(add("mover", "b", NULL));
    a->port = 0x300;
    a->on = true;
    lunik_irq_set(&a->irq, true);
    lunik_timer_set(&a->timer, 1500);
    lunik_object_save(lunik_state_object(a), &saved, &err);
    b->base.common = 7;
    b->unmappable = true;
    check_int("regions that can't follow",
              lunik_object_load(lunik_state_object(b), saved.data, saved.size, &err),
              LUNIK_E_NO_SPACE);
    check_string("  are an error", err.message,
                 "the state of 'b' can't be loaded: no room for its ports");
    check_untouched(b);
    check_int("half a state",
              lunik_object_load(lunik_state_object(b), saved.data, saved.size - 1, &err),
              LUNIK_E_INVALID);
    check_untouched(b);
    saved.data[8] = 2;
    lunik_object_load(lunik_state_object(b), saved.data, saved.size, &err);
    check_string("another format", err.message,
                 "the state of 'b' can't be loaded: the format has version 2 (want 1)");
    saved.data[0] = 'l';
    lunik_object_load(lunik_state_object(b), saved.data, saved.size, &err);
    check_string("something else", err.message,
                 "the state of 'b' can't be loaded: these bytes are not the state of an object");
    check_untouched(b);
    lunik_state_buffer_free(&saved);
    unmake();
}

static void test_links(void)
{
    struct mover *b;
    lunik_object *a, *c;
    lunik_state_buffer saved = {0};

    make();
    a = add("mover", "a", NULL);
    b = lunik_state(add("mover", "b", "a"));
    c = add("mover", "c", NULL);
    check_int("save", lunik_object_save(lunik_state_object(b), &saved, &err), 0);
    check_int("the same object is there",
              lunik_object_load(lunik_state_object(b), saved.data, saved.size, &err), 0);
    check_int("or not", lunik_object_load(c, saved.data, saved.size, &err), LUNIK_E_INVALID);
    check_string("  which is named", err.message,
                 "the state of 'c' can't be loaded: mover: friend: '/machine/a' in the state, '' "
                 "in this machine");
    check_true("links stay", b->friend == a);
    lunik_state_buffer_free(&saved);
    unmake();
}

/* ---- when ----------------------------------------------------------------------------------- */

static void *without_lock(void *opaque)
{
    lunik_state_buffer b = {0};

    check_int("without the lock", lunik_object_save(opaque, &b, &err), LUNIK_E_INVALID);
    return NULL;
}

static void test_moments(void)
{
    lunik_state_buffer b = {0};
    lunik_object *a;
    pthread_t thread;

    make();
    a = add("mover", "a", NULL);
    pthread_create(&thread, NULL, without_lock, a);
    pthread_join(thread, NULL);
    lunik_transaction_begin(m);
    check_int("in a transaction", lunik_object_save(a, &b, &err), LUNIK_E_STATE);
    lunik_transaction_commit(m, &err);
    lunik_machine_start(m, &err);
    check_int("while it runs", lunik_object_save(a, &b, &err), LUNIK_E_STATE);
    check_contains("  says what it wants", err.message, "is running (want a machine that is");
    check_int("  nor load", lunik_object_load(a, "x", 1, &err), LUNIK_E_STATE);
    lunik_machine_pause(m, &err);
    check_int("paused", lunik_object_save(a, &b, &err), 0);
    lunik_object_ref(a);
    lunik_device_del(m, "a", &err);
    check_int("deleted", lunik_object_save(a, &b, &err), LUNIK_E_GONE);
    lunik_object_unref(a);
    lunik_state_buffer_free(&b);
    unmake();
}

static void test_types(void)
{
    static const lunik_state_table wrong = {.name = "wrong", .version = 1, .size = 1};
    static const lunik_type bad_type = {
        .name = "bad", .flags = LUNIK_TYPE_DEVICE, .size = 2, .state = &wrong};
    lunik_state_buffer b = {0};

    make();
    check_int("no table", lunik_object_save(add("plain", "p", NULL), &b, &err),
              LUNIK_E_UNSUPPORTED);
    check_string("  is named", err.message,
                 "the state of 'p' can't be saved: its type has no state table");
    check_uint("  nothing is written", b.size, 0);
    check_int("nothing of its own", lunik_object_save(add("blank", "q", NULL), &b, &err), 0);
    check_int("  only the ancestor's",
              lunik_object_load(lunik_object_find(m, "q"), b.data, b.size, &err), 0);
    check_int("another type's", lunik_object_load(add("mover", "a", NULL), b.data, b.size, &err),
              LUNIK_E_INVALID);
    check_contains("  is named", err.message, "it is of the type 'blank' (want 'mover')");
    check_int("a table that makes no sense", lunik_type_add(rt, &bad_type, &err), LUNIK_E_INVALID);
    lunik_state_buffer_free(&b);
    unmake();
}

int main(void)
{
    test_load();
    test_failures();
    test_links();
    test_moments();
    test_types();
    return check_result();
}
