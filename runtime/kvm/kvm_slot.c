/* kvm_slot.c: sets, creates and deletes memory slots, each as a step. */
#include <errno.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>

#include "core/trace.h"
#include "kvm_memory.h"

/* Begins and ends the step of a change of a slot. */
static void trace_slot(const struct kvm_memory *k, lunik_span *span, const struct slot *slot,
                       uint64_t size)
{
    const lunik_field fields[] = {
        LUNIK_FIELD_BOOL("added", size != 0),
        LUNIK_FIELD_UINT("id", slot->id),
        LUNIK_FIELD_UINT("address", slot->first),
        LUNIK_FIELD_UINT("size", slot->last - slot->first + 1),
    };

    TRACE_BEGIN(k->listener.machine, span, .kind = "memslot", .fields = fields,
                .count = sizeof(fields) / sizeof(fields[0]));
}

static void slot_traced(lunik_span *span, int sys)
{
    lunik_error err;

    if (!span->machine)
        return;
    if (sys)
        lunik_fail_errno(&err, sys, "KVM: KVM_SET_USER_MEMORY_REGION");
    trace_end(span, sys, &err, NULL, 0);
}

int kvm_slot_set(struct kvm_memory *k, const struct slot *slot, uint64_t size)
{
    struct kvm_userspace_memory_region region = {
        .slot = slot->id,
        .flags = !size           ? 0
                 : slot->clients ? slot->flags | KVM_MEM_LOG_DIRTY_PAGES
                                 : slot->flags,
        .guest_phys_addr = slot->first,
        .memory_size = size,
        .userspace_addr = slot->host,
    };
    lunik_span span;
    int rc;

    trace_slot(k, &span, slot, size);
    do {
        rc = ioctl(k->vm->vm_fd, KVM_SET_USER_MEMORY_REGION, &region);
    } while (rc < 0 && errno == EINTR);
    rc = rc < 0 ? errno : 0;
    slot_traced(&span, rc);
    return rc;
}

int kvm_slot_delete(struct kvm_memory *k, struct slot *slot)
{
    size_t at = slots_find(&k->slots, slot->first);
    int sys;

    slot->id = k->slots.items[at].id;
    sys = kvm_slot_set(k, slot, 0);
    if (!sys) {
        slot_id_release(k, slot->id);
        kvm_log_close(&k->slots.items[at]);
        slots_remove(&k->slots, at); /* *slot now holds its reference to ram */
    }
    return sys;
}

int kvm_slot_create(struct kvm_memory *k, const struct slot *slot)
{
    struct slot made = *slot;
    int sys = made.clients ? kvm_log_open(k, &made) : 0;

    if (sys)
        return sys;
    made.region = NULL;
    made.id = slot_id_take(k);
    sys = kvm_slot_set(k, &made, made.last - made.first + 1);
    if (sys) {
        slot_id_release(k, made.id);
        kvm_log_close(&made);
    } else {
        slots_insert(&k->slots, slots_find(&k->slots, made.first), made);
    }
    return sys;
}
