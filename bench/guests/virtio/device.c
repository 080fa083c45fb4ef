/* device.c: finds a virtio device by its PCI function (modern transport) and sets it up. */
#include "guest.h"

#define PCI_COMMAND      0x04
#define PCI_MEMORY       0x02
#define PCI_MASTER       0x04
#define PCI_BAR          0x10
#define PCI_BARS         6
#define PCI_CAPABILITIES 0x34
#define PCI_VENDOR_CAP   9

#define VENDOR          0x1af4
#define MODERN_ID       0x1040 /* + type */
#define TRANSITIONAL_ID 0x0fff /* + type, of networks and disks */

#define WINDOW 0xe4000000u /* from here on BARs get their addresses; mapped by user_guest.h */

/* Kinds of capabilities. */
#define CAP_COMMON 1
#define CAP_NOTIFY 2
#define CAP_DEVICE 4

/* The common configuration. */
#define DEVICE_FEATURE_SELECT 0
#define DEVICE_FEATURE        4
#define DRIVER_FEATURE_SELECT 8
#define DRIVER_FEATURE        12
#define STATUS                20
#define QUEUE_SELECT          22
#define QUEUE_SIZE            24
#define QUEUE_ENABLE          28
#define QUEUE_NOTIFY_OFF      30
#define QUEUE_DESCRIPTORS     32
#define QUEUE_DRIVER          40
#define QUEUE_DEVICE          48

#define STATUS_DRIVER      0x03 /* and ACKNOWLEDGE */
#define STATUS_DRIVER_OK   0x04
#define STATUS_FEATURES_OK 0x08

#define F_EVENT_IDX (1u << 29)
#define F_VERSION_1 (1u << 0) /* in the upper half */

#define QUEUE_MAX 256

/* Returns 0 if there is none. */
static uint32_t find_function(unsigned type)
{
    for (unsigned slot = 0; slot < 32; slot++) {
        uint32_t function = pci_function(slot), id = pci_read(function, 0);

        if (id == (VENDOR | (MODERN_ID + type) << 16) ||
            id == (VENDOR | (TRANSITIONAL_ID + type) << 16))
            return function;
    }
    return 0;
}

/* Gives the memory BARs their addresses. Ports are left alone, as they are not used. */
static void place_bars(uint32_t function, uint64_t *bars)
{
    uint32_t next = WINDOW;

    for (unsigned i = 0; i < PCI_BARS; i++) {
        uint32_t reg = PCI_BAR + 4 * i, mask, size;

        pci_write(function, reg, UINT32_MAX);
        mask = pci_read(function, reg);
        if (!mask || (mask & 1)) {
            pci_write(function, reg, 0);
            continue;
        }
        size = ~(mask & ~15u) + 1;
        next = (next + size - 1) & ~(size - 1);
        bars[i] = next;
        pci_write(function, reg, next);
        if ((mask & 6) == 4) /* 64-bit */
            pci_write(function, PCI_BAR + 4 * ++i, 0);
        next += size;
    }
    pci_write(function, PCI_COMMAND, PCI_MEMORY | PCI_MASTER);
}

static void find_registers(uint32_t function, const uint64_t *bars, struct device *d)
{
    uint32_t at = pci_read(function, PCI_CAPABILITIES) & 0xfc, head;

    for (; at; at = head >> 8 & 0xfc) {
        volatile uint8_t *area;

        head = pci_read(function, at);
        if ((head & 0xff) != PCI_VENDOR_CAP)
            continue;
        area = (volatile uint8_t *)(bars[pci_read(function, at + 4) % 8 % PCI_BARS] +
                                    pci_read(function, at + 8));
        switch (head >> 24) {
        case CAP_COMMON:
            d->common = area;
            break;
        case CAP_NOTIFY:
            d->notify = area;
            d->notify_multiplier = pci_read(function, at + 16);
            break;
        case CAP_DEVICE:
            d->config = area;
            break;
        default:
            break;
        }
    }
}

bool device_find(unsigned type, struct device *d)
{
    uint32_t function = find_function(type);
    uint64_t bars[PCI_BARS] = {0};

    if (!function)
        return false;
    place_bars(function, bars);
    find_registers(function, bars, d);
    return d->common && d->notify && d->config;
}

static uint16_t get16(const struct device *d, unsigned at)
{
    return *(volatile uint16_t *)(d->common + at);
}

static void set16(struct device *d, unsigned at, uint16_t v)
{
    *(volatile uint16_t *)(d->common + at) = v;
}

static uint32_t get32(const struct device *d, unsigned at)
{
    return *(volatile uint32_t *)(d->common + at);
}

static void set32(struct device *d, unsigned at, uint32_t v)
{
    *(volatile uint32_t *)(d->common + at) = v;
}

static void set64(struct device *d, unsigned at, uint64_t v)
{
    set32(d, at, (uint32_t)v);
    set32(d, at + 4, (uint32_t)(v >> 32));
}

void device_negotiate(struct device *d, uint32_t features)
{
    volatile uint8_t *status = d->common + STATUS;

    *status = 0;
    while (*status)
        ;
    *status = STATUS_DRIVER;
    set32(d, DEVICE_FEATURE_SELECT, 0);
    set32(d, DRIVER_FEATURE_SELECT, 0);
    set32(d, DRIVER_FEATURE, get32(d, DEVICE_FEATURE) & (features | F_EVENT_IDX));
    set32(d, DRIVER_FEATURE_SELECT, 1);
    set32(d, DRIVER_FEATURE, F_VERSION_1);
    *status = STATUS_DRIVER | STATUS_FEATURES_OK;
    if (!(*status & STATUS_FEATURES_OK))
        fail();
}

static void ring(struct queue *q)
{
    *q->doorbell = q->index;
}

void device_queue(struct device *d, unsigned index, struct queue *q)
{
    set16(d, QUEUE_SELECT, (uint16_t)index);
    *q = (struct queue){.size = get16(d, QUEUE_SIZE), .ring = ring, .index = (uint16_t)index};
    if (q->size > QUEUE_MAX)
        set16(d, QUEUE_SIZE, q->size = QUEUE_MAX);
    queue_init(q, RINGS + (uint64_t)index * QUEUE_STRIDE);
    q->doorbell =
        (volatile uint16_t *)(d->notify + get16(d, QUEUE_NOTIFY_OFF) * d->notify_multiplier);
    set64(d, QUEUE_DESCRIPTORS, q->descriptors);
    set64(d, QUEUE_DRIVER, q->driver_area);
    set64(d, QUEUE_DEVICE, q->device_area);
    set16(d, QUEUE_ENABLE, 1);
}

void device_start(struct device *d)
{
    d->common[STATUS] = STATUS_DRIVER | STATUS_FEATURES_OK | STATUS_DRIVER_OK;
}
