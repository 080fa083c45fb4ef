/*
 * virtio_pci_registers.c: the registers of virtio devices in BAR 4, and the way to them through
 * configuration space (virtio 1.2, section 4.1.4).
 *
 * Notifications reach the eventfds of the queues; only those through configuration space, or of
 * queues that do not exist, come here.
 */
#include <stdatomic.h>
#include <string.h>

#include "virtio_pci_internal.h"

/* ---- common configuration ------------------------------------------------------------------- */

static struct virtqueue *selected(struct virtio_pci *s)
{
    return s->queue_select < s->queue_count ? &s->queues[s->queue_select] : NULL;
}

static void put(uint8_t *image, unsigned offset, uint64_t value, unsigned size)
{
    memcpy(image + offset, &value, size);
}

static void put_queue(struct virtio_pci *s, uint8_t *image)
{
    const struct virtqueue *q = selected(s);

    if (!q) {
        put(image, QUEUE_VECTOR, VIRTIO_PCI_NO_VECTOR, 2);
        return;
    }
    put(image, QUEUE_SIZE, q->size, 2);
    put(image, QUEUE_VECTOR, s->queue_vectors[s->queue_select], 2);
    put(image, QUEUE_ENABLE, q->enabled && !q->stopping, 2);
    put(image, QUEUE_NOTIFY, s->queue_select, 2);
    put(image, QUEUE_DESCRIPTORS, q->descriptors, 8);
    put(image, QUEUE_DRIVER, q->driver_area, 8);
    put(image, QUEUE_DEVICE, q->device_area, 8);
    put(image, QUEUE_NOTIFY_DATA, s->queue_select, 2);
    put(image, QUEUE_RESET, virtio_queue_resetting(&s->virtio, s->queue_select), 2);
}

/* The registers as they lie in memory, so that a read of any size is a part of them. */
static uint64_t common_read(struct virtio_pci *s, unsigned offset, unsigned size)
{
    uint8_t image[COMMON_SIZE + 8] = {0};
    uint64_t value = 0;

    put(image, OFFERED_SELECT, s->offered_select, 4);
    put(image, OFFERED, virtio_offered(&s->virtio, s->offered_select), 4);
    put(image, FEATURES_SELECT, s->features_select, 4);
    put(image, FEATURES, virtio_features(&s->virtio, s->features_select), 4);
    put(image, CONFIG_VECTOR, s->config_vector, 2);
    put(image, QUEUE_COUNT, s->queue_count, 2);
    put(image, STATUS, virtio_status(&s->virtio), 1);
    put(image, GENERATION, s->virtio.generation, 1);
    put(image, QUEUE_SELECT, s->queue_select, 2);
    put_queue(s, image);
    if (offset < COMMON_SIZE)
        memcpy(&value, image + offset, size);
    return value;
}

/* Halves of 64 bits; an enabled queue keeps its address. */
static void write_half(uint64_t *address, unsigned offset, uint32_t value)
{
    unsigned shift = 8 * (offset & 4);

    *address = (*address & ~(UINT64_C(0xffffffff) << shift)) | (uint64_t)value << shift;
}

static void write_address(struct virtqueue *q, unsigned offset, uint32_t value)
{
    switch (offset & ~7u) {
    case QUEUE_DESCRIPTORS:
        write_half(&q->descriptors, offset, value);
        break;
    case QUEUE_DRIVER:
        write_half(&q->driver_area, offset, value);
        break;
    case QUEUE_DEVICE:
        write_half(&q->device_area, offset, value);
        break;
    default:
        break;
    }
}

static void enable(struct virtio_pci *s, const struct virtqueue *q, uint16_t value)
{
    if (value == 1 && !q->enabled)
        virtio_enable_queue(&s->virtio, s->queue_select, NULL);
}

/* Registers of a queue that is enabled keep their values (section 4.1.4.3.2). */
static void queue_write(struct virtio_pci *s, unsigned offset, unsigned size, uint32_t value)
{
    struct virtqueue *q = selected(s);

    if (!q || s->virtio.resetting)
        return;
    if (size == 4 && !q->enabled)
        write_address(q, offset, value);
    if (size != 2)
        return;
    switch (offset) {
    case QUEUE_SIZE:
        if (!q->enabled)
            q->size = (uint16_t)value;
        break;
    case QUEUE_VECTOR:
        virtio_pci_set_queue_vector(s, s->queue_select, (uint16_t)value);
        break;
    case QUEUE_ENABLE:
        enable(s, q, (uint16_t)value);
        break;
    case QUEUE_RESET:
        if (value == 1)
            virtio_reset_queue(&s->virtio, s->queue_select);
        break;
    default:
        break;
    }
}

static void common_write(struct virtio_pci *s, unsigned offset, unsigned size, uint32_t value)
{
    if (offset == OFFERED_SELECT && size == 4)
        s->offered_select = value;
    else if (offset == FEATURES_SELECT && size == 4)
        s->features_select = value;
    else if (offset == FEATURES && size == 4)
        virtio_set_features(&s->virtio, s->features_select, value);
    else if (offset == CONFIG_VECTOR && size == 2)
        virtio_pci_set_config_vector(s, (uint16_t)value);
    else if (offset == STATUS && size == 1)
        virtio_set_status(&s->virtio, (uint8_t)value);
    else if (offset == QUEUE_SELECT && size == 2)
        s->queue_select = (uint16_t)value;
    else
        queue_write(s, offset, size, value);
}

/* ---- the BAR -------------------------------------------------------------------------------- */

static lunik_access read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    struct virtio_pci *s = opaque;
    unsigned at = (unsigned)offset % AREA_SIZE;

    switch (offset - at) {
    case COMMON_AREA:
        *value = common_read(s, at, size);
        break;
    case ISR_AREA:
        *value = at ? 0 : virtio_pci_read_isr(s);
        break;
    case DEVICE_AREA:
        *value = virtio_read_config(&s->virtio, at, size);
        break;
    default:
        *value = 0;
        break;
    }
    return LUNIK_ACCESS_OK;
}

static lunik_access write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct virtio_pci *s = opaque;
    unsigned at = (unsigned)offset % AREA_SIZE;

    switch (offset - at) {
    case COMMON_AREA:
        common_write(s, at, size, (uint32_t)value);
        break;
    case DEVICE_AREA:
        virtio_write_config(&s->virtio, at, size, value);
        break;
    case NOTIFY_AREA:
        virtio_notify(&s->virtio, at / NOTIFY_MULTIPLIER);
        break;
    default:
        break;
    }
    return LUNIK_ACCESS_OK;
}

const lunik_io_ops virtio_pci_registers = {
    .read = read,
    .write = write,
    .valid = {.min = 1, .max = 8},
    .impl = {.min = 1, .max = 4},
};

/* ---- through configuration space ------------------------------------------------------------ */

/* True if the guest's access touches the data of the capability, which says what to reach: *at and
 * *size (section 4.1.4.9). */
static bool through(const struct virtio_pci *s, unsigned offset, unsigned access, uint32_t *at,
                    uint32_t *size)
{
    const uint8_t *cap = s->function.config + s->window;

    *at = lunik_pci_get_long(cap, CAP_OFFSET);
    *size = lunik_pci_get_long(cap, CAP_LENGTH);
    return s->window && offset < s->window + CAP_EXTRA + 4 &&
           offset + access > s->window + CAP_EXTRA && cap[CAP_BAR] == REGISTERS_BAR &&
           (*size == 1 || *size == 2 || *size == 4) && !(*at % *size) && *at < REGISTERS_SIZE;
}

void virtio_pci_reading(lunik_pci_function *f, unsigned offset, unsigned size)
{
    struct virtio_pci *s = lunik_container_of(f, struct virtio_pci, function);
    uint32_t at, width;
    uint64_t value;

    if (!through(s, offset, size, &at, &width))
        return;
    read(s, at, width, &value);
    lunik_pci_set_long(f->config + s->window, CAP_EXTRA, (uint32_t)value);
}

void virtio_pci_written(lunik_pci_function *f, unsigned offset, unsigned size)
{
    struct virtio_pci *s = lunik_container_of(f, struct virtio_pci, function);
    uint32_t at, width;
    uint64_t value;

    atomic_store(&s->msix, lunik_pci_vectors(f) > 0);
    if (!through(s, offset, size, &at, &width))
        return;
    value = lunik_pci_get_long(f->config + s->window, CAP_EXTRA);
    write(s, at, width, value & (UINT64_MAX >> (64 - 8 * width)));
}
