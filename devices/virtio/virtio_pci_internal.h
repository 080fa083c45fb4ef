/* virtio_pci_internal.h: what the files of the transport share. */
#ifndef VIRTIO_VIRTIO_PCI_INTERNAL_H
#define VIRTIO_VIRTIO_PCI_INTERNAL_H

#include "virtio_pci.h"
#include "virtio_pci_regs.h"

/* virtio_pci_registers.c: BAR 4. */
extern const lunik_io_ops virtio_pci_registers;
/* Accesses the registers by way of configuration space, where the capability CAP_PCI is. */
void virtio_pci_reading(lunik_pci_function *f, unsigned offset, unsigned size);
void virtio_pci_written(lunik_pci_function *f, unsigned offset, unsigned size);

/* virtio_pci_irq.c: interrupts. */
extern const struct virtio_transport virtio_pci_transport;
void virtio_pci_irq_init(struct virtio_pci *s);
/* Returns the vector that the guest gets: there may be no such one. */
uint16_t virtio_pci_set_config_vector(struct virtio_pci *s, uint16_t vector);
uint16_t virtio_pci_set_queue_vector(struct virtio_pci *s, unsigned queue, uint16_t vector);
/* Makes MSI-X and eventfds follow the guest's registers. */
void virtio_pci_irq_update(struct virtio_pci *s);
/* Returns the causes of the pin's level, and lowers it. */
uint8_t virtio_pci_read_isr(struct virtio_pci *s);

#endif
