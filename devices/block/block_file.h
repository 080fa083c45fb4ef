/*
 * block_file.h: the parts of blockdev-file: the open file, requests carried out by system calls,
 * and by io_uring.
 */
#ifndef BLOCK_BLOCK_FILE_H
#define BLOCK_BLOCK_FILE_H

#include <sys/stat.h>

#include "block_pool.h"

enum block_aio { BLOCK_AIO_AUTO, BLOCK_AIO_PREADV, BLOCK_AIO_THREADS, BLOCK_AIO_URING };

struct block_ring;
typedef void block_submit_fn(struct block_channel *c, struct block_request *r);

/* Outlives the object while the host works on a request. */
struct block_file {
    int fd;
    uint64_t size;  /* bytes, when it was opened */
    bool regular;   /* not a block device */
    bool in_memory; /* of a file system that has no disk */
    bool direct;
    bool unmap;            /* discards are passed on */
    bool limited;          /* writes may exceed the process's file size limit, which has a signal */
    uint32_t unit;         /* of offsets and sizes */
    uint32_t memory_align; /* of buffers, with direct */
    uint32_t physical;
    _Atomic bool nowait; /* reads that would wait can be told from others */
};

struct block_file_options {
    const char *type, *name, *given_by; /* for messages */
    const char *filename;               /* NULL: fd */
    int fd;
    bool readonly, direct, locking;
};

/* ---- block_file.c --------------------------------------------------------------------------- */

/* Opens, checks and locks a file. On success block_file_close() follows. */
int block_file_open(struct block_file *f, const struct block_file_options *options,
                    lunik_error *err);
void block_file_close(struct block_file *f);
/* Gives the locks back, which else last as long as the file is open. */
void block_file_unlock(struct block_file *f);
/* Gets the present size of the file or device. Returns 0 or errno. */
int block_file_size(const struct block_file *f, uint64_t *out);

/* ---- block_file_io.c ------------------------------------------------------------------------ */

/* Carries a request out, and waits for it; returns 0 or a negative errno. Any thread. */
int block_file_run(struct block_file *f, struct block_request *r);
/* Reads what can be read without waiting for a disk; returns true if that was all. */
bool block_file_try(struct block_file *f, struct block_request *r);
/* Whether the file takes the request's buffers as they are. */
bool block_file_aligned(const struct block_file *f, const struct block_request *r);
/* Returns the pieces that are left to transfer; NULL: no memory. */
const struct iovec *block_remaining(struct block_request *r, unsigned *count);

/* ---- block_uring.c -------------------------------------------------------------------------- */

/* Makes a ring, which can do no more than read, write and flush; before a sandbox is entered. */
int block_ring_new(struct block_ring **out, lunik_error *err);
void block_ring_free(struct block_ring *ring);
/* Has the answers of the ring delivered to a channel, on its thread; file is what requests are for.
 * Requests that the ring can't take, or gives back undone, go to otherwise(). */
int block_ring_attach(struct block_ring *ring, struct block_channel *c, struct block_file *file,
                      block_submit_fn *otherwise, lunik_error *err);
/* Ends that, and frees the ring; requests in flight are not answered. */
void block_ring_detach(struct block_ring *ring);
void block_ring_submit(struct block_ring *ring, struct block_request *r);
void block_ring_commit(struct block_ring *ring);

#endif
