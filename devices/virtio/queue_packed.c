/*
 * queue_packed.c: packed rings (virtio 1.2, section 2.8).
 *
 * A descriptor's flags say whose it is, by the wrap counters of both sides. Flags are read before,
 * and written after, what they stand for; of used descriptors that are shown at once the first
 * one's flags are written last. For the order of flags and events see queue_split.c.
 */
#include "queue_internal.h"

enum { AVAIL = 1 << 7, USED = 1 << 15 }; /* of flags */
enum { DESC_LENGTH = 8, DESC_ID = 12, DESC_FLAGS = 14 };
enum { EVENT_FLAGS = 2, EVENT_ENABLE = 0, EVENT_DISABLE = 1, EVENT_DESC = 2, EVENT_MASK = 3 };

static uint8_t *entry(const struct virtqueue *q, uint16_t index)
{
    return q->table.host + (size_t)16 * index;
}

/* Moves a position by at most the size of the ring. */
static void advance(const struct virtqueue *q, uint16_t *position, bool *wrap, uint16_t count)
{
    unsigned next = (unsigned)*position + count;

    if (next >= q->size) {
        next -= q->size;
        *wrap = !*wrap;
    }
    *position = (uint16_t)next;
}

static bool is_available(const struct virtqueue *q, uint16_t flags)
{
    return !!(flags & AVAIL) == q->avail_wrap && !!(flags & USED) != q->avail_wrap;
}

/* ---- taking requests ------------------------------------------------------------------------ */

/* In a table of its own a chain is in order and ends with the table. */
static bool walk_table(struct virtqueue *q, struct virtqueue_request *r, const struct descriptor *d)
{
    uint32_t entries;

    if (r->descriptors > 1 || d->second & DESC_NEXT) {
        virtqueue_break(q, "a descriptor of an indirect table is part of a chain");
        return false;
    }
    if (!virtqueue_table(q, d, &entries))
        return false;
    for (uint32_t i = 0; i < entries; i++) {
        struct descriptor inner;

        if (!virtqueue_table_entry(q, d->address + UINT64_C(16) * i, &inner))
            return false;
        if (inner.second & DESC_INDIRECT) {
            virtqueue_break(q, "an indirect table refers to an indirect table");
            return false;
        }
        if (!virtqueue_add_buffer(q, r, &inner, inner.second & DESC_WRITE))
            return false;
    }
    return true;
}

static bool walk(struct virtqueue *q, struct virtqueue_request *r)
{
    uint16_t index = q->avail;
    struct descriptor d;

    do {
        if (q->owned + r->descriptors >= q->size) {
            virtqueue_break(q, "a chain has more descriptors than the driver owns");
            return false;
        }
        virtqueue_copy_descriptor(entry(q, index), &d);
        r->descriptors++;
        index = index + 1 == q->size ? 0 : index + 1;
        if (d.second & DESC_INDIRECT ? !walk_table(q, r, &d)
                                     : !virtqueue_add_buffer(q, r, &d, d.second & DESC_WRITE))
            return false;
    } while (d.second & DESC_NEXT);
    r->id = d.first; /* of the last descriptor */
    return true;
}

static struct virtqueue_request *take(struct virtqueue *q)
{
    struct virtqueue_request *r = virtqueue_request_new(q);

    if (!r)
        return NULL;
    if (!walk(q, r)) {
        virtqueue_request_free(q, r);
        return NULL;
    }
    q->owned += r->descriptors;
    advance(q, &q->avail, &q->avail_wrap, r->descriptors);
    return r;
}

static unsigned pop(struct virtqueue *q, struct virtqueue_request **out, unsigned max)
{
    unsigned count = 0;

    while (count < max) {
        const _Atomic uint16_t *flags = (_Atomic uint16_t *)(entry(q, q->avail) + DESC_FLAGS);

        if (!is_available(q, atomic_load_explicit(flags, memory_order_acquire)))
            break;
        out[count] = take(q);
        if (!out[count])
            break;
        count++;
    }
    return count;
}

static void unpop(struct virtqueue *q, const struct virtqueue_request *r)
{
    q->owned -= r->descriptors;
    if (q->avail < r->descriptors) {
        q->avail += q->size;
        q->avail_wrap = !q->avail_wrap;
    }
    q->avail -= r->descriptors;
}

/* ---- giving them back ----------------------------------------------------------------------- */

/* The driver gives the position that it waits for with its wrap counter. */
static bool wants_interrupt(const struct virtqueue *q, uint16_t count)
{
    uint32_t event = atomic_load((const _Atomic uint32_t *)q->driver.host);
    uint16_t flags = event >> 16 & EVENT_MASK, at = event & 0x7fff;

    if (flags != EVENT_DESC || !q->event_idx)
        return flags != EVENT_DISABLE;
    if ((event >> 15 & 1) != q->used_wrap)
        at -= q->size;
    return (uint16_t)(q->used - at - 1) < count;
}

static void log_used(struct virtqueue *q, uint16_t old)
{
    const uint64_t bytes = 16;

    if (!virtqueue_area_logged(&q->table))
        return;
    if (q->used > old) {
        virtqueue_area_written(q, &q->table, bytes * old, bytes * (q->used - old));
        return;
    }
    virtqueue_area_written(q, &q->table, bytes * old, bytes * (q->size - old));
    if (q->used)
        virtqueue_area_written(q, &q->table, 0, bytes * q->used);
}

static bool publish(struct virtqueue *q, const struct virtqueue_request *list)
{
    uint16_t old = q->used, count = 0, first_flags = 0;

    for (const struct virtqueue_request *r = list; r; r = r->next) {
        uint8_t *at = entry(q, q->used);
        uint16_t flags = (q->used_wrap ? AVAIL | USED : 0) | (r->written ? DESC_WRITE : 0);

        store32(at + DESC_LENGTH, r->written);
        store16(at + DESC_ID, r->id);
        if (r == list)
            first_flags = flags;
        else
            atomic_store_explicit((_Atomic uint16_t *)(at + DESC_FLAGS), flags,
                                  memory_order_release);
        q->owned -= r->descriptors;
        count += r->descriptors;
        advance(q, &q->used, &q->used_wrap, r->descriptors);
    }
    atomic_store((_Atomic uint16_t *)(entry(q, old) + DESC_FLAGS), first_flags);
    log_used(q, old);
    return wants_interrupt(q, count);
}

/* ---- notifications -------------------------------------------------------------------------- */

/* The flags are reported as written by ask(), which follows. */
static void quiet(struct virtqueue *q)
{
    store16(q->device.host + EVENT_FLAGS, EVENT_DISABLE);
}

/* Position and flags are written at once. */
static bool ask(struct virtqueue *q)
{
    uint32_t event = (uint32_t)EVENT_ENABLE << 16;
    const _Atomic uint16_t *flags = (_Atomic uint16_t *)(entry(q, q->avail) + DESC_FLAGS);

    if (q->event_idx)
        event = (uint32_t)EVENT_DESC << 16 | (uint32_t)q->avail_wrap << 15 | q->avail;
    atomic_store((_Atomic uint32_t *)q->device.host, event);
    if (virtqueue_area_logged(&q->device))
        virtqueue_area_written(q, &q->device, 0, 4);
    return is_available(q, atomic_load(flags));
}

const struct virtqueue_ops virtqueue_packed = {
    .pop = pop,
    .unpop = unpop,
    .publish = publish,
    .quiet = quiet,
    .listen = ask,
};
