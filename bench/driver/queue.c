/* queue.c: see queue.h. */
#include "queue.h"

#include <stdatomic.h>

#define DRIVER_AREA 0x4000 /* after the descriptors */
#define DEVICE_AREA 0x8000

struct used {
    uint32_t head, length;
};

static _Atomic uint16_t *word(const struct queue *q, uint64_t address)
{
    return queue_host(q, address);
}

void queue_init(struct queue *q, uint64_t at)
{
    volatile uint64_t *area = queue_host(q, at);

    q->descriptors = at;
    q->driver_area = at + DRIVER_AREA;
    q->device_area = at + DEVICE_AREA;
    q->added = q->published = q->seen = 0;
    q->kicks = 0;
    for (unsigned i = 0; i < QUEUE_STRIDE / 8; i++)
        area[i] = 0;
    /* An event that is not reached: no interrupts. */
    atomic_store_explicit(word(q, q->driver_area + 4 + 2 * q->size), UINT16_MAX,
                          memory_order_relaxed);
}

void queue_add(struct queue *q, unsigned head)
{
    atomic_store_explicit(word(q, q->driver_area + 4 + 2 * (q->added++ % q->size)), (uint16_t)head,
                          memory_order_relaxed);
}

void queue_publish(struct queue *q)
{
    uint16_t old = q->published, event;

    q->published = q->added;
    atomic_store_explicit(word(q, q->driver_area + 2), q->added, memory_order_release);
    atomic_thread_fence(memory_order_seq_cst);
    event = atomic_load_explicit(word(q, q->device_area + 4 + 8 * q->size), memory_order_relaxed);
    if ((uint16_t)(q->added - event - 1) < (uint16_t)(q->added - old)) {
        q->kicks++;
        q->ring(q);
    }
}

bool queue_take(struct queue *q, unsigned *head, uint32_t *length)
{
    const struct used *used;

    if (atomic_load_explicit(word(q, q->device_area + 2), memory_order_acquire) == q->seen)
        return false;
    used = (struct used *)queue_host(q, q->device_area + 4) + q->seen % q->size;
    *head = used->head;
    *length = used->length;
    atomic_store_explicit(word(q, q->driver_area + 4 + 2 * q->size), q->seen++,
                          memory_order_relaxed);
    return true;
}
