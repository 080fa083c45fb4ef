/*
 * virtio_blk.c: the requests of a block device (virtio 1.2, section 5.2.6).
 *
 * A header of 16 bytes begins the readable part, a byte of status ends the writable one; how both
 * parts are cut into descriptors is up to the driver (section 2.7.4). A request that has no room
 * for them breaks the queue. All else that is wrong with a request is an answer to it.
 *
 * Not modelled: secure erase, lifetime, zoned devices. Adjacent requests are not merged: the host
 * does so where it pays.
 */
#include "virtio_blk.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    TYPE_IN = 0,
    TYPE_OUT = 1,
    TYPE_FLUSH = 4,
    TYPE_GET_ID = 8,
    TYPE_DISCARD = 11,
    TYPE_WRITE_ZEROES = 13,
};
enum { STATUS_OK, STATUS_IOERR, STATUS_UNSUPP };
enum { SEGMENT_UNMAP = 1 };
enum { BATCH = 32 };
enum { TURN_BUDGET = 64 << 20, REQUEST_COST = 16 << 10 }; /* bytes; see virtio_blk_serve() */

#define REPORT_NS UINT64_C(1000000000)

struct header {
    uint32_t type, reserved;
    uint64_t sector;
};

/* Of discards and writes of zeros. */
struct segment {
    uint64_t sector;
    uint32_t count, flags;
};

struct virtio_blk_request {
    struct block_request b;
    struct virtio_blk *blk;
    struct virtqueue_request *r;
    unsigned queue;
    uint8_t *status;
    struct iovec *shortened; /* the piece whose last byte is the status; NULL: that is all of it */
    struct virtio_blk_request *next;
};

struct virtio_blk_request *virtio_blk_new_requests(size_t count)
{
    return calloc(count, sizeof(struct virtio_blk_request));
}

/* ---- answers -------------------------------------------------------------------------------- */

static struct virtio_blk_request *new_request(struct virtio_blk *blk)
{
    struct virtio_blk_request *q = blk->spare;

    if (q)
        blk->spare = q->next;
    else
        q = &blk->requests[blk->used_requests++];
    return q;
}

static void free_request(struct virtio_blk_request *q)
{
    struct virtio_blk *blk = q->blk;

    blk->in_flight[q->queue]--;
    q->next = blk->spare;
    blk->spare = q;
}

/* The queue's memory is logged as far as the pieces go, so they must have the status again. */
static void answer(struct virtio_blk_request *q, uint8_t status)
{
    struct virtio_blk *blk = q->blk;

    if (q->shortened)
        q->shortened->iov_len++;
    *(volatile uint8_t *)q->status = status;
    virtqueue_push(&blk->virtio->queues[q->queue], q->r, (uint32_t)q->r->in_size);
    blk->returned |= UINT64_C(1) << q->queue;
    free_request(q);
}

/* ---- errors --------------------------------------------------------------------------------- */

static const char *const actions[] = {
    [VIRTIO_BLK_REPORT] = "report", [VIRTIO_BLK_IGNORE] = "ignore", [VIRTIO_BLK_STOP] = "stop"};

/* At most once in a second: a guest can have as many errors as it likes. What stops the machine is
 * always reported. */
static void report(struct virtio_blk *blk, const struct block_request *b, int rc, int action)
{
    lunik_machine *m = lunik_object_machine(blk->object);
    uint64_t now = uv_hrtime();

    if (action != VIRTIO_BLK_STOP && blk->last_report && now - blk->last_report < REPORT_NS)
        return;
    blk->last_report = now;
    lunik_emit(m, "block-io-error", LUNIK_FIELD_STRING("device", lunik_object_id(blk->object)),
               LUNIK_FIELD_STRING("drive", lunik_object_id(blk->backend)),
               LUNIK_FIELD_STRING("operation", block_op_name(b->op)),
               LUNIK_FIELD_STRING("action", actions[action]),
               LUNIK_FIELD_BOOL("nospace", rc == -ENOSPC), LUNIK_FIELD_UINT("offset", b->offset),
               LUNIK_FIELD_UINT("size", b->size), LUNIK_FIELD_STRING("reason", uv_strerror(rc)));
}

/* The queue rests until the machine goes on. Returns false if there is no memory for that. */
static bool keep(struct virtio_blk_request *q)
{
    struct virtio_blk *blk = q->blk;

    if (!virtqueue_keep(&blk->virtio->queues[q->queue], q->r))
        return false;
    blk->halted |= UINT64_C(1) << q->queue;
    free_request(q);
    lunik_defer(lunik_machine_runtime(lunik_object_machine(blk->object)), &blk->stop);
    return true;
}

static int action_for(const struct virtio_blk *blk, enum block_op op, int rc)
{
    int policy = op == BLOCK_READ ? blk->rerror : blk->werror;

    if (policy == VIRTIO_BLK_ENOSPC)
        return rc == -ENOSPC ? VIRTIO_BLK_STOP : VIRTIO_BLK_REPORT;
    return policy;
}

static void failed(struct virtio_blk_request *q, int rc)
{
    struct virtio_blk *blk = q->blk;
    int action = action_for(blk, q->b.op, rc);
    bool first = !(blk->halted & UINT64_C(1) << q->queue);

    if (action == VIRTIO_BLK_STOP && keep(q)) {
        if (first)
            report(blk, &q->b, rc, action);
        return;
    }
    action = action == VIRTIO_BLK_STOP ? VIRTIO_BLK_REPORT : action;
    report(blk, &q->b, rc, action);
    answer(q, action == VIRTIO_BLK_IGNORE ? STATUS_OK : STATUS_IOERR);
}

static void done(struct block_request *b, int rc)
{
    struct virtio_blk_request *q = lunik_container_of(b, struct virtio_blk_request, b);

    if (rc)
        failed(q, rc);
    else
        answer(q, STATUS_OK);
}

bool virtio_blk_keeps(const struct virtio_blk *blk)
{
    return blk->rerror >= VIRTIO_BLK_STOP || blk->werror >= VIRTIO_BLK_STOP;
}

/* ---- cutting -------------------------------------------------------------------------------- */

/* Copies `size` bytes from the beginning of pieces; returns the piece that has the byte after them,
 * which then begins there. There are more than so many bytes, or exactly as many. */
static unsigned take_bytes(struct iovec *iov, unsigned count, void *out, size_t size)
{
    unsigned i = 0;

    while (size) {
        size_t here = iov[i].iov_len < size ? iov[i].iov_len : size;

        memcpy(out, iov[i].iov_base, here);
        out = (uint8_t *)out + here;
        size -= here;
        iov[i].iov_base = (uint8_t *)iov[i].iov_base + here;
        iov[i].iov_len -= here;
        if (!iov[i].iov_len)
            i++;
    }
    return i < count ? i : count;
}

/* Takes the status off the end of the writable pieces. Returns how many are left. */
static unsigned cut_status(struct virtio_blk_request *q)
{
    struct virtqueue_request *r = q->r;
    struct iovec *last = &r->iov[r->out + r->in - 1];

    q->status = (uint8_t *)last->iov_base + last->iov_len - 1;
    q->shortened = last->iov_len > 1 ? last : NULL;
    if (!q->shortened)
        return r->in - 1u;
    last->iov_len--;
    return r->in;
}

static void give_bytes(const struct iovec *iov, unsigned count, const void *data, size_t size)
{
    for (unsigned i = 0; i < count && size; i++) {
        size_t here = iov[i].iov_len < size ? iov[i].iov_len : size;

        memcpy(iov[i].iov_base, data, here);
        data = (const uint8_t *)data + here;
        size -= here;
    }
}

/* ---- requests ------------------------------------------------------------------------------- */

/* Sets offset and size. Returns false if they are not blocks of the disk. */
static bool place(struct virtio_blk_request *q, uint64_t sector, uint64_t size)
{
    const struct virtio_blk *blk = q->blk;
    uint64_t end = atomic_load_explicit(&blk->dev->size, memory_order_relaxed);

    if (sector > end / BLOCK_SECTOR)
        return false;
    q->b.offset = sector * BLOCK_SECTOR;
    q->b.size = size;
    return !((q->b.offset | size) % blk->logical) && size <= end - q->b.offset;
}

static void submit(struct virtio_blk_request *q, enum block_op op)
{
    q->b.op = op;
    q->b.done = done;
    block_submit(q->blk->channel, &q->b);
}

static void transfer(struct virtio_blk_request *q, enum block_op op, uint64_t sector,
                     const struct iovec *iov, unsigned count, uint64_t size)
{
    bool through =
        op == BLOCK_WRITE && !atomic_load_explicit(&q->blk->writeback, memory_order_relaxed);

    q->b.iov = iov;
    q->b.count = count;
    q->b.flags = through ? BLOCK_FUA : 0;
    if (!place(q, sector, size) || (op == BLOCK_WRITE && q->blk->dev->readonly))
        answer(q, STATUS_IOERR);
    else
        submit(q, op);
}

static void get_id(struct virtio_blk_request *q, const struct iovec *in, unsigned count)
{
    char id[VIRTIO_BLK_SERIAL_SIZE] = {0};
    size_t length = q->blk->serial ? strlen(q->blk->serial) : 0;

    if (length)
        memcpy(id, q->blk->serial, length < sizeof(id) ? length : sizeof(id));
    give_bytes(in, count, id, sizeof(id));
    answer(q, STATUS_OK);
}

/* One segment, as the configuration has it. */
static void change_space(struct virtio_blk_request *q, enum block_op op, struct iovec *out,
                         unsigned count, uint64_t size)
{
    struct virtio_blk *blk = q->blk;
    bool writes = op == BLOCK_WRITE_ZEROES;
    struct segment s;

    if (!(writes ? blk->write_zeroes : blk->discard) || size > sizeof(s)) {
        answer(q, STATUS_UNSUPP);
        return;
    }
    if (size < sizeof(s)) {
        answer(q, STATUS_IOERR);
        return;
    }
    take_bytes(out, count, &s, sizeof(s));
    if (s.flags & ~(writes ? SEGMENT_UNMAP : 0u)) {
        answer(q, STATUS_UNSUPP);
        return;
    }
    q->b.iov = NULL;
    q->b.count = 0;
    q->b.flags = s.flags & SEGMENT_UNMAP ? BLOCK_UNMAP : 0;
    if (writes && !atomic_load(&blk->writeback))
        q->b.flags |= BLOCK_FUA;
    if (s.count > blk->config.max_write_zeroes_sectors || blk->dev->readonly ||
        !place(q, s.sector, (uint64_t)s.count * BLOCK_SECTOR))
        answer(q, STATUS_IOERR);
    else
        submit(q, op);
}

static void carry_out(struct virtio_blk_request *q)
{
    struct virtqueue_request *r = q->r;
    struct iovec *in = &r->iov[r->out], *out;
    uint64_t out_size = r->out_size - sizeof(struct header), in_size = r->in_size - 1;
    unsigned in_count = cut_status(q), out_count, first;
    struct header header;

    first = take_bytes(r->iov, r->out, &header, sizeof(header));
    out = &r->iov[first];
    out_count = r->out - first;
    switch (header.type) {
    case TYPE_IN:
        transfer(q, BLOCK_READ, header.sector, in, in_count, in_size);
        break;
    case TYPE_OUT:
        transfer(q, BLOCK_WRITE, header.sector, out, out_count, out_size);
        break;
    case TYPE_FLUSH:
        q->b.size = 0;
        submit(q, BLOCK_FLUSH);
        break;
    case TYPE_GET_ID:
        get_id(q, in, in_count);
        break;
    case TYPE_DISCARD:
        change_space(q, BLOCK_DISCARD, out, out_count, out_size);
        break;
    case TYPE_WRITE_ZEROES:
        change_space(q, BLOCK_WRITE_ZEROES, out, out_count, out_size);
        break;
    default:
        answer(q, STATUS_UNSUPP);
    }
}

/* ---- queues --------------------------------------------------------------------------------- */

/* Returns false, and breaks the queue, if there is no header or no status. */
static bool begin(struct virtio_blk *blk, unsigned queue, struct virtqueue_request *r)
{
    struct virtqueue *ring = &blk->virtio->queues[queue];
    struct virtio_blk_request *q;

    if (r->out_size < sizeof(struct header) || !r->in_size) {
        virtqueue_break(ring, "a request has no room for a %s",
                        r->in_size ? "header of 16 bytes" : "status");
        virtqueue_push(ring, r, 0);
        return false;
    }
    q = new_request(blk);
    q->blk = blk;
    q->r = r;
    q->queue = queue;
    blk->in_flight[queue]++;
    carry_out(q);
    return true;
}

static void flush(struct virtio_blk *blk, unsigned queue)
{
    blk->returned &= ~(UINT64_C(1) << queue);
    virtio_flush(blk->virtio, queue);
}

static void begin_batch(struct virtio_blk *blk, unsigned queue, struct virtqueue_request **r,
                        unsigned count, int64_t *budget)
{
    bool good = true;

    for (unsigned i = 0; i < count; i++) {
        *budget -= (int64_t)(r[i]->in_size + r[i]->out_size + REQUEST_COST);
        if (good)
            good = begin(blk, queue, r[i]);
        else
            virtqueue_push(&blk->virtio->queues[queue], r[i], 0);
    }
}

static bool is_halted(const struct virtio_blk *blk, unsigned queue)
{
    return blk->halted & UINT64_C(1) << queue;
}

/* Takes requests until the queue is empty, or *budget, in bytes, is used up. What the host is asked
 * for goes to it together, by one call; but not later than answers that were had at once. */
static void take_all(struct virtio_blk *blk, unsigned queue, int64_t *budget)
{
    struct virtqueue_request *r[BATCH];
    unsigned count;

    while (*budget > 0 && !is_halted(blk, queue) &&
           (count = virtqueue_pop(&blk->virtio->queues[queue], r, BATCH))) {
        begin_batch(blk, queue, r, count, budget);
        if (!(blk->returned & UINT64_C(1) << queue))
            continue;
        block_commit(blk->channel);
        flush(blk, queue);
    }
}

/* A driver may send without an end: the thread, and with it perhaps the machine lock, is given away
 * from time to time. */
void virtio_blk_serve(struct virtio *v, struct virtio_blk *blk, unsigned queue)
{
    int64_t budget = TURN_BUDGET;

    if (is_halted(blk, queue))
        return;
    blk->serving = true;
    do {
        virtqueue_quiet(&v->queues[queue]);
        take_all(blk, queue, &budget);
    } while (virtqueue_listen(&v->queues[queue]) && budget > 0 && !is_halted(blk, queue));
    block_commit(blk->channel);
    flush(blk, queue);
    blk->serving = false;
    if (budget <= 0)
        virtio_path_again(v, queue);
}

static void idle_if_finished(struct virtio_blk *blk, unsigned queue)
{
    if (blk->in_flight[queue] || !(blk->finishing & UINT64_C(1) << queue))
        return;
    blk->finishing &= ~(UINT64_C(1) << queue);
    blk->halted &= ~(UINT64_C(1) << queue);
    virtio_path_idle(blk->virtio, queue);
}

void virtio_blk_finish(struct virtio *v, struct virtio_blk *blk, unsigned queue)
{
    blk->finishing |= UINT64_C(1) << queue;
    idle_if_finished(blk, queue);
}

/* A driver that keeps the disk busy sends anew for what it gets back: seen now, that costs no
 * notification and no turn of the loop. */
void virtio_blk_batch(struct virtio_blk *blk)
{
    uint64_t returned = blk->returned;

    if (blk->serving)
        return;
    for (uint64_t left = returned; left; left &= left - 1)
        flush(blk, (unsigned)__builtin_ctzll(left));
    for (uint64_t left = returned; left; left &= left - 1)
        virtio_path_look(blk->virtio, (unsigned)__builtin_ctzll(left));
    /* With the last one that is idle the queues may go. */
    for (uint64_t left = blk->finishing; left; left &= left - 1)
        idle_if_finished(blk, (unsigned)__builtin_ctzll(left));
}
