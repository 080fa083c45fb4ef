/*
 * virtio_net_data.c: frames between the queues and the back end; see virtio_net.h.
 *
 * DESIGN. Nothing is in flight when a function returns: a frame is copied into the driver's
 * buffers, or handed to the back end, at once. Frames without room stay where they are, and the
 * other side is stopped: a frame in the back end until the driver has added buffers, a request in
 * the queue until the back end takes more.
 */
#include <stdatomic.h>
#include <string.h>

#include "virtio_net.h"

enum { BATCH = 32, FRAMES_AT_ONCE = 256, FRAME_MIN = 14 };

static struct virtqueue *queue_of(struct virtio_net *s, unsigned index)
{
    return &s->pci.virtio.queues[index];
}

/* ---- configuration -------------------------------------------------------------------------- */

void virtio_net_configure(struct virtio_net *s)
{
    atomic_store(&s->reconfigure, false);
    if (!s->back)
        return;
    netdev_configure(s->back, s->offloads, s->pairs);
    for (unsigned i = 0; i < s->max_pairs; i++) /* frames that were meant for another pair */
        netdev_resume(s->back, i);
}

/* Work that the guest may leave to the other side. */
static unsigned host_offloads(const struct virtio_net *s)
{
    return (virtio_net_has(s, VIRTIO_NET_CSUM) ? NETDEV_CSUM : 0) |
           (virtio_net_has(s, VIRTIO_NET_HOST_TSO4) ? NETDEV_TSO4 : 0) |
           (virtio_net_has(s, VIRTIO_NET_HOST_TSO6) ? NETDEV_TSO6 : 0) |
           (virtio_net_has(s, VIRTIO_NET_HOST_ECN) ? NETDEV_ECN : 0) |
           (virtio_net_has(s, VIRTIO_NET_HOST_UFO) ? NETDEV_UFO : 0);
}

/* ---- receiving ------------------------------------------------------------------------------ */

/* A frame on its way into buffers. */
struct arrival {
    struct virtio_net_header header;
    const uint8_t *frame;
    size_t size, done; /* done: bytes of header and frame */
    struct virtqueue_request *taken[VIRTIO_NET_ENTRIES_MAX];
    uint32_t written[VIRTIO_NET_ENTRIES_MAX];
    unsigned count;
};

/* Copies bytes of header and frame, from a->done on. */
static void copy_piece(struct arrival *a, uint8_t *to, size_t size)
{
    size_t part = 0;

    if (a->done < NETDEV_HEADER) {
        part = NETDEV_HEADER - a->done < size ? NETDEV_HEADER - a->done : size;
        memcpy(to, (uint8_t *)&a->header + a->done, part);
    }
    if (part < size)
        memcpy(to + part, a->frame + (a->done + part - NETDEV_HEADER), size - part);
    a->done += size;
}

static uint32_t fill(struct arrival *a, const struct virtqueue_request *r)
{
    size_t before = a->done, end = NETDEV_HEADER + a->size;

    for (unsigned i = 0; i < r->in && a->done < end; i++) {
        size_t piece = r->iov[i].iov_len, left = end - a->done;

        copy_piece(a, r->iov[i].iov_base, piece < left ? piece : left);
    }
    return (uint32_t)(a->done - before);
}

/* Buffers are only for the device to write, and have room for a header. */
static bool buffer_ok(struct virtqueue *q, const struct virtqueue_request *r)
{
    if (!r->out && r->in_size >= NETDEV_HEADER)
        return true;
    virtqueue_break(q,
                    r->out ? "a receive buffer has parts that are to be read"
                           : "a receive buffer has %u bytes",
                    (unsigned)r->in_size);
    return false;
}

static bool pop_buffer(struct virtqueue *q, struct arrival *a)
{
    if (virtqueue_pop(q, &a->taken[a->count], 1))
        return true;
    return virtqueue_listen(q) && virtqueue_pop(q, &a->taken[a->count], 1);
}

enum taking { TAKEN, NO_ROOM, TOO_BIG, BROKEN };

static enum taking take_buffers(struct virtio_net *s, struct virtqueue *q, struct arrival *a)
{
    unsigned most = virtio_net_has(s, VIRTIO_NET_MRG_RXBUF) ? q->size : 1;

    while (a->done < NETDEV_HEADER + a->size) {
        if (a->count == most)
            return TOO_BIG;
        if (!pop_buffer(q, a))
            return virtqueue_broken(q) ? BROKEN : NO_ROOM;
        a->count++;
        if (!buffer_ok(q, a->taken[a->count - 1]))
            return BROKEN;
        a->written[a->count - 1] = fill(a, a->taken[a->count - 1]);
    }
    return TAKEN;
}

static void poke(const struct virtqueue_request *r, size_t at, uint8_t value)
{
    for (unsigned i = 0; i < r->in; i++) {
        if (at < r->iov[i].iov_len) {
            ((uint8_t *)r->iov[i].iov_base)[at] = value;
            return;
        }
        at -= r->iov[i].iov_len;
    }
}

/* The number of buffers is known only now; the first one has room for all of the header. */
static void note_count(const struct arrival *a)
{
    size_t at = offsetof(struct virtio_net_header, num_buffers);

    poke(a->taken[0], at, (uint8_t)a->count);
    poke(a->taken[0], at + 1, (uint8_t)(a->count >> 8));
}

static bool put(struct virtio_net *s, unsigned pair, struct arrival *a)
{
    struct virtqueue *q = queue_of(s, 2 * pair);
    enum taking result = take_buffers(s, q, a);

    if (result == TAKEN) {
        if (a->count > 1)
            note_count(a);
        for (unsigned i = 0; i < a->count; i++)
            virtqueue_push(q, a->taken[i], a->written[i]);
        s->state[pair].received++;
        virtio_net_count(&s->rx.frames, 1);
        virtio_net_count(&s->rx.bytes, a->size);
        return true;
    }
    while (a->count)
        virtqueue_unpop(q, a->taken[--a->count]);
    s->state[pair].starved = result == NO_ROOM;
    if (result != NO_ROOM)
        virtio_net_count(&s->rx.dropped, 1);
    virtio_path_check(&s->pci.virtio, 2 * pair);
    return result != NO_ROOM;
}

/* Reads the header of a frame that has one; false: the frame is not for this guest. A checksum
 * that the guest does not complete is completed here. */
static bool open_header(struct virtio_net *s, struct arrival *a, const uint8_t *data, size_t size)
{
    if (size < NETDEV_HEADER)
        return false;
    memcpy(&a->header, data, NETDEV_HEADER);
    a->frame = data + NETDEV_HEADER;
    a->size = size - NETDEV_HEADER;
    a->header.num_buffers = 1;
    if (!(a->header.flags & VIRTIO_NET_NEEDS_CSUM) || s->offloads & NETDEV_CSUM)
        return virtio_net_header_ok(&a->header, a->size, s->offloads);
    if (!virtio_net_header_ok(&a->header, a->size, NETDEV_CSUM) || a->size > NETDEV_FRAME_MAX)
        return false;
    memcpy(s->scratch, a->frame, a->size);
    virtio_net_checksum(s->scratch, a->size, &a->header);
    a->frame = s->scratch;
    memset(&a->header, 0, sizeof(a->header));
    a->header.num_buffers = 1;
    return true;
}

/* Pairs that the driver does not use receive with the first one. How many it uses is the thread's
 * to know only while a queue is served. */
static unsigned pair_of(const struct virtio_net *s, unsigned pair)
{
    return pair < s->max_pairs && s->state[pair].receiving && pair < s->pairs ? pair : 0;
}

static bool receive(void *opaque, unsigned pair, const uint8_t *data, size_t size)
{
    struct virtio_net *s = opaque;
    struct arrival a;
    bool good = true;

    pair = pair_of(s, pair);
    if (!s->state[pair].receiving || !virtio_running(&s->pci.virtio)) {
        s->state[pair].starved = true;
        return false;
    }
    a.done = a.count = 0;
    if (s->back->vnet_hdr) {
        good = open_header(s, &a, data, size);
    } else {
        a.header = (struct virtio_net_header){.num_buffers = 1};
        a.frame = data;
        a.size = size;
    }
    if (!good || !atomic_load(&s->up) || !virtio_net_wanted(&s->filter, a.frame, a.size)) {
        virtio_net_count(&s->rx.dropped, 1);
        return true;
    }
    return put(s, pair, &a);
}

static void received(void *opaque, unsigned pair)
{
    struct virtio_net *s = opaque;

    pair = pair_of(s, pair);
    if (!s->state[pair].received || !s->state[pair].receiving)
        return;
    s->state[pair].received = 0;
    virtio_flush(&s->pci.virtio, 2 * pair);
}

/* The first pair receives for those that the driver does not use. */
void virtio_net_serve_receive(struct virtio_net *s, unsigned pair)
{
    struct virtio_net_pair *p = &s->state[pair];
    bool resume = p->starved || !p->receiving;

    p->receiving = true;
    if (!resume)
        return;
    p->starved = false;
    for (unsigned i = pair; s->back && i < (pair ? pair + 1 : s->max_pairs); i++)
        netdev_resume(s->back, i);
}

/* ---- sending -------------------------------------------------------------------------------- */

/* Leaves out the first bytes; all has room for one piece more than there are. */
static unsigned skip(struct iovec *all, const struct virtqueue_request *r, size_t bytes)
{
    unsigned count = 0;

    for (unsigned i = 0; i < r->out; i++) {
        size_t piece = r->iov[i].iov_len, left_out = piece < bytes ? piece : bytes;

        bytes -= left_out;
        if (piece > left_out)
            all[count++] =
                (struct iovec){(uint8_t *)r->iov[i].iov_base + left_out, piece - left_out};
    }
    return count;
}

static bool request_ok(struct virtqueue *q, const struct virtqueue_request *r)
{
    if (!r->in && r->out_size >= NETDEV_HEADER)
        return true;
    virtqueue_break(q,
                    r->in ? "a frame to send has parts that are to be written"
                          : "a frame to send has a header of %u bytes",
                    (unsigned)r->out_size);
    return false;
}

/* Hands a frame to the back end; false: it has no room. The header is checked in a copy, as the
 * guest may change it meanwhile. */
static bool transmit(struct virtio_net *s, unsigned pair, const struct virtqueue_request *r)
{
    struct iovec all[NETDEV_PIECES_MAX + 1];
    struct virtio_net_header header;
    size_t size = r->out_size - NETDEV_HEADER;
    unsigned count;

    net_iov_copy((uint8_t *)&header, NETDEV_HEADER, r->iov, r->out);
    header.flags &= VIRTIO_NET_NEEDS_CSUM;
    header.num_buffers = 0;
    if (!s->back || !atomic_load(&s->up) || size < FRAME_MIN || size > NETDEV_FRAME_MAX ||
        !virtio_net_header_ok(&header, size, host_offloads(s))) {
        virtio_net_count(&s->tx.dropped, 1);
        return true;
    }
    count = skip(all + 1, r, NETDEV_HEADER);
    all[0] = (struct iovec){&header, NETDEV_HEADER};
    if (s->back->vnet_hdr ? !netdev_send(s->back, pair, all, count + 1)
                          : !netdev_send(s->back, pair, all + 1, count))
        return false;
    virtio_net_count(&s->tx.frames, 1);
    virtio_net_count(&s->tx.bytes, size);
    return true;
}

/* Sends requests; returns how many, those behind are put back. */
static unsigned transmit_all(struct virtio_net *s, unsigned pair, struct virtqueue_request **r,
                             unsigned count)
{
    struct virtqueue *q = queue_of(s, 2 * pair + 1);
    unsigned done = 0;

    while (done < count && request_ok(q, r[done]) && transmit(s, pair, r[done]))
        virtqueue_push(q, r[done++], 0);
    for (unsigned i = count; i-- > done;)
        virtqueue_unpop(q, r[i]);
    return done;
}

void virtio_net_serve_send(struct virtio_net *s, unsigned pair)
{
    struct virtio *v = &s->pci.virtio;
    struct virtqueue *q = queue_of(s, 2 * pair + 1);
    struct virtqueue_request *r[BATCH];
    unsigned count = 0, done = 0, all = 0;

    s->state[pair].sending = true;
    do {
        virtqueue_quiet(q);
        while (all < FRAMES_AT_ONCE && done == count && (count = virtqueue_pop(q, r, BATCH))) {
            done = transmit_all(s, pair, r, count);
            all += done;
            virtio_flush(v, 2 * pair + 1);
        }
    } while (virtqueue_listen(q) && done == count && all < FRAMES_AT_ONCE);
    if (all >= FRAMES_AT_ONCE)
        virtio_path_again(v, 2 * pair + 1);
}

static void writable(void *opaque, unsigned pair)
{
    struct virtio_net *s = opaque;

    if (pair < s->max_pairs && s->state[pair].sending)
        virtio_path_again(&s->pci.virtio, 2 * pair + 1);
}

static void link_changed(void *opaque)
{
    virtio_net_refresh(opaque);
}

const struct netdev_front virtio_net_front = {
    .receive = receive, .received = received, .writable = writable, .link = link_changed};
