/*
 * disk.h: loads on a disk through its virtio queue, for the benchmarks' guest and for programs that
 * play one.
 */
#ifndef BENCH_DISK_H
#define BENCH_DISK_H

#include "queue.h"

#define DISK_DEPTH 32
/* For each request under way: its header, its status and from DISK_DATA on its data. */
#define DISK_STRIDE 0x40000
#define DISK_DATA   0x1000

#define DISK_READ  0 /* types of requests */
#define DISK_WRITE 1
#define DISK_FLUSH 4
#define DISK_ID    8

struct disk_header {
    uint32_t type, reserved;
    uint64_t sector;
};

struct disk_load {
    const char *name;
    uint32_t type, size;
    unsigned depth;
    bool sequential, flush, pause; /* pause: before each request, so that the device sleeps */
};

struct disk {
    struct queue *queue; /* of 3 * DISK_DEPTH descriptors or more */
    uint64_t buffers;    /* address of DISK_DEPTH * DISK_STRIDE bytes */
    uint64_t size;
    uint64_t (*now)(void);
    uint64_t run, pause;  /* how long, in its units */
    void (*failed)(void); /* a request has failed: does not return */
    uint64_t position, random;
};

struct disk_result {
    uint64_t time, count, kicks; /* time: without the pauses */
};

extern const struct disk_load disk_loads[];
extern const unsigned disk_load_count;

/* Returns where the next request of a load goes. */
uint64_t disk_next(struct disk *d, const struct disk_load *l);
struct disk_result disk_run(struct disk *d, const struct disk_load *l);

#endif
