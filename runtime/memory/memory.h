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
#include "view.h"

enum { MEMORY_MAX_DEPTH = 128 }; /* of containers and aliases on the way to a root */

static inline void count_up(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

int fail_no_memory(lunik_error *err);

/* ---- regions -------------------------------------------------------------------------------- */

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

/* The sections that a listener was notified of in a round of calls, and the time its hooks took. */
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
    unsigned in_hooks;       /* transactions opened in listeners' hooks: nothing can be changed */
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
    bool reporting; /* reject_subs are being called */
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

/* Calls notify(opaque), which calls the listeners, and ends the round of calls; notify may be NULL.
 */
void listeners_call(struct memory_core *core, void (*notify)(void *opaque), void *opaque);
/* The same between their begin and commit hooks. */
int listeners_call_commit(struct memory_core *core, void (*notify)(void *opaque), void *opaque,
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
