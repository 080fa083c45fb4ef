/*
 * virtio_path.c: see virtio_path.h.
 *
 * DESIGN. A queue is at rest, served, or stopping; only a thread with the machine lock changes
 * that. Leaving rest posts `begin` to the queue's thread, and stopping posts `end`, whose answer is
 * the task `rested` on the runtime's loop. The work of the queue's thread between these two needs
 * no lock: whoever has it leaves a queue alone that is not at rest.
 */
#include "virtio_path.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { REST, SERVED, STOPPING };
enum { BATCH = 32 };

struct virtio_path_queue {
    struct virtio_path *path;
    unsigned index;
    int fd, state;
    uv_poll_t poll;
    lunik_task begin, end, rested;
    bool active, busy; /* the queue's thread */
};

static struct virtqueue *ring_of(const struct virtio_path_queue *q)
{
    return &q->path->virtio->queues[q->index];
}

/* ---- the thread ----------------------------------------------------------------------------- */

/* Where the thread has ended, its work is that of whoever has the lock. */
static void post(struct virtio_path *path, lunik_task *task)
{
    if (!path->thread)
        lunik_defer(path->rt, task);
    else if (lunik_iothread_post(path->thread, task))
        task->fn(task);
}

void virtio_path_post(struct virtio *v, lunik_task *task)
{
    post(v->path, task);
}

bool virtio_path_cancel(struct virtio *v, lunik_task *task)
{
    bool pending = task->pending;

    if (v->path->thread)
        return lunik_iothread_cancel(v->path->thread, task);
    lunik_defer_cancel(v->path->rt, task);
    return pending;
}

uv_loop_t *virtio_path_loop(struct virtio *v)
{
    return v->path->thread ? lunik_iothread_loop(v->path->thread) : lunik_loop(v->path->rt);
}

static void signal_fd(int fd)
{
    ssize_t written = write(fd, &(uint64_t){1}, sizeof(uint64_t));

    (void)written; /* a counter that is full has been signalled */
}

void virtio_path_again(struct virtio *v, unsigned queue)
{
    signal_fd(virtio_path_fd(v->path, queue));
}

void virtio_path_check(struct virtio *v, unsigned queue)
{
    if (virtqueue_broken(&v->queues[queue]))
        virtio_needs_reset(v);
}

static void serve(struct virtio_path_queue *q)
{
    struct virtio *v = q->path->virtio;

    if (!q->active || q->busy || !virtio_running(v))
        return;
    q->busy = true;
    v->ops->serve(v, q->index);
    q->busy = false;
    if (q->active)
        virtio_path_check(v, q->index);
}

void virtio_path_look(struct virtio *v, unsigned queue)
{
    serve(&v->path->queues[queue]);
}

void virtio_path_each(struct virtio *v, unsigned queue,
                      uint32_t (*each)(struct virtio *v, unsigned queue,
                                       struct virtqueue_request *r))
{
    struct virtqueue *q = &v->queues[queue];
    struct virtqueue_request *r[BATCH];
    unsigned count;

    do {
        virtqueue_quiet(q);
        while ((count = virtqueue_pop(q, r, BATCH))) {
            for (unsigned i = 0; i < count; i++)
                virtqueue_push(q, r[i], each(v, queue, r[i]));
            virtio_flush(v, queue);
        }
    } while (virtqueue_listen(q));
}

static void on_signal(uv_poll_t *poll, int status, int events)
{
    struct virtio_path_queue *q = lunik_container_of(poll, struct virtio_path_queue, poll);
    uint64_t count;

    (void)status, (void)events;
    if (read(q->fd, &count, sizeof(count)) == sizeof(count))
        serve(q);
}

static void begin(lunik_task *task)
{
    struct virtio_path_queue *q = lunik_container_of(task, struct virtio_path_queue, begin);

    q->active = true;
    serve(q);
}

static void end(lunik_task *task)
{
    struct virtio_path_queue *q = lunik_container_of(task, struct virtio_path_queue, end);
    struct virtio *v = q->path->virtio;

    q->active = false;
    if (v->ops->finish)
        v->ops->finish(v, q->index);
    else
        virtio_path_idle(v, q->index);
}

/* A queue that is idle keeps no memory that has left the map. */
static void refresh(lunik_task *task)
{
    struct virtio_path *path = lunik_container_of(task, struct virtio_path, refresh);

    for (unsigned i = 0; i < path->count; i++)
        if (path->queues[i].active && !path->queues[i].busy)
            virtqueue_refresh(ring_of(&path->queues[i]));
}

static void refresh_resting(lunik_task *task)
{
    struct virtio_path *path = lunik_container_of(task, struct virtio_path, refresh_resting);

    for (unsigned i = 0; i < path->count; i++)
        if (path->queues[i].state == REST)
            virtqueue_refresh(ring_of(&path->queues[i]));
}

static int map_changed(lunik_listener *l, lunik_error *err)
{
    struct virtio_path *path = lunik_container_of(l, struct virtio_path, listener);

    (void)err;
    lunik_defer(path->rt, &path->refresh_resting);
    if (!path->thread)
        lunik_defer(path->rt, &path->refresh);
    else
        lunik_iothread_post(path->thread, &path->refresh);
    return 0;
}

/* ---- at rest, and not ----------------------------------------------------------------------- */

static void start(struct virtio_path_queue *q)
{
    const struct virtqueue *ring = ring_of(q);

    if (q->state != REST || !q->path->running || q->path->drained || q->path->closing ||
        !ring->enabled || ring->stopping || !virtio_running(q->path->virtio))
        return;
    q->state = SERVED;
    post(q->path, &q->begin);
}

static bool all_rest(const struct virtio_path *path)
{
    for (unsigned i = 0; i < path->count; i++)
        if (path->queues[i].state != REST)
            return false;
    return true;
}

static void answer_drain(struct virtio_path *path)
{
    lunik_drain *d = path->drain;

    path->drain = NULL;
    if (d)
        lunik_drain_done(d);
}

/* Everything that could use the queues has ended. */
static void release(struct virtio_path *path)
{
    lunik_object *o = path->object;

    for (unsigned i = 0; i < path->count; i++) {
        lunik_defer_cancel(path->rt, &path->queues[i].rested);
        close(path->queues[i].fd);
    }
    lunik_defer_cancel(path->rt, &path->closed);
    free(path->queues);
    path->queues = NULL;
    path->count = 0;
    path->released(path);
    lunik_object_unref(o);
}

static void release_if_unused(struct virtio_path *path)
{
    if (path->closing && path->count && !atomic_load(&path->handles) && all_rest(path)) {
        answer_drain(path);
        release(path);
    }
}

static void come_to_rest(struct virtio_path_queue *q)
{
    struct virtio_path *path = q->path;

    if (q->state != STOPPING)
        return;
    q->state = REST;
    if (ring_of(q)->stopping)
        virtio_queue_stopped(path->virtio, q->index);
    if (path->drained && all_rest(path))
        answer_drain(path);
    start(q);
    release_if_unused(path);
}

static void rested(lunik_task *task)
{
    come_to_rest(lunik_container_of(task, struct virtio_path_queue, rested));
}

void virtio_path_idle(struct virtio *v, unsigned queue)
{
    struct virtio_path_queue *q = &v->path->queues[queue];

    lunik_defer(v->path->rt, &q->rested);
}

/* On the loop's thread nothing can be under way but a call of serve that this one is within. */
static void halt(struct virtio_path_queue *q)
{
    struct virtio_path *path = q->path;

    if (q->state != SERVED)
        return;
    q->state = STOPPING;
    if (path->thread || q->busy || path->virtio->ops->finish) {
        post(path, &q->end);
        return;
    }
    lunik_defer_cancel(path->rt, &q->begin);
    q->active = false;
    come_to_rest(q);
}

void virtio_path_kick(struct virtio_path *path, unsigned queue)
{
    struct virtio_path_queue *q = &path->queues[queue];

    if (q->state == SERVED)
        signal_fd(q->fd);
    else
        start(q);
}

void virtio_path_stop(struct virtio_path *path, unsigned queue)
{
    struct virtio_path_queue *q = &path->queues[queue];

    if (q->state == REST)
        virtio_queue_stopped(path->virtio, queue);
    else
        halt(q);
}

void virtio_path_wake(struct virtio_path *path)
{
    for (unsigned i = 0; i < path->count; i++)
        virtio_path_kick(path, i);
}

/* ---- draining ------------------------------------------------------------------------------- */

void virtio_path_drain(struct virtio_path *path, lunik_drain *d)
{
    path->drained = true;
    path->drain = d;
    for (unsigned i = 0; i < path->count; i++)
        halt(&path->queues[i]);
    if (all_rest(path))
        answer_drain(path);
}

void virtio_path_run(struct virtio_path *path, bool running)
{
    path->running = running;
    if (running)
        virtio_path_wake(path);
}

void virtio_path_undrain(struct virtio_path *path)
{
    path->drained = false;
    answer_drain(path);
    virtio_path_wake(path);
}

/* ---- opening and closing -------------------------------------------------------------------- */

static void open_handles(lunik_task *task)
{
    struct virtio_path *path = lunik_container_of(task, struct virtio_path, open);

    for (unsigned i = 0; i < path->count; i++) {
        struct virtio_path_queue *q = &path->queues[i];

        if (uv_poll_init(virtio_path_loop(path->virtio), &q->poll, q->fd))
            continue;
        atomic_fetch_add(&path->handles, 1);
        if (path->thread) {
            uv_poll_start(&q->poll, UV_READABLE, on_signal);
        } else {
            uv_unref((uv_handle_t *)&q->poll);
            lunik_poll_start(&q->poll, UV_READABLE, on_signal);
        }
    }
}

static void closed(lunik_task *task)
{
    release_if_unused(lunik_container_of(task, struct virtio_path, closed));
}

static void drop_handle(struct virtio_path *path)
{
    if (atomic_fetch_sub(&path->handles, 1) > 1)
        return;
    if (lunik_locked(path->rt))
        closed(&path->closed);
    else
        lunik_defer(path->rt, &path->closed);
}

static void on_closed(uv_handle_t *handle)
{
    drop_handle(lunik_container_of((uv_poll_t *)handle, struct virtio_path_queue, poll)->path);
}

static void close_handles(lunik_task *task)
{
    struct virtio_path *path = lunik_container_of(task, struct virtio_path, close);

    for (unsigned i = 0; i < path->count; i++)
        if (path->queues[i].poll.type == UV_POLL)
            uv_close((uv_handle_t *)&path->queues[i].poll, on_closed);
    drop_handle(path);
}

static int make_queue(struct virtio_path *path, unsigned i, lunik_error *err)
{
    struct virtio_path_queue *q = &path->queues[i];

    *q = (struct virtio_path_queue){.path = path,
                                    .index = i,
                                    .begin = {.fn = begin},
                                    .end = {.fn = end},
                                    .rested = {.fn = rested}};
    q->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (q->fd < 0)
        return lunik_fail_errno(err, errno, "virtio: can't make an eventfd for queue %u", i);
    path->count++;
    return 0;
}

static int make_queues(struct virtio_path *path, unsigned count, lunik_error *err)
{
    int rc = 0;

    path->queues = calloc(count, sizeof(*path->queues));
    if (!path->queues)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "virtio: no memory for %u queues", count);
    for (unsigned i = 0; !rc && i < count; i++)
        rc = make_queue(path, i, err);
    if (rc) {
        while (path->count)
            close(path->queues[--path->count].fd);
        free(path->queues);
        path->queues = NULL;
    }
    return rc;
}

int virtio_path_open(struct virtio_path *path, lunik_object *iothread, lunik_error *err)
{
    lunik_machine *m = lunik_object_machine(path->object);
    int rc;

    path->rt = lunik_machine_runtime(m);
    path->thread = iothread ? lunik_iothread_iface(iothread)->thread(iothread) : NULL;
    path->open.fn = open_handles;
    path->close.fn = close_handles;
    path->closed.fn = closed;
    path->refresh.fn = refresh;
    path->refresh_resting.fn = refresh_resting;
    path->running = path->drained = path->closing = false;
    atomic_store(&path->handles, 1);
    rc = make_queues(path, path->virtio->queue_count, err);
    if (rc)
        return rc;
    path->virtio->path = path;
    path->listener =
        (lunik_listener){.name = "virtio", .space = lunik_machine_memory(m), .commit = map_changed};
    rc = lunik_listener_add(m, &path->listener, err);
    lunik_object_ref(path->object);
    if (!rc && path->thread)
        rc = lunik_iothread_post(path->thread, &path->open);
    else if (!rc)
        open_handles(&path->open);
    if (rc)
        virtio_path_close(path);
    return rc;
}

void virtio_path_close(struct virtio_path *path)
{
    if (!path->queues || path->closing)
        return;
    path->closing = true;
    lunik_listener_del(&path->listener);
    lunik_defer_cancel(path->rt, &path->refresh_resting);
    if (!path->thread)
        lunik_defer_cancel(path->rt, &path->refresh);
    for (unsigned i = 0; i < path->count; i++)
        halt(&path->queues[i]);
    post(path, &path->close);
}

int virtio_path_fd(const struct virtio_path *path, unsigned queue)
{
    return path->queues[queue].fd;
}
