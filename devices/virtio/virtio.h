/*
 * virtio.h: what all virtio 1.2 devices have (chapters 2.1 to 2.6), apart from their transports:
 * status, features, configuration, queues. Modern devices only: VIRTIO_F_VERSION_1 is a must.
 *
 * A transport's registers lead to the functions for drivers; its hooks send interrupts. The
 * machine lock is held, unless a function says otherwise. Queues are served by the device, either
 * with serve() on the thread of its data path (virtio_path.h) or, without one, on whichever thread
 * it likes; no request may be taken before start() and after stop() has been answered.
 */
#ifndef VIRTIO_VIRTIO_H
#define VIRTIO_VIRTIO_H

#include "queue.h"

/* Bits of the status. */
enum {
    VIRTIO_ACKNOWLEDGE = 1,
    VIRTIO_DRIVER = 2,
    VIRTIO_DRIVER_OK = 4,
    VIRTIO_FEATURES_OK = 8,
    VIRTIO_NEEDS_RESET = 64,
    VIRTIO_FAILED = 128,
};

struct virtio;
struct virtio_path;

/* The device. Functions may be NULL, except serve, or without a data path stop. */
struct virtio_ops {
    /* Checks features that depend on each other; they are a subset of those offered. */
    bool (*features_ok)(struct virtio *v, uint64_t features);
    /* The driver is ready: queues that are enabled may be served. */
    void (*start)(struct virtio *v);
    /* Finish or drop what is in flight of a queue; then call virtio_queue_stopped(), now or
     * later. The queue is not to be served before it is enabled again. */
    void (*stop)(struct virtio *v, unsigned queue);
    /* Serve the queue, if it is enabled. */
    void (*kick)(struct virtio *v, unsigned queue);
    /* The same with a data path, in place of kick and stop, on the queue's thread. serve: take what
     * is in the queue and carry it out, or begin to. finish: complete or drop what is in flight,
     * then call virtio_path_idle(), now or later; serve is not called before the queue is started
     * again. NULL: nothing is in flight after serve has returned. */
    void (*serve)(struct virtio *v, unsigned queue);
    void (*finish)(struct virtio *v, unsigned queue);
    /* All queues have stopped: back to the state after power-on. */
    void (*reset)(struct virtio *v);
    /* The driver has written to the device's configuration, which virtio has stored. */
    void (*configured)(struct virtio *v, uint32_t offset, uint32_t size);
};

/* The transport. Functions may be NULL, except config_interrupt. */
struct virtio_transport {
    /* The configuration, or NEEDS_RESET, has changed. Any thread. */
    void (*config_interrupt)(void *opaque);
    /* Requests of a queue have been shown as used. Any thread. */
    void (*queue_interrupt)(void *opaque, unsigned queue);
    /* The device has been reset. */
    void (*reset)(void *opaque);
};

struct virtio {
    const struct virtio_ops *ops;
    const struct virtio_transport *transport; /* NULL: none yet */
    void *opaque;                             /* of the transport */
    struct virtio_path *path;                 /* NULL: the device has none */
    uint64_t offered;                         /* features; VERSION_1 included */
    struct virtqueue *queues;                 /* the device's, after virtqueue_init() */
    unsigned queue_count;
    uint8_t *config; /* the device's configuration space; may be NULL */
    uint32_t config_size;

    /* Private to virtio; saved. */
    uint64_t features; /* the driver's; final with FEATURES_OK */
    _Atomic uint8_t status;
    uint8_t generation;
    /* Private to virtio. */
    bool resetting;    /* until all queues have stopped */
    unsigned stopping; /* queues */
};

/* ---- for devices ---------------------------------------------------------------------------- */

/* The device has filled in the fields that are its own; the others are zeros. */
void virtio_init(struct virtio *v);
/* Reports that the device's configuration has changed; to be called after the change. */
void virtio_config_changed(struct virtio *v);
/* Sets NEEDS_RESET, such as after a queue has been broken. Any thread, any number of times. */
void virtio_needs_reset(struct virtio *v);
/* Answers ops->stop(). */
void virtio_queue_stopped(struct virtio *v, unsigned queue);
/* Shows the driver the requests that have been pushed, with an interrupt if it wants one. On the
 * queue's thread. */
void virtio_flush(struct virtio *v, unsigned queue);
/* Sends the interrupt of a queue. Any thread. */
void virtio_interrupt(struct virtio *v, unsigned queue);
/* True if the driver is ready and the device needs no reset. Any thread. */
bool virtio_running(const struct virtio *v);

/* ---- for transports ------------------------------------------------------------------------- */

/* 32 feature bits from bit 32 * select on; those of the driver can be set before FEATURES_OK. */
uint32_t virtio_offered(const struct virtio *v, uint32_t select);
uint32_t virtio_features(const struct virtio *v, uint32_t select);
void virtio_set_features(struct virtio *v, uint32_t select, uint32_t bits);
/* The status register. Writing 0 resets the device, and reads give what was there until that is
 * done; meanwhile writes are dropped. Bits can only be added. */
uint8_t virtio_status(const struct virtio *v);
void virtio_set_status(struct virtio *v, uint8_t status);
/* Enables a queue whose size and addresses have been set. Where that fails the device needs a
 * reset, and err says why. */
int virtio_enable_queue(struct virtio *v, unsigned queue, lunik_error *err);
/* Resets one queue (VIRTIO_F_RING_RESET); it is done once the queue is disabled with nothing in
 * flight, as virtio_queue_resetting() shows. */
void virtio_reset_queue(struct virtio *v, unsigned queue);
bool virtio_queue_resetting(const struct virtio *v, unsigned queue);
/* A notification, with data or without (then the number of the queue). */
void virtio_notify(struct virtio *v, uint32_t data);
/* The device's configuration, little-endian; what is beyond it reads as zeros. */
uint64_t virtio_read_config(const struct virtio *v, uint32_t offset, unsigned size);
void virtio_write_config(struct virtio *v, uint32_t offset, unsigned size, uint64_t value);

/* Status, features and generation; queues and configuration are the device's to save. */
extern const lunik_state_table virtio_state;

#endif
