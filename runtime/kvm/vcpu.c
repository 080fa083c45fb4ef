/*
 * vcpu.c: vCPU threads.
 *
 * Every vCPU passes a gate before it enters the guest. To keep vCPUs outside, a thread closes the
 * gate, kicks those inside with immediate_exit and a signal, and waits until none is inside. A vCPU
 * that handles an exit is outside: the closer does not wait for the exit to end, so it may hold the
 * machine lock that the exit needs. The gate is closed for a hold, for the moment in which memslots
 * are swapped, or for a pause, which lasts and lets accesses in flight complete.
 */
#define _GNU_SOURCE /* pthread_setname_np */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cpuid.h"
#include "core/confinement.h"
#include "core/fence.h"
#include "kvm.h"
#include "core/rcu.h"
#include "core/runtime.h"
#include "core/vcpu_thread.h"
#include "core/misuse.h"
#include "vcpu_internal.h"
#include "memory/memory.h"

/* Makes KVM_RUN return; its handler does nothing unless there is a callback. */
#define KICK_SIGNAL (SIGRTMIN + 5)

static pthread_once_t kick_once = PTHREAD_ONCE_INIT;
static _Atomic(lunik_kick_fn *) kick_fn;

unsigned lunik_vcpu_count(const lunik_machine *m)
{
    NOT_NULL(m, 0);

    return m->vcpus ? m->vcpus->count : 0;
}

lunik_vcpu *lunik_vcpu_get(lunik_machine *m, unsigned index)
{
    NOT_NULL(m, NULL);

    return index < lunik_vcpu_count(m) ? &m->vcpus->vcpu[index] : NULL;
}

lunik_machine *lunik_vcpu_machine(const lunik_vcpu *v)
{
    NOT_NULL(v, NULL);

    return v->machine;
}

unsigned lunik_vcpu_index(const lunik_vcpu *v)
{
    NOT_NULL(v, 0);

    return v->index;
}

void lunik_vcpu_get_stats(const lunik_vcpu *v, lunik_vcpu_stats *out)
{
    NOT_NULL(v);
    NOT_NULL(out);

    out->exits = atomic_load_explicit(&v->exits, memory_order_relaxed);
    out->io = atomic_load_explicit(&v->io, memory_order_relaxed);
    out->mmio = atomic_load_explicit(&v->mmio, memory_order_relaxed);
    out->interrupted = atomic_load_explicit(&v->interrupted, memory_order_relaxed);
    out->dirtied = atomic_load_explicit(&v->dirtied, memory_order_relaxed);
    out->other = out->exits - out->io - out->mmio - out->interrupted;
}

/* Only the vCPU's own thread counts, so no read-modify-write is needed. */
static void count(_Atomic uint64_t *counter)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

/* ---- the gate ------------------------------------------------------------------------------- */

static void on_kick(int sig)
{
    lunik_kick_fn *fn = atomic_load(&kick_fn);

    if (fn)
        fn();
}

static void install_kick_handler(void)
{
    struct sigaction action = {.sa_handler = on_kick};

    sigemptyset(&action.sa_mask);
    sigaction(KICK_SIGNAL, &action, NULL);
}

void lunik_set_kick_cb(lunik_kick_fn *fn)
{
    pthread_once(&kick_once, install_kick_handler);
    atomic_store(&kick_fn, fn);
}

void lunik_kick_lock_holder(const lunik_runtime *rt)
{
    pthread_t owner = atomic_load_explicit(&rt->owner, memory_order_relaxed);

    if (owner && owner != rt->loop_thread && atomic_load(&kick_fn))
        pthread_kill(owner, KICK_SIGNAL);
}

/* The closer stores `closed`, then reads `in_guest`; a vCPU stores `in_guest`, then reads `closed`.
 * Each side needs a full fence; fence_light() and fence_heavy() put the cost on the closer. */
static void update_gate(struct vcpu_group *g)
{
    bool closed = g->holds || g->paused || g->quit;

    atomic_store(&g->closed, closed);
    if (closed)
        fence_heavy();
}

static bool gate_closed(const struct vcpu_group *g)
{
    return atomic_load_explicit(&g->closed, FENCED_LOAD);
}

static void set_inside(lunik_vcpu *v, bool inside)
{
    atomic_store_explicit(&v->in_guest, inside, FENCED_STORE);
    fence_light();
}

/* Makes the vCPU leave KVM_RUN. The group's mutex is held. */
static void kick(lunik_vcpu *v)
{
    if (!v->started || !atomic_load(&v->in_guest))
        return;
    __atomic_store_n(&v->run->immediate_exit, 1, __ATOMIC_RELAXED);
    pthread_kill(v->thread, KICK_SIGNAL);
}

static void kick_all(struct vcpu_group *g)
{
    for (unsigned i = 0; i < g->count; i++)
        kick(&g->vcpu[i]);
}

/* The vCPU has left KVM_RUN: wakes threads waiting at the gate. */
static void left_guest(lunik_vcpu *v)
{
    struct vcpu_group *g = v->machine->vcpus;

    set_inside(v, false);
    if (!gate_closed(g))
        return;
    pthread_mutex_lock(&g->mutex);
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&g->mutex);
}

/* Announces the entry; returns false if the gate is closed. */
static bool may_enter(lunik_vcpu *v)
{
    set_inside(v, true);
    if (!gate_closed(v->machine->vcpus))
        return true;
    left_guest(v);
    return false;
}

static void handle_exit(lunik_vcpu *v, int rc, int error);

/* Lets the kernel complete the access of the last exit without running the guest. An instruction
 * with several accesses exits again. */
static void complete_access(lunik_vcpu *v)
{
    int rc;

    while (v->io_pending) {
        struct vcpu_group *g = v->machine->vcpus;

        pthread_mutex_lock(&g->mutex);
        while (g->holds)
            pthread_cond_wait(&g->changed, &g->mutex);
        set_inside(v, true);
        pthread_mutex_unlock(&g->mutex);
        __atomic_store_n(&v->run->immediate_exit, 1, __ATOMIC_RELAXED);
        rc = ioctl(v->fd, KVM_RUN, 0);
        __atomic_store_n(&v->run->immediate_exit, 0, __ATOMIC_RELAXED);
        v->io_pending = false;
        left_guest(v);
        kvm_io_vcpu_exit(v->machine);
        if (rc == 0)
            handle_exit(v, 0, 0);
    }
}

/* Sets v->parked. The group's mutex is held. Broadcasts only changes, as parked vCPUs wait for the
 * same condition and would wake each other for ever. */
static void park(lunik_vcpu *v, bool parked)
{
    if (v->parked == parked)
        return;
    v->parked = parked;
    pthread_cond_broadcast(&v->machine->vcpus->changed);
}

/* Waits until the gate opens; returns false if the thread is to end. */
static bool wait_at_gate(lunik_vcpu *v)
{
    struct vcpu_group *g = v->machine->vcpus;
    bool quit;

    pthread_mutex_lock(&g->mutex);
    while (gate_closed(g) && !g->quit) {
        if (g->paused && !g->holds && v->io_pending) {
            pthread_mutex_unlock(&g->mutex);
            complete_access(v);
            pthread_mutex_lock(&g->mutex);
            continue;
        }
        park(v, !v->io_pending);
        pthread_cond_wait(&g->changed, &g->mutex);
    }
    v->parked = false;
    quit = g->quit;
    pthread_mutex_unlock(&g->mutex);
    return !quit;
}

static bool somebody_inside(const struct vcpu_group *g)
{
    for (unsigned i = 0; i < g->count; i++)
        if (atomic_load(&g->vcpu[i].in_guest))
            return true;
    return false;
}

void vcpus_hold(lunik_machine *m)
{
    struct vcpu_group *g = m->vcpus;

    if (!g)
        return;
    pthread_mutex_lock(&g->mutex);
    g->holds++;
    update_gate(g);
    kick_all(g);
    while (somebody_inside(g))
        pthread_cond_wait(&g->changed, &g->mutex);
    pthread_mutex_unlock(&g->mutex);
}

void vcpus_release(lunik_machine *m)
{
    struct vcpu_group *g = m->vcpus;

    if (!g)
        return;
    pthread_mutex_lock(&g->mutex);
    g->holds--;
    update_gate(g);
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&g->mutex);
}

void vcpus_stop(lunik_machine *m)
{
    struct vcpu_group *g = m->vcpus;

    if (!g)
        return;
    pthread_mutex_lock(&g->mutex);
    g->paused = true;
    update_gate(g);
    kick_all(g);
    pthread_mutex_unlock(&g->mutex);
}

static bool all_parked(const struct vcpu_group *g)
{
    for (unsigned i = 0; i < g->count; i++)
        if (g->vcpu[i].started && !g->vcpu[i].parked)
            return false;
    return true;
}

void vcpus_wait_stopped(lunik_machine *m)
{
    struct vcpu_group *g = m->vcpus;
    bool done;

    if (!g)
        return;
    pthread_mutex_lock(&g->mutex);
    done = all_parked(g);
    pthread_mutex_unlock(&g->mutex);
    if (done)
        return;
    lunik_unlock(m->rt); /* accesses in flight may need it */
    pthread_mutex_lock(&g->mutex);
    while (g->paused && !all_parked(g))
        pthread_cond_wait(&g->changed, &g->mutex);
    pthread_mutex_unlock(&g->mutex);
    lunik_lock(m->rt);
}

/* ---- exits ---------------------------------------------------------------------------------- */

static void report_exit(lunik_vcpu *v, lunik_vcpu_exit *info)
{
    lunik_machine *m = v->machine;
    lunik_exit_action action;

    lunik_lock(m->rt);
    info->kvm_reason = v->run->exit_reason;
    lunik_vcpu_get_reg(v, "rip", &info->rip, NULL);
    action = exit_ask(m, v, info);
    if (action == LUNIK_EXIT_UNHANDLED)
        m->requests->vcpu_crashed(v, info);
    else if (action == LUNIK_EXIT_PAUSE)
        m->requests->pause(m);
    lunik_unlock(m->rt);
}

/* KVM queues #UD for an instruction that it can't emulate. The handler of the exit decides what
 * happens instead, so the exception must not be delivered. */
static void drop_queued_ud(lunik_vcpu *v)
{
    struct kvm_vcpu_events events;

    if (ioctl(v->fd, KVM_GET_VCPU_EVENTS, &events) < 0 || events.exception.nr != 6)
        return;
    events.exception.injected = 0;
    events.exception.pending = 0;
    ioctl(v->fd, KVM_SET_VCPU_EVENTS, &events);
}

static void internal_error(lunik_vcpu *v)
{
    lunik_vcpu_exit info = {.reason = "internal-error"};

    info.detail = v->run->internal.suberror;
    if (info.detail == KVM_INTERNAL_ERROR_EMULATION) {
        info.reason = "emulation-failure";
        if (v->run->emulation_failure.ndata >= 3 &&
            v->run->emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES) {
            info.insn_len = v->run->emulation_failure.insn_size;
            if (info.insn_len > sizeof(info.insn))
                info.insn_len = sizeof(info.insn);
            memcpy(info.insn, v->run->emulation_failure.insn_bytes, info.insn_len);
        }
        drop_queued_ud(v);
    }
    report_exit(v, &info);
}

static void system_event(lunik_vcpu *v)
{
    lunik_machine *m = v->machine;

    lunik_lock(m->rt);
    if (v->run->system_event.type == KVM_SYSTEM_EVENT_RESET)
        m->requests->guest_reset(m);
    else
        m->requests->shutdown(m, "guest-shutdown", 0);
    lunik_unlock(m->rt);
}

static void port_access(lunik_vcpu *v)
{
    struct kvm_run *run = v->run;
    uint8_t *data = (uint8_t *)run + run->io.data_offset;

    count(&v->io);
    v->io_pending = true;
    rcu_online();
    for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size)
        space_vcpu_access(v->machine->io_space, run->io.port, data, run->io.size,
                          run->io.direction == KVM_EXIT_IO_OUT);
    rcu_offline();
}

static void memory_access(lunik_vcpu *v)
{
    struct kvm_run *run = v->run;

    count(&v->mmio);
    v->io_pending = true;
    rcu_online();
    space_vcpu_access(v->machine->memory_space, run->mmio.phys_addr, run->mmio.data, run->mmio.len,
                      run->mmio.is_write);
    rcu_offline();
}

static void ring_full(lunik_vcpu *v)
{
    lunik_vcpu_exit info = {.reason = "dirty-ring-full"};

    if (!vcpu_ring_make_room(v))
        report_exit(v, &info);
}

static void run_failed(lunik_vcpu *v, int error)
{
    lunik_vcpu_exit info = {.reason = "run-error", .detail = (uint64_t)error};

    if (error == EINTR || error == EAGAIN) {
        count(&v->interrupted);
        return;
    }
    v->run->exit_reason = KVM_EXIT_UNKNOWN; /* it holds the reason of the exit before */
    report_exit(v, &info);
}

static void other_exit(lunik_vcpu *v)
{
    lunik_vcpu_exit info = {.reason = "unknown"};

    switch (v->run->exit_reason) {
    case KVM_EXIT_SHUTDOWN:
        info.reason = "shutdown";
        break;
    case KVM_EXIT_FAIL_ENTRY:
        info.reason = "fail-entry";
        info.detail = v->run->fail_entry.hardware_entry_failure_reason;
        break;
    case KVM_EXIT_DEBUG:
        info.reason = "debug";
        info.detail = v->run->debug.arch.dr6;
        break;
    case KVM_EXIT_HLT:
        info.reason = "halt";
        break;
    default:
        break;
    }
    report_exit(v, &info);
}

static void handle_exit(lunik_vcpu *v, int rc, int error)
{
    count(&v->exits);
    if (rc < 0) {
        run_failed(v, error);
        return;
    }
    switch (v->run->exit_reason) {
    case KVM_EXIT_IO:
        port_access(v);
        break;
    case KVM_EXIT_MMIO:
        memory_access(v);
        break;
    case KVM_EXIT_INTR:
    case KVM_EXIT_IRQ_WINDOW_OPEN:
        count(&v->interrupted);
        break;
    case KVM_EXIT_INTERNAL_ERROR:
        internal_error(v);
        break;
    case KVM_EXIT_DIRTY_RING_FULL:
        ring_full(v);
        break;
    case KVM_EXIT_SYSTEM_EVENT:
        system_event(v);
        break;
    default:
        other_exit(v);
    }
}

/* ---- threads -------------------------------------------------------------------------------- */

static void *vcpu_thread(void *arg)
{
    lunik_vcpu *v = arg;
    int rc, error;

    vcpu_thread_set(v, v->index);
    confinement_enter_vcpu();
    for (;;) {
        if (!may_enter(v)) {
            if (!wait_at_gate(v))
                break;
            continue;
        }
        rc = ioctl(v->fd, KVM_RUN, 0);
        error = rc < 0 ? errno : 0;
        v->io_pending = false;
        left_guest(v);
        __atomic_store_n(&v->run->immediate_exit, 0, __ATOMIC_RELAXED);
        kvm_io_vcpu_exit(v->machine);
        handle_exit(v, rc, error);
    }
    rcu_thread_done();
    return NULL;
}

/* Starts the thread with a signal mask that lets only the kick and faults through. */
static int start_thread(lunik_vcpu *v)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT, SIGSYS};
    sigset_t mask, old;
    char name[16] = "lunik-vcpu";
    int rc;

    sigfillset(&mask);
    sigdelset(&mask, KICK_SIGNAL);
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
        sigdelset(&mask, faults[i]);
    pthread_sigmask(SIG_SETMASK, &mask, &old);
    rc = pthread_create(&v->thread, NULL, vcpu_thread, v);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc == 0) {
        v->started = true;
        pthread_setname_np(v->thread, name);
    }
    return rc;
}

int vcpus_resume(lunik_machine *m, lunik_error *err)
{
    struct vcpu_group *g = m->vcpus;
    int rc = 0;

    if (!g)
        return 0;
    for (unsigned i = 0; i < g->count && rc == 0; i++)
        if (!g->vcpu[i].started)
            rc = start_thread(&g->vcpu[i]);
    if (rc)
        return lunik_fail_errno(err, rc, "machine '%s': can't start a vCPU thread", m->name);
    pthread_mutex_lock(&g->mutex);
    g->paused = false;
    update_gate(g);
    for (unsigned i = 0; i < g->count; i++)
        g->vcpu[i].parked = false;
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&g->mutex);
    return 0;
}

/* ---- life cycle ----------------------------------------------------------------------------- */

/* Does what earlier calls, which failed, have left undone. */
static int create_vcpu(lunik_vcpu *v, lunik_error *err)
{
    struct kvm_vm *vm = v->machine->kvm;
    struct kvm_cpuid2 *cpuid = v->machine->vcpus->cpuid;
    int rc;

    if (v->fd < 0)
        v->fd = ioctl(vm->vm_fd, KVM_CREATE_VCPU, v->index);
    if (v->fd < 0 && rcu_shortage_over(errno))
        v->fd = ioctl(vm->vm_fd, KVM_CREATE_VCPU, v->index);
    if (v->fd < 0)
        return lunik_fail_errno(err, errno, "KVM: can't create vCPU %u", v->index);
    if (!v->run) {
        void *run =
            mmap(NULL, (size_t)vm->vcpu_map_size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);

        if (run == MAP_FAILED)
            return lunik_fail_errno(err, errno, "KVM: can't map vCPU %u", v->index);
        v->run = run;
    }
    rc = vcpu_ring_init(v, err);
    if (rc)
        return rc;
    cpuid_set_topology(cpuid, &v->machine->config, v->index);
    if (ioctl(v->fd, KVM_SET_CPUID2, cpuid) < 0)
        return lunik_fail_errno(err, errno, "KVM: vCPU %u: the CPUID is refused", v->index);
    return vcpu_save_power_on(v, err);
}

int vcpus_create(lunik_machine *m, lunik_error *err)
{
    struct vcpu_group *g = m->vcpus;
    int rc = 0;

    if (!g || !g->cpuid)
        return 0;
    if (!m->kvm->power_on) {
        rc = kvm_vm_add_irqchip(m->kvm, err);
        if (rc)
            return rc;
        gsi_show_high(m);
    }
    for (unsigned i = 0; i < g->count && rc == 0; i++)
        if (!g->vcpu[i].power_on)
            rc = create_vcpu(&g->vcpu[i], err);
    if (rc)
        return rc;
    kvm_io_set_vcpu_map(m, g->vcpu[0].run);
    free(g->cpuid);
    g->cpuid = NULL;
    return 0;
}

int vcpus_init(lunik_machine *m, lunik_error *err)
{
    struct vcpu_group *g;

    if (!m->kvm)
        return cpuid_check(&m->config, err);
    if (m->config.cpus > m->kvm->max_vcpus || m->config.cpus > 255)
        return lunik_fail(err, LUNIK_E_INVALID, "machine '%s': cpus: %u is too many (want 1..%u)",
                          m->name, m->config.cpus,
                          m->kvm->max_vcpus < 255 ? m->kvm->max_vcpus : 255);
    g = calloc(1, sizeof(*g) + m->config.cpus * sizeof(g->vcpu[0]));
    if (!g)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "machine '%s': out of memory", m->name);
    pthread_once(&kick_once, install_kick_handler);
    fence_init();
    pthread_mutex_init(&g->mutex, NULL);
    pthread_cond_init(&g->changed, NULL);
    g->machine = m;
    g->paused = true;
    update_gate(g);
    g->count = m->config.cpus;
    for (unsigned i = 0; i < g->count; i++)
        g->vcpu[i] = (lunik_vcpu){.machine = m, .index = i, .fd = -1};
    m->vcpus = g;
    return cpuid_new(&g->cpuid, m, err);
}

static void join_all(struct vcpu_group *g)
{
    pthread_mutex_lock(&g->mutex);
    g->quit = true;
    update_gate(g);
    kick_all(g);
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&g->mutex);
    lunik_unlock(g->machine->rt);
    for (unsigned i = 0; i < g->count; i++)
        if (g->vcpu[i].started)
            pthread_join(g->vcpu[i].thread, NULL);
    lunik_lock(g->machine->rt);
}

void vcpus_fini(lunik_machine *m)
{
    struct vcpu_group *g = m->vcpus;

    if (!g)
        return;
    join_all(g);
    kvm_io_set_vcpu_map(m, NULL);
    m->vcpus = NULL;
    m->kvm->ended = g;
}

void vcpus_free(struct vcpu_group *g, const struct kvm_vm *vm)
{
    if (!g)
        return;
    for (unsigned i = 0; i < g->count; i++) {
        lunik_vcpu *v = &g->vcpu[i];

        vcpu_free_power_on(v);
        vcpu_ring_fini(v, vm);
        if (v->run)
            munmap(v->run, (size_t)vm->vcpu_map_size);
        if (v->fd >= 0)
            close(v->fd);
    }
    pthread_cond_destroy(&g->changed);
    pthread_mutex_destroy(&g->mutex);
    free(g->cpuid);
    free(g);
}
