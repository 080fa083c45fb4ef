/* virtio_blk_device.c: features, configuration, back end and life of a block device. */
#include "virtio_blk.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define F_SEG_MAX      (UINT64_C(1) << 2)
#define F_GEOMETRY     (UINT64_C(1) << 4)
#define F_RO           (UINT64_C(1) << 5)
#define F_BLK_SIZE     (UINT64_C(1) << 6)
#define F_FLUSH        (UINT64_C(1) << 9)
#define F_TOPOLOGY     (UINT64_C(1) << 10)
#define F_CONFIG_WCE   (UINT64_C(1) << 11)
#define F_MQ           (UINT64_C(1) << 12)
#define F_DISCARD      (UINT64_C(1) << 13)
#define F_WRITE_ZEROES (UINT64_C(1) << 14)

enum { HEADS = 16, SECTORS = 63, CYLINDERS_MAX = 16383 };
enum { BLOCK_SIZE_MAX = 32768, SEGMENTS_MAX = 254, SPACE_SECTORS_MAX = 0x3fffff };

/* ---- configuration -------------------------------------------------------------------------- */

static uint32_t segments_of(const struct virtio_blk *blk)
{
    uint64_t most = blk->queue_size - 2;

    return most < SEGMENTS_MAX ? (uint32_t)most : SEGMENTS_MAX;
}

/* Header and status are pieces as well, and what crosses a border between two blocks of RAM. */
uint16_t virtio_blk_segments(const struct virtio_blk *blk)
{
    return (uint16_t)(segments_of(blk) + 4);
}

static uint64_t features_of(const struct virtio_blk *blk)
{
    bool writes = !blk->dev->readonly;

    return F_SEG_MAX | F_GEOMETRY | F_BLK_SIZE | F_FLUSH | F_TOPOLOGY | (writes ? 0 : F_RO) |
           (blk->config_wce ? F_CONFIG_WCE : 0) | (blk->num_queues > 1 ? F_MQ : 0) |
           (blk->discard && writes ? F_DISCARD : 0) |
           (blk->write_zeroes && writes ? F_WRITE_ZEROES : 0);
}

static uint8_t log2_of(uint64_t n)
{
    return n ? (uint8_t)(63 - __builtin_clzll(n)) : 0;
}

/* The driver may have written anything into it but what it may write. */
void virtio_blk_update(struct virtio_blk *blk)
{
    uint64_t sectors = atomic_load(&blk->dev->size) / BLOCK_SECTOR;
    uint64_t cylinders = sectors / (HEADS * SECTORS);
    uint32_t alignment = (uint32_t)(blk->logical / BLOCK_SECTOR);

    atomic_store(&blk->writeback, blk->saved_writeback);
    blk->config = (struct virtio_blk_config){
        .capacity = sectors,
        .seg_max = segments_of(blk),
        .cylinders = (uint16_t)(cylinders < CYLINDERS_MAX ? cylinders : CYLINDERS_MAX),
        .heads = HEADS,
        .sectors = SECTORS,
        .blk_size = (uint32_t)blk->logical,
        .physical_block_exp = log2_of(blk->physical / blk->logical),
        .writeback = blk->saved_writeback,
        .num_queues = (uint16_t)blk->num_queues,
        .max_discard_sectors = SPACE_SECTORS_MAX / alignment * alignment,
        .max_discard_seg = 1,
        .discard_sector_alignment = alignment,
        .max_write_zeroes_sectors = SPACE_SECTORS_MAX / alignment * alignment,
        .max_write_zeroes_seg = 1,
        .write_zeroes_may_unmap = blk->dev->discards,
    };
}

static bool negotiated(const struct virtio_blk *blk, uint64_t feature)
{
    return blk->virtio->features & feature;
}

void virtio_blk_configured(struct virtio_blk *blk)
{
    if (negotiated(blk, F_CONFIG_WCE))
        blk->saved_writeback = blk->config.writeback & 1;
    virtio_blk_update(blk);
}

/* A driver that can neither flush nor choose has to have everything written through (section
 * 5.2.6.2). */
void virtio_blk_start(struct virtio_blk *blk)
{
    if (!negotiated(blk, F_CONFIG_WCE | F_FLUSH))
        blk->saved_writeback = false;
    virtio_blk_update(blk);
}

void virtio_blk_reset(struct virtio_blk *blk)
{
    blk->saved_writeback = blk->write_cache;
    virtio_blk_update(blk);
}

static void resized(struct block_watch *w)
{
    struct virtio_blk *blk = lunik_container_of(w, struct virtio_blk, watch);

    virtio_blk_update(blk);
    virtio_config_changed(blk->virtio);
}

/* ---- the channel ---------------------------------------------------------------------------- */

static lunik_runtime *runtime_of(const struct virtio_blk *blk)
{
    return lunik_machine_runtime(lunik_object_machine(blk->object));
}

static lunik_iothread *thread_of(const struct virtio_blk *blk)
{
    return blk->virtio->path ? blk->virtio->path->thread : NULL;
}

/* Where the thread has ended, the loop's takes its place. */
static int post(void *opaque, lunik_task *task)
{
    struct virtio_blk *blk = opaque;
    lunik_iothread *thread = thread_of(blk);

    if (!thread || lunik_iothread_post(thread, task))
        lunik_defer(runtime_of(blk), task);
    return 0;
}

static void cancel(void *opaque, lunik_task *task)
{
    struct virtio_blk *blk = opaque;
    lunik_iothread *thread = thread_of(blk);

    if (thread)
        lunik_iothread_cancel(thread, task);
    lunik_defer_cancel(runtime_of(blk), task);
}

static uv_loop_t *loop(void *opaque)
{
    return virtio_path_loop(((struct virtio_blk *)opaque)->virtio);
}

static void batch(void *opaque)
{
    virtio_blk_batch(opaque);
}

/* With the lock. A machine that is not running has stopped for a reason of its own. */
static void stop(lunik_task *task)
{
    struct virtio_blk *blk = lunik_container_of(task, struct virtio_blk, stop);

    lunik_machine_pause_soon(lunik_object_machine(blk->object));
}

/* ---- opening -------------------------------------------------------------------------------- */

static int fail(const struct virtio_blk *blk, lunik_error *err, const char *property,
                uint64_t value, const char *want)
{
    return lunik_fail(err, LUNIK_E_INVALID, "%s: %s: %" PRIu64 " is not possible (want %s)",
                      lunik_object_type_name(blk->object), property, value, want);
}

static bool is_block_size(uint64_t size)
{
    return size >= BLOCK_SECTOR && size <= BLOCK_SIZE_MAX && !(size & (size - 1));
}

static int choose_block_sizes(struct virtio_blk *blk, lunik_error *err)
{
    const struct blockdev *dev = blk->dev;
    uint64_t size = atomic_load(&blk->dev->size);

    if (!blk->logical)
        blk->logical = dev->unit;
    if (!blk->physical)
        blk->physical = is_block_size(dev->physical) && dev->physical >= blk->logical
                            ? dev->physical
                            : blk->logical;
    if (!is_block_size(blk->logical))
        return fail(blk, err, "logical_block_size", blk->logical, "a power of two, 512 to 32768");
    if (!is_block_size(blk->physical) || blk->physical < blk->logical)
        return fail(blk, err, "physical_block_size", blk->physical,
                    "a power of two, logical_block_size to 32768");
    if (blk->logical < dev->unit)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "%s: logical_block_size: %" PRIu64 " is less than the %u of '%s'",
                          lunik_object_type_name(blk->object), blk->logical, dev->unit,
                          lunik_object_id(blk->drive));
    if (size % blk->logical)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "%s: logical_block_size: the %" PRIu64 " bytes of '%s' are no multiple "
                          "of %" PRIu64,
                          lunik_object_type_name(blk->object), size, lunik_object_id(blk->drive),
                          blk->logical);
    return 0;
}

static int check(struct virtio_blk *blk, lunik_error *err)
{
    if (!blk->num_queues || blk->num_queues > VIRTIO_BLK_QUEUES_MAX)
        return fail(blk, err, "num-queues", blk->num_queues, "1 to 64");
    if (blk->queue_size < 4 || blk->queue_size > VIRTIO_BLK_QUEUE_SIZE_MAX ||
        blk->queue_size & (blk->queue_size - 1))
        return fail(blk, err, "queue-size", blk->queue_size, "a power of two, 4 to 1024");
    if (blk->serial && strlen(blk->serial) > VIRTIO_BLK_SERIAL_SIZE)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "%s: serial: '%s' has %zu characters (want at most %d)",
                          lunik_object_type_name(blk->object), blk->serial, strlen(blk->serial),
                          VIRTIO_BLK_SERIAL_SIZE);
    return choose_block_sizes(blk, err);
}

static int open_channel(struct virtio_blk *blk, lunik_error *err)
{
    const struct block_place place = {
        .post = post, .cancel = cancel, .loop = loop, .batch = batch, .opaque = blk};
    int rc;

    blk->requests = virtio_blk_new_requests(blk->num_queues * blk->queue_size);
    if (!blk->requests)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "%s: no memory for requests",
                          lunik_object_type_name(blk->object));
    rc = block_open(blk->drive, &place, &blk->channel, err);
    if (rc) {
        free(blk->requests);
        blk->requests = NULL;
        return rc;
    }
    blk->backend = blk->drive;
    lunik_object_ref(blk->backend);
    blk->watch.resized = resized;
    blk->stop.fn = stop;
    LIST_INSERT_HEAD(&blk->dev->watches, &blk->watch, link);
    return 0;
}

int virtio_blk_open(struct virtio_blk *blk, lunik_error *err)
{
    int rc;

    blk->dev = lunik_state(blk->drive);
    rc = check(blk, err);
    if (!rc)
        rc = lunik_object_claim(blk->drive, blk->object, err);
    if (rc)
        return rc;
    rc = open_channel(blk, err);
    if (rc) {
        lunik_object_release(blk->drive, blk->object);
        return rc;
    }
    virtio_blk_reset(blk);
    blk->virtio->offered = features_of(blk);
    blk->virtio->config = (uint8_t *)&blk->config;
    blk->virtio->config_size = sizeof(blk->config);
    return 0;
}

/* ---- closing -------------------------------------------------------------------------------- */

static void closed(lunik_task *task)
{
    struct virtio_blk *blk = lunik_container_of(task, struct virtio_blk, closed);

    lunik_defer_cancel(runtime_of(blk), &blk->stop);
    lunik_object_unref(blk->backend);
    lunik_object_unref(blk->object);
}

/* On the thread of the queues. Requests that the host still works on keep their memory. */
static void close_channel(lunik_task *task)
{
    struct virtio_blk *blk = lunik_container_of(task, struct virtio_blk, close);
    bool in_flight = blk->channel->in_flight;

    block_close(blk->channel);
    blk->channel = NULL;
    if (!in_flight)
        free(blk->requests);
    blk->requests = NULL;
    lunik_defer(runtime_of(blk), &blk->closed);
}

/* Without an iothread, or when it has ended, the work of the thread is that of whoever has the
 * lock; it must be done now, since the iothread may be freed. */
void virtio_blk_close(struct virtio_blk *blk)
{
    lunik_iothread *thread = thread_of(blk);

    LIST_REMOVE(&blk->watch, link);
    lunik_object_release(blk->backend, blk->object);
    blk->close.fn = close_channel;
    blk->closed.fn = closed;
    lunik_object_ref(blk->object);
    if (!thread || lunik_iothread_post(thread, &blk->close))
        close_channel(&blk->close);
}
