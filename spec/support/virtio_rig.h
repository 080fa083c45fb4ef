/*
 * virtio_rig.h: a machine with memory and a queue in it, for tests of virtio queues.
 *
 * The memory is two blocks next to each other, a hole, a block that the guest can't write, and a
 * device.
 */
#ifndef SPEC_VIRTIO_RIG_H
#define SPEC_VIRTIO_RIG_H

#include "devices/virtio/queue.h"
#include "machine_rig.h"

enum { LOW_SIZE = 0x2c000, HIGH_SIZE = 0x14000, RAM_END = LOW_SIZE + HIGH_SIZE };
enum { ROM_AT = 0x80000, ROM_SIZE = 0x1000, DEVICE_AT = 0x90000, DEVICE_SIZE = 0x1000 };
/* Where tests put the ring and its areas. */
enum { RING_AT = 0x1000, DRIVER_AT = 0x6000, DEVICE_AREA_AT = 0x8000 };

static lunik_ram *low_ram, *high_ram, *rom;
static lunik_region *rig_regions[4];
static lunik_dma *dma;
static struct virtqueue queue;

static inline lunik_access rig_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    (void)opaque, (void)offset, (void)size;
    *value = 0;
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops rig_ops = {.read = rig_read};

static inline void rig_open(void)
{
    new_machine(LUNIK_ACCEL_NONE);
    low_ram = new_ram("low", LOW_SIZE);
    high_ram = new_ram("high", HIGH_SIZE);
    rom = new_ram("rom", ROM_SIZE);
    rig_regions[0] = show_ram("low", low_ram, 0, LOW_SIZE, 0, 0);
    rig_regions[1] = show_ram("high", high_ram, 0, HIGH_SIZE, LOW_SIZE, 0);
    rig_regions[2] = add_to(
        m->memory_space, ROM_AT,
        region_of((lunik_region_config){.kind = LUNIK_REGION_ROM, .name = "rom", .ram = rom}), 0);
    rig_regions[3] = add_to(
        m->memory_space, DEVICE_AT,
        region_of((lunik_region_config){
            .kind = LUNIK_REGION_IO, .name = "device", .ops = &rig_ops, .size = DEVICE_SIZE}),
        0);
    must("dma", lunik_dma_new(m->memory_space, &dma, &err));
    lunik_dma_enable(dma);
}

static inline void rig_close(void)
{
    lunik_dma_free(dma);
    for (unsigned i = 0; i < 4; i++)
        if (rig_regions[i])
            drop(rig_regions[i]);
    lunik_ram_unref(low_ram);
    lunik_ram_unref(high_ram);
    lunik_ram_unref(rom);
    lunik_machine_close(m);
}

/* Returns where RAM is in this process, and how many bytes there are up to the end of its block. */
static inline uint8_t *rig_host(uint64_t address, uint64_t *left)
{
    if (address < LOW_SIZE) {
        *left = LOW_SIZE - address;
        return (uint8_t *)lunik_ram_host(low_ram) + address;
    }
    if (address < RAM_END) {
        *left = RAM_END - address;
        return (uint8_t *)lunik_ram_host(high_ram) + (address - LOW_SIZE);
    }
    *left = 0;
    return NULL;
}

/* A byte at a time: what is written may be in two blocks. */
static inline void rig_put(uint64_t address, const void *data, size_t size)
{
    uint64_t left;

    for (size_t i = 0; i < size; i++) {
        uint8_t *host = rig_host(address + i, &left);

        if (host)
            *host = ((const uint8_t *)data)[i];
    }
}

static inline void *rig_at(uint64_t address)
{
    uint64_t left;

    return rig_host(address, &left);
}

static inline _Atomic uint16_t *rig_word(uint64_t address)
{
    return rig_at(address);
}

/* What descriptors of both kinds have: last is `next` of a split one, flags of a packed one. */
static inline void rig_descriptor(uint64_t at, uint64_t address, uint32_t length, uint16_t first,
                                  uint16_t last)
{
    rig_put(at, &address, 8);
    rig_put(at + 8, &length, 4);
    rig_put(at + 12, &first, 2);
    rig_put(at + 14, &last, 2);
}

static inline void rig_place(uint16_t size)
{
    queue.size = size;
    queue.descriptors = RING_AT;
    queue.driver_area = DRIVER_AT;
    queue.device_area = DEVICE_AREA_AT;
}

#endif
