/* test_lock.c: the machine lock excludes, wakes all waiting threads and starves none. */
#include <unistd.h>

#include "core/lock.h"
#include "check.h"

enum { THREADS = 4, ROUNDS = 20000 };

struct shared {
    struct lock lock;
    uint64_t counter; /* not atomic: the lock guards it */
    int inside;
    int collisions;
    _Atomic bool stop;
    _Atomic uint64_t spins;
};

static void *contend(void *arg)
{
    struct shared *s = arg;

    for (int i = 0; i < ROUNDS; i++) {
        lock_take(&s->lock);
        if (++s->inside != 1)
            s->collisions++;
        s->counter++;
        s->inside--;
        lock_release(&s->lock);
    }
    return NULL;
}

static void test_exclusion(void)
{
    struct shared s = {0};
    pthread_t thread[THREADS];

    lock_init(&s.lock);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&thread[i], NULL, contend, &s);
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    check_uint("every round counted", s.counter, THREADS * ROUNDS);
    check_int("never two inside", s.collisions, 0);
    check_true("free at the end", lock_try(&s.lock));
    check_true("held once", !lock_try(&s.lock));
    lock_release(&s.lock);
    lock_destroy(&s.lock);
}

/* Holds the lock nearly all the time, as a vCPU that never leaves its device would. */
static void *hog(void *arg)
{
    struct shared *s = arg;

    while (!atomic_load(&s->stop)) {
        lock_take(&s->lock);
        for (int i = 0; i < 2000; i++)
            __builtin_ia32_pause();
        atomic_fetch_add(&s->spins, 1);
        lock_release(&s->lock);
    }
    return NULL;
}

static void test_fairness(void)
{
    struct shared s = {0};
    pthread_t thread[2];
    int taken = 0;

    lock_init(&s.lock);
    for (int i = 0; i < 2; i++)
        pthread_create(&thread[i], NULL, hog, &s);
    while (atomic_load(&s.spins) == 0)
        usleep(100);
    for (; taken < 200; taken++) {
        lock_take(&s.lock);
        lock_release(&s.lock);
    }
    atomic_store(&s.stop, true);
    for (int i = 0; i < 2; i++)
        pthread_join(thread[i], NULL);
    check_int("a waiter gets the lock from two hogs", taken, 200);
    lock_destroy(&s.lock);
}

static void *take_once(void *arg)
{
    struct shared *s = arg;

    lock_take(&s->lock);
    s->counter++;
    lock_release(&s->lock);
    return NULL;
}

static void test_yield(void)
{
    struct shared s = {0};
    pthread_t thread;

    lock_init(&s.lock);
    lock_take(&s.lock);
    lock_yield(&s.lock);
    check_uint("a yield without a waiter", s.counter, 0);
    pthread_create(&thread, NULL, take_once, &s);
    while (atomic_load(&s.lock.waiters) == 0)
        usleep(100);
    lock_yield(&s.lock);
    check_uint("a yield lets the waiter in and takes the lock back", s.counter, 1);
    check_true("held again", !lock_try(&s.lock));
    lock_release(&s.lock);
    pthread_join(thread, NULL);
    lock_destroy(&s.lock);
}

int main(void)
{
    test_exclusion();
    test_fairness();
    test_yield();
    return check_result();
}
