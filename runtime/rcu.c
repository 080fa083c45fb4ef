/* rcu.c: reader state of threads, and the reclaimer. */
#define _GNU_SOURCE /* pthread_setname_np */
#include "rcu.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "lunik_device.h"

#ifdef RUNTIME_TSAN
char rcu_tsan_token;
#endif

static __thread unsigned online_depth;
static __thread bool registered;
static _Atomic unsigned readers; /* threads that are registered */

/* Its destructor unregisters threads that end without saying so, e.g. an embedder's. */
static pthread_key_t exit_key;
static bool have_exit_key; /* there are only so many; others may have them all */
static pthread_once_t exit_key_once = PTHREAD_ONCE_INIT;

static void at_thread_exit(void *unused)
{
    rcu_thread_done();
}

static void make_exit_key(void)
{
    have_exit_key = !pthread_key_create(&exit_key, at_thread_exit);
}

static void become_reader(void)
{
    if (!registered) {
        pthread_once(&exit_key_once, make_exit_key);
        if (have_exit_key)
            pthread_setspecific(exit_key, &registered);
        urcu_memb_register_thread();
        registered = true;
        readers++;
    }
    urcu_memb_read_lock();
}

static void stop_reading(void)
{
    rcu_note_reader_done();
    urcu_memb_read_unlock();
}

void rcu_online(void)
{
    if (!online_depth++)
        become_reader();
}

void rcu_offline(void)
{
    if (!--online_depth)
        stop_reading();
}

void rcu_checkpoint(void)
{
    if (online_depth != 1)
        return;
    stop_reading();
    urcu_memb_read_lock();
}

bool rcu_nested(void)
{
    return online_depth > 1;
}

void rcu_thread_done(void)
{
    if (!registered)
        return;
    if (online_depth)
        stop_reading();
    urcu_memb_unregister_thread();
    registered = false;
    readers--;
    online_depth = 0;
}

/* ---- the reclaimer -------------------------------------------------------------------------- */

/* It reclaims whatever comes within so many nanoseconds after a single grace period, unless that is
 * urgent. */
enum { GATHER_NS = 10 * 1000 * 1000, NS_PER_MS = 1000 * 1000, NS_PER_S = 1000 * 1000 * 1000 };

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t work, done;
    struct cds_wfcq_node *first, **end; /* of what waits */
    uint64_t deferred, reclaimed;       /* so far */
    bool running;                       /* the thread exists */
    bool busy;                          /* it waits for readers or reclaims */
    bool urgent;                        /* it is waited for, or worth much */
    bool orphaned;                      /* there are no grace periods: nothing is reclaimed */
} reclaimer = {
    .mutex = PTHREAD_MUTEX_INITIALIZER,
    .end = &reclaimer.first,
};

static void before_fork(void)
{
    pthread_mutex_lock(&reclaimer.mutex);
}

static void after_fork_parent(void)
{
    pthread_mutex_unlock(&reclaimer.mutex);
}

static void init_conditions(void)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&reclaimer.work, &attr);
    pthread_cond_init(&reclaimer.done, &attr);
    pthread_condattr_destroy(&attr);
}

/* The thread stayed with the parent, and so did what it had taken. Had the parent other readers, or
 * was it in the middle of a grace period, liburcu would wait for threads that are not there. */
static void after_fork_child(void)
{
    reclaimer.orphaned |= reclaimer.busy || readers != registered;
    reclaimer.running = reclaimer.busy = reclaimer.urgent = false;
    reclaimer.reclaimed = reclaimer.deferred;
    for (struct cds_wfcq_node *node = reclaimer.first; node; node = node->next)
        reclaimer.reclaimed--;
    init_conditions();
    pthread_mutex_unlock(&reclaimer.mutex);
}

static void init_reclaimer(void)
{
    init_conditions();
    pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

static struct timespec from_now(uint64_t ns)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    ns += (uint64_t)t.tv_nsec;
    t.tv_sec += (time_t)(ns / NS_PER_S);
    t.tv_nsec = (long)(ns % NS_PER_S);
    return t;
}

/* Waits for work, and then a while for more. With the mutex held. */
static void gather(void)
{
    struct timespec until;

    while (!reclaimer.first)
        pthread_cond_wait(&reclaimer.work, &reclaimer.mutex);
    until = from_now(GATHER_NS);
    while (!reclaimer.urgent && !pthread_cond_timedwait(&reclaimer.work, &reclaimer.mutex, &until))
        ;
}

/* Takes what waits, and reclaims it. With the mutex held, which is free meanwhile. */
static void reclaim(void)
{
    struct cds_wfcq_node *node = reclaimer.first, *next;
    uint64_t count = 0;

    reclaimer.first = NULL;
    reclaimer.end = &reclaimer.first;
    reclaimer.urgent = false;
    reclaimer.busy = true;
    pthread_mutex_unlock(&reclaimer.mutex);
    urcu_memb_synchronize_rcu();
    for (; node; node = next, count++) {
        struct rcu_head *head = lunik_container_of(node, struct rcu_head, next);

        next = node->next;
        head->func(head);
    }
    pthread_mutex_lock(&reclaimer.mutex);
    reclaimer.busy = false;
    reclaimer.reclaimed += count;
    pthread_cond_broadcast(&reclaimer.done);
}

static void *run_reclaimer(void *unused)
{
    pthread_setname_np(pthread_self(), "lunik-rcu");
    pthread_mutex_lock(&reclaimer.mutex);
    for (;;) {
        gather();
        reclaim();
    }
    return NULL;
}

/* It takes no signals. If it can't be made, what is deferred waits for a later one. */
static void start_reclaimer(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    sigset_t all, before;
    pthread_t thread;

    pthread_once(&once, init_reclaimer);
    sigfillset(&all);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGSYS);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    reclaimer.running = !pthread_create(&thread, NULL, run_reclaimer, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (reclaimer.running)
        pthread_detach(thread);
}

static void defer(struct rcu_head *head, void (*fn)(struct rcu_head *head), bool urgent)
{
    rcu_note_reader_done();
    head->func = fn;
    head->next.next = NULL;
    pthread_mutex_lock(&reclaimer.mutex);
    if (!reclaimer.running && !reclaimer.orphaned)
        start_reclaimer();
    if (!reclaimer.first || (urgent && !reclaimer.urgent))
        pthread_cond_signal(&reclaimer.work);
    *reclaimer.end = &head->next;
    reclaimer.end = &head->next.next;
    reclaimer.deferred++;
    reclaimer.urgent |= urgent;
    pthread_mutex_unlock(&reclaimer.mutex);
}

void rcu_defer(struct rcu_head *head, void (*fn)(struct rcu_head *head))
{
    defer(head, fn, false);
}

void rcu_defer_urgent(struct rcu_head *head, void (*fn)(struct rcu_head *head))
{
    defer(head, fn, true);
}

/* Until what has been deferred so far is reclaimed, by the reclaimer or, without one, here. */
static void wait_for_reclaimer(void)
{
    uint64_t target;

    pthread_mutex_lock(&reclaimer.mutex);
    target = reclaimer.deferred;
    while (reclaimer.reclaimed < target && !reclaimer.orphaned) {
        if (!reclaimer.running && reclaimer.first) {
            reclaim();
            continue;
        }
        reclaimer.urgent = true;
        pthread_cond_signal(&reclaimer.work);
        pthread_cond_wait(&reclaimer.done, &reclaimer.mutex);
    }
    pthread_mutex_unlock(&reclaimer.mutex);
}

bool rcu_wait(unsigned ms)
{
    struct timespec until = from_now((uint64_t)ms * NS_PER_MS);
    uint64_t target;
    bool waiting, done;

    if (rcu_nested())
        return false; /* it would wait for this thread */
    if (online_depth)
        stop_reading();
    pthread_mutex_lock(&reclaimer.mutex);
    target = reclaimer.deferred;
    waiting = reclaimer.reclaimed < target && reclaimer.running && !reclaimer.orphaned;
    while (waiting && reclaimer.reclaimed < target) {
        reclaimer.urgent = true;
        pthread_cond_signal(&reclaimer.work);
        if (pthread_cond_timedwait(&reclaimer.done, &reclaimer.mutex, &until))
            break;
    }
    done = reclaimer.reclaimed >= target;
    pthread_mutex_unlock(&reclaimer.mutex);
    if (online_depth)
        urcu_memb_read_lock();
    return waiting && done;
}

bool rcu_has_reclaimer(void)
{
    bool running;

    pthread_mutex_lock(&reclaimer.mutex);
    running = reclaimer.running;
    pthread_mutex_unlock(&reclaimer.mutex);
    return running;
}

void rcu_drain(void)
{
    if (online_depth)
        stop_reading();
    wait_for_reclaimer();
    if (online_depth)
        urcu_memb_read_lock();
}
