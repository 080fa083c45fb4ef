/*
 * kvm_dirty.c: moves KVM's dirty logs into the bitmaps of RAM blocks.
 *
 * KVM has one log per slot, Lunik one bitmap per client. Pages read from KVM's log are marked for
 * all clients of the slot at once, and only then write-protected again: when the log is read (plain
 * bitmap), when a client has seen and cleared them (manual), or when the ring is reset. So a page
 * that is protected again for one client is marked for the others. A client that joins later must
 * not see older writes: the log is emptied before it joins.
 *
 * In manual mode slot->log holds the pages that have been read from KVM's log but not cleared
 * there. KVM clears units of 64 pages; clearing more pages than asked for is harmless, as they are
 * marked, and only costs faults.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "kvm_memory.h"
#include "ram/ram.h"
#include "vcpu.h"

static struct kvm_memory *of(lunik_listener *l)
{
    return lunik_container_of(l, struct kvm_memory, listener);
}

static uint64_t slot_pages(const struct kvm_memory *k, const struct slot *slot)
{
    return (slot->last - slot->first + 1) / k->page_size;
}

static uint64_t ram_offset(const struct slot *slot)
{
    return slot->host - (uint64_t)(uintptr_t)lunik_ram_host(slot->ram);
}

int kvm_log_open(struct kvm_memory *k, struct slot *slot)
{
    if (k->vm->dirty_ring)
        return 0;
    slot->log = calloc((slot_pages(k, slot) + 63) / 64, sizeof(*slot->log));
    return slot->log ? 0 : ENOMEM;
}

void kvm_log_close(struct slot *slot)
{
    free(slot->log);
    slot->log = NULL;
}

/* ---- bitmaps -------------------------------------------------------------------------------- */

static void pull(struct kvm_memory *k, struct slot *slot)
{
    struct kvm_dirty_log log = {.slot = slot->id, .dirty_bitmap = slot->log};

    if (ioctl(k->vm->vm_fd, KVM_GET_DIRTY_LOG, &log) < 0) /* any page may be dirty */
        ram_dirty_mark(slot->ram, ram_offset(slot), slot->last - slot->first + 1, slot->clients);
    else
        ram_dirty_merge(slot->ram, ram_offset(slot), slot->log, slot_pages(k, slot), slot->clients);
}

/* Write-protects those of the pages first..last that are in the log, and drops them from it. Drops
 * them even if KVM refuses: it reports them again, and clearing them by this log later would lose
 * writes made until then. */
static void clear(struct kvm_memory *k, struct slot *slot, uint64_t first, uint64_t last)
{
    size_t word = first / 64, end = last / 64 + 1;
    uint64_t pages = slot_pages(k, slot);
    struct kvm_clear_dirty_log log = {.slot = slot->id};

    while (word < end && !slot->log[word])
        word++;
    while (end > word && !slot->log[end - 1])
        end--;
    if (word == end)
        return;
    log.first_page = word * 64;
    log.num_pages = (uint32_t)((end * 64 < pages ? end * 64 : pages) - word * 64);
    log.dirty_bitmap = slot->log + word;
    ioctl(k->vm->vm_fd, KVM_CLEAR_DIRTY_LOG, &log);
    memset(slot->log + word, 0, (end - word) * sizeof(*slot->log));
}

/* A global sync: slots know their clients, so sections are not needed. */
static void pull_all(lunik_listener *l)
{
    struct kvm_memory *k = of(l);

    for (size_t i = 0; i < k->slots.count; i++)
        if (k->slots.items[i].clients)
            pull(k, &k->slots.items[i]);
}

static void on_clear(lunik_listener *l, const lunik_section *s)
{
    struct kvm_memory *k = of(l);
    uint64_t last = s->address + (s->size - 1);
    struct slot *slot = kvm_slot_at(k, s->address, last);

    for (; slot && slot < k->slots.items + k->slots.count && slot->first <= last; slot++) {
        uint64_t from = s->address > slot->first ? s->address : slot->first;
        uint64_t to = last < slot->last ? last : slot->last;

        if (slot->clients)
            clear(k, slot, (from - slot->first) / k->page_size, (to - slot->first) / k->page_size);
    }
}

/* ---- rings ---------------------------------------------------------------------------------- */

static void on_entry(void *opaque, uint32_t id, uint64_t page)
{
    struct kvm_memory *k = opaque;
    size_t at = id < k->vm->max_slots ? k->by_id[id] : SIZE_MAX;
    struct slot *slot = at < k->slots.count ? &k->slots.items[at] : NULL;

    if (slot && slot->id == id && page < slot_pages(k, slot))
        ram_dirty_mark(slot->ram, ram_offset(slot) + page * k->page_size, k->page_size,
                       slot->clients);
}

bool kvm_rings_empty(lunik_machine *m)
{
    struct kvm_memory *k = m->kvm->memory;
    uint64_t count;

    for (size_t i = 0; i < k->slots.count; i++)
        k->by_id[k->slots.items[i].id] = (uint32_t)i;
    count = vcpus_take_dirty(m, on_entry, k);
    return ioctl(k->vm->vm_fd, KVM_RESET_DIRTY_RINGS, 0) > 0 || count;
}

/* Holds the vCPUs, as one in the guest may have entries that KVM has not put into its ring yet. */
static void empty_rings(lunik_listener *l)
{
    vcpus_hold(l->machine);
    kvm_rings_empty(l->machine);
    vcpus_release(l->machine);
}

void kvm_log_pull_dels(struct kvm_memory *k)
{
    if (k->vm->dirty_ring) {
        kvm_rings_empty(k->listener.machine);
        return;
    }
    for (size_t i = 0; i < k->dels.count; i++) {
        struct slot *slot = kvm_slot_at(k, k->dels.items[i].first, k->dels.items[i].first);

        if (slot && slot->clients)
            pull(k, slot);
    }
}

/* ---- start and stop ------------------------------------------------------------------------- */

/* Moves what is logged so far to the present clients of the slot. */
static void settle(struct kvm_memory *k, struct slot *slot)
{
    if (k->vm->dirty_ring) {
        if (!k->rings_pulled)
            empty_rings(&k->listener);
        k->rings_pulled = true;
    } else if (slot->clients) {
        pull(k, slot);
        if (k->vm->dirty_manual)
            clear(k, slot, 0, slot_pages(k, slot) - 1);
    }
}

/* Sets the clients of a slot that KVM lacks: it is logged from the time it is created again. */
static void set_missing(struct kvm_memory *k, const lunik_section *s, unsigned now)
{
    struct slot *slot = kvm_missing_slot_of(k, s);

    if (slot && !(slot->flags & KVM_MEM_READONLY))
        slot->clients = now;
}

static void on_start(lunik_listener *l, const lunik_section *s, unsigned old, unsigned now)
{
    struct kvm_memory *k = of(l);
    struct slot *slot = kvm_slot_of(k, s);
    bool logged = slot && slot->clients;
    int sys;

    set_missing(k, s, now);
    if (!slot || slot->flags & KVM_MEM_READONLY)
        return;
    settle(k, slot);
    slot->clients = now;
    if (logged)
        return;
    sys = kvm_log_open(k, slot);
    if (!sys)
        sys = kvm_slot_set(k, slot, slot->last - slot->first + 1);
    if (sys) {
        slot->clients = 0;
        kvm_log_close(slot);
        k->log_error = sys;
    }
}

static void on_stop(lunik_listener *l, const lunik_section *s, unsigned old, unsigned now)
{
    struct kvm_memory *k = of(l);
    struct slot *slot = kvm_slot_of(k, s);

    set_missing(k, s, now);
    if (!slot || !slot->clients)
        return;
    slot->clients = now;
    if (now)
        return;
    kvm_slot_set(k, slot, slot->last - slot->first + 1);
    kvm_log_close(slot);
}

int kvm_dirty_init(struct kvm_memory *k, lunik_error *err)
{
    k->listener.log_start = on_start;
    k->listener.log_stop = on_stop;
    if (!k->vm->dirty_ring) {
        k->listener.log_sync_global = pull_all;
        if (k->vm->dirty_manual)
            k->listener.log_clear = on_clear;
        return 0;
    }
    k->by_id = calloc(k->vm->max_slots, sizeof(*k->by_id));
    if (!k->by_id)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "KVM: out of memory");
    k->listener.log_sync_global = empty_rings;
    return 0;
}
