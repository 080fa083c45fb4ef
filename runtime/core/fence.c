/* fence.c: see fence.h. */
#include "fence.h"

#include <linux/membarrier.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

bool fence_asymmetric;

static long membarrier(int command)
{
    return syscall(SYS_membarrier, (long)command, 0L, 0L);
}

static void init(void)
{
    fence_asymmetric = membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0;
}

void fence_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, init);
}

void fence_heavy(void)
{
#ifndef RUNTIME_TSAN
    if (fence_asymmetric)
        membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED); /* can't fail: init() has registered */
    else
        atomic_thread_fence(memory_order_seq_cst);
#endif
}
