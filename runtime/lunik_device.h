/*
 * lunik_device.h: what the author of a device or backend needs beside lunik.h.
 *
 * A device is a C struct (its state), a table of properties and a lunik_type that names both and
 * the life-cycle functions. The runtime allocates the state zeroed, fills the properties in,
 * calls realize, and undoes it all in reverse. A device reaches other devices only through link
 * properties and the interfaces at the end of this file.
 *
 * Everything here is called with the machine lock held unless it says otherwise.
 */
#ifndef LUNIK_DEVICE_H
#define LUNIK_DEVICE_H

#include <sys/queue.h>

#include "lunik.h"

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/* Reports a misuse of a function outside the runtime, as its own functions do: the sentence
 * "function: what" goes to the function set with lunik_set_misuse_cb(), or to standard error. Any
 * thread. */
__attribute__((cold)) void lunik_misuse(const char *function, const char *what);

#define lunik_container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

/* ---- types and properties ------------------------------------------------------------------- */

/* How a property is stored in the state struct:
 *   SIZE, UINT   uint64_t          BOOL  bool            INT  int64_t
 *   ENUM         int (index into choices)                STRING  char * (owned by the runtime)
 *   LINK         lunik_object * (NULL if unset)          UINT_LIST  lunik_uint_list           */
typedef enum lunik_prop_kind {
    LUNIK_PROP_SIZE,
    LUNIK_PROP_UINT,
    LUNIK_PROP_INT,
    LUNIK_PROP_BOOL,
    LUNIK_PROP_ENUM,
    LUNIK_PROP_STRING,
    LUNIK_PROP_LINK,
    LUNIK_PROP_UINT_LIST,
} lunik_prop_kind;

typedef struct lunik_uint_list {
    uint64_t *items;
    size_t count;
} lunik_uint_list;

enum {
    LUNIK_PROP_REQUIRED = 1, /* creation fails without it */
    LUNIK_PROP_READONLY = 2, /* can be read, never set from outside */
    LUNIK_PROP_LIVE = 4,     /* may be set after creation; check is called with the new value */
};

struct lunik_prop {
    const char *name;
    lunik_prop_kind kind;
    const char *doc; /* one sentence, with units and range */
    size_t offset;   /* in the state struct */
    unsigned flags;
    uint64_t def; /* default: number, bool or enum index; INT as two's complement */
    const char *def_string;
    /* SIZE, UINT: max 0 = no limit but the field's. INT: as signed, both 0 = no limits. */
    uint64_t min, max;
    const char *const *choices; /* ENUM: NULL-terminated */
    const char *link;           /* LINK: type or interface the target must have */
    /* Optional: computes the value instead of reading the field. */
    void (*get)(lunik_object *o, lunik_value *out);
    /* Optional, LIVE properties: applies a validated new value instead of storing it. */
    int (*set)(lunik_object *o, const lunik_value *value, lunik_error *err);
};

/* An interface a type implements: name and ops table (see the end of this file). */
typedef struct lunik_iface {
    const char *name;
    const void *ops;
} lunik_iface;

enum {
    LUNIK_TYPE_ABSTRACT = 1, /* only a parent for others */
    LUNIK_TYPE_DEVICE = 2,   /* device_add; otherwise object_add */
    LUNIK_TYPE_HOTPLUG = 4,  /* may be added to a running machine */
    LUNIK_TYPE_UNPLUG = 8,   /* may be removed from a running machine */
};

struct lunik_type {
    const char *name;
    const char *parent; /* its properties and interfaces are inherited, its state struct comes
                           first in this type's; functions left NULL are inherited */
    const char *doc;    /* one or two sentences */
    unsigned flags;
    size_t size;               /* bytes of state */
    const lunik_prop *props;   /* ends with name == NULL; may be NULL */
    const lunik_iface *ifaces; /* ends with name == NULL; may be NULL */
    /* Properties are set; acquire resources, map regions. On failure undo what was done. */
    int (*realize)(lunik_object *o, lunik_error *err);
    /* Undo realize. The state is freed later, when no dispatch can be in it any more. */
    void (*unrealize)(lunik_object *o);
    /* Power-on state; called in order of creation before the first start and at every reset. */
    void (*reset)(lunik_object *o);
    /* The machine's vCPUs are about to run (true), or have stopped (false). */
    void (*run_state)(lunik_object *o, bool running);
    /* Starts the removal of a device that others (the guest) must agree to; without it removal is
     * immediate. Completed with lunik_device_ejected() or lunik_device_refused(). */
    int (*unplug_request)(lunik_object *o, lunik_error *err);
    void *data; /* free for whoever made the type */
};

/* The properties of a type, inherited ones first, by index; NULL past the last one. */
const lunik_prop *lunik_type_prop(const lunik_runtime *rt, const lunik_type *type, size_t index);

/* The state struct of an object. */
void *lunik_state(const lunik_object *o);
/* The object of a state struct. */
lunik_object *lunik_state_object(const void *state);
const lunik_type *lunik_object_type(const lunik_object *o);
/* The ops of an interface, or NULL. */
const void *lunik_object_iface(const lunik_object *o, const char *name);

/* Makes `user` one of the users of o, as a link property does: o can't be deleted meanwhile. */
int lunik_object_use(lunik_object *o, lunik_object *user, lunik_error *err);
void lunik_object_unuse(lunik_object *o, lunik_object *user);

/* Declares that `user` is the only user of o until lunik_object_release(); LUNIK_E_BUSY otherwise.
 * Claims keep o from being deleted. Several users share with link properties or
 * lunik_object_use() instead. */
int lunik_object_claim(lunik_object *o, lunik_object *user, lunik_error *err);
void lunik_object_release(lunik_object *o, lunik_object *user);
lunik_object *lunik_object_claimed_by(const lunik_object *o);

/* Reports the outcome of unplug_request. Ejected: the object is unrealized and deleted, event
 * "device-deleted". Refused: event "device-unplug-guest-error" {device, path, source, status}. */
void lunik_device_ejected(lunik_object *o);
void lunik_device_refused(lunik_object *o, uint64_t source, uint64_t status);

/* Ties data of a layer above the runtime (ACPI tables, bindings) to a machine under a static key;
 * release is called when it is replaced or the machine closes. */
int lunik_machine_set_data(lunik_machine *m, const char *key, void *data, void (*release)(void *));
void *lunik_machine_data(const lunik_machine *m, const char *key);
/* The same for what all machines of a runtime share; released when the runtime is freed, after its
 * machines. */
int lunik_runtime_set_data(lunik_runtime *rt, const char *key, void *data, void (*release)(void *));
void *lunik_runtime_data(const lunik_runtime *rt, const char *key);

typedef void lunik_reset_fn(void *opaque);

typedef struct lunik_reset_sub {
    lunik_reset_fn *fn;
    void *opaque;
    lunik_sub_link link;
} lunik_reset_sub;

/* Subscribes to the end of every reset (see "Subscriptions" in lunik.h): devices and boot images
 * are in their power-on state and no vCPU runs yet. Called on the thread that resets the machine.
 * Closing the machine there takes effect soon after. */
void lunik_reset_subscribe(lunik_machine *m, lunik_reset_sub *sub);
void lunik_reset_unsubscribe(lunik_reset_sub *sub);

/* ---- clock, timers, deferred work ----------------------------------------------------------- */

/* Where register models take the time from: the machine's clock, or a test's. */
typedef struct lunik_clock lunik_clock;
struct lunik_clock {
    uint64_t (*now)(lunik_clock *clock); /* ns */
};
static inline uint64_t lunik_clock_read(lunik_clock *clock)
{
    return clock->now(clock);
}
lunik_clock *lunik_machine_clock(lunik_machine *m);

/* Memory is not what the guest should see, for example because there was no memory to follow its
 * registers: pauses the machine and says so (event "error", source "memory"). */
void lunik_machine_map_broken(lunik_machine *m, const lunik_error *why);
/* The guest has asked for a reset, which it can't be refused: if it fails the machine shuts down
 * (reason "reset-failed") and an event "error", source "reset", says why. */
void lunik_machine_guest_reset(lunik_machine *m);

/* A one-shot timer on the machine's clock; fn runs on the loop thread. Embed it. */
typedef struct lunik_timer lunik_timer;
struct lunik_timer {
    void (*fn)(lunik_timer *timer);
    lunik_machine *machine;
    uint64_t deadline; /* ns; UINT64_MAX when idle */
    size_t heap_index; /* of the runtime's */
};
/* machine may be NULL for a timer that never fires (register models in tests). */
void lunik_timer_init(lunik_timer *timer, lunik_machine *machine, void (*fn)(lunik_timer *));
/* (Re)arms for deadline, in ns of the machine's clock. A vCPU thread may call it. */
void lunik_timer_set(lunik_timer *timer, uint64_t deadline);
void lunik_timer_cancel(lunik_timer *timer);

/* A function to call soon on the loop thread, e.g. from a vCPU's exit to reach libuv. Embed it,
 * zeroed; posting a pending task again does nothing. */
typedef struct lunik_task lunik_task;
struct lunik_task {
    void (*fn)(lunik_task *task);
    lunik_task *next; /* of the runtime's */
    int pending;      /* of the runtime's */
};
void lunik_defer(lunik_runtime *rt, lunik_task *task); /* any thread */
void lunik_defer_cancel(lunik_runtime *rt, lunik_task *task);

/* Interrupting what a vCPU's thread does with the machine lock, for a layer above the runtime whose
 * callbacks may run for ever. fn is called on a vCPU's thread, in a signal handler, whenever the
 * thread is kicked, for whatever reason: it must be async-signal-safe. It is the process's; NULL:
 * none. Any thread. */
typedef void lunik_kick_fn(void);
void lunik_set_kick_cb(lunik_kick_fn *fn);
/* Kicks the thread that holds the machine lock, unless that is the loop thread or no function is
 * set. Any thread, also in a signal handler; a machine must not be closed meanwhile. */
void lunik_kick_lock_holder(const lunik_runtime *rt);

/* Output that a device has taken and not yet handed on. Embed it, zeroed but for the first three
 * fields. While it is filled, what it holds is handed on, as far as the other side takes it at
 * once, before the machine's next event is delivered; closing the machine or deleting the owner
 * waits for a slow reader first: for a second without progress and five in all, and without the
 * machine lock. Where the rest then goes is the owner's business. */
typedef struct lunik_outlet lunik_outlet;
struct lunik_outlet {
    /* Hands on what can be without waiting, and clears the outlet when nothing is left. Called with
     * the lock held, on the loop thread or by the thread that closes the machine or deletes the
     * owner. */
    void (*flush)(lunik_outlet *outlet);
    int fd;       /* becomes writable when the other side takes more; -1: not to be waited for */
    bool patient; /* where no other machine is in the runtime the wait ends only with a signal whose
                     handler calls lunik_stop() */
    lunik_object *owner;             /* private to the runtime */
    unsigned pass;                   /* private to the runtime */
    TAILQ_ENTRY(lunik_outlet) entry; /* private to the runtime */
};
/* Each does nothing where the outlet is filled, or empty, already. */
void lunik_outlet_fill(lunik_outlet *outlet, lunik_object *owner);
void lunik_outlet_clear(lunik_outlet *outlet);
/* Flushes a machine's outlets, as before an event. Any thread that holds the lock. */
void lunik_machine_flush(lunik_machine *m);

/* ---- events --------------------------------------------------------------------------------- */

/* Queues an event for the machine's event function; strings are copied, names are static. Any
 * thread:
 *   lunik_emit(m, "acpi-ost", LUNIK_FIELD_STRING("device", id), LUNIK_FIELD_UINT("slot", 3)); */
#define lunik_emit(m, name, ...)                                                                   \
    lunik_emit_fields((m), (name), (const lunik_field[]){__VA_ARGS__},                             \
                      sizeof((const lunik_field[]){__VA_ARGS__}) / sizeof(lunik_field))
void lunik_emit_fields(lunik_machine *m, const char *name, const lunik_field *fields, size_t count);

/* ---- interrupt lines ------------------------------------------------------------------------ */

/* One source that drives a line. Register models only see this struct; a test puts a function of
 * its own in. */
typedef struct lunik_irq lunik_irq;
struct lunik_irq {
    void (*fn)(lunik_irq *irq, bool level); /* called when the level changes; NULL: unconnected */
    void *opaque;
    unsigned line;
    bool level;
};

static inline void lunik_irq_set(lunik_irq *irq, bool level)
{
    if (irq->level != level) {
        irq->level = level;
        if (irq->fn)
            irq->fn(irq, level);
    }
}

/* Connects irq as one of the sources of GSI `gsi` (0..23); the line is high while any of its
 * sources is. */
int lunik_irq_connect(lunik_machine *m, lunik_irq *irq, unsigned gsi, lunik_error *err);
/* Lowers the source and disconnects it. */
void lunik_irq_disconnect(lunik_irq *irq);
#define LUNIK_GSI_COUNT 24
bool lunik_gsi_level(const lunik_machine *m, unsigned gsi);
uint64_t lunik_gsi_edges(const lunik_machine *m, unsigned gsi); /* rising edges so far */

/* Sets what the edge/level control registers of KVM's PICs hold after a reset: a bit for each of
 * IRQ 0 to 15, 1 for level triggered. A chipset's reset function calls it; it takes effect at the
 * end of that reset. Without KVM it has no effect. Lock held. */
void lunik_machine_set_elcr(lunik_machine *m, uint16_t level_triggered);
typedef void lunik_gsi_fn(void *opaque, unsigned gsi, bool level);

typedef struct lunik_gsi_sub {
    lunik_gsi_fn *fn;
    void *opaque;
    lunik_sub_link link;
} lunik_gsi_sub;

/* Subscribes to changes of the machine's lines (see "Subscriptions" in lunik.h). Called on the
 * thread that changed the line, from within the device that did. Closing the machine there takes
 * effect soon after. */
void lunik_gsi_subscribe(lunik_machine *m, lunik_gsi_sub *sub);
void lunik_gsi_unsubscribe(lunik_gsi_sub *sub);

/* ---- RAM blocks ----------------------------------------------------------------------------- */

/* A host mapping that backs guest memory. Reference-counted; the mapping outlives every memslot and
 * mapped pointer that uses it, and every region while that is alive. */
typedef struct lunik_ram lunik_ram;

typedef struct lunik_ram_config {
    const char *name;
    uint64_t size;      /* bytes, > 0, a multiple of page_size */
    uint64_t page_size; /* 0 = the host's; alignment of the mapping (2 MiB at least is tried) */
    uint64_t align;     /* 0 = page_size, 2 MiB if anonymous; what guest addresses should keep */
    int fd;             /* -1 = anonymous; duplicated */
    uint64_t fd_offset;
    bool share;     /* MAP_SHARED */
    bool readonly;  /* PROT_READ */
    bool noreserve; /* MAP_NORESERVE */
    void *host;     /* an existing mapping to use instead of making one; not unmapped */
    /* Whose lock to release, unless a transaction is open, while the host takes back what has been
     * freed; NULL: none */
    lunik_runtime *rt;
} lunik_ram_config;

/* Makes a block. Where the host lacks memory or descriptors while others of this process are on
 * their way back to it, which takes milliseconds, waits for these, at most a second, and tries
 * again; a vCPU's callback does not wait. Any thread. */
int lunik_ram_new(lunik_ram **out, const lunik_ram_config *config, lunik_error *err);
void lunik_ram_ref(lunik_ram *ram);
void lunik_ram_unref(lunik_ram *ram);
void *lunik_ram_host(const lunik_ram *ram);
uint64_t lunik_ram_size(const lunik_ram *ram);
uint64_t lunik_ram_page_size(const lunik_ram *ram);
uint64_t lunik_ram_align(const lunik_ram *ram); /* of guest addresses: fewer, larger mappings */
int lunik_ram_fd(const lunik_ram *ram);         /* -1 if anonymous */
uint64_t lunik_ram_fd_offset(const lunik_ram *ram);
bool lunik_ram_shared(const lunik_ram *ram);
bool lunik_ram_readonly(const lunik_ram *ram);
const char *lunik_ram_name(const lunik_ram *ram);

/* Touches every page for writing with `threads` workers. progress (may be NULL) is called on the
 * calling thread as it advances. Releases the machine lock of rt (may be NULL) while it waits, if
 * no transaction is open. Where there is too little memory it waits as lunik_ram_new() does.
 * Out of memory, hugepages or a truncated file (SIGBUS) are errors. So is, before anything is
 * touched, a block that can't fit into the host's free memory and swap, or its file into the file
 * system: to go on would have the host end some process. */
int lunik_ram_prealloc(lunik_ram *ram, unsigned threads, lunik_runtime *rt,
                       void (*progress)(void *opaque, uint64_t done, uint64_t total), void *opaque,
                       lunik_error *err);

/* ---- memory regions ------------------------------------------------------------------------- */

/* The result of an access. Of the parts that one is cut into, by the borders of regions or to suit
 * a device, all are carried out, and the larger result is that of the whole. */
typedef enum lunik_access {
    LUNIK_ACCESS_OK = 0,
    LUNIK_ACCESS_DEVICE = 1, /* the device refused it: LUNIK_E_DEVICE */
    LUNIK_ACCESS_DECODE = 2, /* nothing there takes it: LUNIK_E_ACCESS */
} lunik_access;

typedef enum lunik_endian { LUNIK_LITTLE_ENDIAN, LUNIK_BIG_ENDIAN } lunik_endian;

/* Sizes in bytes (1, 2, 4, 8). valid: what the guest may use; others are rejected (reads give all
 * ones, writes are dropped). impl: what the callbacks take; the core splits larger and unaligned
 * accesses into aligned ones and widens smaller ones to the aligned unit around them: a read takes
 * its bytes out of the unit, a write gets the unit, replaces its bytes and writes the unit back. It
 * gets it from peek, which must have no side effects; without peek from read, so a device that has
 * registers which change when they are read, and an impl.min above valid.min, wants a peek; without
 * either the other bytes are zeros. If getting it is refused, so is the write. Zeros mean 1..4 for
 * valid and valid's for impl. A value is the number that the register's bytes are in the device's
 * endianness. Where read returns an error the guest reads all ones. A device answers
 * LUNIK_ACCESS_DECODE where it has nothing, and LUNIK_ACCESS_DEVICE if it can't do what is asked of
 * it. Without read (write) it decodes no reads (writes). */
typedef struct lunik_io_ops {
    lunik_access (*read)(void *opaque, uint64_t offset, unsigned size, uint64_t *value);
    lunik_access (*write)(void *opaque, uint64_t offset, unsigned size, uint64_t value);
    lunik_access (*peek)(void *opaque, uint64_t offset, unsigned size, uint64_t *value);
    struct {
        uint8_t min, max;
        bool unaligned;
    } valid, impl;
    lunik_endian endian;
    bool lockless; /* called without the machine lock, from several threads at once */
} lunik_io_ops;

typedef enum lunik_region_kind {
    LUNIK_REGION_CONTAINER,
    LUNIK_REGION_RAM,
    LUNIK_REGION_ROM,        /* reads RAM, writes are dropped (or go to ops, if any) */
    LUNIK_REGION_ROM_DEVICE, /* reads RAM in romd mode, everything else goes to ops */
    LUNIK_REGION_IO,
    LUNIK_REGION_ALIAS,    /* a window into another region */
    LUNIK_REGION_RESERVED, /* decodes, but does nothing: claimed outside this process */
} lunik_region_kind;

#define LUNIK_SIZE_MAX UINT64_MAX /* as a region's size: all 2^64 bytes */

typedef struct lunik_region_config {
    lunik_region_kind kind;
    const char *name;
    uint64_t size;           /* bytes; LUNIK_SIZE_MAX = 2^64; RAM and ROM: 0 = the block's size */
    lunik_object *owner;     /* its struct is kept as long as the region, which is disabled before
                              * its owner is removed; one with RAM leaves its container then and
                              * gives it back; may be NULL */
    const lunik_io_ops *ops; /* IO, ROM_DEVICE; optional for the others */
    void *opaque;            /* handed to ops */
    void (*release)(void *opaque); /* the region is gone, and nobody calls ops; any thread, without
                                      the lock; may be NULL; not called if the making fails */
    lunik_ram *ram;                /* RAM, ROM, ROM_DEVICE; the region takes a reference */
    uint64_t ram_offset;           /* where in ram the region starts */
    lunik_region *target;          /* ALIAS */
    uint64_t offset;               /* ALIAS: where in target the window starts */
    bool readonly;                 /* ALIAS: show the target's RAM as ROM */
    bool nonvolatile;
} lunik_region_config;

/* Makes a region; it is not visible before it is added to a container of an address space. */
int lunik_region_new(lunik_region **out, lunik_machine *m, const lunik_region_config *config,
                     lunik_error *err);
void lunik_region_ref(lunik_region *r);
/* Drops a reference. The region must not be in a container when the last one goes. */
void lunik_region_unref(lunik_region *r);

/* Maps child at offset in parent. Overlapping siblings: the higher priority wins, then the one
 * added later. Without may_overlap a child that overlaps a sibling of the same priority is refused
 * with LUNIK_E_EXISTS, unless that sibling may overlap and is disabled; moving, resizing and
 * enabling are not checked for it. In the machine's I/O space a region has to end at port 0xffff
 * (LUNIK_E_INVALID); any other container cuts off what ends beyond it. */
int lunik_region_add(lunik_region *parent, uint64_t offset, lunik_region *child, int priority,
                     bool may_overlap, lunik_error *err);
/* Takes child out of its container; nothing happens if it is in none. Fails only if a listener
 * can't follow (the topology is then as before). */
int lunik_region_del(lunik_region *child, lunik_error *err);
int lunik_region_set_enabled(lunik_region *r, bool enabled, lunik_error *err);
int lunik_region_set_offset(lunik_region *r, uint64_t offset, lunik_error *err); /* in its parent */
int lunik_region_set_size(lunik_region *r, uint64_t size, lunik_error *err);
int lunik_region_set_priority(lunik_region *r, int priority, lunik_error *err);
int lunik_region_set_readonly(lunik_region *r, bool readonly, lunik_error *err);
int lunik_region_set_romd(lunik_region *r, bool romd, lunik_error *err);
int lunik_region_set_alias_offset(lunik_region *r, uint64_t offset, lunik_error *err);

/* False once a region with RAM has given it back, because its owner has been removed or its machine
 * closed: only references keep the struct, and it can't be shown again (LUNIK_E_GONE). Any thread.
 */
bool lunik_region_alive(const lunik_region *r);
const char *lunik_region_name(const lunik_region *r);
lunik_region_kind lunik_region_get_kind(const lunik_region *r);
uint64_t lunik_region_size(const lunik_region *r);
uint64_t lunik_region_offset(const lunik_region *r); /* in its parent */
int lunik_region_priority(const lunik_region *r);
bool lunik_region_enabled(const lunik_region *r);
bool lunik_region_readonly(const lunik_region *r);
bool lunik_region_romd(const lunik_region *r);            /* of a ROM_DEVICE; else false */
lunik_region *lunik_region_target(const lunik_region *r); /* of an ALIAS; else NULL */
uint64_t lunik_region_alias_offset(const lunik_region *r);
lunik_region *lunik_region_parent(const lunik_region *r);
lunik_object *lunik_region_owner(const lunik_region *r);
lunik_ram *lunik_region_ram(const lunik_region *r); /* NULL if it has none, or is gone */
uint64_t lunik_region_ram_offset(const lunik_region *r);
/* Children in order of decreasing priority: NULL starts, NULL ends. */
lunik_region *lunik_region_next_child(const lunik_region *parent, const lunik_region *previous);

/* Accesses to the region's callbacks, and how many were rejected (writes to ROM too). */
typedef struct lunik_region_stats {
    uint64_t reads, writes, rejected;
} lunik_region_stats;
void lunik_region_get_stats(const lunik_region *r, lunik_region_stats *out);

/* ioeventfds: a write of `size` bytes (1, 2, 4, 8; 0: of any size) to exactly this offset of an IO
 * region, ROM or ROM device signals the eventfd fd and is not handed to the callbacks. With match
 * only a write of data does so (not with size 0). KVM signals without an exit; writes from this
 * process do the same. It follows the region: moved, hidden or aliased, it is found where the
 * whole register shows. fd is duplicated. LUNIK_E_EXISTS when another one there takes some of the
 * same writes. Both are topology changes: part of a transaction, refused in a listener's hooks. */
int lunik_region_add_eventfd(lunik_region *r, uint64_t offset, unsigned size, bool match,
                             uint64_t data, int fd, lunik_error *err);
int lunik_region_del_eventfd(lunik_region *r, uint64_t offset, unsigned size, bool match,
                             uint64_t data, lunik_error *err);

/* Coalesced ranges: writes that lie in one may be delivered later, many at once: in order, before
 * anything else that is read or written by this process or by any vCPU's exit, and before the
 * topology changes. Registers with an ioeventfd are left out. Without KVM nothing is delayed. */
int lunik_region_coalesce(lunik_region *r, uint64_t offset, uint64_t size, lunik_error *err);
int lunik_region_uncoalesce(lunik_region *r, lunik_error *err); /* all of them */
/* Delivers now what has been delayed: for devices that show their state by other ways, at times of
 * their own. */
void lunik_coalesced_flush(lunik_machine *m);

/* An ioeventfd of its own with a callback: fn runs on the loop thread, with how many writes there
 * were since the last time. It does not keep lunik_run() going. */
typedef struct lunik_ioeventfd lunik_ioeventfd;
typedef struct lunik_ioeventfd_config {
    uint64_t offset;
    unsigned size;
    bool match;
    uint64_t data;
    void (*fn)(void *opaque, uint64_t count); /* NULL: the fd is for others to read */
    void *opaque;
} lunik_ioeventfd_config;
int lunik_ioeventfd_new(lunik_ioeventfd **out, lunik_region *r,
                        const lunik_ioeventfd_config *config, lunik_error *err);
/* The eventfd: non-blocking, owned by e. */
int lunik_ioeventfd_fd(const lunik_ioeventfd *e);
/* Takes it away from its region, as part of a transaction: another one may take its place in the
 * same one, and when that is undone it is back. It is to be closed afterwards. */
int lunik_ioeventfd_detach(lunik_ioeventfd *e, lunik_error *err);
/* Takes it away and frees it; fn is not called any more. If a listener can't follow, which is an
 * error, or a transaction around it is undone, writes go to an eventfd that nobody reads. In a
 * listener's hook: LUNIK_E_STATE, and e stays. The machine may be closed already. */
int lunik_ioeventfd_close(lunik_ioeventfd *e, lunik_error *err);

/* Transactions nest; the outermost commit renders what changed and informs the listeners in one
 * pass. On failure (a listener can't follow) every change since the outermost begin is undone and
 * the error reported by that commit. Outside a transaction each call is one of its own. Listeners
 * can't change the topology while they are informed: transactions of theirs fail if they try to.
 *
 * Objects and devices added in a transaction are there at once, but nobody is told before it has
 * been committed; when it fails they are deleted, newest first. Deletions, and requests to the
 * guest to let a device go, wait for the commit. Properties that have been set get their old
 * values back when it fails. The lock must be held from begin to end. */
void lunik_transaction_begin(lunik_machine *m);
int lunik_transaction_commit(lunik_machine *m, lunik_error *err);
/* Ends the transaction without applying its changes. One that is nested takes those around it
 * along: the outermost commit fails and everything since the outermost begin is undone. */
void lunik_transaction_abort(lunik_machine *m);
bool lunik_in_transaction(const lunik_machine *m);
/* True while listeners are informed. */
bool lunik_in_listener(const lunik_machine *m);

/* Something beside the topology that goes with a transaction: objects added and deleted in it are
 * such changes, too. Embed it, zeroed. When the outermost transaction has been committed commit is
 * called, in the order of the notes; when it fails undo (may be NULL) is, in reverse order. Outside
 * a transaction commit is called at once. Noting again what is noted does nothing: so a device
 * tells the guest once, however much a transaction changed. */
typedef struct lunik_change lunik_change;
struct lunik_change {
    void (*commit)(lunik_change *c);
    void (*undo)(lunik_change *c);
    lunik_change *prev, *next; /* of the runtime's, with noted */
    bool noted;
};
void lunik_transaction_note(lunik_machine *m, lunik_change *c);
void lunik_transaction_forget(lunik_machine *m, lunik_change *c);

/* ---- address spaces ------------------------------------------------------------------------- */

/* The space shows root: its address a is root's offset a. */
int lunik_space_new(lunik_space **out, lunik_machine *m, const char *name, lunik_region *root,
                    lunik_error *err);
void lunik_space_free(lunik_space *s);
const char *lunik_space_name(const lunik_space *s);
lunik_region *lunik_space_root(const lunik_space *s);
lunik_space *lunik_space_next(lunik_machine *m, lunik_space *previous);

/* A contiguous part of a region as it shows in an address space. */
typedef struct lunik_section {
    lunik_space *space;
    lunik_region *region;
    uint64_t offset;  /* in the region */
    uint64_t address; /* in the space */
    uint64_t size;    /* LUNIK_SIZE_MAX = 2^64 */
    bool readonly;
    bool romd; /* reads come from RAM: RAM, ROM, and ROM devices in that mode */
    bool nonvolatile;
    unsigned log_mask; /* LUNIK_DIRTY_*: the clients that log writes to it */
} lunik_section;

/* Rejected accesses through the space, and among them those to addresses where nothing is. */
typedef struct lunik_space_stats {
    uint64_t rejected, unassigned;
} lunik_space_stats;
void lunik_space_get_stats(const lunik_space *s, lunik_space_stats *out); /* any thread */

/* The section that contains address, as of the last commit; false if nothing is there. */
bool lunik_space_find(lunik_space *s, uint64_t address, lunik_section *out);

/* Direct access for devices: a host pointer to at most *size bytes at address, or NULL. *size
 * becomes what can be reached in one piece. Memory behind MMIO is reached through a bounce
 * buffer. Unmap with the same arguments; accessed is what was read or written. */
void *lunik_space_map(lunik_space *s, uint64_t address, uint64_t *size, bool write);
void lunik_space_unmap(lunik_space *s, void *host, uint64_t size, bool write, uint64_t accessed);

/* ---- causes --------------------------------------------------------------------------------- */

/* What somebody is doing, and what made him do it. Whoever does something that may change the
 * memory map pushes a frame, fills nothing in later, and pops it on the same thread. The names must
 * last until then. */
typedef struct lunik_cause lunik_cause;
struct lunik_cause {
    const char *action; /* static: "device_add", "object_del", "set", "write", "reset", "script" */
    const char *name;   /* of the object, or the region accessed; a script's file; or NULL */
    const char *detail; /* the object's type, the property, "port" or "address"; or NULL */
    int line;           /* of the script; 0 for others */
    int vcpu;           /* whose access it was, or -1 */
    uint64_t address, value; /* of an access; the value of a write of at most 8 bytes,
                                little-endian */
    unsigned size;
    const lunik_cause *by; /* of the runtime's, with serial; NULL: nothing is known */
    uint64_t serial;
};
void lunik_cause_push(lunik_cause *c); /* any thread */
void lunik_cause_pop(lunik_cause *c);

/* These are NULL when nothing is known. What they return lasts until the next topology change. */

/* What led to the last change at an address: to what shows there now, or to nothing showing. */
const lunik_cause *lunik_space_why(lunik_space *s, uint64_t address);
/* In a listener's hook: why the section comes or goes. */
const lunik_cause *lunik_section_cause(const lunik_section *s);
/* What opened the transaction under way. */
const lunik_cause *lunik_transaction_cause(const lunik_machine *m);
/* A copy of a cause and those it is by, in one piece to free(); NULL: out of memory. */
lunik_cause *lunik_cause_copy(const lunik_cause *cause);
/* As one line of text, to be freed; NULL when out of memory. Returns its length. */
size_t lunik_cause_text(const lunik_cause *cause, char **text);

/* ---- rejected accesses ---------------------------------------------------------------------- */

/* X(NAME, "lua-name", RESULT, "meaning"): why an access, or a part of one, was rejected. */
#define LUNIK_REJECT_MAP(X)                                                                        \
    X(UNASSIGNED, "unassigned", DECODE, "nothing is there")                                        \
    X(SIZE, "size", DECODE, "not for accesses of this size")                                       \
    X(ALIGNMENT, "alignment", DECODE, "not for unaligned accesses")                                \
    X(READONLY, "readonly", DECODE, "not for writes")                                              \
    X(WRITEONLY, "writeonly", DECODE, "not for reads")                                             \
    X(UNDECODED, "undecoded", DECODE, "the device has nothing there")                              \
    X(DEVICE, "device", DEVICE, "the device refuses it")                                           \
    X(NESTING, "nesting", DEVICE, "devices access each other without end")

typedef enum lunik_reject {
    LUNIK_REJECT_NONE,
#define LUNIK_REJECT_ENUM(name, lua, result, text) LUNIK_REJECT_##name,
    LUNIK_REJECT_MAP(LUNIK_REJECT_ENUM)
#undef LUNIK_REJECT_ENUM
} lunik_reject;

const char *lunik_reject_name(lunik_reject why);    /* the Lua name; any thread */
const char *lunik_reject_meaning(lunik_reject why); /* for people; any thread */

typedef struct lunik_rejection {
    lunik_space *space;
    lunik_region *region; /* NULL: nothing is there */
    uint64_t offset;      /* in the region */
    lunik_cause access;   /* what was tried ("read" or "write"), at which address of the space, by
                             which vCPU; by: as which part of what, e.g. a device's access to memory
                             for a write to its register, or NULL */
    lunik_reject why;
    lunik_access result;
} lunik_rejection;
/* As one line of text, to be freed; NULL when out of memory. Returns its length. */
size_t lunik_rejection_text(const lunik_rejection *r, char **text);

typedef void lunik_reject_fn(void *opaque, const lunik_rejection *r);

typedef struct lunik_reject_sub {
    lunik_reject_fn *fn;
    void *opaque;
    lunik_sub_link link;
} lunik_reject_sub;

/* Subscribes to rejected accesses of vCPUs, devices and lunik_space_*() (see "Subscriptions" in
 * lunik.h). Called where the access is made, on the vCPU's own thread for a vCPU, before the access
 * ends: nothing is queued, so that a guest can't fill memory; it only waits. What is in *r lasts
 * until fn returns. Closing the machine there takes effect soon after. Rejections while subscribers
 * are called, and those by a region that is gone before the lock can be had, are only counted.
 * Accepted accesses pay nothing for it. */
void lunik_reject_subscribe(lunik_machine *m, lunik_reject_sub *sub);
void lunik_reject_unsubscribe(lunik_reject_sub *sub);

/* ---- listeners ------------------------------------------------------------------------------ */

typedef struct lunik_listener lunik_listener;

/* Follows the topology of one address space, or of all (space NULL). Hooks may be NULL. For a
 * commit that changes what some space shows: begin of all listeners; region_del for each section
 * that goes, in ascending address, listeners in descending priority; region_add for each new
 * section (region_nop for those that stay as they are where something might have changed; what is
 * elsewhere is not mentioned), in ascending address, listeners in ascending priority; commit in
 * ascending priority. lunik_space_find() gives the old topology until all of them have agreed.
 *
 * eventfd_del and coalesced_del come before the first region_del, eventfd_add and coalesced_add
 * after the last region_add, in the same orders; only for those that do not stay where they are. A
 * coalesced range shows in the parts that its region does; an eventfd's section is its register,
 * size 0 for writes of any size, and data the number that the guest writes, in its byte order.
 *
 * When one refuses, all hooks run again with the reverse changes, and no further commit can refuse.
 * So a listener that collects changes between begin and commit keeps them when it refuses, or is
 * not asked: the reverse ones cancel them out.
 *
 * Dirty logging. Sections come and go with the log_mask of their region. When it changes for those
 * that are there, log_start or log_stop is called for each of them between begin and commit, which
 * may refuse a start: log_stop follows. Once log_start or region_add has named clients, every write
 * to the section that does not go through the address spaces has to end up in lunik_dirty_mark(),
 * no later than the next log_sync, log_stop, or commit that takes the section away. log_sync asks
 * for that, section by section; log_sync_global takes its place in a listener that does all at
 * once; log_global_after_sync ends each round. log_clear says that a client has seen the pages
 * of (part of) a section: writes from now on have to be reported anew. log_global_start and _stop
 * enclose the time in which any client logs the whole machine. */
struct lunik_listener {
    const char *name;
    int priority;
    lunik_space *space;
    void (*begin)(lunik_listener *l);
    void (*region_add)(lunik_listener *l, const lunik_section *s);
    void (*region_del)(lunik_listener *l, const lunik_section *s);
    void (*region_nop)(lunik_listener *l, const lunik_section *s);
    /* May refuse: the transaction, or the start of logging, is then rolled back. */
    int (*commit)(lunik_listener *l, lunik_error *err);
    void (*log_start)(lunik_listener *l, const lunik_section *s, unsigned old, unsigned now);
    void (*log_stop)(lunik_listener *l, const lunik_section *s, unsigned old, unsigned now);
    void (*log_sync)(lunik_listener *l, const lunik_section *s);
    void (*log_sync_global)(lunik_listener *l);
    void (*log_clear)(lunik_listener *l, const lunik_section *s);
    int (*log_global_start)(lunik_listener *l, lunik_error *err);
    void (*log_global_stop)(lunik_listener *l);
    void (*log_global_after_sync)(lunik_listener *l);
    void (*eventfd_add)(lunik_listener *l, const lunik_section *s, bool match, uint64_t data,
                        int fd);
    void (*eventfd_del)(lunik_listener *l, const lunik_section *s, bool match, uint64_t data,
                        int fd);
    void (*coalesced_add)(lunik_listener *l, const lunik_section *s, uint64_t address,
                          uint64_t size);
    void (*coalesced_del)(lunik_listener *l, const lunik_section *s, uint64_t address,
                          uint64_t size);
    lunik_machine *machine; /* of the runtime's from here on */
    lunik_listener *next;
};

/* Registers l and replays the present topology to it. */
int lunik_listener_add(lunik_machine *m, lunik_listener *l, lunik_error *err);
/* Unwinds it (region_del for everything) and removes it; from a hook: removes it only. */
void lunik_listener_del(lunik_listener *l);

/* ---- dirty pages ---------------------------------------------------------------------------- */

/* Who logs writes to memory. Each has its own bitmap of host pages per RAM block, so that they
 * don't get into each other's way. */
typedef enum lunik_dirty_client {
    LUNIK_DIRTY_MIGRATION = 1,
    LUNIK_DIRTY_DISPLAY = 2,
    LUNIK_DIRTY_USER = 4,
    LUNIK_DIRTY_RATE = 8, /* lunik's own dirty rate measurement */
} lunik_dirty_client;
enum { LUNIK_DIRTY_CLIENTS = 4, LUNIK_DIRTY_PAGE = 4096 };

/* What is logged: a region that has RAM; all regions of a block, now and later; or, with both NULL,
 * all of the machine's memory, now and later. Region and block must stay until the logging ends. */
typedef struct lunik_dirty_scope {
    lunik_region *region;
    lunik_ram *ram;
} lunik_dirty_scope;

/* Starts and ends logging for a client; starts of the same scope are counted. A client's bits are
 * clear when its logging of a block starts and dropped when it ends. Every write that begins after
 * lunik_dirty_start() has returned is in the bitmap after the next lunik_dirty_sync(), or, if it
 * happens during that, after the one after. Fails if a listener can't log, and when called by one.
 */
int lunik_dirty_start(lunik_machine *m, lunik_dirty_client client, const lunik_dirty_scope *scope,
                      lunik_error *err);
int lunik_dirty_stop(lunik_machine *m, lunik_dirty_client client, const lunik_dirty_scope *scope,
                     lunik_error *err);

/* Collects what has been written into the bitmaps of all clients. Bits only appear here, when
 * memory is written through an address space, and in lunik_dirty_mark(). */
int lunik_dirty_sync(lunik_machine *m, lunik_error *err);

/* The blocks in which dirty pages may be found while somebody logs: those that an address space
 * shows, and those that it has shown in this time and that still have dirty pages. In order of
 * appearance; NULL past the last one. */
lunik_ram *lunik_dirty_block(lunik_machine *m, size_t index);

/* The dirty pages of a block for one client. Ranges include the pages that they touch. */
uint64_t lunik_dirty_count(const lunik_ram *ram, lunik_dirty_client client, uint64_t offset,
                           uint64_t size);
/* Finds the first run of dirty pages at or after *offset and below end: true, and the run. With
 * size NULL it finds its first page only, without a look at how long the run is: to go from page to
 * page, call again with *offset + LUNIK_DIRTY_PAGE. Any thread. */
bool lunik_dirty_next(const lunik_ram *ram, lunik_dirty_client client, uint64_t *offset,
                      uint64_t end, uint64_t *size);
/* Clears the client's bits, so that later writes set them again, and returns how many were set.
 * bits (may be NULL) receives them: (pages of the range + 63) / 64 words. Who reads a page after
 * this sees every write that set its bit, and finds the bit set again if there are more. */
uint64_t lunik_dirty_test_and_clear(lunik_machine *m, lunik_dirty_client client, lunik_ram *ram,
                                    uint64_t offset, uint64_t size, uint64_t *bits);

/* Says that part of a region has been written other than through an address space: by a device,
 * with a host pointer of its own, or by whatever a listener listens for. After the write; any
 * thread. */
void lunik_dirty_mark(lunik_region *r, uint64_t offset, uint64_t size);

/* Hashes of random pages of all RAM that an address space shows, per_gib of every GiB and 64 or all
 * pages of a smaller block; to be compared with what is there later. */
typedef struct lunik_dirty_sample lunik_dirty_sample;
int lunik_dirty_sample_new(lunik_dirty_sample **out, lunik_machine *m, unsigned per_gib,
                           lunik_error *err);
typedef struct lunik_dirty_sampled {
    lunik_ram *ram;
    uint64_t pages;   /* looked at */
    uint64_t changed; /* of these */
} lunik_dirty_sampled;
/* Compares one of its blocks; false past the last one. */
bool lunik_dirty_sample_compare(const lunik_dirty_sample *s, size_t index,
                                lunik_dirty_sampled *out);
void lunik_dirty_sample_free(lunik_dirty_sample *s);

enum {
    LUNIK_MTREE_FLAT = 1,     /* what the address spaces show instead of the tree of regions */
    LUNIK_MTREE_OWNER = 2,    /* with each region's owner */
    LUNIK_MTREE_DISABLED = 4, /* disabled regions too */
};
/* The machine's memory map as text, in the format of QEMU's "info mtree". Returns its length; *out
 * is to be freed with free(), NULL when out of memory. */
size_t lunik_mtree(lunik_machine *m, unsigned flags, char **out);

/* ---- interfaces between devices ------------------------------------------------------------- */

/* "memory-backend": owns a RAM block. */
typedef struct lunik_memory_backend_ops {
    lunik_ram *(*ram)(lunik_object *o);
} lunik_memory_backend_ops;

/* "memory-device": guest memory that can be plugged (pc-dimm). */
typedef struct lunik_memory_device {
    lunik_region *region; /* what gets mapped */
    uint64_t address;     /* 0 before plug = choose one */
    uint64_t size;
    uint64_t align;
    int64_t slot; /* -1 before plug = choose one */
    uint64_t node;
    lunik_object *memdev;
    bool hotplugged;
} lunik_memory_device;
typedef struct lunik_memory_device_ops {
    lunik_memory_device *(*get)(lunik_object *o);
} lunik_memory_device_ops;

/* "hotplug-handler": the part of a board that takes devices of one kind in and out. The kind
 * ("memory", "cpu", "pci") is given to lunik_machine_set_hotplug_handler(). */
typedef struct lunik_hotplug_ops {
    /* Checks and chooses slot and address; changes nothing but the device's own fields. */
    int (*pre_plug)(lunik_object *handler, lunik_object *device, lunik_error *err);
    int (*plug)(lunik_object *handler, lunik_object *device, lunik_error *err);
    int (*unplug_request)(lunik_object *handler, lunik_object *device, lunik_error *err);
    void (*unplug)(lunik_object *handler, lunik_object *device);
} lunik_hotplug_ops;
int lunik_machine_set_hotplug_handler(lunik_machine *m, const char *kind, lunik_object *handler,
                                      lunik_error *err); /* handler NULL: none */
lunik_object *lunik_machine_hotplug_handler(lunik_machine *m, const char *kind);
/* True while a device is being added to a machine that has been started. */
bool lunik_machine_hotplugging(const lunik_machine *m);

/* "acpi-slots": tells the guest about memory devices (the hotplug register block). */
typedef struct lunik_acpi_slots_ops {
    unsigned (*count)(lunik_object *o);
    void (*plug)(lunik_object *o, lunik_object *device); /* device is in its slot */
    void (*unplug_request)(lunik_object *o, lunik_object *device);
    void (*unplug)(lunik_object *o, lunik_object *device); /* the slot becomes empty */
} lunik_acpi_slots_ops;

/* "gpe": latches a general-purpose event and raises SCI if it is enabled. */
typedef struct lunik_gpe_ops {
    unsigned count; /* there are events 0..count-1 */
    void (*raise)(lunik_object *o, unsigned gpe);
} lunik_gpe_ops;

/* "power-button" */
typedef struct lunik_power_button_ops {
    int (*press)(lunik_object *o, lunik_error *err);
} lunik_power_button_ops;

/* "acpi-pm": the fixed hardware that the FADT describes. Addresses are I/O ports. */
typedef struct lunik_acpi_pm {
    uint16_t sci, smi_cmd;
    uint8_t acpi_enable, acpi_disable;
    uint16_t pm1_evt, pm1_cnt, pm_tmr, gpe0; /* 4, 2, 4 and gpe0_len bytes */
    uint8_t gpe0_len;
    uint16_t reset_port; /* 0 = none */
    uint8_t reset_value;
} lunik_acpi_pm;
typedef struct lunik_acpi_pm_ops {
    void (*get)(lunik_object *o, lunik_acpi_pm *out);
} lunik_acpi_pm_ops;

/* "acpi": a device's own part of the ACPI namespace: the name of an ASL part (acpi/<part>.asl) and
 * the numbers to patch into it. */
#define LUNIK_ACPI_VALUES 16
typedef struct lunik_acpi_node {
    const char *part;
    size_t count;
    struct {
        const char *name; /* four characters, a Name() object in the part */
        uint64_t value;
    } values[LUNIK_ACPI_VALUES];
} lunik_acpi_node;
typedef struct lunik_acpi_ops {
    void (*describe)(lunik_object *o, lunik_acpi_node *out);
} lunik_acpi_ops;

/* "chardev": a byte stream to the world outside. */
typedef struct lunik_chardev_front {
    void *opaque;
    size_t (*can_receive)(void *opaque); /* bytes that receive would take now */
    void (*receive)(void *opaque, const uint8_t *data, size_t size);
    void (*writable)(void *opaque); /* after a short write: there is room again */
} lunik_chardev_front;
typedef struct lunik_chardev_ops {
    /* One front end at a time; it outlives the attachment. front NULL detaches. */
    int (*attach)(lunik_object *o, const lunik_chardev_front *front, lunik_error *err);
    /* Takes at most size bytes, never blocks; returns how many it took. */
    size_t (*write)(lunik_object *o, const uint8_t *data, size_t size);
    /* The front end can receive again. */
    void (*accept_input)(lunik_object *o);
} lunik_chardev_ops;

/* "chardev-buffer": the program's end of a chardev-buffer. Positions count the bytes that the front
 * end has written since the object was made. */
typedef struct lunik_chardev_buffer_ops {
    /* Copies what there is from position on; returns how many bytes, 0 if nothing is kept there. */
    size_t (*peek)(lunik_object *o, uint64_t position, uint8_t *buf, size_t size);
    /* Where the bytes from position on are, as many as lie together, with how many; 0 as for peek.
     * They stay there until the lock is released or more is written. */
    const uint8_t *(*span)(lunik_object *o, uint64_t position, size_t *size);
    /* The position of the oldest byte kept, and of the end. */
    uint64_t (*first)(lunik_object *o);
    uint64_t (*total)(lunik_object *o);
    /* Queues input for the front end; returns how much was taken (the queue is bounded). */
    size_t (*write_input)(lunik_object *o, const uint8_t *data, size_t size);
    /* Input that the front end has not taken yet. */
    size_t (*input_pending)(lunik_object *o);
    /* fn is called on the loop thread soon after bytes were written, and before the machine's next
     * event; by the thread that deletes the object if it has not been by then. NULL: no calls. */
    void (*set_notify)(lunik_object *o, void (*fn)(void *opaque), void *opaque);
} lunik_chardev_buffer_ops;

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
