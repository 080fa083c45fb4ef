/* lock.c: the machine lock. */
#include "lock.h"
#include "monotonic.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { HELD = 1, WAITERS = 2 };
enum { ASLEEP, WOKEN, GRANTED }; /* lock_waiter.word */

enum { SPINS = 100, STARVING_NS = 1000 * 1000 };

struct lock_waiter {
    struct lock_waiter *next;
    _Atomic int word;
    uint64_t since;
};

static void sleep_on(struct lock_waiter *w)
{
    while (atomic_load_explicit(&w->word, memory_order_acquire) == ASLEEP)
        syscall(SYS_futex, &w->word, FUTEX_WAIT_PRIVATE, ASLEEP, NULL, NULL, 0);
}

static void wake(struct lock_waiter *w, int word)
{
    _Atomic int *address = &w->word; /* *w may be gone once the word is stored */

    atomic_store_explicit(address, word, memory_order_release);
    syscall(SYS_futex, address, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static bool try_take(struct lock *l)
{
    int seen = atomic_load_explicit(&l->state, memory_order_relaxed);

    return !(seen & HELD) &&
           atomic_compare_exchange_strong_explicit(&l->state, &seen, seen | HELD,
                                                   memory_order_acquire, memory_order_relaxed);
}

/* Takes the lock, or announces a waiter and returns false. Queue mutex held. */
static bool take_or_announce(struct lock *l)
{
    int seen = atomic_load_explicit(&l->state, memory_order_relaxed);

    for (;;) {
        int want = seen & HELD ? seen | WAITERS : seen | HELD;

        if (atomic_compare_exchange_weak_explicit(&l->state, &seen, want, memory_order_acquire,
                                                  memory_order_relaxed))
            return !(seen & HELD);
    }
}

static void enqueue(struct lock *l, struct lock_waiter *w, bool first)
{
    atomic_store_explicit(&w->word, ASLEEP, memory_order_relaxed);
    w->next = NULL;
    if (first) {
        w->next = l->head;
        l->head = w;
        if (!w->next)
            l->tail = &w->next;
    } else {
        *l->tail = w;
        l->tail = &w->next;
    }
    atomic_fetch_add_explicit(&l->waiters, 1, memory_order_relaxed);
}

static struct lock_waiter *dequeue(struct lock *l)
{
    struct lock_waiter *w = l->head;

    if (!w)
        return NULL;
    l->head = w->next;
    if (!l->head)
        l->tail = &l->head;
    atomic_fetch_sub_explicit(&l->waiters, 1, memory_order_relaxed);
    return w;
}

/* Sleeps until the calling thread has the lock; w is in the queue. */
static void wait_for_lock(struct lock *l, struct lock_waiter *w)
{
    for (;;) {
        bool taken;

        sleep_on(w);
        if (atomic_load_explicit(&w->word, memory_order_relaxed) == GRANTED)
            return;
        pthread_mutex_lock(&l->queue_mutex);
        taken = take_or_announce(l);
        if (!taken)
            enqueue(l, w, true);
        pthread_mutex_unlock(&l->queue_mutex);
        if (taken)
            return;
    }
}

void lock_init(struct lock *l)
{
    atomic_init(&l->state, 0);
    atomic_init(&l->waiters, 0);
    pthread_mutex_init(&l->queue_mutex, NULL);
    l->head = NULL;
    l->tail = &l->head;
}

void lock_destroy(struct lock *l)
{
    pthread_mutex_destroy(&l->queue_mutex);
}

bool lock_try(struct lock *l)
{
    return try_take(l);
}

void lock_take(struct lock *l)
{
    struct lock_waiter w;
    bool taken;

    if (try_take(l))
        return;
    for (int i = 0; i < SPINS; i++) {
        __builtin_ia32_pause();
        if (try_take(l))
            return;
    }
    w.since = monotonic_ns();
    pthread_mutex_lock(&l->queue_mutex);
    taken = take_or_announce(l);
    if (!taken)
        enqueue(l, &w, false);
    pthread_mutex_unlock(&l->queue_mutex);
    if (!taken)
        wait_for_lock(l, &w);
}

void lock_release(struct lock *l)
{
    int expected = HELD;
    struct lock_waiter *w;
    int rest;

    if (atomic_compare_exchange_strong_explicit(&l->state, &expected, 0, memory_order_release,
                                                memory_order_relaxed))
        return;
    pthread_mutex_lock(&l->queue_mutex);
    w = dequeue(l);
    rest = l->head ? WAITERS : 0;
    if (w && monotonic_ns() - w->since > STARVING_NS) {
        atomic_store_explicit(&l->state, HELD | rest, memory_order_release);
        wake(w, GRANTED);
    } else {
        atomic_store_explicit(&l->state, rest, memory_order_release);
        if (w)
            wake(w, WOKEN);
    }
    pthread_mutex_unlock(&l->queue_mutex);
}

void lock_yield(struct lock *l)
{
    struct lock_waiter self, *first;

    self.since = monotonic_ns();
    pthread_mutex_lock(&l->queue_mutex);
    first = dequeue(l);
    if (first) {
        enqueue(l, &self, false);
        atomic_store_explicit(&l->state, HELD | WAITERS, memory_order_release);
        wake(first, GRANTED);
    }
    pthread_mutex_unlock(&l->queue_mutex);
    if (first)
        wait_for_lock(l, &self);
}
