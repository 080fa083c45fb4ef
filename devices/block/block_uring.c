/*
 * block_uring.c: requests to a file by io_uring.
 *
 * A ring is made with its disk, since a sandbox allows no more to be made, and is restricted to
 * reads, writes and flushes: code in the sandbox can reach no other file with it. Without liburing
 * at build time, or where the kernel forbids rings, there are none.
 */
#include <errno.h>
#include <stdlib.h>

#include "block_file.h"

#ifdef HAVE_LIBURING
#include <liburing.h>

enum { RING_ENTRIES = 128 };

struct block_ring {
    struct io_uring ring;
    struct block_channel *channel; /* NULL: detached */
    struct block_file *file;
    block_submit_fn *otherwise;
    uv_poll_t poll;
    unsigned prepared;
};

/* ---- making --------------------------------------------------------------------------------- */

static int restrict_ring(struct io_uring *ring)
{
    static const uint8_t operations[] = {IORING_OP_READV, IORING_OP_WRITEV, IORING_OP_FSYNC};
    struct io_uring_restriction allowed[3] = {{0}};
    int rc;

    for (unsigned i = 0; i < 3; i++) {
        allowed[i].opcode = IORING_RESTRICTION_SQE_OP;
        allowed[i].sqe_op = operations[i];
    }
    rc = io_uring_register((unsigned)ring->ring_fd, IORING_REGISTER_RESTRICTIONS, allowed, 3);
    return rc < 0
               ? rc
               : io_uring_register((unsigned)ring->ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
}

int block_ring_new(struct block_ring **out, lunik_error *err)
{
    struct block_ring *ring = calloc(1, sizeof(*ring));
    int rc;

    if (!ring)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "io_uring: out of memory");
    rc = io_uring_queue_init(RING_ENTRIES, &ring->ring,
                             IORING_SETUP_R_DISABLED | IORING_SETUP_COOP_TASKRUN);
    if (rc == -EINVAL)
        rc = io_uring_queue_init(RING_ENTRIES, &ring->ring, IORING_SETUP_R_DISABLED);
    if (rc) {
        free(ring);
        return lunik_fail_errno(err, -rc, "io_uring: can't make a ring");
    }
    rc = restrict_ring(&ring->ring);
    if (rc) {
        block_ring_free(ring);
        return lunik_fail_errno(err, -rc, "io_uring: can't restrict a ring");
    }
    *out = ring;
    return 0;
}

void block_ring_free(struct block_ring *ring)
{
    if (!ring)
        return;
    io_uring_queue_exit(&ring->ring);
    free(ring);
}

/* ---- requests ------------------------------------------------------------------------------- */

static struct io_uring_sqe *next_entry(struct block_ring *ring)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->ring);

    if (sqe)
        return sqe;
    block_ring_commit(ring);
    return io_uring_get_sqe(&ring->ring);
}

void block_ring_submit(struct block_ring *ring, struct block_request *r)
{
    unsigned count = 0;
    const struct iovec *iov = r->op == BLOCK_FLUSH ? NULL : block_remaining(r, &count);
    struct io_uring_sqe *sqe = iov || r->op == BLOCK_FLUSH ? next_entry(ring) : NULL;
    uint64_t at = r->offset + r->progress;

    if (!sqe) {
        ring->otherwise(ring->channel, r);
        return;
    }
    if (r->op == BLOCK_READ)
        io_uring_prep_readv(sqe, ring->file->fd, iov, count, at);
    else if (r->op == BLOCK_WRITE)
        io_uring_prep_writev2(sqe, ring->file->fd, iov, count, at,
                              r->flags & BLOCK_FUA ? RWF_DSYNC : 0);
    else
        io_uring_prep_fsync(sqe, ring->file->fd, IORING_FSYNC_DATASYNC);
    io_uring_sqe_set_data(sqe, r);
    ring->prepared++;
}

void block_ring_commit(struct block_ring *ring)
{
    int rc = 0;

    while (ring->prepared && rc >= 0) {
        rc = io_uring_submit(&ring->ring);
        if (rc > 0)
            ring->prepared -= (unsigned)rc < ring->prepared ? (unsigned)rc : ring->prepared;
        else if (rc == -EINTR)
            rc = 0;
    }
}

/* A short transfer goes on with what is left; at the end of the file it fails. */
static void finish(struct block_ring *ring, struct block_request *r, int result)
{
    if (result == -EAGAIN || result == -EINTR) {
        ring->otherwise(ring->channel, r);
    } else if (result < 0) {
        block_complete(r, result);
    } else if (r->op == BLOCK_FLUSH) {
        block_complete(r, 0);
    } else if (!result) {
        block_complete(r, -EIO);
    } else {
        r->progress += (unsigned)result;
        if (r->progress >= r->size)
            block_complete(r, 0);
        else
            block_ring_submit(ring, r);
    }
}

static void on_answer(uv_poll_t *poll, int status, int events)
{
    struct block_ring *ring = lunik_container_of(poll, struct block_ring, poll);
    struct io_uring_cqe *cqe;
    bool any = false;

    (void)status, (void)events;
    while (ring->channel && !io_uring_peek_cqe(&ring->ring, &cqe)) {
        struct block_request *r = io_uring_cqe_get_data(cqe);
        int result = cqe->res;

        io_uring_cqe_seen(&ring->ring, cqe);
        any = true;
        finish(ring, r, result);
    }
    if (!any || !ring->channel)
        return;
    block_ring_commit(ring);
    block_batch_end(ring->channel);
}

/* ---- attaching ------------------------------------------------------------------------------ */

static void on_closed(uv_handle_t *handle)
{
    block_ring_free(lunik_container_of((uv_poll_t *)handle, struct block_ring, poll));
}

int block_ring_attach(struct block_ring *ring, struct block_channel *c, struct block_file *file,
                      block_submit_fn *otherwise, lunik_error *err)
{
    int rc = uv_poll_init(c->place.loop(c->place.opaque), &ring->poll, ring->ring.ring_fd);

    if (rc)
        return lunik_fail_errno(err, -rc, "io_uring: can't watch a ring");
    uv_unref((uv_handle_t *)&ring->poll);
    ring->channel = c;
    ring->file = file;
    ring->otherwise = otherwise;
    rc = lunik_poll_start(&ring->poll, UV_READABLE, on_answer);
    if (rc) {
        block_ring_detach(ring);
        return lunik_fail_errno(err, -rc, "io_uring: can't watch a ring");
    }
    return 0;
}

void block_ring_detach(struct block_ring *ring)
{
    ring->channel = NULL;
    uv_close((uv_handle_t *)&ring->poll, on_closed);
}

#else

int block_ring_new(struct block_ring **out, lunik_error *err)
{
    (void)out;
    return lunik_fail(err, LUNIK_E_UNSUPPORTED, "io_uring: this build has no liburing");
}

void block_ring_free(struct block_ring *ring)
{
    (void)ring;
}

int block_ring_attach(struct block_ring *ring, struct block_channel *c, struct block_file *file,
                      block_submit_fn *otherwise, lunik_error *err)
{
    (void)ring, (void)c, (void)file, (void)otherwise;
    return lunik_fail(err, LUNIK_E_UNSUPPORTED, "io_uring: this build has no liburing");
}

void block_ring_detach(struct block_ring *ring)
{
    (void)ring;
}

void block_ring_submit(struct block_ring *ring, struct block_request *r)
{
    (void)ring;
    block_complete(r, -ENOSYS);
}

void block_ring_commit(struct block_ring *ring)
{
    (void)ring;
}

#endif
