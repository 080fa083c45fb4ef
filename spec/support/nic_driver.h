/*
 * nic_driver.h: a driver of the network card with its machine, written from section 5.1 of virtio
 * 1.2: split queues of several requests, each a chain of buffers. Include it after pci_rig.h and
 * virtio_pci_driver.h.
 */
#ifndef SPEC_NIC_DRIVER_H
#define SPEC_NIC_DRIVER_H

#include <stdlib.h>

enum {
    NIC_AT = 5 << 3,
    NIC_HEADER = 12,
    NIC_SLOT = 0x1800, /* bytes of data for each descriptor */
    NIC_QUEUES = 8,
    NIC_WRITE = 2,
    NIC_NEXT = 1,
};
#define NIC_F(bit) (UINT64_C(1) << (bit))

struct nic_queue {
    unsigned sent, seen;
    bool busy[VP_SIZE];
    uint8_t last[VP_SIZE]; /* of a chain that begins there: its number of descriptors */
    uint8_t chain[VP_SIZE][VP_SIZE];
    uint32_t length[VP_SIZE];
};

struct nic {
    struct rig rig;
    struct vp d;
    lunik_object *card, *back;
    uint8_t *ram;
    struct nic_queue queues[NIC_QUEUES];
};

/* ---- the machine ---------------------------------------------------------------------------- */

/* Makes a machine with a card; back: the type of its back end, with `count` properties. */
static inline void nic_open(struct nic *n, const char *type, const lunik_field *back, size_t count,
                            const lunik_field *card, size_t card_count)
{
    lunik_field props[12] = {LUNIK_FIELD_STRING("id", "net0")};
    const lunik_field thread[] = {LUNIK_FIELD_STRING("id", "io")};
    lunik_object *backend;
    lunik_error err;

    memset(n, 0, sizeof(*n));
    rig_make(&n->rig, LUNIK_ACCEL_NONE, false);
    vp_memory(&n->rig);
    for (size_t i = 0; i < count; i++)
        props[1 + i] = back[i];
    must(type, lunik_object_add(n->rig.m, type, props, count + 1, &n->back, &err), &err);
    must("iothread", lunik_object_add(n->rig.m, "iothread", thread, 1, NULL, &err), &err);
    props[0] = LUNIK_FIELD_STRING("id", "nic0");
    props[1] = LUNIK_FIELD_STRING("bus", "host");
    props[2] = LUNIK_FIELD_STRING("addr", "5");
    props[3] = LUNIK_FIELD_STRING("netdev", "net0");
    for (size_t i = 0; i < card_count; i++)
        props[4 + i] = card[i];
    must("card",
         lunik_device_add(n->rig.m, "virtio-net-pci", props, card_count + 4, &n->card, &err), &err);
    must("start", lunik_machine_start(n->rig.m, &err), &err);
    backend = lunik_object_find(n->rig.m, "ram");
    n->ram = lunik_ram_host(lunik_memory_backend_iface(backend)->ram(backend));
    vp_probe(&n->d, &n->rig, NIC_AT);
}

static inline void nic_close(struct nic *n)
{
    rig_close(&n->rig);
}

static inline uint64_t nic_get(lunik_object *o, const char *name)
{
    lunik_value v = {0};
    lunik_error err;

    must(name, lunik_object_get(o, name, &v, &err), &err);
    return v.kind == LUNIK_BOOL ? v.boolean : v.uint;
}

static inline void nic_run(struct nic *n)
{
    lunik_run_timeout(n->rig.rt, 1);
}

/* Runs the loop until a property has a value, or a while. */
static inline bool nic_wait(struct nic *n, lunik_object *o, const char *name, uint64_t value)
{
    for (unsigned i = 0; i < 2000 && nic_get(o, name) != value; i++)
        nic_run(n);
    return nic_get(o, name) == value;
}

/* Up to DRIVER_OK with queues 0 to count - 1. */
static inline unsigned nic_start(struct nic *n, uint64_t features, unsigned count)
{
    vp_negotiate(&n->d, features | VP_VERSION_1);
    memset(n->queues, 0, sizeof(n->queues));
    vp_set(&n->d, 1, 0x10, 2, 0);
    for (unsigned i = 0; i < count; i++) {
        uint64_t ring = vp_ring(i);

        memset(n->ram + ring, 0, 0x4000);
        vp_set(&n->d, 1, 0x16, 2, i);
        vp_set(&n->d, 1, 0x18, 2, VP_SIZE);
        vp_set(&n->d, 1, 0x1a, 2, i + 1);
        vp_set_address(&n->d, 0x20, ring);
        vp_set_address(&n->d, 0x28, ring + 0x1000);
        vp_set_address(&n->d, 0x30, ring + 0x2000);
        vp_set(&n->d, 1, 0x1c, 2, 1);
    }
    vp_set(&n->d, 1, 0x14, 1, VP_READY);
    return vp_status(&n->d);
}

/* ---- requests ------------------------------------------------------------------------------- */

static inline uint8_t *nic_data(struct nic *n, unsigned queue, unsigned slot)
{
    return n->ram + vp_ring(queue) + 0x4000 + (size_t)NIC_SLOT * slot;
}

static inline _Atomic uint16_t *nic_word(struct nic *n, uint64_t at)
{
    return (_Atomic uint16_t *)(n->ram + at);
}

static inline unsigned nic_free(const struct nic *n, unsigned queue)
{
    unsigned count = 0;

    for (unsigned i = 0; i < VP_SIZE; i++)
        count += !n->queues[queue].busy[i];
    return count;
}

/* Offers a chain of buffers, at most as many as nic_free() says; flags: NIC_WRITE for those that
 * the device writes. Returns the slot of the first one, whose data are still to be written. */
static inline unsigned nic_offer(struct nic *n, unsigned queue, const uint32_t *lengths,
                                 const uint16_t *flags, unsigned count)
{
    struct nic_queue *q = &n->queues[queue];
    uint64_t ring = vp_ring(queue);
    uint8_t slots[VP_SIZE] = {0};

    for (unsigned i = 0, at = 0; i < count; i++) {
        while (q->busy[at])
            at++;
        q->busy[at] = true;
        slots[i] = (uint8_t)at;
    }
    for (unsigned i = 0; i < count; i++) {
        uint8_t *d = n->ram + ring + 16u * slots[i];
        uint64_t address = ring + 0x4000 + (uint64_t)NIC_SLOT * slots[i];
        uint16_t f = flags[i] | (i + 1 < count ? NIC_NEXT : 0),
                 next = i + 1 < count ? slots[i + 1] : 0;

        memcpy(d, &address, 8);
        memcpy(d + 8, &lengths[i], 4);
        memcpy(d + 12, &f, 2);
        memcpy(d + 14, &next, 2);
        q->length[slots[i]] = lengths[i];
    }
    memcpy(q->chain[slots[0]], slots, count);
    q->last[slots[0]] = (uint8_t)count;
    *nic_word(n, ring + 0x1000 + 4 + 2 * (q->sent % VP_SIZE)) = slots[0];
    q->sent++;
    return slots[0];
}

/* Shows the device what has been offered. */
static inline void nic_show(struct nic *n, unsigned queue)
{
    vp_show(&n->d, vp_ring(queue) + 0x1000 + 2, (uint16_t)n->queues[queue].sent);
}

/* Takes a request that the device has returned: its first slot, or -1: there is none. */
static inline int nic_used(struct nic *n, unsigned queue, uint32_t *written)
{
    struct nic_queue *q = &n->queues[queue];
    uint64_t at = vp_ring(queue) + 0x2000;
    uint32_t entry[2];

    if (*nic_word(n, at + 2) == (uint16_t)q->seen)
        return -1;
    memcpy(entry, n->ram + at + 4 + 8 * (q->seen % VP_SIZE), 8);
    q->seen++;
    *written = entry[1];
    for (unsigned i = 0; i < q->last[entry[0] % VP_SIZE]; i++)
        q->busy[q->chain[entry[0] % VP_SIZE][i]] = false;
    return (int)(entry[0] % VP_SIZE);
}

static inline int nic_wait_used(struct nic *n, unsigned queue, uint32_t *written)
{
    int slot = nic_used(n, queue, written);

    for (unsigned i = 0; i < 2000 && slot < 0; i++) {
        nic_run(n);
        slot = nic_used(n, queue, written);
    }
    return slot;
}

static inline void nic_kick(struct nic *n, unsigned queue)
{
    nic_show(n, queue);
    vp_kick(&n->d, queue);
}

/* ---- frames --------------------------------------------------------------------------------- */

/* Sends header and frame in `pieces` buffers of about the same size; false: the ring is full. */
static inline bool nic_send(struct nic *n, unsigned queue, const uint8_t header[NIC_HEADER],
                            const uint8_t *frame, size_t size, unsigned pieces)
{
    static uint8_t all[NIC_HEADER + 0x10000];
    uint32_t lengths[VP_SIZE];
    uint16_t flags[VP_SIZE] = {0};
    size_t total = NIC_HEADER + size, done = 0;
    unsigned first;

    if (nic_free(n, queue) < pieces)
        return false;
    memcpy(all, header, NIC_HEADER);
    memcpy(all + NIC_HEADER, frame, size);
    for (unsigned i = 0; i < pieces; i++)
        lengths[i] = (uint32_t)(i + 1 < pieces ? total / pieces : total - total / pieces * i);
    first = nic_offer(n, queue, lengths, flags, pieces);
    for (unsigned i = 0; i < pieces; i++) {
        memcpy(nic_data(n, queue, n->queues[queue].chain[first][i]), all + done, lengths[i]);
        done += lengths[i];
    }
    nic_show(n, queue);
    return true;
}

/* Offers a buffer for frames. */
static inline void nic_buffer(struct nic *n, unsigned queue, uint32_t size)
{
    const uint16_t write = NIC_WRITE;

    nic_offer(n, queue, &size, &write, 1);
    nic_show(n, queue);
}

/* Takes a frame, spread over buffers as its header says: bytes, or -1: there is none. */
static inline int nic_take(struct nic *n, unsigned queue, uint8_t *out, size_t room)
{
    size_t done = 0;
    uint32_t written;
    int slot = nic_used(n, queue, &written);
    unsigned count;

    if (slot < 0)
        return -1;
    count = nic_data(n, queue, (unsigned)slot)[10] | nic_data(n, queue, (unsigned)slot)[11] << 8;
    for (;;) {
        if (written > room - done)
            return -2;
        memcpy(out + done, nic_data(n, queue, (unsigned)slot), written);
        done += written;
        if (!--count)
            return (int)done;
        slot = nic_used(n, queue, &written);
        if (slot < 0)
            return -3;
    }
}

static inline int nic_wait_take(struct nic *n, unsigned queue, uint8_t *out, size_t room)
{
    int size = nic_take(n, queue, out, room);

    for (unsigned i = 0; i < 2000 && size == -1; i++) {
        nic_run(n);
        size = nic_take(n, queue, out, room);
    }
    return size;
}

/* Gives a command to the control queue; returns the answer, 255: none. */
static inline unsigned nic_command(struct nic *n, unsigned queue, const void *data, size_t size)
{
    const uint32_t lengths[] = {(uint32_t)size, 1};
    const uint16_t flags[] = {0, NIC_WRITE};
    unsigned slot = nic_offer(n, queue, lengths, flags, 2);
    uint8_t *answer = nic_data(n, queue, n->queues[queue].chain[slot][1]);
    uint32_t written = 0;

    memcpy(nic_data(n, queue, slot), data, size);
    *answer = 0xee;
    nic_kick(n, queue);
    return nic_wait_used(n, queue, &written) < 0 || written != 1 ? 255 : *answer;
}

#endif
