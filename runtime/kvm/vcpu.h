/* vcpu.h: vCPU threads, for the rest of the runtime. */
#ifndef KVM_VCPU_H
#define KVM_VCPU_H

#include "core/machine.h"

/* Makes the vCPUs of m (config.cpus of them), without creating them in KVM. */
int vcpus_init(lunik_machine *m, lunik_error *err);
/* Creates the interrupt controllers and the vCPUs in KVM, unless that has been done. To be called
 * when they are needed, which is after the board's memory is mapped (see kvm.c). May be called
 * again after it failed. The threads start with vcpus_resume(). */
int vcpus_create(lunik_machine *m, lunik_error *err);
/* Ends the threads, releasing the machine lock while it waits for them. Moves the vCPUs of m to
 * m->kvm->ended, which vcpus_free() frees, on any thread. */
void vcpus_fini(lunik_machine *m);
struct kvm_vm;
void vcpus_free(struct vcpu_group *g, const struct kvm_vm *vm); /* g may be NULL */

/* Takes every vCPU of m out of KVM_RUN and keeps them out until vcpus_release(). May be nested.
 * Lock held; a vCPU's own thread may call it (it is outside already). Cheap if no vCPU is running.
 */
void vcpus_hold(lunik_machine *m);
void vcpus_release(lunik_machine *m);

/* Pausing is a hold that also completes accesses in flight, so that registers are consistent.
 * vcpus_stop() only asks for it; vcpus_wait_stopped() waits, releasing the machine lock, and must
 * not be called on a vCPU's thread. */
void vcpus_stop(lunik_machine *m);
void vcpus_wait_stopped(lunik_machine *m);
int vcpus_resume(lunik_machine *m, lunik_error *err);

/* vcpu_extint.c: sets INTR of the machine's own 8259As, which leads to vCPU 0. Lock held. */
void vcpus_set_intr(lunik_machine *m, bool level);

/* Puts every vCPU into its state after power-on, vCPU 0 into the boot state. vCPUs stopped. */
int vcpus_reset(lunik_machine *m, lunik_error *err);

/* vcpu_ring.c: takes all entries out of the vCPUs' dirty rings and calls fn for each, with the
 * slot's id and the page in it. Returns how many there were; KVM reuses them only after
 * KVM_RESET_DIRTY_RINGS. Lock held; vCPUs may run. */
uint64_t vcpus_take_dirty(lunik_machine *m, void (*fn)(void *opaque, uint32_t slot, uint64_t page),
                          void *opaque);

struct kvm_regs;
struct kvm_sregs;
/* Sets the state from which vCPU 0 starts after a reset; other vCPUs wait for INIT/SIPI. NULL: the
 * architectural reset state. Lock held, vCPUs held or stopped. */
int vcpu_set_boot_state(lunik_machine *m, const struct kvm_regs *regs,
                        const struct kvm_sregs *sregs, lunik_error *err);
/* Gets the architectural reset sregs of vCPU 0, to be modified for vcpu_set_boot_state(). Fails
 * with LUNIK_E_UNSUPPORTED with accel none. */
int vcpu_get_reset_sregs(lunik_machine *m, struct kvm_sregs *sregs, lunik_error *err);

#endif
