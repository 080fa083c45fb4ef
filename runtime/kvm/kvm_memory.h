/* kvm_memory.h: KVM's memslots, for kvm_memory.c and kvm_dirty.c. */
#ifndef KVM_KVM_MEMORY_H
#define KVM_KVM_MEMORY_H

#include "kvm.h"

struct slot {
    uint64_t first, last; /* guest physical */
    uint64_t host;
    uint32_t flags; /* KVM_MEM_*, but for logging: that follows from clients */
    uint32_t id;
    lunik_ram *ram;             /* referenced */
    const lunik_region *region; /* for messages, valid until the commit */
    unsigned clients;           /* LUNIK_DIRTY_*: who logs writes to it */
    uint64_t *log; /* in KVM and logged: its bitmap as last seen, one bit a page; no ring */
};

struct slot_list {
    struct slot *items;
    size_t count, capacity;
};

struct kvm_memory {
    lunik_listener listener;
    struct kvm_vm *vm;
    uint64_t page_size;
    struct slot_list slots;      /* in KVM, by ascending address */
    struct slot_list dels, adds; /* collected since begin */
    bool lost;                   /* no memory to collect something */
    /* Where KVM refused to go back: slots it has and should not have, slots it lacks. */
    struct slot_list stray, missing;
    uint64_t *used;    /* slot ids, one bit each */
    uint32_t *by_id;   /* with a dirty ring: index in slots, while it is emptied */
    int log_error;     /* errno of a start of logging since begin */
    bool rings_pulled; /* since begin */
    uint64_t holds;    /* commits that kept vCPUs out of the guest */
};

/* The slot in KVM that a section has, or NULL. */
struct slot *kvm_slot_of(struct kvm_memory *k, const lunik_section *s);
/* The slot that it lacks, for it could not be put back, or NULL. */
struct slot *kvm_missing_slot_of(struct kvm_memory *k, const lunik_section *s);
/* The first slot in KVM that has an address in first..last, or NULL. */
struct slot *kvm_slot_at(struct kvm_memory *k, uint64_t first, uint64_t last);
/* Creates a slot or changes its logging; deletes it if size is 0. Returns an errno. */
int kvm_slot_set(struct kvm_memory *k, const struct slot *slot, uint64_t size);

/* kvm_dirty.c: sets up the logging hooks; before the listener is registered. */
int kvm_dirty_init(struct kvm_memory *k, lunik_error *err);
/* Makes and frees what a logged slot needs. Returns an errno. */
int kvm_log_open(struct kvm_memory *k, struct slot *slot);
void kvm_log_close(struct slot *slot);
/* Moves what KVM has logged for the slots that are to be deleted into the bitmaps of their RAM. No
 * vCPU may be in the guest. */
void kvm_log_pull_dels(struct kvm_memory *k);

#endif
