/* virtio_pci_irq.c: interrupts of virtio devices: vectors of MSI-X, or the pin with its register of
 * causes (virtio 1.2, sections 4.1.4.5, 4.1.5.1.2, 4.1.5.3 and 4.1.5.4). */
#include <stdatomic.h>
#include <unistd.h>

#include "virtio_pci_internal.h"

static lunik_runtime *runtime_of(const struct virtio_pci *s)
{
    return lunik_machine_runtime(lunik_object_machine(s->function.owner));
}

/* ---- vectors -------------------------------------------------------------------------------- */

/* Returns the eventfd of a vector, or -1. */
static int fd_of(struct virtio_pci *s, uint16_t vector)
{
    return vector == VIRTIO_PCI_NO_VECTOR ? -1 : lunik_pci_vector_fd(&s->function, vector, NULL);
}

/* A vector that is not there, or for which the host has no eventfd, reads back as none. */
static uint16_t set_vector(struct virtio_pci *s, uint16_t vector, uint16_t *stored, _Atomic int *fd)
{
    int found = fd_of(s, vector);

    *stored = found < 0 ? VIRTIO_PCI_NO_VECTOR : vector;
    atomic_store(fd, found);
    return *stored;
}

uint16_t virtio_pci_set_config_vector(struct virtio_pci *s, uint16_t vector)
{
    return set_vector(s, vector, &s->config_vector, &s->config_fd);
}

uint16_t virtio_pci_set_queue_vector(struct virtio_pci *s, unsigned queue, uint16_t vector)
{
    return set_vector(s, vector, &s->queue_vectors[queue], &s->queue_fds[queue]);
}

void virtio_pci_irq_update(struct virtio_pci *s)
{
    atomic_store(&s->msix, lunik_pci_vectors(&s->function) > 0);
    virtio_pci_set_config_vector(s, s->config_vector);
    for (unsigned i = 0; i < s->queue_count; i++)
        virtio_pci_set_queue_vector(s, i, s->queue_vectors[i]);
}

/* ---- the pin -------------------------------------------------------------------------------- */

static void update_pin(struct virtio_pci *s)
{
    lunik_pci_intx_set(&s->function, atomic_load(&s->isr) != 0);
}

static void pin_task(lunik_task *task)
{
    update_pin(lunik_container_of(task, struct virtio_pci, pin));
}

uint8_t virtio_pci_read_isr(struct virtio_pci *s)
{
    uint8_t causes = atomic_exchange(&s->isr, 0);

    update_pin(s);
    return causes;
}

static void raise_pin(struct virtio_pci *s, uint8_t cause)
{
    lunik_runtime *rt = runtime_of(s);

    atomic_fetch_or(&s->isr, cause);
    if (lunik_locked(rt))
        update_pin(s);
    else
        lunik_defer(rt, &s->pin);
}

/* ---- interrupts ----------------------------------------------------------------------------- */

static void interrupt(struct virtio_pci *s, _Atomic int *fd, uint8_t cause)
{
    int vector_fd = atomic_load(fd);
    ssize_t written;

    if (!atomic_load(&s->msix)) {
        raise_pin(s, cause);
    } else if (vector_fd >= 0) {
        written = write(vector_fd, &(uint64_t){1}, sizeof(uint64_t));
        (void)written; /* a counter that is full has been signalled */
    }
}

static void config_interrupt(void *opaque)
{
    struct virtio_pci *s = opaque;

    if (atomic_load(&s->msix) && lunik_locked(runtime_of(s))) {
        if (s->config_vector != VIRTIO_PCI_NO_VECTOR)
            lunik_pci_vector_send(&s->function, s->config_vector);
    } else {
        interrupt(s, &s->config_fd, ISR_CONFIG);
    }
}

static void queue_interrupt(void *opaque, unsigned queue)
{
    struct virtio_pci *s = opaque;

    if (atomic_load(&s->msix) && lunik_locked(runtime_of(s))) {
        if (s->queue_vectors[queue] != VIRTIO_PCI_NO_VECTOR)
            lunik_pci_vector_send(&s->function, s->queue_vectors[queue]);
    } else {
        interrupt(s, &s->queue_fds[queue], ISR_QUEUE);
    }
}

/* The device has been reset (section 4.1.4.3.1: no vectors are mapped). */
static void reset(void *opaque)
{
    struct virtio_pci *s = opaque;

    s->config_vector = VIRTIO_PCI_NO_VECTOR;
    for (unsigned i = 0; i < s->queue_count; i++)
        s->queue_vectors[i] = VIRTIO_PCI_NO_VECTOR;
    s->offered_select = s->features_select = 0;
    s->queue_select = 0;
    virtio_pci_irq_update(s);
    virtio_pci_read_isr(s);
}

const struct virtio_transport virtio_pci_transport = {
    .config_interrupt = config_interrupt,
    .queue_interrupt = queue_interrupt,
    .reset = reset,
};

void virtio_pci_irq_init(struct virtio_pci *s)
{
    s->pin.fn = pin_task;
    reset(s);
}
