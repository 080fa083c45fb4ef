/* virtio_mem.h: the state of the memory device, which virtio_mem*.c share (virtio 1.2, 5.15). */
#ifndef VIRTIO_VIRTIO_MEM_H
#define VIRTIO_VIRTIO_MEM_H

#include "virtio_pci.h"

enum { MEM_F_ACPI_PXM = 1 };

/* The configuration. */
enum {
    MEM_BLOCK_SIZE = 0,
    MEM_NODE = 8, /* 16 bits; the others 64 */
    MEM_ADDRESS = 16,
    MEM_REGION_SIZE = 24,
    MEM_USABLE_SIZE = 32,
    MEM_PLUGGED_SIZE = 40,
    MEM_REQUESTED_SIZE = 48,
    MEM_CONFIG = 56,
};

/* Requests, answers and states of blocks. */
enum { MEM_PLUG, MEM_UNPLUG, MEM_UNPLUG_ALL, MEM_STATE };
enum { MEM_ACK, MEM_NACK, MEM_BUSY, MEM_ERROR };
enum { MEM_PLUGGED, MEM_UNPLUGGED, MEM_MIXED };

struct virtio_mem {
    struct virtio_pci pci;
    lunik_memory_device md; /* memdev, address (memaddr), node are properties */
    uint64_t block_size, requested;

    uint8_t config[MEM_CONFIG];
    uint64_t usable, size; /* bytes; size: plugged */
    uint64_t *plugged;     /* a bit for each block */
    uint32_t words;
    lunik_ram *ram;
    lunik_populate_manager manager;
    lunik_reset_sub reset;
};

static inline struct virtio_mem *mem_of(struct virtio *v)
{
    return lunik_container_of(v, struct virtio_mem, pci.virtio);
}

/* virtio_mem_blocks.c: blocks, with the machine lock. Parts are whole blocks of the region. */
int mem_blocks_init(struct virtio_mem *s, lunik_error *err);
void mem_blocks_fini(struct virtio_mem *s);
/* Whether all blocks of a part are plugged, or none of them is. */
bool mem_all(const struct virtio_mem *s, uint64_t offset, uint64_t size, bool plugged);
/* Change the blocks of a part, all of which are in the other state. Return the answer for the
 * guest. */
unsigned mem_plug(struct virtio_mem *s, uint64_t offset, uint64_t size);
unsigned mem_unplug(struct virtio_mem *s, uint64_t offset, uint64_t size);
unsigned mem_unplug_all(struct virtio_mem *s);
/* Makes memory and listeners follow the bits, which have been loaded. */
int mem_blocks_loaded(struct virtio_mem *s, lunik_error *err);

/* virtio_mem_requests.c */
void mem_serve(struct virtio *v, unsigned queue);

/* virtio_mem.c: configuration and event follow what has changed. */
void mem_size_changed(struct virtio_mem *s);
/* How much of the region may be plugged. */
void mem_update_usable(struct virtio_mem *s, bool may_shrink);

#endif
