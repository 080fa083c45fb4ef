/*
 * disk_thread.h: the least that serves the queue of a virtio disk: a thread that sleeps in read()
 * of the doorbell's eventfd and carries requests out one by one, with preadv() and pwritev().
 */
#ifndef BENCH_DISK_THREAD_H
#define BENCH_DISK_THREAD_H

#include <stdint.h>

struct disk_thread {
    uint8_t *memory; /* where the queue's address 0 is */
    uint64_t descriptors, driver_area, device_area;
    unsigned size; /* of the queue */
    int doorbell, file;
};

/* Starts the thread, which never ends. */
void disk_thread_start(struct disk_thread *t);

#endif
