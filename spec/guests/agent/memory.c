/* memory.c: ranges of memory that are filled and checked, the pattern that fills them, and work. */
#include "agent.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define RANGES 16

static struct {
    void *data;
    size_t size;
} ranges[RANGES];

/* ---- the pattern ----------------------------------------------------------------------------- */

uint64_t pattern_word(uint64_t seed, uint64_t index)
{
    uint64_t x = seed + (index + 1) * 0x9e3779b97f4a7c15; /* splitmix64 */

    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
}

void pattern_fill(void *data, size_t size, uint64_t seed, uint64_t index)
{
    uint64_t *words = data;

    for (size_t i = 0; i < size / 8; i++)
        words[i] = pattern_word(seed, index + i);
}

size_t pattern_verify(const void *data, size_t size, uint64_t seed, uint64_t index)
{
    const uint64_t *words = data;

    for (size_t i = 0; i < size / 8; i++)
        if (words[i] != pattern_word(seed, index + i))
            return i * 8;
    return size;
}

/* ---- ranges ---------------------------------------------------------------------------------- */

/* Returns the index of the range in the argument "memory"; sets c->rc if there is none. */
static unsigned find(struct call *c)
{
    int64_t id = call_number(c, "memory");

    if (c->rc || (id >= 1 && id <= RANGES && ranges[id - 1].data))
        return c->rc ? 0 : (unsigned)id - 1;
    call_complain(c, "memory", "is no range of memory");
    return 0;
}

void *memory_get(struct call *c, size_t *size)
{
    unsigned i = find(c);

    *size = c->rc ? 0 : ranges[i].size;
    return c->rc ? NULL : ranges[i].data;
}

static long run_map(struct call *c)
{
    int64_t size = call_range(c, "size", 8, (int64_t)1 << 46);
    unsigned i = 0;
    long at;

    while (i < RANGES && ranges[i].data)
        i++;
    if (size % 8)
        call_complain(c, "size", "is not a multiple of 8");
    if (c->rc)
        return c->rc;
    if (i == RANGES)
        return -EMFILE;
    at = SYS6(SYS_mmap, 0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at < 0 && at > -4096)
        return at;
    ranges[i].data = (void *)at;
    ranges[i].size = (size_t)size;
    answer_number(c, "memory", i + 1);
    return 0;
}

static long run_unmap(struct call *c)
{
    unsigned i = find(c);

    if (c->rc)
        return c->rc;
    SYS2(SYS_munmap, ranges[i].data, ranges[i].size);
    ranges[i].data = NULL;
    return 0;
}

/* ---- work ------------------------------------------------------------------------------------ */

#define CPUS 1024

/* Moves this process to a CPU, or with -1 gives it all of them. */
static long pin(int64_t cpu)
{
    uint64_t mask[CPUS / 64] = {0};

    for (unsigned i = 0; i < CPUS; i++)
        if (cpu < 0 || cpu == i)
            mask[i / 64] |= (uint64_t)1 << i % 64;
    return SYS3(SYS_sched_setaffinity, 0, sizeof(mask), mask);
}

static long run_work(struct call *c)
{
    int64_t rounds = call_range(c, "rounds", 0, INT64_MAX);
    int64_t cpu = call_number_or(c, "cpu", -1), began = sys_now();
    uint64_t sum = 0;
    unsigned where = 0;
    long rc;

    if (cpu < -1 || cpu >= CPUS)
        call_complain(c, "cpu", "is out of range");
    if (c->rc)
        return c->rc;
    rc = pin(cpu);
    if (rc < 0)
        return rc;
    for (int64_t i = 0; i < rounds; i++)
        sum ^= pattern_word(0, (uint64_t)i);
    SYS3(SYS_getcpu, &where, NULL, NULL);
    pin(-1);
    answer_number(c, "sum", (int64_t)sum);
    answer_number(c, "cpu", where);
    answer_number(c, "milliseconds", sys_now() - began);
    return 0;
}

const struct command memory_commands[] = {
    {"map", "size", run_map},
    {"unmap", "memory", run_unmap},
    {"work", "cpu rounds", run_work},
    {0},
};
