/*
 * block_file_io.c: requests to a file, carried out by system calls that return when they are done.
 *
 * A read that meets the end of the file, which has been made shorter meanwhile, fails: EIO. With
 * O_DIRECT, buffers that the host does not take as they are go through one that it does.
 */
#define _GNU_SOURCE /* preadv2, fallocate */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "block_file.h"

enum { BOUNCE_ALIGN = 4096, BOUNCE_SIZE = 256 << 10 };

/* ---- pieces --------------------------------------------------------------------------------- */

/* Returns the first piece that has a byte at `skip` or beyond, and how much of it is before. */
static unsigned find_piece(const struct block_request *r, uint64_t skip, uint64_t *before)
{
    unsigned i = 0;

    while (i < r->count && skip >= r->iov[i].iov_len)
        skip -= r->iov[i++].iov_len;
    *before = skip;
    return i;
}

const struct iovec *block_remaining(struct block_request *r, unsigned *count)
{
    uint64_t before;
    unsigned first;

    *count = r->count;
    if (!r->progress)
        return r->iov;
    if (!r->rest)
        r->rest = malloc(r->count * sizeof(*r->rest));
    if (!r->rest)
        return NULL;
    first = find_piece(r, r->progress, &before);
    *count = r->count - first;
    memcpy(r->rest, &r->iov[first], *count * sizeof(*r->rest));
    if (*count) {
        r->rest[0].iov_base = (uint8_t *)r->rest[0].iov_base + before;
        r->rest[0].iov_len -= before;
    }
    return r->rest;
}

/* Copies bytes of the request from its progress on, to or from a buffer. */
static void copy_pieces(const struct block_request *r, uint8_t *buffer, size_t size, bool out)
{
    uint64_t before;

    for (unsigned i = find_piece(r, r->progress, &before); i < r->count && size; i++) {
        uint8_t *base = (uint8_t *)r->iov[i].iov_base + before;
        size_t here = r->iov[i].iov_len - before;

        here = here < size ? here : size;
        if (out)
            memcpy(buffer, base, here);
        else
            memcpy(base, buffer, here);
        buffer += here;
        size -= here;
        before = 0;
    }
}

bool block_file_aligned(const struct block_file *f, const struct block_request *r)
{
    if (!f->direct)
        return true;
    for (unsigned i = 0; i < r->count; i++)
        if ((uintptr_t)r->iov[i].iov_base % f->memory_align || r->iov[i].iov_len % f->unit)
            return false;
    return true;
}

/* ---- transfers ------------------------------------------------------------------------------ */

static ssize_t transfer_some(const struct block_file *f, const struct block_request *r,
                             const struct iovec *iov, unsigned count)
{
    off_t at = (off_t)(r->offset + r->progress);

    if (r->op == BLOCK_READ)
        return preadv(f->fd, iov, (int)count, at);
    if (r->flags & BLOCK_FUA)
        return pwritev2(f->fd, iov, (int)count, at, RWF_DSYNC);
    return pwritev(f->fd, iov, (int)count, at);
}

/* Notes what a call has transferred. Returns 0 or a negative errno. */
static int note(struct block_request *r, ssize_t n)
{
    if (n < 0)
        return errno == EINTR ? 0 : -errno;
    if (!n)
        return -EIO;
    r->progress += (uint64_t)n;
    return 0;
}

static int transfer(struct block_file *f, struct block_request *r)
{
    int rc = 0;

    while (r->progress < r->size && !rc) {
        unsigned count;
        const struct iovec *iov = block_remaining(r, &count);

        rc = iov ? note(r, transfer_some(f, r, iov, count)) : -ENOMEM;
    }
    return rc;
}

static int transfer_bounced(struct block_file *f, struct block_request *r)
{
    void *buffer;
    int rc = 0;

    if (posix_memalign(&buffer, BOUNCE_ALIGN, BOUNCE_SIZE))
        return -ENOMEM;
    while (r->progress < r->size && !rc) {
        uint64_t left = r->size - r->progress;
        struct iovec piece = {buffer, left < BOUNCE_SIZE ? left : BOUNCE_SIZE};
        ssize_t n;

        if (r->op == BLOCK_WRITE)
            copy_pieces(r, buffer, piece.iov_len, true);
        n = transfer_some(f, r, &piece, 1);
        if (n > 0 && r->op == BLOCK_READ)
            copy_pieces(r, buffer, (size_t)n, false);
        rc = note(r, n);
    }
    free(buffer);
    return rc;
}

bool block_file_try(struct block_file *f, struct block_request *r)
{
    ssize_t n;

    if (!atomic_load_explicit(&f->nowait, memory_order_relaxed))
        return false;
    n = preadv2(f->fd, r->iov, (int)r->count, (off_t)r->offset, RWF_NOWAIT);
    if (n > 0)
        r->progress = (uint64_t)n;
    else if (n < 0 && errno == EOPNOTSUPP)
        atomic_store(&f->nowait, false);
    return r->progress == r->size;
}

/* ---- space ---------------------------------------------------------------------------------- */

static int allocate(const struct block_file *f, const struct block_request *r, int mode)
{
    int rc;

    do {
        rc = fallocate(f->fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)r->offset, (off_t)r->size);
    } while (rc && errno == EINTR);
    return rc ? -errno : 0;
}

/* A hint only: what can't be given back stays. */
static int discard(const struct block_file *f, const struct block_request *r)
{
    int rc = f->unmap ? allocate(f, r, FALLOC_FL_PUNCH_HOLE) : 0;

    return rc == -EOPNOTSUPP || rc == -ENODEV ? 0 : rc;
}

static int write_zeros(struct block_file *f, struct block_request *r)
{
    uint64_t size = r->size < BOUNCE_SIZE ? r->size : BOUNCE_SIZE;
    struct block_request part = {.op = BLOCK_WRITE, .count = 1};
    struct iovec piece;
    void *zeros;
    int rc = 0;

    if (posix_memalign(&zeros, BOUNCE_ALIGN, size))
        return -ENOMEM;
    memset(zeros, 0, size);
    for (uint64_t done = 0; done < r->size && !rc; done += part.size) {
        part.offset = r->offset + done;
        part.size = r->size - done < size ? r->size - done : size;
        part.progress = 0;
        piece = (struct iovec){zeros, part.size};
        part.iov = &piece;
        rc = transfer(f, &part);
    }
    free(part.rest);
    free(zeros);
    return rc;
}

static int zero(struct block_file *f, struct block_request *r)
{
    bool unmap = r->flags & BLOCK_UNMAP && f->unmap;
    int rc = allocate(f, r, unmap ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE);

    if (rc == -EOPNOTSUPP || rc == -ENODEV)
        rc = write_zeros(f, r);
    if (!rc && r->flags & BLOCK_FUA && fdatasync(f->fd))
        rc = -errno;
    return rc;
}

int block_file_run(struct block_file *f, struct block_request *r)
{
    switch (r->op) {
    case BLOCK_READ:
    case BLOCK_WRITE:
        return block_file_aligned(f, r) ? transfer(f, r) : transfer_bounced(f, r);
    case BLOCK_FLUSH:
        return fdatasync(f->fd) ? -errno : 0;
    case BLOCK_DISCARD:
        return discard(f, r);
    case BLOCK_WRITE_ZEROES:
        return zero(f, r);
    default:
        return -ENOTSUP;
    }
}
