/*
 * bare_dirty.c IMAGE ROUNDS: gets and clears the dirty log of RAM of 1 GiB by KVM's ioctls alone:
 * while nothing is written, and after dirty.S has written 20000 pages. Reads the log, as any user
 * of it does, and counts the dirty pages. The RAM is in the three slots of a PC with its hole for
 * VGA. The vCPU has a thread of its own, as in any monitor, so that the log is read with other
 * caches.
 */
#include "bare.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

enum { PAGE = 4096, SLOTS = 3 };

static const struct {
    uint64_t first, end;
} slots[SLOTS] = {{0, 0xa0000}, {0xc0000, 0x100000}, {0x100000, GIB}};

typedef uint64_t two_words __attribute__((vector_size(16)));

struct line {
    two_words words[4];
};

static struct line bitmaps[SLOTS][GIB / PAGE / 512];
static uint64_t dirty; /* pages */

static sem_t go, stopped;

/* Each time that it is resumed, the guest runs until it waits at a port. */
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

static unsigned slot_pages(unsigned slot)
{
    return (unsigned)((slots[slot].end - slots[slot].first) / PAGE);
}

/* Counts by eight words, most of which are 0, as are those beyond the slot's end. */
static uint64_t count(const struct line *line, unsigned pages)
{
    uint64_t found = 0;

    for (const struct line *end = line + (pages + 511) / 512; line < end; line++) {
        two_words any = line->words[0] | line->words[1] | line->words[2] | line->words[3];

        for (unsigned i = 0; (any[0] | any[1]) && i < 4; i++)
            found += (uint64_t)(__builtin_popcountll(line->words[i][0]) +
                                __builtin_popcountll(line->words[i][1]));
    }
    return found;
}

static double sync(struct bare *b)
{
    uint64_t start = now_ns();

    dirty = 0;
    for (unsigned i = 0; i < SLOTS; i++) {
        struct kvm_dirty_log log = {.slot = i, .dirty_bitmap = bitmaps[i]};

        if (ioctl(b->vm, KVM_GET_DIRTY_LOG, &log) < 0)
            die("KVM_GET_DIRTY_LOG");
        dirty += count(bitmaps[i], slot_pages(i));
    }
    return (double)(now_ns() - start) / 1000;
}

static double clear(struct bare *b)
{
    uint64_t start = now_ns();

    for (unsigned i = 0; i < SLOTS; i++) {
        struct kvm_clear_dirty_log log = {
            .slot = i, .num_pages = slot_pages(i), .dirty_bitmap = bitmaps[i]};

        if (ioctl(b->vm, KVM_CLEAR_DIRTY_LOG, &log) < 0)
            die("KVM_CLEAR_DIRTY_LOG");
    }
    return (double)(now_ns() - start) / 1000;
}

static void expect(bool ok)
{
    errno = EPROTO;
    if (!ok)
        die("the dirty log");
}

int main(int argc, char **argv)
{
    struct kvm_enable_cap manual = {.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, .args = {1}};
    int rounds = atoi(argv[2]);
    pthread_t thread;
    char *ram;
    struct bare b;

    bare_open(&b);
    if (ioctl(b.vm, KVM_ENABLE_CAP, &manual) < 0)
        die("KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2");
    ram = bare_map(GIB);
    for (unsigned i = 0; i < SLOTS; i++)
        bare_add_slot(&b, slots[i].first, ram + slots[i].first, slots[i].end - slots[i].first,
                      KVM_MEM_LOG_DIRTY_PAGES);
    bare_load(&b, argv[1]);
    sem_init(&go, 0, 0);
    sem_init(&stopped, 0, 0);
    pthread_create(&thread, NULL, vcpu_thread, &b);
    for (int i = 0; i < rounds; i++) {
        sem_post(&go);
        sem_wait(&stopped);
        report("sync", sync(&b));
        expect(dirty >= 20000);
        report("clear", clear(&b));
        report("sync-clean", sync(&b));
        expect(dirty == 0);
    }
    return 0;
}
