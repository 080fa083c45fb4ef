/*
 * lock.h: a fair mutex for the machine lock.
 *
 * Uncontended it is one atomic exchange. A thread that has waited longer than a millisecond is
 * handed the lock directly by the next unlock, so nobody starves.
 */
#ifndef CORE_LOCK_H
#define CORE_LOCK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct lock_waiter;

struct lock {
    _Atomic int state; /* bits: held, somebody waits */
    pthread_mutex_t queue_mutex;
    struct lock_waiter *head, **tail;
    _Atomic unsigned waiters;
};

void lock_init(struct lock *l);
void lock_destroy(struct lock *l);
bool lock_try(struct lock *l); /* never waits */
void lock_take(struct lock *l);
void lock_release(struct lock *l);
/* Hands the lock to those who wait now and takes it back after them. */
void lock_yield(struct lock *l);

#endif
