/*
 * iothread.c: threads for devices, each with a libuv loop.
 *
 * DESIGN. Freeing an iothread waits for nothing: the thread is asked to stop, carries out what has
 * been posted, and ends; the rest is done by the loop's thread, or by the end of the machine, which
 * waits for it with the lock released. Before a machine's devices are destroyed its iothreads have
 * ended; a device's handles are then its own to close, on the thread that destroys it, and the loop
 * is run once more, under the machine lock, for their close callbacks.
 */
#include <stdio.h>
#include <stdlib.h>

#include "iothread.h"
#include "misuse.h"
#include "own_thread.h"
#include "runtime.h"

struct lunik_iothread {
    struct own_thread own;
    lunik_machine *machine;
    LIST_ENTRY(lunik_iothread) link; /* in the machine's list */
    uv_loop_t loop;
    uv_async_t wake;
    lunik_task end;                /* on the runtime's loop, when the thread is through */
    bool ended, freed, waited_for; /* machine lock */
    struct task_queue tasks;       /* its mutex guards the rest */
    bool stopping;                 /* the thread posts to itself no more */
    bool over;                     /* it does not touch the loop any more */
};

static __thread lunik_iothread *current;

/* ---- tasks ---------------------------------------------------------------------------------- */

int lunik_iothread_post(lunik_iothread *t, lunik_task *task)
{
    NOT_NULL(t, LUNIK_E_INVALID);
    NOT_NULL(task, LUNIK_E_INVALID);

    int rc = 0;

    pthread_mutex_lock(&t->tasks.mutex);
    if (t->over || (t->stopping && current == t)) {
        rc = LUNIK_E_GONE;
    } else if (task_queue_add(&t->tasks, task)) {
        uv_async_send(&t->wake);
    }
    pthread_mutex_unlock(&t->tasks.mutex);
    return rc;
}

bool lunik_iothread_cancel(lunik_iothread *t, lunik_task *task)
{
    NOT_NULL(t, false);
    NOT_NULL(task, false);

    return task_queue_remove(&t->tasks, task);
}

/* ---- the thread ----------------------------------------------------------------------------- */

static void on_wake(uv_async_t *wake)
{
    lunik_iothread *t = lunik_container_of(wake, lunik_iothread, wake);

    own_thread_pass(&t->own);
    if (task_queue_run(&t->tasks))
        uv_async_send(wake);
    pthread_mutex_lock(&t->tasks.mutex);
    if (t->stopping)
        uv_stop(&t->loop);
    pthread_mutex_unlock(&t->tasks.mutex);
}

static bool is_over(lunik_iothread *t)
{
    bool over;

    pthread_mutex_lock(&t->tasks.mutex);
    over = t->over = t->stopping && !t->tasks.head;
    pthread_mutex_unlock(&t->tasks.mutex);
    return over;
}

static void run(struct own_thread *own)
{
    lunik_iothread *t = lunik_container_of(own, lunik_iothread, own);

    current = t;
    do {
        uv_run(&t->loop, UV_RUN_DEFAULT);
    } while (!is_over(t));
    lunik_defer(t->machine->rt, &t->end);
}

static void nudge(struct own_thread *own)
{
    uv_async_send(&lunik_container_of(own, lunik_iothread, own)->wake);
}

static void stop(lunik_iothread *t)
{
    pthread_mutex_lock(&t->tasks.mutex);
    t->stopping = true;
    uv_async_send(&t->wake);
    pthread_mutex_unlock(&t->tasks.mutex);
}

/* ---- making and freeing --------------------------------------------------------------------- */

/* The thread has ended, or was never started. */
static void destroy(lunik_iothread *t)
{
    lunik_machine *m = t->machine;

    lunik_defer_cancel(m->rt, &t->end);
    LIST_REMOVE(t, link);
    uv_close((uv_handle_t *)&t->wake, NULL);
    while (uv_run(&t->loop, UV_RUN_NOWAIT) && t->loop.closing_handles)
        ;
    uv_loop_close(&t->loop);
    task_queue_destroy(&t->tasks);
    free(t);
    lunik_machine_unref(m);
}

/* Where it is about to end, that is no wait. */
static void join(lunik_iothread *t)
{
    own_thread_wait(&t->own);
    t->ended = true;
    if (t->freed && !t->waited_for)
        destroy(t);
}

static void on_end(lunik_task *task)
{
    join(lunik_container_of(task, lunik_iothread, end));
}

static int check_new(const lunik_machine *m, lunik_error *err)
{
    if (m->closing)
        return machine_fail_closed(m, err);
    if (lunik_vcpu_current())
        return lunik_fail(err, LUNIK_E_STATE,
                          "iothread: a vCPU's thread can't make one, which would have its sandbox "
                          "(want it made on another thread, such as the loop's)");
    return 0;
}

int lunik_iothread_new(lunik_machine *m, lunik_iothread **out, lunik_error *err)
{
    NOT_NULL_OR_FAIL(out, err);
    NOT_NULL_OR_FAIL(m, err);
    REQUIRE_OR_FAIL(lunik_locked(m->rt), UNLOCKED, err);

    lunik_iothread *t;
    int rc = check_new(m, err), sys;

    if (rc)
        return rc;
    t = calloc(1, sizeof(*t));
    if (!t)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "iothread: out of memory");
    sys = loop_make(&t->loop, &t->wake, on_wake);
    if (sys) {
        free(t);
        return lunik_fail_errno(err, sys, "iothread: can't make an event loop");
    }
    t->own = (struct own_thread){.name = "lunik-io", .run = run, .nudge = nudge};
    t->end.fn = on_end;
    t->machine = m;
    task_queue_init(&t->tasks);
    lunik_machine_ref(m);
    LIST_INSERT_HEAD(&m->iothreads, t, link);
    sys = own_thread_start(&t->own);
    if (sys) {
        destroy(t);
        return lunik_fail_errno(err, sys, "iothread: can't start a thread");
    }
    *out = t;
    return 0;
}

void lunik_iothread_free(lunik_iothread *t)
{
    if (!t)
        return;
    REQUIRE(lunik_locked(t->machine->rt), UNLOCKED);

    t->freed = true;
    if (t->ended)
        destroy(t);
    else
        stop(t);
}

uv_loop_t *lunik_iothread_loop(lunik_iothread *t)
{
    NOT_NULL(t, NULL);

    return &t->loop;
}

bool lunik_iothread_here(const lunik_iothread *t)
{
    NOT_NULL(t, false);

    return current == t;
}

int lunik_iothread_tid(const lunik_iothread *t)
{
    NOT_NULL(t, 0);

    return t->own.tid;
}

/* ---- the end of a machine ------------------------------------------------------------------- */

bool iothreads_called_here(void)
{
    return current;
}

static lunik_iothread *first_running(const lunik_machine *m)
{
    lunik_iothread *t;

    LIST_FOREACH (t, &m->iothreads, link)
        if (!t->ended)
            break;
    return t;
}

/* One may be freed by another thread while the lock is released, but goes only here. */
void iothreads_end(lunik_machine *m)
{
    lunik_iothread *t;

    LIST_FOREACH (t, &m->iothreads, link)
        stop(t);
    while ((t = first_running(m))) {
        t->waited_for = true;
        lunik_unlock(m->rt);
        own_thread_wait(&t->own);
        lunik_lock(m->rt);
        t->waited_for = false;
        join(t);
    }
}
