/*
 * drains.h: the part of a machine that threads share which wait for objects to finish what is in
 * flight.
 *
 * DESIGN. A list holds the objects that have a drain function (object/object_drain.c). They report
 * on any thread, even when the machine is closed and its runtime is gone, so a report touches only
 * the machine's struct, to which the object that owes the report has a reference. A report wakes
 * the threads in drains_wait() and, while the machine is open, runs lunik_machine.work on the loop
 * thread. The alarm does the same at the earliest time at which a request stops waiting.
 */
#ifndef CORE_DRAINS_H
#define CORE_DRAINS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "lunik.h"

struct lunik_drain;
struct drain_alarm;
TAILQ_HEAD(drain_list, lunik_drain);

struct drains {
    struct drain_list list;    /* objects with a drain function, in order of creation */
    unsigned holds;            /* calls that drain all objects, minus those that undrain them */
    struct drain_alarm *alarm; /* NULL: no such object has been made yet */
    pthread_mutex_t mutex; /* guards what follows; no other lock but the tasks' is taken in it */
    pthread_cond_t changed;
    uint64_t changes; /* reports so far, and ends of requests */
    bool closed;      /* the runtime may be gone */
};

void drains_init(lunik_machine *m);
void drains_destroy(lunik_machine *m);
/* The machine is being closed: no report reaches its runtime from now on. */
void drains_close(lunik_machine *m);

/* Wakes the threads that wait for a change. Any thread, with or without the machine lock. */
void drains_changed(lunik_machine *m);
/* Returns the number of changes so far, for drains_wait(). Lock held. */
uint64_t drains_seen(lunik_machine *m);
/* Waits, without the machine lock, until there are more than `seen` changes or until the time
 * `until` (monotonic_ns()). */
void drains_wait(lunik_machine *m, uint64_t seen, uint64_t until);

/* Returns the time (monotonic_ns()) at which a drain that begins now has lasted for the machine's
 * drain_timeout. */
uint64_t drains_until(const lunik_machine *m);
/* Creates the alarm if the machine has none. */
int drains_make_alarm(lunik_machine *m, lunik_error *err);
/* Sets the alarm for `until` (UINT64_MAX: never) in place of the time set before. Lock held. */
void drains_alarm(lunik_machine *m, uint64_t until);

#endif
