/* cpuid.h: the values of the guest's CPUID instruction. */
#ifndef KVM_CPUID_H
#define KVM_CPUID_H

#include "core/machine.h"

struct kvm_cpuid2;

/* Makes the host's CPUID as KVM offers it, with the machine's cpu_features applied. The caller
 * frees it with free(). */
int cpuid_new(struct kvm_cpuid2 **out, lunik_machine *m, lunik_error *err);
/* Fails if cpu_features has a setting that cpuid_new() would refuse. */
int cpuid_check(const lunik_machine_config *config, lunik_error *err);
/* Writes what differs between vCPUs: APIC id and topology. */
void cpuid_set_topology(struct kvm_cpuid2 *cpuid, const lunik_machine_config *config,
                        unsigned index);

#endif
