/*
 * memory.h: the memory core; private to the files of this folder.
 *
 * DESIGN. Regions form an acyclic graph: containers hold children, aliases point to targets. What
 * an address space shows of it is a flat view: sorted, disjoint ranges, each a part of one region.
 *
 * - Ranges are inclusive {first, last}, so that 2^64 bytes need no wider arithmetic. Inside a
 *   region addresses are offsets; `address = base + offset` is taken modulo 2^64, because an
 *   alias may show its target from the middle on.
 * - A change marks a window: the addresses of every flat view that may look different, found by
 *   walking from the region up to the roots. The outermost commit renders these windows only.
 *   Children are found by address in a treap, so rendering a window costs what is in it.
 * - Flat views are immutable: chunks of ranges below one sorted array of keys.
 *   The next view shares all chunks that no window touches. Spaces with the same root share it.
 * - A vCPU or a device's thread finds its range without a lock: views are published with an atomic
 *   store and freed, like regions and spaces, after a grace period (rcu.h). Everything else is
 *   under the machine lock, reference counts too, except those of RAM blocks.
 * - Clients of dirty logging are noted in regions, blocks and the machine (struct log_users), not
 *   in views: starting to log renders nothing. Writes are marked in the block's bitmaps (dirty.c).
 * - A transaction saves the state of each region it touches, before the first change. To undo it,
 *   all of these are restored. It keeps the regions to its end, so that views need not: what the
 *   published view shows is in the graph, or was when the transaction began.
 */
#ifndef RUNTIME_MEMORY_MEMORY_H
#define RUNTIME_MEMORY_MEMORY_H

#include <stdatomic.h>
#include <stdio.h>

#include "lunik_trace.h"
#include "core/changes.h"
#include "core/grow.h"
#include "core/machine.h"
#include "ram/ram.h"
#include "core/rcu.h"
#include "core/span.h"
#include "core/text.h"

enum { MEMORY_MAX_DEPTH = 128 }; /* of containers and aliases on the way to a root */

static inline void count_up(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

int fail_no_memory(lunik_error *err);

/* ---- regions -------------------------------------------------------------------------------- */

struct memory_core;
struct view_root;

/* The part of a region's state that a transaction may change and undo. */
struct region_state {
    lunik_region *parent;
    uint64_t address; /* in the parent */
    uint64_t last;    /* size - 1 */
    uint64_t alias_offset;
    uint64_t seq; /* order of additions: decides among equal priorities */
    int priority;
    bool enabled, readonly, romd, may_overlap;
    struct io_set *io; /* a reference; NULL: none */
};

/* ops with the defaults filled in */
struct access_rules {
    uint8_t valid_min, valid_max, impl_min, impl_max;
    bool valid_unaligned, impl_unaligned, big_endian;
};

struct lunik_region {
    /* constant, or atomic: vCPUs read this without the lock */
    lunik_region_kind kind;
    bool nonvolatile;
    struct access_rules rules;
    const lunik_io_ops *ops;
    void *opaque;
    void (*release)(void *opaque);
    uint8_t *host; /* the RAM at offset 0, NULL without RAM */
    _Atomic uint64_t reads, writes, rejected;
    struct io_set *_Atomic live_io; /* as of the last commit; a reference */

    struct memory_core *core;
    unsigned refs;
    char *name;
    lunik_object *owner;
    LIST_ENTRY(lunik_region) owned; /* by the owner */
    lunik_ram *ram;                 /* a reference, until `gone` */
    _Atomic bool gone;              /* its RAM has been released; no view shows it any more */
    bool orphan;                    /* its owner or the machine is gone: its RAM is released */
    uint64_t ram_offset;
    LIST_ENTRY(lunik_region) backed; /* by RAM: in the core's list */
    lunik_region *target;

    struct region_state s;
    lunik_region *children; /* in any order: see children_first() */
    bool unsorted;          /* they may not be in the order of priority */
    lunik_region *next_child, **child_link;
    lunik_region *tree;         /* the children as a treap by address */
    lunik_region *left, *right; /* in the parent's treap */
    uint64_t subtree_last;      /* the largest last address below this node */
    struct region_list aliases; /* that point here */
    LIST_ENTRY(lunik_region) aliasing;
    struct view_root *view_root; /* of the spaces whose root this is, or NULL */
    struct log_users log;

    struct cause_ref *cause; /* of the last change; a reference */
    bool touched;            /* by the open transaction */
    lunik_region *next_touched;
    struct region_state saved;
    struct rcu_head rcu;
};

/* Reads of these kinds come from RAM (of a ROM_DEVICE: in romd mode). */
static inline bool region_has_ram(const lunik_region *r)
{
    return r->kind == LUNIK_REGION_RAM || r->kind == LUNIK_REGION_ROM ||
           r->kind == LUNIK_REGION_ROM_DEVICE;
}

/* Releases the RAM of an orphan, unless it is in a container or a client logs it. References to the
 * region then keep only the struct. */
void region_settle(lunik_region *r);
int region_fail_gone(const lunik_region *r, lunik_error *err);
/* Fails if size is 0 or more than the region's RAM. */
int region_check_size(const lunik_region *r, uint64_t size, lunik_error *err);
/* Takes the region out of its container r->s.parent, or puts it into that; does nothing if that is
 * NULL. */
void region_detach(lunik_region *r);
void region_attach(lunik_region *r);
/* Marks the offsets `window` of r in every view that shows them. */
void region_mark(lunik_region *r, struct span window);

/* graph.c: hooks for the machine's objects. */
extern const struct region_hooks region_hooks;

/* children.c */
void children_insert(lunik_region *parent, lunik_region *child);
void children_remove(lunik_region *parent, lunik_region *child);
/* Sorts the children by priority, highest first, and returns the first. */
lunik_region *children_first(lunik_region *parent);
/* Changes the address and size of a child, not its rank among the others. */
void children_move(lunik_region *parent, lunik_region *child, uint64_t address, uint64_t last);
/* Calls fn for the children that overlap s, by ascending address, until it returns false. */
bool children_visit(const lunik_region *parent, struct span s,
                    bool (*fn)(void *opaque, lunik_region *child), void *opaque);

/* ---- flat views ----------------------------------------------------------------------------- */

enum {
    RANGE_READONLY = 1,
    RANGE_DIRECT = 2, /* reads come from RAM */
    RANGE_NONVOLATILE = 4,
};

struct flat_range {
    struct span span;
    lunik_region *region;
    uint64_t offset; /* in the region */
    unsigned flags;
};

struct range_list {
    struct flat_range *items;
    size_t count, capacity;
};

/* A range that a region would show if no other region hid it. */
struct leaf {
    struct flat_range range;
    size_t rank; /* the lowest wins */
};

struct leaf_list {
    struct leaf *items;
    size_t count, capacity;
};

/* Buffers of commits, kept from one commit to the next unless they have become large. */
struct scratch {
    struct range_list rendered, pending;
    struct leaf_list leaves; /* of the window being rendered */
    lunik_region **kids;     /* stack of the children being rendered, all levels */
    size_t kid_capacity;
};
void scratch_free(struct scratch *scratch);

/* Appends the ranges that root shows in the window. */
int render_window(lunik_region *root, struct span window, struct range_list *out, lunik_error *err);
int ranges_append(struct range_list *list, const struct flat_range *ranges, size_t count,
                  lunik_error *err);
/* Joins mergeable neighbours among the items from index `from` on. */
void ranges_merge(struct range_list *list, size_t from);
bool range_equal(const struct flat_range *a, const struct flat_range *b);

/* ---- ioeventfds and coalesced ranges -------------------------------------------------------- */

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

struct view_root;
int io_view_prepare(struct view_root *vr, lunik_error *err);
void io_view_publish(struct io_view *v);
void io_view_discard(struct io_view *v);
/* Notify the listeners of removals or additions by the prepared updates; reverse: by their undoing.
 */
void io_tell_dels(struct memory_core *core, bool reverse);
void io_tell_adds(struct memory_core *core, bool reverse);
/* Notifies one listener of everything a space shows, as added or as removed. */
void io_tell_space(lunik_listener *l, lunik_space *s, bool add);

struct view_chunk;

struct flat_view {
    struct rcu_head rcu;
    uint64_t serial;         /* one more than that of the view before it */
    struct view_chunk *dead; /* chunks to free with it */
    size_t count;
    struct {
        uint64_t first;
        struct view_chunk *chunk;
    } top[];
};

struct view_cursor {
    const struct flat_view *view;
    size_t chunk, index;
};

/* Returns the range at the cursor, NULL past the last. */
const struct flat_range *cursor_range(const struct view_cursor *c);
void cursor_next(struct view_cursor *c);
/* Returns a cursor at the first range that does not end before address. */
struct view_cursor view_seek(const struct flat_view *view, uint64_t address);
/* Returns the range that contains address, or NULL. */
const struct flat_range *view_find(const struct flat_view *view, uint64_t address);

struct flat_view *view_new_empty(void);
/* A span in which two successive views differ; no range of either crosses its borders. */
struct view_change {
    struct span span;
    struct view_cursor old, new; /* at the first range in it, or after it, of each view */
    size_t first, end;           /* its new ranges: indexes among the rendered ones */
};
/* Makes the view after old: applies the changes, which are in ascending order and take their ranges
 * from scratch->rendered, and shares the chunks that no change touches. One of the two views has to
 * be retired next. */
int view_make_next(struct flat_view *old, struct scratch *scratch, struct view_change *changes,
                   size_t count, struct flat_view **out, lunik_error *err);
/* Frees a view after a grace period, with those of its chunks that are not in `stays`: the view
 * before or after it, or NULL. */
void view_retire(struct flat_view *view, struct flat_view *stays);

/* view_diff.c: walks the two views of a change in step. */
enum view_diff_kind { DIFF_GONE, DIFF_NEW, DIFF_SAME };
struct view_diff {
    struct view_cursor old, new;
    uint64_t last;
};
/* Starts a walk. reverse: swaps the new view and the old one. */
struct view_diff view_diff_start(const struct view_change *c, bool reverse);
/* Returns the next range of either view, NULL at the end; one that both have comes once. */
const struct flat_range *view_diff_next(struct view_diff *d, enum view_diff_kind *kind);

/* cause.c: causes of changes. */
struct cause_ref;
struct cause_map {
    struct cause_span *items; /* by address, disjoint */
    size_t count, capacity;
};
void cause_unref(struct cause_ref *ref); /* ref may be NULL */
/* Record the calling thread's cause stack. */
void cause_of_transaction(struct memory_core *core);
void cause_of_region(lunik_region *r);
void cause_map_clear(struct cause_map *map);
/* Append one cause, or a cause and the causes that led to it. */
void cause_add(struct text *t, const lunik_cause *c);
void cause_add_chain(struct text *t, const lunik_cause *c);

/* The part of address spaces that those with the same root share. */
struct view_root {
    struct rcu_head rcu;
    struct memory_core *core;
    lunik_region *root;
    struct flat_view *_Atomic view; /* published */
    lunik_space *spaces;
    struct view_root *next;
    bool fresh;           /* made in the open transaction: to be rendered even if that is undone */
    struct span *windows; /* to be rendered */
    size_t window_count, window_capacity;
    struct span all; /* stands in for windows when there is no memory for them */
    bool all_valid;
    /* while a commit is under way */
    struct flat_view *update; /* the next view; NULL: no change */
    struct view_change *changed;
    size_t changed_count, changed_capacity;
    struct cause_map causes;
    struct io_view io;
};

static inline struct flat_view *view_root_current(const struct view_root *vr)
{
    return atomic_load_explicit(&vr->view, memory_order_acquire);
}

void view_root_mark(struct view_root *vr, struct span window);
void view_root_unmark(struct view_root *vr);
static inline bool view_root_marked(const struct view_root *vr)
{
    return vr->window_count || vr->all_valid;
}
/* Renders the marked windows into vr->update and vr->changed. */
int view_root_prepare(struct view_root *vr, lunik_error *err);
/* Records the cause of the prepared update. */
void causes_record(struct view_root *vr);
void view_root_publish(struct view_root *vr);
void view_root_discard(struct view_root *vr);

/* ---- address spaces, listeners, transactions ------------------------------------------------ */

LIST_HEAD(dma_list, lunik_dma);

struct lunik_space {
    struct rcu_head rcu;
    struct memory_core *core;
    char *name;
    struct dma_list dmas;
    struct view_root *vr;
    _Atomic uint64_t rejected, unassigned;
    lunik_space *next_same; /* with the same root */
    lunik_space *next;      /* in order of creation */
};

struct log_tracker;
struct mapping;
enum { MAPPING_BUCKETS = 256 };

/* Hooks of the accelerator that follows the memory map. Lock held. */
struct memory_hooks {
    /* Delivers the coalesced writes made so far. m: NULL once it is closed. */
    void (*flush)(lunik_machine *m);
    /* Retries rolling back changes that the accelerator refused to undo. */
    int (*repair)(lunik_machine *m, lunik_error *err);
    /* Whether it has a memory slot for exactly these addresses. */
    bool (*has_slot)(const lunik_machine *m, uint64_t first, uint64_t last);
};

/* What a listener has been notified of in a round of calls, and how long its hooks took. */
struct listener_tally {
    uint64_t added, removed, ns;
};

struct memory_core {
    struct rcu_head rcu;
    unsigned refs;          /* regions keep the struct */
    lunik_machine *machine; /* NULL once it is closed */
    lunik_runtime *rt;
    const struct memory_hooks *hooks; /* NULL: there is no accelerator */
    uint64_t seq;
    struct view_root *roots;
    lunik_space *spaces;
    struct region_list with_ram;

    struct transaction open; /* the part that folders below use: changes.h */
    bool doomed;             /* an inner transaction was aborted */
    bool too_deep;           /* a change was beyond MEMORY_MAX_DEPTH */
    unsigned told;           /* transactions opened by listeners, in which nothing can be changed */
    bool refused;            /* a change in one of them was refused */
    lunik_region *touched;
    struct cause_ref *cause, *last_cause; /* of the open transaction; the last one taken */

    struct log_users log;       /* clients that log the whole machine */
    struct log_tracker *logged; /* dirty_blocks.c; NULL while no client logs anything */

    lunik_listener **listeners; /* ascending priority; NULL: removed while they are called */
    size_t listener_count, listener_capacity;
    struct listener_tally
        *tallies; /* for each listener, of the round of calls under way; listener.c */
    size_t tally_capacity;
    bool tallying; /* the round is traced */
    bool undoing;  /* it takes back the one before it */

    unsigned nesting; /* callbacks of locked devices under way */
    struct lunik_sub_list reject_subs;
    bool telling; /* reject_subs are being called */
    struct mapping *mappings[MAPPING_BUCKETS];
    size_t bounce_bytes;
    size_t io_sets; /* number of io_set structs that exist */
    struct scratch scratch;
};

void core_unref(struct memory_core *core);
/* Makes the accelerator deliver the coalesced writes made so far. */
static inline void core_flush(const struct memory_core *core)
{
    if (core->hooks)
        core->hooks->flush(core->machine);
}
/* Fails if the machine is closed or listeners are being called. */
int core_check(struct memory_core *core, lunik_error *err);

void transaction_begin(struct memory_core *core);
int transaction_commit(struct memory_core *core, lunik_error *err);
/* Saves r's state for an undo; called before each change. */
void transaction_touch(lunik_region *r);

/* Notifies the listeners of every prepared update; if one refuses, notifies them of the reverse and
 * fails. forced: refusals are ignored. */
int listeners_update(struct memory_core *core, bool forced, lunik_error *err);
/* Notify the listeners of a whole space that is added or removed. If one refuses an added space,
 * the caller removes it again. */
int listeners_add_space(lunik_space *s, lunik_error *err);
void listeners_del_space(lunik_space *s);

/* Calls tell(opaque), which calls the listeners, and ends the round of calls; tell may be NULL. */
void listeners_call(struct memory_core *core, void (*tell)(void *opaque), void *opaque);
/* The same between their begin and commit hooks. */
int listeners_call_commit(struct memory_core *core, void (*tell)(void *opaque), void *opaque,
                          bool must_succeed, lunik_error *err);

lunik_section section_of(lunik_space *s, const struct flat_range *r);

/* True if l follows s. l may be NULL. */
bool listens(const lunik_listener *l, const lunik_space *s);

/* dma.c: what reaches a space without the machine lock finds it gone from now on. */
void dmas_detach(lunik_space *s);

/* Whether the range is RAM for such an access. */
static inline bool range_is_ram(const struct flat_range *range, bool write)
{
    if (!(range->flags & RANGE_DIRECT))
        return false;
    return !write ||
           (!(range->flags & RANGE_READONLY) && range->region->kind != LUNIK_REGION_ROM_DEVICE);
}
/* An access to the RAM of a region. Any thread, inside an RCU read section. */
void region_copy(lunik_region *r, uint64_t offset, void *data, uint64_t size, bool write);

/* Carries out a write that a vCPU made to address before r was removed. */
void region_write_late(lunik_space *s, uint64_t address, lunik_region *r, uint64_t offset,
                       const uint8_t *data, unsigned size);

/* access_step.c: begins the step of an access to a device, whose cause frame is c, if a subscriber
 * wants it; ends it: data is what was read, NULL for a write. Lock held. */
void access_step_begin(lunik_span *span, const lunik_region *r, uint64_t offset,
                       const lunik_cause *c);
void access_step_end(lunik_span *span, const void *data, unsigned size);

/* reject.c: returns the result of an access that is rejected for that reason. */
lunik_access reject_result(lunik_reject why);
/* Counts a rejected access; r NULL: no region is there. Returns true if there are subscribers. */
bool reject_count(lunik_space *s, lunik_region *r);
/* Calls the subscribers. The caller holds a reference to the region, or is in an RCU read section.
 */
void reject_notify(const lunik_rejection *r);
/* True on a thread that is calling these subscribers. */
bool rejections_called_here(const lunik_machine *m);

/* ---- dirty logging (dirty_log.h) ------------------------------------------------------------ */

/* Returns the clients that log writes to r; for them its RAM has bitmaps. */
static inline unsigned region_log_mask(const lunik_region *r)
{
    if (!r->ram)
        return 0;
    return atomic_load_explicit(&r->log.mask, memory_order_acquire) |
           atomic_load_explicit(&r->ram->log.mask, memory_order_acquire) |
           atomic_load_explicit(&r->core->log.mask, memory_order_acquire);
}

/* To be called after an access to a region's RAM: reports if a part of it turned out to be lost. */
void region_check_damage(lunik_region *r);
/* The same for a block that the core's machine uses. */
void core_check_damage(struct memory_core *core, lunik_ram *ram);

/* To be called after a write to a region's RAM. The fence is for a client that starts to log at
 * that moment: either the client sees the write, or this thread sees the mask. */
static inline void region_written(lunik_region *r, uint64_t offset, uint64_t size)
{
    unsigned mask;

#ifndef RUNTIME_TSAN /* ThreadSanitizer does not model fences */
    atomic_thread_fence(memory_order_seq_cst);
#endif
    mask = region_log_mask(r);
    if (mask)
        ram_dirty_mark(r->ram, r->ram_offset + offset, size, mask);
}

/* Notify a listener that is added or removed, if the whole machine is logged. */
int log_greet(struct memory_core *core, lunik_listener *l, lunik_error *err);
void log_dismiss(struct memory_core *core, lunik_listener *l);

/* Ends all logging. */
void log_fini(struct memory_core *core);

/* ---- what machine/ and kvm/ call ------------------------------------------------------------ */

/* Sets up m->memory, m->memory_space ("memory", root "system") and m->io_space
 * ("I/O", root "io"). */
int memory_init(lunik_machine *m, lunik_error *err);
/* Ends open transactions and dirty logs: the map does not change any more. Before memory_fini(). */
void memory_end(lunik_machine *m);
void memory_fini(lunik_machine *m);

/* Carries out a vCPU's access, on its own thread, without the machine lock, inside an RCU read
 * section. Takes the lock around a device that needs it. data is little-endian as in the kvm_run
 * page. size is 1..8 bytes for MMIO, 1, 2 or 4 for ports. */
lunik_access space_vcpu_access(lunik_space *s, uint64_t address, void *data, unsigned size,
                               bool write);

#endif
