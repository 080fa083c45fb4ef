/* kvm_io.h: KVM's ioeventfds and coalesced zones, for kvm_io.c and kvm_coalesced.c. */
#ifndef KVM_KVM_IO_H
#define KVM_KVM_IO_H

#include "kvm.h"

struct entry {
    uint64_t address, size, data;
    uint64_t offset;
    lunik_region *region; /* valid until the commit, later only compared */
    int fd;               /* -1: a coalesced zone */
    bool match, port;
};

struct entry_list {
    struct entry *items;
    size_t count, capacity;
};

struct late_write {
    lunik_space *space;
    lunik_region *region; /* in use */
    uint64_t address, offset;
    uint8_t data[8];
    unsigned size;
};

struct kvm_io {
    lunik_listener listener;
    struct kvm_vm *vm;
    bool eventfds, any_size, zones, port_zones; /* features of the kernel */
    struct entry_list present;                  /* in KVM, sorted */
    struct entry_list dels, adds;               /* collected since begin */
    bool lost;                                  /* no memory to collect something */
    bool ended;       /* the VM is being freed: its entries need not be removed one by one */
    size_t ring_page; /* of a vCPU's mapping */
    struct kvm_coalesced_mmio_ring *ring; /* NULL: no vCPUs */
    uint32_t ring_size;
    struct late_write *late; /* ring_size of them */
    size_t late_first;
    /* Read without the lock: a vCPU that finds the ring empty must not overtake writes that are not
     * delivered yet. */
    _Atomic size_t late_count;
    _Atomic unsigned busy; /* flushes under way */
};

/* kvm_coalesced.c */

/* Moves the writes in the ring to `late`, with the regions that they were made to. */
void kvm_io_set_aside(struct kvm_io *k);
/* Frees `late` and what is in it. */
void kvm_io_drop_late(struct kvm_io *k);

#endif
