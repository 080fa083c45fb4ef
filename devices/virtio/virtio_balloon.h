/* virtio_balloon.h: the state of the balloon, which virtio_balloon*.c share (virtio 1.2, 5.5). */
#ifndef VIRTIO_VIRTIO_BALLOON_H
#define VIRTIO_VIRTIO_BALLOON_H

#include "virtio_pci.h"

enum {
    F_MUST_TELL_HOST = 1,
    F_STATS_VQ = 2,
    F_DEFLATE_ON_OOM = 4,
    F_FREE_PAGE_HINT = 8,
    F_PAGE_POISON = 16,
    F_REPORTING = 32,
};

/* The configuration: 32 bits each. */
enum { BALLOON_PAGES = 0, BALLOON_ACTUAL = 4, BALLOON_HINT = 8, BALLOON_POISON = 12 };
enum { BALLOON_CONFIG = 16, BALLOON_PAGE = 4096 };
enum { BALLOON_PARTS = 512 }; /* of the largest page of the host that is collected: 2 MiB */
/* Numbers of requests for hints. */
enum { BALLOON_HINT_STOP = 0, BALLOON_HINT_DONE = 1 };
#define BALLOON_HINT_FIRST UINT32_C(0x80000000)
enum { QUEUE_INFLATE, QUEUE_DEFLATE, QUEUE_STATS, QUEUE_FIRST_OPTION };

/* X(symbol, property): by tag (section 5.5.6.4). */
#define BALLOON_STAT_MAP(X)                                                                        \
    X(SWAP_IN, "stat-swap-in", "Bytes that the guest has swapped in.")                             \
    X(SWAP_OUT, "stat-swap-out", "Bytes that it has swapped out.")                                 \
    X(MAJOR, "stat-major-faults", "Its page faults that needed a disk.")                           \
    X(MINOR, "stat-minor-faults", "Its other page faults.")                                        \
    X(FREE, "stat-free-memory", "Bytes that nothing in the guest uses.")                           \
    X(TOTAL, "stat-total-memory", "Bytes of RAM that the guest has.")                              \
    X(AVAILABLE, "stat-available-memory", "Bytes that programs could get without swapping.")       \
    X(CACHES, "stat-disk-caches", "Bytes that can be reclaimed without a disk.")                   \
    X(HUGE_OK, "stat-htlb-pgalloc", "Huge pages that were given to programs.")                     \
    X(HUGE_FAIL, "stat-htlb-pgfail", "Huge pages that programs did not get.")

enum {
#define BALLOON_STAT_ENUM(symbol, property, text) STAT_##symbol,
    BALLOON_STAT_MAP(BALLOON_STAT_ENUM)
#undef BALLOON_STAT_ENUM
        BALLOON_STATS
};

/* The question to the guest about its free pages. */
enum { HINT_STOPPED, HINT_REQUESTED, HINT_STARTED, HINT_DONE };

/* A large page of the host of which the guest has given up a part. */
struct balloon_collected {
    const lunik_ram *ram; /* to be compared, not used; NULL: none */
    uint64_t offset;      /* of the page */
    unsigned count;       /* parts */
    uint64_t parts[BALLOON_PARTS / 64];
};

struct virtio_balloon {
    struct virtio_pci pci;
    /* Properties. */
    uint64_t pages, polling; /* asked for; seconds, 0: never */
    bool deflate_on_oom, free_page_hint, page_poison, reporting, hinting;

    uint8_t config[BALLOON_CONFIG];
    uint32_t actual, last_id;             /* pages, as last reported; of a request for hints */
    unsigned hint_queue, reporting_queue; /* 0: there is none */
    lunik_timer poll;                     /* when the guest is asked for statistics */
    lunik_task ask;                       /* on the queues' thread */
    struct virtqueue_request *held;       /* the driver's buffer for them; that thread's */
    struct balloon_collected collected;   /* that thread's */
    _Atomic uint64_t stats[BALLOON_STATS];
    _Atomic bool poisoned;    /* the guest expects pages to keep what they hold */
    _Atomic uint64_t updated; /* ns of the machine's clock; 0: never */
    _Atomic uint8_t hint;
    _Atomic uint32_t hint_id;
    _Atomic uint64_t hinted, returned; /* bytes, of hints and to the host */
};

static inline struct virtio_balloon *balloon_of(struct virtio *v)
{
    return lunik_container_of(v, struct virtio_balloon, pci.virtio);
}

static inline uint32_t balloon_get(const struct virtio_balloon *s, unsigned reg)
{
    return lunik_pci_get_long(s->config, reg);
}

/* virtio_balloon_pages.c: queues of pages. */
void balloon_serve_inflate(struct virtio *v, unsigned queue);
void balloon_serve_deflate(struct virtio *v, unsigned queue);
void balloon_serve_reporting(struct virtio *v, unsigned queue);
void balloon_serve_hints(struct virtio *v, unsigned queue);

/* virtio_balloon_stats.c: statistics. */
void balloon_stats_init(struct virtio_balloon *s);
void balloon_stats_fini(struct virtio_balloon *s);
void balloon_stats_reset(struct virtio_balloon *s);
void balloon_stats_poll(struct virtio_balloon *s); /* the interval has changed */
void balloon_serve_stats(struct virtio *v, unsigned queue);
void balloon_finish_stats(struct virtio *v, unsigned queue);

#endif
