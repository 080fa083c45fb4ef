/*
 * vcpu_extint.c: external interrupts: those of 8259As that are devices of the machine.
 *
 * INTR leads to LINT0 of vCPU 0, which KVM has. Its thread takes the vector from the 8259As and
 * gives it to KVM (KVM_INTERRUPT) when the guest can take an interrupt, which KVM reports in
 * ready_for_interrupt_injection; until then it asks KVM for an exit at that moment
 * (request_interrupt_window). The thread that raises INTR kicks it out of the guest, also when it
 * is halted. The machine lock is taken only to take a vector.
 *
 * A vCPU that is kicked right after it got a vector leaves KVM_RUN before the guest has taken it.
 * KVM does not report that, and can't take it back: a guest that could take an interrupt for which
 * KVM is not ready has one waiting. Such a vector is saved with the vCPU; after a reset it comes
 * all the same.
 */
#include <sys/ioctl.h>

#include "core/fence.h"
#include "core/vcpu_thread.h"
#include "kvm.h"
#include "vcpu_internal.h"

void vcpus_set_intr(lunik_machine *m, bool level)
{
    struct vcpu_group *g = m->vcpus;

    if (!g)
        return;
    atomic_store_explicit(&g->intr, level, FENCED_STORE);
    if (!level || lunik_vcpu_current() == &g->vcpu[0])
        return;
    fence_heavy(); /* either the vCPU sees INTR before it enters, or it is seen inside */
    vcpu_kick(&g->vcpu[0]);
}

static bool intr_of(const lunik_vcpu *v)
{
    return atomic_load_explicit(&v->machine->vcpus->intr, FENCED_LOAD);
}

static bool takes_extint(const lunik_vcpu *v)
{
    return v->index == 0 && v->machine->kvm->split;
}

/* Takes no vector while the gate is closed: the 8259As of a machine that pauses stay as they are.
 * It closes under the lock. */
static void acknowledge(lunik_vcpu *v)
{
    lunik_machine *m = v->machine;
    uint8_t vector;

    lunik_lock(m->rt);
    if (!atomic_load(&m->vcpus->closed) && irqchips_acknowledge(m, &vector))
        v->extint = vector;
    lunik_unlock(m->rt);
}

/* KVM refuses it while it has another one, which happens if it is older than Linux 5.10: then it
 * gets this one when it can take one again. */
static void give(lunik_vcpu *v)
{
    struct kvm_interrupt arg = {.irq = v->extint};

    v->extint_given = ioctl(v->fd, KVM_INTERRUPT, &arg) == 0;
}

void vcpu_offer_extint(lunik_vcpu *v)
{
    if (!takes_extint(v))
        return;
    if (v->extint == NO_EXTINT && intr_of(v) && v->run->ready_for_interrupt_injection)
        acknowledge(v);
    if (v->extint != NO_EXTINT && !v->extint_given)
        give(v);
    v->run->request_interrupt_window = intr_of(v) || (v->extint != NO_EXTINT && !v->extint_given);
}

bool vcpu_extint_came(const lunik_vcpu *v)
{
    return takes_extint(v) && intr_of(v) && !v->run->request_interrupt_window;
}

void vcpu_note_extint(lunik_vcpu *v)
{
    const struct kvm_run *run = v->run;
    bool waits = run->if_flag && !run->ready_for_interrupt_injection;

    if (!v->extint_given || waits)
        return;
    v->extint = NO_EXTINT;
    v->extint_given = false;
}

void vcpu_set_extint(lunik_vcpu *v, uint16_t vector)
{
    if (!v->extint_given)
        v->extint = vector;
    if (v->run)
        v->run->ready_for_interrupt_injection = 0; /* as to the state before */
}
