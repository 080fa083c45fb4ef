/*
 * virtio_blk.h: the block device of virtio 1.2 (section 5.2), apart from its transport.
 *
 * All queues are served on one thread, which has one channel to the back end.
 */
#ifndef VIRTIO_VIRTIO_BLK_H
#define VIRTIO_VIRTIO_BLK_H

#include "../block/block.h"
#include "virtio_path.h"

enum { VIRTIO_BLK_QUEUES_MAX = 64, VIRTIO_BLK_QUEUE_SIZE_MAX = 1024, VIRTIO_BLK_SERIAL_SIZE = 20 };

/* Configuration (section 5.2.4), little-endian. */
struct virtio_blk_config {
    uint64_t capacity; /* sectors of 512 bytes */
    uint32_t size_max, seg_max;
    uint16_t cylinders;
    uint8_t heads, sectors;
    uint32_t blk_size;
    uint8_t physical_block_exp, alignment_offset;
    uint16_t min_io_size;
    uint32_t opt_io_size;
    uint8_t writeback, unused0;
    uint16_t num_queues;
    uint32_t max_discard_sectors, max_discard_seg, discard_sector_alignment;
    uint32_t max_write_zeroes_sectors, max_write_zeroes_seg;
    uint8_t write_zeroes_may_unmap, unused1[3];
} __attribute__((packed));

struct virtio_blk_request;

struct virtio_blk {
    /* Properties. */
    lunik_object *drive;
    char *serial;
    uint64_t num_queues, queue_size;
    int64_t bootindex;          /* for scripts */
    uint64_t logical, physical; /* block sizes, bytes; 0: the back end's */
    bool write_cache, config_wce, discard, write_zeroes;
    int rerror, werror; /* enum virtio_blk_error */

    struct virtio *virtio;
    lunik_object *object, *backend; /* backend: drive, until the channel is closed */
    struct blockdev *dev;           /* of drive */
    struct virtio_blk_config config;
    bool saved_writeback;
    _Atomic bool writeback;
    struct block_watch watch;
    lunik_task close;  /* on the thread of the queues */
    lunik_task closed; /* on the loop */
    lunik_task stop;   /* on the loop: pauses the machine */

    /* The thread of the queues. */
    struct block_channel *channel;
    struct virtio_blk_request *requests, *spare;
    unsigned used_requests;                    /* that have ever been used */
    unsigned in_flight[VIRTIO_BLK_QUEUES_MAX]; /* requests */
    uint64_t finishing, returned, halted;      /* a bit for each queue */
    bool serving;
    uint64_t last_report; /* ns; of an error */
};

/* What is done about a request that has failed: the guest is told; it is not; the machine pauses,
 * and the request is done again when it goes on; that if the host has no space, else the first. */
enum virtio_blk_error { VIRTIO_BLK_REPORT, VIRTIO_BLK_IGNORE, VIRTIO_BLK_STOP, VIRTIO_BLK_ENOSPC };

/* ---- virtio_blk.c: requests ----------------------------------------------------------------- */

/* Returns memory for as many requests as all queues have entries; NULL: there is none. */
struct virtio_blk_request *virtio_blk_new_requests(size_t count);
/* For the device's virtio_ops. */
void virtio_blk_serve(struct virtio *v, struct virtio_blk *blk, unsigned queue);
void virtio_blk_finish(struct virtio *v, struct virtio_blk *blk, unsigned queue);
/* The channel has answered requests. */
void virtio_blk_batch(struct virtio_blk *blk);

/* ---- virtio_blk_device.c: life and configuration -------------------------------------------- */

/* Properties, virtio and object are set. Claims the drive, and fills in features, configuration. */
int virtio_blk_open(struct virtio_blk *blk, lunik_error *err);
/* The queues are at rest, unless a drain took too long. */
void virtio_blk_close(struct virtio_blk *blk);
void virtio_blk_start(struct virtio_blk *blk);
void virtio_blk_reset(struct virtio_blk *blk);
void virtio_blk_configured(struct virtio_blk *blk);
/* After properties or state were loaded. */
void virtio_blk_update(struct virtio_blk *blk);

/* Whether requests are ever done again. */
bool virtio_blk_keeps(const struct virtio_blk *blk);
/* The pieces that a request's data may have. */
uint16_t virtio_blk_segments(const struct virtio_blk *blk);

#endif
