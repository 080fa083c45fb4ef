/* iothread.c: a thread with an event loop, for the devices that link to it. */
#include "types.h"

struct iothread {
    lunik_iothread *thread;
};

static lunik_iothread *thread_of(lunik_object *o)
{
    const struct iothread *s = lunik_state(o);

    return s->thread;
}

static int realize(lunik_object *o, lunik_error *err)
{
    struct iothread *s = lunik_state(o);

    return lunik_iothread_new(lunik_object_machine(o), &s->thread, err);
}

static void unrealize(lunik_object *o)
{
    struct iothread *s = lunik_state(o);

    lunik_iothread_free(s->thread);
    s->thread = NULL;
}

static void get_thread_id(lunik_object *o, lunik_value *out)
{
    const struct iothread *s = lunik_state(o);

    *out = (lunik_value){.kind = LUNIK_UINT, .uint = (uint64_t)lunik_iothread_tid(s->thread)};
}

static const lunik_prop props[] = {
    {
        .name = "thread-id",
        .kind = LUNIK_PROP_UINT,
        .doc = "The number of the thread, as in /proc/self/task.",
        .flags = LUNIK_PROP_READONLY,
        .get = get_thread_id,
    },
    {0},
};

static const lunik_iothread_ops iothread_ops = {.thread = thread_of};
static const lunik_iface ifaces[] = {LUNIK_IFACE(iothread, &iothread_ops), {0}};

const lunik_type iothread_type = {
    .name = "iothread",
    .doc = "A thread with an event loop, for the devices that link to it.",
    .size = sizeof(struct iothread),
    .props = props,
    .ifaces = ifaces,
    .realize = realize,
    .unrealize = unrealize,
    .state = &lunik_state_none,
};
