/*
 * queue.h: the driver's side of a split virtio queue with event indices, by polling: no interrupts.
 * The benchmarks' guest drives devices with it, and programs that play a guest.
 */
#ifndef BENCH_QUEUE_H
#define BENCH_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#define QUEUE_NEXT  1 /* flags of a descriptor */
#define QUEUE_WRITE 2

#define QUEUE_STRIDE 0x10000 /* the rings of a queue lie in an area of this size */

struct descriptor {
    uint64_t address;
    uint32_t length;
    uint16_t flags, next;
};

struct queue {
    uint64_t memory; /* where the device's address 0 is: 0 in a guest */
    uint64_t descriptors, driver_area, device_area;
    uint16_t size;
    uint16_t added, published, seen;
    uint64_t kicks;                /* calls of ring */
    void (*ring)(struct queue *q); /* notifies the device */
    volatile uint16_t *doorbell;   /* for ring(): one of these */
    uint16_t index;
    int fd;
};

/* Lays the rings out from address `at` on, and clears them. memory, size and ring are set before.
 */
void queue_init(struct queue *q, uint64_t at);

static inline void *queue_host(const struct queue *q, uint64_t address)
{
    return (void *)(uintptr_t)(q->memory + address);
}

static inline struct descriptor *queue_descriptor(const struct queue *q, unsigned i)
{
    return (struct descriptor *)queue_host(q, q->descriptors) + i;
}

/* Adds the chain that starts at descriptor head; the device sees it once it is published. */
void queue_add(struct queue *q, unsigned head);
/* Shows the device what was added, and notifies it if it asks for that. */
void queue_publish(struct queue *q);
/* Takes a used chain: its head, and the bytes that the device wrote; false: there is none. */
bool queue_take(struct queue *q, unsigned *head, uint32_t *length);

#endif
