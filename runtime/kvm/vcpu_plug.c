/*
 * vcpu_plug.c: vCPUs that are plugged and unplugged while their machine exists.
 *
 * DESIGN. KVM can't destroy a vCPU: one that is unplugged keeps its descriptor, and is used again
 * when its index is. Unplugging waits for nothing, as it may be the vCPU's own thread that carries
 * out the guest's eject. The thread is kicked; it completes the access that it has in flight, puts
 * the vCPU into its state after power-on, in which the local APIC takes no interrupts, and ends. A
 * vCPU that is plugged before its thread has got so far goes on with that thread. Its state is set
 * once more when it is plugged: a guest may have sent INIT and SIPI to all local APICs meanwhile.
 */
#include <errno.h>
#include <sys/ioctl.h>

#include "core/misuse.h"
#include "kvm.h"
#include "vcpu_internal.h"

/* ---- the thread ----------------------------------------------------------------------------- */

bool vcpu_thread_ends(lunik_vcpu *v)
{
    struct vcpu_group *g = v->machine->vcpus;
    bool again;
    int rc;

    if (!atomic_load(&v->leaving))
        return true; /* the machine ends */
    rc = vcpu_restore_power_on(v, NULL);
    pthread_mutex_lock(&g->mutex);
    again = v->again;
    v->again = false;
    v->started = again;
    v->ended = !again;
    atomic_store(&v->leaving, false);
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&g->mutex);
    if (again && rc)
        vcpu_run_failed(v, EIO);
    return !again;
}

/* Has a thread that is on its way out go on, and returns true; joins one that has ended. */
static bool thread_goes_on(lunik_vcpu *v)
{
    struct vcpu_group *g = v->machine->vcpus;
    bool ended, leaving;

    pthread_mutex_lock(&g->mutex);
    ended = v->ended;
    leaving = atomic_load(&v->leaving);
    v->ended = false;
    v->again = leaving;
    pthread_mutex_unlock(&g->mutex);
    if (ended)
        pthread_join(v->thread, NULL); /* it has nothing left to do */
    return leaving;
}

static bool is_paused(struct vcpu_group *g)
{
    bool paused;

    pthread_mutex_lock(&g->mutex);
    paused = g->paused;
    pthread_mutex_unlock(&g->mutex);
    return paused;
}

/* ---- vCPUs ---------------------------------------------------------------------------------- */

/* KVM finds the CPU that an INIT or SIPI is for in a map, which it makes anew when the state of a
 * local APIC is set, but not when a vCPU is created: the state is set in either case. */
static int make_new(lunik_vcpu *v, lunik_error *err)
{
    struct kvm_guest_debug none = {0};
    int rc = v->power_on ? 0 : vcpu_create(v, err);

    if (rc)
        return rc;
    ioctl(v->fd, KVM_SET_GUEST_DEBUG, &none);
    return vcpu_restore_power_on(v, err);
}

static int start(lunik_vcpu *v, lunik_error *err)
{
    int rc = is_paused(v->machine->vcpus) ? 0 : vcpu_start_thread(v);

    return rc ? lunik_fail_errno(err, rc, "machine '%s': can't start the thread of vCPU %u",
                                 v->machine->name, v->index)
              : 0;
}

static int plug_vcpu(lunik_vcpu *v, lunik_error *err)
{
    lunik_machine *m = v->machine;
    bool goes_on;
    int rc;

    vcpus_hold(m);
    goes_on = thread_goes_on(v);
    rc = goes_on ? 0 : make_new(v, err);
    if (!rc)
        rc = vcpu_clocks_join(v, err);
    vcpus_release(m);
    if (!rc && !goes_on)
        rc = start(v, err);
    if (rc && goes_on)
        vcpu_leave(v);
    return rc;
}

static int check_index(const lunik_machine *m, unsigned index, lunik_error *err)
{
    if (lunik_machine_state(m) == LUNIK_STATE_CLOSED)
        return machine_fail_closed(m, err);
    if (index >= m->config.maxcpus)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "machine '%s': there can be no CPU %u (want 0 to %u)", m->name, index,
                          m->config.maxcpus - 1);
    if (lunik_cpu_present(m, index))
        return lunik_fail(err, LUNIK_E_EXISTS, "machine '%s': CPU %u is plugged already", m->name,
                          index);
    return 0;
}

int lunik_cpu_plug(lunik_machine *m, unsigned index, lunik_error *err)
{
    NOT_NULL_OR_FAIL(m, err);

    int rc = check_index(m, index, err);

    if (!rc && m->vcpus && m->vcpus->created)
        rc = plug_vcpu(&m->vcpus->vcpu[index], err);
    if (!rc)
        cpus_set(m, index, true);
    return rc;
}

void lunik_cpu_unplug(lunik_machine *m, unsigned index)
{
    NOT_NULL(m);
    REQUIRE(index > 0, "a machine keeps its first CPU");

    if (!lunik_cpu_present(m, index))
        return;
    cpus_set(m, index, false);
    if (m->vcpus)
        vcpu_leave(&m->vcpus->vcpu[index]);
}
