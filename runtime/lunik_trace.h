/*
 * lunik_trace.h: what a machine does, step by step, for recorders, and for devices that report
 * steps of their own.
 *
 * A step is reported when it happens, or once when it begins and once when it ends. Steps nest:
 * those that a thread makes between the beginning and the end of another one are parts of it. While
 * there is no subscriber a point that could report a step costs one branch.
 *
 * What lunik.h says of errors, arguments, threads and lifetime holds here: every function is called
 * with the machine lock held, on any thread.
 */
#ifndef LUNIK_TRACE_H
#define LUNIK_TRACE_H

#include "lunik_device.h"

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

typedef enum lunik_step_phase {
    LUNIK_STEP_WHOLE, /* it has happened */
    LUNIK_STEP_BEGIN,
    LUNIK_STEP_ABOUT, /* the step with that serial, which is under way, is about this device */
    LUNIK_STEP_END,
} lunik_step_phase;

/* A report of a step; it lasts until the subscriber returns.
 *
 * Kinds: calls are "device_add", "device_del", "object_add", "object_del", "start", "resume",
 * "reset", "guest_reset"; the hotplug handler's and the device's are "pre_plug", "realize", "plug",
 * "unplug_request", "unplug", "unrealize", "device_reset"; a change of the memory map is "map", in
 * which come "section" and "listener", under KVM "memslot" and "hold"; towards the guest go
 * "shown", "gpe" and "gsi"; from it come "access", "ost", "eject"; then there are "event" (sent),
 * "handler" (called), "drain" (asked). Devices may report others. */
typedef struct lunik_step {
    /* set by the reporter */
    const char *kind;   /* static */
    const char *name;   /* of the listener, region, event or function, or NULL */
    const char *device; /* id or path of the device that it is about, or NULL */
    const char *driver; /* type of that device, or NULL */
    const lunik_field *fields;
    size_t count;         /* of fields: LUNIK_STEP_FIELDS at most */
    uint64_t duration_ns; /* how long it took: of an end, and of a step that is reported at once */
    bool common;          /* one of very many: only for subscribers that ask for all accesses */
    /* set by the runtime */
    lunik_step_phase phase;
    uint64_t serial;  /* counts the steps of the machine from 1: the same at beginning and end */
    uint64_t parent;  /* serial of the step that it is a part of; 0: of none */
    uint64_t time_ns; /* CLOCK_MONOTONIC when it began; of an end: when it ended */
    int vcpu;         /* whose thread it was on, or -1 */
    unsigned thread;  /* a number for each thread of the process, from 1 */
    bool loop;        /* on the loop thread */
    const lunik_cause *cause; /* what led to it, or NULL */
    const lunik_error *error; /* of an end: why it failed; NULL: it has not */
} lunik_step;
#define LUNIK_STEP_FIELDS 6

typedef void lunik_trace_fn(void *opaque, const lunik_step *step);

typedef struct lunik_trace_sub {
    lunik_trace_fn *fn;
    void *opaque;
    bool accesses; /* also accesses to devices that have no part in hotplug, if they need the lock
                      (an event is "common" in lunik_step) */
    lunik_sub_link link;
} lunik_trace_sub;

/* Subscribes to a machine's steps (see "Subscriptions" in lunik.h). Called on the thread that makes
 * the step, in the middle of it: fn may take notes, and nothing else. */
void lunik_trace_subscribe(lunik_machine *m, lunik_trace_sub *sub);
/* Ends a subscription. */
void lunik_trace_unsubscribe(lunik_trace_sub *sub);

/* Returns whether there is a subscriber. Any thread, with the lock or without. */
bool lunik_traced(const lunik_machine *m);

/* Reports a step that has happened, if there is a subscriber. device may be NULL:
 *   lunik_trace(m, "gpe", NULL, LUNIK_FIELD_UINT("gpe", 3)); */
#define lunik_trace(m, what, device, ...)                                                          \
    do {                                                                                           \
        if (lunik_traced(m))                                                                       \
            lunik_trace_fields((m), (what), (device), (const lunik_field[]){__VA_ARGS__},          \
                               sizeof((const lunik_field[]){__VA_ARGS__}) / sizeof(lunik_field));  \
    } while (0)
void lunik_trace_fields(lunik_machine *m, const char *kind, const lunik_object *device,
                        const lunik_field *fields, size_t count);

/* A step under way; on the stack of the function that makes it. Private to the runtime. */
typedef struct lunik_span {
    lunik_machine *machine; /* NULL: not reported */
    struct lunik_span *outer;
    const char *kind;
    uint64_t serial, began;
    bool common;
} lunik_span;

/* Report the beginning of a step, if there is a subscriber, and its end. Every span that was begun
 * has to be ended, on the same thread, the last one first. rc other than 0: the step failed, *err
 * says why (may be NULL). fields (count, may be NULL with 0) are what is known at the end. */
void lunik_trace_begin(lunik_machine *m, lunik_span *span, const lunik_step *step);
void lunik_trace_end(lunik_span *span, int rc, const lunik_error *err, const lunik_field *fields,
                     size_t count);

/* Names the device that the innermost step under way on this thread is about, once that is known,
 * e.g. the one in the slot that the guest has selected. Does nothing where device is NULL. */
void lunik_trace_about(lunik_machine *m, const lunik_object *device);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
