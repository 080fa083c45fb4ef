/* blk.c: the loads on a disk. Reports of each its name, the ticks, the requests and the doorbells.
 */
#include "../../driver/disk.h"
#include "guest.h"

#define SECTOR   512
#define CAPACITY 0 /* in the device's configuration: sectors */

/* With these, writes may stay in a cache until a flush. */
#define F_FLUSH      (1u << 9)
#define F_CONFIG_WCE (1u << 11)

void measure_disk(struct device *d)
{
    struct queue q;
    struct disk disk = {.queue = &q,
                        .buffers = BUFFERS,
                        .now = now,
                        .run = RUN_TICKS,
                        .pause = PAUSE_TICKS,
                        .failed = fail};

    device_negotiate(d, F_FLUSH | F_CONFIG_WCE);
    device_queue(d, 0, &q);
    device_start(d);
    disk.size = *(volatile uint32_t *)(d->config + CAPACITY) * (uint64_t)SECTOR;
    if (q.size < 3 * DISK_DEPTH || !disk.size)
        fail();
    for (uint64_t at = BUFFERS; at < BUFFERS + DISK_DEPTH * DISK_STRIDE; at += 4096)
        *(volatile uint8_t *)at = 1; /* so that memory is there */
    for (unsigned run = 0; run < RUNS; run++) {
        for (unsigned i = 0; i < disk_load_count; i++) {
            struct disk_result r = disk_run(&disk, &disk_loads[i]);

            report(disk_loads[i].name, (uint64_t[]){r.time, r.count, r.kicks}, 3);
        }
    }
}
