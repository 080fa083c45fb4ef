/*
 * queue_split.c: split rings (virtio 1.2, section 2.7).
 *
 * Accesses to indexes and events are atomic. Showing used entries and then reading whether the
 * driver wants an interrupt, and asking for a notification and then looking for requests, must not
 * be reordered: both sides of these pairs are sequentially consistent.
 */
#include "queue_internal.h"

enum { AVAIL_INDEX = 2, AVAIL_RING = 4, USED_INDEX = 2, USED_RING = 4 };
enum { NO_INTERRUPT = 1, NO_NOTIFY = 1 };

static uint8_t *used_event(const struct virtqueue *q)
{
    return q->driver.host + AVAIL_RING + (size_t)2 * q->size;
}

static size_t avail_event_offset(const struct virtqueue *q)
{
    return USED_RING + (size_t)8 * q->size;
}

/* ---- taking requests ------------------------------------------------------------------------ */

/* The way of a chain: through the descriptor table, then maybe one indirect table. */
struct chain {
    bool indirect;
    uint64_t table;
    uint32_t entries, count;
};

static bool fetch(struct virtqueue *q, struct chain *c, uint32_t index, struct descriptor *d)
{
    if (index >= c->entries) {
        virtqueue_break(q, "descriptor %u is outside of a table of %u", index, c->entries);
        return false;
    }
    if (++c->count > c->entries) {
        virtqueue_break(q, "a chain of descriptors has no end");
        return false;
    }
    if (c->indirect)
        return virtqueue_table_entry(q, c->table + UINT64_C(16) * index, d);
    virtqueue_copy_descriptor(q->table.host + (size_t)16 * index, d);
    return true;
}

static bool enter_table(struct virtqueue *q, struct chain *c, const struct descriptor *d)
{
    if (c->indirect)
        virtqueue_break(q, "an indirect table refers to an indirect table");
    else if (d->first & DESC_NEXT)
        virtqueue_break(q, "a descriptor of an indirect table has a next one");
    else if (virtqueue_table(q, d, &c->entries))
        *c = (struct chain){.indirect = true, .table = d->address, .entries = c->entries};
    return !q->broken;
}

static bool walk(struct virtqueue *q, struct virtqueue_request *r)
{
    struct chain c = {.entries = q->size};
    struct descriptor d;
    uint32_t index = r->id;

    for (;;) {
        if (!fetch(q, &c, index, &d))
            return false;
        if (d.first & DESC_INDIRECT) {
            if (!enter_table(q, &c, &d))
                return false;
            index = 0;
            continue;
        }
        if (!virtqueue_add_buffer(q, r, &d, d.first & DESC_WRITE))
            return false;
        if (!(d.first & DESC_NEXT))
            return true;
        index = d.second;
    }
}

static struct virtqueue_request *take(struct virtqueue *q, uint16_t head)
{
    struct virtqueue_request *r;

    if (head >= q->size) {
        virtqueue_break(q, "descriptor %u is outside of a table of %u", head, q->size);
        return NULL;
    }
    if (q->busy[head]) {
        virtqueue_break(q, "descriptor %u is made available while it is in use", head);
        return NULL;
    }
    r = virtqueue_request_new(q);
    if (!r)
        return NULL;
    r->id = head;
    if (walk(q, r)) {
        q->busy[head] = true;
        return r;
    }
    virtqueue_request_free(q, r);
    return NULL;
}

static unsigned pop(struct virtqueue *q, struct virtqueue_request **out, unsigned max)
{
    const uint8_t *ring = q->driver.host;
    uint16_t index =
        atomic_load_explicit((const _Atomic uint16_t *)(ring + AVAIL_INDEX), memory_order_acquire);
    uint16_t count = (uint16_t)(index - q->avail);

    if (count > q->size) {
        virtqueue_break(q, "the driver's index goes from %u to %u in a queue of %u", q->avail,
                        index, q->size);
        return 0;
    }
    count = count < max ? count : (uint16_t)max;
    for (unsigned i = 0; i < count; i++) {
        out[i] = take(q, load16(ring + AVAIL_RING + (size_t)2 * (q->avail & (q->size - 1))));
        if (!out[i])
            return i;
        q->avail++;
    }
    return count;
}

static void unpop(struct virtqueue *q, const struct virtqueue_request *r)
{
    q->busy[r->id] = false;
    q->avail--;
}

/* ---- giving them back ----------------------------------------------------------------------- */

/* Whether the index has passed the event, which is the entry that the other side waits for. */
static bool wants_interrupt(const struct virtqueue *q, uint16_t old)
{
    uint16_t event;

    if (!q->event_idx)
        return !(atomic_load((const _Atomic uint16_t *)q->driver.host) & NO_INTERRUPT);
    event = atomic_load((const _Atomic uint16_t *)used_event(q));
    return (uint16_t)(q->used - event - 1) < (uint16_t)(q->used - old);
}

static void log_used(struct virtqueue *q, uint16_t old)
{
    uint16_t first = old & (q->size - 1), count = (uint16_t)(q->used - old);

    if (!virtqueue_area_logged(&q->device))
        return;
    if (first + count > q->size) {
        first = 0;
        count = q->size;
    }
    virtqueue_area_written(q, &q->device, USED_INDEX, 2);
    virtqueue_area_written(q, &q->device, USED_RING + UINT64_C(8) * first, UINT64_C(8) * count);
}

static bool publish(struct virtqueue *q, const struct virtqueue_request *list)
{
    uint8_t *ring = q->device.host;
    uint16_t old = q->used;

    for (const struct virtqueue_request *r = list; r; r = r->next) {
        uint8_t *entry = ring + USED_RING + (size_t)8 * (q->used++ & (q->size - 1));

        store32(entry, r->id);
        store32(entry + 4, r->written);
        q->busy[r->id] = false;
    }
    atomic_store((_Atomic uint16_t *)(ring + USED_INDEX), q->used);
    log_used(q, old);
    return wants_interrupt(q, old);
}

/* ---- notifications -------------------------------------------------------------------------- */

/* With events nothing is to do: the event that was last asked for is in the past. The flag is
 * reported as written by ask(), which follows. */
static void quiet(struct virtqueue *q)
{
    if (q->event_idx)
        return;
    store16(q->device.host, NO_NOTIFY);
}

static bool ask(struct virtqueue *q)
{
    size_t at = q->event_idx ? avail_event_offset(q) : 0;

    atomic_store((_Atomic uint16_t *)(q->device.host + at), q->event_idx ? q->avail : 0);
    if (virtqueue_area_logged(&q->device))
        virtqueue_area_written(q, &q->device, at, 2);
    return atomic_load((const _Atomic uint16_t *)(q->driver.host + AVAIL_INDEX)) != q->avail;
}

const struct virtqueue_ops virtqueue_split = {
    .pop = pop,
    .unpop = unpop,
    .publish = publish,
    .quiet = quiet,
    .listen = ask,
};
