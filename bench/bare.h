/*
 * bare.h: a virtual machine made only with KVM's ioctls: the best that the host can do.
 */
#ifndef BENCH_BARE_H
#define BENCH_BARE_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#define GIB (1ull << 30)

struct bare {
    int kvm, vm, vcpu;
    struct kvm_run *run;
    unsigned slots; /* in use */
};

/* These functions end the process if something fails, as nothing can be measured then. */
void die(const char *what) __attribute__((noreturn));
/* Makes a VM with in-kernel irqchip and PIT, and one vCPU. */
void bare_open(struct bare *b);
/* Gives the vCPU all that KVM supports; without it, it has no 64-bit mode. */
void bare_set_cpuid(struct bare *b);
void *bare_map(uint64_t size);
/* Adds a memslot; returns its number. */
unsigned bare_add_slot(struct bare *b, uint64_t address, void *host, uint64_t size, unsigned flags);
/* Maps the image (64 KiB) as ROM below 4 GiB. */
void bare_load(struct bare *b, const char *image);

static inline uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Results: lines of a name and values, which bench/process.lua collects. */
static inline void report(const char *name, double value)
{
    printf("%s %.6g\n", name, value);
}

#endif
