/* kvm.h: KVM file descriptors and capabilities, for the rest of the runtime. */
#ifndef KVM_KVM_H
#define KVM_KVM_H

#include "core/machine.h"
#include "core/rcu.h"

struct irqchip_state;
struct kvm_memory;
struct kvm_io;
struct kvm_clocks;

/* Where the kernel may put the pages it needs to run real mode on hosts without unrestricted
 * guests: below the firmware image, above the IOAPIC. */
enum { KVM_IDENTITY_MAP_ADDRESS = 0xfeffc000u, KVM_TSS_ADDRESS = 0xfeffd000u };

struct kvm_vm {
    int dev_fd; /* /dev/kvm */
    int vm_fd;
    int vcpu_map_size;  /* bytes of a vCPU's kvm_run mapping */
    unsigned max_slots; /* memslots the kernel offers */
    unsigned max_vcpus;
    unsigned max_routes;            /* GSIs that routes can have */
    unsigned phys_bits;             /* guest physical address bits */
    bool readonly_mem;              /* KVM_CAP_READONLY_MEM */
    bool split;                     /* KVM has only the local APICs; irqchip.c */
    bool dirty_manual;              /* KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 is on */
    unsigned dirty_ring;            /* entries of each vCPU's dirty ring; 0: bitmaps */
    struct irqchip_state *power_on; /* of the interrupt controllers; NULL: not created yet */
    struct kvm_clocks *clocks;      /* kvm_clock.c */
    struct kvm_memory *memory;      /* kvm_memory.c */
    struct kvm_io *io;              /* kvm_io.c */
    struct vcpu_group *ended;       /* the machine's vCPUs after their threads have ended */
    struct rcu_head rcu;            /* for kvm_vm_free() */
};

int kvm_vm_new(struct kvm_vm **out, const lunik_machine_config *config, lunik_error *err);
/* Frees the VM and its vCPUs: soon after the call, on the reclaimer thread, as the kernel takes
 * milliseconds for it; or within the call if descriptors are short, many VMs are waiting already,
 * or there is no reclaimer. vm may be NULL. */
void kvm_vm_free(struct kvm_vm *vm);
/* Creates the interrupt controllers and the PIT: once, before any vCPU. May be called again after
 * it failed. */
int kvm_vm_add_irqchip(lunik_machine *m, lunik_error *err);
/* kvm_route.c: gives KVM the routes of all lines and messages. */
int kvm_routes_set(const lunik_machine *m, lunik_error *err);
/* irqchip.c: pass on what concerns the interrupt controllers that are not KVM's. */
void irqchips_line(lunik_machine *m, unsigned gsi, bool level);
void irqchips_elcr(lunik_machine *m, uint16_t level_triggered);
bool irqchips_message(const lunik_machine *m, unsigned gsi, lunik_msi *out);
void irqchips_end(lunik_machine *m, uint8_t vector);
/* True if a CPU takes an external interrupt: INTR is high. */
bool irqchips_acknowledge(lunik_machine *m, uint8_t *vector);
/* msi.c: whether a message goes to the local APICs. */
bool msi_is_interrupt(const lunik_msi *msg);
/* msi_route.c: opens the routes that have waited for the interrupt controllers. */
void msi_routes_open(lunik_machine *m);
/* msi_route.c: what kvm_routes_set() needs: the GSI and message of a route that has one. Returns
 * the route after `previous` (NULL: the first), or NULL. */
const lunik_msi_route *msi_route_next(const lunik_machine *m, const lunik_msi_route *previous,
                                      unsigned *gsi, lunik_msi *msg);
/* Puts the interrupt controllers back into their power-on state, with level_triggered (a bit for
 * each of IRQ 0 to 15) in their ELCR. vCPUs held. */
int kvm_vm_reset(struct kvm_vm *vm, uint16_t level_triggered, lunik_error *err);

/* kvm_clock.c: the clocks that KVM keeps for the guest. clock.c stops and starts them together with
 * the machine's. Lock held, vCPUs stopped. */
int kvm_clocks_init(struct kvm_vm *vm, lunik_error *err);
void kvm_clocks_fini(struct kvm_vm *vm);
/* Saves the PIT's power-on state, just after it has been created. */
int kvm_clocks_save_power_on(struct kvm_vm *vm, lunik_error *err);
void kvm_clocks_stop(lunik_machine *m);
/* May be called again after it failed. */
int kvm_clocks_start(lunik_machine *m, lunik_error *err);
/* Puts the PIT and the TSCs into their power-on state; to be called after the vCPUs' reset. */
int kvm_clocks_reset(lunik_machine *m, lunik_error *err);
/* True if the TSC of v is set by its offset here, not by its MSR. */
bool kvm_clocks_own_tsc(const lunik_vcpu *v);
/* To be called after an MSR of v was read or written from outside. While the clocks stand still,
 * the MSR of a clock reads as when they were stopped (kvm_clocks_msr_read() returns that value),
 * and the clock goes on from a value that is written. */
uint64_t kvm_clocks_msr_read(const lunik_vcpu *v, uint32_t index, uint64_t value);
void kvm_clocks_msr_written(lunik_vcpu *v, uint32_t index, uint64_t value);

/* kvm_state.c: saves and loads what KVM keeps for the guest: interrupt controllers, PIT, kvmclock,
 * vCPUs. Loading changes all of it or, where it fails, nothing; the states of the devices are
 * loaded before. m is paused, else LUNIK_E_STATE; LUNIK_E_UNSUPPORTED without KVM. Lock held. */
int kvm_state_save(lunik_machine *m, lunik_state_buffer *out, lunik_error *err);
int kvm_state_load(lunik_machine *m, const void *data, size_t size, lunik_error *err);

/* kvm_map.c: makes all of the below follow m's memory map. After a failure kvm_map_fini() undoes
 * what was done. */
int kvm_map_init(lunik_machine *m, lunik_error *err);
void kvm_map_fini(lunik_machine *m);

/* kvm_regions.c: adds reserved regions to m's two spaces for the devices that KVM emulates. */
int kvm_regions_init(lunik_machine *m, lunik_error *err);

/* kvm_memory.c: makes memslots follow the memory space of m. */
int kvm_memory_init(lunik_machine *m, lunik_error *err);
void kvm_memory_fini(lunik_machine *m);
/* True if there is a memslot for exactly these addresses. */
bool kvm_memory_has(const lunik_machine *m, uint64_t first, uint64_t last);
void kvm_memory_get_stats(const lunik_machine *m, lunik_machine_stats *out);
/* Retries rolling back memslot changes that KVM refused to undo. vCPUs must not run before that
 * succeeds. */
int kvm_memory_repair(lunik_machine *m, lunik_error *err);

/* kvm_io.c: makes KVM's ioeventfds and coalesced zones follow m's two spaces. */
int kvm_io_init(lunik_machine *m, lunik_error *err);
void kvm_io_fini(lunik_machine *m);
/* Sets the mapping of vCPU 0, which has the ring of coalesced writes; NULL before it is unmapped.
 */
void kvm_io_set_vcpu_map(lunik_machine *m, void *map);
/* Delivers the coalesced writes made so far. Lock held. m: NULL once it is closed. */
void kvm_io_flush(lunik_machine *m);
/* The same on a vCPU's thread without the lock, which it takes only if there are such writes. */
void kvm_io_vcpu_exit(lunik_machine *m);

/* kvm_dirty.c: empties all dirty rings into the bitmaps. Lock held. Returns false if they were
 * empty. */
bool kvm_rings_empty(lunik_machine *m);

#endif
