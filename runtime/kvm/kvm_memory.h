/* kvm_memory.h: KVM's memslots, for kvm_memory.c and kvm_dirty.c. */
#ifndef KVM_KVM_MEMORY_H
#define KVM_KVM_MEMORY_H

#include "kvm.h"

struct slot {
    uint64_t first, last; /* guest physical */
    uint64_t host;
    uint32_t flags; /* KVM_MEM_*, except for logging, which follows from clients */
    uint32_t id;
    lunik_ram *ram;             /* referenced */
    const lunik_region *region; /* for messages, until the commit ends; then NULL */
    unsigned clients;           /* LUNIK_DIRTY_*: the clients that log writes to it */
    uint64_t *log;              /* if logged by a bitmap: its pages as last read, one bit each */
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
    /* Where KVM refused to undo a change: slots it should not have, slots it lacks. */
    struct slot_list stray, missing;
    uint64_t *used;    /* slot ids, one bit each */
    uint32_t *by_id;   /* with a dirty ring: index in slots, while it is emptied */
    int log_error;     /* errno of a start of logging since begin */
    bool rings_pulled; /* since begin */
    uint64_t holds;    /* commits that kept vCPUs out of the guest */
};

/* kvm_slot_list.c */

/* Makes room for `need` slots in all; returns false if there is no memory. */
bool slots_reserve(struct slot_list *l, size_t need);
/* Orders slots by first, last, host and flags: 0 if KVM cannot tell them apart. */
int slot_compare(const struct slot *x, const struct slot *y);
void slots_sort(struct slot_list *l);
/* Returns the index of the first slot at or after address. */
size_t slots_find(const struct slot_list *l, uint64_t address);
/* There must be room. */
void slots_insert(struct slot_list *l, size_t at, struct slot slot);
void slots_remove(struct slot_list *l, size_t at);
/* Returns the first slot in KVM that has an address in first..last, or NULL. */
struct slot *kvm_slot_at(struct kvm_memory *k, uint64_t first, uint64_t last);
/* Takes the lowest free id. There must be one: fewer slots in KVM than it can have. */
uint32_t slot_id_take(struct kvm_memory *k);
void slot_id_release(struct kvm_memory *k, uint32_t id);

/* kvm_slot.c: return an errno. */

/* Creates a slot or changes its logging; deletes it if size is 0. */
int kvm_slot_set(struct kvm_memory *k, const struct slot *slot, uint64_t size);
/* The same, and keeps k->slots, in which there must be room. A slot that is deleted leaves its
 * reference to the RAM in *slot. */
int kvm_slot_create(struct kvm_memory *k, const struct slot *slot);
int kvm_slot_delete(struct kvm_memory *k, struct slot *slot);

/* kvm_memory.c */

/* Returns the slot in KVM that a section has, or NULL. */
struct slot *kvm_slot_of(struct kvm_memory *k, const lunik_section *s);
/* Returns the section's slot if KVM lacks it because it refused to undo a change, or NULL. */
struct slot *kvm_missing_slot_of(struct kvm_memory *k, const lunik_section *s);

/* kvm_dirty.c: sets up the logging hooks; before the listener is registered. */
int kvm_dirty_init(struct kvm_memory *k, lunik_error *err);
/* Make and free the bitmap of a logged slot. kvm_log_open() returns an errno. */
int kvm_log_open(struct kvm_memory *k, struct slot *slot);
void kvm_log_close(struct slot *slot);
/* Moves what KVM has logged for the slots that are to be deleted into the bitmaps of their RAM. No
 * vCPU may be in the guest. */
void kvm_log_pull_dels(struct kvm_memory *k);

#endif
