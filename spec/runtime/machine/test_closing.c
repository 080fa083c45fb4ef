/* test_closing.c: what a closed machine gives back later than its close, and where descriptors are
 * to be had meanwhile. */
#define _GNU_SOURCE /* gettid */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lunik_device.h"
#include "core/rcu.h"
#include "check.h"

static lunik_error err;

static lunik_machine *machine(lunik_runtime *rt, lunik_accel accel)
{
    const lunik_machine_config config = {.name = "closing", .accel = accel, .cpus = 2};
    lunik_machine *m = NULL;

    if (lunik_machine_new(rt, &config, &m, &err))
        printf("# %s\n", err.message);
    return m;
}

static lunik_runtime *runtime(void)
{
    lunik_runtime *rt = NULL;

    if (lunik_runtime_new(lunik_builtin_types(), &rt, &err))
        printf("# %s\n", err.message);
    return rt;
}

/* ---- descriptors ---------------------------------------------------------------------------- */

static unsigned long table_size(void)
{
    unsigned long size = 0;
    FILE *f = fopen("/proc/self/status", "r");
    char line[256];

    while (f && fgets(line, sizeof(line), f))
        if (sscanf(line, "FDSize: %lu", &size) == 1)
            break;
    if (f)
        fclose(f);
    return size;
}

/* With a limit that leaves room for growth. */
static void test_table(void)
{
    lunik_runtime *rt;
    struct rlimit before, limit;
    unsigned long size;

    getrlimit(RLIMIT_NOFILE, &before);
    limit = before;
    limit.rlim_cur = before.rlim_max < 1024 ? before.rlim_max : 1024;
    setrlimit(RLIMIT_NOFILE, &limit);
    rt = runtime();
    size = table_size();
    check_true("a runtime makes room for descriptors", size >= limit.rlim_cur);
    lunik_runtime_free(rt);
    setrlimit(RLIMIT_NOFILE, &before);
}

enum { MOST_DESCRIPTORS = 64 };

/* Takes all that there are. Returns how many. */
static unsigned use_up(int fds[MOST_DESCRIPTORS])
{
    unsigned count = 0;

    while (count < MOST_DESCRIPTORS && (fds[count] = dup(STDOUT_FILENO)) >= 0)
        count++;
    return count;
}

static lunik_access ignore(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops ops = {.write = ignore};

static void test_shortage(void)
{
    const lunik_field props[] = {LUNIK_FIELD_STRING("id", "mem"), LUNIK_FIELD_UINT("size", 65536)};
    const lunik_region_config config = {.kind = LUNIK_REGION_IO, .size = 4096, .ops = &ops};
    const lunik_ioeventfd_config event = {.size = 4};
    lunik_runtime *rt = runtime();
    lunik_machine *m = machine(rt, LUNIK_ACCEL_NONE);
    lunik_ioeventfd *e = NULL;
    struct rlimit before, limit;
    int fds[MOST_DESCRIPTORS];
    lunik_region *r = NULL;
    unsigned count;

    lunik_region_new(m, &config, &r, &err);
    check_int("a backend", lunik_object_add(m, "memory-backend-memfd", props, 2, NULL, &err), 0);
    lunik_object_del(m, "mem", &err);
    lunik_unlock(rt);
    rcu_drain(); /* there is a reclaimer, and it has done its work */
    lunik_lock(rt);
    lunik_object_add(m, "memory-backend-memfd", props, 2, NULL, &err);
    getrlimit(RLIMIT_NOFILE, &before);
    limit = before;
    limit.rlim_cur = 32;
    setrlimit(RLIMIT_NOFILE, &limit);
    count = use_up(fds);
    check_true("none to be had, and none to wait for", lunik_ioeventfd_new(r, &event, &e, &err));
    close(fds[--count]); /* an ioeventfd takes two */
    lunik_object_del(m, "mem", &err);
    if (!check_int("one that comes back is waited for", lunik_ioeventfd_new(r, &event, &e, &err),
                   0))
        printf("# %s\n", err.message);
    while (count)
        close(fds[--count]);
    setrlimit(RLIMIT_NOFILE, &before);
    if (e)
        lunik_ioeventfd_close(e, &err);
    lunik_region_unref(r);
    lunik_runtime_free(rt);
}

/* ---- deferred calls ------------------------------------------------------------------------- */

enum { THREADS = 4, CALLS = 5000 };

static struct deferred {
    struct rcu_head head;
    unsigned thread, number;
} deferred[THREADS][CALLS];

/* What a thread has deferred: by its reclaimer, read after rcu_drain(). */
static struct calls {
    unsigned called, disordered;
    int reclaimer;
} calls[THREADS];

static void on_reclaim(struct rcu_head *head)
{
    const struct deferred *d = lunik_container_of(head, struct deferred, head);

    rcu_note_reclaim();
    calls[d->thread].disordered += calls[d->thread].called++ != d->number;
    calls[d->thread].reclaimer = gettid();
}

static unsigned count_reclaimers(void)
{
    unsigned count = 0;

    for (unsigned t = 0; t < THREADS; t++) {
        bool before = false;

        for (unsigned u = 0; u < t; u++)
            before |= calls[u].reclaimer == calls[t].reclaimer;
        count += !before;
    }
    return count;
}

static void *defer_calls(void *first)
{
    struct deferred *d = first;

    for (unsigned i = 0; i < CALLS; i++)
        if (i % 100)
            rcu_defer(&d[i].head, on_reclaim);
        else
            rcu_defer_urgent(&d[i].head, on_reclaim);
    rcu_drain();
    return NULL;
}

static void test_deferred(void)
{
    pthread_t threads[THREADS];

    for (unsigned t = 0; t < THREADS; t++) {
        for (unsigned i = 0; i < CALLS; i++)
            deferred[t][i] = (struct deferred){.thread = t, .number = i};
        pthread_create(&threads[t], NULL, defer_calls, deferred[t]);
    }
    for (unsigned t = 0; t < THREADS; t++)
        pthread_join(threads[t], NULL);
    for (unsigned t = 0; t < THREADS; t++) {
        check_uint("all that a thread has deferred is called", calls[t].called, CALLS);
        check_uint("in its order", calls[t].disordered, 0);
    }
    check_uint("by all reclaimers", count_reclaimers(), RCU_RECLAIMERS);
}

/* ---- VMs ------------------------------------------------------------------------------------ */

/* Descriptors of VMs and vCPUs that this process has. */
static unsigned vm_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned count = 0;
    struct dirent *entry;

    while (dir && (entry = readdir(dir))) { /* NOLINT(concurrency-mt-unsafe): our own stream */
        char target[64] = "";

        if (readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1) > 0)
            count += strstr(target, "kvm-v") != NULL;
    }
    if (dir)
        closedir(dir);
    return count;
}

/* A machine whose vCPUs exist is closed. */
static void close_one(lunik_runtime *rt)
{
    lunik_machine *m = machine(rt, LUNIK_ACCEL_KVM);

    if (!m)
        return;
    if (lunik_machine_reset(m, &err))
        printf("# %s\n", err.message);
    lunik_machine_close(m);
}

static void test_vms(void)
{
    enum { PER_VM = 3, MOST_VMS = 8 };
    lunik_runtime *rt = runtime();
    struct rlimit before, limit;

    check_uint("no VM at first", vm_descriptors(), 0);
    close_one(rt);
    rcu_wait(10000); /* there is a reclaimer */
    rcu_online();    /* which can do nothing now, but while close waits for the vCPUs */
    close_one(rt);
    check_uint("closing does not wait for the kernel", vm_descriptors(), PER_VM);
    for (unsigned i = 0; i < 2 * MOST_VMS; i++)
        close_one(rt);
    check_true("but only so many are left to later", vm_descriptors() <= PER_VM * MOST_VMS);
    rcu_offline();
    check_true("they go", rcu_wait(60000));
    check_uint("all of them", vm_descriptors(), 0);

    rcu_online();
    getrlimit(RLIMIT_NOFILE, &before);
    limit = before;
    limit.rlim_cur = 40;
    setrlimit(RLIMIT_NOFILE, &limit);
    close_one(rt);
    check_uint("none is left where descriptors are short", vm_descriptors(), 0);
    setrlimit(RLIMIT_NOFILE, &before);
    close_one(rt);
    rcu_offline();
    machine(rt, LUNIK_ACCEL_KVM);
    lunik_runtime_free(rt);
    check_uint("nor when the runtime is freed", vm_descriptors(), 0);
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    test_table();
    test_shortage();
    test_deferred();
    if (access("/dev/kvm", R_OK | W_OK) == 0)
        test_vms();
    return check_result();
}
