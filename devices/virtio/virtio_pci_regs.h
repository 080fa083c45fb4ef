/* virtio_pci_regs.h: the registers of virtio on PCI (virtio 1.2, section 4.1.4). */
#ifndef VIRTIO_VIRTIO_PCI_REGS_H
#define VIRTIO_VIRTIO_PCI_REGS_H

/* Types of capabilities; their structures in BAR 4, 4 KiB for each. */
enum { CAP_COMMON = 1, CAP_NOTIFY, CAP_ISR, CAP_DEVICE, CAP_PCI };
enum { REGISTERS_BAR = 4, MSIX_BAR = 1, AREA_SIZE = 0x1000 };
enum {
    COMMON_AREA = 0x0000,
    ISR_AREA = 0x1000,
    DEVICE_AREA = 0x2000,
    NOTIFY_AREA = 0x3000,
    REGISTERS_SIZE = 0x4000,
};
enum { NOTIFY_MULTIPLIER = 4, ISR_QUEUE = 1, ISR_CONFIG = 2 };

/* Offsets in a capability. */
enum { CAP_TYPE = 3, CAP_BAR = 4, CAP_OFFSET = 8, CAP_LENGTH = 12, CAP_EXTRA = 16 };

/* The common configuration. */
enum {
    OFFERED_SELECT = 0x00,
    OFFERED = 0x04,
    FEATURES_SELECT = 0x08,
    FEATURES = 0x0c,
    CONFIG_VECTOR = 0x10,
    QUEUE_COUNT = 0x12,
    STATUS = 0x14,
    GENERATION = 0x15,
    QUEUE_SELECT = 0x16,
    QUEUE_SIZE = 0x18,
    QUEUE_VECTOR = 0x1a,
    QUEUE_ENABLE = 0x1c,
    QUEUE_NOTIFY = 0x1e,
    QUEUE_DESCRIPTORS = 0x20, /* 64 bits, as these two */
    QUEUE_DRIVER = 0x28,
    QUEUE_DEVICE = 0x30,
    QUEUE_NOTIFY_DATA = 0x38,
    QUEUE_RESET = 0x3a,
    COMMON_SIZE = 0x3c,
};

#endif
