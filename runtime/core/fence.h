/*
 * fence.h: pairs of fences of which the light side costs nothing.
 *
 * Each side stores one variable, passes its fence, and loads the other side's variable: at least
 * one of the two sees what the other has stored. The heavy side makes all threads of the process
 * pass a fence (membarrier), so that the light side needs none. Without membarrier the light side
 * has a full fence. Under ThreadSanitizer, which does not model fences, its accesses are
 * sequentially consistent: FENCED_STORE and FENCED_LOAD.
 */
#ifndef CORE_FENCE_H
#define CORE_FENCE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "rcu.h"

#ifdef RUNTIME_TSAN
#define FENCED_STORE memory_order_seq_cst
#define FENCED_LOAD  memory_order_seq_cst
#else
#define FENCED_STORE memory_order_release
#define FENCED_LOAD  memory_order_acquire
#endif

extern bool fence_asymmetric; /* fence.c; does not change after fence_init() */

/* To be called before the first fence. Any thread, any number of times. */
void fence_init(void);
void fence_heavy(void);

static inline void fence_light(void)
{
#ifndef RUNTIME_TSAN
    if (fence_asymmetric)
        atomic_signal_fence(memory_order_seq_cst);
    else
        atomic_thread_fence(memory_order_seq_cst);
#endif
}

#endif
