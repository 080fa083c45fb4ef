/* queue_internal.h: the parts of a queue, for the files that make it up. */
#ifndef VIRTIO_QUEUE_INTERNAL_H
#define VIRTIO_QUEUE_INTERNAL_H

#include <stdatomic.h>

#include "queue.h"

enum { DESC_NEXT = 1, DESC_WRITE = 2, DESC_INDIRECT = 4 };

/* Copied out of guest memory once: what is checked is what is used. */
struct descriptor {
    uint64_t address;
    uint32_t length;
    uint16_t first, second; /* split: flags and next; packed: id and flags */
};

static inline uint16_t load16(const void *p)
{
    return atomic_load_explicit((const _Atomic uint16_t *)p, memory_order_relaxed);
}

static inline void store16(void *p, uint16_t value)
{
    atomic_store_explicit((_Atomic uint16_t *)p, value, memory_order_relaxed);
}

static inline void store32(void *p, uint32_t value)
{
    atomic_store_explicit((_Atomic uint32_t *)p, value, memory_order_relaxed);
}

/* Each kind of ring. The queue is enabled, not broken, and its areas are up to date. */
struct virtqueue_ops {
    /* Takes at most max requests. */
    unsigned (*pop)(struct virtqueue *q, struct virtqueue_request **out, unsigned max);
    void (*unpop)(struct virtqueue *q, const struct virtqueue_request *r);
    /* Shows the driver the requests of a list as used; returns true if it wants an interrupt. */
    bool (*publish)(struct virtqueue *q, const struct virtqueue_request *list);
    void (*quiet)(struct virtqueue *q);
    bool (*listen)(struct virtqueue *q);
};

extern const struct virtqueue_ops virtqueue_split, virtqueue_packed;

/* An area as the driver has placed it. */
struct virtqueue_place {
    const char *name;
    uint64_t address, size;
    unsigned align;
    bool write; /* by the device */
};
enum { VIRTQUEUE_AREAS = 3 }; /* table, driver, device */
void virtqueue_places(const struct virtqueue *q, struct virtqueue_place places[VIRTQUEUE_AREAS]);

/* queue_map.c: windows on memory. */

/* The windows that one generation of the memory map gave. Requests in flight keep them. */
struct virtqueue_map {
    unsigned refs;
    uint64_t generation;
    unsigned count, capacity, last; /* last: the window that was hit last */
    lunik_dma_window **windows;     /* by address */
};

/* Begins the access to memory, if that is to do, and makes map and areas follow the memory map.
 * Returns false if that can't be done: the gate is closed, or the queue has been broken. */
bool virtqueue_hold(struct virtqueue *q);
/* The same for an access that has begun, which goes on when the gate has been closed. While the
 * queue is being served virtqueue_pop() looks often enough. */
bool virtqueue_follow(struct virtqueue *q);
/* Ends the access unless requests need it. */
void virtqueue_release(struct virtqueue *q);
/* Drops a reference; map may be NULL. */
void virtqueue_map_unref(struct virtqueue *q, struct virtqueue_map *map);
/* Has map and areas looked up again. */
void virtqueue_forget(struct virtqueue *q);
/* Returns the window around address, or NULL. */
const lunik_dma_window *virtqueue_window(struct virtqueue *q, uint64_t address);
/* Whether anything that was written through the map must be reported. */
bool virtqueue_logged(const struct virtqueue_map *map);
/* Whether what was written of an area must be reported. */
static inline bool virtqueue_area_logged(const struct virtqueue_area *area)
{
    return lunik_dma_window_logged(area->window);
}
/* Reports size bytes, > 0, of an area. */
void virtqueue_area_written(struct virtqueue *q, const struct virtqueue_area *area, uint64_t offset,
                            uint64_t size);
/* Reports the pieces of a request that were written. */
void virtqueue_request_written(struct virtqueue *q, const struct virtqueue_request *r);

/* queue_chain.c: chains of buffers. */

/* Makes a request of the pool ready, with no pieces. */
struct virtqueue_request *virtqueue_request_new(struct virtqueue *q);
/* Gives one back to the pool. */
void virtqueue_request_free(struct virtqueue *q, struct virtqueue_request *r);
/* Adds a buffer. Returns false if that breaks the queue. */
bool virtqueue_add_buffer(struct virtqueue *q, struct virtqueue_request *r,
                          const struct descriptor *d, bool write);
/* Checks an indirect table and sets *entries to how many it has. Returns false if that breaks the
 * queue. */
bool virtqueue_table(struct virtqueue *q, const struct descriptor *d, uint32_t *entries);
/* Copies the entry of an indirect table that is at address. Returns false if that breaks the queue.
 */
bool virtqueue_table_entry(struct virtqueue *q, uint64_t address, struct descriptor *out);
/* Copies a descriptor out of memory. */
void virtqueue_copy_descriptor(const uint8_t *from, struct descriptor *out);

/* queue_kept.c: requests to be taken again. */

/* Notes a buffer of a request. */
void virtqueue_note_buffer(struct virtqueue *q, struct virtqueue_request *r,
                           const struct descriptor *d, bool write);
/* Takes at most max of the requests that are kept. */
unsigned virtqueue_take_kept(struct virtqueue *q, struct virtqueue_request **out, unsigned max);
/* Checks what was loaded. */
int virtqueue_check_kept(const struct virtqueue *q, uint16_t segments, lunik_error *err);
/* Has the ring know of what was loaded. */
void virtqueue_own_kept(struct virtqueue *q);

#endif
