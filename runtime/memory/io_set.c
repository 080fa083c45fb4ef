/*
 * io_set.c: the ioeventfds and coalesced ranges of a region.
 *
 * They are an immutable set, which is part of the region's state, so that transactions undo
 * changes. Every change makes a new set. Dispatch, without the lock, sees the set of the last
 * commit.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/misuse.h"
#include "memory.h"

/* ---- sets ----------------------------------------------------------------------------------- */

/* A duplicate of an eventfd, shared by all sets that contain it. */
struct event_ref {
    unsigned refs;
    int fd;
    int source; /* the original descriptor; may be closed by now */
    struct rcu_head rcu;
};

static void event_close(struct rcu_head *head)
{
    struct event_ref *ref = lunik_container_of(head, struct event_ref, rcu);

    rcu_note_reclaim();
    close(ref->fd);
    free(ref);
}

static void event_unref(struct event_ref *ref)
{
    if (!--ref->refs)
        rcu_defer(&ref->rcu, event_close);
}

static void set_free(struct rcu_head *head)
{
    rcu_note_reclaim();
    free(lunik_container_of(head, struct io_set, rcu));
}

void io_set_ref(struct io_set *set)
{
    if (set)
        set->refs++;
}

void io_set_unref(struct io_set *set)
{
    if (!set || --set->refs)
        return;
    for (size_t i = 0; i < set->event_count; i++)
        event_unref(set->events[i].ref);
    set->core->io_sets--;
    rcu_defer(&set->rcu, set_free);
}

int io_event_fd(const struct io_event *e)
{
    return e->ref->fd;
}

size_t io_set_find(const struct io_set *set, uint64_t offset)
{
    size_t low = 0, high = set->event_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (set->events[middle].offset < offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Makes an empty set with room for events and ranges. */
static struct io_set *set_new(struct memory_core *core, size_t events, size_t ranges)
{
    size_t zones = ranges + events; /* each event cuts one in two */
    struct io_set *set = malloc(sizeof(*set) + events * sizeof(*set->events) +
                                (ranges + zones) * sizeof(struct span));

    if (!set)
        return NULL;
    *set = (struct io_set){.core = core, .refs = 1};
    set->events = (struct io_event *)(set + 1);
    set->ranges = (struct span *)(set->events + events);
    set->zones = set->ranges + ranges;
    core->io_sets++;
    return set;
}

static void put_event(struct io_set *set, const struct io_event *e)
{
    e->ref->refs++;
    set->events[set->event_count++] = *e;
}

/* Adds a range, joining it with those that it overlaps or adjoins. Called in ascending order. */
static void put_range(struct io_set *set, struct span range)
{
    size_t count = set->range_count;

    if (!count || range.first > add_saturated(set->ranges[count - 1].last, 1))
        set->ranges[set->range_count++] = range;
    else if (range.last > set->ranges[count - 1].last)
        set->ranges[count - 1].last = range.last;
}

/* Makes zones: the ranges without the registers of events, as a coalesced write signals no event.
 */
static void cut_zones(struct io_set *set)
{
    for (size_t i = 0; i < set->range_count; i++) {
        struct span range = set->ranges[i];
        uint64_t first = range.first;
        bool more = true;

        for (size_t e = io_set_find(set, first > 7 ? first - 7 : 0);
             more && e < set->event_count && set->events[e].offset <= range.last; e++) {
            uint64_t last = io_event_last(&set->events[e]);

            if (last < first)
                continue;
            if (set->events[e].offset > first)
                set->zones[set->zone_count++] = (struct span){first, set->events[e].offset - 1};
            more = last < range.last;
            first = last + 1;
        }
        if (more)
            set->zones[set->zone_count++] = (struct span){first, range.last};
    }
}

/* The difference between a new set and the old one. */
struct edit {
    const struct io_event *add, *del;
    const struct span *coalesce;
    bool uncoalesce;
};

static struct io_set *set_edit(struct memory_core *core, const struct io_set *old,
                               const struct edit *edit)
{
    static const struct io_set none;
    const struct io_event *add = edit->add;
    const struct span *more = edit->coalesce;
    struct io_set *set;

    old = old ? old : &none;
    set = set_new(core, old->event_count + 1, old->range_count + 1);
    if (!set)
        return NULL;
    for (size_t i = 0; i < old->event_count; i++) {
        if (add && add->offset < old->events[i].offset) {
            put_event(set, add);
            add = NULL;
        }
        if (&old->events[i] != edit->del)
            put_event(set, &old->events[i]);
    }
    if (add)
        put_event(set, add);
    for (size_t i = 0; i < old->range_count && !edit->uncoalesce; i++) {
        if (more && more->first < old->ranges[i].first) {
            put_range(set, *more);
            more = NULL;
        }
        put_range(set, old->ranges[i]);
    }
    if (more)
        put_range(set, *more);
    cut_zones(set);
    return set;
}

/* ---- changing a region's set ---------------------------------------------------------------- */

/* Widens s to the coalesced ranges of the set: any of them may change with the events in s. */
static struct span hull(struct span s, const struct io_set *set)
{
    size_t count = set ? set->range_count : 0;

    if (count && set->ranges[0].first < s.first)
        s.first = set->ranges[0].first;
    if (count && set->ranges[count - 1].last > s.last)
        s.last = set->ranges[count - 1].last;
    return s;
}

/* Gives r a new set. window: where the two differ, not counting coalesced ranges. */
static int change_set(lunik_region *r, const struct edit *edit, struct span window,
                      lunik_error *err)
{
    struct io_set *set;
    int rc = core_check(r->core, err);

    if (rc)
        return rc;
    set = set_edit(r->core, r->s.io, edit);
    if (!set)
        return fail_no_memory(err);
    window = hull(window, r->s.io);
    transaction_begin(r->core);
    transaction_touch(r);
    io_set_unref(r->s.io);
    r->s.io = set;
    if (!set->event_count && !set->range_count) {
        io_set_unref(set);
        r->s.io = NULL;
    }
    region_mark(r, window);
    return transaction_commit(r->core, err);
}

void io_publish(struct memory_core *core)
{
    for (lunik_region *r = core->touched; r; r = r->next_touched) {
        struct io_set *old = atomic_load_explicit(&r->live_io, memory_order_relaxed);

        if (old == r->s.io)
            continue;
        io_set_ref(r->s.io);
        atomic_store_explicit(&r->live_io, r->s.io, memory_order_release);
        io_set_unref(old);
    }
}

/* ---- ioeventfds ----------------------------------------------------------------------------- */

static int fail_event(const lunik_region *r, uint64_t offset, const char *what, lunik_error *err)
{
    return lunik_fail(err, LUNIK_E_INVALID, "memory region '%s': ioeventfd at 0x%" PRIx64 ": %s",
                      r->name, offset, what);
}

static int check_kind(const lunik_region *r, const char *what, lunik_error *err)
{
    bool kind_ok = r->kind == LUNIK_REGION_IO || r->kind == LUNIK_REGION_ROM ||
                   r->kind == LUNIK_REGION_ROM_DEVICE;

    if (kind_ok && r->ops)
        return 0;
    return lunik_fail(err, LUNIK_E_INVALID,
                      "memory region '%s': %s: it has no write callback (want an IO region, ROM or "
                      "ROM device with callbacks)",
                      r->name, what);
}

static int check_register(const lunik_region *r, uint64_t offset, unsigned size, lunik_error *err)
{
    uint64_t more = size ? size - 1 : 0;

    if (size > 8 || (size & (size - 1)))
        return lunik_fail(err, LUNIK_E_INVALID,
                          "memory region '%s': ioeventfd at 0x%" PRIx64 ": size: '%u' is not an "
                          "access size (want 1, 2, 4 or 8, or 0 for all of them)",
                          r->name, offset, size);
    if (offset > r->s.last || more > r->s.last - offset)
        return fail_event(r, offset, "it is beyond the region's end", err);
    return 0;
}

/* Converts a value in the device's byte order to the number that the guest writes. */
static uint64_t bus_data(const lunik_region *r, unsigned size, uint64_t data)
{
    bool swap = r->rules.big_endian && size && size <= 8;

    return swap ? __builtin_bswap64(data) >> (64 - 8 * size) : data;
}

static int make_event(const lunik_region *r, struct io_event *e, uint64_t data, lunik_error *err)
{
    int rc = check_kind(r, "ioeventfd", err);

    if (!rc)
        rc = check_register(r, e->offset, e->size, err);
    if (rc || !e->match)
        return rc;
    if (!e->size)
        return fail_event(r, e->offset, "match: it needs a size (want 1, 2, 4 or 8)", err);
    if (e->size < 8 && data >> (8 * e->size))
        return lunik_fail(err, LUNIK_E_INVALID,
                          "memory region '%s': ioeventfd at 0x%" PRIx64 ": data: '0x%" PRIx64
                          "' does not fit into %u bytes",
                          r->name, e->offset, data, e->size);
    e->data = bus_data(r, e->size, data);
    return 0;
}

/* True if a write could signal both. */
static bool collide(const struct io_event *a, const struct io_event *b)
{
    if (a->offset != b->offset)
        return false;
    if (!a->size || !b->size)
        return true;
    return a->size == b->size && (!a->match || !b->match || a->data == b->data);
}

static const struct io_event *find_event(const struct io_set *set, const struct io_event *like,
                                         bool exactly)
{
    for (size_t i = set ? io_set_find(set, like->offset) : 0;
         set && i < set->event_count && set->events[i].offset == like->offset; i++) {
        const struct io_event *e = &set->events[i];

        if (exactly ? e->size == like->size && e->match == like->match && e->data == like->data
                    : collide(e, like))
            return e;
    }
    return NULL;
}

/* Whether fd is an eventfd: io_signal() writes to it, and KVM accepts no other kind. */
static bool is_eventfd(int fd)
{
    char path[32], target[64] = "";

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (readlink(path, target, sizeof(target) - 1) < 0)
        return errno != ENOENT || access("/proc/self", F_OK) != 0; /* no /proc: assume it is */
    return strcmp(target, "anon_inode:[eventfd]") == 0;
}

static int copy_fd(int fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

    return copy < 0 && rcu_shortage_over(errno) ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : copy;
}

static int open_event(const lunik_region *r, struct io_event *e, int fd, lunik_error *err)
{
    if (fd < 0 || !is_eventfd(fd))
        return lunik_fail(err, LUNIK_E_INVALID,
                          "memory region '%s': ioeventfd at 0x%" PRIx64 ": fd: '%d' is not an "
                          "eventfd",
                          r->name, e->offset, fd);
    e->ref = malloc(sizeof(*e->ref));
    if (!e->ref)
        return fail_no_memory(err);
    *e->ref = (struct event_ref){.refs = 1, .fd = copy_fd(fd), .source = fd};
    if (e->ref->fd < 0) {
        int sys = errno;

        free(e->ref);
        e->ref = NULL;
        return lunik_fail_errno(err, sys, "memory region '%s': ioeventfd at 0x%" PRIx64, r->name,
                                e->offset);
    }
    return 0;
}

int lunik_region_add_eventfd(lunik_region *r, uint64_t offset, unsigned size, bool match,
                             uint64_t data, int fd, lunik_error *err)
{
    NOT_NULL_OR_FAIL(r, err);

    struct io_event e = {.offset = offset, .size = size, .match = match};
    int rc = make_event(r, &e, data, err);

    if (rc)
        return rc;
    if (find_event(r->s.io, &e, false))
        return lunik_fail(err, LUNIK_E_EXISTS,
                          "memory region '%s': ioeventfd at 0x%" PRIx64 ": another one there takes "
                          "some of its writes",
                          r->name, offset);
    rc = open_event(r, &e, fd, err);
    if (!e.ref)
        return rc;
    rc = change_set(r, &(struct edit){.add = &e}, (struct span){offset, io_event_last(&e)}, err);
    event_unref(e.ref);
    return rc;
}

int io_del_event(lunik_region *r, uint64_t offset, unsigned size, bool match, uint64_t data,
                 int source, lunik_error *err)
{
    struct io_event e = {.offset = offset, .size = size, .match = match};
    const struct io_event *found;

    if (match)
        e.data = bus_data(r, size, data);
    found = find_event(r->s.io, &e, true);
    if (!found || (source >= 0 && found->ref->source != source))
        return lunik_fail(err, LUNIK_E_NOT_FOUND,
                          "memory region '%s': there is no such ioeventfd at 0x%" PRIx64, r->name,
                          offset);
    return change_set(r, &(struct edit){.del = found}, (struct span){offset, io_event_last(&e)},
                      err);
}

int lunik_region_del_eventfd(lunik_region *r, uint64_t offset, unsigned size, bool match,
                             uint64_t data, lunik_error *err)
{
    NOT_NULL_OR_FAIL(r, err);

    return io_del_event(r, offset, size, match, data, -1, err);
}

bool io_signal(lunik_region *r, uint64_t offset, const uint8_t *data, unsigned size)
{
    const struct io_set *set = atomic_load_explicit(&r->live_io, memory_order_acquire);
    const uint64_t one = 1;
    uint64_t value = 0;

    if (!set)
        return false;
    memcpy(&value, data, size);
    for (size_t i = io_set_find(set, offset);
         i < set->event_count && set->events[i].offset == offset; i++) {
        const struct io_event *e = &set->events[i];
        ssize_t rc;

        if ((e->size && e->size != size) || (e->match && e->data != value))
            continue;
        do {
            rc = write(e->ref->fd, &one, sizeof(one));
        } while (rc < 0 && errno == EINTR); /* EAGAIN: its counter is full, so it is signalled */
        return true;
    }
    return false;
}

/* ---- coalesced ranges ----------------------------------------------------------------------- */

int lunik_region_coalesce(lunik_region *r, uint64_t offset, uint64_t size, lunik_error *err)
{
    NOT_NULL_OR_FAIL(r, err);

    struct span range = {offset, offset + size_to_last(size)};
    int rc = check_kind(r, "coalesce", err);

    if (rc)
        return rc;
    if (!size || offset > r->s.last || size_to_last(size) > r->s.last - offset)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "memory region '%s': coalesce: '0x%" PRIx64 " bytes at 0x%" PRIx64
                          "' are not in the region (want some of its 0x%" PRIx64 ")",
                          r->name, size, offset, lunik_region_size(r));
    return change_set(r, &(struct edit){.coalesce = &range}, range, err);
}

int lunik_region_uncoalesce(lunik_region *r, lunik_error *err)
{
    NOT_NULL_OR_FAIL(r, err);

    const struct io_set *set = r->s.io;

    if (!set || !set->range_count)
        return core_check(r->core, err);
    return change_set(r, &(struct edit){.uncoalesce = true}, set->ranges[0], err);
}

void lunik_coalesced_flush(lunik_machine *m)
{
    NOT_NULL(m);

    if (m->memory)
        core_flush(m->memory);
}
