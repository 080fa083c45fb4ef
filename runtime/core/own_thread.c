/* own_thread.c: threads of the runtime that stand still when they are asked to. */
#define _GNU_SOURCE /* pthread_setname_np, gettid */
#include "own_thread.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

#include "lunik_device.h"
#include "monotonic.h"
#include "rcu.h"

/* Of the process, as its sandbox is. */
static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    LIST_HEAD(, own_thread) list;
    _Atomic bool stopping; /* changed with the mutex */
    _Atomic bool have_ended;
    unsigned count, standing;
    int (*errand)(const void *arg);
    const void *errand_arg;
    unsigned errands, doing; /* so many so far; threads that have not done the last one */
    int sys;                 /* its result */
} threads = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void init_condition(void)
{
    monotonic_cond_init(&threads.changed);
}

/* Every call begins with this, except those on such threads. */
static void lock_threads(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, init_condition);
    pthread_mutex_lock(&threads.mutex);
}

static void changed(void)
{
    pthread_cond_broadcast(&threads.changed);
}

static void wait_for_change(void)
{
    pthread_cond_wait(&threads.changed, &threads.mutex);
}

/* ---- starting and ending -------------------------------------------------------------------- */

int lunik_thread_start(void *(*fn)(void *), void *arg)
{
    LUNIK_NOT_NULL(fn, EINVAL);

    sigset_t mask, before;
    pthread_t thread;
    int sys;

    sigfillset(&mask);
    sigdelset(&mask, SIGBUS);
    sigdelset(&mask, SIGSEGV);
    sigdelset(&mask, SIGSYS);
    pthread_sigmask(SIG_SETMASK, &mask, &before);
    sys = pthread_create(&thread, NULL, fn, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!sys)
        pthread_detach(thread);
    return sys;
}

static void announce(struct own_thread *t)
{
    pthread_mutex_lock(&threads.mutex);
    t->tid = gettid();
    changed();
    pthread_mutex_unlock(&threads.mutex);
}

/* With the mutex. */
static void leave(struct own_thread *t)
{
    LIST_REMOVE(t, link);
    t->running = false;
    threads.count--;
    threads.have_ended = true;
    changed();
}

static void *thread_main(void *arg)
{
    struct own_thread *t = arg;
    void (*ended)(struct own_thread * t) = t->ended;

    pthread_setname_np(pthread_self(), t->name);
    announce(t);
    t->run(t);
    rcu_thread_done();
    pthread_mutex_lock(&threads.mutex);
    leave(t);
    pthread_mutex_unlock(&threads.mutex);
    if (ended)
        ended(t);
    return NULL;
}

int own_thread_start(struct own_thread *t)
{
    int sys;

    lock_threads();
    while (threads.stopping)
        wait_for_change();
    t->tid = 0;
    t->errand = threads.errands;
    t->running = true;
    LIST_INSERT_HEAD(&threads.list, t, link);
    threads.count++;
    sys = lunik_thread_start(thread_main, t);
    if (sys)
        leave(t);
    while (!sys && !t->tid)
        wait_for_change();
    pthread_mutex_unlock(&threads.mutex);
    return sys;
}

void own_thread_wait(struct own_thread *t)
{
    lock_threads();
    while (t->running)
        wait_for_change();
    pthread_mutex_unlock(&threads.mutex);
}

bool own_threads_have_ended(void)
{
    return threads.have_ended;
}

/* ---- standing still ------------------------------------------------------------------------- */

/* With the mutex, which is no burden: an errand is a few system calls. */
static void do_errand(struct own_thread *t)
{
    int sys;

    if (t->errand == threads.errands)
        return;
    t->errand = threads.errands;
    sys = threads.errand(threads.errand_arg);
    if (sys)
        threads.sys = sys;
    threads.doing--;
    changed();
}

void own_thread_pass(struct own_thread *t)
{
    if (!threads.stopping)
        return;
    pthread_mutex_lock(&threads.mutex);
    threads.standing++;
    changed();
    while (threads.stopping) {
        do_errand(t);
        wait_for_change();
    }
    threads.standing--;
    pthread_mutex_unlock(&threads.mutex);
}

unsigned own_threads_stop(unsigned ms)
{
    const struct timespec until = monotonic_timespec(monotonic_ns() + (uint64_t)ms * NS_PER_MS);
    struct own_thread *t;
    int sys = 0;
    unsigned busy;

    lock_threads();
    threads.stopping = true;
    LIST_FOREACH (t, &threads.list, link)
        if (t->nudge)
            t->nudge(t);
    while (threads.standing < threads.count && sys != ETIMEDOUT)
        sys = pthread_cond_timedwait(&threads.changed, &threads.mutex, &until);
    busy = threads.count - threads.standing;
    pthread_mutex_unlock(&threads.mutex);
    if (busy)
        own_threads_go();
    return busy;
}

unsigned own_threads_count(void)
{
    return threads.count;
}

int own_threads_call(int (*fn)(const void *arg), const void *arg)
{
    int sys;

    lock_threads();
    threads.errand = fn;
    threads.errand_arg = arg;
    threads.errands++;
    threads.doing = threads.count;
    threads.sys = 0;
    changed();
    while (threads.doing)
        wait_for_change();
    sys = threads.sys;
    pthread_mutex_unlock(&threads.mutex);
    return sys;
}

void own_threads_go(void)
{
    lock_threads();
    threads.stopping = false;
    changed();
    pthread_mutex_unlock(&threads.mutex);
}
