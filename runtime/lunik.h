/*
 * lunik.h: the embedding API.
 *
 * A runtime owns a private libuv loop and any number of machines. A machine owns two address
 * spaces (memory and I/O ports), a tree of objects (backends and devices), GSI lines and, with
 * KVM, vCPUs. A board is composed from the outside: create a machine, add objects and devices,
 * load something to boot, start it.
 *
 * The rules below hold for all public headers, where a declaration says nothing else.
 *
 * Errors: functions that can fail return 0 or one of the negative codes below and describe the
 * failure in *err (err may be NULL). A failed call leaves the machine as it was. Besides the codes
 * named with it a function may return LUNIK_E_INVALID for an argument that it does not take,
 * LUNIK_E_NO_MEMORY, LUNIK_E_GONE when the machine is closed or the object deleted, and what the
 * host answers (LUNIK_E_DENIED, LUNIK_E_NO_SPACE, LUNIK_E_IO).
 *
 * Arguments: pointers must not be NULL. Strings end with a zero byte and are copied if they are
 * kept. Pointers that functions return belong to the library and last as long as what they were
 * asked of; sizes are bytes.
 *
 * Threads: every runtime has one machine lock. The thread that creates the runtime is its loop
 * thread and holds the lock from then on, except while lunik_run() waits. A function may be called
 * on any thread that holds the lock: threads other than the loop thread bracket their calls with
 * lunik_lock() and lunik_unlock(). "Loop thread" means on that thread only, with the lock; "any
 * thread" means with the lock or without. Callbacks are called with the lock held, on the thread of
 * the call that leads to them. A function that may release the lock for a while says so.
 *
 * Lifetime: machines, objects, regions and RAM blocks are counted. A reference keeps the struct
 * and not its runtime: after lunik_runtime_free() it can only be asked for its name, state and
 * size, and dropped.
 */
#ifndef LUNIK_H
#define LUNIK_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/* The version of these headers. The build, pkg-config and lunik_version() take it from here. */
#define LUNIK_VERSION_MAJOR 0
#define LUNIK_VERSION_MINOR 1
#define LUNIK_VERSION_PATCH 0

/* A version as a number, to compare: #if LUNIK_VERSION >= LUNIK_VERSION_NUMBER(0, 2, 0). MINOR and
 * PATCH are below 256. */
#define LUNIK_VERSION_NUMBER(major, minor, patch) ((major)*65536 + (minor)*256 + (patch))
#define LUNIK_VERSION                                                                              \
    LUNIK_VERSION_NUMBER(LUNIK_VERSION_MAJOR, LUNIK_VERSION_MINOR, LUNIK_VERSION_PATCH)

/* The version of these headers as text. */
#define LUNIK_VERSION_STRING                                                                       \
    LUNIK_VERSION_TEXT(LUNIK_VERSION_MAJOR, LUNIK_VERSION_MINOR, LUNIK_VERSION_PATCH)
#define LUNIK_VERSION_TEXT(major, minor, patch)  LUNIK_VERSION_TEXT_(major, minor, patch)
#define LUNIK_VERSION_TEXT_(major, minor, patch) #major "." #minor "." #patch

/* Returns the version of the library that is loaded, such as "1.4.2". A program compares it with
 * the headers it was built with. Any thread, with or without the lock. */
const char *lunik_version(void);

typedef struct lunik_runtime lunik_runtime;
typedef struct lunik_machine lunik_machine;
typedef struct lunik_object lunik_object;
typedef struct lunik_type lunik_type;
typedef struct lunik_prop lunik_prop;
typedef struct lunik_region lunik_region;
typedef struct lunik_space lunik_space;
typedef struct lunik_vcpu lunik_vcpu;

/* ---- errors --------------------------------------------------------------------------------- */

/* X(NAME, value, "lua-code", "meaning"). The codes are shared with Lua, where they are strings. */
#define LUNIK_ERROR_MAP(X)                                                                         \
    X(INVALID, -1, "invalid", "a value is not one of those allowed")                               \
    X(NOT_FOUND, -2, "not-found", "no such type, object, property, file or host feature")          \
    X(EXISTS, -3, "exists", "the id or address is taken")                                          \
    X(BUSY, -4, "busy", "the thing is in use")                                                     \
    X(NO_SPACE, -5, "no-space", "no free slot, address, memslot, disk or file space")              \
    X(NO_MEMORY, -6, "no-memory", "the host is out of memory")                                     \
    X(STATE, -7, "state", "not possible in the machine's present state")                           \
    X(UNSUPPORTED, -8, "unsupported", "not supported by this host, kernel or board")               \
    X(DENIED, -9, "denied", "the host refuses permission")                                         \
    X(IO, -10, "io", "a host system call failed")                                                  \
    X(TIMEOUT, -11, "timeout", "the time given ran out")                                           \
    X(GONE, -12, "gone", "the thing no longer exists")                                             \
    X(ACCESS, -13, "access", "nothing at a guest address takes such an access")                    \
    X(SCRIPT, -14, "script", "a script callback failed")                                           \
    X(DEVICE, -15, "device", "a device refused an access")

enum {
    LUNIK_OK = 0,
#define LUNIK_ERROR_ENUM(name, value, lua, text) LUNIK_E_##name = (value),
    LUNIK_ERROR_MAP(LUNIK_ERROR_ENUM)
#undef LUNIK_ERROR_ENUM
};

/* A failure: what went wrong, which value, what was expected. Functions that succeed leave it as it
 * is. */
typedef struct lunik_error {
    int code;           /* LUNIK_E_*, 0 when nothing failed */
    int sys;            /* errno behind it, 0 if none */
    char message[1024]; /* one line, no newline */
} lunik_error;

/* Fills *err (may be NULL) with code, and a message that is made as printf() does, control
 * characters replaced by '?'. Returns code, so that callers write `return lunik_fail(...)`. Any
 * thread. */
int lunik_fail(lunik_error *err, int code, const char *format, ...)
    __attribute__((cold, format(printf, 3, 4)));

/* Does the same for a failed system call: derives the code from the errno value sys (> 0) and
 * appends ": " with the text for it. Any thread. */
int lunik_fail_errno(lunik_error *err, int sys, const char *format, ...)
    __attribute__((cold, format(printf, 3, 4)));

/* Puts "prefix: " before the message of *err (may be NULL) and returns err's code, or code when err
 * is NULL. The prefix is cut to 253 bytes. Any thread. */
int lunik_fail_prefix(lunik_error *err, int code, const char *format, ...)
    __attribute__((cold, format(printf, 3, 4)));

/* Returns the Lua name of a code ("invalid", ...), "unknown" for other numbers. Any thread. */
const char *lunik_error_name(int code);

/* Sets the function that is given a sentence about each misuse: a call that breaks a precondition,
 * such as one with a NULL pointer, names the function called and what is wrong. Such a call does
 * nothing. A function with *err reports in it and returns LUNIK_E_INVALID instead, another one
 * returns the value that stands for nothing. fn NULL: sentences go to the standard error stream.
 * Any thread; fn is called on the thread that misuses, with the lock or without, and must not call
 * the library. */
typedef void lunik_misuse_fn(const char *message);
void lunik_set_misuse_cb(lunik_misuse_fn *fn);

/* ---- values --------------------------------------------------------------------------------- */

typedef enum lunik_value_kind {
    LUNIK_NIL,
    LUNIK_BOOL,
    LUNIK_INT,    /* sint; used for numbers that may be negative */
    LUNIK_UINT,   /* uint */
    LUNIK_STRING, /* string, NUL-terminated UTF-8 */
    LUNIK_LIST,   /* list */
} lunik_value_kind;

/* A property value or event field. Strings and lists are borrowed: a receiver that keeps one copies
 * it. */
typedef struct lunik_value {
    lunik_value_kind kind;
    union {
        bool boolean;
        int64_t sint;
        uint64_t uint;
        const char *string;
        struct {
            const struct lunik_value *items;
            size_t count;
        } list;
    };
} lunik_value;

/* A named value. */
typedef struct lunik_field {
    const char *name;
    lunik_value value;
} lunik_field;

#define LUNIK_FIELD_BOOL(n, v)   ((lunik_field){(n), {.kind = LUNIK_BOOL, .boolean = (v)}})
#define LUNIK_FIELD_INT(n, v)    ((lunik_field){(n), {.kind = LUNIK_INT, .sint = (v)}})
#define LUNIK_FIELD_UINT(n, v)   ((lunik_field){(n), {.kind = LUNIK_UINT, .uint = (v)}})
#define LUNIK_FIELD_STRING(n, v) ((lunik_field){(n), {.kind = LUNIK_STRING, .string = (v)}})

/* Parses "512M", "4G", "0x1000", "4096" (suffixes K M G T P E, powers of 1024, upper or lower
 * case, an optional trailing "iB" or "B") into *out. what names the value in the error, e.g.
 * "memory-backend-ram: size". LUNIK_E_INVALID: text is no size, or one of 2^64 or more. Any thread.
 */
int lunik_parse_size(const char *text, const char *what, uint64_t *out, lunik_error *err);

/* Returns the one of the NULL-terminated names that a misspelt name most likely means ('_' and '-'
 * being equal), or NULL if none comes close. Any thread. */
const char *lunik_suggest(const char *name, const char *const *names);

/* ---- runtime and loop ----------------------------------------------------------------------- */

/* Returns the types that ship with liblunik, for lunik_runtime_new(); NULL-terminated. Any thread.
 */
const lunik_type *const *lunik_builtin_types(void);

/* Creates a runtime that knows the given types (a NULL-terminated array; the types must outlive the
 * runtime). The calling thread becomes its loop thread and holds its lock; it may be that of
 * further runtimes. Errors: those of lunik_type_add(). Any thread. */
int lunik_runtime_new(const lunik_type *const *types, lunik_runtime **out, lunik_error *err);

/* Aborts open transactions, closes every machine, runs the loop until its closed handles are done
 * and frees the runtime, which no other thread may use any more. rt may be NULL. Releases the lock
 * while it waits for vCPUs, slow readers and work under way. Loop thread, not in a callback:
 * LUNIK_E_STATE, and nothing is freed, anywhere else. LUNIK_E_BUSY, and nothing is freed: a Lua
 * state uses it (lunik_lua.h), or another caller of lunik_runtime_use(). */
int lunik_runtime_free(lunik_runtime *rt);

/* Adds one more type, e.g. one defined by a script; it must outlive the runtime. LUNIK_E_EXISTS:
 * the name is taken, or a property is in its table twice; LUNIK_E_NOT_FOUND: there is no such
 * parent; LUNIK_E_INVALID: a property lies outside the state, or the type does not match its
 * parent. */
int lunik_type_add(lunik_runtime *rt, const lunik_type *type, lunik_error *err);
/* Does the same under a name that may be taken: objects made from now on are of the new type, those
 * that exist keep theirs, and so do types whose parent is the former one. Both must outlive the
 * runtime. A failure leaves the former type in force. */
int lunik_type_replace(lunik_runtime *rt, const lunik_type *type, lunik_error *err);

/* Takes the machine lock, which is fair and not recursive: waits until it is free. Any thread that
 * does not hold it. */
void lunik_lock(lunik_runtime *rt);
/* Releases the machine lock, which the calling thread holds. In a callback it must be taken again
 * before that returns, and not be released inside a transaction. */
void lunik_unlock(lunik_runtime *rt);

/* Returns whether the calling thread holds the machine lock. Any thread. */
bool lunik_locked(const lunik_runtime *rt);

/* Returns whether the caller is the runtime's loop thread. Any thread. */
bool lunik_on_loop_thread(const lunik_runtime *rt);

/* Returns the private loop, for handles of the program, which are used with the lock held. Only
 * lunik_run() may run it. A thread other than the loop thread calls this each time before it starts
 * or stops a handle: the loop is woken when that thread releases the lock. */
uv_loop_t *lunik_loop(lunik_runtime *rt);

/* Does what uv_poll_start() does, but where the host can't watch the descriptor (no memory, or the
 * user's epoll watches are used up) it fails with a libuv error; libuv alone would end the process
 * later. Returns 0 or a negative libuv code. */
int lunik_poll_start(uv_poll_t *poll, int events, uv_poll_cb fn);

typedef enum lunik_run_mode {
    LUNIK_RUN_DEFAULT, /* until lunik_stop() is called or no machine runs or sleeps and no handle
                          that is not the runtime's own is active */
    LUNIK_RUN_ONCE,    /* wait until something happens, handle it, return */
    LUNIK_RUN_NOWAIT,  /* handle what is ready, hand the lock to threads waiting for it, return */
} lunik_run_mode;

/* Runs the loop: calls the callbacks of handles, timers and deferred tasks and delivers events.
 * Returns true if there is more to wait for: a machine runs, or a handle of the program is active.
 * Loop thread, not in a callback of the loop; elsewhere it is a misuse and returns false. Releases
 * the lock while it waits; when the loop has nothing to wait for, the lock is handed once to the
 * threads waiting for it. */
bool lunik_run(lunik_runtime *rt, lunik_run_mode mode);

/* Does the same as LUNIK_RUN_ONCE, but waits at most timeout_ms milliseconds (-1: for ever). */
bool lunik_run_timeout(lunik_runtime *rt, int timeout_ms);

/* Makes lunik_run(LUNIK_RUN_DEFAULT) return: the present call, or the next one if there is none.
 * Any thread, and signal handlers. */
void lunik_stop(lunik_runtime *rt);

/* Return what an event loop of the program needs: poll lunik_backend_fd() for input, for at most
 * lunik_backend_timeout() milliseconds (-1: for ever), then call lunik_run_timeout(rt, 0). The lock
 * stays with the program's thread while its own loop waits; a vCPU that needs it makes the
 * descriptor readable, and lunik_run_timeout(rt, 0) hands the lock over and takes it back. Loop
 * thread. */
int lunik_backend_fd(const lunik_runtime *rt);
int lunik_backend_timeout(const lunik_runtime *rt);

/* Returns whether lunik_run() or lunik_run_timeout() is on the loop thread's stack: the loop can't
 * be run again then. */
bool lunik_running(const lunik_runtime *rt);

/* ---- sandbox -------------------------------------------------------------------------------- */

/* Permissions of a sandboxed process beyond running its machines. Each is a group of system calls.
 */
enum lunik_sandbox_allow {
    LUNIK_SANDBOX_FILES = 1,   /* open, make, change and remove all files, load libraries */
    LUNIK_SANDBOX_SOCKETS = 2, /* make Unix domain sockets, and connect to those of others */
    LUNIK_SANDBOX_NETWORK = 4, /* make Internet sockets */
    LUNIK_SANDBOX_EXEC = 8,    /* start programs, which are in the sandbox too; needs FILES */
    LUNIK_SANDBOX_PATHS = 16,  /* only reported by lunik_sandboxed(): the policy named paths */
    LUNIK_SANDBOX_LISTEN = 32, /* make Unix domain sockets that others connect to; part of SOCKETS,
                                  and together with NETWORK the same */
};

typedef struct lunik_sandbox_policy {
    unsigned allow; /* LUNIK_SANDBOX_FILES, _SOCKETS, _NETWORK, _EXEC, _LISTEN */
    /* Files and directories (with all below them) that may be opened for reading, and for reading,
     * writing, making and removing; NULL-terminated or NULL. Libraries may be loaded from them, but
     * modes, owners and times not be changed. They take the place of LUNIK_SANDBOX_FILES and need
     * Landlock (Linux 5.13). */
    const char *const *read;
    const char *const *write;
    /* The same, but those that can't be found or opened are skipped, and so is the root directory:
     * a list that is put together from what a process happens to have never means everything. */
    const char *const *read_if_there;
    const char *const *write_if_there;
    /* The user and group to become, by name or number; NULL: no change. A user without a group
     * brings its own group. */
    const char *user, *group;
} lunik_sandbox_policy;

/* Enters a sandbox: takes from this process, for good, what it does not need to run the machines it
 * has and will have. All threads are covered. Afterwards
 * - no program it starts can gain privileges (no_new_privs), and capabilities are gone, but for
 *   CAP_IPC_LOCK and those that make the files, the network or the programs allowed reachable;
 * - a system call of a group that is not allowed fails with EPERM, and the message of a lunik_error
 *   names the group; this is implemented with a SIGSYS handler, which must not be replaced. Calls
 *   that start programs fail without the signal, and where programs may be started all do: the
 *   message is less exact there;
 * - calls that are allowed act on the process itself: signals (but where programs may be started),
 *   priorities, processors and limits of others are out of reach;
 * - where the kernel has Landlock, it can't trace other processes or open their memory
 *   (/proc/PID/mem), whatever is allowed; from Linux 6.12 on it can't connect to abstract sockets
 *   outside either;
 * - a call that only an attacker would make (ptrace, mount, bpf, loading modules, changing users,
 *   calls of the x32 and i386 ABIs, ...) ends the process with SIGSYS;
 * - threads of vCPUs, their callbacks included, can't start programs, signal others or make
 *   sockets, whatever is allowed;
 * - memory can't be made executable, unless files are allowed; with paths, files can be mapped so.
 * Allowed throughout: memory backends "ram" and "memfd", files and sockets open before, timers,
 * threads, further machines (/dev/kvm is kept open), waiting for children, a further sandbox of
 * programs that are allowed, and looking at names, modes and sizes of files.
 * LUNIK_SANDBOX_SOCKETS and _LISTEN do not allow a socket's file to be removed: name its directory
 * in write.
 *
 * It is entered in 0.3 ms, and the filter takes 0.07 us of each exit of a vCPU, 0.1 us where
 * sockets, the network or programs are allowed.
 *
 * Call it before a machine has been started and before the process has threads of its own:
 * LUNIK_E_STATE otherwise, and when the process is in a sandbox. LUNIK_E_INVALID: an unknown group
 * of calls, user or group, files and paths at once, exec without files; LUNIK_E_UNSUPPORTED: the
 * kernel lacks seccomp, or Landlock for the paths; others: the host refuses. A failed call changes
 * nothing, unless the host refuses in the last step: then the message says that a part of the
 * sandbox is in force. Core dumps continue to follow RLIMIT_CORE and the backends' "dump". Any
 * thread. */
int lunik_sandbox(const lunik_sandbox_policy *policy, lunik_error *err);

/* Returns whether lunik_sandbox() has succeeded. *allow (may be NULL) receives what is allowed,
 * with LUNIK_SANDBOX_PATHS where paths have been given. Any thread. */
bool lunik_sandboxed(unsigned *allow);

/* Returns what the sandbox has last refused the calling thread, as a sentence for people, or NULL;
 * each refusal is reported once. The text lasts until the thread's next call. Any thread. */
const char *lunik_sandbox_denial(void);

/* Returns whether the library was built with a sanitizer, which does what a sandbox refuses
 * (LeakSanitizer starts a tracer at exit): programs that enter one by default should not. Any
 * thread. */
bool lunik_sanitized(void);

/* ---- events --------------------------------------------------------------------------------- */

#define LUNIK_EVENT_FIELDS 12

/* Something that happened to a machine. Event names and their fields are listed in
 * library/lunik.lua. An event lasts until the subscriber returns. */
typedef struct lunik_event {
    const char *name;
    lunik_machine *machine;
    uint64_t time_ns; /* CLOCK_MONOTONIC when it was emitted */
    int vcpu;         /* index of the vCPU whose exit caused it, or -1 */
    size_t count;
    lunik_field fields[LUNIK_EVENT_FIELDS];
} lunik_event;

/* Subscriptions. Events and the like of a machine are reported to any number of subscribers, in the
 * order in which they subscribed: lunik_event_subscribe() and lunik_exit_subscribe() here, those to
 * resets and interrupt lines in lunik_device.h, to rejected accesses in lunik_memory.h. Nothing is
 * allocated: the caller provides the struct, zeroed but for fn and opaque, and keeps it where it is
 * until it is unsubscribed or the machine has closed, which ends all of its subscriptions.
 *
 * A subscriber may unsubscribe itself (and free the struct) or others, which are not called any
 * more, and may subscribe others, which are called from the next report on. A call under way on
 * another thread that has released the lock continues after it was unsubscribed. Unsubscribing a
 * struct that is not subscribed does nothing; neither does subscribing to a closed machine. */

/* A subscription's place in its list. Private to the runtime. */
typedef struct lunik_sub_link {
    struct lunik_sub_link *next, *previous;
    struct lunik_sub_list *list; /* NULL: not subscribed */
    uint64_t serial;
} lunik_sub_link;

typedef void lunik_event_fn(void *opaque, const lunik_event *event);

typedef struct lunik_event_sub {
    lunik_event_fn *fn;
    void *opaque;
    lunik_sub_link link;
} lunik_event_sub;

/* Subscribes to the machine's events. They are reported in order, on the loop thread; those that
 * arise while the machine closes on the thread that closes it. A subscriber may close the machine.
 */
void lunik_event_subscribe(lunik_machine *m, lunik_event_sub *sub);
/* Ends a subscription. */
void lunik_event_unsubscribe(lunik_event_sub *sub);

/* Delivers the queued events of all machines now, for code that waits without running the loop.
 * Loop thread. */
void lunik_deliver_events(lunik_runtime *rt);

/* ---- machines ------------------------------------------------------------------------------- */

typedef enum lunik_accel { LUNIK_ACCEL_KVM, LUNIK_ACCEL_NONE } lunik_accel;

/* X(NAME, "lua-name"): the states of a machine. */
#define LUNIK_STATE_MAP(X)                                                                         \
    X(CREATED, "created")     /* built, never started */                                           \
    X(RUNNING, "running")     /* vCPUs run */                                                      \
    X(PAUSED, "paused")       /* by request */                                                     \
    X(SHUTDOWN, "shutdown")   /* the guest powered off, or the exit device was written */          \
    X(CRASHED, "crashed")     /* an exit that was not handled; vCPUs can be inspected */           \
    X(CLOSED, "closed")       /* gone; only handles remain */                                      \
    X(SUSPENDED, "suspended") /* the guest sleeps (ACPI S3): vCPUs are outside, clocks go on */

typedef enum lunik_run_state {
#define LUNIK_STATE_ENUM(name, lua) LUNIK_STATE_##name,
    LUNIK_STATE_MAP(LUNIK_STATE_ENUM)
#undef LUNIK_STATE_ENUM
} lunik_run_state;

/* Returns the Lua name of a state, "unknown" for other numbers. Any thread. */
const char *lunik_state_name(lunik_run_state state);

/* One guest NUMA node. */
typedef struct lunik_numa_node {
    const unsigned *cpus; /* vCPU indexes */
    size_t cpu_count;
    /* To each node: 10 to itself, 11..254 to others, 255 where there is no way. NULL: as far as
     * the others say it is to this node, 20 to nodes that say nothing either. */
    const uint8_t *distances;
} lunik_numa_node;

/* How KVM reports which pages the guest has written, where it does not have a dirty ring to do it.
 */
typedef enum lunik_dirty_log {
    LUNIK_DIRTY_LOG_AUTO,   /* MANUAL where the kernel can */
    LUNIK_DIRTY_LOG_BITMAP, /* pages are write-protected again when the log is read */
    LUNIK_DIRTY_LOG_MANUAL, /* pages are write-protected again when they are cleared */
} lunik_dirty_log;

/* Where the interrupt controllers and the interval timer are, with KVM. */
typedef enum lunik_irqchip_kind {
    LUNIK_IRQCHIP_KERNEL, /* all in KVM */
    LUNIK_IRQCHIP_SPLIT,  /* the local APICs in KVM, the others are devices of the machine */
} lunik_irqchip_kind;

typedef struct lunik_machine_config {
    const char *name; /* for messages and lists; NULL = "machine" */
    lunik_accel accel;
    unsigned cpus;                    /* vCPUs at the start, 1..255; only described to the guest
                                         with accel none */
    unsigned sockets, cores, threads; /* topology; 0 = chosen so that the product of these and
                                         dies is maxcpus */
    const char *const *cpu_features;  /* "+name", "-name", "name=value"; NULL-terminated or NULL */
    const lunik_numa_node *nodes;     /* node_count nodes, 0..128; NULL if there are none */
    size_t node_count;
    bool manual_clock;   /* the machine's clock moves only by lunik_clock_advance() */
    unsigned dirty_ring; /* entries of each vCPU's dirty ring, a power of two; 0 = no rings */
    lunik_dirty_log dirty_log;
    unsigned drain_timeout;     /* ms that a device has to finish what is in flight; 0 = 10,000 */
    lunik_irqchip_kind irqchip; /* without KVM they are devices in any case */
    unsigned maxcpus;           /* vCPUs that the machine can have, cpus..255; 0 = cpus */
    unsigned dies;              /* of each socket; 0 = 1 */
} lunik_machine_config;

/* Creates a machine without devices: with KVM its VM, and empty address spaces. The irqchip, the
 * PIT and the vCPUs are created in KVM at the first start or reset (see lunik_vcpu_count()). *out
 * is borrowed: the runtime has the reference, until lunik_machine_close(). config is copied.
 * LUNIK_E_INVALID: a value of config is out of range, or they do not match; LUNIK_E_NOT_FOUND: the
 * host has no KVM; LUNIK_E_DENIED: it may not be opened; LUNIK_E_UNSUPPORTED: it lacks a feature.
 */
int lunik_machine_new(lunik_runtime *rt, const lunik_machine_config *config, lunik_machine **out,
                      lunik_error *err);

/* Stops the vCPUs, removes every device and object, frees the VM and drops the runtime's reference.
 * The struct stays, in state CLOSED, while it has a reference (lunik_machine_ref()); closing it
 * again does nothing. An open transaction of the machine is aborted.
 *
 * Called on a vCPU's thread, inside another machine's transaction, in a listener's hook or in what
 * a reset, start or pause of the machine calls, it closes the machine soon after that ends. May
 * release the lock: until the vCPUs are outside the guest, and until slow readers have taken the
 * last output (at most five seconds; for standard output, if this is the runtime's last machine,
 * until they have, or a signal's handler calls lunik_stop()).
 *
 * Events that arise meanwhile, such as lost output ("chardev-error"), are reported before it
 * returns; earlier events that have not been delivered are dropped. Memory, and the descriptors of
 * the VM and its vCPUs, go back to the host soon after the call, on a thread of the library, at the
 * latest in lunik_runtime_free(). */
void lunik_machine_close(lunik_machine *m);

/* Take and drop a reference to the struct. Any thread. */
void lunik_machine_ref(lunik_machine *m);
void lunik_machine_unref(lunik_machine *m);

/* Return what a machine was made with, and the state it is in. Any thread. */
const char *lunik_machine_name(const lunik_machine *m);
lunik_runtime *lunik_machine_runtime(const lunik_machine *m);
lunik_accel lunik_machine_accel(const lunik_machine *m);
lunik_run_state lunik_machine_state(const lunik_machine *m);
/* Returns a machine's configuration; what was 0 in it, to be chosen, is filled in. Any thread. */
const lunik_machine_config *lunik_machine_config_get(const lunik_machine *m);
/* Returns the bits of a physical address that the guest's processors have: with KVM the host's,
 * else 52. */
unsigned lunik_machine_address_bits(const lunik_machine *m);

/* How a machine's memory is mapped in KVM; all 0 with accel "none" and once it is closed. */
typedef struct lunik_machine_stats {
    unsigned memslots;     /* in use */
    unsigned max_memslots; /* that KVM has */
    uint64_t holds; /* commits so far that kept the vCPUs out of the guest, since they replaced
                       memslots at addresses that stayed mapped, or ones whose log was open */
} lunik_machine_stats;
/* Fills *out with the numbers of now. */
void lunik_machine_get_stats(const lunik_machine *m, lunik_machine_stats *out);

/* The following may release the lock while they wait: for vCPUs, and for devices that finish what
 * is in flight (see "Draining" in lunik_device.h). For the latter the loop thread runs the loop,
 * with all callbacks, unless it is called by the loop itself: there a device whose work ends in
 * another callback of the loop can't finish, so callbacks use lunik_machine_request(). Threads that
 * start, pause, reset or close the same machine take turns: each waits until the one before has
 * finished, and fails with LUNIK_E_GONE if that closed the machine, with LUNIK_E_STATE if it is
 * closed when the call begins, or, on a vCPU's thread or in what another turn calls, if it is
 * another thread's turn. A caller has a reference if another thread may close the machine. Without
 * the lock: LUNIK_E_INVALID. */

/* Starts a machine (resetting it first) or resumes a paused one, which is SUSPENDED again if its
 * guest sleeps. LUNIK_E_STATE: it is running or suspended, or the call is made inside a
 * transaction, in a listener's hook, in what a reset, start, pause or close of the machine calls,
 * or from a vCPU's callback after it was shut down or has crashed. Other errors: KVM refuses to
 * create or set up the vCPUs. */
int lunik_machine_start(lunik_machine *m, lunik_error *err);
/* Pauses a running or suspended machine; does nothing to a paused one. Returns when no vCPU is
 * inside the guest any more, devices have finished what was in flight, and all clocks stand still
 * together: the machine's and those that KVM keeps (kvmclock, PIT, local APIC timers, and the TSCs
 * from Linux 5.16 on). Called from a vCPU's callback or inside a transaction it returns at once and
 * takes effect soon after that ends; a failure is an event "error", source "pause". LUNIK_E_STATE:
 * it is in another state; LUNIK_E_TIMEOUT: a device has not finished within the machine's
 * drain_timeout, and the machine runs on. */
int lunik_machine_pause(lunik_machine *m, lunik_error *err);
/* Restores the state after power-on: pauses, resets devices, reloads boot images, resumes if it was
 * running or suspended. A device that has not finished within the drain_timeout is reset all the
 * same (event "error", source "reset", with its path as device). Called from a vCPU's callback,
 * inside a transaction or in what a start or pause of the machine calls it takes effect soon after
 * that ends; during a reset it does nothing. When it fails a running machine is paused, half reset.
 *
 * A removal that the guest was asked for is completed ("device-deleted"), and devices that it has
 * not taken yet are present from the start, without an insert event: the system that would have
 * answered is gone. (QEMU keeps both pending.) */
int lunik_machine_reset(lunik_machine *m, lunik_error *err);
/* Wakes a suspended machine as the host's user, who presses a key: devices and vCPUs are reset,
 * memory stays, event "wakeup" {reason}, and it runs. Firmware finds 0xfe in byte 0x0f of the CMOS
 * RAM and goes on at the waking vector of the guest's FACS; a machine without firmware whose ACPI
 * tables were installed (lunik_acpi_install()) enters that itself. As lunik_machine_reset() it goes
 * on without devices that have not finished, takes effect soon where it can't be done at once, and
 * leaves the machine paused, half reset, if KVM refuses. LUNIK_E_STATE: it is not suspended; or the
 * kernel was loaded by lunik_boot_kernel(), and its guest has set no waking vector that can be
 * entered: it sleeps on. */
int lunik_machine_wakeup(lunik_machine *m, lunik_error *err);
/* Ends the run of a machine that is running, suspended or paused: vCPUs leave the guest, the state
 * becomes SHUTDOWN, event "shutdown" {reason, code}. Does nothing in other states. reason:
 * "guest-shutdown", "exit-device", "host-quit" or another; NULL: "host-quit". Called from a vCPU's
 * callback or inside a transaction it returns before the vCPUs are outside. May release the lock.
 */
void lunik_machine_shutdown(lunik_machine *m, const char *reason, int code);
/* Returns the code given to lunik_machine_shutdown(), 0 before, and again from the next start on.
 */
int lunik_machine_exit_code(const lunik_machine *m);

/* Requests to a machine that do not wait. */
typedef enum lunik_request_kind {
    LUNIK_REQUEST_CLOSE,  /* as lunik_machine_close() */
    LUNIK_REQUEST_RESET,  /* as lunik_machine_reset() */
    LUNIK_REQUEST_START,  /* as lunik_machine_start() */
    LUNIK_REQUEST_PAUSE,  /* as lunik_machine_pause() */
    LUNIK_REQUEST_DRAIN,  /* as lunik_machine_drain() */
    LUNIK_REQUEST_WAKEUP, /* as lunik_machine_wakeup() */
} lunik_request_kind;

/* A request that is carried out when devices have finished what is in flight. Embed it, zeroed but
 * for fn. */
typedef struct lunik_request lunik_request;
struct lunik_request {
    /* It has been carried out (err NULL), or not: LUNIK_E_TIMEOUT, a device has taken too long;
     * LUNIK_E_GONE, the machine has been closed. Called once, on the thread that carried it out,
     * mostly the loop's, which holds the lock and is in no other call on the machine. */
    void (*fn)(lunik_request *r, const lunik_error *err);
    /* Private to the runtime: */
    lunik_request_kind what;
    uint64_t until;
    int state;
    lunik_error error;
    struct {
        lunik_request *tqe_next, **tqe_prev;
    } entry;
};

enum { LUNIK_UNDER_WAY = 1 };

/* Begins to carry out a request. Returns 0 when it has been carried out, and an error when it can't
 * be: fn is not called in either case. LUNIK_UNDER_WAY: fn will be called; *r must stay until then.
 * Requests of the same kind are carried out together; a close comes before all others. */
int lunik_machine_request(lunik_machine *m, lunik_request_kind what, lunik_request *r,
                          lunik_error *err);

/* Has all devices finish what is in flight and take no new work until lunik_machine_undrain(), for
 * what must see them at rest while the machine stays as it is, such as saving their state. Nests.
 * vCPUs go on: what they ask of a device waits in its queues. As lunik_machine_request(); r NULL:
 * waits, which is LUNIK_E_STATE on a vCPU's thread, inside a transaction and in what a start,
 * pause, reset or close of the machine calls. On failure devices go on. */
int lunik_machine_drain(lunik_machine *m, lunik_request *r, lunik_error *err);
/* Ends a lunik_machine_drain() that has been carried out. */
void lunik_machine_undrain(lunik_machine *m);

/* Presses the power button: event "powerdown", and what the guest makes of it; a suspended machine
 * wakes up. LUNIK_E_UNSUPPORTED: no device of the machine has one. */
int lunik_machine_powerdown(lunik_machine *m, lunik_error *err);

/* Return the guest's physical memory, and its 64 KiB of I/O ports. NULL once m is closed. */
lunik_space *lunik_machine_memory(lunik_machine *m);
lunik_space *lunik_machine_io(lunik_machine *m);

/* Returns the machine's time in nanoseconds: 0 at first, it stands still while the machine does not
 * run, and once it is closed. Any thread. */
uint64_t lunik_clock_now(const lunik_machine *m);
/* Moves a manual clock ns nanoseconds forward and calls the timers that become due, each at its
 * time. LUNIK_E_STATE: the clock is not manual; LUNIK_E_INVALID: ns leads beyond 2^64 - 2. */
int lunik_clock_advance(lunik_machine *m, uint64_t ns, lunik_error *err);

/* ---- objects and devices -------------------------------------------------------------------- */

/* Creates an object that is no device (a memory backend, a character device) from a type name and
 * count properties; the property "id" is mandatory. out may be NULL; *out is borrowed, and lasts
 * until the object is deleted. May release the lock (a backend that preallocates memory).
 * LUNIK_E_NOT_FOUND: no such type, property or linked object; LUNIK_E_INVALID: a value does not
 * suit its property, one that is required is missing, or the type is a device's; LUNIK_E_EXISTS:
 * the id is taken, or a property given twice; others: what the type's realize returns. */
int lunik_object_add(lunik_machine *m, const char *type, const lunik_field *props, size_t count,
                     lunik_object **out, lunik_error *err);
/* Deletes an object that no other uses. Where a character device's output has to wait for a slow
 * reader it releases the lock for up to five seconds first, except on a vCPU's thread and inside a
 * transaction; see lunik_outlet in lunik_device.h. LUNIK_E_NOT_FOUND: no object has the id or path;
 * LUNIK_E_INVALID: it is a device; LUNIK_E_BUSY: it is in use, or has something in flight;
 * LUNIK_E_STATE: in a listener's hook; others: a listener refuses the change of the memory map. */
int lunik_object_del(lunik_machine *m, const char *id, lunik_error *err);

/* Creates, realizes and plugs a device; event "device-added". "id" is optional. Arguments and
 * errors are those of lunik_object_add(); also LUNIK_E_STATE: the machine has been started and the
 * type is not hot-pluggable; LUNIK_E_UNSUPPORTED: the machine takes no devices of that kind;
 * LUNIK_E_NO_SPACE: no slot or address is free. */
int lunik_device_add(lunik_machine *m, const char *driver, const lunik_field *props, size_t count,
                     lunik_object **out, lunik_error *err);
/* Removes a device (event "device-deleted"): at once if the guest need not agree, else asks the
 * guest (event "device-unplug-request") and removes it once the guest ejects it; event
 * "device-unplug-guest-error" when it refuses. A device that has something in flight then (see
 * "Draining" in lunik_device.h) is in plug state DRAINING until it has finished; if that takes
 * longer than the machine's drain_timeout it stays, event "device-unplug-guest-error" {device,
 * path, reason}. The request may be repeated. Errors are those of lunik_object_del(),
 * LUNIK_E_INVALID being for objects that are no devices; also LUNIK_E_STATE: the machine has been
 * started and the type can't be unplugged. */
int lunik_device_del(lunik_machine *m, const char *id, lunik_error *err);

/* Where a device is on its way in or out. X(NAME, "lua-name") */
#define LUNIK_PLUG_MAP(X)                                                                          \
    X(PLUGGED, "plugged")                                                                          \
    X(REQUESTED, "requested") /* the guest has been asked to release it */                         \
    X(DRAINING, "draining")   /* goes when it has finished what is in flight */                    \
    X(REFUSED, "refused")     /* the guest refused; the request may be repeated */                 \
    X(EJECTED, "ejected")     /* gone */

typedef enum lunik_plug_state {
#define LUNIK_PLUG_ENUM(name, lua) LUNIK_PLUG_##name,
    LUNIK_PLUG_MAP(LUNIK_PLUG_ENUM)
#undef LUNIK_PLUG_ENUM
} lunik_plug_state;

/* Returns where a device is on its way in or out. */
lunik_plug_state lunik_device_plug_state(const lunik_object *o);
/* Returns the Lua name of a plug state, "unknown" for other numbers. Any thread. */
const char *lunik_plug_state_name(lunik_plug_state state);

/* Finds the object with an id or a path; NULL if there is none. */
lunik_object *lunik_object_find(lunik_machine *m, const char *id);
/* Returns the machine's objects one by one, in order of creation: previous NULL starts, NULL ends.
 * previous may have been deleted meanwhile if it is referenced. */
lunik_object *lunik_object_next(lunik_machine *m, lunik_object *previous);

/* Take and drop a reference to the struct. Any thread. */
void lunik_object_ref(lunik_object *o);
void lunik_object_unref(lunik_object *o);
/* Returns true until the object is deleted; then only references keep the struct. */
bool lunik_object_alive(const lunik_object *o);
/* Return the id ("" when it has none), the path ("/objects/mem1", "/machine/dimm1") and the name of
 * the type. Any thread that has a reference. */
const char *lunik_object_id(const lunik_object *o);
const char *lunik_object_path(const lunik_object *o);
const char *lunik_object_type_name(const lunik_object *o);
/* Returns whether the object's type is, or descends from, the named type, or implements that
 * interface. */
bool lunik_object_is(const lunik_object *o, const char *type);
/* Returns whether the object is a device. Any thread that has a reference. */
bool lunik_object_is_device(const lunik_object *o);
/* Returns the machine that the object was made in, which it has a reference to. Any thread that has
 * a reference. */
lunik_machine *lunik_object_machine(const lunik_object *o);

/* Reads a property. A string or list in *out is valid until the lock is released or the object
 * changes. LUNIK_E_NOT_FOUND: there is no such property. */
int lunik_object_get(lunik_object *o, const char *name, lunik_value *out, lunik_error *err);
/* Changes a property. A link takes the id of an object, or LUNIK_NIL. LUNIK_E_NOT_FOUND: there is
 * no such property, or no object to link; LUNIK_E_INVALID: it can only be read, or the value does
 * not suit it; LUNIK_E_STATE: it can't be changed after creation; others: what its set function
 * returns. */
int lunik_object_set(lunik_object *o, const char *name, const lunik_value *value, lunik_error *err);

/* Finds a type by name; NULL if there is none. See lunik_device.h for the struct. */
const lunik_type *lunik_type_find(const lunik_runtime *rt, const char *name);
/* Returns the types one by one, in order of definition: previous NULL starts, NULL ends. */
const lunik_type *lunik_type_next(const lunik_runtime *rt, const lunik_type *previous);

/* ---- vCPUs ---------------------------------------------------------------------------------- */

/* Returns how many vCPUs the machine can have (its configuration's maxcpus): 0 with accel "none"
 * and once it is closed. They and the interrupt controllers are created in KVM on the first start,
 * reset or register access, or when they are plugged after that; those calls can therefore fail. */
unsigned lunik_vcpu_count(const lunik_machine *m);
/* Returns vCPU index (0..count - 1), which is its APIC id as well; NULL if it is not plugged. It
 * lasts until the machine is closed, as what follows requires; while it is not plugged, what reads
 * and changes it fails with LUNIK_E_GONE. */
lunik_vcpu *lunik_vcpu_get(lunik_machine *m, unsigned index);
/* Return the machine and the index of a vCPU. Any thread. */
lunik_machine *lunik_vcpu_machine(const lunik_vcpu *v);
unsigned lunik_vcpu_index(const lunik_vcpu *v);
/* Returns the number of its thread, as gettid() does; 0 while it has none, before the first start.
 * Any thread. */
int lunik_vcpu_tid(const lunik_vcpu *v);
/* Returns the vCPU on whose thread the caller runs, or NULL. Any thread. */
lunik_vcpu *lunik_vcpu_current(void);

/* The following take a running vCPU out of the guest for the moment, and create the vCPUs if they
 * are not yet. LUNIK_E_IO and others: KVM refuses. */

/* Read and change a register: general, segment, control and descriptor-table registers by name:
 * "rax".."r15", "rip", "rflags", "cs".."ss", "tr", "ldt" (selectors), "cs.base", "cs.limit",
 * "cs.type" etc., "gdt.base", "gdt.limit", "idt.base", "idt.limit", "cr0" "cr2" "cr3" "cr4" "cr8"
 * "efer" "apic_base". LUNIK_E_NOT_FOUND: there is no such register; LUNIK_E_INVALID: the value does
 * not fit in it. */
int lunik_vcpu_get_reg(lunik_vcpu *v, const char *name, uint64_t *out, lunik_error *err);
int lunik_vcpu_set_reg(lunik_vcpu *v, const char *name, uint64_t value, lunik_error *err);
/* Reads count registers by name at once, which takes less time than one by one. On failure out is
 * undefined. */
int lunik_vcpu_get_regs(lunik_vcpu *v, const char *const *names, size_t count, uint64_t *out,
                        lunik_error *err);
/* Returns the names of the registers to show, in display order, NULL-terminated. Any thread. */
const char *const *lunik_vcpu_reg_names(void);

/* Read and change a model-specific register. LUNIK_E_NOT_FOUND: it can't be read; LUNIK_E_INVALID:
 * KVM refuses the value. */
int lunik_vcpu_get_msr(lunik_vcpu *v, uint32_t index, uint64_t *out, lunik_error *err);
int lunik_vcpu_set_msr(lunik_vcpu *v, uint32_t index, uint64_t value, lunik_error *err);

/* Copies the registers of the vCPU's local APIC as its page shows them: each has 16 bytes, of which
 * 4 are used (Intel SDM volume 3, section 11.4). */
enum { LUNIK_LAPIC_SIZE = 1024 };
int lunik_vcpu_get_lapic(lunik_vcpu *v, uint8_t out[LUNIK_LAPIC_SIZE], lunik_error *err);

/* Queues exception vector (0..31 without 2), with error code if has_error, for the next entry. */
int lunik_vcpu_inject_exception(lunik_vcpu *v, unsigned vector, bool has_error, uint32_t error,
                                lunik_error *err);
/* Queues external interrupt vector (0..255), bypassing the irqchip. */
int lunik_vcpu_inject_interrupt(lunik_vcpu *v, unsigned vector, lunik_error *err);
/* Queues a non-maskable interrupt. */
int lunik_vcpu_inject_nmi(lunik_vcpu *v, lunik_error *err);

/* Read and change the registers of the FPU and SSE, as FXSAVE lays them out in 64-bit mode (Intel
 * SDM volume 1, section 10.5.1): control and status words, MXCSR, ST0..ST7, XMM0..XMM15. The rest
 * of the page is 0, and ignored when it is set. LUNIK_E_INVALID: MXCSR has reserved bits. */
enum { LUNIK_FPU_SIZE = 512 };
int lunik_vcpu_get_fpu(lunik_vcpu *v, uint8_t out[LUNIK_FPU_SIZE], lunik_error *err);
int lunik_vcpu_set_fpu(lunik_vcpu *v, const uint8_t in[LUNIK_FPU_SIZE], lunik_error *err);

/* Debug control: bit flags for lunik_vcpu_set_debug() and lunik_vcpu_set_breakpoints(). */
enum {
    LUNIK_DEBUG_STEP = 1,          /* exit after each instruction */
    LUNIK_DEBUG_BREAKPOINTS = 2,   /* use the breakpoints given */
    LUNIK_DEBUG_SOFTWARE = 4,      /* exit before each int3; the guest does not see it */
    LUNIK_DEBUG_NO_INTERRUPTS = 8, /* keep them back; without effect before Linux 5.13 */
};

typedef enum lunik_break_kind {
    LUNIK_BREAK_EXECUTE, /* before the instruction there; size 1 */
    LUNIK_BREAK_WRITE,   /* after a write */
    LUNIK_BREAK_ACCESS,  /* after a read or write */
} lunik_break_kind;

/* A breakpoint in a debug register: size bytes (1, 2, 4 or 8) at a guest linear address that is a
 * multiple of size. */
typedef struct lunik_breakpoint {
    uint64_t address;
    lunik_break_kind kind;
    uint8_t size;
} lunik_breakpoint;

/* Sets single-stepping, and count (0..4) breakpoints, in place of those that were set; a hit is an
 * exit of kind "debug". They stay over a reset. flags 0 ends debugging. */
int lunik_vcpu_set_breakpoints(lunik_vcpu *v, unsigned flags, const lunik_breakpoint *breakpoints,
                               size_t count, lunik_error *err);
/* The same with execution breakpoints at addresses. */
int lunik_vcpu_set_debug(lunik_vcpu *v, unsigned flags, const uint64_t *addresses, size_t count,
                         lunik_error *err);

/* An exit of a vCPU that the runtime does not handle itself. */
typedef struct lunik_vcpu_exit {
    /* "shutdown" (triple fault), "emulation-failure", "internal-error", "fail-entry", "debug",
     * "halt", "dirty-ring-full" (and it stays so), "run-error" or "unknown" */
    const char *reason;
    uint32_t kvm_reason; /* KVM_EXIT_* */
    uint64_t detail;     /* suberror, hardware failure reason, dr6, errno */
    uint64_t rip;
    uint8_t insn[15]; /* the instruction bytes of an emulation failure */
    size_t insn_len;
    uint8_t exception; /* of "debug": 1 #DB (a step or a breakpoint), 3 #BP (int3); else 0 */
} lunik_vcpu_exit;

typedef enum lunik_exit_action {
    LUNIK_EXIT_UNHANDLED, /* stop the machine (state CRASHED), event "crashed" */
    LUNIK_EXIT_RESUME,    /* enter the guest again */
    LUNIK_EXIT_PAUSE,     /* pause the machine here */
} lunik_exit_action;

typedef lunik_exit_action lunik_exit_fn(void *opaque, lunik_vcpu *v, const lunik_vcpu_exit *exit);

typedef struct lunik_exit_sub {
    lunik_exit_fn *fn;
    void *opaque;
    lunik_sub_link link;
} lunik_exit_sub;

/* Subscribes to such exits. Subscribers are asked in turn, on the vCPU's thread, until one answers
 * other than LUNIK_EXIT_UNHANDLED; those after it are not asked. Closing the machine there takes
 * effect soon after. */
void lunik_exit_subscribe(lunik_machine *m, lunik_exit_sub *sub);
/* Ends a subscription. */
void lunik_exit_unsubscribe(lunik_exit_sub *sub);

/* Writes registers and the bytes at rip to buf as readable lines, at most size - 1 bytes and a zero
 * byte. Returns the length without that. */
size_t lunik_vcpu_dump(lunik_vcpu *v, char *buf, size_t size);

/* A vCPU's exits so far, by kind. */
typedef struct lunik_vcpu_stats {
    uint64_t exits, io, mmio, interrupted, other;
    uint64_t dirtied; /* pages that its dirty ring has reported */
} lunik_vcpu_stats;
/* Fills *out with the numbers of now. Any thread, while the machine is not closed. */
void lunik_vcpu_get_stats(const lunik_vcpu *v, lunik_vcpu_stats *out);

/* ---- booting -------------------------------------------------------------------------------- */

typedef enum lunik_fwmap_type {
    LUNIK_FWMAP_RAM = 1,
    LUNIK_FWMAP_RESERVED = 2,
    LUNIK_FWMAP_ACPI = 3,
    LUNIK_FWMAP_HOTPLUG = 0x100, /* window for memory devices; in SRAT, not in e820 */
} lunik_fwmap_type;

/* One range of the memory map that firmware would report. */
typedef struct lunik_fwmap_entry {
    uint64_t base, size;
    lunik_fwmap_type type;
    unsigned node; /* NUMA node */
} lunik_fwmap_entry;

/* Declares a range; the board does this for RAM, holes and windows. LUNIK_E_INVALID: its size is 0
 * or leads beyond 2^64, or its type is unknown; LUNIK_E_EXISTS: it overlaps another. */
int lunik_fwmap_add(lunik_machine *m, const lunik_fwmap_entry *entry, lunik_error *err);
/* Returns the ranges in ascending order and their number; valid until one is added. */
const lunik_fwmap_entry *lunik_fwmap(const lunik_machine *m, size_t *count);

/* Copies size (> 0) bytes to guest physical address now and at every reset. The data is copied.
 * name is for errors. LUNIK_E_ACCESS: no RAM or ROM decodes there; LUNIK_E_EXISTS: it overlaps data
 * added before. */
int lunik_rom_add(lunik_machine *m, const char *name, uint64_t address, const void *data,
                  size_t size, lunik_error *err);
/* Changes what is copied to address, where data was added, from the next reset on, and how much;
 * what is longer than before must have room. While devices are reset that is the reset under way.
 * LUNIK_E_NOT_FOUND: no data was added there; LUNIK_E_EXISTS: it overlaps other data. */
int lunik_rom_set(lunik_machine *m, uint64_t address, const void *data, size_t size,
                  lunik_error *err);

/* Says where the guest's FACS is, a table of which only the guest writes the waking vectors; 0:
 * there is none. lunik_acpi_install() does. See lunik_machine_wakeup(). */
void lunik_boot_set_facs(lunik_machine *m, uint64_t address);

typedef struct lunik_boot_config {
    const char *kernel;         /* ELF with PVH note, multiboot 1 image or bzImage */
    const char *initrd;         /* NULL for none */
    const char *cmdline;        /* NULL for none */
    const char *const *modules; /* PVH and Multiboot: "path arguments", NULL-terminated or NULL;
                                   the initrd comes before them */
    uint64_t rsdp;              /* guest address of the RSDP, 0 if there is none */
} lunik_boot_config;

/* Loads a kernel for direct boot: recognises the format (an ELF image with PVH note is booted by
 * it, also when it has a Multiboot header), places kernel, initrd, command line and memory map
 * (from lunik_fwmap()) in RAM at every reset and sets the first vCPU's registers. The files are
 * read now; a later call replaces the kernel. LUNIK_E_NOT_FOUND, LUNIK_E_DENIED, LUNIK_E_IO: a file
 * can't be read; LUNIK_E_INVALID: it is no kernel of these formats; LUNIK_E_UNSUPPORTED: the kernel
 * needs or lacks what this loader does not have; LUNIK_E_NO_SPACE: the RAM is too small;
 * LUNIK_E_EXISTS: the machine boots firmware. */
int lunik_boot_kernel(lunik_machine *m, const lunik_boot_config *config, lunik_error *err);

/* Maps a flat firmware image read-only so that it ends at 4 GiB, with its last 128 KiB also below
 * 1 MiB; vCPUs start at the reset vector. LUNIK_E_NOT_FOUND, LUNIK_E_DENIED, LUNIK_E_IO: the file
 * can't be read; LUNIK_E_INVALID: its size is not possible; LUNIK_E_EXISTS: the machine has
 * firmware or a kernel, or something else is at these addresses. */
int lunik_boot_firmware(lunik_machine *m, const char *path, lunik_error *err);

/* ---- ACPI ----------------------------------------------------------------------------------- */

/* Assembles the ACPI tables from what the machine's devices contribute and places them below 1 MiB
 * at every reset. rsdp may be NULL; *rsdp receives the RSDP's guest address. LUNIK_E_EXISTS: the
 * machine has its tables, or two devices with fixed hardware; LUNIK_E_NO_SPACE: they are too
 * large; LUNIK_E_INVALID, LUNIK_E_NOT_FOUND: what a device contributes can't be assembled. */
int lunik_acpi_install(lunik_machine *m, uint64_t *rsdp, lunik_error *err);
/* Assembles the tables and offers them to firmware as files of the machine's fw-cfg device
 * (etc/table-loader, etc/acpi/tables, etc/acpi/rsdp): the firmware places them. They are assembled
 * again when the guest selects one of these, with the registers where it has put them.
 * LUNIK_E_NOT_FOUND: the machine has no such device; LUNIK_E_EXISTS: or it has such files; other
 * errors as for lunik_acpi_install(). */
int lunik_acpi_offer(lunik_machine *m, lunik_error *err);
/* Assembles installed tables again, with the CPUs and NVDIMMs that are plugged now; the guest finds
 * them after the next reset. Does nothing where none are installed, or that fails. For devices'
 * reset. */
void lunik_acpi_refresh(lunik_machine *m);
/* Returns a table by signature ("DSDT", "APIC", "FACP", ...) as it was assembled last, and its
 * size; NULL and 0 if there is none. */
const void *lunik_acpi_table(lunik_machine *m, const char *signature, size_t *size);

/* ---- guest memory and ports ----------------------------------------------------------------- */

/* Read, write and fill any length through an address space, RAM and devices alike, in ascending
 * order. A part that fails reads as all ones, or is dropped; the others are carried out.
 * LUNIK_E_ACCESS: nothing takes some part, because nothing is there, or not for this size,
 * alignment or direction; else LUNIK_E_DEVICE: a device refused some part. The same for all that
 * follow here. Devices' callbacks may release the lock. */
int lunik_space_read(lunik_space *s, uint64_t address, void *buf, size_t size);
int lunik_space_write(lunik_space *s, uint64_t address, const void *buf, size_t size);
int lunik_space_fill(lunik_space *s, uint64_t address, uint8_t value, uint64_t size);
/* Compute the XXH64 (seed 0) and SHA-256 of what lunik_space_read() would give; the first part that
 * fails ends them. */
int lunik_space_hash(lunik_space *s, uint64_t address, uint64_t size, uint64_t *hash);
int lunik_space_sha256(lunik_space *s, uint64_t address, uint64_t size, uint8_t digest[32]);

typedef struct lunik_pattern {
    const uint8_t *data;
    const uint8_t *mask; /* bits that have to be equal; NULL: all */
    size_t length;       /* bytes, > 0 */
    uint64_t align;      /* only addresses that are multiples of this; 0: all */
} lunik_pattern;
/* Finds the first address at which the pattern lies in RAM, across the borders of regions; devices
 * are not read. LUNIK_E_NOT_FOUND: it is nowhere in these size bytes. */
int lunik_space_search(lunik_space *s, uint64_t address, uint64_t size,
                       const lunik_pattern *pattern, uint64_t *found);
/* Copies the string at address, with its zero byte, to the size (> 0) bytes at buf; *length is its
 * length without that. LUNIK_E_NO_SPACE: it does not end within size - 1 bytes, which are copied.
 * Nothing behind its end is read. */
int lunik_space_string(lunik_space *s, uint64_t address, char *buf, size_t size, size_t *length);
/* Make one access of 1, 2, 4 or 8 bytes, as a vCPU would; value is the little-endian number
 * there. */
int lunik_space_load(lunik_space *s, uint64_t address, unsigned size, uint64_t *value);
int lunik_space_store(lunik_space *s, uint64_t address, unsigned size, uint64_t value);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
