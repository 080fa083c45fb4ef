/*
 * virtio_pci_driver.h: a driver of virtio devices on PCI, written from section 4.1 of virtio 1.2:
 * it finds the capabilities, reaches the registers through the BAR, and has queues in guest memory,
 * one request in each at a time. Include it after pci_rig.h.
 */
#ifndef SPEC_VIRTIO_PCI_DRIVER_H
#define SPEC_VIRTIO_PCI_DRIVER_H

#include <stdatomic.h>
#include <string.h>

#define VP_BAR  UINT32_C(0xe8000000)
#define VP_MSIX UINT32_C(0xe9000000)

enum {
    VP_MEMORY = 0x20000, /* each queue has 64 KiB from here on */
    VP_STRIDE = 0x10000,
    VP_SIZE = 8, /* entries of a queue */
    VP_READY = 15,
};
#define VP_VERSION_1 (UINT64_C(1) << 32)
#define VP_PACKED    (UINT64_C(1) << 34)

struct vp {
    struct rig *rig;
    uint8_t devfn;
    unsigned common, notify, isr, device, window; /* offsets of capabilities */
    uint32_t areas[6], multiplier;                /* by type of capability: offset in BAR 4 */
    bool packed;
    unsigned sent[5], seen[5]; /* by queue; packed: descriptors */
};

/* ---- registers ------------------------------------------------------------------------------ */

static inline uint64_t vp_get(struct vp *d, unsigned type, unsigned reg, unsigned size)
{
    return load(d->rig, VP_BAR + d->areas[type] + reg, size);
}

static inline void vp_set(struct vp *d, unsigned type, unsigned reg, unsigned size, uint64_t value)
{
    lunik_space_store(d->rig->memory, VP_BAR + d->areas[type] + reg, size, value);
}

static inline uint32_t vp_config(struct vp *d, unsigned offset, unsigned size)
{
    return config(d->rig, d->devfn, offset, size);
}

static inline void vp_set_config(struct vp *d, unsigned offset, unsigned size, uint32_t value)
{
    set_config(d->rig, d->devfn, offset, size, value);
}

/* Returns where the capability of that id is that follows `at` (0: the first). */
static inline unsigned vp_capability(struct vp *d, unsigned at, unsigned id)
{
    for (at = vp_config(d, at ? at + 1 : LUNIK_PCI_CAPABILITIES, 1); at;
         at = vp_config(d, at + 1, 1))
        if (vp_config(d, at, 1) == id)
            return at;
    return 0;
}

/* Gives the rig's machine memory from address 0 on. */
static inline void vp_memory(struct rig *r)
{
    const lunik_field props[] = {LUNIK_FIELD_STRING("id", "low"),
                                 LUNIK_FIELD_STRING("memdev", "ram")};
    lunik_error err;

    must("memory", lunik_device_add(r->m, "ram", props, 2, NULL, &err), &err);
}

/* Finds the device at devfn and maps its BARs. */
static inline void vp_probe(struct vp *d, struct rig *r, uint8_t devfn)
{
    unsigned at = 0;

    *d = (struct vp){.rig = r, .devfn = devfn};
    vp_set_config(d, LUNIK_PCI_BAR0 + 4, 4, VP_MSIX);
    vp_set_config(d, LUNIK_PCI_BAR0 + 16, 4, VP_BAR);
    vp_set_config(d, LUNIK_PCI_BAR0 + 20, 4, 0);
    vp_set_config(d, LUNIK_PCI_COMMAND, 2, LUNIK_PCI_COMMAND_MEMORY | LUNIK_PCI_COMMAND_MASTER);
    while ((at = vp_capability(d, at, LUNIK_PCI_CAP_VENDOR))) {
        unsigned type = vp_config(d, at + 3, 1);

        if (type < 5)
            d->areas[type] = vp_config(d, at + 8, 4);
        if (type == 2)
            d->multiplier = vp_config(d, at + 16, 4);
        if (type == 5)
            d->window = at;
    }
}

/* ---- status and features -------------------------------------------------------------------- */

static inline unsigned vp_status(struct vp *d)
{
    return (unsigned)vp_get(d, 1, 0x14, 1);
}

static inline uint64_t vp_offered(struct vp *d)
{
    uint64_t low;

    vp_set(d, 1, 0, 4, 0);
    low = vp_get(d, 1, 4, 4);
    vp_set(d, 1, 0, 4, 1);
    return low | vp_get(d, 1, 4, 4) << 32;
}

/* Runs the loop until the register reads value, or a while. */
static inline bool vp_wait(struct vp *d, unsigned reg, unsigned size, uint64_t value)
{
    for (unsigned i = 0; i < 2000 && vp_get(d, 1, reg, size) != value; i++)
        lunik_run_timeout(d->rig->rt, 1);
    return vp_get(d, 1, reg, size) == value;
}

static inline bool vp_reset(struct vp *d)
{
    vp_set(d, 1, 0x14, 1, 0);
    memset(d->sent, 0, sizeof(d->sent));
    memset(d->seen, 0, sizeof(d->seen));
    return vp_wait(d, 0x14, 1, 0);
}

/* Up to FEATURES_OK; returns the status. */
static inline unsigned vp_negotiate(struct vp *d, uint64_t features)
{
    vp_reset(d);
    vp_set(d, 1, 0x14, 1, 1);
    vp_set(d, 1, 0x14, 1, 3);
    vp_set(d, 1, 8, 4, 0);
    vp_set(d, 1, 0xc, 4, (uint32_t)features);
    vp_set(d, 1, 8, 4, 1);
    vp_set(d, 1, 0xc, 4, features >> 32);
    vp_set(d, 1, 0x14, 1, 11);
    d->packed = features & VP_PACKED;
    return vp_status(d);
}

/* ---- queues --------------------------------------------------------------------------------- */

static inline uint64_t vp_ring(unsigned queue)
{
    return VP_MEMORY + (uint64_t)VP_STRIDE * queue;
}

static inline uint64_t vp_data(unsigned queue)
{
    return vp_ring(queue) + 0x4000;
}

static inline void vp_store(struct vp *d, uint64_t at, unsigned size, uint64_t value)
{
    lunik_space_store(d->rig->memory, at, size, value);
}

/* A word of the rig's memory, by which one side shows the other what it has written before. */
static inline _Atomic uint16_t *vp_word(struct vp *d, uint64_t at)
{
    lunik_object *ram = lunik_object_find(d->rig->m, "ram");

    return (
        _Atomic uint16_t *)((uint8_t *)lunik_ram_host(lunik_memory_backend_iface(ram)->ram(ram)) +
                            at);
}

static inline void vp_show(struct vp *d, uint64_t at, uint16_t value)
{
    atomic_store_explicit(vp_word(d, at), value, memory_order_release);
}

static inline uint16_t vp_look(struct vp *d, uint64_t at)
{
    return atomic_load_explicit(vp_word(d, at), memory_order_acquire);
}

static inline void vp_set_address(struct vp *d, unsigned reg, uint64_t address)
{
    vp_set(d, 1, reg, 4, (uint32_t)address);
    vp_set(d, 1, reg + 4, 4, address >> 32);
}

/* Enables a queue with that vector; returns the vector that the device has taken. */
static inline unsigned vp_enable(struct vp *d, unsigned queue, unsigned vector)
{
    uint64_t ring = vp_ring(queue);

    for (unsigned i = 0; i < 0x4000; i += 8)
        vp_store(d, ring + i, 8, 0);
    d->sent[queue] = d->seen[queue] = 0;
    vp_set(d, 1, 0x16, 2, queue);
    vp_set(d, 1, 0x18, 2, VP_SIZE);
    vp_set(d, 1, 0x1a, 2, vector);
    vp_set_address(d, 0x20, ring);
    vp_set_address(d, 0x28, ring + 0x1000);
    vp_set_address(d, 0x30, ring + 0x2000);
    vp_set(d, 1, 0x1c, 2, 1);
    return (unsigned)vp_get(d, 1, 0x1a, 2);
}

static inline void vp_kick(struct vp *d, unsigned queue)
{
    vp_set(d, 1, 0x16, 2, queue);
    vp_set(d, 2, d->multiplier * (unsigned)vp_get(d, 1, 0x1e, 2), 2, queue);
}

/* The last word of a packed descriptor is shown. */
static inline void vp_descriptor(struct vp *d, uint64_t at, uint64_t address, uint32_t size,
                                 uint16_t first, uint16_t last)
{
    vp_store(d, at, 8, address);
    vp_store(d, at + 8, 4, size);
    vp_store(d, at + 12, 2, first);
    vp_show(d, at + 14, last);
}

/* The first descriptor, which makes the chain available, is written last. */
static inline void vp_send_packed(struct vp *d, unsigned queue, uint32_t out, uint32_t in)
{
    uint64_t ring = vp_ring(queue);
    unsigned count = (out > 0) + (in > 0);

    for (unsigned i = count; i-- > 0;) {
        unsigned at = d->sent[queue] + i;
        bool reads = out && !i;
        uint16_t flags = at / VP_SIZE % 2 ? 0x8000 : 0x80;

        flags |= (reads ? 0 : 2) | (i + 1 < count ? 1 : 0);
        vp_descriptor(d, ring + 16 * (at % VP_SIZE), vp_data(queue) + (reads ? 0 : 0x1000),
                      reads ? out : in, 5, flags);
    }
    d->sent[queue] += count;
}

/* Sends a request of `out` bytes at vp_data() and room for `in` bytes 4 KiB beyond; no kick. */
static inline void vp_send(struct vp *d, unsigned queue, uint32_t out, uint32_t in)
{
    uint64_t ring = vp_ring(queue), data = vp_data(queue);
    unsigned n = d->sent[queue];

    if (d->packed) {
        vp_send_packed(d, queue, out, in);
        return;
    }
    if (out)
        vp_descriptor(d, ring, data, out, in ? 1 : 0, 1);
    if (in)
        vp_descriptor(d, ring + (out ? 16 : 0), data + 0x1000, in, 2, 0);
    vp_store(d, ring + 0x1000 + 4 + 2 * (n % VP_SIZE), 2, 0);
    vp_show(d, ring + 0x1000 + 2, (uint16_t)(n + 1));
    d->sent[queue]++;
}

/* Whether the device has returned another request: *written bytes of it. */
static inline bool vp_used(struct vp *d, unsigned queue, uint32_t *written)
{
    uint64_t ring = vp_ring(queue);
    unsigned n = d->seen[queue];

    if (d->packed) {
        uint64_t at = ring + 16 * (n % VP_SIZE);
        unsigned flags = vp_look(d, at + 14);

        if ((flags & 0x8080) != (n / VP_SIZE % 2 ? 0u : 0x8080u))
            return false;
        *written = (uint32_t)load(d->rig, at + 8, 4);
        d->seen[queue] = d->sent[queue];
        return true;
    }
    if (vp_look(d, ring + 0x2000 + 2) == (uint16_t)n)
        return false;
    *written = (uint32_t)load(d->rig, ring + 0x2000 + 4 + 8 * (n % VP_SIZE) + 4, 4);
    d->seen[queue]++;
    return true;
}

/* Waits for that. */
static inline bool vp_wait_used(struct vp *d, unsigned queue, uint32_t *written)
{
    for (unsigned i = 0; i < 2000; i++) {
        if (vp_used(d, queue, written))
            return true;
        lunik_run_timeout(d->rig->rt, 1);
    }
    return false;
}

/* Does what a driver does before it uses `queues` queues; vectors 1 on for them, 0 for the
 * configuration. Returns the status. */
static inline unsigned vp_start(struct vp *d, uint64_t features, unsigned queues)
{
    vp_negotiate(d, features);
    vp_set(d, 1, 0x10, 2, 0);
    for (unsigned i = 0; i < queues; i++)
        vp_enable(d, i, i + 1);
    vp_set(d, 1, 0x14, 1, VP_READY);
    return vp_status(d);
}

/* ---- interrupts ----------------------------------------------------------------------------- */

/* Turns MSI-X on; vector n sends 0x40 + n to the first CPU. */
static inline void vp_msix(struct vp *d, unsigned vectors)
{
    unsigned at = vp_capability(d, 0, LUNIK_PCI_CAP_MSIX);

    for (unsigned i = 0; i < vectors; i++) {
        vp_store(d, VP_MSIX + 16 * i, 4, 0xfee00000);
        vp_store(d, VP_MSIX + 16 * i + 4, 4, 0);
        vp_store(d, VP_MSIX + 16 * i + 8, 4, 0x40 + i);
        vp_store(d, VP_MSIX + 16 * i + 12, 4, 0);
    }
    vp_set_config(d, at + 2, 2, 0x8000);
}

static inline bool vp_pin(struct vp *d)
{
    return vp_config(d, LUNIK_PCI_STATUS, 2) & LUNIK_PCI_STATUS_INTX;
}

#endif
