/* blockdev.c: what all back ends of disks share: checks, counters, properties. See block.h. */
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "block.h"
#include "../types.h"

/* ---- channels ------------------------------------------------------------------------------- */

int block_open(lunik_object *o, const struct block_place *place, struct block_channel **out,
               lunik_error *err)
{
    const lunik_blockdev_ops *ops = lunik_blockdev_iface(o);
    int rc = ops->open(o, place, out, err);

    if (rc)
        return rc;
    (*out)->ops = ops;
    (*out)->dev = lunik_state(o);
    (*out)->place = *place;
    (*out)->in_flight = 0;
    (*out)->submitting = false;
    return 0;
}

void block_close(struct block_channel *c)
{
    if (c)
        c->ops->close(c);
}

/* Returns 0, or why a request can't be passed on. */
static int check(const struct blockdev *dev, const struct block_request *r)
{
    uint64_t size = atomic_load_explicit(&dev->size, memory_order_relaxed);

    if (r->op == BLOCK_FLUSH)
        return 0;
    if ((r->offset | r->size) % dev->unit || r->offset > size || r->size > size - r->offset ||
        r->count > BLOCK_PIECES_MAX)
        return -EINVAL;
    return r->op != BLOCK_READ && dev->readonly ? -EROFS : 0;
}

void block_submit(struct block_channel *c, struct block_request *r)
{
    bool outer = !c->submitting;
    int rc = check(c->dev, r);

    c->submitting = true;
    c->in_flight++;
    r->channel = c;
    r->next = NULL;
    r->progress = 0;
    r->rest = NULL;
    if (rc || (!r->size && r->op != BLOCK_FLUSH))
        block_complete(r, rc);
    else
        c->ops->submit(c, r);
    if (outer)
        c->submitting = false;
}

void block_commit(struct block_channel *c)
{
    bool outer = !c->submitting;

    if (!c->ops->commit)
        return;
    c->submitting = true;
    c->ops->commit(c);
    if (outer)
        c->submitting = false;
}

static void count(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

void block_complete(struct block_request *r, int rc)
{
    struct block_channel *c = r->channel;
    struct block_stats *stats = &c->dev->stats;

    c->in_flight--;
    if (rc) {
        count(&stats->errors, 1);
    } else {
        count(&stats->operations[r->op], 1);
        if (r->op != BLOCK_FLUSH)
            count(&stats->bytes[r->op], r->size);
    }
    free(r->rest);
    r->rest = NULL;
    r->done(r, rc);
}

void block_batch_end(struct block_channel *c)
{
    if (!c->submitting)
        c->place.batch(c->place.opaque);
}

const char *block_op_name(enum block_op op)
{
    static const char *const names[BLOCK_OPS] = {"read", "write", "flush", "discard", "zero"};

    return names[op];
}

/* ---- size ----------------------------------------------------------------------------------- */

void blockdev_resized(lunik_object *o, uint64_t size)
{
    struct blockdev *dev = lunik_state(o);
    struct block_watch *w, *next;

    atomic_store(&dev->size, size);
    for (w = LIST_FIRST(&dev->watches); w; w = next) {
        next = LIST_NEXT(w, link);
        w->resized(w);
    }
}

static void get_size(lunik_object *o, lunik_value *out)
{
    struct blockdev *dev = lunik_state(o);

    *out = (lunik_value){.kind = LUNIK_UINT, .uint = atomic_load(&dev->size)};
}

static int set_size(lunik_object *o, const lunik_value *value, lunik_error *err)
{
    struct blockdev *dev = lunik_state(o);
    const lunik_blockdev_ops *ops = lunik_blockdev_iface(o);
    int rc;

    if (!value->uint || value->uint % dev->unit || value->uint > INT64_MAX)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "%s '%s': size: %" PRIu64 " is no size of a disk (want a multiple of %u)",
                          lunik_object_type_name(o), lunik_object_id(o), value->uint, dev->unit);
    rc = ops->resize(o, value->uint, err);
    if (!rc)
        blockdev_resized(o, value->uint);
    return rc;
}

/* ---- type ----------------------------------------------------------------------------------- */

/* X(name of the property, its getter, field, text) */
#define COUNTER_MAP(X)                                                                             \
    X("read-operations", get_reads, operations[BLOCK_READ], "Reads that succeeded.")               \
    X("read-bytes", get_read_bytes, bytes[BLOCK_READ], "Bytes that they read.")                    \
    X("write-operations", get_writes, operations[BLOCK_WRITE], "Writes that succeeded.")           \
    X("write-bytes", get_write_bytes, bytes[BLOCK_WRITE], "Bytes that they wrote.")                \
    X("flush-operations", get_flushes, operations[BLOCK_FLUSH], "Flushes that succeeded.")         \
    X("discard-operations", get_discards, operations[BLOCK_DISCARD], "Discards that succeeded.")   \
    X("discard-bytes", get_discard_bytes, bytes[BLOCK_DISCARD], "Bytes that they discarded.")      \
    X("zero-operations", get_zeroes, operations[BLOCK_WRITE_ZEROES],                               \
      "Writes of zeros that succeeded.")                                                           \
    X("zero-bytes", get_zero_bytes, bytes[BLOCK_WRITE_ZEROES], "Bytes that they zeroed.")          \
    X("errors", get_errors, errors, "Requests that failed.")

#define COUNTER_GETTER(prop, getter, field, text)                                                  \
    static void getter(lunik_object *o, lunik_value *out)                                          \
    {                                                                                              \
        struct blockdev *dev = lunik_state(o);                                                     \
                                                                                                   \
        *out = (lunik_value){.kind = LUNIK_UINT, .uint = atomic_load(&dev->stats.field)};          \
    }
COUNTER_MAP(COUNTER_GETTER)

#define COUNTER_PROP(prop, getter, field, text)                                                    \
    {                                                                                              \
        .name = (prop),                                                                            \
        .kind = LUNIK_PROP_UINT,                                                                   \
        .doc = (text),                                                                             \
        .offset = offsetof(struct blockdev, stats),                                                \
        .flags = LUNIK_PROP_READONLY,                                                              \
        .get = (getter),                                                                           \
    },

static const lunik_prop props[] = {
    {
        .name = "size",
        .kind = LUNIK_PROP_SIZE,
        .doc =
            "Bytes of the disk. Setting it grows or shrinks the disk, and the guest is notified.",
        .offset = offsetof(struct blockdev, size),
        .flags = LUNIK_PROP_LIVE,
        .get = get_size,
        .set = set_size,
    },
    {
        .name = "readonly",
        .kind = LUNIK_PROP_BOOL,
        .doc = "The disk can't be written.",
        .offset = offsetof(struct blockdev, readonly),
    },
    COUNTER_MAP(COUNTER_PROP){0},
};

const lunik_type blockdev_type = {
    .name = "blockdev",
    .doc = "The back end of a disk.",
    .flags = LUNIK_TYPE_ABSTRACT,
    .size = sizeof(struct blockdev),
    .props = props,
};
