/* queue.c: the life of a queue, and what split and packed rings have in common. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "queue_internal.h"

enum { KEPT_MAX = 1 << 26 }; /* words */

/* ---- broken --------------------------------------------------------------------------------- */

const char *virtqueue_broken(const struct virtqueue *q)
{
    return q->broken ? q->reason : NULL;
}

/* The first reason counts: others follow from it. */
void virtqueue_break(struct virtqueue *q, const char *format, ...)
{
    va_list args;

    if (q->broken)
        return;
    va_start(args, format);
    vsnprintf(q->reason, sizeof(q->reason), format, args);
    va_end(args);
    q->broken = true;
}

static bool usable(const struct virtqueue *q)
{
    return q->enabled && !q->broken;
}

/* ---- making and freeing --------------------------------------------------------------------- */

static size_t iovecs_size(const struct virtqueue *q)
{
    return (size_t)q->max_size * q->segments * sizeof(*q->iovecs);
}

/* Pages are only touched by as many requests as are in flight at once. Of the heap's, calloc()
 * would clear some for each queue. */
static struct iovec *map_iovecs(const struct virtqueue *q)
{
    void *area = mmap(NULL, iovecs_size(q), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return area == MAP_FAILED ? NULL : area;
}

int virtqueue_init(struct virtqueue *q, lunik_dma *dma, uint16_t max_size, uint16_t segments,
                   lunik_error *err)
{
    *q = (struct virtqueue){
        .size = max_size, .max_size = max_size, .segments = segments, .dma = dma};
    q->pushed_end = &q->pushed;
    if (!max_size || max_size > VIRTQUEUE_SIZE_MAX || max_size & (max_size - 1))
        return lunik_fail(err, LUNIK_E_INVALID,
                          "a queue has a power of two up to %d of entries, not %u",
                          VIRTQUEUE_SIZE_MAX, max_size);
    if (!segments || segments > VIRTQUEUE_SEGMENTS_MAX)
        return lunik_fail(err, LUNIK_E_INVALID, "a request has 1 to %d pieces, not %u",
                          VIRTQUEUE_SEGMENTS_MAX, segments);
    q->pool = calloc(max_size, sizeof(*q->pool));
    q->busy = calloc(max_size, sizeof(*q->busy));
    q->iovecs = map_iovecs(q);
    if (!q->pool || !q->busy || !q->iovecs) {
        virtqueue_fini(q);
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "no memory for a queue of %u entries", max_size);
    }
    for (unsigned i = max_size; i-- > 0;) {
        q->pool[i].iov = q->iovecs + (size_t)i * segments;
        q->pool[i].next = q->spare;
        q->spare = &q->pool[i];
    }
    return 0;
}

void virtqueue_fini(struct virtqueue *q)
{
    virtqueue_reset(q);
    free(q->pool);
    free(q->busy);
    if (q->iovecs)
        munmap(q->iovecs, iovecs_size(q));
    free(q->buffers);
    free(q->kept);
    q->pool = NULL;
    q->busy = NULL;
    q->iovecs = NULL;
    q->buffers = q->kept = NULL;
}

/* ---- enabling and reset --------------------------------------------------------------------- */

void virtqueue_places(const struct virtqueue *q, struct virtqueue_place places[VIRTQUEUE_AREAS])
{
    uint64_t event = q->event_idx ? sizeof(uint16_t) : 0;
    uint64_t driver = q->packed ? 4 : 4 + UINT64_C(2) * q->size + event;
    uint64_t device = q->packed ? 4 : 4 + UINT64_C(8) * q->size + event;

    places[0] = (struct virtqueue_place){"descriptor area", q->descriptors, UINT64_C(16) * q->size,
                                         16, q->packed};
    places[1] =
        (struct virtqueue_place){"driver area", q->driver_area, driver, q->packed ? 4 : 2, false};
    places[2] = (struct virtqueue_place){"device area", q->device_area, device, 4, true};
}

static int check_place(const struct virtqueue_place *p, lunik_error *err)
{
    if (p->address % p->align || p->size - 1 > UINT64_MAX - p->address)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "the queue's %s of %" PRIu64 " bytes can't be at 0x%" PRIx64
                          ": it has a multiple of %u below 2^64",
                          p->name, p->size, p->address, p->align);
    return 0;
}

/* Checks size and addresses, which the driver has chosen, for the kind of ring. */
static int check_ring(const struct virtqueue *q, uint16_t max_size, lunik_error *err)
{
    struct virtqueue_place places[VIRTQUEUE_AREAS];
    int rc = 0;

    if (!q->size || q->size > max_size || (!q->packed && q->size & (q->size - 1)))
        return lunik_fail(err, LUNIK_E_INVALID,
                          "a %s queue here has %s of entries up to %u, not %u",
                          q->packed ? "packed" : "split", q->packed ? "a number" : "a power of two",
                          max_size, q->size);
    virtqueue_places(q, places);
    for (unsigned i = 0; i < VIRTQUEUE_AREAS && !rc; i++)
        rc = check_place(&places[i], err);
    return rc;
}

static void choose_ops(struct virtqueue *q)
{
    q->ops = q->packed ? &virtqueue_packed : &virtqueue_split;
}

int virtqueue_enable(struct virtqueue *q, uint64_t features, lunik_error *err)
{
    int rc;

    if (q->enabled || q->in_flight)
        return lunik_fail(err, LUNIK_E_STATE,
                          q->enabled ? "the queue is enabled" : "the queue has requests in flight");
    q->packed = features & VIRTIO_F_RING_PACKED;
    q->event_idx = features & VIRTIO_F_EVENT_IDX;
    q->indirect = features & VIRTIO_F_INDIRECT_DESC;
    rc = check_ring(q, q->max_size, err);
    if (rc)
        return rc;
    choose_ops(q);
    q->avail = q->used = 0;
    q->avail_wrap = q->used_wrap = true;
    q->enabled = true;
    return 0;
}

static void free_pushed(struct virtqueue *q)
{
    struct virtqueue_request *r;

    while ((r = q->pushed)) {
        q->pushed = r->next;
        virtqueue_request_free(q, r);
    }
    q->pushed_end = &q->pushed;
}

/* Requests that a broken queue got back have been left as they were. */
static void own_nothing(struct virtqueue *q)
{
    if (q->busy)
        memset(q->busy, 0, q->max_size * sizeof(*q->busy));
    q->owned = 0;
}

void virtqueue_reset(struct virtqueue *q)
{
    free_pushed(q);
    q->enabled = q->packed = q->event_idx = q->indirect = q->broken = false;
    q->size = q->max_size;
    q->descriptors = q->driver_area = q->device_area = 0;
    q->avail = q->used = 0;
    q->avail_wrap = q->used_wrap = false;
    q->reason[0] = '\0';
    q->kept_words = 0;
    q->serving = false;
    virtqueue_forget(q);
    virtqueue_release(q);
    own_nothing(q);
}

/* ---- requests ------------------------------------------------------------------------------- */

unsigned virtqueue_pop(struct virtqueue *q, struct virtqueue_request **out, unsigned max)
{
    unsigned count = 0;

    if (!usable(q))
        return 0;
    if (virtqueue_hold(q))
        count = q->kept_words ? virtqueue_take_kept(q, out, max) : q->ops->pop(q, out, max);
    virtqueue_release(q);
    return count;
}

void virtqueue_unpop(struct virtqueue *q, struct virtqueue_request *r)
{
    if (usable(q))
        q->ops->unpop(q, r);
    virtqueue_request_free(q, r);
    virtqueue_release(q);
}

void virtqueue_push(struct virtqueue *q, struct virtqueue_request *r, uint32_t written)
{
    r->written = written < r->in_size ? written : (uint32_t)r->in_size;
    r->next = NULL;
    *q->pushed_end = r;
    q->pushed_end = &r->next;
}

static void log_written(struct virtqueue *q)
{
    const struct virtqueue_map *checked = NULL;
    bool logged = false;

    for (const struct virtqueue_request *r = q->pushed; r; r = r->next) {
        if (r->map != checked) {
            checked = r->map;
            logged = virtqueue_logged(r->map);
        }
        if (logged)
            virtqueue_request_written(q, r);
    }
}

bool virtqueue_flush(struct virtqueue *q)
{
    bool notify = false;

    if (q->pushed) {
        if (usable(q) && virtqueue_follow(q))
            notify = q->ops->publish(q, q->pushed);
        else
            atomic_store(&q->fence, true);
        log_written(q); /* even of a queue that is broken or has been reset */
        free_pushed(q);
    }
    virtqueue_release(q);
    return notify;
}

/* ---- notifications -------------------------------------------------------------------------- */

void virtqueue_quiet(struct virtqueue *q)
{
    q->serving = usable(q) && virtqueue_hold(q);
    if (q->serving)
        q->ops->quiet(q);
    virtqueue_release(q);
}

bool virtqueue_listen(struct virtqueue *q)
{
    bool ready = usable(q) && (q->serving ? virtqueue_follow(q) : virtqueue_hold(q));
    bool more = ready && q->ops->listen(q);

    q->serving = false;
    virtqueue_release(q);
    return more;
}

bool virtqueue_notified(const struct virtqueue *q, uint32_t data)
{
    uint16_t next = (uint16_t)(data >> 16);

    if (!q->packed)
        return next != q->avail;
    return (next & 0x7fff) != q->avail || next >> 15 != q->avail_wrap;
}

void virtqueue_refresh(struct virtqueue *q)
{
    uint64_t generation;

    if (q->map && (lunik_dma_generation(q->dma, &generation) == LUNIK_E_GONE ||
                   generation != q->map->generation))
        virtqueue_forget(q);
}

/* ---- state ---------------------------------------------------------------------------------- */

static int pre_save(void *state, lunik_error *err)
{
    const struct virtqueue *q = state;

    if (q->in_flight)
        return lunik_fail(err, LUNIK_E_STATE, "the queue has %u requests in flight", q->in_flight);
    return 0;
}

static int post_load(void *staged, const void *state, uint16_t version, lunik_error *err)
{
    const struct virtqueue *q = staged, *now = state;

    int rc;

    (void)version;
    if (now->in_flight)
        return lunik_fail(err, LUNIK_E_STATE, "the queue has %u requests in flight",
                          now->in_flight);
    if (!q->enabled)
        return q->kept_words ? lunik_fail(err, LUNIK_E_INVALID,
                                          "kept: a disabled queue has no requests to take again")
                             : 0;
    if (q->packed && (q->avail >= q->size || q->used >= q->size))
        return lunik_fail(err, LUNIK_E_INVALID,
                          "positions %u and %u are outside of a queue of %u entries", q->avail,
                          q->used, q->size);
    rc = check_ring(q, now->max_size, err);
    return rc ? rc : virtqueue_check_kept(q, now->segments, err);
}

static void loaded(void *state)
{
    struct virtqueue *q = state;

    choose_ops(q);
    own_nothing(q);
    virtqueue_own_kept(q);
    virtqueue_forget(q);
}

static const lunik_state_field state_fields[] = {
    LUNIK_STATE(struct virtqueue, size),
    LUNIK_STATE(struct virtqueue, descriptors),
    LUNIK_STATE(struct virtqueue, driver_area),
    LUNIK_STATE(struct virtqueue, device_area),
    LUNIK_STATE(struct virtqueue, enabled),
    LUNIK_STATE(struct virtqueue, packed),
    LUNIK_STATE(struct virtqueue, event_idx),
    LUNIK_STATE(struct virtqueue, indirect),
    LUNIK_STATE(struct virtqueue, avail),
    LUNIK_STATE(struct virtqueue, used),
    LUNIK_STATE(struct virtqueue, avail_wrap),
    LUNIK_STATE(struct virtqueue, used_wrap),
    LUNIK_STATE(struct virtqueue, broken),
    LUNIK_STATE_STRING(struct virtqueue, reason),
    LUNIK_STATE(struct virtqueue, kept_words, .since = 2),
    LUNIK_STATE_BUFFER(struct virtqueue, kept, kept_words, KEPT_MAX, .since = 2),
    {0},
};

const lunik_state_table virtqueue_state = {
    .name = "virtqueue",
    .version = 2,
    .min_version = 1,
    .size = sizeof(struct virtqueue),
    .fields = state_fields,
    .pre_save = pre_save,
    .post_load = post_load,
    .loaded = loaded,
};
