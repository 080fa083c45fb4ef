/*
 * blk_driver.h: a driver of the block device, written from sections 2.7 and 5.2 of virtio 1.2: up
 * to 16 requests at a time in a split queue, each cut into descriptors as it likes. Include it
 * after virtio_pci_driver.h; the including file provides chance().
 */
#ifndef SPEC_BLK_DRIVER_H
#define SPEC_BLK_DRIVER_H

#include <stdatomic.h>
#include <string.h>

enum { BD_SLOTS = 16, BD_SIZE = 64, BD_DATA = 0x1000 };
enum { BD_MEMORY = 0x100000, BD_STRIDE = 0x4000 };
enum { BD_IN, BD_OUT, BD_FLUSH = 4, BD_GET_ID = 8, BD_DISCARD = 11, BD_ZEROES = 13 };
enum { BD_OK, BD_IOERR, BD_UNSUPP };
#define BD_INDIRECT (UINT64_C(1) << 28)
#define BD_FEATURES (VP_VERSION_1 | BD_INDIRECT | 0x7e54)

/* A request: what the device reads and what it writes lie each in one piece; pieces are cuts. */
struct bd_slot {
    bool busy;
    uint32_t type, out, in; /* bytes of both parts, with header and status */
    uint64_t sector;
};

static struct {
    struct vp *d;
    uint8_t *ram;
    unsigned queue, sent, seen;
    bool indirect;
    struct bd_slot slots[BD_SLOTS];
} bd;

static inline uint64_t bd_address(unsigned slot)
{
    return BD_MEMORY + (uint64_t)slot * BD_STRIDE;
}

/* What the device reads: the header, then data. */
static inline uint8_t *bd_out(unsigned slot)
{
    return bd.ram + bd_address(slot);
}

/* What the device writes: data, then the status. */
static inline uint8_t *bd_in(unsigned slot)
{
    return bd.ram + bd_address(slot) + 0x1800;
}

static inline uint8_t bd_status(unsigned slot)
{
    return bd_in(slot)[bd.slots[slot].in - 1];
}

static inline _Atomic uint16_t *bd_word(uint64_t address)
{
    return (_Atomic uint16_t *)(bd.ram + address);
}

static inline void bd_begin(struct vp *d, void *ram, uint64_t features)
{
    uint64_t ring = vp_ring(0);

    memset(&bd, 0, sizeof(bd));
    bd.d = d;
    bd.ram = ram;
    bd.indirect = features & BD_INDIRECT;
    vp_negotiate(d, features);
    vp_set(d, 1, 0x10, 2, 0);
    memset(bd.ram + ring, 0, 0x4000);
    vp_set(d, 1, 0x16, 2, 0);
    vp_set(d, 1, 0x18, 2, BD_SIZE);
    vp_set_address(d, 0x20, ring);
    vp_set_address(d, 0x28, ring + 0x1000);
    vp_set_address(d, 0x30, ring + 0x2000);
    vp_set(d, 1, 0x1c, 2, 1);
    vp_set(d, 1, 0x14, 1, VP_READY);
}

static inline void bd_write_descriptor(uint64_t at, uint64_t address, uint32_t size, uint16_t flags,
                                       uint16_t next)
{
    memcpy(bd.ram + at, &address, 8);
    memcpy(bd.ram + at + 8, &size, 4);
    memcpy(bd.ram + at + 12, &flags, 2);
    memcpy(bd.ram + at + 14, &next, 2);
}

/* Cuts a part of a request into at most `most` descriptors from table entry n on; returns the next
 * entry. */
static inline unsigned bd_cut(uint64_t table, unsigned base, unsigned n, unsigned most,
                              uint64_t address, uint32_t size, bool write)
{
    while (size) {
        uint32_t here = most == 1 ? size : 1 + chance(size);

        bd_write_descriptor(table + 16 * (base + n), address, here, (write ? 2 : 0) | 1,
                            (uint16_t)(base + n + 1));
        address += here;
        size -= here;
        n++;
        most--;
    }
    return n;
}

/* Makes the slot's request available; no kick. */
static inline void bd_send(unsigned slot)
{
    struct bd_slot *s = &bd.slots[slot];
    bool indirect = bd.indirect && chance(2);
    uint64_t ring = vp_ring(0), table = indirect ? bd_address(slot) + 0x3800 : ring;
    unsigned base = indirect ? 0 : slot * 4, most = indirect ? 6 : 2, n;

    s->busy = true;
    n = bd_cut(table, base, 0, most, bd_address(slot), s->out, false);
    n = bd_cut(table, base, n, most, bd_address(slot) + 0x1800, s->in, true);
    if (n)
        bd.ram[table + 16 * (base + n - 1) + 12] &= (uint8_t)~1;
    if (indirect)
        bd_write_descriptor(ring + 16 * (slot * 4), table, 16 * n, 4, 0);
    *bd_word(ring + 0x1000 + 4 + 2 * (bd.sent % BD_SIZE)) = (uint16_t)(slot * 4);
    atomic_store(bd_word(ring + 0x1000 + 2), (uint16_t)++bd.sent);
}

/* Fills in a request with data bytes that the device reads and writes. */
static inline void bd_prepare(unsigned slot, uint32_t type, uint64_t sector, uint32_t reads,
                              uint32_t writes)
{
    struct bd_slot *s = &bd.slots[slot];

    s->type = type;
    s->sector = sector;
    s->out = 16 + reads;
    s->in = writes + 1;
    memcpy(bd_out(slot), &type, 4);
    memset(bd_out(slot) + 4, 0, 4);
    memcpy(bd_out(slot) + 8, &sector, 8);
    bd_in(slot)[writes] = 0xee;
}

/* Returns the slot of the next request that the device has returned, or -1. *written: its bytes. */
static inline int bd_reap(uint32_t *written)
{
    uint64_t used = vp_ring(0) + 0x2000;
    uint32_t entry[2];

    if (atomic_load(bd_word(used + 2)) == (uint16_t)bd.seen)
        return -1;
    memcpy(entry, bd.ram + used + 4 + 8 * (bd.seen % BD_SIZE), 8);
    bd.seen++;
    *written = entry[1];
    bd.slots[entry[0] / 4].busy = false;
    return (int)entry[0] / 4;
}

/* Carries out the request that slot 0 has. Returns its status, -1 if it does not come back. */
static inline int bd_wait(void)
{
    uint32_t written;

    bd_send(0);
    vp_kick(bd.d, 0);
    for (unsigned i = 0; i < 3000; i++) {
        if (bd_reap(&written) == 0)
            return written == bd.slots[0].in ? bd_status(0) : 1000;
        if (vp_status(bd.d) & 64)
            return -1;
        lunik_run_timeout(bd.d->rig->rt, 1);
    }
    return -1;
}

static inline int bd_do(uint32_t type, uint64_t sector, uint32_t reads, uint32_t writes)
{
    bd_prepare(0, type, sector, reads, writes);
    return bd_wait();
}

/* A discard or a write of zeros. */
static inline int bd_space(uint32_t type, uint64_t sector, uint32_t count, uint32_t flags)
{
    bd_prepare(0, type, 0, 16, 0);
    memcpy(bd_out(0) + 16, &sector, 8);
    memcpy(bd_out(0) + 24, &count, 4);
    memcpy(bd_out(0) + 28, &flags, 4);
    return bd_wait();
}

#endif
