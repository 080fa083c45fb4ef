/* test_memory_threads.c: accesses without the machine lock while the memory map changes. */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "check.h"
#include "memory/memory.h"

enum { READERS = 2, ROUNDS = 4000, SLOTS = 6, SIZE = 0x1000 };

static lunik_runtime *rt;
static lunik_machine *m;
static lunik_error err;
static _Atomic bool stop;
static _Atomic unsigned wrong, hits[3];

/* A device whose state goes with its region. */
struct device {
    unsigned magic;
    unsigned unlocked; /* only touched with the lock held */
};
enum { ALIVE = 0x5aa5c33c };

static lunik_access read_locked(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    struct device *d = opaque;

    if (d->magic != ALIVE || !lunik_locked(rt))
        atomic_fetch_add(&wrong, 1);
    d->unlocked++;
    *value = 0x11;
    return LUNIK_ACCESS_OK;
}

static lunik_access read_lockless(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    *value = 0x22;
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops locked_ops = {.read = read_locked};
static const lunik_io_ops lockless_ops = {.read = read_lockless, .lockless = true};

/* Handles an exit as a vCPU's thread does. */
static void *reader(void *unused)
{
    unsigned at = 0;

    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        uint32_t value = 0;
        unsigned kind;

        at = at * 1103515245u + 12345u;
        rcu_online();
        space_vcpu_access(m->memory_space, (uint64_t)(at >> 8) % (SLOTS * SIZE) & ~3ull, &value, 4,
                          false);
        rcu_offline();
        if (value == 0x11 || value == 0x22) { /* may signal, or find RAM by now */
            rcu_online();
            space_vcpu_access(m->memory_space, (uint64_t)(at >> 8) % (SLOTS * SIZE) & ~0xfffull,
                              &(uint32_t){0x33333333}, 4, true);
            rcu_offline();
        }
        kind = value == 0x11 ? 0 : value == 0x22 ? 1 : value == 0x33333333 ? 2 : 3;
        if (kind < 3)
            atomic_fetch_add_explicit(&hits[kind], 1, memory_order_relaxed);
        else if (value != 0xffffffff)
            atomic_fetch_add(&wrong, 1);
    }
    rcu_thread_done();
    return NULL;
}

static lunik_region *make(unsigned kind, struct device *d)
{
    lunik_ram_config ram_config = {.name = "ram", .size = SIZE, .fd = -1};
    lunik_region_config config = {.kind = LUNIK_REGION_IO, .name = "io", .size = SIZE, .opaque = d};
    lunik_region *r = NULL;

    if (kind == 2) {
        config.kind = LUNIK_REGION_RAM;
        if (lunik_ram_new(&ram_config, &config.ram, &err))
            exit(1);
        memset(lunik_ram_host(config.ram), 0x33, SIZE);
    } else {
        config.ops = kind ? &lockless_ops : &locked_ops;
    }
    if (lunik_region_new(m, &config, &r, &err))
        exit(1);
    if (config.ram)
        lunik_ram_unref(config.ram);
    return r;
}

/* Each of them makes a new set of the region's. */
static void change_events(lunik_region *r, int fd)
{
    for (uint64_t offset = 0; offset < 8; offset += 4)
        if (lunik_region_add_eventfd(r, offset, 4, false, 0, fd, &err))
            exit(1);
    if (lunik_region_del_eventfd(r, 0, 4, false, 0, &err))
        exit(1);
}

static struct device *new_device(void)
{
    struct device *d = malloc(sizeof(*d));

    if (!d)
        abort();
    *d = (struct device){.magic = ALIVE};
    return d;
}

int main(void)
{
    static const lunik_type *const no_types[] = {NULL};
    static const lunik_machine_config config = {
        .name = "test", .accel = LUNIK_ACCEL_NONE, .cpus = 1};
    lunik_region *slots[SLOTS] = {0};
    struct device *devices[SLOTS];
    pthread_t threads[READERS];
    bool all_hit = true;
    int event = eventfd(0, EFD_NONBLOCK);
    uint64_t signals = 0;

    if (lunik_runtime_new(no_types, &rt, &err) || lunik_machine_new(rt, &config, &m, &err))
        return 1;
    for (unsigned i = 0; i < SLOTS; i++)
        devices[i] = new_device();
    for (unsigned i = 0; i < READERS; i++)
        pthread_create(&threads[i], NULL, reader, NULL);
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned at = round % SLOTS;

        if (slots[at]) {
            if (lunik_region_del(slots[at], &err))
                return 1;
            lunik_region_unref(slots[at]);
            /* nothing is in a locked device's callback while we hold the lock */
            devices[at]->magic = 0;
            free(devices[at]);
            devices[at] = new_device();
        }
        slots[at] = make((round / 7) % 3, devices[at]);
        if (lunik_region_add(lunik_space_root(m->memory_space), (uint64_t)at * SIZE, slots[at], 0,
                             true, &err))
            return 1;
        if ((round / 7) % 3 != 2)
            change_events(slots[at], event);
        lunik_unlock(rt);
        if (round % 16 == 0)
            sched_yield();
        lunik_lock(rt);
    }
    atomic_store(&stop, true);
    lunik_unlock(rt);
    for (unsigned i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
    lunik_lock(rt);
    for (unsigned i = 0; i < 3; i++)
        all_hit = all_hit && atomic_load(&hits[i]);
    check_uint("threads: every access found what was there", atomic_load(&wrong), 0);
    check_true("threads: of each kind", all_hit);
    check_true("threads: ioeventfds were signalled",
               read(event, &signals, sizeof(signals)) == sizeof(signals));
    for (unsigned i = 0; i < SLOTS; i++) {
        lunik_region_del(slots[i], &err);
        lunik_region_unref(slots[i]);
        free(devices[i]);
    }
    lunik_runtime_free(rt);
    close(event);
    return check_result();
}
