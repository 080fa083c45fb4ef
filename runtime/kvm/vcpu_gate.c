/*
 * vcpu_gate.c: the gate that every vCPU passes before it enters the guest.
 *
 * To keep vCPUs outside, a thread closes the gate, kicks those inside with immediate_exit and a
 * signal, and waits until none is inside. A vCPU that handles an exit is outside: the closer does
 * not wait for the exit to end, so it may hold the machine lock that the exit needs. The gate is
 * closed for a hold, for the moment in which memslots are swapped, or for a pause, which lasts and
 * lets accesses in flight complete.
 */
#include <signal.h>
#include <sys/ioctl.h>

#include "core/fence.h"
#include "core/runtime.h"
#include "kvm.h"
#include "vcpu_internal.h"

static pthread_once_t kick_once = PTHREAD_ONCE_INIT;
static _Atomic(lunik_kick_fn *) kick_fn;

/* ---- the kick signal ------------------------------------------------------------------------ */

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
    sigaction(VCPU_KICK_SIGNAL, &action, NULL);
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
        pthread_kill(owner, VCPU_KICK_SIGNAL);
}

/* ---- the gate -------------------------------------------------------------------------------- */

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

/* The gate of one vCPU, by the same protocol. */
static bool is_leaving(const lunik_vcpu *v)
{
    return atomic_load_explicit(&v->leaving, FENCED_LOAD);
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
    pthread_kill(v->thread, VCPU_KICK_SIGNAL);
}

void vcpu_kick(lunik_vcpu *v)
{
    struct vcpu_group *g = v->machine->vcpus;

    pthread_mutex_lock(&g->mutex);
    kick(v);
    pthread_mutex_unlock(&g->mutex);
}

static void kick_all(struct vcpu_group *g)
{
    for (unsigned i = 0; i < g->count; i++)
        kick(&g->vcpu[i]);
}

void vcpu_left_guest(lunik_vcpu *v)
{
    struct vcpu_group *g = v->machine->vcpus;

    set_inside(v, false);
    if (!gate_closed(g))
        return;
    pthread_mutex_lock(&g->mutex);
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&g->mutex);
}

bool vcpu_may_enter(lunik_vcpu *v)
{
    set_inside(v, true);
    if (!gate_closed(v->machine->vcpus) && !is_leaving(v))
        return true;
    vcpu_left_guest(v);
    return false;
}

/* ---- the vCPU's side ------------------------------------------------------------------------- */

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
        vcpu_left_guest(v);
        kvm_io_vcpu_exit(v->machine);
        if (!rc)
            vcpu_handle_exit(v, 0, 0);
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

bool vcpu_wait_at_gate(lunik_vcpu *v)
{
    struct vcpu_group *g = v->machine->vcpus;
    bool quit;

    pthread_mutex_lock(&g->mutex);
    while ((gate_closed(g) || is_leaving(v)) && !g->quit) {
        if (is_leaving(v) && !v->io_pending)
            break;
        if ((g->paused || is_leaving(v)) && !g->holds && v->io_pending) {
            pthread_mutex_unlock(&g->mutex);
            complete_access(v);
            pthread_mutex_lock(&g->mutex);
            continue;
        }
        park(v, !v->io_pending);
        pthread_cond_wait(&g->changed, &g->mutex);
    }
    v->parked = false;
    quit = g->quit || is_leaving(v);
    pthread_mutex_unlock(&g->mutex);
    return !quit;
}

/* ---- closing and opening --------------------------------------------------------------------- */

static bool any_inside(const struct vcpu_group *g)
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
    while (any_inside(g))
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

void vcpus_open_gate(struct vcpu_group *g)
{
    pthread_mutex_lock(&g->mutex);
    g->paused = false;
    update_gate(g);
    for (unsigned i = 0; i < g->count; i++)
        g->vcpu[i].parked = false;
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&g->mutex);
}

void vcpu_leave(lunik_vcpu *v)
{
    struct vcpu_group *g = v->machine->vcpus;

    pthread_mutex_lock(&g->mutex);
    v->again = false;
    if (v->started) {
        atomic_store(&v->leaving, true);
        fence_heavy();
        kick(v);
        pthread_cond_broadcast(&g->changed);
    }
    pthread_mutex_unlock(&g->mutex);
}

void vcpus_quit(struct vcpu_group *g)
{
    pthread_mutex_lock(&g->mutex);
    g->quit = true;
    update_gate(g);
    kick_all(g);
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&g->mutex);
}

/* ---- life cycle ----------------------------------------------------------------------------- */

void vcpu_gate_init(struct vcpu_group *g)
{
    pthread_once(&kick_once, install_kick_handler);
    fence_init();
    pthread_mutex_init(&g->mutex, NULL);
    pthread_cond_init(&g->changed, NULL);
    g->paused = true;
    update_gate(g);
}

void vcpu_gate_fini(struct vcpu_group *g)
{
    pthread_cond_destroy(&g->changed);
    pthread_mutex_destroy(&g->mutex);
}
