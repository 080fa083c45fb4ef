/*
 * lunik_memory.h: guest memory in addition to lunik.h: RAM blocks, regions, address spaces,
 * transactions, causes, rejected accesses, listeners and dirty pages.
 *
 * What lunik.h says of errors, arguments, threads and lifetime holds here: a function may be called
 * on any thread that holds the machine lock, unless it says otherwise.
 */
#ifndef LUNIK_MEMORY_H
#define LUNIK_MEMORY_H

#include <sys/queue.h>

#include "lunik.h"

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

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
    bool sync;  /* MAP_SYNC, with share: what the CPU has written back is in the file for good */
    void *host; /* an existing mapping to use instead of making one; not unmapped */
    /* The runtime whose lock is released, unless a transaction is open, while the host takes back
     * what has been freed; NULL: none. */
    lunik_runtime *rt;
} lunik_ram_config;

/* Makes a block. Where the host lacks memory or descriptors while others of this process are on
 * their way back to it, which takes milliseconds, it waits for these, ten seconds at most, and
 * tries again; on a vCPU's thread it does not wait. LUNIK_E_INVALID: sizes, alignment or offset do
 * not suit each other or the file; LUNIK_E_NO_MEMORY: the host can't map so much;
 * LUNIK_E_UNSUPPORTED: sync, and the file is not on a file system with direct access (DAX). Any
 * thread. */
int lunik_ram_new(const lunik_ram_config *config, lunik_ram **out, lunik_error *err);
/* Take and drop a reference. Any thread. */
void lunik_ram_ref(lunik_ram *ram);
void lunik_ram_unref(lunik_ram *ram);
/* Return what a block was made with, which does not change. Any thread that has a reference. */
void *lunik_ram_host(const lunik_ram *ram);
uint64_t lunik_ram_size(const lunik_ram *ram);
uint64_t lunik_ram_page_size(const lunik_ram *ram);
uint64_t lunik_ram_align(const lunik_ram *ram); /* of guest addresses: fewer, larger mappings */
int lunik_ram_fd(const lunik_ram *ram);         /* -1 if anonymous */
uint64_t lunik_ram_fd_offset(const lunik_ram *ram);
bool lunik_ram_shared(const lunik_ram *ram);
bool lunik_ram_readonly(const lunik_ram *ram);
const char *lunik_ram_name(const lunik_ram *ram);

/* Touches every page for writing with `threads` workers (1..256). progress (may be
 * NULL) is called on the calling thread as it advances, with bytes. Releases the machine lock of rt
 * (may be NULL) while it waits, if the calling thread holds it and no transaction is open. Where
 * there is too little memory it waits as lunik_ram_new() does. LUNIK_E_NO_MEMORY, LUNIK_E_NO_SPACE:
 * memory, hugepages or the file system are used up, or, before anything is touched, the block can't
 * fit into the host's free memory and swap, or its file into the file system: to continue would
 * have the host end some process; LUNIK_E_IO: the file was truncated. Any thread. */
int lunik_ram_prealloc(lunik_ram *ram, unsigned threads, lunik_runtime *rt,
                       void (*progress)(void *opaque, uint64_t done, uint64_t total), void *opaque,
                       lunik_error *err);

/* Gives pages of a block back to the host: later reads find zeros or, in a private mapping of a
 * file, the file. A block that is shared loses them for all processes. offset and size (> 0) are
 * multiples of the block's page size. LUNIK_E_INVALID: they are not, or beyond its end;
 * LUNIK_E_UNSUPPORTED: it is read-only, or was made of an existing mapping; LUNIK_E_BUSY: it is
 * pinned; others: the host can't. Any thread that has a reference. */
int lunik_ram_discard(lunik_ram *ram, uint64_t offset, uint64_t size, lunik_error *err);
/* Pin a block, whose pages then stay (they were preallocated, or hardware has their addresses), and
 * undo that. Pins are counted; pages that were given back before are missing. Any thread that has a
 * reference. */
void lunik_ram_pin(lunik_ram *ram);
void lunik_ram_unpin(lunik_ram *ram);

/* A block that the guest may use only in parts, which its owner (virtio-mem) populates and discards
 * while the machine runs. Other parts must not be pinned, saved or read: they are no RAM. Code that
 * maps all RAM for hardware, or walks through it, follows the parts with a listener or asks for
 * them. */
typedef struct lunik_populate_manager lunik_populate_manager;
struct lunik_populate_manager {
    /* Finds the first part that is populated at or after *offset: true, and the part. */
    bool (*next)(const lunik_populate_manager *manager, uint64_t *offset, uint64_t *size);
};
/* Makes a manager, which stays the caller's, that of a block; NULL: all of it is populated.
 * LUNIK_E_EXISTS: it has one; LUNIK_E_BUSY: it has listeners. */
int lunik_ram_set_manager(lunik_ram *ram, lunik_populate_manager *manager, lunik_error *err);
/* Does what the manager's `next` does; a block without one has a single part. */
bool lunik_ram_populated(const lunik_ram *ram, uint64_t *offset, uint64_t *size);
/* Notify listeners, for the manager, that a part is about to be populated, which a listener may
 * refuse, with the error that this returns; and that a part has been discarded. */
int lunik_ram_populate(lunik_ram *ram, uint64_t offset, uint64_t size, lunik_error *err);
void lunik_ram_depopulate(lunik_ram *ram, uint64_t offset, uint64_t size);

/* Embed it, zeroed but for the functions, which may be NULL. discard may be called for more than is
 * populated. */
typedef struct lunik_populate_listener lunik_populate_listener;
struct lunik_populate_listener {
    int (*populate)(lunik_populate_listener *l, lunik_ram *ram, uint64_t offset, uint64_t size,
                    lunik_error *err);
    void (*discard)(lunik_populate_listener *l, lunik_ram *ram, uint64_t offset, uint64_t size);
    lunik_ram *ram; /* private to the runtime, with link; NULL: not registered */
    LIST_ENTRY(lunik_populate_listener) link;
};
/* Registers a listener, after calling populate for what is populated now; fails as that does. It
 * keeps a reference to the block. */
int lunik_populate_listener_add(lunik_ram *ram, lunik_populate_listener *l, lunik_error *err);
/* Removes it, with a call of discard for the whole block. Does nothing if it is not registered. */
void lunik_populate_listener_del(lunik_populate_listener *l);

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
    void (*release)(
        void *opaque);   /* the region is gone, and ops are not called any more; any thread, without
                            the lock; may be NULL; not called if the making fails */
    lunik_ram *ram;      /* RAM, ROM, ROM_DEVICE; the region takes a reference */
    uint64_t ram_offset; /* where in ram the region starts */
    lunik_region *target; /* ALIAS */
    uint64_t offset;      /* ALIAS: where in target the window starts */
    bool readonly;        /* ALIAS: show the target's RAM as ROM */
    bool nonvolatile;
} lunik_region_config;

/* Makes a region; it is not visible before it is added to a container of an address space. *out is
 * a reference of the caller. LUNIK_E_INVALID: what the kind needs is missing, or is another
 * machine's, or sizes do not suit each other; LUNIK_E_GONE: the target has given its RAM back. */
int lunik_region_new(lunik_machine *m, const lunik_region_config *config, lunik_region **out,
                     lunik_error *err);
/* Takes a reference. */
void lunik_region_ref(lunik_region *r);
/* Drops a reference. The region must not be in a container when the last one is dropped. */
void lunik_region_unref(lunik_region *r);

/* The following change the topology: each is a part of the transaction that is open, or one of its
 * own. LUNIK_E_STATE: in a listener's hook; LUNIK_E_GONE: the machine is closed, or the region has
 * given its RAM back; others: a listener can't follow, and the topology is as before. */

/* Maps child at offset in parent. Overlapping siblings: the higher priority wins, then the one
 * added later. Without may_overlap a child that overlaps a sibling of the same priority is refused
 * with LUNIK_E_EXISTS, unless that sibling may overlap and is disabled; moving, resizing and
 * enabling are not checked for it. In the machine's I/O space a region has to end at port 0xffff
 * (LUNIK_E_INVALID); any other container cuts off what ends beyond it. */
int lunik_region_add(lunik_region *parent, uint64_t offset, lunik_region *child, int priority,
                     bool may_overlap, lunik_error *err);
/* Takes child out of its container; does nothing if it is in none. */
int lunik_region_del(lunik_region *child, lunik_error *err);
/* Change one value of a region. LUNIK_E_INVALID: size is 0 or more than its RAM holds; RAM that
 * can't be written is to be shown so; it is not of the kind that has the value. LUNIK_E_STATE:
 * offset of a region that is in no container. In the machine's I/O space a region has to end at
 * port 0xffff (LUNIK_E_INVALID). */
int lunik_region_set_enabled(lunik_region *r, bool enabled, lunik_error *err);
int lunik_region_set_offset(lunik_region *r, uint64_t offset, lunik_error *err); /* in its parent */
int lunik_region_set_size(lunik_region *r, uint64_t size, lunik_error *err);
int lunik_region_set_priority(lunik_region *r, int priority, lunik_error *err);
int lunik_region_set_readonly(lunik_region *r, bool readonly, lunik_error *err);
int lunik_region_set_romd(lunik_region *r, bool romd, lunik_error *err); /* of a ROM_DEVICE */
int lunik_region_set_alias_offset(lunik_region *r, uint64_t offset, lunik_error *err);

/* Returns false once a region with RAM has given it back, because its owner has been removed or its
 * machine closed: only references keep the struct, and it can't be shown again (LUNIK_E_GONE). Any
 * thread. */
bool lunik_region_alive(const lunik_region *r);
/* Return a region's values, and its place among others; NULL for a parent, owner, target or RAM
 * that it does not have. */
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
/* Returns the children of a container one by one, in order of decreasing priority: previous NULL
 * starts, NULL ends. */
lunik_region *lunik_region_next_child(const lunik_region *parent, const lunik_region *previous);

/* Accesses to the region's callbacks, and how many were rejected (writes to ROM too). */
typedef struct lunik_region_stats {
    uint64_t reads, writes, rejected;
} lunik_region_stats;
/* Fills *out with the numbers of now. Any thread that has a reference. */
void lunik_region_get_stats(const lunik_region *r, lunik_region_stats *out);

/* Add and delete an ioeventfd: a write of `size` bytes (1, 2, 4, 8; 0: of any size) to exactly this
 * offset of an IO region, ROM or ROM device signals the eventfd fd and is not handed to the
 * callbacks. With match only a write of data does so (not with size 0). KVM signals without an
 * exit; writes from this process do the same. It follows the region: moved, hidden or aliased, it
 * is found where the whole register shows. fd is duplicated. Both are topology changes, with their
 * errors. LUNIK_E_EXISTS: another one there takes some of the same writes; LUNIK_E_NOT_FOUND: there
 * is no such ioeventfd to delete; LUNIK_E_INVALID: a region or register that can't have one, or fd
 * is none. */
int lunik_region_add_eventfd(lunik_region *r, uint64_t offset, unsigned size, bool match,
                             uint64_t data, int fd, lunik_error *err);
int lunik_region_del_eventfd(lunik_region *r, uint64_t offset, unsigned size, bool match,
                             uint64_t data, lunik_error *err);

/* Makes a range coalesced: writes that lie in it may be delivered later, many at once: in order,
 * before anything else that is read or written by this process or by any vCPU's exit, and before
 * the topology changes. Registers with an ioeventfd are left out, and lunik_dma_*() delivers them
 * only before it reaches a device. Without KVM nothing is delayed. */
int lunik_region_coalesce(lunik_region *r, uint64_t offset, uint64_t size, lunik_error *err);
/* Ends it for all ranges of the region. */
int lunik_region_uncoalesce(lunik_region *r, lunik_error *err);
/* Delivers the delayed writes now: for devices that show their state in other ways, at times of
 * their own. Does nothing on a closed machine. */
void lunik_coalesced_flush(lunik_machine *m);

/* An ioeventfd with an eventfd of its own and a callback: fn runs on the loop thread, with the
 * number of writes since the last time. It does not keep lunik_run() going. */
typedef struct lunik_ioeventfd lunik_ioeventfd;
typedef struct lunik_ioeventfd_config {
    uint64_t offset;
    unsigned size;
    bool match;
    uint64_t data;
    void (*fn)(void *opaque, uint64_t count); /* NULL: the fd is for others to read */
    void *opaque;
} lunik_ioeventfd_config;
/* Makes one and adds it to a region; errors are those of lunik_region_add_eventfd(). */
int lunik_ioeventfd_new(lunik_region *r, const lunik_ioeventfd_config *config,
                        lunik_ioeventfd **out, lunik_error *err);
/* Returns the eventfd: non-blocking, owned by e. Any thread. */
int lunik_ioeventfd_fd(const lunik_ioeventfd *e);
/* Takes it away from its region, as part of a transaction: another one may take its place in the
 * same one, and when that is undone it is back. Close it afterwards. */
int lunik_ioeventfd_detach(lunik_ioeventfd *e, lunik_error *err);
/* Takes it away and frees it; fn is not called any more. If a listener can't follow, which is an
 * error, or a transaction around it is undone, writes go to an eventfd that is never read.
 * LUNIK_E_STATE: in a listener's hook, and e stays. The machine may be closed already. */
int lunik_ioeventfd_close(lunik_ioeventfd *e, lunik_error *err);

/* Transactions nest; the outermost commit renders the changes and notifies the listeners in one
 * pass. On failure (a listener can't follow) every change since the outermost begin is undone and
 * the error reported by that commit. Outside a transaction each call is one of its own. Listeners
 * can't change the topology while they are notified: transactions of theirs fail if they try to.
 *
 * Objects and devices added in a transaction are there at once, but are not announced before it
 * has been committed; when it fails they are deleted, newest first. Deletions, and requests to the
 * guest to release a device, wait for the commit. Properties that have been set get their old
 * values back when it fails. The lock must be held from begin to end. */

/* Opens a transaction. Does nothing on a closed machine. */
void lunik_transaction_begin(lunik_machine *m);
/* Ends it; the outermost one applies the changes. LUNIK_E_STATE: none is open, one inside this one
 * was aborted, or a listener tries to change the topology; others: a listener can't follow. */
int lunik_transaction_commit(lunik_machine *m, lunik_error *err);
/* Ends it without applying its changes. A nested one takes those around it along: the outermost
 * commit fails and everything since the outermost begin is undone. */
void lunik_transaction_abort(lunik_machine *m);
/* Returns whether a transaction is open. */
bool lunik_in_transaction(const lunik_machine *m);
/* Returns whether listeners are being notified. */
bool lunik_in_listener(const lunik_machine *m);

/* A change outside the memory map that commits or rolls back with a transaction, such as an object
 * added or deleted in it. Embed it, zeroed but for the functions. After the outermost transaction
 * has been committed commit is called, in the order of the notes; when it fails undo (may be NULL)
 * is, in reverse order. */
typedef struct lunik_change lunik_change;
struct lunik_change {
    void (*commit)(lunik_change *c);
    void (*undo)(lunik_change *c);
    lunik_change *prev, *next; /* private to the runtime, with noted */
    bool noted;
};
/* Notes a change; outside a transaction commit is called at once. Does nothing if it is noted
 * already: so a device notifies the guest once, however much a transaction changed. */
void lunik_transaction_note(lunik_machine *m, lunik_change *c);
/* Withdraws a note: neither function is called. Does nothing if it is not noted. */
void lunik_transaction_forget(lunik_machine *m, lunik_change *c);

/* ---- address spaces ------------------------------------------------------------------------- */

/* Makes an address space that shows root: its address a is root's offset a. LUNIK_E_INVALID: root
 * is another machine's; LUNIK_E_STATE: in a listener's hook; others: a listener can't follow. */
int lunik_space_new(lunik_machine *m, const char *name, lunik_region *root, lunik_space **out,
                    lunik_error *err);
/* Removes a space made with lunik_space_new(), with the listeners that follow it alone; not in a
 * listener's hook. s may be NULL; its machine may be closed. */
void lunik_space_free(lunik_space *s);
/* Return a space's name and root. */
const char *lunik_space_name(const lunik_space *s);
lunik_region *lunik_space_root(const lunik_space *s);
/* Returns the machine's spaces one by one: previous NULL starts, NULL ends. */
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
/* Fills *out with the numbers of now. Any thread, while the space exists. */
void lunik_space_get_stats(const lunik_space *s, lunik_space_stats *out);

/* Finds the section that contains address, as of the last commit; false if nothing is there. */
bool lunik_space_find(lunik_space *s, uint64_t address, lunik_section *out);

/* Maps guest memory for direct access by devices: returns a host pointer to at most *size bytes at
 * address and sets *size to what can be reached in one piece. NULL: nothing is there, it can't be
 * written, *size is 0, or there is no memory. Addresses without RAM are reached through a bounce
 * buffer, which is filled here. The pointer stays valid, with the lock or without, until it is
 * unmapped. */
void *lunik_space_map(lunik_space *s, uint64_t address, uint64_t *size, bool write);
/* Ends a mapping: s, size and write are those of the mapping, accessed is how many bytes from its
 * start on have been read or written. Written bytes are marked dirty, a bounce buffer's are written
 * to the device. Does nothing if there is no such mapping. */
void lunik_space_unmap(lunik_space *s, void *host, uint64_t size, bool write, uint64_t accessed);

/* ---- causes --------------------------------------------------------------------------------- */

/* A frame of the cause stack: the action in progress and the action that led to it. Code that may
 * change the memory map fills in a frame, pushes it, and pops it on the same thread; a pushed frame
 * must not be modified, and its names must last until it is popped. */
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
    const lunik_cause *by; /* private to the runtime, with serial; NULL: nothing is known */
    uint64_t serial;
};
/* Push a frame, and pop the one pushed last. Any thread. */
void lunik_cause_push(lunik_cause *c);
void lunik_cause_pop(lunik_cause *c);

/* The following return NULL when nothing is known. Their results last until the next topology
 * change. */

/* Returns what led to the last change at an address: to what shows there now, or to nothing
 * showing.
 */
const lunik_cause *lunik_space_why(lunik_space *s, uint64_t address);
/* Returns, in a listener's hook, why the section comes or goes. */
const lunik_cause *lunik_section_cause(const lunik_section *s);
/* Returns what opened the transaction under way. */
const lunik_cause *lunik_transaction_cause(const lunik_machine *m);
/* Returns a copy of a cause and those it is by, in one piece to free(); NULL when out of memory. */
lunik_cause *lunik_cause_copy(const lunik_cause *cause);
/* Describes a cause in one line: sets *text, which the caller passes to free(), and returns its
 * length. NULL and 0 when out of memory. */
size_t lunik_cause_text(const lunik_cause *cause, char **text);
/* Does the same into size bytes at buf (NULL with size 0: only measures), cut as by snprintf();
 * returns the length of the whole line. Any thread, with its own stack's causes. */
size_t lunik_cause_print(const lunik_cause *cause, char *buf, size_t size);

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

/* Return the Lua name of a reason, and its meaning for people; "unknown" for other numbers. Any
 * thread. */
const char *lunik_reject_name(lunik_reject why);
const char *lunik_reject_meaning(lunik_reject why);

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
/* Describes a rejection in one line: sets *text, which the caller passes to free(), and returns its
 * length. NULL and 0 when out of memory. */
size_t lunik_rejection_text(const lunik_rejection *r, char **text);

typedef void lunik_reject_fn(void *opaque, const lunik_rejection *r);

typedef struct lunik_reject_sub {
    lunik_reject_fn *fn;
    void *opaque;
    lunik_sub_link link;
} lunik_reject_sub;

/* Subscribes to rejected accesses of vCPUs, devices and lunik_space_*() (see "Subscriptions" in
 * lunik.h). Called where the access is made, on the vCPU's own thread for a vCPU, before the access
 * ends: nothing is queued, so that a guest can't fill memory; it only waits. *r and what it
 * points to last until fn returns. Closing the machine there takes effect soon after. Rejections
 * while subscribers are called, and those by a region that is gone before the lock can be had, are
 * only counted. Accepted accesses pay nothing for it. */
void lunik_reject_subscribe(lunik_machine *m, lunik_reject_sub *sub);
/* Ends a subscription. */
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
    lunik_machine *machine; /* private to the runtime from here on */
    lunik_listener *next;
};

/* Registers l, which stays where it is until it is removed or the machine has closed, and replays
 * the present topology to it. LUNIK_E_STATE: in a listener's hook; others: it refuses. */
int lunik_listener_add(lunik_machine *m, lunik_listener *l, lunik_error *err);
/* Unwinds it (region_del for everything) and removes it; called from a hook it only removes it.
 * Does nothing if it is not registered. */
void lunik_listener_del(lunik_listener *l);

/* ---- dirty pages ---------------------------------------------------------------------------- */

/* Clients of dirty logging. Each has its own bitmap of host pages per RAM block, so clients do not
 * interfere. */
typedef enum lunik_dirty_client {
    LUNIK_DIRTY_MIGRATION = 1,
    LUNIK_DIRTY_DISPLAY = 2,
    LUNIK_DIRTY_USER = 4,
    LUNIK_DIRTY_RATE = 8, /* lunik's own dirty rate measurement */
} lunik_dirty_client;
enum { LUNIK_DIRTY_CLIENTS = 4, LUNIK_DIRTY_PAGE = 4096 };

/* The scope of a log: a region that has RAM; all regions of a block, now and later; or, with both
 * NULL, all of the machine's memory, now and later. Region and block must stay until the logging
 * ends. */
typedef struct lunik_dirty_scope {
    lunik_region *region;
    lunik_ram *ram;
} lunik_dirty_scope;

/* Start and end logging for a client; starts of the same scope are counted. A client's bits are
 * clear when its logging of a block starts and dropped when it ends. Every write that begins after
 * lunik_dirty_start() has returned is in the bitmap after the next lunik_dirty_sync(), or, if it
 * happens during that, after the one after. scope may be NULL: all of the machine's memory.
 * LUNIK_E_INVALID: client is not one bit, or the region has no RAM or another machine;
 * LUNIK_E_STATE: in a listener's hook, or the client does not log what it is to end; others: a
 * listener can't log. */
int lunik_dirty_start(lunik_machine *m, lunik_dirty_client client, const lunik_dirty_scope *scope,
                      lunik_error *err);
int lunik_dirty_stop(lunik_machine *m, lunik_dirty_client client, const lunik_dirty_scope *scope,
                     lunik_error *err);

/* Collects what has been written into the bitmaps of all clients. Bits only appear here, when
 * memory is written through an address space, and in lunik_dirty_mark(). LUNIK_E_STATE: in a
 * listener's hook. */
int lunik_dirty_sync(lunik_machine *m, lunik_error *err);

/* Returns, by index from 0, the blocks in which dirty pages may be found while a client logs: those
 * that an address space shows, and those that it has shown in this time and that still have dirty
 * pages. In order of appearance; NULL past the last one. */
lunik_ram *lunik_dirty_block(lunik_machine *m, size_t index);

/* Counts the dirty pages of a block for one client. Ranges, in bytes, include the pages that they
 * touch. */
uint64_t lunik_dirty_count(const lunik_ram *ram, lunik_dirty_client client, uint64_t offset,
                           uint64_t size);
/* Finds the first run of dirty pages at or after *offset and below end: true, and the run. With
 * size NULL it finds its first page only, without a look at how long the run is: to go from page to
 * page, call again with *offset + LUNIK_DIRTY_PAGE. Any thread that has a reference. */
bool lunik_dirty_next(const lunik_ram *ram, lunik_dirty_client client, uint64_t *offset,
                      uint64_t end, uint64_t *size);
/* Clears the client's bits, so that later writes set them again, and returns how many were set.
 * bits (may be NULL) receives them: (pages of the range + 63) / 64 words. A page read after this
 * call shows every write that had set its bit; later writes set the bit again. */
uint64_t lunik_dirty_test_and_clear(lunik_machine *m, lunik_dirty_client client, lunik_ram *ram,
                                    uint64_t offset, uint64_t size, uint64_t *bits);

/* Marks a range of a region as written, for writes that bypass the address spaces (host pointers,
 * DMA, accelerators that a listener serves). Call it after the write. Any thread that has a
 * reference. */
void lunik_dirty_mark(lunik_region *r, uint64_t offset, uint64_t size);

/* Hashes of random pages of all RAM that an address space shows, to compare with what is there
 * later. */
typedef struct lunik_dirty_sample lunik_dirty_sample;
/* Takes one: per_gib pages of every GiB, and 64 or all pages of a smaller block. */
int lunik_dirty_sample_new(lunik_machine *m, unsigned per_gib, lunik_dirty_sample **out,
                           lunik_error *err);
typedef struct lunik_dirty_sampled {
    lunik_ram *ram;
    uint64_t pages;   /* looked at */
    uint64_t changed; /* of these */
} lunik_dirty_sampled;
/* Compares one of its blocks, by index from 0; false past the last one. */
bool lunik_dirty_sample_compare(const lunik_dirty_sample *s, size_t index,
                                lunik_dirty_sampled *out);
/* Frees it. s may be NULL. */
void lunik_dirty_sample_free(lunik_dirty_sample *s);

enum {
    LUNIK_MTREE_FLAT = 1,     /* what the address spaces show instead of the tree of regions */
    LUNIK_MTREE_OWNER = 2,    /* with each region's owner */
    LUNIK_MTREE_DISABLED = 4, /* disabled regions too */
};
/* Prints the machine's memory map as text, in the format of QEMU's "info mtree". Returns its
 * length; the caller passes *out to free(). NULL and 0 when out of memory. */
size_t lunik_mtree(lunik_machine *m, unsigned flags, char **out);

/* ---- DMA ------------------------------------------------------------------------------------ */

/* A device's way to an address space, for its own threads: they need not hold the machine lock, and
 * memory is reached without it. Several threads may use one at once; one for each queue is faster.
 *
 * It has a gate, closed at first, that a bus-master bit opens and closes. While it is closed
 * accesses fail with LUNIK_E_STATE, and with LUNIK_E_GONE once the space is gone; what would have
 * been read is all ones.
 *
 * Addresses without RAM (a device, ROM that is written, nothing) are reached under the machine
 * lock, which is taken for at most 4 KiB at a time: by a thread that has it already it is not taken
 * again. Writes of coalesced ranges that are delayed are delivered before such a piece, not before
 * an access to RAM: as behind an ioeventfd, what a device must see in order belongs into registers
 * without a coalesced range, or the device calls lunik_coalesced_flush(). */
typedef struct lunik_dma lunik_dma;

/* Makes one for a space. It stays usable, without effect, when the space goes first. */
int lunik_dma_new(lunik_space *s, lunik_dma **out, lunik_error *err);
/* Frees it. No call but lunik_dma_unmap() may begin afterwards; calls under way and mappings end as
 * usual, at the latest before the runtime is freed. Functions that wait in lunik_dma_disable() are
 * not called any more. d may be NULL. */
void lunik_dma_free(lunik_dma *d);

/* A function to call when no access is under way; see lunik_dma_disable(). Embed it, zeroed but for
 * fn, which runs on the loop thread. */
typedef struct lunik_dma_idle lunik_dma_idle;
struct lunik_dma_idle {
    void (*fn)(lunik_dma_idle *idle);
    lunik_dma_idle *next; /* private to the runtime */
};
/* Opens the gate. */
void lunik_dma_enable(lunik_dma *d);
/* Closes the gate, and waits for nothing. idle (may be NULL) is called once, later: when no access
 * is under way and nothing is mapped, or the gate has been opened again. It must not be waiting
 * already. */
void lunik_dma_disable(lunik_dma *d, lunik_dma_idle *idle);
/* Returns whether the gate is open. Any thread. */
bool lunik_dma_enabled(const lunik_dma *d);

/* Read and write size bytes at address. Any thread. LUNIK_E_ACCESS: nothing takes (a part of) it;
 * LUNIK_E_DEVICE: a device refuses it; all other parts are carried out, as by lunik_space_read().
 * RAM is written like memcpy() does, naturally aligned 2, 4 and 8 bytes at once. */
int lunik_dma_read(lunik_dma *d, uint64_t address, void *buf, size_t size);
int lunik_dma_write(lunik_dma *d, uint64_t address, const void *buf, size_t size);

/* A piece of memory that is mapped: a hold on the RAM block behind it, and not on the memory map.
 * When its region goes it stays valid, with whatever the block holds; it is an access under way
 * until it is unmapped. */
typedef struct lunik_dma_mapping {
    void *host;
    uint64_t size;  /* bytes */
    lunik_dma *dma; /* private to the runtime from here on */
    lunik_ram *ram;
    uint64_t address;
    bool write;
} lunik_dma_mapping;
/* Maps at most size bytes at address; out->size is what is there in one piece. Addresses
 * without RAM are mapped as a buffer of at most 4 KiB that is filled here, or written when it is
 * unmapped; a lunik_dma has 1 MiB for these. LUNIK_E_INVALID: size is 0; LUNIK_E_ACCESS: nothing is
 * there, or it can't be written; LUNIK_E_NO_MEMORY: no buffer is left, nothing is waited for: the
 * caller tries again after an unmapping, or uses lunik_dma_read() and lunik_dma_write(). Any
 * thread. */
int lunik_dma_map(lunik_dma *d, uint64_t address, uint64_t size, bool write,
                  lunik_dma_mapping *out);
/* Ends a mapping. accessed is how many bytes, from the first on, have been read or written; written
 * ones are marked dirty. A buffer's bytes are written as by lunik_dma_write(), with its errors. Any
 * thread. */
int lunik_dma_unmap(lunik_dma_mapping *map, uint64_t accessed);

/* For data paths that reach memory many times between two changes of the memory map. A thread
 * begins an access, which lasts until it ends it; meanwhile it may keep windows, each a stretch of
 * RAM as the map shows it. After a change of the map, which lunik_dma_generation() shows, windows
 * still reach the blocks they were opened on, which may be elsewhere or nowhere: it closes them and
 * opens others. Windows keep blocks, and with them host memory: a device that is idle closes its
 * own. */
typedef struct lunik_dma_window {
    uint64_t first, last; /* addresses */
    void *host;           /* of the byte at first */
    bool writable;
    lunik_ram *ram; /* private to the runtime */
} lunik_dma_window;
/* Begins an access, for which the gate must be open: see lunik_dma_disable(). Fails as
 * lunik_dma_read() does with a closed gate. Any thread. */
int lunik_dma_begin(lunik_dma *d);
/* Ends an access. Any thread. */
void lunik_dma_end(lunik_dma *d);
/* Sets *out to a number that differs before and after a change of the memory map that the space
 * shows, never 0. LUNIK_E_STATE: the gate is closed; LUNIK_E_GONE: the space is gone. In an access,
 * any thread. */
int lunik_dma_generation(lunik_dma *d, uint64_t *out);
/* Opens a window on all RAM that is in one piece around address. LUNIK_E_ACCESS: there is no RAM;
 * LUNIK_E_GONE: the space is gone. In an access, any thread. */
int lunik_dma_window_open(lunik_dma *d, uint64_t address, lunik_dma_window *out);
/* Closes a window. Any thread; the machine lock is taken where a part of the block was lost. */
void lunik_dma_window_close(lunik_dma *d, lunik_dma_window *w);
/* Returns whether writes that were made through w before this call must be reported. After them the
 * caller has made a sequentially consistent store, such as that of a ring's index. Any thread. */
bool lunik_dma_window_logged(const lunik_dma_window *w);
/* Reports that size bytes from address, within w, were written. In an access, any thread. */
void lunik_dma_window_written(lunik_dma *d, const lunik_dma_window *w, uint64_t address,
                              uint64_t size);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
