/*
 * kvm_clock.c: the clocks that KVM keeps for a guest, held while its machine is stopped.
 *
 * KVM can't stop its clocks: kvmclock, the TSCs, the local APICs' timers and the PIT go on while no
 * vCPU runs. Their values are saved when the machine's clock stops and restored when it goes on:
 *
 * - kvmclock: KVM_GET_CLOCK and KVM_SET_CLOCK. KVM_KVMCLOCK_CTRL sets the flag by which a guest's
 *   lockup detectors see that it was stopped.
 * - TSC: its offset to the host's is lowered by what the host's has counted meanwhile, for all
 *   vCPUs alike, so that they stay synchronized. Before Linux 5.16 KVM has no attribute for the
 *   offset: the TSCs run on, and after a reset KVM chooses their values.
 * - Local APIC timers: the count that was left, or the deadline, is set again. One that has expired
 *   is left alone, as its interrupt may still be on its way.
 * - PIT: it is disabled, else the ticks of a periodic channel 0 would pile up. Restoring it starts
 *   the channels anew: a periodic one with a whole period, one that counts down to its terminal
 *   count with what was left. KVM does not show whether a one-shot channel 0 has expired, and
 *   restoring one that has would make it fire twice: in these modes (0, 1 and 4) the PIT runs on.
 *   With a split irqchip the PIT is a device, on the machine's own clock.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <x86intrin.h>

#include "kvm.h"
#include "vcpu_internal.h"

enum { PIT_HZ = 1193182, PIT_CHANNELS = 3, NS_PER_S = 1000000000 };

/* Local APIC registers and the timer's modes: SDM vol. 3A, 10.5.4 */
enum { APIC_LVT_TIMER = 0x320, APIC_INITIAL_COUNT = 0x380, APIC_CURRENT_COUNT = 0x390 };
enum { TIMER_MODE_MASK = 3 << 17, TIMER_TSC_DEADLINE = 2 << 17 };

enum { MSR_TSC_INDEX = 0x10, MSR_TSC_DEADLINE_INDEX = 0x6e0, MSR_X2APIC_INITIAL_COUNT = 0x838 };

struct kvm_clocks {
    bool running;
    bool has_kvmclock, has_pit; /* the values below are valid and have to be restored */
    uint64_t kvmclock;          /* ns */
    uint64_t host_tsc;          /* when the clocks were stopped */
    struct kvm_pit_state2 pit, pit_power_on;
};

int kvm_clocks_init(struct kvm_vm *vm, lunik_error *err)
{
    vm->clocks = calloc(1, sizeof(*vm->clocks));
    if (!vm->clocks)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "KVM: out of memory");
    vm->clocks->has_kvmclock = true; /* starts at 0, as the machine's clock does */
    return 0;
}

void kvm_clocks_fini(struct kvm_vm *vm)
{
    free(vm->clocks);
    vm->clocks = NULL;
}

int kvm_clocks_save_power_on(struct kvm_vm *vm, lunik_error *err)
{
    if (!vm->split && ioctl(vm->vm_fd, KVM_GET_PIT2, &vm->clocks->pit_power_on) < 0)
        return lunik_fail_errno(err, errno, "KVM: can't read the timer");
    return 0;
}

/* ---- kvmclock ------------------------------------------------------------------------------- */

static void hold_kvmclock(struct kvm_vm *vm)
{
    struct kvm_clock_data data = {0};

    vm->clocks->has_kvmclock = ioctl(vm->vm_fd, KVM_GET_CLOCK, &data) == 0;
    vm->clocks->kvmclock = data.clock;
}

static int continue_kvmclock(struct kvm_vm *vm, lunik_error *err)
{
    struct kvm_clock_data data = {.clock = vm->clocks->kvmclock};

    if (vm->clocks->has_kvmclock && ioctl(vm->vm_fd, KVM_SET_CLOCK, &data) < 0)
        return lunik_fail_errno(err, errno, "KVM: can't set the guest's clock");
    return 0;
}

/* ---- TSC ------------------------------------------------------------------------------------ */

static struct kvm_device_attr tsc_offset_attr(uint64_t *offset)
{
    return (struct kvm_device_attr){
        .group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET, .addr = (uintptr_t)offset};
}

bool kvm_clocks_own_tsc(const lunik_vcpu *v)
{
    struct kvm_device_attr attr = tsc_offset_attr(NULL);

    return ioctl(v->fd, KVM_HAS_DEVICE_ATTR, &attr) == 0;
}

static bool read_tsc_offset(const lunik_vcpu *v, uint64_t *offset)
{
    struct kvm_device_attr attr = tsc_offset_attr(offset);

    return ioctl(v->fd, KVM_GET_DEVICE_ATTR, &attr) == 0;
}

static int write_tsc_offset(const lunik_vcpu *v, uint64_t offset, lunik_error *err)
{
    struct kvm_device_attr attr = tsc_offset_attr(&offset);

    if (ioctl(v->fd, KVM_SET_DEVICE_ATTR, &attr) < 0)
        return lunik_fail_errno(err, errno, "KVM: vCPU %u: can't set its TSC", v->index);
    return 0;
}

/* ---- local APIC timers ---------------------------------------------------------------------- */

static uint32_t apic_read(const struct kvm_lapic_state *s, unsigned reg)
{
    uint32_t value;

    memcpy(&value, &s->regs[reg], sizeof(value));
    return value;
}

static uint64_t read_deadline(const lunik_vcpu *v)
{
    struct vcpu_one_msr msr = {.head.nmsrs = 1, .entry.index = MSR_TSC_DEADLINE_INDEX};

    return ioctl(v->fd, KVM_GET_MSRS, &msr) == 1 ? msr.entry.data : 0;
}

static void hold_apic_timer(lunik_vcpu *v)
{
    struct kvm_lapic_state s;

    v->held.apic_count = 0;
    v->held.apic_deadline = 0;
    if (ioctl(v->fd, KVM_GET_LAPIC, &s) < 0)
        return;
    if ((apic_read(&s, APIC_LVT_TIMER) & TIMER_MODE_MASK) == TIMER_TSC_DEADLINE)
        v->held.apic_deadline = read_deadline(v);
    else if (apic_read(&s, APIC_INITIAL_COUNT))
        v->held.apic_count = apic_read(&s, APIC_CURRENT_COUNT);
}

/* Sets only the count: the other registers may have changed, as interrupts are raised meanwhile. */
static int continue_apic_count(lunik_vcpu *v)
{
    struct kvm_lapic_state s;

    if (ioctl(v->fd, KVM_GET_LAPIC, &s) < 0)
        return -1;
    memcpy(&s.regs[APIC_CURRENT_COUNT], &v->held.apic_count, sizeof(v->held.apic_count));
    return ioctl(v->fd, KVM_SET_LAPIC, &s);
}

static int continue_apic_timer(lunik_vcpu *v, lunik_error *err)
{
    struct vcpu_one_msr msr = {
        .head.nmsrs = 1, .entry = {.index = MSR_TSC_DEADLINE_INDEX, .data = v->held.apic_deadline}};

    if ((v->held.apic_deadline && ioctl(v->fd, KVM_SET_MSRS, &msr) < 0) ||
        (v->held.apic_count && continue_apic_count(v) < 0))
        return lunik_fail_errno(err, errno, "KVM: vCPU %u: can't set its timer", v->index);
    return 0;
}

/* ---- PIT ------------------------------------------------------------------------------------ */

/* For channels 1 and 2: in modes 0 and 4, in which the gate does not restart them, replaces the
 * count by what is left of it. */
static void keep_what_is_left(struct kvm_pit_channel_state *c, uint64_t now)
{
    uint64_t passed = now - (uint64_t)c->count_load_time;
    uint64_t counted = passed / NS_PER_S * PIT_HZ + passed % NS_PER_S * PIT_HZ / NS_PER_S;

    if (c->mode == 0 || c->mode == 4)
        c->count = counted < c->count ? c->count - (uint32_t)counted : 1;
}

static bool one_shot(const struct kvm_pit_channel_state *c)
{
    return c->mode == 0 || c->mode == 1 || c->mode == 4;
}

static void hold_pit(struct kvm_vm *vm)
{
    struct kvm_pit_state2 *pit = &vm->clocks->pit, disabled;
    struct timespec t;

    vm->clocks->has_pit = false;
    if (vm->split || ioctl(vm->vm_fd, KVM_GET_PIT2, pit) < 0 || one_shot(&pit->channels[0]))
        return;
    vm->clocks->has_pit = true;
    disabled = *pit;
    disabled.flags |= KVM_PIT_FLAGS_HPET_LEGACY;
    ioctl(vm->vm_fd, KVM_SET_PIT2, &disabled); /* if that fails it ticks on until restored */
    clock_gettime(CLOCK_MONOTONIC, &t);        /* KVM's count_load_time is in this clock */
    for (unsigned i = 1; i < PIT_CHANNELS; i++)
        keep_what_is_left(&pit->channels[i], (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec);
}

static int continue_pit(struct kvm_vm *vm, lunik_error *err)
{
    if (vm->clocks->has_pit && ioctl(vm->vm_fd, KVM_SET_PIT2, &vm->clocks->pit) < 0)
        return lunik_fail_errno(err, errno, "KVM: can't set the timer");
    return 0;
}

/* ---- all of them ---------------------------------------------------------------------------- */

void kvm_clocks_stop(lunik_machine *m)
{
    struct kvm_clocks *c = m->kvm->clocks;

    c->running = false;
    hold_kvmclock(m->kvm);
    c->host_tsc = __rdtsc();
    for (lunik_vcpu *v = NULL; (v = vcpus_next(m->vcpus, v));) {
        v->held.has_tsc = read_tsc_offset(v, &v->held.tsc_offset);
        hold_apic_timer(v);
    }
    hold_pit(m->kvm);
}

int kvm_clocks_start(lunik_machine *m, lunik_error *err)
{
    struct kvm_clocks *c = m->kvm->clocks;
    uint64_t passed = __rdtsc() - c->host_tsc;
    int rc = 0;

    for (lunik_vcpu *v = NULL; !rc && (v = vcpus_next(m->vcpus, v));)
        if (v->held.has_tsc)
            rc = write_tsc_offset(v, v->held.tsc_offset - passed, err);
    if (!rc)
        rc = continue_kvmclock(m->kvm, err);
    for (lunik_vcpu *v = NULL; !rc && (v = vcpus_next(m->vcpus, v));) {
        /* Fails if the guest has no kvmclock. */
        ioctl(v->fd, KVM_KVMCLOCK_CTRL, 0);
        rc = continue_apic_timer(v, err);
    }
    if (!rc)
        rc = continue_pit(m->kvm, err);
    c->running = !rc;
    return rc;
}

int kvm_clocks_reset(lunik_machine *m, lunik_error *err)
{
    struct kvm_clocks *c = m->kvm->clocks;
    int rc = 0;

    c->host_tsc = __rdtsc();
    c->pit = c->pit_power_on;
    c->has_pit = !m->kvm->split;
    for (lunik_vcpu *v = NULL; !rc && (v = vcpus_next(m->vcpus, v));) {
        v->held = (struct vcpu_clocks){.has_tsc = kvm_clocks_own_tsc(v),
                                       .tsc_offset = UINT64_C(0) - c->host_tsc};
        if (v->held.has_tsc)
            rc = write_tsc_offset(v, v->held.tsc_offset, err);
    }
    return rc ? rc : continue_pit(m->kvm, err);
}

int vcpu_clocks_join(lunik_vcpu *v, lunik_error *err)
{
    const lunik_vcpu *first = &v->machine->vcpus->vcpu[0];

    v->held =
        (struct vcpu_clocks){.has_tsc = first->held.has_tsc, .tsc_offset = first->held.tsc_offset};
    if (!v->machine->kvm->clocks->running)
        return 0; /* kvm_clocks_start() sets it */
    return read_tsc_offset(first, &v->held.tsc_offset)
               ? write_tsc_offset(v, v->held.tsc_offset, err)
               : 0;
}

uint64_t kvm_clocks_msr_read(const lunik_vcpu *v, uint32_t index, uint64_t value)
{
    const struct kvm_clocks *c = v->machine->kvm->clocks;

    if (c->running || index != MSR_TSC_INDEX || !v->held.has_tsc)
        return value;
    return v->held.tsc_offset + c->host_tsc;
}

void kvm_clocks_msr_written(lunik_vcpu *v, uint32_t index, uint64_t value)
{
    const struct kvm_clocks *c = v->machine->kvm->clocks;

    if (c->running)
        return;
    if (index == MSR_TSC_INDEX)
        v->held.tsc_offset = value - c->host_tsc;
    else if (index == MSR_TSC_DEADLINE_INDEX)
        v->held.apic_deadline = value;
    else if (index == MSR_X2APIC_INITIAL_COUNT)
        v->held.apic_count = 0; /* the write has restarted the timer */
}

/* ---- saved and loaded ----------------------------------------------------------------------- */

int kvm_clocks_get(const lunik_machine *m, struct kvm_clocks_saved *out, lunik_error *err)
{
    const struct kvm_clocks *c = m->kvm->clocks;

    out->kvmclock = c->kvmclock;
    out->pit = c->pit;
    if (!c->has_pit && !m->kvm->split && ioctl(m->kvm->vm_fd, KVM_GET_PIT2, &out->pit) < 0)
        return lunik_fail_errno(err, errno, "KVM: can't read the timer");
    return 0;
}

/* A channel 0 that counts once begins anew, as KVM does not show whether it has ended. */
int kvm_clocks_put(lunik_machine *m, const struct kvm_clocks_saved *in, lunik_error *err)
{
    struct kvm_clocks *c = m->kvm->clocks;
    struct kvm_pit_state2 disabled = in->pit;

    disabled.flags |= KVM_PIT_FLAGS_HPET_LEGACY;
    if (!m->kvm->split && ioctl(m->kvm->vm_fd, KVM_SET_PIT2, &disabled) < 0)
        return lunik_fail_errno(err, errno, "KVM: the timer's state is refused");
    c->pit = in->pit;
    c->has_pit = !m->kvm->split;
    c->kvmclock = in->kvmclock;
    c->has_kvmclock = true;
    return 0;
}

void vcpu_clocks_get(const lunik_vcpu *v, struct vcpu_clocks_saved *out)
{
    *out = (struct vcpu_clocks_saved){
        .has_tsc = v->held.has_tsc,
        .tsc = v->held.has_tsc ? v->held.tsc_offset + v->machine->kvm->clocks->host_tsc : 0,
        .apic_count = v->held.apic_count,
        .apic_deadline = v->held.apic_deadline,
    };
}

int vcpu_clocks_put(lunik_vcpu *v, const struct vcpu_clocks_saved *in, lunik_error *err)
{
    uint64_t offset = in->tsc - v->machine->kvm->clocks->host_tsc;
    int rc = in->has_tsc ? write_tsc_offset(v, offset, err) : 0;

    if (rc)
        return rc;
    v->held = (struct vcpu_clocks){
        .has_tsc = in->has_tsc,
        .tsc_offset = offset,
        .apic_count = in->apic_count,
        .apic_deadline = in->apic_deadline,
    };
    return 0;
}
