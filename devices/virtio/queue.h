/*
 * queue.h: a virtio 1.2 queue (chapter 2), split or packed, apart from any transport.
 *
 * A queue is used by one thread at a time, its own, which needs no lock: the rings and buffers are
 * reached through the windows of a lunik_dma, whose gate is the bus-master bit. While requests are
 * in flight, or have been pushed and not published, the queue is an access under way for that gate.
 *
 * The driver's side is not trusted. A breach of the specification's rules breaks the queue: it has
 * a reason, takes and returns nothing more until it is reset, and the device sets
 * DEVICE_NEEDS_RESET. Rings and buffers must be in RAM, and each part of a ring in one piece of it.
 *
 * Nothing is allocated for a request. A change of the memory map is seen when requests are next
 * taken; those in flight keep the RAM that they were taken with.
 */
#ifndef VIRTIO_QUEUE_H
#define VIRTIO_QUEUE_H

#include <sys/uio.h>

#include "lunik_device.h"

/* Feature bits that concern queues. */
#define VIRTIO_F_INDIRECT_DESC     (UINT64_C(1) << 28)
#define VIRTIO_F_EVENT_IDX         (UINT64_C(1) << 29)
#define VIRTIO_F_VERSION_1         (UINT64_C(1) << 32)
#define VIRTIO_F_RING_PACKED       (UINT64_C(1) << 34)
#define VIRTIO_F_NOTIFICATION_DATA (UINT64_C(1) << 38)
#define VIRTIO_F_RING_RESET        (UINT64_C(1) << 40)

enum { VIRTQUEUE_SIZE_MAX = 32768, VIRTQUEUE_SEGMENTS_MAX = 1024 };

struct virtqueue_map;
struct virtqueue_ops;

/* A request in flight: the driver's buffers as pieces of guest memory, first those that the device
 * reads, then those that it writes. Their content may change at any time. */
struct virtqueue_request {
    struct iovec *iov; /* out + in pieces */
    uint16_t out, in;
    uint64_t out_size, in_size; /* bytes, together at most 4 GiB */

    uint16_t id, descriptors, buffers; /* private to the queue from here on */
    uint32_t written;
    struct virtqueue_map *map;
    struct virtqueue_request *next;
};

/* A part of a ring, as far as it has been looked up. */
struct virtqueue_area {
    uint8_t *host;
    const lunik_dma_window *window;
    uint64_t address;
};

struct virtqueue {
    /* Set by the transport while the queue is disabled, and saved. */
    uint16_t size;        /* a power of two for a split ring */
    uint64_t descriptors; /* addresses: the descriptor table or packed ring, */
    uint64_t driver_area; /* the available ring or driver's event suppression structure, */
    uint64_t device_area; /* the used ring or the device's */

    /* Private to the queue; those up to `kept` are saved. */
    bool enabled, packed, event_idx, indirect;
    uint16_t avail, used; /* the next entries; split: as the ring's indexes, modulo 2^16 */
    bool avail_wrap, used_wrap;
    bool broken;
    char reason[96];
    uint32_t kept_words; /* requests to be taken again: see queue_kept.c */
    uint64_t *kept;

    lunik_dma *dma;
    uint16_t max_size, segments;
    const struct virtqueue_ops *ops;
    struct virtqueue_request *pool, *spare;
    struct virtqueue_request *pushed, **pushed_end; /* to be shown to the driver */
    struct iovec *iovecs;
    uint64_t *buffers;         /* of each request, two words a buffer; NULL: they are not noted */
    bool *busy;                /* split: for each head, whether it is in flight */
    uint16_t in_flight;        /* requests that were taken and not shown as used */
    uint16_t owned;            /* packed: descriptors of these */
    bool held;                 /* the access to memory has begun */
    bool serving;              /* between quiet and listen */
    _Atomic bool fence;        /* stored where a fence is needed */
    struct virtqueue_map *map; /* NULL: look again */
    struct virtqueue_area table, driver, device;
    bool stopping; /* for virtio.c, with the lock: the device has been asked to stop it. Apart from
                      what the thread reads, in words of which it may be a part. */
};

/* Makes a queue of at most max_size entries, a power of two, whose requests have at most `segments`
 * pieces. It is disabled; dma stays the caller's, and must outlive it. */
int virtqueue_init(struct virtqueue *q, lunik_dma *dma, uint16_t max_size, uint16_t segments,
                   lunik_error *err);
/* Has the buffers of requests noted from now on, so that virtqueue_keep() can be used. The queue is
 * disabled. */
int virtqueue_note_buffers(struct virtqueue *q, lunik_error *err);
/* Frees what virtqueue_init() made. No request may be in flight. */
void virtqueue_fini(struct virtqueue *q);

/* Starts the queue with the features that were negotiated. LUNIK_E_INVALID: its size or an address
 * does not suit the ring; LUNIK_E_STATE: it is enabled, or requests from before its reset are still
 * in flight. */
int virtqueue_enable(struct virtqueue *q, uint64_t features, lunik_error *err);
/* Takes the queue back to where it is after virtqueue_init(): on a reset of the device, or of the
 * queue alone (VIRTIO_F_RING_RESET). Requests in flight stay valid until the device pushes them,
 * which then writes nothing. */
void virtqueue_reset(struct virtqueue *q);

/* Takes at most max requests, in the driver's order; returns how many. 0: there are none, the queue
 * is disabled or broken, or the gate is closed: whoever opens it has the queue served again. */
unsigned virtqueue_pop(struct virtqueue *q, struct virtqueue_request **out, unsigned max);
/* Puts the request that was taken last, and not pushed, back; not one that was kept. */
void virtqueue_unpop(struct virtqueue *q, struct virtqueue_request *r);
/* Has a request taken again, by the next virtqueue_pop(), before all that were not taken yet: one
 * that could not be carried out, and may be later. Of several the first one kept comes first. It is
 * in flight no more, and part of the state. Returns false if there is no memory: it stays with the
 * device. */
bool virtqueue_keep(struct virtqueue *q, struct virtqueue_request *r);
/* Finds the RAM that a request is about: the block that has the guest address, or the piece of an
 * iovec of the request, with the place in it; *left: bytes from there on that are in one piece.
 * NULL: there is none that can be written. Valid until the request is given back. */
lunik_ram *virtqueue_ram_at(struct virtqueue *q, const struct virtqueue_request *r,
                            uint64_t address, uint64_t *offset, uint64_t *left);
lunik_ram *virtqueue_ram_of(const struct virtqueue_request *r, const void *host, uint64_t *offset);
/* Gives a request back, `written` bytes of whose writable pieces, from the first on, have been
 * written. Any order. The driver sees it after virtqueue_flush(). */
void virtqueue_push(struct virtqueue *q, struct virtqueue_request *r, uint32_t written);
/* Shows the driver all requests that have been pushed. Returns true if it wants an interrupt. */
bool virtqueue_flush(struct virtqueue *q);

/* Begins to serve the queue: asks the driver for no notifications; it is free to send some. Until
 * virtqueue_listen() the queue is an access under way. */
void virtqueue_quiet(struct virtqueue *q);
/* Ends that: asks for a notification of the next request. Returns true if there is one already, of
 * which the driver may send none: the device goes on to serve the queue. */
bool virtqueue_listen(struct virtqueue *q);

/* Returns false if a notification with data (VIRTIO_F_NOTIFICATION_DATA), which has the number of
 * the queue in its low half, says that there is nothing that has not been taken. Only a hint. */
bool virtqueue_notified(const struct virtqueue *q, uint32_t data);

/* Returns why the queue is broken, a line; NULL if it is not. */
const char *virtqueue_broken(const struct virtqueue *q);
/* Breaks the queue for a reason of the device's, such as a header that is too short. */
void virtqueue_break(struct virtqueue *q, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Closes the windows if the memory map has changed since they were opened. A device whose queue may
 * be idle calls it, on the queue's thread, after each change: memory that is unplugged is not given
 * back to the host before. */
void virtqueue_refresh(struct virtqueue *q);

/* Sizes, addresses, positions, whether it is broken, and requests that are kept. It is saved with
 * nothing in flight: before, the device completes requests, keeps them or puts them back. */
extern const lunik_state_table virtqueue_state;

#endif
