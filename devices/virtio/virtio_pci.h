/*
 * virtio_pci.h: virtio devices on the PCI bus (virtio 1.2, section 4.1).
 *
 * A device's type has the parent "virtio-pci", from which it inherits properties (bus, addr,
 * iothread, vectors, the features of queues), life cycle, draining and saved state; its state
 * struct begins with a struct virtio_pci. A struct virtio_pci_class says which device it is:
 *
 *   static const struct virtio_pci_class class = {
 *       .id = 4, .class_code = 0x00ff00, .ops = &ops, .realize = realize, .unrealize = unrealize};
 *   const lunik_type virtio_rng_pci_type = {VIRTIO_PCI_TYPE("virtio-rng-pci", &class), ...};
 */
#ifndef VIRTIO_VIRTIO_PCI_H
#define VIRTIO_VIRTIO_PCI_H

#include "lunik_pci.h"
#include "virtio_path.h"

enum { VIRTIO_PCI_QUEUES_MAX = 64, VIRTIO_PCI_NO_VECTOR = 0xffff };

struct virtio_pci_class {
    uint16_t id;                  /* section 5; the PCI device is 0x1040 + id */
    uint32_t class_code;          /* of PCI: base class, subclass, programming interface */
    const struct virtio_ops *ops; /* with serve; see virtio.h */
    /* Properties are set. Acquires what the device needs and fills in virtio.offered (features of
     * its own), virtio.config and config_size, queue_count, and, where the defaults do not suit,
     * queue_size and segments. On failure it undoes what was done. */
    int (*realize)(lunik_object *o, lunik_error *err);
    /* Most entries of one of its queues, in place of queue_size. May be NULL. */
    uint16_t (*entries)(lunik_object *o, unsigned queue);
    /* The guest has no access any more; the queues are at rest, unless a drain took too long. May
     * be NULL. */
    void (*unrealize)(lunik_object *o);
};

struct virtio_pci {
    /* Properties. */
    lunik_object *bus, *iothread;
    char *addr;
    int64_t vectors; /* below 0: one more than queues */
    bool indirect, event_idx, packed, queue_reset, notification_data;

    lunik_pci_function function;
    struct virtio virtio;
    uint32_t queue_count;                                     /* the class's realize sets these */
    uint16_t queue_size;                                      /* default 256 entries */
    uint16_t segments;                                        /* pieces of a request; default 130 */
    bool keeps;                                               /* virtqueue_keep() is used */
    int (*removing)(lunik_pci_function *f, lunik_error *err); /* that of the function */

    /* Private to the transport. */
    struct virtio_path path;
    struct virtqueue queues[VIRTIO_PCI_QUEUES_MAX];
    lunik_dma *dma[VIRTIO_PCI_QUEUES_MAX];
    lunik_region *registers; /* BAR 4 */
    unsigned window;         /* where the capability is that reaches BARs by way of it */
    uint32_t offered_select, features_select;
    uint16_t queue_select;
    uint16_t config_vector, queue_vectors[VIRTIO_PCI_QUEUES_MAX];
    _Atomic uint8_t isr;
    /* For threads without the lock: whether MSI-X is on, and the eventfds of vectors; -1: none. */
    _Atomic bool msix;
    _Atomic int config_fd, queue_fds[VIRTIO_PCI_QUEUES_MAX];
    lunik_task pin; /* makes INTx follow isr */
};

/* The fields of a type besides its doc, size, props and state (&lunik_state_none if it has none of
 * its own). */
#define VIRTIO_PCI_TYPE(name_, class_)                                                             \
    .name = (name_), .parent = "virtio-pci",                                                       \
    .flags = LUNIK_TYPE_DEVICE | LUNIK_TYPE_HOTPLUG | LUNIK_TYPE_UNPLUG, .hotplug = "pci",         \
    .data = (void *)(class_)

/* Returns the object that a struct virtio is part of. */
static inline lunik_object *virtio_pci_object(struct virtio *v)
{
    return lunik_state_object(lunik_container_of(v, struct virtio_pci, virtio));
}

#endif
