/*
 * bare_dirty.c IMAGE ROUNDS: reads and clears the dirty log of RAM of 1 GiB by KVM's ioctls alone:
 * while nothing is written, and after dirty.S has written 20000 pages. The vCPU has a thread of its
 * own, as in any monitor: its caches are not those of the thread that reads the log.
 */
#include "bare.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

enum { PAGES = GIB / 4096, RAM_SLOT = 0 };

static uint8_t bitmap[PAGES / 8];

static sem_t go, stopped;

/* Each time that it may go, the guest runs until it waits at a port. */
static void *vcpu_thread(void *arg)
{
    struct bare *b = arg;

    for (;;) {
        sem_wait(&go);
        do {
            if (ioctl(b->vcpu, KVM_RUN, 0) < 0 && errno != EINTR)
                die("KVM_RUN");
        } while (b->run->exit_reason == KVM_EXIT_INTR);
        sem_post(&stopped);
    }
    return NULL;
}

static double sync(struct bare *b)
{
    struct kvm_dirty_log log = {.slot = RAM_SLOT, .dirty_bitmap = bitmap};
    uint64_t start = now_ns();

    if (ioctl(b->vm, KVM_GET_DIRTY_LOG, &log) < 0)
        die("KVM_GET_DIRTY_LOG");
    return (double)(now_ns() - start) / 1000;
}

static double clear(struct bare *b)
{
    struct kvm_clear_dirty_log log = {.slot = RAM_SLOT, .num_pages = PAGES, .dirty_bitmap = bitmap};
    uint64_t start = now_ns();

    if (ioctl(b->vm, KVM_CLEAR_DIRTY_LOG, &log) < 0)
        die("KVM_CLEAR_DIRTY_LOG");
    return (double)(now_ns() - start) / 1000;
}

int main(int argc, char **argv)
{
    struct kvm_enable_cap manual = {.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, .args = {1}};
    int rounds = atoi(argv[2]);
    pthread_t thread;
    struct bare b;

    bare_open(&b);
    if (ioctl(b.vm, KVM_ENABLE_CAP, &manual) < 0)
        die("KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2");
    bare_load(&b, argv[1], GIB, KVM_MEM_LOG_DIRTY_PAGES);
    sem_init(&go, 0, 0);
    sem_init(&stopped, 0, 0);
    pthread_create(&thread, NULL, vcpu_thread, &b);
    for (int i = 0; i < rounds; i++) {
        sem_post(&go);
        sem_wait(&stopped);
        report("sync", sync(&b));
        report("clear", clear(&b));
        report("sync-clean", sync(&b));
    }
    return 0;
}
