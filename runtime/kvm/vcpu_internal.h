/* vcpu_internal.h: struct lunik_vcpu, for the vcpu_*.c files. */
#ifndef KVM_VCPU_INTERNAL_H
#define KVM_VCPU_INTERNAL_H

#include <linux/kvm.h>

#include "vcpu.h"

struct vcpu_power_on;

/* The clocks of a vCPU while they stand still (kvm_clock.c). */
struct vcpu_clocks {
    bool has_tsc;           /* tsc_offset is valid and has to be restored */
    uint64_t tsc_offset;    /* of its TSC to the host's */
    uint32_t apic_count;    /* left on its local APIC's timer; 0: none */
    uint64_t apic_deadline; /* TSC at which that expires; 0: none */
};

/* The clocks that stand still, as they are saved. */
struct vcpu_clocks_saved {
    bool has_tsc; /* tsc is valid; else it is among the MSRs */
    uint64_t tsc; /* that the guest reads */
    uint32_t apic_count;
    uint64_t apic_deadline;
};

struct kvm_clocks_saved {
    uint64_t kvmclock; /* ns */
    struct kvm_pit_state2 pit;
};

enum { VCPU_MSRS_MOST = 512, NO_EXTINT = 256 };

struct vcpu_one_msr {
    struct kvm_msrs head;
    struct kvm_msr_entry entry;
};

struct lunik_vcpu {
    lunik_machine *machine;
    unsigned index;
    int fd;
    struct kvm_run *run;
    pthread_t thread;
    _Atomic int tid;       /* of thread, 0: none */
    bool started;          /* thread exists; under the group's mutex, as the next three */
    bool ended;            /* thread has ended and is to be joined */
    bool again;            /* leaving, but plugged again: the thread is to go on */
    _Atomic bool leaving;  /* unplugged: the thread is to end; written under the group's mutex */
    _Atomic bool in_guest; /* inside KVM_RUN, or about to enter it */
    bool io_pending;       /* the next KVM_RUN first completes an access; own thread only */
    bool parked;           /* waits at the gate with nothing pending; under the group's mutex */
    struct vcpu_power_on *power_on;
    /* Vector that the 8259As have given and the guest may not have taken, or NO_EXTINT; whether KVM
     * has it. Own thread, or it is parked. */
    uint16_t extint;
    bool extint_given;
    struct vcpu_clocks held;    /* under the machine lock */
    struct kvm_dirty_gfn *ring; /* its dirty ring, or NULL; under the machine lock */
    uint32_t ring_next;         /* where it is read next; wraps */
    unsigned ring_in_vain;      /* dirty-ring-full exits with an empty ring, in a row */
    _Atomic uint64_t dirtied;   /* pages it has reported */
    _Atomic uint64_t exits, io, mmio, interrupted; /* written by its own thread only */
};

struct vcpu_group {
    lunik_machine *machine;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    _Atomic bool closed; /* the gate: closed if any of the three below is set */
    unsigned holds;      /* vcpus_hold() calls not yet released */
    bool paused;
    bool quit;
    _Atomic bool intr; /* of the machine's own 8259As */
    bool has_boot_state;
    struct kvm_regs boot_regs;
    struct kvm_sregs boot_sregs;
    struct kvm_cpuid2 *cpuid; /* kept for vCPUs to come; else until all have been created */
    bool created;             /* interrupt controllers and the vCPUs that are plugged */
    unsigned count;           /* that there can be */
    lunik_vcpu vcpu[];
};

/* Walks the plugged vCPUs: returns the one after `previous` (NULL: the first); NULL ends. Machine
 * lock held. */
lunik_vcpu *vcpus_next(struct vcpu_group *g, lunik_vcpu *previous);

/* vcpu.c */

/* Creates v in KVM; does what earlier calls, which failed, have left undone. */
int vcpu_create(lunik_vcpu *v, lunik_error *err);
/* Starts the thread of v. Returns 0 or an errno. */
int vcpu_start_thread(lunik_vcpu *v);

/* vcpu_regs.c */

/* Takes v out of the guest unless the caller is v itself (which is outside already), after creating
 * the vCPUs. A failed call needs no vcpu_end_access(). */
int vcpu_begin_access(lunik_vcpu *v, lunik_error *err);
void vcpu_end_access(lunik_vcpu *v);

/* vcpu_plug.c: an unplugged vCPU's thread, outside the guest: whether it ends. If the vCPU has been
 * plugged again meanwhile, it goes on as a new one. */
bool vcpu_thread_ends(lunik_vcpu *v);

/* vcpu_gate.c */

/* Makes KVM_RUN return; its handler does nothing unless there is a callback. */
#define VCPU_KICK_SIGNAL (SIGRTMIN + 5)

void vcpu_gate_init(struct vcpu_group *g); /* closed, as for a pause */
void vcpu_gate_fini(struct vcpu_group *g);
/* Announces the entry; returns false if the gate is closed. */
bool vcpu_may_enter(lunik_vcpu *v);
/* The vCPU has left KVM_RUN: wakes threads that wait for that. */
void vcpu_left_guest(lunik_vcpu *v);
/* Waits until the gate opens; returns false if the thread is to end: for good, or as the vCPU has
 * been unplugged, and then with no access pending. */
bool vcpu_wait_at_gate(lunik_vcpu *v);
/* Makes the thread of v, if there is one, leave the guest and end. */
void vcpu_leave(lunik_vcpu *v);
/* Ends the pause. */
void vcpus_open_gate(struct vcpu_group *g);
/* Tells all vCPUs' threads to end. */
void vcpus_quit(struct vcpu_group *g);

/* Makes a vCPU leave KVM_RUN, if it is inside. */
void vcpu_kick(lunik_vcpu *v);

/* vcpu_extint.c: external interrupts, of the machine's own 8259As; on the vCPU's thread. Before an
 * entry, without the lock. */
void vcpu_offer_extint(lunik_vcpu *v);
/* Whether INTR rose after vcpu_offer_extint(); to be called after vcpu_may_enter(). */
bool vcpu_extint_came(const lunik_vcpu *v);
/* After KVM_RUN. */
void vcpu_note_extint(lunik_vcpu *v);
/* Replaces what is on its way to the guest by a vector or NO_EXTINT; v is stopped. */
void vcpu_set_extint(lunik_vcpu *v, uint16_t vector);

/* vcpu_exit.c: handles what KVM_RUN returned, on the vCPU's thread. Lock not held. */
void vcpu_handle_exit(lunik_vcpu *v, int rc, int error);
/* KVM_RUN has returned an error, or can't be called. */
void vcpu_run_failed(lunik_vcpu *v, int error);

/* vcpu_ring.c */
int vcpu_ring_init(lunik_vcpu *v, lunik_error *err);
void vcpu_ring_fini(lunik_vcpu *v, const struct kvm_vm *vm);
/* Empties all rings after an exit because that of v is full; returns false if that doesn't help.
 * Lock not held. */
bool vcpu_ring_make_room(lunik_vcpu *v);

/* vcpu_reset.c */
int vcpu_save_power_on(lunik_vcpu *v, lunik_error *err);
/* Puts v, which is outside the guest, into that state. */
int vcpu_restore_power_on(lunik_vcpu *v, lunik_error *err);
void vcpu_free_power_on(lunik_vcpu *v);
/* The MSRs that v has, with their values after power-on. */
const struct kvm_msrs *vcpu_power_on_msrs(const lunik_vcpu *v);
/* Ends a guest that the guest itself runs. While there is one, KVM refuses to set special
 * registers. Returns 0, or -1 with errno set. */
int vcpu_leave_nested(lunik_vcpu *v);

/* kvm_clock.c: the clocks while they stand still, to be saved and loaded. */
int kvm_clocks_get(const lunik_machine *m, struct kvm_clocks_saved *out, lunik_error *err);
int kvm_clocks_put(lunik_machine *m, const struct kvm_clocks_saved *in, lunik_error *err);
void vcpu_clocks_get(const lunik_vcpu *v, struct vcpu_clocks_saved *out);
int vcpu_clocks_put(lunik_vcpu *v, const struct vcpu_clocks_saved *in, lunik_error *err);
/* Has the clocks of v, which has just been plugged, go with those of the other vCPUs, which are
 * held. */
int vcpu_clocks_join(lunik_vcpu *v, lunik_error *err);

#endif
