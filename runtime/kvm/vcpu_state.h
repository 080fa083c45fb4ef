/* vcpu_state.h: the state that KVM keeps for a guest, as structs with state tables. */
#ifndef KVM_VCPU_STATE_H
#define KVM_VCPU_STATE_H

#include <linux/kvm.h>

#include "lunik_device.h"
#include "vcpu_internal.h"

/* Enough for what a vCPU has of a guest that runs guests: a head and two pages. */
enum { NESTED_MOST = sizeof(struct kvm_nested_state) + 2 * 4096, XSAVE_WORDS = 1024, PICS = 2 };

/* What KVM has of a vCPU; XSAVE and the nested state are opaque, in KVM's own layout. */
struct vcpu_state {
    const lunik_vcpu *vcpu; /* not saved */
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    uint32_t xsave[XSAVE_WORDS];
    bool has_xcrs;
    struct kvm_xcrs xcrs;
    struct kvm_debugregs debugregs;
    uint8_t lapic[KVM_APIC_REG_SIZE];
    struct kvm_vcpu_events events;
    uint32_t mp_state;
    uint16_t extint; /* a vector on its way from the machine's own 8259As, or NO_EXTINT */
    uint32_t nested_size;
    _Alignas(struct kvm_nested_state) uint8_t nested[NESTED_MOST];
    uint32_t msr_count;
    struct kvm_msr_entry msrs[VCPU_MSRS_MOST];
    uint32_t tsc_khz; /* 0: unknown */
    struct vcpu_clocks_saved clocks;
};

/* Interrupt controllers, PIT and kvmclock. */
struct vm_state {
    uint32_t cpus;                    /* that are plugged */
    uint64_t present[CPUS_MOST / 64]; /* a bit for each of them */
    bool split; /* the machine's own interrupt controllers and PIT: they save theirs themselves */
    struct kvm_pic_state pic[PICS]; /* master, slave */
    struct kvm_ioapic_state ioapic;
    struct kvm_clocks_saved clocks;
};

extern const lunik_state_table vcpu_state_table, vm_state_table;

/* Read all of it from KVM, and write it there; machine paused, lock held. */
int vcpu_state_read(lunik_vcpu *v, struct vcpu_state *out, lunik_error *err);
int vcpu_state_write(lunik_vcpu *v, const struct vcpu_state *s, lunik_error *err);
int vm_state_read(lunik_machine *m, struct vm_state *out, lunik_error *err);
int vm_state_write(lunik_machine *m, const struct vm_state *s, lunik_error *err);

#endif
