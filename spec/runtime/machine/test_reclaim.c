/* test_reclaim.c: memory goes back to the host soon after its last use, whatever the threads of the
 * process wait for. */
#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lunik_device.h"
#include "core/rcu.h"
#include "core/machine.h"
#include "check.h"
#include "memory/memory.h"
#include "ram/ram.h"

#define MIB (UINT64_C(1) << 20)

static lunik_error err;

static lunik_machine *machine(lunik_runtime **rt)
{
    lunik_machine *m = NULL;

    if (lunik_runtime_new(lunik_builtin_types(), rt, &err) ||
        lunik_machine_new(
            *rt, &(lunik_machine_config){.name = "reclaim", .accel = LUNIK_ACCEL_NONE, .cpus = 1},
            &m, &err))
        printf("# %s\n", err.message);
    return m;
}

static lunik_ram *backend(lunik_machine *m, uint64_t size)
{
    const lunik_field props[] = {LUNIK_FIELD_STRING("id", "mem"), LUNIK_FIELD_UINT("size", size)};
    const lunik_memory_backend_ops *ops;
    lunik_object *o;

    if (lunik_object_add(m, "memory-backend-ram", props, 2, &o, &err)) {
        printf("# %s\n", err.message);
        return NULL;
    }
    ops = lunik_memory_backend_iface(o);
    return ops->ram(o);
}

static bool is_mapped(void *host)
{
    return !msync(host, 4096, MS_ASYNC);
}

/* Long enough for a machine with much else to do. */
static bool comes_back(void *host)
{
    for (int i = 0; i < 2000 && is_mapped(host); i++)
        usleep(5000);
    return !is_mapped(host);
}

/* Adds a backend, deletes it, and says whether its memory goes. */
static bool goes(lunik_machine *m)
{
    lunik_ram *ram = backend(m, 8 * MIB);
    void *host = ram ? lunik_ram_host(ram) : NULL;

    if (!host)
        return false;
    check_true("mapped while it exists", is_mapped(host));
    lunik_object_del(m, "mem", &err);
    return comes_back(host);
}

/* ---- an idle loop --------------------------------------------------------------------------- */

static sem_t idle, end;

/* Waits with the lock held, as a thread does whose own event loop is idle. */
static void *idle_embedder(void *unused)
{
    lunik_runtime *rt;

    machine(&rt);
    lunik_run_timeout(rt, 0);
    sem_post(&idle);
    sem_wait(&end);
    lunik_runtime_free(rt);
    return NULL;
}

static void test_idle_loops(void)
{
    lunik_runtime *rt;
    lunik_machine *m = machine(&rt);
    pthread_t thread;

    check_true("a loop thread that calls nothing any more", goes(m));
    lunik_run_timeout(rt, 0);
    check_true("one that waits in a loop of its own", goes(m));
    sem_init(&idle, 0, 0);
    sem_init(&end, 0, 0);
    pthread_create(&thread, NULL, idle_embedder, NULL);
    sem_wait(&idle);
    check_true("that of another runtime", goes(m));
    lunik_runtime_free(rt);
    check_true("a runtime is freed meanwhile", true);
    sem_post(&end);
    pthread_join(thread, NULL);
}

/* ---- a vCPU that waits for the lock --------------------------------------------------------- */

static _Atomic unsigned waiting, calls;

static lunik_access count_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    calls++;
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops count_ops = {.write = count_write};

struct access {
    lunik_machine *m;
    uint64_t address;
    lunik_access result;
};

static void *vcpu(void *arg)
{
    struct access *a = arg;
    uint8_t byte = 1;

    rcu_online();
    waiting = 1;
    a->result = space_vcpu_access(lunik_machine_io(a->m), a->address, &byte, 1, true);
    rcu_offline();
    rcu_thread_done();
    return NULL;
}

static lunik_region *port(lunik_machine *m, uint64_t address)
{
    lunik_region_config config = {
        .kind = LUNIK_REGION_IO, .name = "port", .size = 1, .ops = &count_ops};
    lunik_region *r = NULL;

    if (lunik_region_new(m, &config, &r, &err) ||
        lunik_region_add(lunik_space_root(lunik_machine_io(m)), address, r, 0, false, &err))
        printf("# %s\n", err.message);
    return r;
}

/* In its read section, and asleep: nothing shows that from outside but time. */
static void until_asleep(void)
{
    while (!waiting)
        usleep(100);
    usleep(50000);
    waiting = 0;
}

static void test_waiting_vcpu(void)
{
    lunik_runtime *rt;
    lunik_machine *m = machine(&rt);
    struct access stays = {.m = m, .address = 0x500}, leaves = {.m = m, .address = 0x501};
    lunik_region *staying = port(m, 0x500), *leaving = port(m, 0x501);
    pthread_t thread;

    pthread_create(&thread, NULL, vcpu, &stays);
    until_asleep();
    check_true("a vCPU that waits for the lock", goes(m));
    lunik_unlock(rt);
    pthread_join(thread, NULL);
    lunik_lock(rt);
    check_int("its access is carried out", stays.result, LUNIK_ACCESS_OK);
    check_uint("once", calls, 1);

    pthread_create(&thread, NULL, vcpu, &leaves);
    until_asleep();
    lunik_region_del(leaving, &err);
    lunik_region_unref(leaving);
    check_true("one whose region goes as well", goes(m));
    lunik_unlock(rt);
    pthread_join(thread, NULL);
    lunik_lock(rt);
    check_int("that access finds nothing", leaves.result, LUNIK_ACCESS_DECODE);
    check_uint("and calls nothing", calls, 1);
    lunik_region_del(staying, &err);
    lunik_region_unref(staying);
    lunik_runtime_free(rt);
}

/* ---- shortage ------------------------------------------------------------------------------- */

static uint64_t address_space(void)
{
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");

    if (f) {
        if (fscanf(f, "%lu", &pages) != 1)
            pages = 0;
        fclose(f);
    }
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Room for one block, which is deleted and made again at once. */
static void test_shortage(bool in_transaction)
{
    enum { SIZE_MIB = 1024 };
    lunik_runtime *rt;
    lunik_machine *m = machine(&rt);
    struct rlimit before, limit;
    unsigned made = 0, rounds = 20;

    goes(m); /* the reclaimer has a stack */
    getrlimit(RLIMIT_AS, &before);
    limit = before;
    limit.rlim_cur = address_space() + (SIZE_MIB + SIZE_MIB / 2) * MIB;
    setrlimit(RLIMIT_AS, &limit);
    for (unsigned i = 0; i < rounds; i++) {
        made += backend(m, SIZE_MIB * MIB) != NULL;
        lunik_object_del(m, "mem", &err);
        if (in_transaction)
            lunik_transaction_begin(m);
        made += backend(m, SIZE_MIB * MIB) != NULL;
        if (in_transaction)
            lunik_transaction_commit(m, &err);
        lunik_object_del(m, "mem", &err);
    }
    check_uint("the same block again at once", made, 2 * rounds);
    check_true("two are still too many", backend(m, SIZE_MIB * MIB));
    check_int("and refused",
              lunik_object_add(m, "memory-backend-ram",
                               (const lunik_field[]){LUNIK_FIELD_STRING("id", "more"),
                                                     LUNIK_FIELD_UINT("size", SIZE_MIB * MIB)},
                               2, NULL, &err),
              LUNIK_E_NO_MEMORY);
    setrlimit(RLIMIT_AS, &before);
    lunik_runtime_free(rt);
}

static void reclaimed(struct rcu_head *head)
{
    rcu_note_reclaim();
    calls++;
}

/* A thread that lacks memory may be interrupted before it waits; what it would have waited for is
 * reclaimed meanwhile. */
static void test_reclaimed_before_the_wait(void)
{
    static struct rcu_head head;
    uint64_t since = rcu_reclaimed();

    calls = 0;
    check_true("nothing has been reclaimed since", !ram_wait_reclaimed(NULL, since));
    rcu_defer(&head, reclaimed);
    rcu_drain();
    check_uint("reclaimed", calls, 1);
    check_true("a failed call is worth repeating", ram_wait_reclaimed(NULL, since));
    check_true("one that lacked memory", rcu_shortage_over(ENOMEM));
    check_int("and errno is kept", errno, ENOMEM);
    check_true("not one that failed for another reason", !rcu_shortage_over(EINVAL));
}

int main(void)
{
    test_idle_loops();
    test_waiting_vcpu();
    test_reclaimed_before_the_wait();
    if (!lunik_sanitized()) { /* whose shadows are larger than any limit */
        test_shortage(false);
        test_shortage(true);
    }
    return check_result();
}
