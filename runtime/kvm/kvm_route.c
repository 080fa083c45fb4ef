/*
 * kvm_route.c: the table that says what each GSI of KVM is: pins of PIC and I/O APIC, or, where
 * these are not KVM's, the messages of an I/O APIC; then other messages.
 *
 * KVM reports the ends of the vectors that the messages of the first 24 GSIs have as
 * level-triggered interrupts, so the table is to be right before such a message is sent.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "kvm.h"

enum { LINE_ROUTES = 2 * LUNIK_GSI_COUNT };

static struct kvm_irq_routing_entry pin(unsigned gsi, unsigned chip, unsigned number)
{
    return (struct kvm_irq_routing_entry){
        .gsi = gsi, .type = KVM_IRQ_ROUTING_IRQCHIP, .u.irqchip = {chip, number}};
}

/* Connects the lines as a PC does: to PIC and I/O APIC alike, except that the timer, line 0, is on
 * the I/O APIC's pin 2, where the PIC has its cascade. */
static struct kvm_irq_routing_entry *add_lines(struct kvm_irq_routing_entry *e)
{
    for (unsigned gsi = 0; gsi < LUNIK_GSI_COUNT; gsi++) {
        if (gsi == 2)
            continue;
        if (gsi < 16)
            *e++ = pin(gsi, gsi < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE, gsi % 8);
        *e++ = pin(gsi, KVM_IRQCHIP_IOAPIC, gsi ? gsi : 2);
    }
    return e;
}

static struct kvm_irq_routing_entry message(unsigned gsi, const lunik_msi *msg)
{
    return (struct kvm_irq_routing_entry){.gsi = gsi,
                                          .type = KVM_IRQ_ROUTING_MSI,
                                          .u.msi = {.address_lo = (uint32_t)msg->address,
                                                    .address_hi = (uint32_t)(msg->address >> 32),
                                                    .data = msg->data}};
}

/* The lines as the machine's own I/O APIC has them now. */
static struct kvm_irq_routing_entry *add_line_messages(struct kvm_irq_routing_entry *e,
                                                       const lunik_machine *m)
{
    lunik_msi msg;

    for (unsigned gsi = 0; gsi < LUNIK_GSI_COUNT; gsi++)
        if (irqchips_message(m, gsi, &msg))
            *e++ = message(gsi, &msg);
    return e;
}

int kvm_routes_set(const lunik_machine *m, lunik_error *err)
{
    const lunik_msi_route *r = NULL;
    struct kvm_irq_routing_entry *e;
    struct kvm_irq_routing *table;
    size_t most = LINE_ROUTES;
    unsigned gsi;
    lunik_msi msg;
    int rc = 0;

    while ((r = msi_route_next(m, r, &gsi, &msg)))
        most++;
    table = calloc(1, sizeof(*table) + most * sizeof(*e));
    if (!table)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "KVM: out of memory");
    e = m->kvm->split ? add_line_messages(table->entries, m) : add_lines(table->entries);
    while ((r = msi_route_next(m, r, &gsi, &msg)))
        *e++ = message(gsi, &msg);
    table->nr = (uint32_t)(e - table->entries);
    if (ioctl(m->kvm->vm_fd, KVM_SET_GSI_ROUTING, table) < 0)
        rc = lunik_fail_errno(err, errno, "KVM: can't route the interrupts");
    free(table);
    return rc;
}
