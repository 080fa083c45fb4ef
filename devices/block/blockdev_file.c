/*
 * blockdev_file.c: a disk in a file, byte by byte ("raw"), or on a block device of the host.
 *
 * DESIGN. Which way a request goes is chosen for each file (aio=auto):
 *   a file of a file system in memory: carried out at once, on the thread of the queue, if it is
 *     not large; no other way is as fast, and none of its calls waits for a disk;
 *   a file with O_DIRECT: io_uring, or the thread pool where there is no ring;
 *   a cached file: reads are tried at once without waiting (RWF_NOWAIT); what would wait, and all
 *     writes, as with O_DIRECT.
 * Discards, and writes of zeros, may take long anywhere and are the pool's. Not modelled: formats
 * other than raw.
 */
#define _GNU_SOURCE /* RWF_NOWAIT */
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "block_file.h"
#include "../quiet_signal.h"
#include "../types.h"

struct blockdev_file {
    struct blockdev base;
    char *filename;
    int64_t fd;
    char fd_name[32];
    bool direct, locking;
    int aio, discard;

    struct block_file *file; /* the pool's, once there is one */
    struct block_pool *pool;
    struct block_ring *ring; /* until a channel takes it; NULL: none */
};

enum { DISCARD_UNMAP, DISCARD_IGNORE };
enum { AT_ONCE_MAX = 1 << 20 }; /* bytes: larger requests would keep the thread too long */

/* ---- channels ------------------------------------------------------------------------------- */

struct file_channel {
    struct block_channel base;
    struct blockdev_file *dev;
    struct block_ring *ring; /* NULL: none */
    struct block_mail *mail;
};

static int open_channel(lunik_object *o, const struct block_place *place,
                        struct block_channel **out, lunik_error *err)
{
    struct block_mail *mail;
    struct file_channel *c = block_channel_new(o, sizeof(*c), &mail, err);

    (void)place;
    if (!c)
        return LUNIK_E_NO_MEMORY;
    c->dev = lunik_state(o);
    c->mail = mail;
    *out = &c->base;
    return 0;
}

static void use_pool(struct block_channel *base, struct block_request *r)
{
    struct file_channel *c = lunik_container_of(base, struct file_channel, base);

    block_pool_add(c->dev->pool, c->mail, r);
}

/* The place is known after block_open(). Without a ring after all, the pool takes its part. */
static void use_ring(struct file_channel *c)
{
    struct block_ring *ring = c->dev->ring;

    c->dev->ring = NULL;
    if (ring && !block_ring_attach(ring, &c->base, c->dev->file, use_pool, NULL))
        c->ring = ring;
}

static void wait_for_it(struct file_channel *c, struct block_request *r)
{
    if (c->dev->ring)
        use_ring(c);
    if (c->ring && !(c->dev->file->limited && r->op == BLOCK_WRITE))
        block_ring_submit(c->ring, r);
    else
        use_pool(&c->base, r);
}

static bool at_once(const struct blockdev_file *dev, const struct block_request *r)
{
    if (dev->file->limited && r->op != BLOCK_READ && r->op != BLOCK_FLUSH)
        return false;
    if (dev->aio == BLOCK_AIO_PREADV)
        return true;
    return dev->aio == BLOCK_AIO_AUTO && dev->file->in_memory &&
           (r->op == BLOCK_FLUSH || (r->op <= BLOCK_WRITE && r->size <= AT_ONCE_MAX));
}

static void submit(struct block_channel *base, struct block_request *r)
{
    struct file_channel *c = lunik_container_of(base, struct file_channel, base);
    struct blockdev_file *dev = c->dev;
    bool try = dev->aio == BLOCK_AIO_AUTO && !dev->file->direct && r->op == BLOCK_READ &&
               r->size <= AT_ONCE_MAX;

    if (at_once(dev, r))
        block_complete(r, block_file_run(dev->file, r));
    else if (try && block_file_try(dev->file, r))
        block_complete(r, 0);
    else if (r->op > BLOCK_FLUSH || dev->aio == BLOCK_AIO_THREADS ||
             !block_file_aligned(dev->file, r))
        use_pool(base, r);
    else
        wait_for_it(c, r);
}

static void commit(struct block_channel *base)
{
    struct file_channel *c = lunik_container_of(base, struct file_channel, base);

    if (c->ring)
        block_ring_commit(c->ring);
}

static void close_channel(struct block_channel *base)
{
    struct file_channel *c = lunik_container_of(base, struct file_channel, base);

    if (c->ring)
        block_ring_detach(c->ring);
    block_mail_close(c->mail);
    free(c);
}

/* ---- size ----------------------------------------------------------------------------------- */

/* A device can't be resized, but may have been. */
static int resize_device(lunik_object *o, uint64_t size, lunik_error *err)
{
    struct blockdev_file *dev = lunik_state(o);
    uint64_t has = 0;
    int sys = block_file_size(dev->file, &has);

    if (sys || size > has)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "%s '%s': size: %" PRIu64 " bytes are more than the %" PRIu64
                          " of the device",
                          lunik_object_type_name(o), lunik_object_id(o), size, has);
    return 0;
}

static int resize(lunik_object *o, uint64_t size, lunik_error *err)
{
    struct blockdev_file *dev = lunik_state(o);

    if (!dev->file->regular)
        return resize_device(o, size, err);
    if (dev->base.readonly)
        return lunik_fail(err, LUNIK_E_INVALID, "%s '%s': size: the disk is readonly",
                          lunik_object_type_name(o), lunik_object_id(o));
    if (quiet_truncate(dev->file->fd, (off_t)size))
        return lunik_fail_errno(err, errno, "%s '%s': size: can't resize to %" PRIu64 " bytes",
                                lunik_object_type_name(o), lunik_object_id(o), size);
    return 0;
}

/* ---- life cycle ----------------------------------------------------------------------------- */

static int run_request(void *opaque, struct block_request *r)
{
    return block_file_run(opaque, r);
}

static void release_file(void *opaque)
{
    struct block_file *f = opaque;

    block_file_close(f);
    free(f);
}

static int open_file(lunik_object *o, lunik_error *err)
{
    struct blockdev_file *dev = lunik_state(o);
    struct block_file_options options = {
        .type = lunik_object_type_name(o),
        .name = dev->filename ? dev->filename : dev->fd_name,
        .given_by = dev->filename ? "filename" : "fd",
        .filename = dev->filename,
        .fd = (int)dev->fd,
        .readonly = dev->base.readonly,
        .direct = dev->direct,
        .locking = dev->locking,
    };

    if (dev->filename && dev->fd >= 0)
        return lunik_fail(err, LUNIK_E_INVALID, "%s: fd: can't go with filename", options.type);
    if (!dev->filename && dev->fd < 0)
        return lunik_fail(err, LUNIK_E_INVALID, "%s: filename: is missing (want a string, or fd)",
                          options.type);
    snprintf(dev->fd_name, sizeof(dev->fd_name), "descriptor %" PRId64, dev->fd);
    return block_file_open(dev->file, &options, err);
}

/* With aio=auto a ring is an offer. */
static int make_ring(lunik_object *o, lunik_error *err)
{
    struct blockdev_file *dev = lunik_state(o);
    bool automatic = dev->aio == BLOCK_AIO_AUTO;
    int rc;

    if ((!automatic && dev->aio != BLOCK_AIO_URING) || (automatic && dev->file->in_memory))
        return 0;
    rc = block_ring_new(&dev->ring, automatic ? NULL : err);
    return rc && !automatic ? lunik_fail_prefix(err, rc, "%s: aio", lunik_object_type_name(o)) : 0;
}

static void unrealize(lunik_object *o)
{
    struct blockdev_file *dev = lunik_state(o);

    block_ring_free(dev->ring);
    dev->ring = NULL;
    if (!block_pool_busy(
            dev->pool)) /* its threads may end, and the file be closed, a little later */
        block_file_unlock(dev->file);
    block_pool_free(dev->pool);
    dev->pool = NULL;
    dev->file = NULL;
}

static int realize(lunik_object *o, lunik_error *err)
{
    struct blockdev_file *dev = lunik_state(o);
    int rc;

    if (dev->base.size)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "%s: size: is that of the file (want it set later, to resize the disk)",
                          lunik_object_type_name(o));
    dev->file = calloc(1, sizeof(*dev->file));
    if (!dev->file)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "%s: out of memory", lunik_object_type_name(o));
    rc = open_file(o, err);
    dev->pool = rc ? NULL : block_pool_new(run_request, release_file, dev->file);
    if (!dev->pool) {
        release_file(dev->file);
        return rc ? rc
                  : lunik_fail(err, LUNIK_E_NO_MEMORY, "%s: out of memory",
                               lunik_object_type_name(o));
    }
    dev->file->unmap = dev->discard == DISCARD_UNMAP;
    dev->direct = dev->file->direct;
    dev->base.size = dev->file->size;
    dev->base.unit = dev->file->unit;
    dev->base.physical = dev->file->physical;
    dev->base.discards = dev->file->unmap;
    rc = make_ring(o, err);
    if (rc)
        unrealize(o);
    return rc;
}

static const char *const aio_names[] = {"auto", "preadv", "threads", "io_uring", NULL};
static const char *const discard_names[] = {"unmap", "ignore", NULL};

static const lunik_prop props[] = {
    {
        .name = "filename",
        .kind = LUNIK_PROP_STRING,
        .doc = "A file with the contents of the disk, or a block device of the host.",
        .offset = offsetof(struct blockdev_file, filename),
    },
    {
        .name = "fd",
        .kind = LUNIK_PROP_INT,
        .doc =
            "Instead of filename: the descriptor of an open file, which is duplicated; -1: none.",
        .offset = offsetof(struct blockdev_file, fd),
        .def = (uint64_t)-1,
        .min = (uint64_t)-1,
        .max = INT32_MAX,
    },
    {
        .name = "direct",
        .kind = LUNIK_PROP_BOOL,
        .doc = "Go past the host's page cache (O_DIRECT).",
        .offset = offsetof(struct blockdev_file, direct),
    },
    {
        .name = "aio",
        .kind = LUNIK_PROP_ENUM,
        .doc =
            "How requests are carried out: by what suits the file, by calls on the thread of the "
            "queue, by a pool of threads, or by io_uring.",
        .offset = offsetof(struct blockdev_file, aio),
        .choices = aio_names,
    },
    {
        .name = "discard",
        .kind = LUNIK_PROP_ENUM,
        .doc = "Whether space that the guest discards is given back to the file system.",
        .offset = offsetof(struct blockdev_file, discard),
        .choices = discard_names,
    },
    {
        .name = "locking",
        .kind = LUNIK_PROP_BOOL,
        .doc = "Lock the file as QEMU does, so that no other disk or program writes it.",
        .offset = offsetof(struct blockdev_file, locking),
        .def = true,
    },
    {0},
};

static const lunik_blockdev_ops blockdev_ops = {
    .open = open_channel,
    .submit = submit,
    .commit = commit,
    .close = close_channel,
    .resize = resize,
};

static const lunik_iface ifaces[] = {LUNIK_IFACE(blockdev, &blockdev_ops), {0}};

const lunik_type blockdev_file_type = {
    .name = "blockdev-file",
    .parent = "blockdev",
    .doc = "A disk in a file, or on a block device of the host.",
    .flags = LUNIK_TYPE_HOTPLUG | LUNIK_TYPE_UNPLUG,
    .size = sizeof(struct blockdev_file),
    .props = props,
    .ifaces = ifaces,
    .realize = realize,
    .unrealize = unrealize,
    .state = &lunik_state_none,
};
