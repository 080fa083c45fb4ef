/* kvm.h: KVM file descriptors and capabilities, for the rest of the runtime. */
#ifndef RUNTIME_KVM_H
#define RUNTIME_KVM_H

#include "machine.h"

struct irqchip_state;
struct kvm_memory;

struct kvm_vm {
    int dev_fd;          /* /dev/kvm */
    int vm_fd;
    int vcpu_map_size;   /* bytes of a vCPU's kvm_run mapping */
    unsigned max_slots;  /* memslots the kernel offers */
    unsigned max_vcpus;
    unsigned phys_bits;  /* guest physical address bits */
    bool readonly_mem;   /* KVM_CAP_READONLY_MEM */
    struct irqchip_state *power_on; /* of the interrupt controllers and the PIT */
    struct kvm_memory *memory;      /* listeners/kvm_memory.c */
};

int kvm_vm_new(struct kvm_vm **out, lunik_error *err);
void kvm_vm_free(struct kvm_vm *vm);
/* Puts the interrupt controllers and the PIT back into their power-on state. vCPUs held. */
void kvm_vm_reset(struct kvm_vm *vm);

/* listeners/kvm_memory.c: makes memslots follow the memory space of m. */
int kvm_memory_init(lunik_machine *m, lunik_error *err);
void kvm_memory_fini(lunik_machine *m);

#endif
