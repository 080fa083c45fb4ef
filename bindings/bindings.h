/*
 * bindings.h: declarations that the files of the Lua bindings share.
 *
 * DESIGN. One lua_State has one runtime, made when it is first needed. Every Lua call happens under
 * the machine lock, so one lua_State can be entered from the loop thread and from vCPU threads,
 * each with a Lua thread (coroutine) of its own: bind_call() takes an idle one from a pool, runs a
 * C function on it protected, reports an error that it raises and returns the Lua thread to the
 * pool. No error jumps (lua_error) across a frame of the runtime.
 *
 * Userdata are boxes around a counted reference. A box is found again by the address that it holds
 * (bind_push_box), so the same thing is always the same userdata. A box owns only its reference:
 * collecting it neither unplugs nor stops anything. Data that has to live as long as a machine is
 * kept in its struct glue.
 */
#ifndef BINDINGS_H
#define BINDINGS_H

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "lunik_device.h"

/* For modules that are linked apart. */
#define BIND_EXPORT __attribute__((visibility("default")))

struct bindings;
struct glue;
struct loop_timer;
struct local_socket;
struct lua_type;
struct region_io;
struct irq_source;
struct clock_timer;
struct region_event;
struct map_listener;
struct stream;
struct step_ring;

/* ---- state ---------------------------------------------------------------------------------- */

#define BIND_CALLS_MAX 160 /* callbacks in progress at once, nested ones included */

enum { BIND_LIBRARY_DIRS = 2 };

/* The data of one lua_State; a userdata in the registry, whose __gc closes the machines and the
 * runtime. */
struct bindings {
    lunik_runtime *rt; /* NULL until it is first needed */
    lua_State *maker;  /* makes Lua threads; runs nothing else */
    lua_State *idle[BIND_CALLS_MAX];
    unsigned idle_count, threads; /* threads: made so far */
    unsigned calls, transactions; /* on the loop thread: the loop can't be run inside them */
    bool shared;                  /* the runtime is the embedder's */
    bool closing;                 /* the state is being closed: Lua is not called any more */
    struct glue *machines;        /* not closed, newest first */
    struct loop_timer *timers;
    struct local_socket *sockets;
    struct pending_request *requests;
    struct lua_type *types; /* defined by scripts */
    /* Directories of the Lua half, as compiled in and as found; error positions skip its frames. */
    char library_dirs[BIND_LIBRARY_DIRS][1024];
};

/* Keys of the registry: the struct bindings, and the table of the module lunik.core. */
extern const char bind_state_key;
extern const char bind_core_key;

/* Returns the data of a Lua state; NULL before lunik.core has been opened. */
struct bindings *bind_state(lua_State *L);
/* Returns the runtime, which the first call makes. Raises. */
BIND_EXPORT lunik_runtime *bind_runtime(lua_State *L);
/* Makes the state use an embedder's runtime. Returns false if it has another one. */
bool bind_share_runtime(struct bindings *b, lunik_runtime *rt);
/* The opposite, where nothing has been made in the runtime yet. */
void bind_unshare_runtime(struct bindings *b);
/* Pushes the function `name` of core.hooks, where the Lua half puts the functions that C calls. */
void bind_push_hook(lua_State *L, const char *name);

/* Data that the bindings keep for a machine that is not closed. */
struct glue {
    struct bindings *b;
    lunik_machine *m;
    struct glue *next;
    unsigned busy; /* the loop thread is in callbacks on its devices: it can't be closed now */
    bool shown;    /* it has a box, so that a script may wait for it */
    struct pending_request *request; /* a spare one */
    struct region_io *regions;
    struct irq_source *irqs;
    struct clock_timer *timers;
    struct region_event *events; /* ioeventfds */
    struct map_listener *listeners;
    struct step_ring *rings;
    struct stream *streams;
    lunik_event_sub event_sub;
    lunik_exit_sub exit_sub;
    lunik_gsi_sub gsi_sub;
    lunik_reset_sub reset_sub;
    lunik_reject_sub reject_sub;
};

/* Returns the glue of a machine, NULL once it is closed. */
struct glue *bind_glue(lunik_machine *m);

/* ---- boxes and classes (class.c) ------------------------------------------------------------ */

struct bind_class {
    const char *name; /* of the metatable: "lunik.Machine" */
    const luaL_Reg *methods;
    const luaL_Reg *getters; /* fields; called with the object */
    const luaL_Reg *setters; /* called with object, key, value */
    const luaL_Reg *meta;    /* __gc, __tostring, ... */
    lua_CFunction get_other; /* (object, key) for names that are neither; NULL: nil */
    lua_CFunction set_other; /* (object, key, value); NULL: an error */
};

/* Makes the metatable and puts {methods=, getters=, setters=} into the table at index classes,
 * under the name without "lunik.". */
void bind_class_new(lua_State *L, int classes, const struct bind_class *c);

/* The content of a userdata: an address, and the machine that it belongs to. */
struct box {
    void *ptr;
    lunik_machine *m; /* a reference, may be NULL */
    void *data;       /* of the class */
};

/* Pushes the box of ptr. If there is none yet, makes one of the class, with that number of
 * uservalues, and sets *made: the caller then takes the references. If Lua is out of memory, calls
 * drop (may be NULL) to release references taken before. The stack must have room for two values.
 */
struct box *bind_push_box(lua_State *L, const char *class, void *ptr, int uservalues, bool *made,
                          void (*drop)(void *ptr));
/* Pushes the box of ptr if there is one, else nil and returns false. */
bool bind_find_box(lua_State *L, const void *ptr);
/* Puts the value on top of the stack into the table under the address; returns false, with the
 * error pushed, if Lua is out of memory. */
bool bind_try_keep(lua_State *L, int table, const void *address);
/* Like bind_push_box() for a thing that lives as long as its machine (a space, a vCPU). Its address
 * may be reused by another machine, so the box is kept in the machine's table of parts. */
void bind_push_part(lua_State *L, const char *class, void *ptr, lunik_machine *m);
/* Pushes the table of parts, which the machine's box keeps: values that must live as long as it. */
void bind_push_parts(lua_State *L, lunik_machine *m);
int bind_part_gc(lua_State *L); /* their __gc */
struct box *bind_check_box(lua_State *L, int index, const char *class);
/* Raises that the value at index (1: a method's own object) is not of the class. */
void bind_wrong_class(lua_State *L, int index, const char *class) __attribute__((noreturn));
/* Raises {code="gone"} if the machine of a box is closed. */
struct box *bind_check_open(lua_State *L, int index, const char *class);

/* ---- the sandbox (sandbox.c) ---------------------------------------------------------------- */

int bind_lua_sandbox(lua_State *L);
int bind_lua_sandboxed(lua_State *L);
int bind_lua_sandbox_denial(lua_State *L);
int bind_lua_sanitized(lua_State *L);

/* ---- character devices (console.c) ---------------------------------------------------------- */

int bind_lua_send_break(lua_State *L); /* object:send_break() */

/* ---- saved state (object_state.c) ------------------------------------------------------------ */

int bind_lua_object_save(lua_State *L); /* object:save() */
int bind_lua_object_load(lua_State *L); /* object:load(state) */

/* ---- errors (error.c) ----------------------------------------------------------------------- */

/* Pushes an error object {code=, message=, where=}. */
void bind_push_error(lua_State *L, int code, const char *message);
/* Raise it. */
int bind_raise(lua_State *L, const lunik_error *err) __attribute__((noreturn));
BIND_EXPORT int bind_fail(lua_State *L, int code, const char *format, ...)
    __attribute__((noreturn, format(printf, 3, 4)));
/* Raises *err unless rc is 0. */
void bind_check(lua_State *L, int rc, const lunik_error *err);
/* Fills *err from the value raised at index: an error object keeps its code. Returns the code. */
int bind_error_from(lua_State *L, int index, lunik_error *err);
/* The same for the value on top, which is popped; there is room for two more. Raises nothing. */
int bind_take_error(lua_State *L, lunik_error *err);
/* Pushes the value at index as a text without zero bytes, and returns it. Raises only no-memory
 * errors: if a __tostring raises another one, the text names the value's type instead. */
const char *bind_push_text(lua_State *L, int index);
void bind_error_open(lua_State *L);
int bind_lua_text(lua_State *L);          /* core.text(value) */
int bind_lua_error_new(lua_State *L);     /* core.error(code, message) */
int bind_lua_sys_error_new(lua_State *L); /* core.sys_error(errno, message) */

/* message.c: write to standard error. Wait for a limited time only, then drop the message; see
 * message.c. */
void bind_write_message(const char *text, size_t size);
void bind_message(const char *format, ...) __attribute__((format(printf, 1, 2)));
int bind_lua_message(lua_State *L); /* core.message(text) */

/* cause.c: records the line in which a script makes a change. No error may be raised between begin
 * and end. */
struct bind_script {
    lunik_cause cause;
    lua_Debug where;
};
void bind_script_begin(lua_State *L, struct bind_script *s);
/* Raises *err unless rc is 0; returns 0. */
int bind_script_end(lua_State *L, struct bind_script *s, int rc, const lunik_error *err);
void bind_push_cause(lua_State *L, const lunik_cause *c); /* nil for NULL */
void bind_push_rejection(lua_State *L, const lunik_rejection *r, lunik_machine *m);
int bind_lua_why(lua_State *L); /* space:why(address) */
/* Finds the innermost Lua function that is not the library's own, and fills in its short_src and
 * currentline; returns false if there is none. */
bool bind_where(lua_State *L, lua_Debug *ar);
/* Whether ar, filled in with "S", describes a function of the library. */
bool bind_in_library(lua_State *L, const lua_Debug *ar);

/* ---- values (value.c) ----------------------------------------------------------------------- */

/* All of these raise "<what>: '<value>' is ... (want ...)" */
lua_Integer bind_int(lua_State *L, int index, const char *what, lua_Integer min, lua_Integer max);
uint64_t bind_u64(lua_State *L, int index, const char *what);                 /* not negative */
uint64_t bind_bits(lua_State *L, int index, const char *what, unsigned size); /* size bytes */
uint64_t bind_size(lua_State *L, int index, const char *what);                /* number or "512M" */
uint64_t bind_address(lua_State *L, int index, const char *what); /* any integer's bits, or "4G" */
uint64_t bind_extent(lua_State *L, int index, const char *what);  /* a size, or LUNIK_SIZE_MAX */
/* A size or address of at most max, which is below 2^63. */
uint64_t bind_limited(lua_State *L, int index, const char *what, uint64_t max);
bool bind_bool(lua_State *L, int index, const char *what);          /* nil is false */
bool bind_level(lua_State *L, int index, const char *what);         /* nil is wrong */
const char *bind_string(lua_State *L, int index, const char *what); /* without zero bytes */
/* The same for an argument that may also be an object, which the caller has handled. */
const char *bind_id(lua_State *L, int index, const char *what);
const char *bind_opt_string(lua_State *L, int index, const char *what, const char *def);
void bind_function(lua_State *L, int index, const char *what);
void bind_table(lua_State *L, int index, const char *what);
int bind_choice(lua_State *L, int index, const char *what, const char *const *choices);
/* 1, 2, 4 or 8. */
unsigned bind_access_size(lua_State *L, int index, const char *what);
/* A string of any bytes. */
const char *bind_data(lua_State *L, int index, const char *what, size_t *size);
/* A list of strings as a NULL-terminated array, which is pushed. Both must stay on the stack while
 * it is used. */
const char *const *bind_strings(lua_State *L, int index, const char *what);
/* Pushes a field and returns its index. */
int bind_field(lua_State *L, int table, const char *name);
/* A table whose keys are all among the NULL-terminated names. */
void bind_options(lua_State *L, int index, const char *what, const char *const *names);
int bind_lua_suggest(lua_State *L); /* core.suggest(name, {names}) -> string|nil */

/* A property table or an event's fields. Values that are pushed onto the stack keep everything
 * alive that the fields point to. */
struct bind_fields {
    lunik_field *items;
    size_t count;
};
void bind_fields(lua_State *L, int index, const char *what, struct bind_fields *out);
/* One value; pushes values that keep it alive. */
void bind_value(lua_State *L, int index, const char *what, lunik_value *out);
void bind_push_value(lua_State *L, const lunik_value *value);
/* Pushes the name with each character `from` replaced by `to`. */
void bind_push_name(lua_State *L, const char *name, char from, char to);

/* ---- calls into Lua (call.c) ---------------------------------------------------------------- */

/* Runs body on a Lua thread of its own with arg as a light userdata at index 1. Reports an error as
 * having happened in source, and returns false then. g may be NULL. */
bool bind_call(struct bindings *b, struct glue *g, const char *source, lua_CFunction body,
               void *arg);
/* For a body: reserves memory so that the next call of a function at least begins. Raises an error
 * if there is none. */
void bind_prepare_call(lua_State *L);
/* Like bind_call(), but the error goes to *err; returns 0 or its code. */
int bind_call_err(struct bindings *b, struct glue *g, lua_CFunction body, void *arg,
                  lunik_error *err);

/* ---- interrupts (interrupt.c) ---------------------------------------------------------------- */

/* A Lua thread that is active on this thread of the process, from push to pop; on the C stack.
 * handler: the runtime entered it, or one below it. */
struct bind_frame {
    lua_State *L;
    struct bind_frame *below;
    bool handler;
};
void bind_frame_push(struct bind_frame *f, lua_State *L, bool handler);
void bind_frame_pop(const struct bind_frame *f);

/* Handles an interrupt, in a hook of L; may raise an error. */
typedef void bind_interrupt_fn(lua_State *L);
/* For a signal handler on the thread that runs the script: fn is called as soon as Lua code outside
 * handlers runs there. Handlers that don't return within a tenth of a second, on whichever thread,
 * have the error "interrupted!" raised in them. */
void bind_interrupt(bind_interrupt_fn *fn);
/* For a signal handler on another thread, after that: interrupts the handlers that run there. */
void bind_interrupt_here(void);
/* Makes coroutine.resume, wrap and close push frames, so that interrupts reach coroutines. */
void bind_track_coroutines(lua_State *L);

/* ---- classes, one per file ------------------------------------------------------------------ */

void bind_machine_open(lua_State *L, int classes);
void bind_object_open(lua_State *L, int classes);
void bind_region_open(lua_State *L, int classes);
void bind_space_open(lua_State *L, int classes);
void bind_vcpu_open(lua_State *L, int classes);
void bind_irq_open(lua_State *L, int classes);
void bind_listener_open(lua_State *L, int classes);
void bind_timer_open(lua_State *L, int classes);
void bind_ioeventfd_open(lua_State *L, int classes);
void bind_dirty_open(lua_State *L, int classes);

lunik_machine *bind_machine(lua_State *L, int index); /* open */
struct glue *bind_machine_glue(lua_State *L, int index);
void bind_push_machine(lua_State *L, lunik_machine *m);
void bind_push_object(lua_State *L, lunik_object *o); /* nil for NULL */
lunik_object *bind_object(lua_State *L, int index);   /* alive */
/* Returns the object at index, given as such or as the id of one of m's objects. */
lunik_object *bind_object_arg(lua_State *L, int index, lunik_machine *m, const char *what);
void bind_push_region(lua_State *L, lunik_region *r, lunik_machine *m); /* nil for NULL */
void bind_push_space(lua_State *L, lunik_space *s, lunik_machine *m);
void bind_push_section(lua_State *L, const lunik_section *s, lunik_machine *m); /* listener.c */
void bind_push_vcpu(lua_State *L, lunik_vcpu *v, lunik_machine *m);

/* Raises the error of a lunik_space_*() call on size bytes at address, unless rc is 0. */
void bind_check_access(lua_State *L, lunik_space *s, int rc, const char *verb, uint64_t address,
                       uint64_t size);
extern const luaL_Reg bind_space_bulk_methods[];     /* space_bulk.c */
extern const luaL_Reg bind_machine_object_methods[]; /* machine_objects.c */
extern const luaL_Reg bind_machine_guest_methods[];  /* machine_guest.c: ports, booting, ACPI */
/* Attaches a new machine to the Lua state and pushes its box; the stack must have room for two
 * values. */
void bind_adopt_machine(lua_State *L, lunik_machine *m);

/* The same in two steps: makes the glue; pushes the box, which is kept while the machine is open.
 */
int bind_glue_new(struct bindings *b, lunik_machine *m, lunik_error *err);
/* Separates a machine that stays from its Lua state. */
void bind_glue_drop(lunik_machine *m);
void bind_show_machine(lua_State *L, lunik_machine *m);
lunik_machine *bind_test_machine(lua_State *L, int index); /* NULL: not a machine; never raises */

int bind_lua_machine_new(lua_State *L); /* machine_new.c */

/* machine.c, machine_objects.c */
int bind_lua_machines(lua_State *L);
int bind_lua_device_del(lua_State *L);
int bind_lua_fw_cfg_add(lua_State *L); /* fw_cfg.c */
int bind_lua_fw_cfg(lua_State *L);
int bind_lua_fw_cfg_names(lua_State *L);
int bind_lua_netdev_send(lua_State *L); /* netdev.c */
int bind_lua_netdev_watch(lua_State *L);
int bind_lua_blockdev_functions(lua_State *L); /* blockdev.c */
/* Raises where the machine can't be closed. */
void bind_check_closable(lua_State *L, lunik_machine *m);
/* At the end of the state: closes a machine, and says so if it still ran. False: it goes on without
 * the state, and is closed when the callback of it that has closed the state returns. */
bool bind_machine_end(struct glue *g);

/* event.c */
void bind_event_attach(struct glue *g);
void bind_event_detach(struct glue *g);
int bind_lua_emit(lua_State *L);
int bind_lua_observe(lua_State *L);

/* region.c, region_new.c. The uservalues of a region's box: */
enum { BIND_REGION_READ = 1, BIND_REGION_WRITE, BIND_REGION_PEEK, BIND_REGION_KEPT };
extern const char *const bind_region_kinds[]; /* by lunik_region_kind */
lunik_region *bind_region(lua_State *L, int index);
/* The same for an option, which `what` names in errors. */
lunik_region *bind_region_option(lua_State *L, int index, const char *what);
/* To be called after a transaction: keeps the boxes of regions that are mapped now. */
void bind_region_settle(lua_State *L, lunik_machine *m);
/* To be called when the box is collected: drops io's reference to the region, unless that is in a
 * container. */
void bind_region_forget(struct region_io *io);

/* Free what a machine's glue holds, when the machine closes. */
void bind_region_release(struct glue *g);
void bind_irq_release(struct glue *g);
void bind_listener_release(struct glue *g);
void bind_timer_release(struct glue *g);
void bind_ioeventfd_release(struct glue *g);
void bind_trace_release(struct glue *g);
void bind_stream_release(struct glue *g);
int bind_lua_ioeventfd(lua_State *L); /* region:ioeventfd{...} */
int bind_lua_coalesce(lua_State *L);
int bind_lua_uncoalesce(lua_State *L);
int bind_lua_region_new(lua_State *L); /* m:region{...} */
int bind_lua_irq_new(lua_State *L);    /* m:irq(gsi) */
int bind_lua_timer_new(lua_State *L);  /* m:timer(fn) */
int bind_lua_listen(lua_State *L);     /* m:listen{...} */

/* dirty.c */
int bind_lua_dirty_new(lua_State *L); /* m:dirty{...} */
int bind_lua_dirty_sample(lua_State *L);
int bind_lua_topology(lua_State *L);
int bind_lua_dirty_compare(lua_State *L);

/* trace.c */
int bind_lua_record(lua_State *L);
int bind_lua_trace_handler(lua_State *L);
void bind_trace_open(lua_State *L);
void bind_trace_handler_open(lua_State *L); /* of bind_trace_open() */

/* loop.c */
extern const luaL_Reg bind_loop_functions[];
void bind_loop_open(lua_State *L, int classes);
void bind_loop_release(struct bindings *b);

/* local_socket.c */
extern const luaL_Reg bind_socket_functions[];
void bind_socket_open(lua_State *L);
void bind_sockets_release(struct bindings *b);

/* request.c */
int bind_lua_request(lua_State *L);
int bind_lua_on_end(lua_State *L);
int bind_lua_undrain(lua_State *L);
/* Makes g->request. */
bool bind_request_spare(struct glue *g);
void bind_requests_release(struct bindings *b);
/* Pushes the function that reports *d, and takes that over: *d is NULL then. */
void bind_push_done(lua_State *L, lunik_drain **d);

/* types.c, device.c, console.c */
int bind_lua_types(lua_State *L);
int bind_lua_pci_functions(lua_State *L); /* pci.c */
int bind_lua_pci_bar(lua_State *L);       /* device_pci.c */
int bind_lua_pci_rom(lua_State *L);
int bind_lua_pci_msi(lua_State *L);
int bind_lua_pci_msix(lua_State *L);
int bind_lua_pci_capability(lua_State *L);
int bind_lua_pci_intx(lua_State *L);
int bind_lua_pci_send(lua_State *L);
int bind_lua_pci_vectors(lua_State *L);
int bind_lua_pci_read(lua_State *L);
int bind_lua_pci_write(lua_State *L);
int bind_lua_state_get(lua_State *L); /* device_state.c */
int bind_lua_state_set(lua_State *L);
int bind_lua_kvm_irqchip(lua_State *L); /* machine_guest.c */
int bind_lua_type(lua_State *L);
int bind_lua_type_add(lua_State *L);
int bind_lua_ejected(lua_State *L);
int bind_lua_refused(lua_State *L);
void bind_types_free(struct bindings *b);
/* Prepares a runtime for Lua states that are closed before it is freed. */
int bind_types_share(lunik_runtime *rt, lunik_error *err);
/* To be called when such a state closes: types that it defined stay, but can't be used any more. */
void bind_types_leave(struct bindings *b);
extern const luaL_Reg bind_console_functions[];
extern const luaL_Reg bind_stream_functions[];      /* stream.c */
extern const luaL_Reg bind_disassemble_functions[]; /* disassemble.c */
int bind_lua_search_new(lua_State *L);
int bind_lua_buffer_search(lua_State *L);
void bind_search_open(lua_State *L);

#pragma GCC visibility push(default)
int luaopen_lunik_core(lua_State *L);
#pragma GCC visibility pop

#endif
