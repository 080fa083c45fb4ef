/*
 * runtimes.c: whether two runtimes in one process slow each other down. Both change a memory map of
 * their own, and add and delete objects, at the same time: on two threads of a process, or in two
 * processes. Microseconds for one pair of changes or for one object, over so many that what is
 * reclaimed meanwhile counts. The two ways take turns, each in new processes.
 */
#include "bare.h"

#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lunik.h"
#include "lunik_device.h"
#include "must.h"

enum { SIDES = 2, TURNS = 5, ROUNDS = 4, CHANGES = 20000, BAR = 4096 };

static const uint64_t BARS = 0xe0000000;

/* In memory that all processes share. */
static struct shared {
    pthread_barrier_t barrier; /* for both sides */
    double commits[SIDES][ROUNDS], objects[SIDES][ROUNDS];
} * shared;

struct side {
    lunik_runtime *rt;
    lunik_machine *m;
    lunik_region *r;
};

static lunik_access ignore(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops ops = {.write = ignore};

static void prepare(struct side *s)
{
    const lunik_machine_config config = {.name = "bench", .accel = LUNIK_ACCEL_NONE, .cpus = 1};
    const lunik_region_config bar = {
        .kind = LUNIK_REGION_IO, .name = "bar", .size = BAR, .ops = &ops};

    must(lunik_runtime_new(lunik_builtin_types(), &s->rt, &err));
    must(lunik_machine_new(s->rt, &config, &s->m, &err));
    must(lunik_region_new(s->m, &bar, &s->r, &err));
    must(
        lunik_region_add(lunik_space_root(lunik_machine_memory(s->m)), BARS, s->r, 0, false, &err));
}

static void commit(struct side *s)
{
    must(lunik_region_set_enabled(s->r, false, &err));
    must(lunik_region_set_enabled(s->r, true, &err));
}

static void add_object(struct side *s)
{
    const lunik_field id = LUNIK_FIELD_STRING("id", "null");

    must(lunik_object_add(s->m, "chardev-null", &id, 1, NULL, &err));
    must(lunik_object_del(s->m, "null", &err));
}

/* Returns microseconds for each call. */
static double take(struct side *s, void (*fn)(struct side *s))
{
    uint64_t start;

    pthread_barrier_wait(&shared->barrier);
    start = now_ns();
    for (unsigned i = 0; i < CHANGES; i++)
        fn(s);
    return (double)(now_ns() - start) / 1000 / CHANGES;
}

static void run_side(unsigned index)
{
    struct side s;

    prepare(&s);
    take(&s, commit);
    for (unsigned i = 0; i < ROUNDS; i++) {
        shared->commits[index][i] = take(&s, commit);
        shared->objects[index][i] = take(&s, add_object);
    }
    lunik_region_unref(s.r);
    must(lunik_runtime_free(s.rt));
}

static void *run_thread(void *index)
{
    run_side((unsigned)(uintptr_t)index);
    return NULL;
}

/* Runs sides on threads of this process; not on its first thread, which has another heap. */
static void run_threads(unsigned first, unsigned count)
{
    pthread_t threads[SIDES];

    for (unsigned i = 0; i < count; i++)
        pthread_create(&threads[i], NULL, run_thread, (void *)(uintptr_t)(first + i));
    for (unsigned i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
}

/* Runs one process with both sides, or one for each. */
static void run(bool together)
{
    unsigned sides = together ? SIDES : 1;
    int status;

    for (unsigned first = 0; first < SIDES; first += sides)
        if (!fork()) {
            run_threads(first, sides);
            _exit(0);
        }
    while (wait(&status) > 0)
        if (status)
            exit(1);
}

static void show(const char *what, const char *how, double times[SIDES][ROUNDS])
{
    for (unsigned side = 0; side < SIDES; side++)
        for (unsigned i = 0; i < ROUNDS; i++)
            printf("%s-%s %.6g\n", what, how, times[side][i]);
}

int main(void)
{
    pthread_barrierattr_t attr;

    /* NOLINTNEXTLINE(concurrency-mt-unsafe): there is no other thread yet */
    mallopt(M_TRIM_THRESHOLD, 64 << 20); /* so that clearing of pages is not measured */
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return 1;
    pthread_barrierattr_init(&attr);
    pthread_barrierattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_barrier_init(&shared->barrier, &attr, SIDES);
    for (unsigned turn = 0; turn < 2 * TURNS; turn++) {
        const char *how = turn % 2 ? "threads" : "processes";

        run(turn % 2);
        show("commits", how, shared->commits);
        show("objects", how, shared->objects);
    }
    return 0;
}
