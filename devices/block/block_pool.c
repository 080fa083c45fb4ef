/*
 * block_pool.c: see block_pool.h. A thread ends when there has been nothing to do for a while. It
 * outlives the machine if the host takes long over a request.
 */
#define _GNU_SOURCE /* pthread_setname_np */
#include "block_pool.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

enum { THREADS_MAX = 16, IDLE_SECONDS = 5 };

struct block_pool {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct block_request *first, **last;
    unsigned queued, threads, idle, working;
    bool ending;
    block_pool_fn *fn;
    void (*released)(void *opaque);
    void *opaque;
};

struct block_pool *block_pool_new(block_pool_fn *fn, void (*released)(void *opaque), void *opaque)
{
    struct block_pool *pool = calloc(1, sizeof(*pool));
    pthread_condattr_t attr;

    if (!pool)
        return NULL;
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&pool->changed, &attr);
    pthread_condattr_destroy(&attr);
    pool->last = &pool->first;
    pool->fn = fn;
    pool->released = released;
    pool->opaque = opaque;
    return pool;
}

static void destroy(struct block_pool *pool)
{
    void (*released)(void *) = pool->released;
    void *opaque = pool->opaque;

    pthread_cond_destroy(&pool->changed);
    pthread_mutex_destroy(&pool->mutex);
    free(pool);
    released(opaque);
}

/* ---- threads -------------------------------------------------------------------------------- */

static struct block_request *take(struct block_pool *pool)
{
    struct block_request *r = pool->first;

    if (!r)
        return NULL;
    pool->first = r->next;
    if (!pool->first)
        pool->last = &pool->first;
    pool->queued--;
    return r;
}

/* Waits for a request, with the mutex; NULL: the thread is to end. */
static struct block_request *wait_for(struct block_pool *pool)
{
    struct block_request *r = take(pool);
    struct timespec until;
    int rc = 0;

    if (r)
        return r;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += IDLE_SECONDS;
    pool->idle++;
    while (!(r = take(pool)) && !rc && !pool->ending)
        rc = pthread_cond_timedwait(&pool->changed, &pool->mutex, &until);
    pool->idle--;
    return r;
}

static void *run(void *arg)
{
    struct block_pool *pool = arg;
    struct block_request *r;
    bool last;

    pthread_setname_np(pthread_self(), "lunik-block");
    pthread_mutex_lock(&pool->mutex);
    while ((r = wait_for(pool))) {
        struct block_mail *mail = r->mail;
        int rc;

        pool->working++;
        pthread_mutex_unlock(&pool->mutex);
        rc = pool->fn(pool->opaque, r);
        pthread_mutex_lock(&pool->mutex);
        pool->working--;
        pthread_mutex_unlock(&pool->mutex);
        block_mail_send(mail, r, rc);
        block_mail_drop(mail);
        pthread_mutex_lock(&pool->mutex);
    }
    last = !--pool->threads && pool->ending;
    pthread_mutex_unlock(&pool->mutex);
    if (last)
        destroy(pool);
    return NULL;
}

/* With the mutex. */
static int start_thread(struct block_pool *pool)
{
    int sys = lunik_thread_start(run, pool);

    if (!sys)
        pool->threads++;
    return sys;
}

/* ---- requests ------------------------------------------------------------------------------- */

void block_pool_add(struct block_pool *pool, struct block_mail *mail, struct block_request *r)
{
    int sys = 0;

    pthread_mutex_lock(&pool->mutex);
    if (pool->queued >= pool->idle && pool->threads < THREADS_MAX)
        sys = start_thread(pool);
    if (pool->threads) {
        block_mail_hold(mail);
        r->mail = mail;
        r->next = NULL;
        *pool->last = r;
        pool->last = &r->next;
        pool->queued++;
        pthread_cond_signal(&pool->changed);
        sys = 0;
    }
    pthread_mutex_unlock(&pool->mutex);
    if (sys)
        block_mail_send(mail, r, -sys);
}

bool block_pool_busy(struct block_pool *pool)
{
    bool busy;

    pthread_mutex_lock(&pool->mutex);
    busy = pool->queued || pool->working;
    pthread_mutex_unlock(&pool->mutex);
    return busy;
}

void block_pool_free(struct block_pool *pool)
{
    bool last;

    pthread_mutex_lock(&pool->mutex);
    pool->ending = true;
    last = !pool->threads;
    pthread_cond_broadcast(&pool->changed);
    pthread_mutex_unlock(&pool->mutex);
    if (last)
        destroy(pool);
}
