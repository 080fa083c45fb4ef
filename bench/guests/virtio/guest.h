/*
 * guest.h: the parts of the virtio guest: a driver in ring 3 with all ports open to it, on
 * one-to-one page tables, without interrupts. It looks for a virtio disk or network card on the PCI
 * bus, as no firmware ran before it also gives it its addresses, and measures it.
 */
#ifndef BENCH_VIRTIO_GUEST_H
#define BENCH_VIRTIO_GUEST_H

#include "../../driver/queue.h"
#include "../user/user.h"

/* In ticks of the TSC. */
#define RUN_TICKS   (1ull << 28) /* a load */
#define PAUSE_TICKS (1ull << 18) /* before a request, where a load has pauses */
#define RUNS        2

/* Memory, beyond this program; user_guest.h maps it. */
#define RINGS   0x200000
#define BUFFERS 0x400000

#define VIRTIO_NET 1
#define VIRTIO_BLK 2

/* device.c */
struct device {
    volatile uint8_t *common, *notify, *config;
    uint32_t notify_multiplier;
};

bool device_find(unsigned type, struct device *d);
/* Offers all features of the device that are among these, VERSION_1 and EVENT_IDX. */
void device_negotiate(struct device *d, uint32_t features);
void device_queue(struct device *d, unsigned index, struct queue *q);
void device_start(struct device *d);

/* blk.c, net.c */
void measure_disk(struct device *d);
void measure_network(struct device *d); /* of two guests the one with the odd address answers */

#endif
