/* irqchip_registers.c: the registers of the interrupt controllers in KVM, for people to see. */
#include <errno.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>

#include "core/misuse.h"
#include "kvm.h"

enum { PIC_MASTER, PIC_SLAVE, IOAPIC };

static void add_pic(lunik_kvm_irqchip *out, const struct kvm_pic_state *s, unsigned shift)
{
    out->irr |= (uint16_t)(s->irr << shift);
    out->imr |= (uint16_t)(s->imr << shift);
    out->isr |= (uint16_t)(s->isr << shift);
    out->elcr |= (uint16_t)(s->elcr << shift);
    out->base |= (uint16_t)(s->irq_base << shift);
    out->first |= (uint16_t)(s->priority_add << shift);
    out->read_isr |= (uint16_t)(!!s->read_reg_select << shift);
    out->nested |= (uint16_t)(!!s->special_fully_nested_mode << shift);
}

static void add_ioapic(lunik_kvm_irqchip *out, const struct kvm_ioapic_state *s)
{
    out->apic_id = (uint8_t)s->id;
    out->select = (uint8_t)s->ioregsel;
    out->lines = s->irr;
    for (unsigned i = 0; i < LUNIK_GSI_COUNT; i++)
        out->redirection[i] = s->redirtbl[i].bits;
}

static int check(const lunik_machine *m, lunik_error *err)
{
    if (!m->gsi)
        return machine_fail_closed(m, err);
    if (!m->kvm || m->kvm->split)
        return lunik_fail(err, LUNIK_E_UNSUPPORTED,
                          "machine '%s' has no interrupt controllers in KVM", m->name);
    if (!m->kvm->power_on)
        return lunik_fail(err, LUNIK_E_STATE,
                          "machine '%s': its interrupt controllers are made at the first start",
                          m->name);
    return 0;
}

int lunik_kvm_irqchip_get(lunik_machine *m, lunik_kvm_irqchip *out, lunik_error *err)
{
    NOT_NULL_OR_FAIL(m, err);
    NOT_NULL_OR_FAIL(out, err);

    int rc = check(m, err);

    *out = (lunik_kvm_irqchip){0};
    for (unsigned i = PIC_MASTER; !rc && i <= IOAPIC; i++) {
        struct kvm_irqchip chip = {.chip_id = i};

        if (ioctl(m->kvm->vm_fd, KVM_GET_IRQCHIP, &chip) < 0)
            rc = lunik_fail_errno(err, errno, "KVM: can't read the interrupt controllers");
        else if (i == IOAPIC)
            add_ioapic(out, &chip.chip.ioapic);
        else
            add_pic(out, &chip.chip.pic, i == PIC_SLAVE ? 8 : 0);
    }
    return rc;
}
