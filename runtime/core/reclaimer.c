/* reclaimer.c: deferred calls, and the threads that carry them out after a grace period. */
#define _GNU_SOURCE /* pthread_setname_np */
#include "reclaimer.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "lunik_device.h"
#include "monotonic.h"
#include "own_thread.h"
#include "rcu.h"

/*
 * A few threads for all runtimes. Each thread that defers has one of them, in turn: with a single
 * one, runtimes on two threads slow each other down, because it falls behind, and what waits for it
 * leaves the caches and makes the heaps grow. Threads push onto their reclaimer's list without a
 * lock; the mutex is for the reclaimer's sleep and for threads that wait for it. It takes the list
 * as a whole: a batch.
 *
 * What two threads have deferred is reclaimed in any order: a call that needs what another one
 * frees holds a reference to it.
 *
 * call_rcu() of liburcu would not do: it aborts the process where its thread or its memory cannot
 * be had, it sleeps 10 ms whatever is urgent, and rcu_barrier() has no time limit.
 */

/* A reclaimer gathers calls for GATHER_NS and reclaims them after a single grace period; earlier
 * if one is urgent or a thread has deferred MOST_GATHERED of them: it is better to reuse memory
 * while it is cached than to grow the heap by system calls, in which the threads of a process wait
 * for each other. Each grace period interrupts all processors that run threads of the process. */
enum { MOST_GATHERED = 1024 };
enum { GATHER_NS = 10 * 1000 * 1000 };

struct reclaimer {
    _Atomic(struct cds_wfcq_node *) newest; /* of the calls that wait; linked to older ones */
    _Atomic bool running;                   /* the thread exists */
    _Atomic bool urgent;                    /* a thread waits, or much memory does */
    pthread_mutex_t mutex;
    pthread_cond_t work, done;
    uint64_t taken;             /* batches so far */
    _Atomic uint64_t reclaimed; /* batches so far; written with the mutex held */
    bool orphaned;              /* there are no grace periods: nothing is reclaimed */
};

/* Two threads of a process do not share a line of the cache. */
enum { LINE = 64 };

static struct {
    _Alignas(LINE) struct reclaimer r;
} reclaimers[RCU_RECLAIMERS];

static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Atomic unsigned next_index;
static __thread struct reclaimer *own; /* the one of the calling thread */

#define FOR_EACH_RECLAIMER(r) for (struct reclaimer *r = &reclaimers[0].r; r; r = next_reclaimer(r))

static struct reclaimer *next_reclaimer(struct reclaimer *r)
{
    size_t next = (size_t)(lunik_container_of(r, __typeof__(*reclaimers), r) - reclaimers) + 1;

    return next < RCU_RECLAIMERS ? &reclaimers[next].r : NULL;
}

static bool busy(const struct reclaimer *r)
{
    return r->reclaimed != r->taken;
}

/* ---- fork ----------------------------------------------------------------------------------- */

static void before_fork(void)
{
    FOR_EACH_RECLAIMER(r)
    pthread_mutex_lock(&r->mutex);
}

static void after_fork_parent(void)
{
    FOR_EACH_RECLAIMER(r)
    pthread_mutex_unlock(&r->mutex);
}

static void init_conditions(struct reclaimer *r)
{
    monotonic_cond_init(&r->work);
    monotonic_cond_init(&r->done);
}

/* The threads stayed with the parent, and so did the batches that they had taken. If the parent had
 * other readers, or was in the middle of a grace period, liburcu would wait for threads that do not
 * exist in the child. */
static void after_fork_child(void)
{
    bool orphaned = rcu_has_other_readers();

    FOR_EACH_RECLAIMER(r)
    orphaned |= busy(r);
    FOR_EACH_RECLAIMER(r)
    {
        r->orphaned |= orphaned;
        r->running = r->urgent = false;
        r->reclaimed = r->taken;
        init_conditions(r);
        pthread_mutex_unlock(&r->mutex);
    }
}

static void init_reclaimers(void)
{
    FOR_EACH_RECLAIMER(r)
    {
        pthread_mutex_init(&r->mutex, NULL);
        init_conditions(r);
    }
    pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

/* ---- the thread ----------------------------------------------------------------------------- */

/* Waits for work, and then a while for more. Mutex held. First waits for the end of a batch that
 * another thread reclaims since before there was a reclaimer. */
static void gather(struct reclaimer *r)
{
    struct timespec until;

    while (!r->newest || busy(r))
        pthread_cond_wait(&r->work, &r->mutex);
    until = monotonic_timespec(monotonic_ns() + GATHER_NS);
    while (!r->urgent && !pthread_cond_timedwait(&r->work, &r->mutex, &until))
        ;
}

/* Reverses a list. */
static struct cds_wfcq_node *oldest_first(struct cds_wfcq_node *node)
{
    struct cds_wfcq_node *next, *first = NULL;

    for (; node; node = next) {
        next = node->next;
        node->next = first;
        first = node;
    }
    return first;
}

/* Takes the waiting calls and carries them out after a grace period. Mutex held, released
 * meanwhile. Clears `urgent` before it takes them: an urgent call pushed later sets it again. */
static void reclaim(struct reclaimer *r)
{
    struct cds_wfcq_node *node, *next;

    r->urgent = false;
    r->taken++;
    node = atomic_exchange(&r->newest, NULL);
    pthread_mutex_unlock(&r->mutex);
    urcu_memb_synchronize_rcu();
    for (node = oldest_first(node); node; node = next) {
        struct rcu_head *head = lunik_container_of(node, struct rcu_head, next);

        next = node->next;
        head->func(head);
    }
    pthread_mutex_lock(&r->mutex);
    r->reclaimed++;
    pthread_cond_broadcast(&r->done);
    pthread_cond_signal(&r->work);
}

static void *run_reclaimer(void *reclaimer)
{
    own = reclaimer;
    pthread_setname_np(pthread_self(), "lunik-rcu");
    pthread_mutex_lock(&own->mutex);
    for (;;) {
        gather(own);
        reclaim(own);
    }
    return NULL;
}

/* If the thread can't be made, calls wait until a later attempt succeeds. */
static void start(struct reclaimer *r)
{
    pthread_mutex_lock(&r->mutex);
    if (!r->running && !r->orphaned)
        r->running = !lunik_thread_start(run_reclaimer, r);
    pthread_mutex_unlock(&r->mutex);
}

/* ---- deferring ------------------------------------------------------------------------------ */

static struct reclaimer *own_reclaimer(void)
{
    if (!own) {
        pthread_once(&once, init_reclaimers);
        own = &reclaimers[next_index++ % RCU_RECLAIMERS].r;
    }
    return own;
}

/* All of them start at once: a later thread may have a tighter sandbox, which they would inherit.
 */
static void start_all(void)
{
    FOR_EACH_RECLAIMER(r)
    start(r);
}

static void wake(struct reclaimer *r, bool urgent)
{
    pthread_mutex_lock(&r->mutex);
    if (urgent)
        r->urgent = true;
    pthread_cond_signal(&r->work);
    pthread_mutex_unlock(&r->mutex);
}

/* Returns true if node is the first of a batch. */
static bool push(struct reclaimer *r, struct cds_wfcq_node *node)
{
    struct cds_wfcq_node *before = atomic_load_explicit(&r->newest, memory_order_relaxed);

    do {
        node->next = before;
    } while (!atomic_compare_exchange_weak(&r->newest, &before, node));
    return !before;
}

static void defer(struct reclaimer *r, struct rcu_head *head, void (*fn)(struct rcu_head *head),
                  bool urgent)
{
    bool first;

    rcu_note_reader_done();
    head->func = fn;
    first = push(r, &head->next);
    if (!r->running)
        start_all();
    if (first || (urgent && !r->urgent))
        wake(r, urgent);
}

void rcu_defer(struct rcu_head *head, void (*fn)(struct rcu_head *head))
{
    static __thread unsigned count;

    defer(own_reclaimer(), head, fn, ++count % MOST_GATHERED == 0);
}

void rcu_defer_urgent(struct rcu_head *head, void (*fn)(struct rcu_head *head))
{
    defer(own_reclaimer(), head, fn, true);
}

unsigned rcu_defer_each(struct rcu_head heads[RCU_RECLAIMERS], void (*fn)(struct rcu_head *head))
{
    unsigned count = 0;

    FOR_EACH_RECLAIMER(r)
    if (r->running)
        defer(r, &heads[count++], fn, true);
    return count;
}

/* ---- waiting -------------------------------------------------------------------------------- */

/* The value `reclaimed` has when everything deferred so far has been reclaimed. Mutex held. */
static uint64_t batches_deferred(const struct reclaimer *r)
{
    return r->taken + (r->newest != NULL);
}

static void hurry(struct reclaimer *r)
{
    r->urgent = true;
    pthread_cond_signal(&r->work);
}

static void drain(struct reclaimer *r)
{
    uint64_t target;

    pthread_mutex_lock(&r->mutex);
    target = batches_deferred(r);
    while (r->reclaimed < target && !r->orphaned) {
        if (!r->running && !busy(r)) {
            reclaim(r);
            continue;
        }
        hurry(r);
        pthread_cond_wait(&r->done, &r->mutex);
    }
    pthread_mutex_unlock(&r->mutex);
}

void reclaimers_drain(void)
{
    pthread_once(&once, init_reclaimers);
    FOR_EACH_RECLAIMER(r)
    drain(r);
}

static bool wait_until(struct reclaimer *r, const struct timespec *until)
{
    uint64_t target;
    bool done;

    pthread_mutex_lock(&r->mutex);
    target = batches_deferred(r);
    while (r->reclaimed < target && r->running && !r->orphaned) {
        hurry(r);
        if (pthread_cond_timedwait(&r->done, &r->mutex, until))
            break;
    }
    done = r->reclaimed >= target;
    pthread_mutex_unlock(&r->mutex);
    return done;
}

bool reclaimers_wait(unsigned ms)
{
    struct timespec until = monotonic_timespec(monotonic_ns() + (uint64_t)ms * NS_PER_MS);
    bool done = true;

    pthread_once(&once, init_reclaimers);
    FOR_EACH_RECLAIMER(r)
    done &= wait_until(r, &until);
    return done;
}

uint64_t rcu_reclaimed(void)
{
    uint64_t count = 0;

    FOR_EACH_RECLAIMER(r)
    count += r->reclaimed;
    return count;
}

unsigned rcu_reclaimers(void)
{
    unsigned count = 0;

    FOR_EACH_RECLAIMER(r)
    count += r->running;
    return count;
}
