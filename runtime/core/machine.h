/* machine.h: struct lunik_machine and functions of the runtime; not for devices or bindings. */
#ifndef CORE_MACHINE_H
#define CORE_MACHINE_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "cpus.h"
#include "drains.h"
#include "lock.h"
#include "lunik_device.h"
#include "subscribe.h"
#include "turn.h"

LIST_HEAD(region_list, lunik_region);
LIST_HEAD(machine_list, lunik_machine);
LIST_HEAD(iothread_list, lunik_iothread);
TAILQ_HEAD(outlet_list, lunik_outlet);

struct memory_core;
struct transaction;
struct object_table;
struct boot_state;
struct vcpu_group;
struct kvm_vm;
struct machine_clock;
struct gsi_lines;
struct region_hooks;
struct machine_requests;

/* data.c */
struct attached {
    const char *key;
    void *data;
    void (*release)(void *);
    struct attached *next;
};
void data_release(struct attached **list);

TAILQ_HEAD(request_list, lunik_request);

/* Requests to a machine, in the order in which they are carried out. */
enum {
    MACHINE_WANT_CLOSE,
    MACHINE_WANT_STOP, /* the rest of a shutdown or crash */
    MACHINE_WANT_RESET,
    MACHINE_WANT_WAKE,
    MACHINE_WANT_START,
    MACHINE_WANT_PAUSE,
    MACHINE_WANTS,
};

struct lunik_machine {
    lunik_runtime *rt;
    LIST_ENTRY(lunik_machine) link; /* in rt->machines */
    const char *name;               /* config.name */
    lunik_machine_config config;    /* deep copy */
    _Atomic unsigned refs;
    _Atomic int state; /* lunik_run_state */
    int exit_code;
    _Atomic uint64_t cpus[CPUS_MOST / 64]; /* cpus.h: a bit for each that is plugged */

    struct kvm_vm *kvm;              /* kvm.h; NULL with accel none */
    struct vcpu_group *vcpus;        /* vcpu.h; NULL with accel none */
    struct gsi_lines *gsi;           /* irq.c */
    struct machine_clock *clock;     /* clock.c */
    struct memory_core *memory;      /* memory/memory.h */
    struct transaction *transaction; /* changes.h: of the memory core; NULL without one */
    struct object_table *objects;    /* object.h */
    struct boot_state *boot;         /* boot/boot.h */
    lunik_space *memory_space, *io_space;
    const struct region_hooks *regions;      /* of the memory core */
    const struct machine_requests *requests; /* of machine/ */
    struct attached *data;

    struct lunik_sub_list event_subs, exit_subs, reset_subs, gsi_subs; /* subscribe.c */
    struct lunik_sub_list msi_subs, trace_subs;
    uint64_t messages;                       /* sent; msi.c */
    LIST_HEAD(, lunik_msi_route) msi_routes; /* msi_route.c */
    LIST_HEAD(, lunik_irqchip) irqchips;     /* irqchip.c */
    bool intr;                               /* of the 8259As in them */
    uint64_t steps;                          /* serial of the last one reported; trace.c */

    struct iothread_list iothreads;

    struct outlet_list outlets; /* outlet.h: the outlets that hold output */
    unsigned outlet_pass;       /* counts lunik_machine_flush() */

    lunik_task work;              /* carries out `wanted` on the loop thread */
    _Atomic unsigned wanted;      /* 1 << MACHINE_WANT_* */
    _Atomic unsigned events_lost; /* for lack of memory since the last report */
    struct turn turn;             /* of the threads that change the run state */
    struct drains drains;         /* drains.h */
    bool resetting;               /* in this turn */
    _Atomic bool waking;          /* resetting is for a wake-up */
    bool asleep;                  /* suspended, or paused since */
    lunik_wake_reason wake_reason;
    _Atomic bool closing; /* events emitted from now on are delivered before the end */
    bool devices_running; /* clock and devices have been started */

    /* machine/request.c */
    uint64_t until[MACHINE_WANTS];      /* for what is wanted: when devices have had their time */
    struct request_list pending, ended; /* to be carried out; to be reported after the turn */
    bool held;                          /* devices are drained, since the vCPUs have stopped */
    unsigned drained;                   /* lunik_machine_drain() without lunik_machine_undrain() */
};

/* Requests to machine/ from the folders below it. Lock held; also on a vCPU's thread. */
struct machine_requests {
    void (*map_broken)(lunik_machine *m, const lunik_error *why); /* lunik_machine_map_broken() */
    void (*vcpu_crashed)(lunik_vcpu *v, const lunik_vcpu_exit *info);
    void (*guest_reset)(lunik_machine *m);
    void (*shutdown)(lunik_machine *m, const char *reason, int code);
    void (*pause)(lunik_machine *m); /* soon */
};

/* machine_fields.c: fails with LUNIK_E_GONE, "machine 'NAME' is closed". */
int machine_fail_closed(const lunik_machine *m, lunik_error *err);

/* error.c: fails if a name has control characters, which would break the lines of texts that show
 * it. */
int name_check(const char *what, const char *name, lunik_error *err);

/* config.c: checks a configuration and copies all it points to, with the defaults filled in. */
int config_copy(lunik_machine_config *to, const lunik_machine_config *from, lunik_error *err);
void config_free(lunik_machine_config *c);

/* Hooks of the memory core; the first two for the regions of an owner that is unplugged. */
struct region_hooks {
    /* Disables them, in one transaction. */
    int (*disable)(lunik_machine *m, const struct region_list *list, lunik_error *err);
    /* Those that have RAM leave their containers and give it back. */
    void (*orphan)(lunik_machine *m, const struct region_list *list);
    /* Whether the calling thread is reporting a rejected access. */
    bool (*rejecting_here)(const lunik_machine *m);
};

/* changes.c: true while any machine has a transaction open or notifies its listeners. The machine
 * lock cannot be released then: another thread would find a memory map that it can't change. */
bool machines_in_transaction(const lunik_runtime *rt);

/* clock.c, irq.c */
int clock_init(lunik_machine *m, lunik_error *err);
void clock_fini(lunik_machine *m);
void clock_free(lunik_machine *m);
/* Stop the machine's own clock, and start it from where it stopped. */
void clock_stop(lunik_machine *m);
void clock_start(lunik_machine *m);
/* msi_route.c: shuts what is open for good; routes can be freed later. */
void msi_routes_fini(lunik_machine *m);
int gsi_init(lunik_machine *m, lunik_error *err);
void gsi_fini(lunik_machine *m);
/* Reports the lines that are high to the interrupt controllers, which are new or have been reset.
 */
void gsi_show_high(lunik_machine *m);

/* subscribe.c */
void subs_init(lunik_machine *m);
void subs_end(lunik_machine *m);
void events_report(lunik_machine *m, const lunik_event *event);
lunik_exit_action exit_ask(lunik_machine *m, lunik_vcpu *v, const lunik_vcpu_exit *exit);
void reset_report(lunik_machine *m);
void gsi_report(lunik_machine *m, unsigned gsi, bool level);
void msi_report(lunik_machine *m, lunik_object *source, const lunik_msi *msg);
/* True on a thread that is reporting a line or a rejected access: the code that caused it, further
 * up the stack, still needs the machine. */
bool subs_called_here(const lunik_machine *m);

struct type_table;
/* loop.c: the registered types, which object/ owns. */
struct type_table *runtime_types(const lunik_runtime *rt);

#endif
