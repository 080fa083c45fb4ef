/*
 * reclaimer.h: the threads that carry out what rcu_defer() was given (rcu.h has that part). The
 * calling thread is not a reader.
 */
#ifndef CORE_RECLAIMER_H
#define CORE_RECLAIMER_H

#include <stdbool.h>

/* Waits until everything deferred so far is reclaimed: by the reclaimers or, where one could not be
 * made, by the calling thread. */
void reclaimers_drain(void);
/* The same for at most ms milliseconds, and only where there are reclaimers. Returns true if
 * nothing of what was deferred is left. */
bool reclaimers_wait(unsigned ms);

#endif
