/* runtime.h: struct lunik_runtime, for the files that make it up. */
#ifndef CORE_RUNTIME_H
#define CORE_RUNTIME_H

#include "machine.h"
#include "task_queue.h"

struct event_node;

/* The threads for slow work, and what waits for one. */
struct work_pool {
    pthread_mutex_t mutex;
    pthread_cond_t ended; /* a thread has */
    lunik_work *head, **tail;
    unsigned threads;
    bool closed;
    lunik_task starter; /* makes threads for what other threads have started */
};

struct lunik_runtime {
    uv_loop_t loop;
    uv_async_t wake; /* the only handle of the runtime itself that keeps the loop alive */
    struct lock lock;
    _Atomic(pthread_t) owner; /* the thread that holds the lock, or 0 */
    pthread_t loop_thread;
    unsigned depth;               /* lunik_run() frames on the loop thread */
    unsigned calls;               /* runtime_enter() calls not yet left; loop thread */
    bool tasks_next;              /* deferred tasks are looked at again soon; loop thread */
    bool touched;                 /* another thread changed handles: wake the loop at unlock */
    _Atomic bool stop;            /* lunik_stop() was called */
    struct machine_list machines; /* newest first */
    unsigned running;             /* machines in that state */
    unsigned users;               /* lunik_runtime_use() calls not yet undone */
    struct type_table *types;
    struct attached *data;

    struct task_queue tasks; /* deferred */

    struct work_pool work;

    _Atomic(struct event_node *) events; /* newest first */
    struct event_node *delivering;       /* oldest first; being handed to callbacks */
    _Atomic bool lost;                   /* a machine has lost events since the last report */
};

void runtime_wake(lunik_runtime *rt); /* any thread */

/* Enclose a call that uses, itself or in a callback, things that may be freed meanwhile: they stay
 * until it ends or the lock is released. Between such calls the loop thread, idle with the lock
 * held, does not delay reclamation. May be nested. Lock held. */
void runtime_enter(lunik_runtime *rt);
void runtime_leave(lunik_runtime *rt);
/* lunik_lock() for an RCU reader, which stops being one while it waits: what it found in a
 * published view may be gone afterwards. */
void runtime_lock_unpinned(lunik_runtime *rt);

/* event.c: frees what is queued. Lock held. */
void events_discard(lunik_runtime *rt);
/* Delivers the events that a machine has emitted since its close began; frees earlier ones. */
void events_deliver_last(lunik_machine *m);

/* work.c */
void work_init(struct work_pool *pool);
void work_fini(struct work_pool *pool);
/* Waits, with the lock released, for the work that is under way, and takes no more. */
void work_end(lunik_runtime *rt);

/* fd_table.c: makes room for descriptors. any: an open descriptor. */
void fd_table_reserve(int any);

/* loop.c */
/* Makes a libuv loop and a handle to wake it, in such a way that libuv does not abort if there is
 * no memory or descriptor for them. Returns errno or 0. */
int loop_make(uv_loop_t *loop, uv_async_t *wake, uv_async_cb fn);
/* Makes the libuv loop and the handle that wakes it. */
int loop_init(lunik_runtime *rt, lunik_error *err);
void tasks_run(lunik_runtime *rt);

#endif
