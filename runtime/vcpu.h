/* vcpu.h: vCPU threads, for the rest of the runtime. */
#ifndef RUNTIME_VCPU_H
#define RUNTIME_VCPU_H

#include "machine.h"

/* Takes every vCPU of m out of KVM_RUN and keeps them out until vcpus_release(). Nests. Lock held;
 * a vCPU's own thread may call it (it is outside already). Cheap when none is running. */
void vcpus_hold(lunik_machine *m);
void vcpus_release(lunik_machine *m);

struct kvm_regs;
struct kvm_sregs;
/* The state a vCPU starts from after reset; vcpu 0 only, others wait for INIT/SIPI. NULL: the
 * architectural reset state. Lock held, vCPUs held or stopped. */
int vcpu_set_boot_state(lunik_machine *m, const struct kvm_regs *regs,
                        const struct kvm_sregs *sregs, lunik_error *err);
/* The architectural reset sregs of vCPU 0, to be modified for vcpu_set_boot_state(). With accel
 * none: returns LUNIK_E_UNSUPPORTED. */
int vcpu_get_reset_sregs(lunik_machine *m, struct kvm_sregs *sregs, lunik_error *err);

#endif
