/*
 * kvm_io.c: the listener that makes KVM's ioeventfds and coalesced zones follow the two spaces that
 * the guest sees.
 *
 * Removed and added entries are collected and applied at commit. Missing kernel features are not an
 * error: such writes then exit to user space, and dispatch does what KVM would have done.
 */
#include <errno.h>
#include <inttypes.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "kvm_io.h"
#include "memory/memory.h"

/* ---- lists ---------------------------------------------------------------------------------- */

static int compare_entries(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    const uint64_t keys[][2] = {
        {x->address, y->address},
        {x->size, y->size},
        {x->data, y->data},
        {x->offset, y->offset},
        {(uintptr_t)x->region, (uintptr_t)y->region},
        {(uint64_t)x->fd, (uint64_t)y->fd},
        {x->match, y->match},
        {x->port, y->port},
    };

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (keys[i][0] != keys[i][1])
            return keys[i][0] < keys[i][1] ? -1 : 1;
    return 0;
}

static bool list_reserve(struct entry_list *l, size_t need)
{
    return grow((void **)&l->items, &l->capacity, need, sizeof(*l->items));
}

/* Returns the index of the first entry that does not sort before e. */
static size_t list_find(const struct entry_list *l, const struct entry *e)
{
    size_t low = 0, high = l->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (compare_entries(&l->items[middle], e) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_present(const struct kvm_io *k, const struct entry *e)
{
    size_t at = list_find(&k->present, e);

    return at < k->present.count && !compare_entries(&k->present.items[at], e);
}

static void note_present(struct kvm_io *k, const struct entry *e, bool present)
{
    struct entry_list *l = &k->present;
    size_t at = list_find(l, e);

    if (present) {
        memmove(&l->items[at + 1], &l->items[at], (l->count - at) * sizeof(*e));
        l->items[at] = *e;
        l->count++;
    } else {
        l->count--;
        memmove(&l->items[at], &l->items[at + 1], (l->count - at) * sizeof(*e));
    }
}

/* ---- KVM ------------------------------------------------------------------------------------ */

static int set_eventfd(const struct kvm_io *k, const struct entry *e, bool on)
{
    struct kvm_ioeventfd event = {
        .addr = e->address, .len = (uint32_t)e->size, .fd = e->fd, .datamatch = e->data};

    if (e->match)
        event.flags |= KVM_IOEVENTFD_FLAG_DATAMATCH;
    if (e->port)
        event.flags |= KVM_IOEVENTFD_FLAG_PIO;
    if (!on)
        event.flags |= KVM_IOEVENTFD_FLAG_DEASSIGN;
    return ioctl(k->vm->vm_fd, KVM_IOEVENTFD, &event) < 0 ? errno : 0;
}

static int set_zone(const struct kvm_io *k, const struct entry *e, bool on)
{
    struct kvm_coalesced_mmio_zone zone = {
        .addr = e->address, .size = (uint32_t)e->size, .pio = e->port};
    unsigned long request = on ? KVM_REGISTER_COALESCED_MMIO : KVM_UNREGISTER_COALESCED_MMIO;

    return ioctl(k->vm->vm_fd, request, &zone) < 0 ? errno : 0;
}

static int set_entry(struct kvm_io *k, const struct entry *e, bool on, lunik_error *err)
{
    int sys = e->fd < 0 ? set_zone(k, e, on) : set_eventfd(k, e, on);

    if (!sys) {
        note_present(k, e, on);
        return 0;
    }
    return lunik_fail_errno(
        err, sys,
        "KVM: memory region '%s': %s of 0x%" PRIx64 " bytes at %s0x%" PRIx64 " can't be %s",
        lunik_region_name(e->region), e->fd < 0 ? "a coalesced range" : "an ioeventfd", e->size,
        e->port ? "port " : "", e->address, on ? "set" : "taken back");
}

/* Removes and adds entries; undoes what was done if KVM refuses one. `present` has room. */
static int apply(struct kvm_io *k, lunik_error *err)
{
    size_t dels = 0, adds = 0;
    int rc = 0;

    while (!rc && dels < k->dels.count)
        if (!(rc = set_entry(k, &k->dels.items[dels], false, err)))
            dels++;
    while (!rc && adds < k->adds.count)
        if (!(rc = set_entry(k, &k->adds.items[adds], true, err)))
            adds++;
    if (!rc)
        return 0;
    while (adds)
        set_entry(k, &k->adds.items[--adds], false, NULL);
    while (dels)
        set_entry(k, &k->dels.items[--dels], true, NULL);
    return rc;
}

/* ---- collecting ----------------------------------------------------------------------------- */

static bool kernel_can(const struct kvm_io *k, const struct entry *e)
{
    if (e->fd < 0)
        return k->zones && (!e->port || k->port_zones);
    return k->eventfds && (e->size || k->any_size);
}

static void collect(struct kvm_io *k, struct entry_list *list, const lunik_section *s,
                    struct entry e)
{
    const lunik_machine *m = k->listener.machine;

    if (s->space != m->memory_space && s->space != m->io_space)
        return;
    e.port = s->space == m->io_space;
    e.address = s->address;
    e.region = s->region;
    e.offset = s->offset;
    if (!kernel_can(k, &e))
        return;
    if (list_reserve(list, list->count + 1))
        list->items[list->count++] = e;
    else
        k->lost = true;
}

static void on_eventfd_add(lunik_listener *l, const lunik_section *s, bool match, uint64_t data,
                           int fd)
{
    struct kvm_io *k = lunik_container_of(l, struct kvm_io, listener);

    collect(k, &k->adds, s,
            (struct entry){.size = s->size, .match = match, .data = data, .fd = fd});
}

static void on_eventfd_del(lunik_listener *l, const lunik_section *s, bool match, uint64_t data,
                           int fd)
{
    struct kvm_io *k = lunik_container_of(l, struct kvm_io, listener);

    collect(k, &k->dels, s,
            (struct entry){.size = s->size, .match = match, .data = data, .fd = fd});
}

/* KVM's zones are smaller than 2 GiB; writes to the rest of a larger one exit. */
static struct entry zone_entry(uint64_t size)
{
    return (struct entry){.size = size < INT32_MAX ? size : INT32_MAX, .fd = -1};
}

static void on_coalesced_add(lunik_listener *l, const lunik_section *s, uint64_t address,
                             uint64_t size)
{
    struct kvm_io *k = lunik_container_of(l, struct kvm_io, listener);

    collect(k, &k->adds, s, zone_entry(size));
}

static void on_coalesced_del(lunik_listener *l, const lunik_section *s, uint64_t address,
                             uint64_t size)
{
    struct kvm_io *k = lunik_container_of(l, struct kvm_io, listener);

    collect(k, &k->dels, s, zone_entry(size));
}

static void sort_entries(struct entry_list *l)
{
    if (l->count > 1)
        qsort(l->items, l->count, sizeof(l->items[0]), compare_entries);
}

/* Drops entries that are removed and added again unchanged. Sorts both lists. */
static void cancel_pairs(struct kvm_io *k)
{
    struct entry_list *d = &k->dels, *a = &k->adds;
    size_t di = 0, ai = 0, dk = 0, ak = 0;

    sort_entries(d);
    sort_entries(a);
    while (di < d->count || ai < a->count) {
        int order = di == d->count   ? 1
                    : ai == a->count ? -1
                                     : compare_entries(&d->items[di], &a->items[ai]);

        if (order < 0) {
            d->items[dk++] = d->items[di++];
        } else if (order > 0) {
            a->items[ak++] = a->items[ai++];
        } else {
            di++;
            ai++;
        }
    }
    d->count = dk;
    a->count = ak;
}

/* Drops entries whose presence in KVM is as wanted already: they undo changes that could not be
 * collected. */
static void drop_done(const struct kvm_io *k, struct entry_list *l, bool present)
{
    size_t kept = 0;

    for (size_t i = 0; i < l->count; i++)
        if (is_present(k, &l->items[i]) != present)
            l->items[kept++] = l->items[i];
    l->count = kept;
}

/* ---- commit --------------------------------------------------------------------------------- */

static bool has_zones(const struct entry_list *l)
{
    bool found = false;

    for (size_t i = 0; i < l->count; i++)
        found = found || l->items[i].fd < 0;
    return found;
}

static int on_commit(lunik_listener *l, lunik_error *err)
{
    struct kvm_io *k = lunik_container_of(l, struct kvm_io, listener);
    bool lost = k->lost;
    int rc;

    k->lost = false;
    if (k->ended)
        return 0;
    if (!k->dels.count && !k->adds.count && !lost)
        return 0;
    cancel_pairs(k);
    drop_done(k, &k->dels, false);
    drop_done(k, &k->adds, true);
    if (lost || !list_reserve(&k->present, k->present.count + k->adds.count))
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "KVM: out of memory");
    rc = apply(k, err);
    if (has_zones(&k->dels))
        kvm_io_set_aside(k);
    if (rc)
        return rc;
    k->dels.count = k->adds.count = 0;
    return 0;
}

/* ---- life cycle ----------------------------------------------------------------------------- */

static void find_out(struct kvm_io *k)
{
    int dev = k->vm->dev_fd, page = ioctl(dev, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_MMIO);
    size_t page_size = (size_t)sysconf(_SC_PAGESIZE);

    k->eventfds = ioctl(dev, KVM_CHECK_EXTENSION, KVM_CAP_IOEVENTFD) > 0;
    k->any_size = ioctl(dev, KVM_CHECK_EXTENSION, KVM_CAP_IOEVENTFD_ANY_LENGTH) > 0;
    k->zones = page > 0 && ((size_t)page + 1) * page_size <= (size_t)k->vm->vcpu_map_size;
    k->port_zones = k->zones && ioctl(dev, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_PIO) > 0;
    k->ring_page = k->zones ? (size_t)page * page_size : 0;
    k->ring_size = (uint32_t)((page_size - sizeof(*k->ring)) / sizeof(struct kvm_coalesced_mmio));
}

static void free_all(struct kvm_io *k)
{
    kvm_io_drop_late(k);
    free(k->present.items);
    free(k->dels.items);
    free(k->adds.items);
    free(k);
}

int kvm_io_init(lunik_machine *m, lunik_error *err)
{
    struct kvm_io *k = calloc(1, sizeof(*k));
    int rc;

    if (!k)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "KVM: out of memory");
    k->vm = m->kvm;
    find_out(k);
    k->late = calloc(k->ring_size, sizeof(*k->late));
    if (!k->late) {
        free_all(k);
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "KVM: out of memory");
    }
    k->listener = (lunik_listener){.name = "kvm-io",
                                   .priority = 10,
                                   .eventfd_add = on_eventfd_add,
                                   .eventfd_del = on_eventfd_del,
                                   .coalesced_add = on_coalesced_add,
                                   .coalesced_del = on_coalesced_del,
                                   .commit = on_commit};
    rc = lunik_listener_add(m, &k->listener, err);
    if (rc)
        free_all(k);
    else
        m->kvm->io = k;
    return rc;
}

void kvm_io_fini(lunik_machine *m)
{
    struct kvm_io *k = m->kvm->io;

    if (!k)
        return;
    k->ended = true;
    lunik_listener_del(&k->listener);
    m->kvm->io = NULL;
    free_all(k);
}
