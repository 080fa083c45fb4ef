/*
 * vcpu_state_table.c: which of KVM's state is saved, field by field.
 *
 * Reserved fields are not, and count_load_time of the PIT is in the host's time: KVM starts the
 * channels anew when they are set.
 */
#include <inttypes.h>
#include <string.h>

#include "vcpu_state.h"

/* ---- interrupt controllers and PIT ---------------------------------------------------------- */

#define PIC(field) LUNIK_STATE(struct kvm_pic_state, field)
static const lunik_state_field pic_fields[] = {
    PIC(last_irr),
    PIC(irr),
    PIC(imr),
    PIC(isr),
    PIC(priority_add),
    PIC(irq_base),
    PIC(read_reg_select),
    PIC(poll),
    PIC(special_mask),
    PIC(init_state),
    PIC(auto_eoi),
    PIC(rotate_on_auto_eoi),
    PIC(special_fully_nested_mode),
    PIC(init4),
    PIC(elcr),
    PIC(elcr_mask),
    {0},
};
static const lunik_state_table pic_table = {
    .name = "pic", .version = 1, .size = sizeof(struct kvm_pic_state), .fields = pic_fields};

#define IOAPIC(field) LUNIK_STATE(struct kvm_ioapic_state, field)
static const lunik_state_field ioapic_fields[] = {
    IOAPIC(base_address),
    IOAPIC(ioregsel),
    IOAPIC(id),
    IOAPIC(irr),
    {.name = "redirtbl",
     .kind = LUNIK_STATE_KIND_U64,
     .offset = offsetof(struct kvm_ioapic_state, redirtbl),
     .count = KVM_IOAPIC_NUM_PINS,
     .stride = sizeof(uint64_t)},
    {0},
};
static const lunik_state_table ioapic_table = {
    .name = "ioapic",
    .version = 1,
    .size = sizeof(struct kvm_ioapic_state),
    .fields = ioapic_fields,
};

#define CHANNEL(field, ...) LUNIK_STATE(struct kvm_pit_channel_state, field, __VA_ARGS__)
static const lunik_state_field channel_fields[] = {
    CHANNEL(count, .limit = 65537),
    CHANNEL(latched_count),
    CHANNEL(count_latched),
    CHANNEL(status_latched),
    CHANNEL(status),
    CHANNEL(read_state),
    CHANNEL(write_state),
    CHANNEL(write_latch),
    CHANNEL(rw_mode),
    CHANNEL(mode),
    CHANNEL(bcd),
    CHANNEL(gate),
    {0},
};
static const lunik_state_table channel_table = {
    .name = "channel",
    .version = 1,
    .size = sizeof(struct kvm_pit_channel_state),
    .fields = channel_fields,
};

static const lunik_state_field vm_fields[] = {
    LUNIK_STATE(struct vm_state, cpus, .flags = LUNIK_STATE_SAME),
    LUNIK_STATE(struct vm_state, split, .flags = LUNIK_STATE_SAME, .since = 2),
    LUNIK_STATE_ARRAY(struct vm_state, present, .flags = LUNIK_STATE_SAME, .since = 3),
    LUNIK_STATE_STRUCTS(struct vm_state, pic, &pic_table),
    LUNIK_STATE_STRUCT(struct vm_state, ioapic, &ioapic_table),
    LUNIK_STATE_STRUCTS(struct vm_state, clocks.pit.channels, &channel_table),
    LUNIK_STATE(struct vm_state, clocks.pit.flags),
    LUNIK_STATE(struct vm_state, clocks.kvmclock),
    {0},
};

static int vm_post_load(void *staged, const void *state, uint16_t version, lunik_error *err)
{
    const struct vm_state *here = state;

    if (version < 2 && here->split)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "split: the state is of KVM's own interrupt controllers (want a machine "
                          "with irqchip kernel)");
    return 0;
}

const lunik_state_table vm_state_table = {
    .name = "kvm",
    .version = 3,
    .min_version = 1,
    .size = sizeof(struct vm_state),
    .fields = vm_fields,
    .post_load = vm_post_load,
};

/* ---- vCPUs ---------------------------------------------------------------------------------- */

#define SEGMENT(field) LUNIK_STATE(struct kvm_segment, field)
static const lunik_state_field segment_fields[] = {
    SEGMENT(base), SEGMENT(limit),   SEGMENT(selector),
    SEGMENT(type), SEGMENT(present), SEGMENT(dpl),
    SEGMENT(db),   SEGMENT(s),       SEGMENT(l),
    SEGMENT(g),    SEGMENT(avl),     SEGMENT(unusable),
    {0},
};
static const lunik_state_table segment_table = {
    .name = "segment", .version = 1, .size = sizeof(struct kvm_segment), .fields = segment_fields};

static const lunik_state_field xcr_fields[] = {
    LUNIK_STATE(struct kvm_xcr, xcr), LUNIK_STATE(struct kvm_xcr, value), {0}};
static const lunik_state_table xcr_table = {
    .name = "xcr", .version = 1, .size = sizeof(struct kvm_xcr), .fields = xcr_fields};

static const lunik_state_field msr_fields[] = {
    LUNIK_STATE(struct kvm_msr_entry, index), LUNIK_STATE(struct kvm_msr_entry, data), {0}};
static const lunik_state_table msr_table = {
    .name = "msr", .version = 1, .size = sizeof(struct kvm_msr_entry), .fields = msr_fields};

#define VCPU(field, ...) LUNIK_STATE(struct vcpu_state, field, __VA_ARGS__)
#define VCPU_SEGMENT(r)  LUNIK_STATE_STRUCT(struct vcpu_state, sregs.r, &segment_table)
static const lunik_state_field vcpu_fields[] = {
    VCPU(regs.rax),
    VCPU(regs.rbx),
    VCPU(regs.rcx),
    VCPU(regs.rdx),
    VCPU(regs.rsi),
    VCPU(regs.rdi),
    VCPU(regs.rsp),
    VCPU(regs.rbp),
    VCPU(regs.r8),
    VCPU(regs.r9),
    VCPU(regs.r10),
    VCPU(regs.r11),
    VCPU(regs.r12),
    VCPU(regs.r13),
    VCPU(regs.r14),
    VCPU(regs.r15),
    VCPU(regs.rip),
    VCPU(regs.rflags),
    VCPU_SEGMENT(cs),
    VCPU_SEGMENT(ds),
    VCPU_SEGMENT(es),
    VCPU_SEGMENT(fs),
    VCPU_SEGMENT(gs),
    VCPU_SEGMENT(ss),
    VCPU_SEGMENT(tr),
    VCPU_SEGMENT(ldt),
    VCPU(sregs.gdt.base),
    VCPU(sregs.gdt.limit),
    VCPU(sregs.idt.base),
    VCPU(sregs.idt.limit),
    VCPU(sregs.cr0),
    VCPU(sregs.cr2),
    VCPU(sregs.cr3),
    VCPU(sregs.cr4),
    VCPU(sregs.cr8),
    VCPU(sregs.efer),
    VCPU(sregs.apic_base),
    LUNIK_STATE_ARRAY(struct vcpu_state, sregs.interrupt_bitmap),
    LUNIK_STATE_ARRAY(struct vcpu_state, xsave),
    VCPU(has_xcrs, .flags = LUNIK_STATE_SAME),
    VCPU(xcrs.nr_xcrs),
    VCPU(xcrs.flags),
    LUNIK_STATE_COUNTED_STRUCTS(struct vcpu_state, xcrs.xcrs, xcrs.nr_xcrs, &xcr_table),
    LUNIK_STATE_ARRAY(struct vcpu_state, debugregs.db),
    VCPU(debugregs.dr6),
    VCPU(debugregs.dr7),
    VCPU(debugregs.flags),
    LUNIK_STATE_ARRAY(struct vcpu_state, lapic),
    VCPU(events.exception.injected),
    VCPU(events.exception.nr),
    VCPU(events.exception.has_error_code),
    VCPU(events.exception.pending),
    VCPU(events.exception.error_code),
    VCPU(events.exception_has_payload),
    VCPU(events.exception_payload),
    VCPU(events.interrupt.injected),
    VCPU(events.interrupt.nr),
    VCPU(events.interrupt.soft),
    VCPU(events.interrupt.shadow),
    VCPU(events.nmi.injected),
    VCPU(events.nmi.pending),
    VCPU(events.nmi.masked),
    VCPU(events.sipi_vector),
    VCPU(events.flags),
    VCPU(events.smi.smm),
    VCPU(events.smi.pending),
    VCPU(events.smi.smm_inside_nmi),
    VCPU(events.smi.latched_init),
    VCPU(mp_state),
    VCPU(extint, .limit = NO_EXTINT + 1, .since = 2),
    VCPU(nested_size),
    LUNIK_STATE_COUNTED(struct vcpu_state, nested, nested_size),
    VCPU(msr_count),
    LUNIK_STATE_COUNTED_STRUCTS(struct vcpu_state, msrs, msr_count, &msr_table),
    VCPU(tsc_khz),
    VCPU(clocks.has_tsc, .flags = LUNIK_STATE_SAME),
    VCPU(clocks.tsc),
    VCPU(clocks.apic_count),
    VCPU(clocks.apic_deadline),
    {0},
};

static bool has_msr(const struct kvm_msrs *list, uint32_t index)
{
    for (uint32_t i = 0; i < list->nmsrs; i++)
        if (list->entries[i].index == index)
            return true;
    return false;
}

/* The frequency of the TSC may differ by as much as KVM tolerates: 250 in a million. */
static bool same_frequency(uint32_t a, uint32_t b)
{
    uint32_t difference = a > b ? a - b : b - a;

    return !a || !b || difference <= b / 4000;
}

static int vcpu_post_load(void *staged, const void *state, uint16_t version, lunik_error *err)
{
    struct vcpu_state *s = staged;
    const struct vcpu_state *here = state;
    struct kvm_nested_state nested;

    if (version < 2)
        s->extint = NO_EXTINT;

    if (!same_frequency(s->tsc_khz, here->tsc_khz))
        return lunik_fail(err, LUNIK_E_INVALID,
                          "tsc_khz: %" PRIu32 " in the state, %" PRIu32 " on this host", s->tsc_khz,
                          here->tsc_khz);
    for (uint32_t i = 0; i < s->msr_count; i++)
        if (!has_msr(vcpu_power_on_msrs(here->vcpu), s->msrs[i].index))
            return lunik_fail(err, LUNIK_E_INVALID,
                              "msrs: [%" PRIu32 "]: this host has no MSR 0x%" PRIx32, i,
                              s->msrs[i].index);
    memcpy(&nested, s->nested, sizeof(nested));
    if (s->nested_size && (s->nested_size < sizeof(nested) || nested.size != s->nested_size))
        return lunik_fail(err, LUNIK_E_INVALID, "nested_size: %" PRIu32 " is not its size",
                          s->nested_size);
    return 0;
}

const lunik_state_table vcpu_state_table = {
    .name = "vcpu",
    .version = 2,
    .min_version = 1,
    .size = sizeof(struct vcpu_state),
    .fields = vcpu_fields,
    .post_load = vcpu_post_load,
};
