/*
 * drains.h: what is shared by those who wait for a machine's objects to finish what is in flight.
 *
 * DESIGN. Objects that can be asked stand in a list (object/drain.c). They report on any thread,
 * also when the machine is closed and its runtime is gone, so what a report touches is part of the
 * machine's struct, which the object that owes the report has a reference to. A report wakes the
 * threads in drains_wait() and, as long as the machine is open, has the loop thread look again
 * (lunik_machine.work). So does the alarm, which is set for the earliest time at which somebody
 * stops waiting.
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
    struct drain_list list;    /* objects that can be asked, in order of creation */
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

/* Something has changed that threads wait for. Any thread, with or without the machine lock. */
void drains_changed(lunik_machine *m);
/* For drains_wait(): what has changed up to now. Lock held. */
uint64_t drains_seen(lunik_machine *m);
/* Waits, without the machine lock, until more has changed or it is `until` (drains_now()). */
void drains_wait(lunik_machine *m, uint64_t seen, uint64_t until);

/* Nanoseconds of the host's monotonic clock; now, and when one that is asked now has had its time.
 */
uint64_t drains_now(void);
uint64_t drains_until(const lunik_machine *m);
/* Makes the alarm, unless there is one. */
int drains_make_alarm(lunik_machine *m, lunik_error *err);
/* Has the loop thread look at `until` (UINT64_MAX: at no time), and no more at the time set before.
 * Lock held. */
void drains_alarm(lunik_machine *m, uint64_t until);

#endif
