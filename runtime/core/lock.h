/*
 * lock.h: a fair mutex for the machine lock.
 *
 * Uncontended it is one atomic exchange. The next unlock hands the lock directly to a thread that
 * has waited longer than a millisecond, so no thread starves.
 */
#ifndef CORE_LOCK_H
#define CORE_LOCK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct lock_waiter;

struct lock {
    _Atomic int state; /* bits HELD and WAITERS, see lock.c */
    pthread_mutex_t queue_mutex;
    struct lock_waiter *head, **tail;
    _Atomic unsigned waiters;
};

void lock_init(struct lock *l);
void lock_destroy(struct lock *l);
bool lock_try(struct lock *l); /* never waits */
void lock_take(struct lock *l);
void lock_release(struct lock *l);
/* Hands the lock to the threads that are waiting now and takes it back after them. */
void lock_yield(struct lock *l);

#endif
