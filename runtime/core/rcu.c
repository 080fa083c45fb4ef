/* rcu.c: reader state of threads, and the reclaimer. */
#define _GNU_SOURCE /* pthread_setname_np */
#include "rcu.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "lunik_device.h"
#include "monotonic.h"
#include "own_thread.h"

#ifdef RUNTIME_TSAN
char rcu_tsan_token;
#endif

static __thread unsigned online_depth;
static __thread bool registered;
static _Atomic unsigned readers; /* threads that are registered */

/* Its destructor unregisters threads that end without rcu_thread_done(), e.g. an embedder's. */
static pthread_key_t exit_key;
static bool have_exit_key; /* false if the process has used up its thread keys */
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

/*
 * One thread for all runtimes. Threads that defer push onto a list without a lock; the mutex is for
 * the reclaimer's sleep and for threads that wait for it. It takes the list as a whole: a batch.
 *
 * call_rcu() of liburcu would not do: it aborts the process where its thread or its memory cannot
 * be had, it sleeps 10 ms whatever is urgent, and rcu_barrier() has no time limit.
 */

/* The reclaimer gathers calls for GATHER_NS and reclaims them after a single grace period; earlier
 * if one is urgent or a thread has deferred MOST_GATHERED of them: it is better to reuse memory
 * while it is cached than to grow the heap by system calls, in which the threads of a process wait
 * for each other. */
enum { MOST_GATHERED = 512 };
enum { GATHER_NS = 10 * 1000 * 1000 };

static struct {
    _Atomic(struct cds_wfcq_node *) newest; /* of the calls that wait; linked to older ones */
    _Atomic bool running;                   /* the thread exists */
    _Atomic bool urgent;                    /* a thread waits, or much memory does */
    pthread_mutex_t mutex;
    pthread_cond_t work, done;
    uint64_t taken;             /* batches so far */
    _Atomic uint64_t reclaimed; /* batches so far; written with the mutex held */
    bool orphaned;              /* there are no grace periods: nothing is reclaimed */
} reclaimer = {
    .mutex = PTHREAD_MUTEX_INITIALIZER,
};

static bool busy(void)
{
    return reclaimer.reclaimed != reclaimer.taken;
}

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
    monotonic_cond_init(&reclaimer.work);
    monotonic_cond_init(&reclaimer.done);
}

/* The thread stayed with the parent, and so did the batch that it had taken. If the parent had
 * other readers, or was in the middle of a grace period, liburcu would wait for threads that do not
 * exist in the child. */
static void after_fork_child(void)
{
    reclaimer.orphaned |= busy() || readers != registered;
    reclaimer.running = reclaimer.urgent = false;
    reclaimer.reclaimed = reclaimer.taken;
    init_conditions();
    pthread_mutex_unlock(&reclaimer.mutex);
}

static void init_reclaimer(void)
{
    init_conditions();
    pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

/* Waits for work, and then a while for more. Mutex held. First waits for the end of a batch that
 * another thread reclaims since before there was a reclaimer. */
static void gather(void)
{
    struct timespec until;

    while (!reclaimer.newest || busy())
        pthread_cond_wait(&reclaimer.work, &reclaimer.mutex);
    until = monotonic_timespec(monotonic_ns() + GATHER_NS);
    while (!reclaimer.urgent && !pthread_cond_timedwait(&reclaimer.work, &reclaimer.mutex, &until))
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
static void reclaim(void)
{
    struct cds_wfcq_node *node, *next;

    reclaimer.urgent = false;
    reclaimer.taken++;
    node = atomic_exchange(&reclaimer.newest, NULL);
    pthread_mutex_unlock(&reclaimer.mutex);
    urcu_memb_synchronize_rcu();
    for (node = oldest_first(node); node; node = next) {
        struct rcu_head *head = lunik_container_of(node, struct rcu_head, next);

        next = node->next;
        head->func(head);
    }
    pthread_mutex_lock(&reclaimer.mutex);
    reclaimer.reclaimed++;
    pthread_cond_broadcast(&reclaimer.done);
    pthread_cond_signal(&reclaimer.work);
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

/* If the thread can't be made, calls wait until a later attempt succeeds. */
static void start_reclaimer(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, init_reclaimer);
    reclaimer.running = !lunik_thread_start(run_reclaimer, NULL);
}

/* Starts the reclaimer, or wakes it up. */
static void notify_reclaimer(bool urgent)
{
    pthread_mutex_lock(&reclaimer.mutex);
    if (!reclaimer.running && !reclaimer.orphaned)
        start_reclaimer();
    if (urgent)
        reclaimer.urgent = true;
    pthread_cond_signal(&reclaimer.work);
    pthread_mutex_unlock(&reclaimer.mutex);
}

/* Returns true if node is the first of a batch. */
static bool push(struct cds_wfcq_node *node)
{
    struct cds_wfcq_node *before = atomic_load_explicit(&reclaimer.newest, memory_order_relaxed);

    do {
        node->next = before;
    } while (!atomic_compare_exchange_weak(&reclaimer.newest, &before, node));
    return !before;
}

static void defer(struct rcu_head *head, void (*fn)(struct rcu_head *head), bool urgent)
{
    static __thread unsigned count;
    bool first;

    rcu_note_reader_done();
    urgent |= ++count % MOST_GATHERED == 0;
    head->func = fn;
    first = push(&head->next);
    if (first || (urgent && !reclaimer.urgent) || !reclaimer.running)
        notify_reclaimer(urgent);
}

void rcu_defer(struct rcu_head *head, void (*fn)(struct rcu_head *head))
{
    defer(head, fn, false);
}

void rcu_defer_urgent(struct rcu_head *head, void (*fn)(struct rcu_head *head))
{
    defer(head, fn, true);
}

/* The value `reclaimed` has when everything deferred so far has been reclaimed. Mutex held. */
static uint64_t batches_deferred(void)
{
    return reclaimer.taken + (reclaimer.newest != NULL);
}

static void hurry(void)
{
    reclaimer.urgent = true;
    pthread_cond_signal(&reclaimer.work);
}

/* Waits until everything deferred so far is reclaimed: by the reclaimer or, without one, by the
 * calling thread. */
static void wait_for_reclaimer(void)
{
    uint64_t target;

    pthread_mutex_lock(&reclaimer.mutex);
    target = batches_deferred();
    while (reclaimer.reclaimed < target && !reclaimer.orphaned) {
        if (!reclaimer.running && !busy()) {
            reclaim();
            continue;
        }
        hurry();
        pthread_cond_wait(&reclaimer.done, &reclaimer.mutex);
    }
    pthread_mutex_unlock(&reclaimer.mutex);
}

bool rcu_wait(unsigned ms)
{
    struct timespec until = monotonic_timespec(monotonic_ns() + (uint64_t)ms * NS_PER_MS);
    uint64_t target;
    bool done;

    if (rcu_nested())
        return false; /* it would wait for this thread */
    if (online_depth)
        stop_reading();
    pthread_mutex_lock(&reclaimer.mutex);
    target = batches_deferred();
    while (reclaimer.reclaimed < target && reclaimer.running && !reclaimer.orphaned) {
        hurry();
        if (pthread_cond_timedwait(&reclaimer.done, &reclaimer.mutex, &until))
            break;
    }
    done = reclaimer.reclaimed >= target;
    pthread_mutex_unlock(&reclaimer.mutex);
    if (online_depth)
        urcu_memb_read_lock();
    return done;
}

uint64_t rcu_reclaimed(void)
{
    return reclaimer.reclaimed;
}

bool rcu_is_shortage(int sys)
{
    return sys == ENOMEM || sys == EMFILE || sys == ENFILE;
}

bool rcu_shortage_over(int sys)
{
    bool over = rcu_is_shortage(sys) && rcu_wait(RCU_SHORTAGE_MS);

    errno = sys;
    return over;
}

bool rcu_has_reclaimer(void)
{
    return reclaimer.running;
}

void rcu_drain(void)
{
    if (online_depth)
        stop_reading();
    wait_for_reclaimer();
    if (online_depth)
        urcu_memb_read_lock();
}
