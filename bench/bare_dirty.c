/*
 * bare_dirty.c IMAGE ROUNDS: reads and clears the dirty log of RAM of 1 GiB by KVM's ioctls alone:
 * while nothing is written, and after dirty.S has written 20000 pages.
 */
#include "bare.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

enum { PAGES = GIB / 4096, RAM_SLOT = 0 };

static uint8_t bitmap[PAGES / 8];

/* Runs the guest until it waits at a port. */
static void run(struct bare *b)
{
    do {
        if (ioctl(b->vcpu, KVM_RUN, 0) < 0 && errno != EINTR)
            die("KVM_RUN");
    } while (b->run->exit_reason == KVM_EXIT_INTR);
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
    struct bare b;

    bare_open(&b);
    if (ioctl(b.vm, KVM_ENABLE_CAP, &manual) < 0)
        die("KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2");
    bare_load(&b, argv[1], GIB, KVM_MEM_LOG_DIRTY_PAGES);
    for (int i = 0; i < rounds; i++) {
        run(&b);
        report("sync", sync(&b));
        report("clear", clear(&b));
        report("sync-clean", sync(&b));
    }
    return 0;
}
