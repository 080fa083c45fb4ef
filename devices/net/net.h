/*
 * net.h: back ends of network cards: where frames go to and come from.
 *
 * A back end is an object whose type has the parent "netdev", whose state begins with a struct
 * netdev, and whose type's data is a struct netdev_class. A card attaches itself with its
 * functions, and from then on both work on one thread: that of an iothread, without the machine
 * lock, or else the loop's with it. A function "on the thread" is called there alone.
 *
 * Nothing waits: a side that has no room refuses a frame, keeps it where it is, and is called
 * again when there is room.
 */
#ifndef NET_NET_H
#define NET_NET_H

#include <sys/uio.h>

#include "lunik_device.h"

enum {
    NETDEV_HEADER = 12,       /* bytes of struct virtio_net_hdr */
    NETDEV_FRAME_MAX = 65550, /* bytes of a frame: 64 KiB - 1 of IP, Ethernet with a VLAN tag */
    NETDEV_QUEUES_MAX = 31,   /* pairs of queues */
    NETDEV_PIECES_MAX = 256,  /* of a frame that is sent */
};

/* Work that frames with a header may leave to the receiver. */
enum {
    NETDEV_CSUM = 1, /* checksums; needed for the others */
    NETDEV_TSO4 = 2, /* segmentation of TCP */
    NETDEV_TSO6 = 4,
    NETDEV_ECN = 8,
    NETDEV_UFO = 16, /* and of UDP */
    NETDEV_OFFLOADS = 31,
};

struct netdev;

/* The card's functions, on the thread. */
struct netdev_front {
    /* Takes a frame; with a header where the back end has them. False: there is no room, and
     * netdev_resume() follows when there is some. */
    bool (*receive)(void *opaque, unsigned queue, const uint8_t *frame, size_t size);
    /* After one or more frames: there are no more for now. */
    void (*received)(void *opaque, unsigned queue);
    /* After a frame was refused by netdev_send(): there is room again. */
    void (*writable)(void *opaque, unsigned queue);
    /* netdev->up has changed. */
    void (*link)(void *opaque);
};

/* The card that is attached. */
struct netdev_user {
    const struct netdev_front *front; /* NULL: no card */
    void *opaque;
    lunik_object *card;
    lunik_iothread *thread; /* NULL: the loop's */
};

/* The functions of a back end, on the thread, unless they say otherwise. resume and set_offloads
 * may be NULL. */
struct netdev_class {
    /* Begins to carry frames. On failure an event is sent, and the back end stays silent. */
    int (*start)(struct netdev *n, lunik_error *err);
    /* Ends that, in any case: closes what start() opened on the thread's loop. */
    void (*stop)(struct netdev *n);
    /* Takes a frame, or refuses it; see netdev_front. One that can't be sent at all is taken. */
    bool (*send)(struct netdev *n, unsigned queue, const struct iovec *iov, unsigned count);
    void (*resume)(struct netdev *n, unsigned queue);
    /* Sets which of NETDEV_OFFLOADS the card takes, and how many pairs of queues it uses. */
    void (*configure)(struct netdev *n, unsigned offloads, unsigned pairs);
    /* Undoes realize. With the lock; the thread has stopped. */
    void (*release)(struct netdev *n);
};

/* Zeroed by the runtime. */
struct netdev {
    /* Set by the back end's realize. */
    unsigned queues;   /* pairs; 0: one */
    unsigned offloads; /* what both sides may use of NETDEV_OFFLOADS */
    bool vnet_hdr;     /* frames begin with NETDEV_HEADER bytes of header */
    _Atomic bool down; /* there is no carrier; changed with netdev_set_up() */
    _Atomic uint64_t dropped;

    /* Private to netdev.c. */
    struct netdev_user current, wanted; /* lock; current.front and opaque: also the thread */
    _Atomic bool stopping; /* changes with the lock; what is posted from then on is refused */
    bool unrealized;
    lunik_task start, stop, stopped;
};

/* ---- for cards ------------------------------------------------------------------------------ */

/* Makes a card the user of the back end o, whose type has the parent "netdev", until
 * netdev_detach(). With the lock. LUNIK_E_BUSY: it has one. */
int netdev_attach(lunik_object *o, const struct netdev_user *user, lunik_error *err);
/* No function of the card's is called any more once what runs on the thread has returned; the
 * card's state stays until then. With the lock. */
void netdev_detach(lunik_object *o, lunik_object *card);

/* On the thread: see struct netdev_class. */
bool netdev_send(struct netdev *n, unsigned queue, const struct iovec *iov, unsigned count);
void netdev_resume(struct netdev *n, unsigned queue);
void netdev_configure(struct netdev *n, unsigned offloads, unsigned pairs);

/* ---- for back ends -------------------------------------------------------------------------- */

/* Called first in realize. Types inherit unrealize; a realize that fails undoes its own work. */
void netdev_init(struct netdev *n);

lunik_object *netdev_object(const struct netdev *n);
lunik_runtime *netdev_runtime(const struct netdev *n);
/* Hands a frame to the card, if there is one; false: it is refused. On the thread. */
bool netdev_receive(struct netdev *n, unsigned queue, const uint8_t *frame, size_t size);
/* To be called after some of these, before the thread does something else. */
void netdev_received(struct netdev *n, unsigned queue);
/* There is room again after send() has returned false. On the thread. */
void netdev_writable(struct netdev *n, unsigned queue);
/* Says whether the other side is there. On the thread, or before a card is attached. */
void netdev_set_up(struct netdev *n, bool up);
/* Counts a frame that was lost. Any thread. */
void netdev_drop(struct netdev *n);
/* Sends event "netdev-error" {object, message}. Any thread. */
void netdev_error(struct netdev *n, const char *message);
/* Calls task->fn on the thread, soon. False: no card is attached, or it is leaving. With the lock,
 * or on the thread. */
bool netdev_post(struct netdev *n, lunik_task *task);
/* Withdraws it; for stop(). */
void netdev_cancel(struct netdev *n, lunik_task *task);
/* The thread's loop. On the thread. */
uv_loop_t *netdev_loop(struct netdev *n);

/* A descriptor that is watched on the thread's loop. */
struct net_poll;
/* fn's events: of UV_READABLE and UV_WRITABLE; 0 for an error of the descriptor. */
typedef void net_poll_fn(void *opaque, int events);
int net_poll_open(struct net_poll **out, struct netdev *n, int fd, net_poll_fn *fn, void *opaque,
                  lunik_error *err);
/* Watches for these events; 0: for none. An error is reported with netdev_error(). */
void net_poll_want(struct net_poll *p, int events);
/* Closes *p (may be NULL) and sets it to NULL; fn is not called any more. Does not close the
 * descriptor, which the caller then may. */
void net_poll_close(struct net_poll **p);

/* A bounded queue of frames, for back ends that can't leave them where they are. */
struct net_queue {
    struct net_queued *first, **end;
    size_t bytes, limit;
};
void net_queue_init(struct net_queue *q, size_t limit);
/* Appends a copy of a frame; false: the queue is full, or there is no memory. */
bool net_queue_add(struct net_queue *q, unsigned queue, const struct iovec *iov, unsigned count);
/* Returns the first frame, NULL: there is none; and removes it. */
const uint8_t *net_queue_first(const struct net_queue *q, unsigned *queue, size_t *size);
void net_queue_drop(struct net_queue *q);
void net_queue_clear(struct net_queue *q);

size_t net_iov_size(const struct iovec *iov, unsigned count);
/* Copies at most size bytes; returns how many. */
size_t net_iov_copy(uint8_t *to, size_t size, const struct iovec *iov, unsigned count);

#endif
