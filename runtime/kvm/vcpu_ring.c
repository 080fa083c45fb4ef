/* vcpu_ring.c: the vCPUs' dirty rings. KVM writes an entry for each page that its vCPU dirties. */
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kvm.h"
#include "vcpu_internal.h"

static size_t ring_bytes(const struct kvm_vm *vm)
{
    return vm->dirty_ring * sizeof(struct kvm_dirty_gfn);
}

int vcpu_ring_init(lunik_vcpu *v, lunik_error *err)
{
    const struct kvm_vm *vm = v->machine->kvm;
    off_t offset = KVM_DIRTY_LOG_PAGE_OFFSET * sysconf(_SC_PAGESIZE);
    void *ring;

    if (!vm->dirty_ring || v->ring)
        return 0;
    ring = mmap(NULL, ring_bytes(vm), PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, offset);
    if (ring == MAP_FAILED)
        return lunik_fail_errno(err, errno, "KVM: can't map the dirty ring of vCPU %u", v->index);
    v->ring = ring;
    return 0;
}

void vcpu_ring_fini(lunik_vcpu *v, const struct kvm_vm *vm)
{
    if (v->ring)
        munmap(v->ring, ring_bytes(vm));
}

uint64_t vcpus_take_dirty(lunik_machine *m, void (*fn)(void *opaque, uint32_t slot, uint64_t page),
                          void *opaque)
{
    uint64_t total = 0;

    for (unsigned i = 0; m->vcpus && i < m->vcpus->count; i++) {
        lunik_vcpu *v = &m->vcpus->vcpu[i];
        uint64_t count = 0;

        for (; v->ring; count++) {
            struct kvm_dirty_gfn *e = &v->ring[v->ring_next & (m->kvm->dirty_ring - 1)];

            if (__atomic_load_n(&e->flags, __ATOMIC_ACQUIRE) != KVM_DIRTY_GFN_F_DIRTY)
                break;
            fn(opaque, e->slot, e->offset);
            __atomic_store_n(&e->flags, KVM_DIRTY_GFN_F_RESET, __ATOMIC_RELEASE);
            v->ring_next++;
        }
        atomic_fetch_add_explicit(&v->dirtied, count, memory_order_relaxed);
        total += count;
    }
    return total;
}

/* Gives up after many exits with an empty ring: a kernel that reports such a ring as full would
 * cause them for ever. */
bool vcpu_ring_make_room(lunik_vcpu *v)
{
    enum { MAX_IN_VAIN = 1000 };
    bool emptied;

    lunik_lock(v->machine->rt);
    emptied = kvm_rings_empty(v->machine);
    lunik_unlock(v->machine->rt);
    v->ring_in_vain = emptied ? 0 : v->ring_in_vain + 1;
    return v->ring_in_vain < MAX_IN_VAIN;
}
