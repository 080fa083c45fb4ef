/*
 * netdev.c: what all back ends of network cards have in common; see net.h.
 *
 * DESIGN. A card may go while the thread, which is not waited for, still works for it. So there are
 * two users: the one that is wanted, which changes with the lock, and the current one, which begins
 * and ends with tasks on the thread. While there is a current one the back end and its card are
 * kept by references; the next begins when it has ended.
 */
#include <inttypes.h>
#include <stdatomic.h>

#include "net.h"
#include "../types.h"

lunik_object *netdev_object(const struct netdev *n)
{
    return lunik_state_object(n);
}

lunik_runtime *netdev_runtime(const struct netdev *n)
{
    return lunik_machine_runtime(lunik_object_machine(netdev_object(n)));
}

static const struct netdev_class *class_of(const struct netdev *n)
{
    return lunik_object_type(netdev_object(n))->data;
}

/* ---- the thread ----------------------------------------------------------------------------- */

bool netdev_post(struct netdev *n, lunik_task *task)
{
    if (!n->current.card || n->stopping) /* the next card's thread may be another */
        return false;
    if (n->current.thread)
        return lunik_iothread_post(n->current.thread, task) == 0;
    lunik_defer(netdev_runtime(n), task);
    return true;
}

void netdev_cancel(struct netdev *n, lunik_task *task)
{
    if (n->current.thread)
        lunik_iothread_cancel(n->current.thread, task);
    else
        lunik_defer_cancel(netdev_runtime(n), task);
}

uv_loop_t *netdev_loop(struct netdev *n)
{
    return n->current.thread ? lunik_iothread_loop(n->current.thread)
                             : lunik_loop(netdev_runtime(n));
}

static void begin(struct netdev *n);

/* With the lock. */
static void ended(lunik_task *task)
{
    struct netdev *n = lunik_container_of(task, struct netdev, stopped);
    lunik_object *o = netdev_object(n), *card = n->current.card;

    n->current = (struct netdev_user){0};
    n->stopping = false;
    if (n->unrealized)
        class_of(n)->release(n);
    else if (n->wanted.card)
        begin(n);
    lunik_object_unref(card);
    lunik_object_unref(o);
}

static void on_start(lunik_task *task)
{
    struct netdev *n = lunik_container_of(task, struct netdev, start);
    lunik_error err;

    if (class_of(n)->start(n, &err))
        netdev_error(n, err.message);
}

static void on_stop(lunik_task *task)
{
    struct netdev *n = lunik_container_of(task, struct netdev, stop);

    class_of(n)->stop(n);
    n->current.front = NULL;
    lunik_defer(netdev_runtime(n), &n->stopped);
}

/* On the loop's thread, or any other with the lock, nothing needs to be posted. */
static void begin(struct netdev *n)
{
    n->current = n->wanted;
    lunik_object_ref(netdev_object(n));
    lunik_object_ref(n->current.card);
    if (!n->current.thread || lunik_iothread_post(n->current.thread, &n->start))
        on_start(&n->start);
}

static void end(struct netdev *n)
{
    if (n->stopping)
        return;
    n->stopping = true;
    if (n->current.thread && !lunik_iothread_post(n->current.thread, &n->stop))
        return;
    class_of(n)->stop(n);
    ended(&n->stopped);
}

/* ---- cards ---------------------------------------------------------------------------------- */

int netdev_attach(lunik_object *o, const struct netdev_user *user, lunik_error *err)
{
    struct netdev *n = lunik_state(o);

    if (n->wanted.card)
        return lunik_fail(err, LUNIK_E_BUSY, "netdev: '%s' is in use by '%s' (want another one)",
                          lunik_object_id(o), lunik_object_id(n->wanted.card));
    n->wanted = *user;
    if (!n->current.card)
        begin(n);
    return 0;
}

void netdev_detach(lunik_object *o, lunik_object *card)
{
    struct netdev *n = lunik_state(o);

    if (n->wanted.card != card)
        return;
    n->wanted = (struct netdev_user){0};
    end(n);
}

bool netdev_send(struct netdev *n, unsigned queue, const struct iovec *iov, unsigned count)
{
    return class_of(n)->send(n, queue, iov, count);
}

void netdev_resume(struct netdev *n, unsigned queue)
{
    if (class_of(n)->resume)
        class_of(n)->resume(n, queue);
}

void netdev_configure(struct netdev *n, unsigned offloads, unsigned pairs)
{
    if (class_of(n)->configure)
        class_of(n)->configure(n, offloads, pairs);
}

/* ---- back ends ------------------------------------------------------------------------------ */

bool netdev_receive(struct netdev *n, unsigned queue, const uint8_t *frame, size_t size)
{
    const struct netdev_user *u = &n->current;

    return u->front && u->front->receive(u->opaque, queue, frame, size);
}

void netdev_received(struct netdev *n, unsigned queue)
{
    if (n->current.front)
        n->current.front->received(n->current.opaque, queue);
}

void netdev_writable(struct netdev *n, unsigned queue)
{
    if (n->current.front)
        n->current.front->writable(n->current.opaque, queue);
}

void netdev_set_up(struct netdev *n, bool up)
{
    if (atomic_exchange(&n->down, !up) != up)
        return;
    if (n->current.front)
        n->current.front->link(n->current.opaque);
}

void netdev_drop(struct netdev *n)
{
    atomic_fetch_add_explicit(&n->dropped, 1, memory_order_relaxed);
}

void netdev_error(struct netdev *n, const char *message)
{
    lunik_object *o = netdev_object(n);

    lunik_emit(lunik_object_machine(o), "netdev-error",
               LUNIK_FIELD_STRING("object", lunik_object_id(o)),
               LUNIK_FIELD_STRING("message", message));
}

/* ---- type ----------------------------------------------------------------------------------- */

/* realize of a back end has failed, or it goes: its card has gone before. */
static void unrealize(lunik_object *o)
{
    struct netdev *n = lunik_state(o);

    n->unrealized = true;
    n->wanted = (struct netdev_user){0};
    if (n->current.card)
        end(n);
    else
        class_of(n)->release(n);
}

void netdev_init(struct netdev *n)
{
    n->start.fn = on_start;
    n->stop.fn = on_stop;
    n->stopped.fn = ended;
}

static void get_dropped(lunik_object *o, lunik_value *out)
{
    const struct netdev *n = lunik_state(o);

    *out = (lunik_value){.kind = LUNIK_UINT, .uint = atomic_load(&n->dropped)};
}

static void get_up(lunik_object *o, lunik_value *out)
{
    const struct netdev *n = lunik_state(o);

    *out = (lunik_value){.kind = LUNIK_BOOL, .boolean = !atomic_load(&n->down)};
}

static const lunik_prop props[] = {
    {
        .name = "up",
        .kind = LUNIK_PROP_BOOL,
        .doc = "Whether the other side is there.",
        .flags = LUNIK_PROP_READONLY,
        .get = get_up,
    },
    {
        .name = "dropped",
        .kind = LUNIK_PROP_UINT,
        .doc = "Frames that were lost between the card and the other side.",
        .flags = LUNIK_PROP_READONLY,
        .get = get_dropped,
    },
    {0},
};

const lunik_type netdev_type = {
    .name = "netdev",
    .doc = "Where the frames of a network card go to and come from.",
    .flags = LUNIK_TYPE_ABSTRACT,
    .size = sizeof(struct netdev),
    .props = props,
    .unrealize = unrealize,
    .state = &lunik_state_none,
};
