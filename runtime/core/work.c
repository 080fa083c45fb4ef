/*
 * work.c: slow work, off the loop and without the machine lock.
 *
 * A thread ends when no work is queued. Only the loop's thread makes them: a thread inherits the
 * sandbox of its maker, and a vCPU's is too tight. Each piece of finished work posts a deferred
 * task to the loop.
 */
#include <errno.h>
#include <stdlib.h>

#include "misuse.h"
#include "own_thread.h"
#include "runtime.h"

enum { MOST_THREADS = 4 };
enum { IDLE, QUEUED, RUNNING, DONE }; /* lunik_work.state; under the pool's mutex */

struct worker {
    struct own_thread own;
    lunik_runtime *rt;
};

static lunik_work *pop(struct work_pool *pool)
{
    lunik_work *w = pool->head;

    if (!w)
        return NULL;
    pool->head = w->next;
    if (!pool->head)
        pool->tail = &pool->head;
    return w;
}

/* Runs on the loop. Calls done, which may free the work or start it again. */
static void on_done(lunik_task *task)
{
    lunik_work *w = lunik_container_of(task, lunik_work, task);
    int rc = w->rc;

    pthread_mutex_lock(&w->rt->work.mutex);
    w->state = IDLE;
    pthread_mutex_unlock(&w->rt->work.mutex);
    w->done(w, rc);
}

/* Call it with the mutex held. From here on only the loop uses the work. */
static void finish(lunik_runtime *rt, lunik_work *w, int rc)
{
    w->rc = rc;
    w->state = DONE;
    lunik_defer(rt, &w->task);
}

static void run(struct own_thread *own)
{
    lunik_runtime *rt = lunik_container_of(own, struct worker, own)->rt;
    struct work_pool *pool = &rt->work;
    lunik_work *w;

    pthread_mutex_lock(&pool->mutex);
    while ((w = pop(pool))) {
        w->state = RUNNING;
        pthread_mutex_unlock(&pool->mutex);
        own_thread_pass(own);
        w->run(w);
        pthread_mutex_lock(&pool->mutex);
        finish(rt, w, 0);
    }
    pool->threads--;
    pthread_cond_broadcast(&pool->ended);
    pthread_mutex_unlock(&pool->mutex);
}

static void ended(struct own_thread *own)
{
    free(lunik_container_of(own, struct worker, own));
}

/* Call it with the mutex held, on the loop's thread. Returns errno or 0. */
static int start_thread(lunik_runtime *rt)
{
    struct worker *worker = calloc(1, sizeof(*worker));
    int sys;

    if (!worker)
        return ENOMEM;
    *worker = (struct worker){.own = {.name = "lunik-work", .run = run, .ended = ended}, .rt = rt};
    sys = own_thread_start(&worker->own);
    if (sys)
        free(worker);
    else
        rt->work.threads++;
    return sys;
}

/* Where there are threads already, they get to what is queued in the end. */
static void start_threads(lunik_task *task)
{
    lunik_runtime *rt = lunik_container_of(task, lunik_runtime, work.starter);
    struct work_pool *pool = &rt->work;
    lunik_error err;
    lunik_work *w;
    int sys = 0;

    pthread_mutex_lock(&pool->mutex);
    for (w = pool->head; w && !sys && pool->threads < MOST_THREADS; w = w->next)
        sys = start_thread(rt);
    if (sys && !pool->threads) {
        lunik_fail_errno(&err, sys, "work: can't start a thread");
        while ((w = pop(pool)))
            finish(rt, w, err.code);
    }
    pthread_mutex_unlock(&pool->mutex);
}

void work_init(struct work_pool *pool)
{
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->ended, NULL);
    pool->tail = &pool->head;
    pool->starter.fn = start_threads;
}

void work_fini(struct work_pool *pool)
{
    pthread_cond_destroy(&pool->ended);
    pthread_mutex_destroy(&pool->mutex);
}

int lunik_work_start(lunik_runtime *rt, lunik_work *w, lunik_error *err)
{
    NOT_NULL_OR_FAIL(rt, err);
    NOT_NULL_OR_FAIL(w, err);
    REQUIRE_OR_FAIL(w->run && w->done, "run or done is NULL", err);

    struct work_pool *pool = &rt->work;
    int sys = 0, rc = 0;

    pthread_mutex_lock(&pool->mutex);
    if (w->state != IDLE)
        rc = lunik_fail(err, LUNIK_E_STATE, "work: it has been started already");
    else if (pool->closed)
        rc = lunik_fail(err, LUNIK_E_GONE, "work: the runtime is about to be freed");
    else if (pool->threads < MOST_THREADS && !lunik_on_loop_thread(rt))
        lunik_defer(rt, &pool->starter);
    else if (pool->threads < MOST_THREADS)
        sys = start_thread(rt);
    if (sys && !pool->threads)
        rc = lunik_fail_errno(err, sys, "work: can't start a thread");
    if (!rc) {
        w->rt = rt;
        w->state = QUEUED;
        w->task.fn = on_done;
        w->next = NULL;
        *pool->tail = w;
        pool->tail = &w->next;
    }
    pthread_mutex_unlock(&pool->mutex);
    return rc;
}

bool lunik_work_cancel(lunik_work *w)
{
    NOT_NULL(w, false);

    struct work_pool *pool;
    lunik_work **link;
    bool found = false;

    if (!w->rt)
        return false;
    pool = &w->rt->work;
    pthread_mutex_lock(&pool->mutex);
    for (link = &pool->head; w->state == QUEUED && *link; link = &(*link)->next) {
        if (*link != w)
            continue;
        *link = w->next;
        if (!*link)
            pool->tail = link;
        w->state = IDLE;
        found = true;
        break;
    }
    pthread_mutex_unlock(&pool->mutex);
    return found;
}

void work_end(lunik_runtime *rt)
{
    struct work_pool *pool = &rt->work;
    lunik_work *w;

    pthread_mutex_lock(&pool->mutex);
    pool->closed = true;
    while ((w = pop(pool)))
        finish(rt, w, LUNIK_E_GONE);
    pthread_mutex_unlock(&pool->mutex);
    lunik_defer_cancel(rt, &pool->starter);
    lunik_unlock(rt);
    pthread_mutex_lock(&pool->mutex);
    while (pool->threads)
        pthread_cond_wait(&pool->ended, &pool->mutex);
    pthread_mutex_unlock(&pool->mutex);
    lunik_lock(rt);
}
