/*
 * io.h: ioeventfds and coalesced ranges, of regions and as address spaces show them; private to the
 * files of this folder.
 */
#ifndef RUNTIME_MEMORY_IO_H
#define RUNTIME_MEMORY_IO_H

#include "lunik_memory.h"
#include "core/rcu.h"
#include "core/span.h"

struct event_ref;
struct memory_core;
struct view_root;

/* io_set.c: the set of a region: immutable, replaced as a whole, freed after a grace period. */
struct io_event {
    uint64_t offset, data; /* data: little-endian */
    unsigned size;         /* 0: any */
    bool match;
    struct event_ref *ref;
};

struct io_set {
    struct memory_core *core;
    unsigned refs;
    size_t event_count, range_count, zone_count;
    struct io_event *events; /* by offset */
    struct span *ranges;     /* coalesced: disjoint, by offset */
    struct span *zones;      /* the same without the registers of events */
    struct rcu_head rcu;
};

void io_set_ref(struct io_set *set); /* set may be NULL, here and below */
void io_set_unref(struct io_set *set);
int io_event_fd(const struct io_event *e);
static inline uint64_t io_event_last(const struct io_event *e)
{
    return e->offset + (e->size ? e->size - 1 : 0);
}
/* Returns the index of the first event at or after offset. */
size_t io_set_find(const struct io_set *set, uint64_t offset);
/* lunik_region_del_eventfd() for the event that was made from the descriptor source. */
int io_del_event(lunik_region *r, uint64_t offset, unsigned size, bool match, uint64_t data,
                 int source, lunik_error *err);
/* Makes the sets of all regions that the transaction touched visible to dispatch. */
void io_publish(struct memory_core *core);
/* Signals the eventfd of a write; returns false if there is none. Any thread, inside an RCU read
 * section. */
bool io_signal(lunik_region *r, uint64_t offset, const uint8_t *data, unsigned size);

/* io_view.c: the events and zones that address spaces show. */
struct io_item {
    struct span span; /* addresses */
    lunik_region *region;
    uint64_t offset; /* in the region */
    bool zone;       /* a coalesced zone; the fields below are of eventfds */
    unsigned size;
    bool match;
    uint64_t data;
    int fd;
};

struct io_list {
    struct io_item *items;
    size_t count, capacity;
};

struct io_view {
    struct io_list now;              /* by address */
    struct io_list dels, adds, next; /* while a commit is under way */
    bool changed;
};

int io_view_prepare(struct view_root *vr, lunik_error *err);
void io_view_publish(struct io_view *v);
void io_view_discard(struct io_view *v);
/* Notify the listeners of removals or additions by the prepared updates; reverse: by their undoing.
 */
void io_notify_dels(struct memory_core *core, bool reverse);
void io_notify_adds(struct memory_core *core, bool reverse);
/* Notifies one listener of everything a space shows, as added or as removed. */
void io_notify_space(lunik_listener *l, lunik_space *s, bool add);

#endif
