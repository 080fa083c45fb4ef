/*
 * virtio_path.h: the data path of a virtio device: its queues served on one thread, an iothread's
 * without the machine lock, or, without an iothread, the loop's with it.
 *
 * Each queue has an eventfd, which the driver's notifications signal. Between ops->serve() of a
 * queue that has been started and the answer to ops->finish() the queue is its thread's; at rest it
 * belongs to whoever has the machine lock. Queues rest while the driver is not ready, while the
 * queue or the device is being reset, and while the machine has drained the device.
 */
#ifndef VIRTIO_VIRTIO_PATH_H
#define VIRTIO_VIRTIO_PATH_H

#include "virtio.h"

struct virtio_path_queue;

struct virtio_path {
    struct virtio *virtio;
    lunik_object *object; /* the device; its state has this struct */
    /* Called with the lock, after virtio_path_close(), when nothing uses the queues any more: frees
     * them. The object's state stays until it returns. */
    void (*released)(struct virtio_path *path);

    /* Private to the path. */
    lunik_runtime *rt;
    lunik_iothread *thread; /* NULL: the loop's */
    struct virtio_path_queue *queues;
    unsigned count;
    bool running, drained, closing;
    _Atomic unsigned handles; /* not closed yet, and one until they are to be closed */
    lunik_drain *drain;       /* to be answered */
    lunik_task open, close, closed, refresh, refresh_resting;
    lunik_listener listener;
};

/* ---- for transports and types: with the machine lock ---------------------------------------- */

/* Opens the path of path->virtio, whose queues have been made, on the thread of the object iothread
 * (NULL: the loop's). Each success is followed by virtio_path_close(). */
int virtio_path_open(struct virtio_path *path, lunik_object *iothread, lunik_error *err);
/* Ends it, soon: then `released` is called, at the latest by the end of the runtime. Does nothing
 * where it is not open. */
void virtio_path_close(struct virtio_path *path);
/* Returns the eventfd of a queue: each signal has it served. Any thread. */
int virtio_path_fd(const struct virtio_path *path, unsigned queue);
/* Has all queues served that are not at rest, such as after the bus-master bit was set. */
void virtio_path_wake(struct virtio_path *path);
/* What run_state, drain and undrain of the device's type do. */
void virtio_path_run(struct virtio_path *path, bool running);
void virtio_path_drain(struct virtio_path *path, lunik_drain *d);
void virtio_path_undrain(struct virtio_path *path);

/* For virtio.c: serve a queue that may be, or have it stopped. */
void virtio_path_kick(struct virtio_path *path, unsigned queue);
void virtio_path_stop(struct virtio_path *path, unsigned queue);

/* ---- for devices: on the queue's thread, unless a function says otherwise -------------------- */

/* Sets NEEDS_RESET if the queue is broken: after serve() that is done by itself. */
void virtio_path_check(struct virtio *v, unsigned queue);
/* Answers ops->finish(): nothing of the queue is in flight any more. Any thread, with the lock or
 * without. */
void virtio_path_idle(struct virtio *v, unsigned queue);
/* Has ops->serve() called again, soon: for a device that left requests where they are. Any thread.
 */
void virtio_path_again(struct virtio *v, unsigned queue);
/* Calls ops->serve() now, unless the queue is at rest, or within that function: for a device that
 * has answered requests, which the driver may have followed up by now. */
void virtio_path_look(struct virtio *v, unsigned queue);
/* Calls task->fn on the thread of the queues, soon. Any thread. */
void virtio_path_post(struct virtio *v, lunik_task *task);
/* Withdraws it; true: it will not be called. Any thread. */
bool virtio_path_cancel(struct virtio *v, lunik_task *task);
/* Returns the thread's loop. On that thread, or with the lock where there is no iothread. */
uv_loop_t *virtio_path_loop(struct virtio *v);
/* Serves a queue whose requests are carried out at once: calls each() with them one by one, which
 * returns how many bytes it wrote, or breaks the queue, and returns them to the driver. */
void virtio_path_each(struct virtio *v, unsigned queue,
                      uint32_t (*each)(struct virtio *v, unsigned queue,
                                       struct virtqueue_request *r));

#endif
