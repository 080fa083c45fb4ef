/* runtime.h: struct lunik_runtime, for the files that make it up. */
#ifndef CORE_RUNTIME_H
#define CORE_RUNTIME_H

#include "machine.h"

struct event_node;

struct lunik_runtime {
    uv_loop_t loop;
    uv_async_t wake; /* the one handle of ours that keeps the loop alive */
    struct lock lock;
    _Atomic(pthread_t) owner; /* the thread that holds the lock, or 0 */
    pthread_t loop_thread;
    unsigned depth;               /* lunik_run() frames on the loop thread */
    unsigned calls;               /* runtime_enter() calls not yet left; loop thread */
    bool touched;                 /* a vCPU thread changed handles: wake the loop at unlock */
    _Atomic bool stop;            /* lunik_stop() was called */
    struct machine_list machines; /* newest first */
    unsigned running;             /* machines in that state */
    struct type_table *types;
    struct attached *data;

    pthread_mutex_t task_mutex; /* guards the two below */
    lunik_task *task_head, **task_tail;

    _Atomic(struct event_node *) events; /* newest first */
    struct event_node *delivering;       /* oldest first; being handed to callbacks */
    _Atomic bool lost;                   /* some machine has lost events since the last report */
};

void runtime_wake(lunik_runtime *rt); /* any thread */

/* Enclose a call in which things may be freed that it, or a callback it makes, still looks at: they
 * stay to its end, unless the lock is released. Between such calls the loop thread, idle with the
 * lock held, keeps nothing from being freed. Nest. Lock held. */
void runtime_enter(lunik_runtime *rt);
void runtime_leave(lunik_runtime *rt);
/* lunik_lock() for an RCU reader that is none while it waits: what it found in a published view may
 * be gone afterwards. */
void runtime_lock_unpinned(lunik_runtime *rt);

/* event.c: frees what is queued. Lock held. */
void events_discard(lunik_runtime *rt);
/* Delivers what a machine that is being closed has said since that began; frees what it said
 * before. */
void events_deliver_last(lunik_machine *m);

/* fd_table.c: makes room for descriptors. any: one that is open. */
void fd_table_reserve(int any);

/* loop.c */
/* Makes the libuv loop and the handle that wakes it. */
int loop_init(lunik_runtime *rt, lunik_error *err);
void tasks_run(lunik_runtime *rt);

#endif
