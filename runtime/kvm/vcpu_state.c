/*
 * vcpu_state.c: reads what KVM keeps for a guest, and writes it there.
 *
 * The order of writing: a nested guest ends first, as KVM refuses special registers meanwhile; the
 * nested state comes after EFER and the MSRs that allow it; the deadline of a local APIC's timer is
 * cleared before the APIC changes, and set by kvm_clocks_start(), when the TSC goes on.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/ioctl.h>

#include "kvm.h"
#include "vcpu_state.h"

enum { APIC_CURRENT_COUNT = 0x390 };

/* MSRs that go with the time; the last two are Hyper-V's, and can't be set. */
enum {
    MSR_TSC_DEADLINE_INDEX = 0x6e0,
    MSR_HV_RUNTIME_INDEX = 0x40000010,
    MSR_HV_REFERENCE_COUNT_INDEX = 0x40000020,
};

/* ---- MSRs ----------------------------------------------------------------------------------- */

static bool is_clock(uint32_t index)
{
    return index == MSR_TSC_DEADLINE_INDEX || index == MSR_HV_RUNTIME_INDEX ||
           index == MSR_HV_REFERENCE_COUNT_INDEX;
}

/* The MSRs of the power-on state, but for clocks: those that are kept are in s->clocks. */
static void read_msrs(lunik_vcpu *v, struct vcpu_state *s)
{
    const struct kvm_msrs *list = vcpu_power_on_msrs(v);
    struct vcpu_one_msr one;

    s->msr_count = 0;
    for (uint32_t i = 0; i < list->nmsrs; i++) {
        one = (struct vcpu_one_msr){.head.nmsrs = 1, .entry.index = list->entries[i].index};
        if (is_clock(one.entry.index) || ioctl(v->fd, KVM_GET_MSRS, &one) != 1)
            continue;
        s->msrs[s->msr_count++] = one.entry;
    }
}

/* Writes only those that differ: some are read-only, and the same on hosts alike. */
static int write_msrs(lunik_vcpu *v, const struct vcpu_state *s, lunik_error *err)
{
    for (uint32_t i = 0; i < s->msr_count; i++) {
        struct vcpu_one_msr one = {.head.nmsrs = 1, .entry.index = s->msrs[i].index};

        if (is_clock(s->msrs[i].index))
            continue;
        if (ioctl(v->fd, KVM_GET_MSRS, &one) == 1 && one.entry.data == s->msrs[i].data)
            continue;
        one.head.nmsrs = 1;
        one.entry = s->msrs[i];
        if (ioctl(v->fd, KVM_SET_MSRS, &one) != 1)
            return lunik_fail(err, LUNIK_E_INVALID,
                              "KVM: vCPU %u: MSR 0x%" PRIx32 " = 0x%" PRIx64 " is refused",
                              v->index, s->msrs[i].index, (uint64_t)s->msrs[i].data);
    }
    return 0;
}

/* ---- vCPUs ---------------------------------------------------------------------------------- */

static void read_nested(lunik_vcpu *v, struct vcpu_state *s)
{
    struct kvm_nested_state *nested = (struct kvm_nested_state *)s->nested;

    memset(s->nested, 0, sizeof(s->nested));
    nested->size = sizeof(s->nested);
    s->nested_size = ioctl(v->fd, KVM_GET_NESTED_STATE, nested) == 0 ? nested->size : 0;
}

int vcpu_state_read(lunik_vcpu *v, struct vcpu_state *out, lunik_error *err)
{
    struct kvm_xsave xsave;
    struct kvm_lapic_state lapic;
    struct kvm_mp_state mp;
    int khz = ioctl(v->fd, KVM_GET_TSC_KHZ, 0);

    memset(out, 0, sizeof(*out));
    out->vcpu = v;
    /* The run state first: reading it may change registers and events. */
    if (ioctl(v->fd, KVM_GET_MP_STATE, &mp) < 0 || ioctl(v->fd, KVM_GET_REGS, &out->regs) < 0 ||
        ioctl(v->fd, KVM_GET_SREGS, &out->sregs) < 0 || ioctl(v->fd, KVM_GET_XSAVE, &xsave) < 0 ||
        ioctl(v->fd, KVM_GET_DEBUGREGS, &out->debugregs) < 0 ||
        ioctl(v->fd, KVM_GET_LAPIC, &lapic) < 0 ||
        ioctl(v->fd, KVM_GET_VCPU_EVENTS, &out->events) < 0)
        return lunik_fail_errno(err, errno, "KVM: vCPU %u: can't read its state", v->index);
    out->extint = v->extint;
    out->has_xcrs = ioctl(v->fd, KVM_GET_XCRS, &out->xcrs) == 0;
    out->mp_state = mp.mp_state;
    memcpy(out->xsave, xsave.region, sizeof(out->xsave));
    memcpy(out->lapic, lapic.regs, sizeof(out->lapic));
    /* The timer has run on since the machine was paused. */
    if (v->held.apic_count)
        memcpy(&out->lapic[APIC_CURRENT_COUNT], &v->held.apic_count, sizeof(v->held.apic_count));
    out->tsc_khz = khz > 0 ? (uint32_t)khz : 0;
    read_nested(v, out);
    read_msrs(v, out);
    vcpu_clocks_get(v, &out->clocks);
    return 0;
}

static int refused(const lunik_vcpu *v, const char *what, lunik_error *err)
{
    return lunik_fail_errno(err, errno, "KVM: vCPU %u: its %s is refused", v->index, what);
}

/* Registers and what decides how they are taken. */
static int write_system(lunik_vcpu *v, const struct vcpu_state *s, lunik_error *err)
{
    struct kvm_sregs sregs = s->sregs;
    int rc;

    if (vcpu_leave_nested(v) < 0)
        return refused(v, "leaving of a nested guest", err);
    if (ioctl(v->fd, KVM_SET_SREGS, &sregs) < 0)
        return refused(v, "set of special registers", err);
    rc = write_msrs(v, s, err);
    if (!rc && s->nested_size && ioctl(v->fd, KVM_SET_NESTED_STATE, s->nested) < 0)
        rc = refused(v, "nested state", err);
    return rc;
}

static int write_registers(lunik_vcpu *v, const struct vcpu_state *s, lunik_error *err)
{
    struct kvm_xsave xsave = {0};

    memcpy(xsave.region, s->xsave, sizeof(s->xsave));
    if (ioctl(v->fd, KVM_SET_REGS, &s->regs) < 0)
        return refused(v, "set of registers", err);
    if (ioctl(v->fd, KVM_SET_XSAVE, &xsave) < 0)
        return refused(v, "XSAVE area", err);
    if (s->has_xcrs && ioctl(v->fd, KVM_SET_XCRS, &s->xcrs) < 0)
        return refused(v, "set of extended control registers", err);
    if (ioctl(v->fd, KVM_SET_DEBUGREGS, &s->debugregs) < 0)
        return refused(v, "set of debug registers", err);
    return 0;
}

/* KVM takes a pending NMI, which it reports, only where the flags say so. */
static struct kvm_vcpu_events events_of(const struct vcpu_state *s)
{
    struct kvm_vcpu_events events = s->events;

    events.flags |= KVM_VCPUEVENT_VALID_NMI_PENDING;
    return events;
}

static int write_interrupts(lunik_vcpu *v, const struct vcpu_state *s, lunik_error *err)
{
    struct vcpu_one_msr no_deadline = {.head.nmsrs = 1, .entry.index = MSR_TSC_DEADLINE_INDEX};
    struct kvm_vcpu_events events = events_of(s);
    struct kvm_mp_state mp = {.mp_state = s->mp_state};
    struct kvm_lapic_state lapic;

    memcpy(lapic.regs, s->lapic, sizeof(s->lapic));
    ioctl(v->fd, KVM_SET_MSRS, &no_deadline); /* fails where there are no deadlines */
    if (ioctl(v->fd, KVM_SET_LAPIC, &lapic) < 0)
        return refused(v, "local APIC", err);
    if (ioctl(v->fd, KVM_SET_VCPU_EVENTS, &events) < 0)
        return refused(v, "set of events", err);
    if (ioctl(v->fd, KVM_SET_MP_STATE, &mp) < 0)
        return refused(v, "run state", err);
    vcpu_set_extint(v, s->extint);
    return 0;
}

int vcpu_state_write(lunik_vcpu *v, const struct vcpu_state *s, lunik_error *err)
{
    int rc = write_system(v, s, err);

    if (!rc)
        rc = write_registers(v, s, err);
    if (!rc)
        rc = vcpu_clocks_put(v, &s->clocks, err);
    return rc ? rc : write_interrupts(v, s, err);
}

/* ---- the VM --------------------------------------------------------------------------------- */

int vm_state_read(lunik_machine *m, struct vm_state *out, lunik_error *err)
{
    struct kvm_irqchip chip;

    memset(out, 0, sizeof(*out));
    out->cpus = lunik_cpu_count(m);
    for (unsigned i = 0; i < CPUS_MOST / 64; i++)
        out->present[i] = atomic_load(&m->cpus[i]);
    out->split = m->kvm->split;
    for (unsigned i = 0; !out->split && i <= PICS; i++) {
        chip = (struct kvm_irqchip){.chip_id = i};
        if (ioctl(m->kvm->vm_fd, KVM_GET_IRQCHIP, &chip) < 0)
            return lunik_fail_errno(err, errno, "KVM: can't read the interrupt controllers");
        if (i < PICS)
            out->pic[i] = chip.chip.pic;
        else
            out->ioapic = chip.chip.ioapic;
    }
    return kvm_clocks_get(m, &out->clocks, err);
}

int vm_state_write(lunik_machine *m, const struct vm_state *s, lunik_error *err)
{
    struct kvm_irqchip chip;

    for (unsigned i = 0; !s->split && i <= PICS; i++) {
        chip = (struct kvm_irqchip){.chip_id = i};
        if (i < PICS)
            chip.chip.pic = s->pic[i];
        else
            chip.chip.ioapic = s->ioapic;
        if (ioctl(m->kvm->vm_fd, KVM_SET_IRQCHIP, &chip) < 0)
            return lunik_fail_errno(err, errno, "KVM: an interrupt controller's state is refused");
    }
    return kvm_clocks_put(m, &s->clocks, err);
}
