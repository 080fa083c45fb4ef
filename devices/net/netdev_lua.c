/*
 * netdev_lua.c: a network whose other side is the program around the machine: it gets each frame
 * of the card, and sends some (interface "netdev-peer"). Both ways have a bounded queue, as the
 * card may work on another thread.
 */
#include <pthread.h>

#include "net.h"
#include "../types.h"

enum { QUEUE_LIMIT = 1024 * 1024, FRAMES_AT_ONCE = 64 };

struct netdev_lua {
    struct netdev base;
    uint64_t pairs;

    pthread_mutex_t mutex;       /* of the queues; nothing is called with it */
    struct net_queue out, in;    /* to the program, and to the card */
    bool blocked;                /* the card waits for room in `out` */
    lunik_task hand_out;         /* on the loop thread */
    lunik_task hand_in, proceed; /* on the thread of the card */
    void (*fn)(void *opaque, unsigned queue, const uint8_t *frame, size_t size);
    void *opaque;
};

static struct netdev_lua *of(struct netdev *n)
{
    return lunik_container_of(n, struct netdev_lua, base);
}

static bool add(struct netdev_lua *s, struct net_queue *q, unsigned queue, const struct iovec *iov,
                unsigned count)
{
    bool added;

    pthread_mutex_lock(&s->mutex);
    added = net_queue_add(q, queue, iov, count);
    pthread_mutex_unlock(&s->mutex);
    return added;
}

/* Frames stay where they are until they are dropped, whatever is added. */
static const uint8_t *first(struct netdev_lua *s, const struct net_queue *q, unsigned *queue,
                            size_t *size)
{
    const uint8_t *frame;

    pthread_mutex_lock(&s->mutex);
    frame = net_queue_first(q, queue, size);
    pthread_mutex_unlock(&s->mutex);
    return frame;
}

static void drop(struct netdev_lua *s, struct net_queue *q)
{
    pthread_mutex_lock(&s->mutex);
    net_queue_drop(q);
    pthread_mutex_unlock(&s->mutex);
}

/* ---- from the card -------------------------------------------------------------------------- */

static bool send_frame(struct netdev *n, unsigned queue, const struct iovec *iov, unsigned count)
{
    struct netdev_lua *s = of(n);
    bool added = add(s, &s->out, queue, iov, count);

    if (!added && net_iov_size(iov, count) > NETDEV_FRAME_MAX) {
        netdev_drop(n);
        return true;
    }
    if (!added) {
        pthread_mutex_lock(&s->mutex);
        s->blocked = s->out.first; /* else there is no memory */
        added = !s->blocked;
        pthread_mutex_unlock(&s->mutex);
        if (added)
            netdev_drop(n);
    }
    lunik_defer(netdev_runtime(n), &s->hand_out);
    return added;
}

/* Takes as many as there were to begin with: the program's function may cause more. */
static void on_hand_out(lunik_task *task)
{
    struct netdev_lua *s = lunik_container_of(task, struct netdev_lua, hand_out);
    lunik_object *o = netdev_object(&s->base);
    const uint8_t *frame;
    unsigned queue, left = FRAMES_AT_ONCE;
    size_t size;
    bool blocked;

    lunik_object_ref(o);
    for (; left && (frame = first(s, &s->out, &queue, &size)); left--) {
        if (s->fn)
            s->fn(s->opaque, queue, frame, size);
        if (!lunik_object_alive(o))
            break;
        drop(s, &s->out);
    }
    if (lunik_object_alive(o)) {
        pthread_mutex_lock(&s->mutex);
        blocked = s->blocked;
        s->blocked = false;
        pthread_mutex_unlock(&s->mutex);
        if (blocked)
            netdev_post(&s->base, &s->proceed);
        if (!left)
            lunik_defer(netdev_runtime(&s->base), &s->hand_out);
    }
    lunik_object_unref(o);
}

static void on_proceed(lunik_task *task)
{
    struct netdev_lua *s = lunik_container_of(task, struct netdev_lua, proceed);

    for (unsigned i = 0; i < s->pairs; i++)
        netdev_writable(&s->base, i);
}

/* ---- to the card ---------------------------------------------------------------------------- */

/* A frame that the card refuses waits, and those behind it. */
static void deliver(struct netdev_lua *s)
{
    uint64_t queues = 0;
    const uint8_t *frame;
    unsigned queue;
    size_t size;

    while ((frame = first(s, &s->in, &queue, &size)) &&
           netdev_receive(&s->base, queue, frame, size)) {
        drop(s, &s->in);
        queues |= UINT64_C(1) << queue;
    }
    for (unsigned i = 0; i < s->pairs; i++)
        if (queues >> i & 1)
            netdev_received(&s->base, i);
}

static void on_hand_in(lunik_task *task)
{
    deliver(lunik_container_of(task, struct netdev_lua, hand_in));
}

static void resume(struct netdev *n, unsigned queue)
{
    deliver(of(n));
}

static bool peer_send(lunik_object *o, unsigned queue, const uint8_t *frame, size_t size)
{
    struct netdev_lua *s = lunik_state(o);
    struct iovec iov = {(void *)frame, size};
    bool added = queue < s->pairs && size <= NETDEV_FRAME_MAX && add(s, &s->in, queue, &iov, 1);

    if (added)
        netdev_post(&s->base, &s->hand_in);
    return added;
}

static void peer_watch(lunik_object *o,
                       void (*fn)(void *opaque, unsigned queue, const uint8_t *frame, size_t size),
                       void *opaque)
{
    struct netdev_lua *s = lunik_state(o);

    s->fn = fn;
    s->opaque = opaque;
}

/* ---- life cycle ----------------------------------------------------------------------------- */

static int start(struct netdev *n, lunik_error *err)
{
    struct netdev_lua *s = of(n);

    netdev_post(n, &s->hand_in);
    return 0;
}

static void stop(struct netdev *n)
{
    struct netdev_lua *s = of(n);

    netdev_cancel(n, &s->hand_in);
    netdev_cancel(n, &s->proceed);
    pthread_mutex_lock(&s->mutex);
    s->blocked = false;
    pthread_mutex_unlock(&s->mutex);
}

static void release(struct netdev *n)
{
    struct netdev_lua *s = of(n);

    lunik_defer_cancel(netdev_runtime(n), &s->hand_out);
    net_queue_clear(&s->out);
    net_queue_clear(&s->in);
    pthread_mutex_destroy(&s->mutex);
}

static int realize(lunik_object *o, lunik_error *err)
{
    struct netdev_lua *s = lunik_state(o);

    netdev_init(&s->base);
    s->base.queues = (unsigned)s->pairs;
    pthread_mutex_init(&s->mutex, NULL);
    net_queue_init(&s->out, QUEUE_LIMIT);
    net_queue_init(&s->in, QUEUE_LIMIT);
    s->hand_out.fn = on_hand_out;
    s->hand_in.fn = on_hand_in;
    s->proceed.fn = on_proceed;
    return 0;
}

static const lunik_prop props[] = {
    {
        .name = "queues",
        .kind = LUNIK_PROP_UINT,
        .doc = "Pairs of queues, 1 to 31.",
        .offset = offsetof(struct netdev_lua, pairs),
        .def = 1,
        .min = 1,
        .max = NETDEV_QUEUES_MAX,
    },
    {0},
};

static const lunik_netdev_peer_ops peer_ops = {.send = peer_send, .watch = peer_watch};
static const lunik_iface ifaces[] = {LUNIK_IFACE(netdev_peer, &peer_ops), {0}};

static const struct netdev_class class = {
    .start = start,
    .stop = stop,
    .send = send_frame,
    .resume = resume,
    .release = release,
};

const lunik_type netdev_lua_type = {
    .name = "netdev-lua",
    .parent = "netdev",
    .doc = "A network whose other side is the program around the machine.",
    .flags = LUNIK_TYPE_HOTPLUG | LUNIK_TYPE_UNPLUG,
    .size = sizeof(struct netdev_lua),
    .props = props,
    .ifaces = ifaces,
    .realize = realize,
    .state = &lunik_state_none,
    .data = (void *)&class,
};
