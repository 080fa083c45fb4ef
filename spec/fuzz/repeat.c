/*
 * repeat.c: replaces clocks and the thread that reclaims memory, so that runs with the same seed
 * and inputs do the same.
 *
 * RCU's deferred calls run as soon as the only thread holds no reference, which also shows a use of
 * freed memory earliest.
 */
#define _GNU_SOURCE /* syscall, gettid */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "core/rcu.h"

/* ---- clocks --------------------------------------------------------------------------------- */

enum { STARTED = 1709210096, STEP_NS = 100000, NS = 1000000000 };

extern const char __executable_start[], etext[];

/* libFuzzer looks at the time whenever it likes: that is nothing an input does. */
#define NO_COVERAGE __attribute__((no_sanitize("coverage")))
/* For libraries too. */
#define EXPORT __attribute__((visibility("default")))

/* libFuzzer measures its own time, through libraries. */
NO_COVERAGE static bool is_ours(const void *caller)
{
    return (uintptr_t)caller >= (uintptr_t)__executable_start &&
           (uintptr_t)caller < (uintptr_t)etext;
}

/* Time advances with each call. */
EXPORT NO_COVERAGE int clock_gettime(clockid_t clock, struct timespec *t)
{
    static uint64_t now = (uint64_t)STARTED * NS;

    if (clock == CLOCK_REALTIME && !is_ours(__builtin_return_address(0)))
        return (int)syscall(SYS_clock_gettime, clock, t);
    now += STEP_NS;
    t->tv_sec = (time_t)(now / NS);
    t->tv_nsec = (long)(now % NS);
    return 0;
}

/* Lua takes the order of its tables from it. */
EXPORT NO_COVERAGE time_t time(time_t *t)
{
    if (t)
        *t = STARTED;
    return STARTED;
}

/* ---- RCU, in the place of runtime/core/{rcu,reclaimer}.c ----------------------------------------
 */

static struct deferred {
    struct rcu_head *head;
    void (*fn)(struct rcu_head *head);
} * deferred;
static size_t count, capacity;
static unsigned online_depth;
static bool reclaiming;

static void reclaim(void)
{
    if (reclaiming)
        return;
    reclaiming = true;
    for (size_t i = 0; i < count; i++) /* which may defer more */
        deferred[i].fn(deferred[i].head);
    count = 0;
    reclaiming = false;
}

void rcu_defer(struct rcu_head *head, void (*fn)(struct rcu_head *head))
{
    if (count == capacity) {
        capacity = capacity ? 2 * capacity : 64;
        deferred = realloc(deferred, capacity * sizeof(*deferred));
        if (!deferred)
            abort();
    }
    deferred[count++] = (struct deferred){head, fn};
    if (!online_depth)
        reclaim();
}

void rcu_defer_urgent(struct rcu_head *head, void (*fn)(struct rcu_head *head))
{
    rcu_defer(head, fn);
}

void rcu_online(void)
{
    if (gettid() != getpid())
        abort(); /* another thread might hold references */
    online_depth++;
}

void rcu_offline(void)
{
    if (!--online_depth)
        reclaim();
}

void rcu_checkpoint(void)
{
    if (online_depth == 1)
        reclaim();
}

void rcu_thread_done(void)
{
    online_depth = 0;
    reclaim();
}

void rcu_drain(void)
{
    reclaim();
}

bool rcu_nested(void)
{
    return online_depth > 1;
}

/* Nothing is on its way for longer than a call. */
bool rcu_wait(unsigned ms)
{
    return false;
}

uint64_t rcu_reclaimed(void)
{
    return 0;
}

bool rcu_is_shortage(int sys)
{
    return sys == ENOMEM || sys == EMFILE || sys == ENFILE;
}

bool rcu_shortage_over(int sys)
{
    return false;
}

unsigned rcu_reclaimers(void)
{
    return 0;
}

unsigned rcu_defer_each(struct rcu_head heads[RCU_RECLAIMERS], void (*fn)(struct rcu_head *head))
{
    return 0;
}
