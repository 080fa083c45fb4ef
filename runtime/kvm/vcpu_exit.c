/* vcpu_exit.c: what a vCPU's thread does when KVM_RUN has returned. */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "core/rcu.h"
#include "kvm.h"
#include "memory/memory.h"
#include "vcpu_internal.h"

/* Only the vCPU's own thread counts, so no read-modify-write is needed. */
static void count(_Atomic uint64_t *counter)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

static void report_exit(lunik_vcpu *v, lunik_vcpu_exit *info)
{
    lunik_machine *m = v->machine;
    lunik_exit_action action;

    lunik_lock(m->rt);
    info->kvm_reason = v->run->exit_reason;
    lunik_vcpu_get_reg(v, "rip", &info->rip, NULL);
    action = exit_ask(m, v, info);
    if (action == LUNIK_EXIT_UNHANDLED)
        m->requests->vcpu_crashed(v, info);
    else if (action == LUNIK_EXIT_PAUSE)
        m->requests->pause(m);
    lunik_unlock(m->rt);
}

/* KVM queues #UD for an instruction that it can't emulate. The handler of the exit decides what
 * happens instead, so the exception must not be delivered. */
static void drop_queued_ud(lunik_vcpu *v)
{
    struct kvm_vcpu_events events;

    if (ioctl(v->fd, KVM_GET_VCPU_EVENTS, &events) < 0 || events.exception.nr != 6)
        return;
    events.exception.injected = 0;
    events.exception.pending = 0;
    ioctl(v->fd, KVM_SET_VCPU_EVENTS, &events);
}

static void internal_error(lunik_vcpu *v)
{
    lunik_vcpu_exit info = {.reason = "internal-error"};

    info.detail = v->run->internal.suberror;
    if (info.detail == KVM_INTERNAL_ERROR_EMULATION) {
        info.reason = "emulation-failure";
        if (v->run->emulation_failure.ndata >= 3 &&
            v->run->emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES) {
            info.insn_len = v->run->emulation_failure.insn_size;
            if (info.insn_len > sizeof(info.insn))
                info.insn_len = sizeof(info.insn);
            memcpy(info.insn, v->run->emulation_failure.insn_bytes, info.insn_len);
        }
        drop_queued_ud(v);
    }
    report_exit(v, &info);
}

static void system_event(lunik_vcpu *v)
{
    lunik_machine *m = v->machine;

    lunik_lock(m->rt);
    if (v->run->system_event.type == KVM_SYSTEM_EVENT_RESET)
        m->requests->guest_reset(m);
    else
        m->requests->shutdown(m, "guest-shutdown", 0);
    lunik_unlock(m->rt);
}

static void port_access(lunik_vcpu *v)
{
    struct kvm_run *run = v->run;
    uint8_t *data = (uint8_t *)run + run->io.data_offset;

    count(&v->io);
    v->io_pending = true;
    rcu_online();
    for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size)
        space_vcpu_access(v->machine->io_space, run->io.port, data, run->io.size,
                          run->io.direction == KVM_EXIT_IO_OUT);
    rcu_offline();
}

static void memory_access(lunik_vcpu *v)
{
    struct kvm_run *run = v->run;

    count(&v->mmio);
    v->io_pending = true;
    rcu_online();
    space_vcpu_access(v->machine->memory_space, run->mmio.phys_addr, run->mmio.data, run->mmio.len,
                      run->mmio.is_write);
    rcu_offline();
}

/* The guest has ended a level-triggered interrupt of the machine's own I/O APIC. */
static void interrupt_ended(lunik_vcpu *v)
{
    lunik_lock(v->machine->rt);
    irqchips_end(v->machine, v->run->eoi.vector);
    lunik_unlock(v->machine->rt);
}

static void ring_full(lunik_vcpu *v)
{
    lunik_vcpu_exit info = {.reason = "dirty-ring-full"};

    if (!vcpu_ring_make_room(v))
        report_exit(v, &info);
}

void vcpu_run_failed(lunik_vcpu *v, int error)
{
    lunik_vcpu_exit info = {.reason = "run-error", .detail = (uint64_t)error};

    if (error == EINTR || error == EAGAIN) {
        count(&v->interrupted);
        return;
    }
    v->run->exit_reason = KVM_EXIT_UNKNOWN; /* it holds the reason of the exit before */
    report_exit(v, &info);
}

static void other_exit(lunik_vcpu *v)
{
    lunik_vcpu_exit info = {.reason = "unknown"};

    switch (v->run->exit_reason) {
    case KVM_EXIT_SHUTDOWN:
        info.reason = "shutdown";
        break;
    case KVM_EXIT_FAIL_ENTRY:
        info.reason = "fail-entry";
        info.detail = v->run->fail_entry.hardware_entry_failure_reason;
        break;
    case KVM_EXIT_DEBUG:
        info.reason = "debug";
        info.exception = (uint8_t)v->run->debug.arch.exception;
        info.detail = info.exception == BP_VECTOR ? 0 : v->run->debug.arch.dr6;
        break;
    case KVM_EXIT_HLT:
        info.reason = "halt";
        break;
    default:
        break;
    }
    report_exit(v, &info);
}

void vcpu_handle_exit(lunik_vcpu *v, int rc, int error)
{
    count(&v->exits);
    if (rc < 0) {
        vcpu_run_failed(v, error);
        return;
    }
    switch (v->run->exit_reason) {
    case KVM_EXIT_IO:
        port_access(v);
        break;
    case KVM_EXIT_MMIO:
        memory_access(v);
        break;
    case KVM_EXIT_INTR:
    case KVM_EXIT_IRQ_WINDOW_OPEN:
        count(&v->interrupted);
        break;
    case KVM_EXIT_IOAPIC_EOI:
        interrupt_ended(v);
        break;
    case KVM_EXIT_INTERNAL_ERROR:
        internal_error(v);
        break;
    case KVM_EXIT_DIRTY_RING_FULL:
        ring_full(v);
        break;
    case KVM_EXIT_SYSTEM_EVENT:
        system_event(v);
        break;
    default:
        other_exit(v);
    }
}
