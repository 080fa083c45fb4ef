/*
 * fence.h: fences in pairs of which one side costs nothing.
 *
 * Each side stores one variable, passes its fence, and loads the other side's variable: at least
 * one of the two sees what the other has stored. The heavy side makes all threads of the process
 * pass a fence (membarrier), so that the light side need not. Where the kernel can't, and under
 * ThreadSanitizer, which knows no fences, the light side has a full one: its accesses are
 * FENCED_STORE and FENCED_LOAD.
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

/* Before the first of the fences. Any thread, any number of times. */
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
