/*
 * lock.h: a fair mutex for the machine lock.
 *
 * Uncontended it is one atomic exchange. A thread that has waited longer than a millisecond is
 * handed the lock directly by the next unlock, so nobody starves.
 */
#ifndef RUNTIME_LOCK_H
#define RUNTIME_LOCK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct lock_waiter;

struct lock {
    _Atomic int state; /* 0 free, 1 held, 2 held with waiters */
    pthread_mutex_t queue_mutex;
    struct lock_waiter *head, **tail;
    _Atomic unsigned waiters;
};

void lock_init(struct lock *l);
void lock_destroy(struct lock *l);
void lock_take(struct lock *l);
void lock_release(struct lock *l);

#endif
