/*
 * block.h: back ends of disks, apart from the devices that the guest sees.
 *
 * A back end is an object whose type is a child of "blockdev"; a front end links to it and claims
 * it. Requests go through a channel, which belongs to one thread: all its functions are called
 * there, and so are the callbacks. That thread need not hold the machine lock.
 */
#ifndef BLOCK_BLOCK_H
#define BLOCK_BLOCK_H

#include <sys/queue.h>
#include <sys/uio.h>

#include "lunik_device.h"

enum { BLOCK_SECTOR = 512 };

enum block_op {
    BLOCK_READ,
    BLOCK_WRITE,
    BLOCK_FLUSH,
    BLOCK_DISCARD,
    BLOCK_WRITE_ZEROES,
    BLOCK_OPS
};
enum {
    BLOCK_UNMAP = 1, /* WRITE_ZEROES: the space may be given back */
    BLOCK_FUA = 2,   /* WRITE, WRITE_ZEROES: done when it is on stable storage */
};

struct block_channel;

/* A request. The submitter fills in the first part, and keeps the struct and what iov points to
 * until done is called. */
struct block_request {
    enum block_op op;
    unsigned flags;
    uint64_t offset, size;   /* bytes, multiples of blockdev.unit; FLUSH: unused */
    const struct iovec *iov; /* READ, WRITE: pieces that are size bytes together */
    unsigned count;          /* at most BLOCK_PIECES_MAX */
    /* rc: 0 or a negative errno. Within block_submit() or block_commit(), or later. */
    void (*done)(struct block_request *r, int rc);

    struct block_channel *channel; /* private to the back end from here on */
    struct block_request *next;
    struct block_mail *mail; /* its way back from another thread */
    int rc;
    uint64_t progress;  /* bytes */
    struct iovec *rest; /* pieces after a short transfer */
};

enum { BLOCK_PIECES_MAX = 1024 };

/* The thread of a channel, as its owner reaches it. */
struct block_place {
    /* Calls task->fn on the thread, soon. LUNIK_E_GONE: it has ended. Any thread. */
    int (*post)(void *opaque, lunik_task *task);
    /* Withdraws a task that has not begun. Any thread. */
    void (*cancel)(void *opaque, lunik_task *task);
    /* Returns its loop; on the thread. */
    uv_loop_t *(*loop)(void *opaque);
    /* Called after done() has been called outside of block_submit() and block_commit(), for one
     * request or several. */
    void (*batch)(void *opaque);
    void *opaque;
};

/* The functions of a back end; those below check and count. */
typedef struct lunik_blockdev_ops {
    /* Makes a channel: a struct that begins with a struct block_channel. */
    int (*open)(lunik_object *o, const struct block_place *place, struct block_channel **out,
                lunik_error *err);
    /* Carries a request out, or begins to; answers with block_complete(). */
    void (*submit)(struct block_channel *c, struct block_request *r);
    /* Begins what submit has only noted. May be NULL. */
    void (*commit)(struct block_channel *c);
    /* Frees the channel. Where requests are in flight, their done() is never called. */
    void (*close)(struct block_channel *c);
    /* Changes the size, after which blockdev_resized() is called; NULL: it can't be changed. */
    int (*resize)(lunik_object *o, uint64_t size, lunik_error *err);
} lunik_blockdev_ops;
#define LUNIK_IFACE_blockdev "blockdev"
LUNIK_IFACE_GETTER(blockdev)

/* Notified, with the machine lock, of a change of size. */
struct block_watch {
    void (*resized)(struct block_watch *w);
    LIST_ENTRY(block_watch) link;
};

struct block_stats {
    _Atomic uint64_t operations[BLOCK_OPS]; /* that succeeded */
    _Atomic uint64_t bytes[BLOCK_OPS];
    _Atomic uint64_t errors;
};

/* The state of every back end starts with this. */
struct blockdev {
    _Atomic uint64_t size; /* bytes; a multiple of unit */
    bool readonly;
    uint32_t unit;     /* of offsets and sizes: 512, or more where the back end needs it */
    uint32_t physical; /* what is best written at once, bytes; 0: not known */
    bool discards;     /* discarded space is given back */
    struct block_stats stats;
    LIST_HEAD(, block_watch) watches;
};

/* Every channel starts with this. */
struct block_channel {
    const lunik_blockdev_ops *ops;
    struct blockdev *dev;
    struct block_place place;
    unsigned in_flight;
    bool submitting; /* in block_submit() or block_commit() */
};

/* ---- for front ends ------------------------------------------------------------------------- */

/* Opens a channel to a back end; on the place's thread, or before it may use the channel. */
int block_open(lunik_object *o, const struct block_place *place, struct block_channel **out,
               lunik_error *err);
/* Begins a request, at the latest with the next block_commit(). A request beyond the end fails with
 * EINVAL, a write to what is readonly with EROFS. */
void block_submit(struct block_channel *c, struct block_request *r);
void block_commit(struct block_channel *c);
/* Closes a channel (may be NULL). Memory of requests that are in flight must stay: they are not
 * waited for, and never answered. */
void block_close(struct block_channel *c);
/* Name the back end's operations in messages and properties. */
const char *block_op_name(enum block_op op);

/* ---- for back ends -------------------------------------------------------------------------- */

/* Answers a request; on the channel's thread. */
void block_complete(struct block_request *r, int rc);
/* Ends a batch of answers that were given outside of submit and commit. */
void block_batch_end(struct block_channel *c);
/* Sets the size and notifies; with the machine lock. */
void blockdev_resized(lunik_object *o, uint64_t size);

#endif
