/*
 * lunik_device.h: what the author of a device or backend needs in addition to lunik.h
 * and lunik_memory.h.
 *
 * A device is a C struct (its state), a table of properties and a lunik_type that names both and
 * the life-cycle functions. The runtime allocates the state zeroed, fills the properties in,
 * calls realize, and undoes it all in reverse. A device reaches other devices only through link
 * properties and the interfaces at the end of this file.
 *
 * What lunik.h says of errors, arguments, threads and lifetime holds here: a function may be called
 * on any thread that holds the machine lock, unless it says otherwise. The functions of a type and
 * of an interface are called with the lock held, on the thread that causes the call; they may
 * release the lock only where that is said.
 */
#ifndef LUNIK_DEVICE_H
#define LUNIK_DEVICE_H

#include <sys/queue.h>

#include "lunik_memory.h"
#include "lunik_state.h"

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/* Report that a call breaks a precondition, for the checks that public functions begin with, here
 * and in libraries of devices: the sentence "function: what" goes to the function set with
 * lunik_set_misuse_cb(), or to standard error; with lunik_misuse_fail() to *err (may be NULL), and
 * LUNIK_E_INVALID is returned. The macros return from the function that uses them, with the value
 * given. Any thread. */
__attribute__((cold)) void lunik_misuse(const char *function, const char *what);
__attribute__((cold)) int lunik_misuse_fail(lunik_error *err, const char *function,
                                            const char *what);

#define LUNIK_REQUIRE(condition, what, ...)                                                        \
    do {                                                                                           \
        if (__builtin_expect(!(condition), 0)) {                                                   \
            lunik_misuse(__func__, what);                                                          \
            return __VA_ARGS__;                                                                    \
        }                                                                                          \
    } while (0)
#define LUNIK_REQUIRE_OR_FAIL(condition, what, err)                                                \
    do {                                                                                           \
        if (__builtin_expect(!(condition), 0))                                                     \
            return lunik_misuse_fail((err), __func__, what);                                       \
    } while (0)
#define LUNIK_NOT_NULL(arg, ...)         LUNIK_REQUIRE(arg, #arg " is NULL", __VA_ARGS__)
#define LUNIK_NOT_NULL_OR_FAIL(arg, err) LUNIK_REQUIRE_OR_FAIL(arg, #arg " is NULL", err)

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

typedef struct lunik_drain lunik_drain;

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
    /* Power-on state; called in order of creation before the first start, at every reset and when
     * a suspended machine wakes up (lunik_machine_waking()). */
    void (*reset)(lunik_object *o);
    /* The machine's vCPUs are about to run (true), or have stopped (false); drain comes before the
     * latter, undrain after the former. */
    void (*run_state)(lunik_object *o, bool running);
    /* Starts the removal of a device that others (the guest) must agree to; without it removal is
     * immediate. Completed with lunik_device_ejected() or lunik_device_refused(). */
    int (*unplug_request)(lunik_object *o, lunik_error *err);
    /* Finish what is in flight, and take no new work until undrain; see "Draining" below. */
    void (*drain)(lunik_object *o, lunik_drain *d);
    /* Take new work again, beginning with what has come meanwhile. */
    void (*undrain)(lunik_object *o);
    /* The kind of hotplug handler that takes its devices in and out ("memory", "cpu", "pci"); see
     * lunik_hotplug_ops. NULL: they need none. It takes the place of unplug_request. Such a type's
     * realize must not release the lock. */
    const char *hotplug;
    const char
        *hotplug_wants; /* what gives a machine such a handler, for an error's "(want ...)" */
    /* The fields of the state struct that are saved: &lunik_state_none if there are none. NULL:
     * objects of the type can't be saved. The tables of ancestors are saved as well. */
    const lunik_state_table *state;
    void *data; /* for the author of the type; the runtime leaves it alone */
};

/* Returns the properties of a type, inherited ones first, by index; NULL past the last one. */
const lunik_prop *lunik_type_prop(const lunik_runtime *rt, const lunik_type *type, size_t index);

/* Returns the state struct of an object, which is not checked. Any thread that has a reference. */
void *lunik_state(const lunik_object *o);
/* Returns the object of a state struct, which is not checked. Any thread that has a reference. */
lunik_object *lunik_state_object(const void *state);
/* Returns the type of an object, replaced or not. Any thread that has a reference. */
const lunik_type *lunik_object_type(const lunik_object *o);
/* Calls the reset function of the object's type, or else that of the nearest ancestor that has one.
 * Returns false if none has. */
bool lunik_object_reset(lunik_object *o);
/* Returns the ops of the interface `name` of o, or NULL if its type does not implement it. For the
 * interfaces declared in these headers use the typed functions, such as lunik_gpe_iface(). Any
 * thread that has a reference. */
const void *lunik_object_iface(const lunik_object *o, const char *name);

/* Defines lunik_<iface>_iface(o), which returns the ops of that interface of an object, or NULL.
 * Needs the struct lunik_<iface>_ops and the interface's name, LUNIK_IFACE_<iface>. */
#define LUNIK_IFACE_GETTER(iface)                                                                  \
    static inline const lunik_##iface##_ops *lunik_##iface##_iface(const lunik_object *o)          \
    {                                                                                              \
        return (const lunik_##iface##_ops *)lunik_object_iface(o, LUNIK_IFACE_##iface);            \
    }

/* An entry of a type's table of interfaces; ops points to a struct lunik_<iface>_ops:
 *   static const lunik_iface ifaces[] = {LUNIK_IFACE(gpe, &gpe_ops), {0}}; */
#define LUNIK_IFACE(iface, ops)                                                                    \
    {                                                                                              \
        LUNIK_IFACE_##iface, true ? (ops) : (const lunik_##iface##_ops *)NULL                      \
    }

/* Makes `user` one of the users of o, as a link property does: o can't be deleted meanwhile. May be
 * done several times. */
int lunik_object_use(lunik_object *o, lunik_object *user, lunik_error *err);
/* Undoes it once. Does nothing if `user` does not use o. */
void lunik_object_unuse(lunik_object *o, lunik_object *user);

/* Declares that `user` is the only user of o until lunik_object_release(); o can't be deleted
 * meanwhile. Several users share with link properties or lunik_object_use() instead. LUNIK_E_BUSY:
 * o has another user. */
int lunik_object_claim(lunik_object *o, lunik_object *user, lunik_error *err);
/* Ends the claim. Does nothing if `user` has none. */
void lunik_object_release(lunik_object *o, lunik_object *user);
/* Returns the object that has claimed o, or NULL. */
lunik_object *lunik_object_claimed_by(const lunik_object *o);

/* Reports that the guest has ejected a device: it is unrealized and deleted, event
 * "device-deleted". If that is not possible, because it is in use or a listener can't follow, the
 * device stays, event "device-unplug-guest-error" {device, path, reason}. Also without a request.
 */
void lunik_device_ejected(lunik_object *o);
/* Reports that the guest has refused a request to release a device: event
 * "device-unplug-guest-error" {device, path, source, status}. Does nothing if there was none. */
void lunik_device_refused(lunik_object *o, uint64_t source, uint64_t status);

/* ---- draining ------------------------------------------------------------------------------- */

/*
 * An object that does work outside the calls it gets (on a thread, in the kernel, with callbacks of
 * the loop) has a drain function. The machine calls it
 *   when it pauses, is reset, shuts down or is closed: after the vCPUs have stopped, and before
 *   run_state(false), reset and unrealize;
 *   when the object is to be removed, before it leaves the guest's view;
 *   for lunik_machine_drain(), while the guest may be running.
 * From then on the object leaves new work where it is, such as in the guest's queues, and reports
 * with lunik_drain_done() when nothing is in flight any more: within the call where nothing is,
 * else later. Its timers (the machine's clock goes on meanwhile), tasks and uv handles work as
 * ever. When the object is to go on, undrain is called, which takes up the work that has come.
 *
 * Each call of drain is answered by one lunik_drain_done(), in any case: also where undrain, reset
 * or unrealize come first, as they do when the object takes longer than the machine waits (the
 * drain_timeout of its configuration). Then a pause fails and a device that is to be removed stays;
 * a reset, a shutdown and a close go on, so reset and unrealize end what is still in flight. drain
 * is not called again before the answer to the last call. Until then the object's state stays, even
 * when the machine is closed and the runtime freed.
 *
 * An object is asked when those that use it (link properties, lunik_object_use()) have finished,
 * since these may need it; undrain is called in the order of creation. One that is added meanwhile
 * is asked as well, and one that is removed while it is drained does not go on. drain and
 * undrain are called with the machine lock held, which they must not release, on any thread.
 */

/* Reports that nothing is in flight any more. Any thread, with or without the machine lock; the
 * last use of d. */
void lunik_drain_done(lunik_drain *d);
/* Returns the object that was asked. Until lunik_drain_done(); any thread. */
lunik_object *lunik_drain_object(const lunik_drain *d);

/* ---- data of higher layers ------------------------------------------------------------------ */

/* Attaches data of a higher layer (ACPI tables, bindings) to a machine, in place of what is
 * attached under that key, a string constant. release (may be NULL) is called with the data when it
 * is replaced or the machine closes. Returns 0, or LUNIK_E_NO_MEMORY for a new key. */
int lunik_machine_set_data(lunik_machine *m, const char *key, void *data, void (*release)(void *));
/* Returns the data attached under a key, or NULL. */
void *lunik_machine_data(const lunik_machine *m, const char *key);
/* Do the same for what all machines of a runtime share; released when the runtime is freed, after
 * its machines. */
int lunik_runtime_set_data(lunik_runtime *rt, const char *key, void *data, void (*release)(void *));
void *lunik_runtime_data(const lunik_runtime *rt, const char *key);

/* Keeps a runtime from being freed: lunik_runtime_free() fails with LUNIK_E_BUSY until as many
 * lunik_runtime_unuse() calls have been made. For a higher layer that keeps pointers to it. */
void lunik_runtime_use(lunik_runtime *rt);
/* Undoes it once. */
void lunik_runtime_unuse(lunik_runtime *rt);

typedef void lunik_reset_fn(void *opaque);

typedef struct lunik_reset_sub {
    lunik_reset_fn *fn;
    void *opaque;
    lunik_sub_link link;
} lunik_reset_sub;

/* Subscribes to the end of every reset, which a wake-up is none of (see "Subscriptions" in
 * lunik.h): devices and boot images are in their power-on state and no vCPU runs yet. Called on the
 * thread that resets the machine. Closing the machine there takes effect soon after. */
void lunik_reset_subscribe(lunik_machine *m, lunik_reset_sub *sub);
/* Ends a subscription. */
void lunik_reset_unsubscribe(lunik_reset_sub *sub);

/* ---- clock, timers, deferred work ----------------------------------------------------------- */

/* A clock for register models: a machine's, or a test's. */
typedef struct lunik_clock lunik_clock;
struct lunik_clock {
    uint64_t (*now)(lunik_clock *clock); /* ns */
};
/* Returns the time in ns. Any thread, with a machine's clock. */
static inline uint64_t lunik_clock_read(lunik_clock *clock)
{
    return clock->now(clock);
}
/* Returns the clock of a machine, which lasts as long as the machine's struct. Any thread. */
lunik_clock *lunik_machine_clock(lunik_machine *m);

/* Reports that memory is not what the guest should see, for example because there was no memory to
 * follow its registers: event "error", source "memory", and a running machine pauses soon. */
void lunik_machine_map_broken(lunik_machine *m, const lunik_error *why);
/* Resets the machine because the guest has asked for it, which can't be refused: if it fails the
 * machine shuts down (reason "reset-failed") and an event "error", source "reset", says why. As
 * lunik_machine_reset() it takes effect soon where it can't be done at once. */
void lunik_machine_guest_reset(lunik_machine *m);
/* Pauses a running machine soon, wherever it is called; a failure is an event "error", source
 * "pause". Any thread that holds the lock. */
void lunik_machine_pause_soon(lunik_machine *m);

/* What wakes a suspended machine. X(NAME, "name in events") */
#define LUNIK_WAKE_MAP(X)                                                                          \
    X(HOST, "host") /* lunik_machine_wakeup() */                                                   \
    X(POWER_BUTTON, "power-button")                                                                \
    X(RTC, "rtc") /* its alarm */                                                                  \
    X(PM_TIMER, "pm-timer")

typedef enum lunik_wake_reason {
#define LUNIK_WAKE_ENUM(name, text) LUNIK_WAKE_##name,
    LUNIK_WAKE_MAP(LUNIK_WAKE_ENUM)
#undef LUNIK_WAKE_ENUM
} lunik_wake_reason;

/* Suspends a running machine because the guest has asked for it (ACPI S3): event "suspend"; the
 * vCPUs leave the guest soon, devices and clocks go on. Does nothing in other states. */
void lunik_machine_suspend(lunik_machine *m);
/* Wakes a suspended machine soon, unless an object refuses (see lunik_sleep_ops); a failure is an
 * event "error", source "wakeup". Does nothing in other states. */
void lunik_machine_wake(lunik_machine *m, lunik_wake_reason reason);
/* Returns whether the reset under way is that of a wake-up. The guest's system goes on: a device
 * keeps what was promised to it, such as hotplug events that it has not seen. Any thread. */
bool lunik_machine_waking(const lunik_machine *m);
/* Returns whether the guest sleeps: the machine is suspended, or paused since. For a state table.
 */
bool lunik_machine_asleep(const lunik_machine *m);
/* Sets that of a paused machine, whose state is being loaded. Does nothing in other states. */
void lunik_machine_set_asleep(lunik_machine *m, bool asleep);

/* A one-shot timer on the machine's clock; fn runs on the loop thread. Embed it. */
typedef struct lunik_timer lunik_timer;
struct lunik_timer {
    void (*fn)(lunik_timer *timer);
    lunik_machine *machine;
    uint64_t deadline; /* ns; UINT64_MAX when idle */
    size_t heap_index; /* private to the runtime */
};
/* Prepares a timer; it is idle. machine may be NULL for a timer that never fires (register models
 * in tests). */
void lunik_timer_init(lunik_timer *timer, lunik_machine *machine, void (*fn)(lunik_timer *));
/* Arms a timer, or arms it again, for deadline, in ns of the machine's clock; UINT64_MAX cancels
 * it. It stays idle if the machine is closed or there is no memory. */
void lunik_timer_set(lunik_timer *timer, uint64_t deadline);
/* Makes it idle: fn is not called. Before the struct is freed. */
void lunik_timer_cancel(lunik_timer *timer);

/* A function to call soon on the loop thread, with the lock held, e.g. from a vCPU's exit to reach
 * libuv. Embed it, zeroed but for fn. */
typedef struct lunik_task lunik_task;
struct lunik_task {
    void (*fn)(lunik_task *task);
    lunik_task *next; /* private to the runtime */
    int pending;      /* private to the runtime */
};
/* Posts a task. Does nothing if it is pending. Any thread. */
void lunik_defer(lunik_runtime *rt, lunik_task *task);
/* Withdraws it, unless its function has begun. Any thread. */
void lunik_defer_cancel(lunik_runtime *rt, lunik_task *task);

/* Work that takes long, e.g. reading a file. run is called on one of the runtime's own threads,
 * without the machine lock, and done on the loop thread with it, after run has returned: rc is 0,
 * or, if run has not been called, LUNIK_E_GONE (the runtime is being freed) or the reason that no
 * thread could be started. Embed it, zeroed but for the functions; done may start it again, or free
 * it. A device whose state it is in keeps a reference to its object from the start to done. */
typedef struct lunik_work lunik_work;
struct lunik_work {
    void (*run)(lunik_work *work);
    void (*done)(lunik_work *work, int rc);
    lunik_runtime *rt; /* private to the runtime from here on */
    lunik_task task;
    lunik_work *next;
    int state, rc;
};
/* Starts a piece of work; up to four run at once, the others wait. The loop thread starts the
 * threads, so work that a vCPU's thread starts runs in the sandbox of the process, not in that of
 * vCPUs. lunik_sandbox() waits a second for run functions and then fails. LUNIK_E_STATE: the work
 * has been started and done has not been called; LUNIK_E_GONE: the runtime is being freed, which
 * waits for run functions with the lock released. Any thread. */
int lunik_work_start(lunik_runtime *rt, lunik_work *work, lunik_error *err);
/* Withdraws a piece of work. True: run had not been called, and neither it nor done will be. False:
 * run has begun, and done follows. Any thread. */
bool lunik_work_cancel(lunik_work *work);

/* Starts a detached thread that takes no signals but those of faults, for calls that block. It
 * inherits the sandbox of the caller, and must have ended, or use nothing of the runtime any more,
 * before the runtime is freed. Any thread but a vCPU's. Returns 0 or an errno value. */
int lunik_thread_start(void *(*fn)(void *), void *arg);

/* A thread with a libuv loop of its own, for devices whose work must neither wait for the machine
 * lock nor hold it; an object of type "iothread" has one. Its functions run without the lock, may
 * take it, and reach memory with lunik_dma_*().
 *
 * A device has a link property with `.link = LUNIK_IFACE_iothread`. Its realize posts a task, which
 * makes the device's handles on the thread. Its unrealize takes a reference to its own object with
 * lunik_object_ref() and posts a task that closes the handles; after the last close callback a task
 * on the runtime's loop drops the reference. When a machine is closed, its iothreads have ended
 * before devices are unrealized: posting fails then, unrealize closes the handles itself, and their
 * close callbacks run when the iothread is freed. */
typedef struct lunik_iothread lunik_iothread;
/* Starts an iothread. With the machine lock, not on a vCPU's thread, whose sandbox it would
 * inherit: LUNIK_E_STATE. LUNIK_E_GONE: the machine is being closed. */
int lunik_iothread_new(lunik_machine *m, lunik_iothread **out, lunik_error *err);
/* Frees an iothread, and waits for nothing: the thread runs the tasks that have been posted, and
 * ends. No call may follow; the call has to precede the end of the runtime. With the machine lock.
 * t may be NULL. */
void lunik_iothread_free(lunik_iothread *t);
/* Calls task->fn soon on the thread, without the lock. Does nothing if the task is pending.
 * LUNIK_E_GONE: it will not be called, because the thread has ended or, if this is the thread, is
 * to end. Any thread. */
int lunik_iothread_post(lunik_iothread *t, lunik_task *task);
/* Withdraws a task. True: it was pending, and will not be called. Any thread. */
bool lunik_iothread_cancel(lunik_iothread *t, lunik_task *task);
/* Returns the loop. Only the iothread may pass it to libuv; once the iothread has ended, a thread
 * that has the machine lock. */
uv_loop_t *lunik_iothread_loop(lunik_iothread *t);
/* Returns whether the calling thread is the iothread. Any thread. */
bool lunik_iothread_here(const lunik_iothread *t);
/* Returns the number of the thread, as gettid() does. Any thread. */
int lunik_iothread_tid(const lunik_iothread *t);

/* "iothread": an object that has an iothread. */
typedef struct lunik_iothread_ops {
    lunik_iothread *(*thread)(lunik_object *o);
} lunik_iothread_ops;
#define LUNIK_IFACE_iothread "iothread"
LUNIK_IFACE_GETTER(iothread)

/* Sets a function that interrupts what a vCPU's thread does with the machine lock, for a layer
 * above the runtime whose callbacks may run for ever. fn is called on a vCPU's thread, in a signal
 * handler, whenever the thread is kicked, for whatever reason: it must be async-signal-safe. There
 * is one for the process; NULL: none. Any thread. */
typedef void lunik_kick_fn(void);
void lunik_set_kick_cb(lunik_kick_fn *fn);
/* Kicks the thread that holds the machine lock, unless that is the loop thread or no function is
 * set. Any thread, also in a signal handler; a machine must not be closed meanwhile. */
void lunik_kick_lock_holder(const lunik_runtime *rt);

/* Output that a device has taken and not yet handed on. Embed it, zeroed but for the first three
 * fields. While it is filled, what it holds is handed on, as far as the other side takes it at
 * once, before the machine's next event is delivered; closing the machine or deleting the owner
 * waits for a slow reader first: for a second without progress and five in all, and without the
 * machine lock. The owner decides what becomes of the rest. */
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
/* Mark an outlet as holding something, or as empty. Each does nothing if it is so already. */
void lunik_outlet_fill(lunik_outlet *outlet, lunik_object *owner);
void lunik_outlet_clear(lunik_outlet *outlet);
/* Flushes a machine's outlets, as before an event. */
void lunik_machine_flush(lunik_machine *m);

/* ---- events --------------------------------------------------------------------------------- */

/* Queues an event for the machine's subscribers, with up to LUNIK_EVENT_FIELDS fields; more are
 * dropped. Strings are copied; names must be static; values must not be lists. When there is no
 * memory the subscribers receive an event "error", source "events", instead. Any thread that has a
 * reference to m:
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

/* Sets the level that a source asks for; calls its function if that changes. */
static inline void lunik_irq_set(lunik_irq *irq, bool level)
{
    if (irq->level != level) {
        irq->level = level;
        if (irq->fn)
            irq->fn(irq, level);
    }
}

/* Connects irq, which is overwritten, as one of the sources of GSI `gsi` (0..23), low; the line is
 * high while any of its sources is. LUNIK_E_INVALID: there is no such line. */
int lunik_irq_connect(lunik_machine *m, lunik_irq *irq, unsigned gsi, lunik_error *err);
/* Lowers the source and disconnects it. */
void lunik_irq_disconnect(lunik_irq *irq);
#define LUNIK_GSI_COUNT 24
/* Return the level of a line, and how many rising edges it has had; low and 0 for lines that do not
 * exist and once m is closed. */
bool lunik_gsi_level(const lunik_machine *m, unsigned gsi);
uint64_t lunik_gsi_edges(const lunik_machine *m, unsigned gsi);

/* Sets what the edge/level control registers of the 8259As hold after a reset: a bit for each of
 * IRQ 0 to 15, 1 for level triggered. A chipset's reset function calls it; in KVM's it takes effect
 * at the end of that reset, in a lunik_irqchip at once. */
void lunik_machine_set_elcr(lunik_machine *m, uint16_t level_triggered);
/* Returns the value that was set last; 0 once m is closed. */
uint16_t lunik_machine_elcr(const lunik_machine *m);
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
/* Ends a subscription. */
void lunik_gsi_unsubscribe(lunik_gsi_sub *sub);

/* ---- message-signalled interrupts ----------------------------------------------------------- */

/* A message that a device writes to interrupt a CPU. */
typedef struct lunik_msi {
    uint64_t address; /* 0xfee00000..0xfeefffff: the local APICs */
    uint32_t data;
} lunik_msi;

/* Sends a message of the device `source`: to the local APICs, with KVM; without it there is an
 * event "msi" {device, address, data} in its place. A message to another address, one to a
 * machine that is closed and, with KVM, one before the first start reach nothing. For PCI devices
 * lunik_pci_vector_send() is what obeys the guest's masks. */
void lunik_msi_send(lunik_object *source, const lunik_msi *msg);
/* Returns how many messages have been sent with lunik_msi_send(); 0 once m is closed. */
uint64_t lunik_msi_count(const lunik_machine *m);
typedef void lunik_msi_fn(void *opaque, lunik_object *source, const lunik_msi *msg);

typedef struct lunik_msi_sub {
    lunik_msi_fn *fn;
    void *opaque;
    lunik_sub_link link;
} lunik_msi_sub;

/* Subscribes to the messages of lunik_msi_send() (see "Subscriptions" in lunik.h). Called on the
 * thread that sends, from within the device that does. Closing the machine there takes effect soon
 * after. */
void lunik_msi_subscribe(lunik_machine *m, lunik_msi_sub *sub);
/* Ends a subscription. */
void lunik_msi_unsubscribe(lunik_msi_sub *sub);

/* An eventfd whose signals are a message: for work that is done without the machine lock. While the
 * route is open KVM sends the message itself. All other signals (it is shut, there is no KVM, KVM
 * has no room for the route) become calls of fn on the loop thread, with the lock. For PCI devices
 * lunik_pci_vector_fd() makes them. */
typedef struct lunik_msi_route lunik_msi_route;
/* Makes one, shut. LUNIK_E_GONE: the machine is closed; LUNIK_E_NO_MEMORY; another error: the host
 * has no descriptor for it. */
int lunik_msi_route_new(lunik_machine *m, void (*fn)(void *opaque), void *opaque,
                        lunik_msi_route **out, lunik_error *err);
/* Returns the eventfd: non-blocking, owned by r. Any thread, until r is freed. */
int lunik_msi_route_fd(const lunik_msi_route *r);
/* Opens the route with a message, or changes the message; NULL: shuts it. A signal that comes
 * meanwhile is not lost, and may be delivered either way. A message that is not to the local APICs
 * shuts it. */
void lunik_msi_route_set(lunik_msi_route *r, const lunik_msi *msg);
/* Frees it: fn is not called any more. The machine may be closed already. r may be NULL. */
void lunik_msi_route_free(lunik_msi_route *r);

/* ---- interrupt controllers ------------------------------------------------------------------ */

/* An interrupt controller that the machine's lines lead to: where KVM has only the local APICs
 * (LUNIK_IRQCHIP_SPLIT), or there is no KVM. Embed it, zeroed but for the functions; those that the
 * controller has no use for may be NULL. They are called with the lock held, on any thread. */
typedef struct lunik_irqchip lunik_irqchip;
struct lunik_irqchip {
    /* A line has changed, before observers see it; at the end of a reset it is called again for
     * those that are high. */
    void (*line)(lunik_irqchip *chip, unsigned gsi, bool level);
    /* lunik_machine_set_elcr() has been called. */
    void (*elcr)(lunik_irqchip *chip, uint16_t level_triggered);
    /* Of 8259As: a CPU acknowledges INTR. Returns the vector. */
    uint8_t (*acknowledge)(lunik_irqchip *chip);
    /* Of an I/O APIC: a local APIC has ended a level-triggered interrupt. */
    void (*end)(lunik_irqchip *chip, uint8_t vector);
    /* Of an I/O APIC: gets the message that a line sends now; false: none. */
    bool (*message)(lunik_irqchip *chip, unsigned gsi, lunik_msi *out);
    lunik_machine *machine; /* private to the runtime from here on */
    LIST_ENTRY(lunik_irqchip) link;
};

/* Adds a controller, and shows it the lines that are high. LUNIK_E_UNSUPPORTED: the machine has
 * those of KVM; LUNIK_E_EXISTS: it has another one with `acknowledge`, or with `message`;
 * LUNIK_E_GONE: it is closed. */
int lunik_irqchip_add(lunik_machine *m, lunik_irqchip *chip, lunik_error *err);
/* Removes it, with INTR low if it has `acknowledge`. Does nothing to one that is not added. */
void lunik_irqchip_remove(lunik_irqchip *chip);
/* Sets INTR, which leads to LINT0 of the first CPU. It calls `acknowledge` when it takes external
 * interrupts: with KVM on its thread, without lunik_acknowledge() does. */
void lunik_irqchip_set_intr(lunik_irqchip *chip, bool level);
/* Reports that the answers of `message` have changed: with KVM, lines that have irqfds follow, and
 * so do the vectors whose ends are reported. */
void lunik_irqchip_changed(lunik_irqchip *chip);
/* Returns INTR; low for machines without such controllers. */
bool lunik_intr(const lunik_machine *m);
/* Does what a CPU does when it takes an external interrupt, for guests of machines without KVM.
 * LUNIK_E_UNSUPPORTED: with KVM its vCPU does it; LUNIK_E_NOT_FOUND: the machine has no 8259As;
 * LUNIK_E_GONE: it is closed. */
int lunik_acknowledge(lunik_machine *m, uint8_t *vector, lunik_error *err);

/* The registers of the interrupt controllers in KVM; of the 8259As bits 0 to 7 are those of the
 * first, 8 to 15 those of the second. */
typedef struct lunik_kvm_irqchip {
    uint16_t irr, imr, isr, elcr;
    uint16_t base, first;      /* vector of input 0; the input with the highest priority */
    uint16_t read_isr, nested; /* 0 or 1 */
    uint8_t apic_id, select;
    uint32_t lines; /* interrupts that the I/O APIC's inputs ask for */
    uint64_t redirection[LUNIK_GSI_COUNT];
} lunik_kvm_irqchip;
/* Reads them. LUNIK_E_UNSUPPORTED: KVM has none, or the machine has no KVM; LUNIK_E_STATE: they are
 * made at the first start; LUNIK_E_GONE: m is closed. */
int lunik_kvm_irqchip_get(lunik_machine *m, lunik_kvm_irqchip *out, lunik_error *err);

/* ---- interfaces between devices ------------------------------------------------------------- */

/* "memory-backend": owns a RAM block. */
typedef struct lunik_memory_backend_ops {
    lunik_ram *(*ram)(lunik_object *o);
} lunik_memory_backend_ops;
#define LUNIK_IFACE_memory_backend "memory-backend"
LUNIK_IFACE_GETTER(memory_backend)

/* "memory-device": guest memory that can be plugged (pc-dimm, nvdimm). */
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
#define LUNIK_IFACE_memory_device "memory-device"
LUNIK_IFACE_GETTER(memory_device)
/* Returns the memory device that o is: lunik_memory_device_iface(o) must not be NULL. */
static inline lunik_memory_device *lunik_memory_device_get(lunik_object *o)
{
    const lunik_memory_device_ops *ops = lunik_memory_device_iface(o);
    return ops->get(o);
}
/* Memory slots that a machine can have; the guest names them MP00 to MPFF. */
#define LUNIK_MEMORY_SLOTS_MAX 256

/* "hotplug-handler": the part of a board that takes devices of one kind in and out: those whose
 * type has that kind as hotplug. The kind ("memory", "cpu", "pci") is given to
 * lunik_machine_set_hotplug_handler(). The machine calls, for every such device, also of a machine
 * that has not been started, with the machine lock held, on the thread that adds or removes the
 * device, in this order:
 *   pre_plug, the device's realize, plug    when it is added
 *   unplug_request                          when it is to leave a machine that has been started
 *   unplug, the device's unrealize          when it leaves
 * When realize or plug fails, what was done before is undone in reverse order: after a plug that
 * failed unrealize is called, and unplug never. From pre_plug to unplug the handler is in use and
 * can't be deleted. All but unplug_request must be given. */
typedef struct lunik_hotplug_ops {
    /* The device's properties are set, it is not realized. Checks them and chooses slot and
     * address; changes nothing but the device's own fields, so that there is nothing to undo. May
     * fail. */
    int (*pre_plug)(lunik_object *handler, lunik_object *device, lunik_error *err);
    /* Puts the device where pre_plug decided. May fail, with nothing changed. */
    int (*plug)(lunik_object *handler, lunik_object *device, lunik_error *err);
    /* Asks the guest to give the device up. The answer, lunik_device_ejected() or
     * lunik_device_refused(), may come within the call. May fail: the device stays, the guest
     * was not asked. NULL: devices leave unasked. */
    int (*unplug_request)(lunik_object *handler, lunik_object *device, lunik_error *err);
    /* Takes the device out. Can't fail. */
    void (*unplug)(lunik_object *handler, lunik_object *device);
} lunik_hotplug_ops;
#define LUNIK_IFACE_hotplug "hotplug-handler"
LUNIK_IFACE_GETTER(hotplug)
/* Makes handler, which has the interface, that of a kind, until it is deleted; NULL: none.
 * LUNIK_E_EXISTS: the machine has another one. */
int lunik_machine_set_hotplug_handler(lunik_machine *m, const char *kind, lunik_object *handler,
                                      lunik_error *err);
/* Returns the handler of a kind, or NULL. */
lunik_object *lunik_machine_hotplug_handler(lunik_machine *m, const char *kind);
/* Returns whether a device is being added to a machine that has been started. */
bool lunik_machine_hotplugging(const lunik_machine *m);

/* "memory-slots": which device is in which slot; what handles the hotplug of memory has it. */
typedef struct lunik_memory_slots_ops {
    /* NULL: the slot is empty, or there is no such slot. With the machine lock held. */
    lunik_object *(*device)(lunik_object *o, unsigned slot);
} lunik_memory_slots_ops;
#define LUNIK_IFACE_memory_slots "memory-slots"
LUNIK_IFACE_GETTER(memory_slots)

/* "acpi-slots": announces memory devices to the guest (the hotplug register block). */
typedef struct lunik_acpi_slots_ops {
    unsigned (*count)(lunik_object *o);
    void (*plug)(lunik_object *o, lunik_object *device); /* device is in its slot */
    void (*unplug_request)(lunik_object *o, lunik_object *device);
    void (*unplug)(lunik_object *o, lunik_object *device); /* the slot becomes empty */
} lunik_acpi_slots_ops;
#define LUNIK_IFACE_acpi_slots "acpi-slots"
LUNIK_IFACE_GETTER(acpi_slots)

/* "cpu": a CPU that is plugged and unplugged; -1 before plug: not chosen. */
typedef struct lunik_cpu_device {
    int64_t socket, die, core, thread, node;
    uint64_t index; /* valid once it is plugged */
    bool hotplugged;
} lunik_cpu_device;
typedef struct lunik_cpu_device_ops {
    lunik_cpu_device *(*get)(lunik_object *o);
} lunik_cpu_device_ops;
#define LUNIK_IFACE_cpu_device "cpu"
LUNIK_IFACE_GETTER(cpu_device)

/* "gpe": latches a general-purpose event and raises SCI if it is enabled. */
typedef struct lunik_gpe_ops {
    unsigned count; /* there are events 0..count-1 */
    void (*raise)(lunik_object *o, unsigned gpe);
} lunik_gpe_ops;
#define LUNIK_IFACE_gpe "gpe"
LUNIK_IFACE_GETTER(gpe)

/* Each CPU that a machine can have, up to its configuration's maxcpus, has an index, which is its
 * APIC id, and is plugged or not; with KVM it is the vCPU of that index.
 *
 * Returns whether a CPU is plugged. Any thread. */
bool lunik_cpu_present(const lunik_machine *m, unsigned index);
/* Returns how many CPUs are plugged. Any thread. */
unsigned lunik_cpu_count(const lunik_machine *m);
/* Returns the NUMA node that lists a CPU; one that is not listed is in node 0. Any thread. */
unsigned lunik_cpu_node(const lunik_machine *m, unsigned index);
/* Plugs a CPU. In a machine that has been started its vCPU is created, or taken into use again, and
 * waits for INIT and SIPI like one after power-on. For hotplug handlers; with the machine lock,
 * which is not released. LUNIK_E_INVALID: there can be no such CPU; LUNIK_E_EXISTS: it is plugged;
 * others: the host can't make a vCPU or its thread, and nothing has changed. */
int lunik_cpu_plug(lunik_machine *m, unsigned index, lunik_error *err);
/* Unplugs a CPU, except the first; does nothing if it is not plugged. Its vCPU executes nothing
 * from now on, and its thread ends as soon as it has completed the access in flight: it may be the
 * caller. For hotplug handlers; with the machine lock, which is not released. */
void lunik_cpu_unplug(lunik_machine *m, unsigned index);

/* "power-button" */
typedef struct lunik_power_button_ops {
    int (*press)(lunik_object *o, lunik_error *err);
} lunik_power_button_ops;
#define LUNIK_IFACE_power_button "power-button"
LUNIK_IFACE_GETTER(power_button)

/* "sleep": follows the machine into ACPI's S3 and out of it. Each function may be NULL; they are
 * called with the lock held, which they must not release, and create and delete no objects. */
typedef struct lunik_sleep_ops {
    /* The machine has been suspended, or goes on in that state after a pause. */
    void (*suspended)(lunik_object *o);
    /* Whether the guest lets that wake the machine; NULL: yes. */
    bool (*wakes)(const lunik_object *o, lunik_wake_reason reason);
    /* The machine wakes up: devices have been reset, and no vCPU runs yet. */
    void (*woken)(lunik_object *o, lunik_wake_reason reason);
} lunik_sleep_ops;
#define LUNIK_IFACE_sleep "sleep"
LUNIK_IFACE_GETTER(sleep)

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
#define LUNIK_IFACE_acpi_pm "acpi-pm"
LUNIK_IFACE_GETTER(acpi_pm)

/* "acpi": a device's own part of the ACPI namespace: the name of an ASL part (acpi/<part>.asl) and
 * the numbers to patch into it. */
#define LUNIK_ACPI_VALUES 16
typedef struct lunik_acpi_node {
    const char *part;
    /* Absolute path of the object that the part's names go into, such as "\\_SB.MHPC"; it must be
     * in an earlier node. NULL: where the part says. */
    const char *scope;
    /* How many copies of the part, each with its number as UNIT; 0: one. Where scope is given they
     * are numbered from 0, else they go on from those there are. A part without UNIT has no
     * copies. */
    uint64_t copies;
    /* Name of a method to be made in scope: it notifies copy Arg0 of Arg1. NULL: none. Such a node
     * is an enumeration that may be empty: copies 0 is none. */
    const char *notify;
    size_t count; /* of values */
    struct {
        const char *name; /* four characters, a Name() object in the part */
        uint64_t value;
    } values[LUNIK_ACPI_VALUES];
    /* Of the first 32 copies, those that are left out: a bit for each. */
    uint32_t absent;
    /* Name of a method without arguments to be made in scope: it calls those whose absolute paths
     * are in calls, which ends with NULL. NULL: none. */
    const char *method;
    const char *const *calls;
    uint64_t first; /* number of the first copy, where scope is given */
} lunik_acpi_node;
/* Called while the tables are made, with the lock held; they must change nothing. Strings in a node
 * must live as long as the device. */
typedef struct lunik_acpi_ops {
    void (*describe)(lunik_object *o, lunik_acpi_node *out);
    /* Further nodes of the device, after that of describe: fills out, which is zeroed, with the
     * one of that index, from 0, or returns false: there is none. May be NULL. */
    bool (*describe_more)(lunik_object *o, unsigned index, lunik_acpi_node *out);
} lunik_acpi_ops;
#define LUNIK_IFACE_acpi "acpi"
LUNIK_IFACE_GETTER(acpi)

/* "acpi-table": a table that a device makes itself, in addition to its part of the namespace. */
typedef struct lunik_acpi_table_ops {
    const char *signature; /* four characters, a constant */
    uint8_t revision;
    /* Writes what follows the table's header, the first `size` bytes of it at most, to buf. Returns
     * how many there are; 0: there is no such table now. With the lock held. */
    size_t (*contents)(lunik_object *o, void *buf, size_t size);
} lunik_acpi_table_ops;
#define LUNIK_IFACE_acpi_table "acpi-table"
LUNIK_IFACE_GETTER(acpi_table)

/* "fw-cfg": hands named files, and items that have only a number, to firmware. */
#define LUNIK_FW_CFG_NAME_SIZE 56 /* bytes of a file's name, with the zero byte at its end */

/* Where the contents of an item come from. */
typedef struct lunik_fw_cfg_source {
    const void *data; /* what it has to begin with: size bytes, which are copied */
    size_t size;      /* below 2^32 */
    /* Optional: called when the guest selects the item, or the directory, which has its size; it
     * may give the item new contents with set(), which stay until the next call. With the lock
     * held, which it may release. */
    void (*select)(void *opaque);
    void (*release)(void *opaque); /* optional: called when the item goes, not if add() fails */
    void *opaque;
} lunik_fw_cfg_source;
typedef struct lunik_fw_cfg_ops {
    /* Adds a file, or with name NULL the item `key`. LUNIK_E_INVALID: the name or the number is not
     * possible; LUNIK_E_EXISTS: there is one already; LUNIK_E_NO_SPACE: there are too many. */
    int (*add)(lunik_object *o, const char *name, uint16_t key, const lunik_fw_cfg_source *source,
               lunik_error *err);
    /* Replaces the contents of what has been added. LUNIK_E_NOT_FOUND: there is no such item. */
    int (*set)(lunik_object *o, const char *name, uint16_t key, const void *data, size_t size,
               lunik_error *err);
    /* Returns the contents, brought up to date as for the guest, and valid until they are replaced;
     * NULL: there is no such item. */
    const void *(*find)(lunik_object *o, const char *name, uint16_t key, size_t *size);
    /* Returns the name of a file by index, in the order of addition; NULL: there are no more. */
    const char *(*file)(lunik_object *o, size_t index);
} lunik_fw_cfg_ops;
#define LUNIK_IFACE_fw_cfg "fw-cfg"
LUNIK_IFACE_GETTER(fw_cfg)

/* "chardev": a byte stream to the world outside. */
typedef struct lunik_chardev_front {
    void *opaque;
    size_t (*can_receive)(void *opaque); /* bytes that receive would take now */
    void (*receive)(void *opaque, const uint8_t *data, size_t size);
    void (*writable)(void *opaque); /* after a short write: there is room again */
    /* Optional: the line is held in the state of a start bit for longer than a character. */
    void (*line_break)(void *opaque);
    /* Optional: a descriptor that the other side has sent (SCM_RIGHTS), before the bytes that came
     * with it. The front end owns it. Without this they are closed at once. */
    void (*receive_fd)(void *opaque, int fd);
    /* Optional: the other side of a chardev-socket has come or gone. Input that the front end has
     * not taken by then is lost. */
    void (*connection)(void *opaque, bool open);
} lunik_chardev_front;
typedef struct lunik_chardev_ops {
    /* One front end at a time; it outlives the attachment. front NULL detaches. */
    int (*attach)(lunik_object *o, const lunik_chardev_front *front, lunik_error *err);
    /* Takes at most size bytes, never blocks; returns how many it took. */
    size_t (*write)(lunik_object *o, const uint8_t *data, size_t size);
    /* The front end can receive again. */
    void (*accept_input)(lunik_object *o);
    /* Optional: sends the front end a break, which overtakes input that waits. LUNIK_E_UNSUPPORTED:
     * none is attached, or one that knows no breaks. */
    int (*send_break)(lunik_object *o, lunik_error *err);
} lunik_chardev_ops;
#define LUNIK_IFACE_chardev "chardev"
LUNIK_IFACE_GETTER(chardev)

/* "chardev-tap": what the front end of a character device has written, kept for the program's
 * observers wherever the device sends it. Positions count the bytes that the front end has written
 * since the object was made. With the lock held. */
typedef struct lunik_chardev_tap_ops {
    /* Keeps the last bytes of what is written from now on, size of them (1 to 1 GiB); does nothing
     * if some are kept already. LUNIK_E_NO_MEMORY. */
    int (*keep)(lunik_object *o, uint64_t size, lunik_error *err);
    /* As in lunik_chardev_buffer_ops; before keep() nothing is kept and nothing called. */
    size_t (*peek)(lunik_object *o, uint64_t position, uint8_t *buf, size_t size);
    uint64_t (*first)(lunik_object *o);
    uint64_t (*total)(lunik_object *o);
    void (*set_notify)(lunik_object *o, void (*fn)(void *opaque), void *opaque);
} lunik_chardev_tap_ops;
#define LUNIK_IFACE_chardev_tap "chardev-tap"
LUNIK_IFACE_GETTER(chardev_tap)

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
#define LUNIK_IFACE_chardev_buffer "chardev-buffer"
LUNIK_IFACE_GETTER(chardev_buffer)

/* "netdev-peer": the program's end of a netdev-lua. Frames are whole: Ethernet, without checksum.
 */
typedef struct lunik_netdev_peer_ops {
    /* Queues a frame for the card, on its pair of queues 0 to queues - 1. False: the queue is full,
     * or there is no such pair. */
    bool (*send)(lunik_object *o, unsigned queue, const uint8_t *frame, size_t size);
    /* fn is called with each frame of the card, on the loop thread with the lock held, and may
     * delete the object. NULL: frames are dropped. */
    void (*watch)(lunik_object *o,
                  void (*fn)(void *opaque, unsigned queue, const uint8_t *frame, size_t size),
                  void *opaque);
} lunik_netdev_peer_ops;
#define LUNIK_IFACE_netdev_peer "netdev-peer"
LUNIK_IFACE_GETTER(netdev_peer)

/* "block-functions": a disk whose contents functions of a program provide (type "blockdev-lua"). */
typedef enum lunik_block_call {
    LUNIK_BLOCK_READ,    /* fill size bytes at data */
    LUNIK_BLOCK_WRITE,   /* take size bytes at data */
    LUNIK_BLOCK_FLUSH,   /* what was written is to be kept */
    LUNIK_BLOCK_DISCARD, /* what is in size bytes at offset is not needed any more */
} lunik_block_call;
typedef struct lunik_block_functions {
    /* Carries a request out; offset and size, at most 256 KiB but for DISCARD, are in bytes, and
     * inside the disk. Returns 0 or a negative errno. On the loop thread, with the lock held. */
    int (*call)(void *opaque, lunik_object *o, lunik_block_call what, uint64_t offset, void *data,
                uint64_t size);
    void *opaque;
} lunik_block_functions;
typedef struct lunik_block_functions_ops {
    /* Sets the functions, which are copied; until then requests fail. */
    void (*set)(lunik_object *o, const lunik_block_functions *functions);
} lunik_block_functions_ops;
#define LUNIK_IFACE_block_functions "block-functions"
LUNIK_IFACE_GETTER(block_functions)

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
