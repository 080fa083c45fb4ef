/*
 * kvm_coalesced.c: the ring of coalesced writes.
 *
 * Coalesced writes wait in a ring that all vCPUs share. It is emptied with the machine lock held.
 * Writes that are in it when their zone is removed were made to the map before the commit: they are
 * set aside with their regions and delivered after the commit.
 */
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>

#include "core/runtime.h"
#include "kvm_io.h"
#include "memory/memory.h"

/* The machine whose writes this thread is delivering: accesses by handlers do not deliver more. */
static __thread const struct kvm_io *flushing;

/* ---- the ring -------------------------------------------------------------------------------- */

static uint32_t ring_count(const struct kvm_io *k)
{
    uint32_t first, last;

    if (!k->ring)
        return 0;
    first = __atomic_load_n(&k->ring->first, __ATOMIC_ACQUIRE);
    last = __atomic_load_n(&k->ring->last, __ATOMIC_ACQUIRE);
    return (last + k->ring_size - first) % k->ring_size;
}

/* Returns the oldest write in a ring that is not empty. */
static struct kvm_coalesced_mmio ring_peek(const struct kvm_io *k)
{
    struct kvm_coalesced_mmio write = k->ring->coalesced_mmio[k->ring->first];

    if (write.len > sizeof(write.data))
        write.len = sizeof(write.data);
    return write;
}

static void ring_pop(struct kvm_io *k)
{
    __atomic_store_n(&k->ring->first, (k->ring->first + 1) % k->ring_size, __ATOMIC_RELEASE);
}

static lunik_space *space_of(const struct kvm_io *k, const struct kvm_coalesced_mmio *write)
{
    const lunik_machine *m = k->listener.machine;

    return write->pio ? m->io_space : m->memory_space;
}

void kvm_io_set_aside(struct kvm_io *k)
{
    uint32_t count = ring_count(k);

    for (; count && k->late_first + k->late_count < k->ring_size; count--) {
        struct kvm_coalesced_mmio write = ring_peek(k);
        struct late_write *late = &k->late[k->late_first + k->late_count];
        lunik_section section;

        if (lunik_space_find(space_of(k, &write), write.phys_addr, &section) &&
            section.region->ops) {
            *late = (struct late_write){
                .space = section.space,
                .region = section.region,
                .address = write.phys_addr,
                .offset = section.offset + (write.phys_addr - section.address),
                .size = write.len,
            };
            memcpy(late->data, write.data, sizeof(late->data));
            lunik_region_ref(late->region);
            k->late_count++;
        }
        ring_pop(k);
    }
}

void kvm_io_drop_late(struct kvm_io *k)
{
    for (; k->late_count; k->late_count--)
        lunik_region_unref(k->late[k->late_first++].region);
    free(k->late);
}

/* ---- delivery -------------------------------------------------------------------------------- */

static void deliver_late(struct kvm_io *k)
{
    struct late_write late = k->late[k->late_first++];

    if (!--k->late_count)
        k->late_first = 0;
    region_write_late(late.space, late.address, late.region, late.offset, late.data, late.size);
    lunik_region_unref(late.region);
}

static void deliver(struct kvm_io *k)
{
    struct kvm_coalesced_mmio write = ring_peek(k);
    lunik_space *s = space_of(k, &write);
    uint64_t value = 0;

    ring_pop(k);
    memcpy(&value, write.data, sizeof(value));
    if (lunik_space_store(s, write.phys_addr, write.len, value) == LUNIK_E_INVALID)
        lunik_space_write(s, write.phys_addr, write.data, write.len); /* part of an access */
}

/* False once a handler has closed the machine. */
static bool still_there(const lunik_machine *m, const struct kvm_io *k)
{
    return m->kvm && m->kvm->io == k;
}

void kvm_io_flush(lunik_machine *m)
{
    struct kvm_io *k = m && m->kvm ? m->kvm->io : NULL;
    const struct kvm_io *outer = flushing;
    uint32_t count; /* writes made from now on wait for the next flush */

    if (!k || flushing == k)
        return;
    count = ring_count(k);
    if (!count && !k->late_count)
        return;
    lunik_machine_ref(m);
    runtime_enter(m->rt);
    k->busy++;
    flushing = k;
    while (still_there(m, k)) {
        if (k->late_count) {
            deliver_late(k);
        } else if (count && ring_count(k)) {
            count--;
            deliver(k);
        } else {
            break;
        }
    }
    if (still_there(m, k))
        k->busy--;
    flushing = outer;
    runtime_leave(m->rt);
    lunik_machine_unref(m);
}

void kvm_io_vcpu_exit(lunik_machine *m)
{
    const struct kvm_io *k = m->kvm->io;

    if (!ring_count(k) && !k->late_count && !k->busy)
        return;
    lunik_lock(m->rt);
    kvm_io_flush(m);
    lunik_unlock(m->rt);
}

void kvm_io_set_vcpu_map(lunik_machine *m, void *map)
{
    struct kvm_io *k = m->kvm->io;

    if (k)
        k->ring = map && k->zones
                      ? (struct kvm_coalesced_mmio_ring *)((uint8_t *)map + k->ring_page)
                      : NULL;
}
