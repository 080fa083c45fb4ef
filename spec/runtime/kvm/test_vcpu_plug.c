/*
 * test_vcpu_plug.c: vCPUs that come and go. KVM is played by functions here: the linker sends the
 * library's calls of ioctl() to them, so the threads and their gate are the real ones.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "kvm/kvm.h"
#include "kvm/vcpu.h"
#include "machine_rig.h"
#include "random.h"

enum { CPUS = 4, RUN_SIZE = 3 * 4096, PORT = 0x80, WAIT_S = 20 };

/* ---- KVM ------------------------------------------------------------------------------------ */

struct fake_vcpu {
    atomic_bool found;     /* by INIT and SIPI: not before the state of its local APIC is set */
    int fd;                /* 0: not created */
    pthread_mutex_t mutex; /* held by every call for it, as in KVM */
    struct kvm_run *run;   /* a mapping of its own */
    bool pending;          /* an access has to be completed */
    unsigned number;       /* of entries that made no exit */
    _Atomic unsigned runs; /* entries */
    _Atomic unsigned mp_state;
};

static struct {
    struct fake_vcpu vcpu[CPUS];
    _Atomic unsigned created, reset_while_pending, unlucky_run;
    _Atomic bool exits; /* vCPUs write to PORT */
    _Atomic int create_errno, regs_errno, thread_errno;
    int vm_fd;
} kvm;

int __real_ioctl(int fd, unsigned long request, void *argument);
int __wrap_ioctl(int fd, unsigned long request, void *argument);
int __wrap_kept_open(int which);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
                          void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
                          void *argument);

static int new_fd(off_t size)
{
    int fd = memfd_create("kvm", MFD_CLOEXEC);

    return fd >= 0 && ftruncate(fd, size) == 0 ? fd : -1;
}

int __wrap_kept_open(int which)
{
    return new_fd(4096);
}

/* Only vCPUs' threads fail. */
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
                          void *argument)
{
    int error = atomic_load(&kvm.thread_errno);

    return error ? error : __real_pthread_create(thread, attr, fn, argument);
}

static int fail(int error)
{
    errno = error;
    return -1;
}

static int create_vcpu(uintptr_t index)
{
    struct fake_vcpu *v = &kvm.vcpu[index];
    int error = atomic_load(&kvm.create_errno), fd;

    if (error || index >= CPUS || v->fd)
        return fail(error ? error : EEXIST);
    fd = new_fd(RUN_SIZE);
    v->run = mmap(NULL, RUN_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    pthread_mutex_init(&v->mutex, NULL);
    atomic_store(&v->mp_state, index ? KVM_MP_STATE_UNINITIALIZED : KVM_MP_STATE_RUNNABLE);
    kvm.created++;
    atomic_store(&v->fd, fd);
    return fd;
}

/* Executes a write to PORT now and then, else nothing, until it is kicked. */
static int run(struct fake_vcpu *v)
{
    const struct timespec a_while = {.tv_nsec = 50000};
    struct kvm_run *r = v->run;

    atomic_fetch_add(&v->runs, 1);
    v->pending = false;
    for (;;) {
        if (__atomic_load_n(&r->immediate_exit, __ATOMIC_RELAXED))
            return fail(EINTR);
        if (atomic_load(&kvm.exits) && ++v->number % 3 == 0) {
            r->exit_reason = KVM_EXIT_IO;
            r->io.direction = KVM_EXIT_IO_OUT;
            r->io.size = r->io.count = 1;
            r->io.port = PORT;
            r->io.data_offset = 4096;
            v->pending = true;
            return 0;
        }
        nanosleep(&a_while, NULL);
    }
}

static int vcpu_call(struct fake_vcpu *v, unsigned long request, void *argument)
{
    switch (request) {
    case KVM_RUN:
        return run(v);
    case KVM_SET_REGS:
        if (v->pending)
            kvm.reset_while_pending++;
        return atomic_load(&kvm.regs_errno) ? fail(atomic_load(&kvm.regs_errno)) : 0;
    case KVM_GET_MP_STATE:
        ((struct kvm_mp_state *)argument)->mp_state = atomic_load(&v->mp_state);
        return 0;
    case KVM_SET_MP_STATE:
        atomic_store(&v->mp_state, ((struct kvm_mp_state *)argument)->mp_state);
        return 0;
    case KVM_SET_LAPIC:
        atomic_store(&v->found, true);
        return 0;
    case KVM_GET_NESTED_STATE:
        return fail(EINVAL);
    default:
        return 0;
    }
}

static int check_extension(uintptr_t capability)
{
    switch (capability) {
    case KVM_CAP_NR_MEMSLOTS:
        return 509;
    case KVM_CAP_IRQ_ROUTING:
        return 4096;
    case KVM_CAP_MAX_VCPUS:
        return CPUS;
    case KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2:
    case KVM_CAP_COALESCED_MMIO:
    case KVM_CAP_COALESCED_PIO:
        return 0;
    default:
        return 1;
    }
}

static int vm_call(unsigned long request, void *argument)
{
    switch (request) {
    case KVM_GET_API_VERSION:
        return KVM_API_VERSION;
    case KVM_CHECK_EXTENSION:
        return check_extension((uintptr_t)argument);
    case KVM_GET_VCPU_MMAP_SIZE:
        return RUN_SIZE;
    case KVM_CREATE_VM:
        return new_fd(4096);
    case KVM_CREATE_VCPU:
        return create_vcpu((uintptr_t)argument);
    case KVM_GET_SUPPORTED_CPUID:
        ((struct kvm_cpuid2 *)argument)->nent = 0;
        return 0;
    case KVM_GET_MSR_INDEX_LIST:
        ((struct kvm_msr_list *)argument)->nmsrs = 0;
        return 0;
    default:
        return 0;
    }
}

int __wrap_ioctl(int fd, unsigned long request, void *argument)
{
    if (_IOC_TYPE(request) != KVMIO)
        return __real_ioctl(fd, request, argument);
    for (unsigned i = 0; i < CPUS; i++) {
        struct fake_vcpu *v = &kvm.vcpu[i];
        int rc, error;

        if (!v->fd || v->fd != fd)
            continue;
        pthread_mutex_lock(&v->mutex);
        rc = vcpu_call(v, request, argument);
        error = errno;
        pthread_mutex_unlock(&v->mutex);
        errno = error;
        return rc;
    }
    return vm_call(request, argument);
}

/* ---- the machine ---------------------------------------------------------------------------- */

static _Atomic unsigned writes;
static _Atomic int own; /* what a vCPU does with itself: 1 unplugs, 2 plugs again as well */

static lunik_access on_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    unsigned index = lunik_vcpu_index(lunik_vcpu_current());
    int what = index ? atomic_exchange(&own, 0) : 0;

    writes++;
    if (what)
        lunik_cpu_unplug(m, index);
    if (what == 2)
        must("plug itself", lunik_cpu_plug(m, index, &err));
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops port_ops = {.write = on_write, .valid = {.min = 1, .max = 4}};

static void open_machine(unsigned cpus)
{
    lunik_machine_config config = {.accel = LUNIK_ACCEL_KVM, .cpus = cpus, .maxcpus = CPUS};

    memset(&kvm, 0, sizeof(kvm));
    must("machine", lunik_machine_new(rt, &config, &m, &err));
    lunik_region_unref(
        add_to(m->io_space, PORT,
               region_of((lunik_region_config){
                   .kind = LUNIK_REGION_IO, .name = "port", .size = 4, .ops = &port_ops}),
               0));
}

static void close_machine(void)
{
    lunik_machine_close(m);
    for (unsigned i = 0; i < CPUS; i++)
        if (kvm.vcpu[i].fd)
            munmap(kvm.vcpu[i].run, RUN_SIZE);
}

static unsigned count_threads(void)
{
    DIR *dir = opendir("/proc/self/task");
    unsigned count = 0;

    while (dir && readdir(dir))
        count++;
    if (dir)
        closedir(dir);
    return count;
}

/* Runs the loop, which releases the lock, until fn is true. */
static bool await(bool (*fn)(uint64_t), uint64_t argument)
{
    time_t until = time(NULL) + WAIT_S;

    while (!fn(argument) && time(NULL) < until)
        lunik_run_timeout(rt, 1);
    return fn(argument);
}

static bool threads_are(uint64_t count)
{
    return count_threads() == count;
}

static bool has_run(uint64_t index)
{
    return atomic_load(&kvm.vcpu[index].runs) > 0;
}

static bool is_unplugged(uint64_t index)
{
    return !lunik_cpu_present(m, (unsigned)index);
}

static bool own_done(uint64_t unused)
{
    return !atomic_load(&own);
}

static void plug(unsigned index)
{
    must("plug", lunik_cpu_plug(m, index, &err));
}

/* ---- tests ---------------------------------------------------------------------------------- */

static void test_one(void)
{
    unsigned threads;
    lunik_vcpu *v;
    uint64_t value;

    open_machine(1);
    check_uint("there can be", lunik_vcpu_count(m), CPUS);
    check_true("not there yet", !lunik_vcpu_get(m, 2));
    must("start", lunik_machine_start(m, &err));
    threads = count_threads();
    check_uint("created", kvm.created, 1);
    plug(2);
    check_uint("one more", kvm.created, 2);
    check_uint("waits for INIT", kvm.vcpu[2].mp_state, KVM_MP_STATE_UNINITIALIZED);
    check_true("  which finds it", kvm.vcpu[2].found);
    check_true("runs", await(has_run, 2));
    check_uint("in a thread of its own", count_threads(), threads + 1);
    v = lunik_vcpu_get(m, 2);
    check_int("registers", lunik_vcpu_get_reg(v, "rax", &value, &err), 0);
    check_int("twice", lunik_cpu_plug(m, 2, &err), LUNIK_E_EXISTS);
    check_int("beyond", lunik_cpu_plug(m, CPUS, &err), LUNIK_E_INVALID);

    atomic_store(&kvm.vcpu[2].mp_state, KVM_MP_STATE_RUNNABLE); /* the guest has started it */
    lunik_cpu_unplug(m, 2);
    check_true("gone", !lunik_vcpu_get(m, 2));
    check_int("no registers", lunik_vcpu_get_reg(v, "rax", &value, &err), LUNIK_E_GONE);
    check_true("its thread ends", await(threads_are, threads));
    check_uint("in its state after power-on", kvm.vcpu[2].mp_state, KVM_MP_STATE_UNINITIALIZED);
    kvm.vcpu[2].runs = 0;
    plug(2);
    check_true("runs again", await(has_run, 2));
    check_uint("with the descriptor that it had", kvm.created, 2);
    check_true("the same vCPU", lunik_vcpu_get(m, 2) == v);
    close_machine();
}

static void test_before_start(void)
{
    open_machine(2);
    plug(3);
    lunik_cpu_unplug(m, 1);
    check_uint("CPUs", lunik_cpu_count(m), 2);
    must("start", lunik_machine_start(m, &err));
    check_true("the plugged one runs", await(has_run, 3));
    check_uint("the other was never made", kvm.created, 2);
    must("pause", lunik_machine_pause(m, &err));
    plug(1);
    lunik_cpu_unplug(m, 3);
    kvm.vcpu[3].runs = 0;
    check_uint("nothing runs while it is paused", kvm.vcpu[1].runs, 0);
    must("resume", lunik_machine_start(m, &err));
    check_true("then it does", await(has_run, 1));
    check_uint("but not the other", kvm.vcpu[3].runs, 0);
    must("reset", lunik_machine_reset(m, &err));
    check_uint("a reset leaves it plugged", lunik_cpu_count(m), 2);
    close_machine();
}

/* Each error leaves the machine as it was. */
static void refuses(const char *name, _Atomic int *error, int value, const char *words)
{
    unsigned threads = count_threads();

    atomic_store(error, value);
    check_true(name, lunik_cpu_plug(m, 1, &err) != 0);
    check_contains("  says what", err.message, words);
    check_true("  it is not plugged", !lunik_cpu_present(m, 1) && !lunik_vcpu_get(m, 1));
    check_uint("  no thread is left", count_threads(), threads);
    atomic_store(error, 0);
    check_int("  and works later", lunik_cpu_plug(m, 1, &err), 0);
    lunik_cpu_unplug(m, 1);
    await(threads_are, threads);
}

static void test_errors(void)
{
    open_machine(1);
    must("start", lunik_machine_start(m, &err));
    refuses("no descriptor", &kvm.create_errno, EMFILE, "can't create vCPU 1: too many open files");
    refuses("no thread", &kvm.thread_errno, EAGAIN, "can't start the thread of vCPU 1");
    refuses("a state that KVM refuses", &kvm.regs_errno, EINVAL, "its reset state is refused");
    check_int("the machine runs on", lunik_machine_state(m), LUNIK_STATE_RUNNING);
    close_machine();
}

/* A vCPU whose guest ejects it, on its own thread. */
static void test_own(void)
{
    unsigned threads = count_threads();

    open_machine(1);
    must("start", lunik_machine_start(m, &err));
    plug(1);
    atomic_store(&own, 1);
    atomic_store(&kvm.exits, true);
    check_true("unplugs itself", await(is_unplugged, 1));
    check_true("and its thread ends", await(threads_are, threads + 1));
    plug(1);
    atomic_store(&own, 2);
    check_true("unplugs and plugs itself", await(own_done, 0));
    check_true("is there", lunik_cpu_present(m, 1));
    kvm.vcpu[1].runs = 0;
    check_true("and runs", await(has_run, 1));
    check_uint("no state was set while an access was pending", kvm.reset_while_pending, 0);
    close_machine();
    atomic_store(&own, 0);
}

static void test_cycles(unsigned count)
{
    unsigned threads = count_threads();

    open_machine(1);
    must("start", lunik_machine_start(m, &err));
    for (unsigned i = 0; i < count; i++) {
        for (unsigned k = 1; k < CPUS; k++)
            plug(k);
        if (i % 16 == 0)
            lunik_run_timeout(rt, 1);
        for (unsigned k = 1; k < CPUS; k++)
            lunik_cpu_unplug(m, k);
    }
    check_uint("no more vCPUs than there can be", kvm.created, CPUS);
    check_true("no thread is left", await(threads_are, threads + 1));
    close_machine();
}

/* All at random: plugs, unplugs, pauses, resets, and vCPUs that come out for the lock. */
static void test_storm(unsigned steps)
{
    unsigned pauses = 0;

    open_machine(1);
    atomic_store(&kvm.exits, true);
    must("start", lunik_machine_start(m, &err));
    for (unsigned i = 0; i < steps; i++) {
        unsigned index = 1 + chance(CPUS - 1);

        switch (chance(16)) {
        case 0:
            must("pause", lunik_machine_pause(m, &err));
            pauses++;
            break;
        case 1:
            must("reset", lunik_machine_reset(m, &err));
            break;
        case 2:
        case 3:
            lunik_run_timeout(rt, (int)chance(2));
            break;
        case 4:
            vcpus_hold(m);
            vcpus_release(m);
            break;
        default:
            if (lunik_cpu_present(m, index))
                lunik_cpu_unplug(m, index);
            else
                plug(index);
        }
        if (lunik_machine_state(m) == LUNIK_STATE_PAUSED && chance(2))
            must("resume", lunik_machine_start(m, &err));
    }
    check_true("storm: paused, and vCPUs came out", pauses > 0 && writes > 0);
    check_int("it has not crashed", lunik_machine_state(m) == LUNIK_STATE_CRASHED, false);
    check_uint("no state was set while an access was pending", kvm.reset_while_pending, 0);
    close_machine();
}

int main(void)
{
    new_runtime();
    test_one();
    test_before_start();
    test_errors();
    test_own();
    test_cycles(500);
    test_storm(3000);
    lunik_runtime_free(rt);
    return check_result();
}
