/* vcpu.c: vCPUs and their threads. */
#define _GNU_SOURCE /* pthread_setname_np, gettid */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cpuid.h"
#include "core/confinement.h"
#include "core/misuse.h"
#include "core/rcu.h"
#include "core/runtime.h"
#include "core/vcpu_thread.h"
#include "kvm.h"
#include "vcpu_internal.h"

unsigned lunik_vcpu_count(const lunik_machine *m)
{
    NOT_NULL(m, 0);

    return m->vcpus ? m->vcpus->count : 0;
}

lunik_vcpu *lunik_vcpu_get(lunik_machine *m, unsigned index)
{
    NOT_NULL(m, NULL);

    bool plugged = index < lunik_vcpu_count(m) && lunik_cpu_present(m, index);
    return plugged ? &m->vcpus->vcpu[index] : NULL;
}

lunik_vcpu *vcpus_next(struct vcpu_group *g, lunik_vcpu *previous)
{
    unsigned i = previous ? previous->index + 1 : 0;

    while (i < g->count && !lunik_cpu_present(g->machine, i))
        i++;
    return i < g->count ? &g->vcpu[i] : NULL;
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

int lunik_vcpu_tid(const lunik_vcpu *v)
{
    NOT_NULL(v, 0);

    return atomic_load(&v->tid);
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

/* ---- threads -------------------------------------------------------------------------------- */

static void *vcpu_thread(void *arg)
{
    lunik_vcpu *v = arg;
    int rc, error;

    atomic_store(&v->tid, gettid());
    vcpu_thread_set(v, v->index);
    confinement_enter_vcpu();
    for (;;) {
        vcpu_offer_extint(v);
        if (!vcpu_may_enter(v)) {
            if (!vcpu_wait_at_gate(v) && vcpu_thread_ends(v))
                break;
            continue;
        }
        if (vcpu_extint_came(v)) {
            vcpu_left_guest(v);
            continue;
        }
        rc = ioctl(v->fd, KVM_RUN, 0);
        error = rc < 0 ? errno : 0;
        vcpu_note_extint(v);
        v->io_pending = false;
        vcpu_left_guest(v);
        __atomic_store_n(&v->run->immediate_exit, 0, __ATOMIC_RELAXED);
        kvm_io_vcpu_exit(v->machine);
        vcpu_handle_exit(v, rc, error);
    }
    rcu_thread_done();
    atomic_store(&v->tid, 0);
    return NULL;
}

/* Starts the thread with a signal mask that lets only the kick and faults through. */
int vcpu_start_thread(lunik_vcpu *v)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT, SIGSYS};
    sigset_t mask, old;
    char name[16] = "lunik-vcpu";
    int rc;

    sigfillset(&mask);
    sigdelset(&mask, VCPU_KICK_SIGNAL);
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
        sigdelset(&mask, faults[i]);
    pthread_sigmask(SIG_SETMASK, &mask, &old);
    pthread_mutex_lock(&v->machine->vcpus->mutex);
    rc = pthread_create(&v->thread, NULL, vcpu_thread, v);
    if (!rc) {
        v->started = true;
        pthread_setname_np(v->thread, name);
    }
    pthread_mutex_unlock(&v->machine->vcpus->mutex);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return rc;
}

/* One that is on its way out, and plugged again, goes on with the thread that it has. */
static bool vcpu_needs_thread(lunik_vcpu *v)
{
    bool started;

    pthread_mutex_lock(&v->machine->vcpus->mutex);
    started = v->started;
    pthread_mutex_unlock(&v->machine->vcpus->mutex);
    return !started;
}

int vcpus_resume(lunik_machine *m, lunik_error *err)
{
    struct vcpu_group *g = m->vcpus;
    int rc = 0;

    if (!g)
        return 0;
    for (lunik_vcpu *v = NULL; !rc && (v = vcpus_next(g, v));)
        rc = vcpu_needs_thread(v) ? vcpu_start_thread(v) : 0;
    if (rc)
        return lunik_fail_errno(err, rc, "machine '%s': can't start a vCPU thread", m->name);
    vcpus_open_gate(g);
    return 0;
}

/* ---- life cycle ----------------------------------------------------------------------------- */

int vcpu_create(lunik_vcpu *v, lunik_error *err)
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

    if (!g || g->created)
        return 0;
    if (!m->kvm->power_on) {
        rc = kvm_vm_add_irqchip(m, err);
        if (rc)
            return rc;
        gsi_show_high(m);
        msi_routes_open(m);
    }
    for (lunik_vcpu *v = NULL; !rc && (v = vcpus_next(g, v));)
        rc = v->power_on ? 0 : vcpu_create(v, err);
    if (rc)
        return rc;
    kvm_io_set_vcpu_map(m, g->vcpu[0].run);
    g->created = true;
    if (m->config.maxcpus == m->config.cpus) {
        free(g->cpuid);
        g->cpuid = NULL;
    }
    return 0;
}

int vcpus_init(lunik_machine *m, lunik_error *err)
{
    struct vcpu_group *g;

    if (!m->kvm)
        return cpuid_check(&m->config, err);
    if (m->config.maxcpus > m->kvm->max_vcpus)
        return lunik_fail(err, LUNIK_E_INVALID, "machine '%s': %s: %u is too many (want 1..%u)",
                          m->name, m->config.maxcpus > m->config.cpus ? "maxcpus" : "cpus",
                          m->config.maxcpus, m->kvm->max_vcpus);
    g = calloc(1, sizeof(*g) + m->config.maxcpus * sizeof(g->vcpu[0]));
    if (!g)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "machine '%s': out of memory", m->name);
    vcpu_gate_init(g);
    g->machine = m;
    g->count = m->config.maxcpus;
    for (unsigned i = 0; i < g->count; i++)
        g->vcpu[i] = (lunik_vcpu){.machine = m, .index = i, .fd = -1, .extint = NO_EXTINT};
    m->vcpus = g;
    return cpuid_new(&g->cpuid, m, err);
}

/* Also one that has ended: it may do so just now. */
static bool has_thread(lunik_vcpu *v)
{
    bool has;

    pthread_mutex_lock(&v->machine->vcpus->mutex);
    has = v->started || v->ended;
    pthread_mutex_unlock(&v->machine->vcpus->mutex);
    return has;
}

static void join_all(struct vcpu_group *g)
{
    vcpus_quit(g);
    lunik_unlock(g->machine->rt);
    for (unsigned i = 0; i < g->count; i++)
        if (has_thread(&g->vcpu[i]))
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
    vcpu_gate_fini(g);
    free(g->cpuid);
    free(g);
}
