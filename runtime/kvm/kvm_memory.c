/*
 * kvm_memory.c: the listener that makes KVM's memslots follow the memory space.
 *
 * Removed and added sections are collected and applied at commit. KVM cannot replace a memslot: the
 * old one has to be deleted before the new one is set. So if addresses that stay mapped change
 * slots, vCPUs are kept out of the guest meanwhile and never find a hole.
 *
 * The log of a logged slot (kvm_dirty.c) is read before the slot is deleted. vCPUs are kept out of
 * the guest for that as well, so that no write falls between the two.
 *
 * A slot covers whole host pages. The fringes of a section that is not aligned, devices, and ROM
 * devices outside romd mode are left to exits.
 */
#include <inttypes.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kvm_memory.h"
#include "vcpu.h"
#include "core/trace.h"
#include "memory/memory.h"

/* ---- KVM ------------------------------------------------------------------------------------ */

static void drop_slot(const struct slot *slot)
{
    lunik_ram_unref(slot->ram);
}

static const char *slot_name(const struct slot *slot)
{
    return slot->region ? lunik_region_name(slot->region) : lunik_ram_name(slot->ram);
}

static int fail_slot(const struct slot *slot, const char *what, int sys, lunik_error *err)
{
    return lunik_fail_errno(err, sys,
                            "KVM: memory region '%s' can't be %s at 0x%" PRIx64 "-0x%" PRIx64,
                            slot_name(slot), what, slot->first, slot->last);
}

/* Undoes the first `adds` additions and the first `dels` deletions. */
static void take_back(struct kvm_memory *k, size_t adds, size_t dels)
{
    struct slot_list *stray = &k->stray, *missing = &k->missing;

    while (adds)
        if (kvm_slot_delete(k, &k->adds.items[--adds])) {
            stray->items[stray->count++] = k->adds.items[adds];
            lunik_ram_ref(k->adds.items[adds].ram); /* the slot's own */
        }
    while (dels)
        if (kvm_slot_create(k, &k->dels.items[--dels]))
            missing->items[missing->count++] = k->dels.items[dels];
}

static int fail_repair(const struct slot *slot, const char *what, int sys, lunik_error *err)
{
    return lunik_fail_errno(err, sys,
                            "KVM: memory at 0x%" PRIx64 "-0x%" PRIx64
                            " can't be %s, as it must be since a change failed",
                            slot->first, slot->last, what);
}

/* Retries what take_back() could not undo. */
static int repair(struct kvm_memory *k, lunik_error *err)
{
    struct slot_list *stray = &k->stray, *missing = &k->missing;
    int sys;

    for (; stray->count; stray->count--) {
        struct slot *slot = &stray->items[stray->count - 1];

        sys = kvm_slot_delete(k, slot);
        if (sys)
            return fail_repair(slot, "unmapped", sys, err);
        drop_slot(slot);
    }
    for (; missing->count; missing->count--) {
        struct slot *slot = &missing->items[missing->count - 1];

        sys = kvm_slot_create(k, slot);
        if (sys)
            return fail_repair(slot, "mapped", sys, err);
    }
    return 0;
}

/* Deletes and creates slots; undoes what was done if KVM refuses one. The lists have room. */
static int apply(struct kvm_memory *k, lunik_error *err)
{
    size_t dels = 0, adds = 0;
    int rc = 0, sys = 0;

    while (!sys && dels < k->dels.count)
        if ((sys = kvm_slot_delete(k, &k->dels.items[dels])))
            rc = fail_slot(&k->dels.items[dels], "unmapped", sys, err);
        else
            dels++;
    while (!sys && adds < k->adds.count)
        if ((sys = kvm_slot_create(k, &k->adds.items[adds])))
            rc = fail_slot(&k->adds.items[adds], "mapped", sys, err);
        else
            adds++;
    if (rc)
        take_back(k, adds, dels);
    return rc;
}

/* ---- collecting ----------------------------------------------------------------------------- */

/* Finds the slot for a section; returns false if it needs none. */
static bool slot_of(const struct kvm_memory *k, const lunik_section *s, struct slot *out)
{
    const uint64_t mask = k->page_size - 1;
    bool rom = s->readonly || lunik_region_get_kind(s->region) == LUNIK_REGION_ROM_DEVICE;
    uint64_t last = s->address + (s->size == LUNIK_SIZE_MAX ? UINT64_MAX : s->size - 1);
    uint64_t first = (s->address + mask) & ~mask, host;

    if (!s->romd || (rom && !k->vm->readonly_mem))
        return false;
    if (first < s->address || last < mask)
        return false;
    last = (last - mask) | mask; /* the end of the last whole page */
    if (last < first)
        return false;
    host = (uint64_t)(uintptr_t)lunik_ram_host(lunik_region_ram(s->region)) +
           lunik_region_ram_offset(s->region) + s->offset + (first - s->address);
    if (host & mask)
        return false;
    *out = (struct slot){.first = first,
                         .last = last,
                         .host = host,
                         .flags = rom ? KVM_MEM_READONLY : 0,
                         .ram = lunik_region_ram(s->region),
                         .region = s->region,
                         .clients = rom ? 0 : s->log_mask};
    return true;
}

/* Makes room for one more slot in a list, and for the reverse changes, which cannot fail then. */
static bool make_room(struct kvm_memory *k, const struct slot_list *list)
{
    size_t all = k->dels.count + k->adds.count + 1;

    if (k->listener.machine->memory->undoing)
        return list->count < list->capacity;
    return slots_reserve(&k->dels, all) && slots_reserve(&k->adds, all);
}

static void collect(struct kvm_memory *k, struct slot_list *list, const lunik_section *s)
{
    struct slot slot;

    if (!slot_of(k, s, &slot))
        return;
    if (!make_room(k, list)) {
        k->lost = true;
        return;
    }
    lunik_ram_ref(slot.ram);
    list->items[list->count++] = slot;
}

static void on_add(lunik_listener *l, const lunik_section *s)
{
    struct kvm_memory *k = lunik_container_of(l, struct kvm_memory, listener);

    collect(k, &k->adds, s);
}

static void on_del(lunik_listener *l, const lunik_section *s)
{
    struct kvm_memory *k = lunik_container_of(l, struct kvm_memory, listener);

    collect(k, &k->dels, s);
}

/* ---- commit --------------------------------------------------------------------------------- */

/* Drops slots that are removed and added again unchanged. Sorts both lists. */
static void cancel_pairs(struct kvm_memory *k)
{
    struct slot_list *d = &k->dels, *a = &k->adds;
    size_t di = 0, ai = 0, dk = 0, ak = 0;

    slots_sort(d);
    slots_sort(a);
    while (di < d->count || ai < a->count) {
        int order = di == d->count   ? 1
                    : ai == a->count ? -1
                                     : slot_compare(&d->items[di], &a->items[ai]);

        if (order < 0) {
            d->items[dk++] = d->items[di++];
        } else if (order > 0) {
            a->items[ak++] = a->items[ai++];
        } else {
            drop_slot(&d->items[di++]);
            drop_slot(&a->items[ai++]);
        }
    }
    d->count = dk;
    a->count = ak;
}

static bool present(const struct kvm_memory *k, const struct slot *slot)
{
    size_t at = slots_find(&k->slots, slot->first);

    return at < k->slots.count && !slot_compare(&k->slots.items[at], slot);
}

/* Drops slots whose presence is `state` already: they undo changes that could not be collected. */
static void drop_done(const struct kvm_memory *k, struct slot_list *l, bool state)
{
    size_t kept = 0;

    for (size_t i = 0; i < l->count; i++) {
        if (present(k, &l->items[i]) == state)
            drop_slot(&l->items[i]);
        else
            l->items[kept++] = l->items[i];
    }
    l->count = kept;
}

struct slot *kvm_slot_of(struct kvm_memory *k, const lunik_section *s)
{
    struct slot slot;

    return slot_of(k, s, &slot) && present(k, &slot)
               ? &k->slots.items[slots_find(&k->slots, slot.first)]
               : NULL;
}

struct slot *kvm_missing_slot_of(struct kvm_memory *k, const lunik_section *s)
{
    struct slot slot;

    if (!k->missing.count || !slot_of(k, s, &slot))
        return NULL;
    for (size_t i = 0; i < k->missing.count; i++)
        if (!slot_compare(&k->missing.items[i], &slot))
            return &k->missing.items[i];
    return NULL;
}

/* True if a slot that is to be deleted is logged. */
static bool loses_log(const struct kvm_memory *k)
{
    for (size_t i = 0; i < k->dels.count; i++)
        if (k->slots.items[slots_find(&k->slots, k->dels.items[i].first)].clients)
            return true;
    return false;
}

/* True if an address is in a slot both before and after the change. */
static bool swaps(const struct kvm_memory *k)
{
    size_t d = 0, a = 0;

    while (d < k->dels.count && a < k->adds.count) {
        if (k->dels.items[d].last < k->adds.items[a].first)
            d++;
        else if (k->adds.items[a].last < k->dels.items[d].first)
            a++;
        else
            return true;
    }
    return false;
}

static int check_limits(struct kvm_memory *k, lunik_error *err)
{
    unsigned bits = k->vm->phys_bits;
    uint64_t limit = bits >= 64 ? UINT64_MAX : (1ull << bits) - 1;
    size_t count = k->slots.count - k->dels.count + k->adds.count;

    for (size_t i = 0; i < k->adds.count; i++)
        if (k->adds.items[i].last > limit)
            return lunik_fail(err, LUNIK_E_INVALID,
                              "memory region '%s': address: '0x%" PRIx64 "-0x%" PRIx64
                              "' is beyond the guest's physical addresses (want at most 0x%" PRIx64
                              ", %u bits)",
                              slot_name(&k->adds.items[i]), k->adds.items[i].first,
                              k->adds.items[i].last, limit, bits);
    if (count > k->vm->max_slots)
        return lunik_fail(err, LUNIK_E_NO_SPACE,
                          "memory region '%s' at 0x%" PRIx64
                          ": '%zu' is more memory slots than KVM has (want at most %u)",
                          slot_name(&k->adds.items[k->adds.count - 1]),
                          k->adds.items[k->adds.count - 1].first, count, k->vm->max_slots);
    return 0;
}

static int fail_no_room(lunik_error *err)
{
    return lunik_fail(err, LUNIK_E_NO_MEMORY, "KVM: out of memory");
}

/* Makes room for what apply() adds to the lists, now and if the reverse changes follow: neither can
 * fail for want of it. */
static bool reserve_all(struct kvm_memory *k)
{
    size_t changes = k->adds.count + k->dels.count;

    return slots_reserve(&k->slots, k->slots.count + k->adds.count) &&
           slots_reserve(&k->stray, k->stray.count + changes) &&
           slots_reserve(&k->missing, k->missing.count + changes);
}

static void drop_all(struct slot_list *l)
{
    while (l->count)
        drop_slot(&l->items[--l->count]);
}

/* Of changes that are not all known none is applied; the reverse ones then have nothing to do. */
static int fail_lost(struct kvm_memory *k, lunik_error *err)
{
    drop_all(&k->dels);
    drop_all(&k->adds);
    k->lost = false;
    return fail_no_room(err);
}

static int commit(struct kvm_memory *k, lunik_error *err)
{
    lunik_machine *m = k->listener.machine;
    bool hold, logged;
    lunik_span span;
    int rc, log_error = k->log_error;

    k->rings_pulled = false;
    k->log_error = 0;
    if (k->lost)
        return fail_lost(k, err);
    if (log_error)
        return lunik_fail_errno(err, log_error, "KVM: writes to memory can't be logged");
    cancel_pairs(k);
    rc = repair(k, err);
    if (rc)
        return rc;
    drop_done(k, &k->dels, false);
    drop_done(k, &k->adds, true);
    rc = check_limits(k, err);
    if (!rc && !reserve_all(k))
        rc = fail_no_room(err);
    if (rc)
        return rc;
    logged = loses_log(k);
    hold = logged || swaps(k);
    if (hold) {
        k->holds++;
        TRACE_BEGIN(m, &span, .kind = "hold");
        vcpus_hold(m);
        trace_finish(&span, 0, NULL);
    }
    if (logged)
        kvm_log_pull_dels(k);
    rc = apply(k, err);
    if (hold)
        vcpus_release(m);
    if (rc)
        return rc;
    for (size_t i = 0; i < k->dels.count; i++) {
        drop_slot(&k->dels.items[i]); /* collected with it */
        drop_slot(&k->dels.items[i]); /* the slot's own */
    }
    k->dels.count = k->adds.count = 0;
    return 0;
}

/* Regions of slots that wait for another attempt may go in the meantime. */
static void forget_regions(struct kvm_memory *k)
{
    struct slot_list *lists[] = {&k->dels, &k->adds, &k->stray, &k->missing};

    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
        for (size_t j = 0; j < lists[i]->count; j++)
            lists[i]->items[j].region = NULL;
}

static int on_commit(lunik_listener *l, lunik_error *err)
{
    struct kvm_memory *k = lunik_container_of(l, struct kvm_memory, listener);
    int rc = commit(k, err);

    forget_regions(k);
    return rc;
}

/* ---- life cycle ----------------------------------------------------------------------------- */

static void free_all(struct kvm_memory *k)
{
    struct slot_list *lists[] = {&k->slots, &k->dels, &k->adds, &k->missing};

    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        for (size_t j = 0; j < lists[i]->count; j++) {
            kvm_log_close(&lists[i]->items[j]);
            drop_slot(&lists[i]->items[j]);
        }
        free(lists[i]->items);
    }
    free(k->stray.items); /* its slots are in k->slots */
    free(k->by_id);
    free(k->used);
    free(k);
}

int kvm_memory_init(lunik_machine *m, lunik_error *err)
{
    struct kvm_memory *k = calloc(1, sizeof(*k));
    int rc;

    if (k)
        k->used = calloc(m->kvm->max_slots / 64 + 1, sizeof(*k->used));
    if (!k || !k->used) {
        free(k);
        return fail_no_room(err);
    }
    k->vm = m->kvm;
    k->page_size = (uint64_t)sysconf(_SC_PAGESIZE);
    k->listener = (lunik_listener){.name = "kvm-memory",
                                   .priority = 10,
                                   .space = m->memory_space,
                                   .region_add = on_add,
                                   .region_del = on_del,
                                   .commit = on_commit};
    rc = kvm_dirty_init(k, err);
    if (!rc)
        rc = lunik_listener_add(m, &k->listener, err);
    if (rc)
        free_all(k);
    else
        m->kvm->memory = k;
    return rc;
}

void kvm_memory_fini(lunik_machine *m)
{
    struct kvm_memory *k = m->kvm->memory;

    if (!k)
        return;
    lunik_listener_del(&k->listener);
    m->kvm->memory = NULL;
    free_all(k);
}

/* Returns NULL without KVM and once the machine is closed. */
static struct kvm_memory *memory_of(const lunik_machine *m)
{
    return m->kvm ? m->kvm->memory : NULL;
}

bool kvm_memory_has(const lunik_machine *m, uint64_t first, uint64_t last)
{
    struct kvm_memory *k = memory_of(m);
    const struct slot *slot = k ? kvm_slot_at(k, first, last) : NULL;

    return slot && slot->first == first && slot->last == last;
}

void kvm_memory_get_stats(const lunik_machine *m, lunik_machine_stats *out)
{
    const struct kvm_memory *k = memory_of(m);

    if (!k)
        return;
    out->memslots = (unsigned)k->slots.count;
    out->max_memslots = k->vm->max_slots;
    out->holds = k->holds;
}

int kvm_memory_repair(lunik_machine *m, lunik_error *err)
{
    struct kvm_memory *k = memory_of(m);

    if (!k || (!k->dels.count && !k->adds.count && !k->stray.count && !k->missing.count))
        return 0;
    return on_commit(&k->listener, err);
}
