/* cpuid.h: what the guest's CPUID instruction says. */
#ifndef KVM_CPUID_H
#define KVM_CPUID_H

#include "core/machine.h"

struct kvm_cpuid2;

/* The host's CPUID as KVM offers it, with the machine's cpu_features applied. free() it. */
int cpuid_new(struct kvm_cpuid2 **out, lunik_machine *m, lunik_error *err);
/* Fails if cpu_features has a setting that cpuid_new() would not take. */
int cpuid_check(const lunik_machine_config *config, lunik_error *err);
/* Writes what differs between vCPUs: APIC id and topology. */
void cpuid_set_topology(struct kvm_cpuid2 *cpuid, const lunik_machine_config *config,
                        unsigned index);

#endif
