/* net_queue.c: a bounded queue of frames, and pieces of frames; see net.h. */
#include <stdlib.h>
#include <string.h>

#include "net.h"

struct net_queued {
    struct net_queued *next;
    unsigned queue;
    size_t size;
    uint8_t frame[];
};

size_t net_iov_size(const struct iovec *iov, unsigned count)
{
    size_t size = 0;

    for (unsigned i = 0; i < count; i++)
        size += iov[i].iov_len;
    return size;
}

size_t net_iov_copy(uint8_t *to, size_t size, const struct iovec *iov, unsigned count)
{
    size_t done = 0;

    for (unsigned i = 0; i < count && done < size; i++) {
        size_t piece = iov[i].iov_len < size - done ? iov[i].iov_len : size - done;

        memcpy(to + done, iov[i].iov_base, piece);
        done += piece;
    }
    return done;
}

void net_queue_init(struct net_queue *q, size_t limit)
{
    *q = (struct net_queue){.limit = limit};
    q->end = &q->first;
}

bool net_queue_add(struct net_queue *q, unsigned queue, const struct iovec *iov, unsigned count)
{
    size_t size = net_iov_size(iov, count), cost = sizeof(struct net_queued) + size;
    struct net_queued *f = q->bytes + cost <= q->limit ? malloc(cost) : NULL;

    if (!f)
        return false;
    f->next = NULL;
    f->queue = queue;
    f->size = net_iov_copy(f->frame, size, iov, count);
    *q->end = f;
    q->end = &f->next;
    q->bytes += cost;
    return true;
}

const uint8_t *net_queue_first(const struct net_queue *q, unsigned *queue, size_t *size)
{
    const struct net_queued *f = q->first;

    if (!f)
        return NULL;
    *queue = f->queue;
    *size = f->size;
    return f->frame;
}

void net_queue_drop(struct net_queue *q)
{
    struct net_queued *f = q->first;

    q->first = f->next;
    if (!q->first)
        q->end = &q->first;
    q->bytes -= sizeof(*f) + f->size;
    free(f);
}

void net_queue_clear(struct net_queue *q)
{
    while (q->first)
        net_queue_drop(q);
}
