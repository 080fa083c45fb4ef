/*
 * machine.c: the life cycle of machines.
 *
 * A change of the run state on a vCPU's thread (a reset port, power-off, a crash) closes the vCPU
 * gate at once and leaves the rest to the loop thread: a vCPU's thread can't wait until every vCPU
 * has left the guest.
 */
#include "core/machine.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "kvm/kvm.h"
#include "core/iothread.h"
#include "core/outlet.h"
#include "core/rcu.h"
#include "core/runtime.h"
#include "core/misuse.h"
#include "kvm/vcpu.h"
#include "boot/boot.h"
#include "memory/memory.h"
#include "object/object.h"

enum { MOST_ADDRESS_BITS = 52 }; /* that x86-64 has */

unsigned lunik_machine_address_bits(const lunik_machine *m)
{
    NOT_NULL(m, 0);

    return m->kvm ? m->kvm->phys_bits : MOST_ADDRESS_BITS;
}

void lunik_machine_get_stats(const lunik_machine *m, lunik_machine_stats *out)
{
    NOT_NULL(m);
    NOT_NULL(out);

    *out = (lunik_machine_stats){0};
    kvm_memory_get_stats(m, out);
}

/* ---- run states ----------------------------------------------------------------------------- */

static void set_state(lunik_machine *m, lunik_run_state state)
{
    if (lunik_machine_state(m) == LUNIK_STATE_RUNNING)
        m->rt->running--;
    if (state == LUNIK_STATE_RUNNING)
        m->rt->running++;
    atomic_store_explicit(&m->state, (int)state, memory_order_relaxed);
}

/* True on a vCPU's thread, which must not wait for vCPUs: neither for itself nor for those of
 * another machine, which may be waiting for it. */
static bool on_vcpu(void)
{
    return lunik_vcpu_current() != NULL;
}

/* Waiting for vCPUs releases the machine lock, which is not allowed here. */
static bool must_not_wait(const lunik_machine *m)
{
    return on_vcpu() || machines_in_transaction(m->rt);
}

/* Requests something that do_wanted() carries out on the loop thread. Does nothing to a closed
 * machine, which its task could outlive. */
static void machine_want(lunik_machine *m, unsigned what)
{
    if (lunik_machine_state(m) == LUNIK_STATE_CLOSED)
        return;
    atomic_fetch_or(&m->wanted, what);
    vcpus_stop(m);
    lunik_defer(m->rt, &m->work);
}

void lunik_machine_map_broken(lunik_machine *m, const lunik_error *why)
{
    NOT_NULL(m);
    NOT_NULL(why);

    lunik_emit(m, "error", LUNIK_FIELD_STRING("message", why->message),
               LUNIK_FIELD_STRING("source", "memory"));
    if (lunik_machine_state(m) == LUNIK_STATE_RUNNING)
        machine_want(m, MACHINE_WANT_PAUSE);
}

/* Stops all clocks of the guest together, the machine's own and KVM's; clocks_start() lets them go
 * on from there. In a turn, with the vCPUs stopped. */
static void clocks_stop(lunik_machine *m)
{
    clock_stop(m);
    if (m->kvm)
        kvm_clocks_stop(m);
}

/* On failure the clocks stand still as before. */
static int clocks_start(lunik_machine *m, lunik_error *err)
{
    int rc = m->kvm ? kvm_clocks_start(m, err) : 0;

    if (!rc)
        clock_start(m);
    return rc;
}

/* Waits until every vCPU has left the guest, then stops the clocks and the devices. In a turn, not
 * on a vCPU's thread. Releases the lock while it waits; the guest may end the run meanwhile. */
static void stop_running(lunik_machine *m)
{
    vcpus_stop(m);
    vcpus_wait_stopped(m);
    if (!m->devices_running)
        return;
    m->devices_running = false;
    clocks_stop(m);
    objects_run_state(m, false);
}

/* Starts the devices and the clocks, not the vCPUs. */
static int start_devices(lunik_machine *m, lunik_error *err)
{
    int rc;

    if (m->devices_running)
        return 0;
    m->devices_running = true;
    objects_run_state(m, true);
    rc = clocks_start(m, err);
    if (rc) {
        objects_run_state(m, false);
        m->devices_running = false;
    }
    return rc;
}

static int go_on(lunik_machine *m, lunik_error *err)
{
    lunik_run_state before = lunik_machine_state(m);
    int rc = kvm_memory_repair(m, err);

    if (!rc)
        rc = start_devices(m, err);
    if (rc)
        return rc;
    set_state(m, LUNIK_STATE_RUNNING);
    rc = vcpus_resume(m, err);
    if (rc) {
        set_state(m, before);
        stop_running(m);
    }
    return rc;
}

/* Puts everything into its power-on state. The machine is stopped. */
static int reset_all(lunik_machine *m, lunik_error *err)
{
    int rc = vcpus_create(m, err);

    if (rc)
        return rc;
    m->resetting = true;
    objects_reset(m);
    rc = boot_reset(m, err);
    if (!rc)
        rc = vcpus_reset(m, err);
    if (!rc)
        reset_report(m);
    m->resetting = false;
    return rc;
}

/* Returns NULL if the calling thread can start a machine here, else words for where it is. */
static const char *no_start_here(const lunik_machine *m, lunik_run_state state)
{
    if (turn_mine(m))
        return m->resetting ? "while it is being reset" : "while it is being stopped or started";
    if (machines_in_transaction(m->rt))
        return "inside a transaction or by a listener";
    if (on_vcpu() && (state == LUNIK_STATE_SHUTDOWN || state == LUNIK_STATE_CRASHED))
        return "from a vCPU's callback"; /* where nothing can wait for the end of the last run */
    return NULL;
}

static int check_start(const lunik_machine *m, lunik_error *err)
{
    lunik_run_state state = lunik_machine_state(m);
    const char *where;

    if (state == LUNIK_STATE_RUNNING || state == LUNIK_STATE_CLOSED)
        return lunik_fail(err, LUNIK_E_STATE, "machine '%s' can't be started: it is %s", m->name,
                          lunik_state_name(state));
    where = no_start_here(m, state);
    if (where)
        return lunik_fail(err, LUNIK_E_STATE, "machine '%s' can't be started %s: it is %s", m->name,
                          where, lunik_state_name(state));
    return 0;
}

static int start_now(lunik_machine *m, lunik_error *err)
{
    bool resume = lunik_machine_state(m) == LUNIK_STATE_PAUSED;
    int rc = 0;

    if (!resume) {
        stop_running(m);
        m->exit_code = 0;
        rc = reset_all(m, err);
    }
    if (!rc)
        rc = go_on(m, err);
    if (!rc && resume)
        lunik_emit_fields(m, "resumed", NULL, 0);
    else if (!rc)
        lunik_emit_fields(m, "started", NULL, 0);
    return rc;
}

int lunik_machine_start(lunik_machine *m, lunik_error *err)
{
    NOT_NULL_OR_FAIL(m, err);
    if (lunik_machine_state(m) != LUNIK_STATE_CLOSED)
        REQUIRE_OR_FAIL(lunik_locked(m->rt), UNLOCKED, err);

    int rc = check_start(m, err);

    if (!rc)
        rc = turn_take(m, err);
    if (rc)
        return rc;
    if (lunik_machine_state(m) == LUNIK_STATE_RUNNING) /* by another thread's turn */
        rc =
            lunik_fail(err, LUNIK_E_STATE, "machine '%s' can't be started: it is running", m->name);
    else
        rc = start_now(m, err);
    turn_end(m);
    return rc;
}

static int check_pause(const lunik_machine *m, lunik_error *err)
{
    lunik_run_state state = lunik_machine_state(m);

    if (state == LUNIK_STATE_RUNNING || state == LUNIK_STATE_PAUSED)
        return 0;
    return lunik_fail(err, LUNIK_E_STATE, "machine '%s' can't be paused: it is %s", m->name,
                      lunik_state_name(state));
}

/* In a turn. */
static int pause_now(lunik_machine *m, lunik_error *err)
{
    int rc = check_pause(m, err);

    if (rc || lunik_machine_state(m) == LUNIK_STATE_PAUSED)
        return rc;
    stop_running(m);
    /* The guest may have shut down while stop_running() waited for its vCPUs. */
    if (lunik_machine_state(m) == LUNIK_STATE_RUNNING) {
        set_state(m, LUNIK_STATE_PAUSED);
        atomic_fetch_and(&m->wanted, ~(unsigned)MACHINE_WANT_PAUSE);
        lunik_emit_fields(m, "paused", NULL, 0);
    }
    return 0;
}

int lunik_machine_pause(lunik_machine *m, lunik_error *err)
{
    NOT_NULL_OR_FAIL(m, err);
    if (lunik_machine_state(m) != LUNIK_STATE_CLOSED)
        REQUIRE_OR_FAIL(lunik_locked(m->rt), UNLOCKED, err);

    int rc = check_pause(m, err);

    if (rc || lunik_machine_state(m) == LUNIK_STATE_PAUSED)
        return rc;
    if (must_not_wait(m)) {
        machine_want(m, MACHINE_WANT_PAUSE);
        return 0;
    }
    rc = turn_take(m, err);
    if (rc)
        return rc;
    rc = pause_now(m, err);
    turn_end(m);
    return rc;
}

/* In a turn. If a hook pauses the machine or shuts it down, that state stays. */
static int reset_now(lunik_machine *m, lunik_error *err)
{
    lunik_run_state before;
    int rc;

    stop_running(m);
    before = lunik_machine_state(m);
    rc = reset_all(m, err);
    if (!rc) {
        lunik_emit_fields(m, "reset", NULL, 0);
        if (before == LUNIK_STATE_RUNNING && lunik_machine_state(m) == before)
            rc = go_on(m, err);
        else if (before != LUNIK_STATE_CREATED && lunik_machine_state(m) == before)
            set_state(m, LUNIK_STATE_PAUSED);
    }
    if (rc && lunik_machine_state(m) == LUNIK_STATE_RUNNING) {
        set_state(m, LUNIK_STATE_PAUSED); /* half reset: it must not run */
        lunik_emit_fields(m, "paused", NULL, 0);
    }
    return rc;
}

int lunik_machine_reset(lunik_machine *m, lunik_error *err)
{
    NOT_NULL_OR_FAIL(m, err);
    if (lunik_machine_state(m) != LUNIK_STATE_CLOSED)
        REQUIRE_OR_FAIL(lunik_locked(m->rt), UNLOCKED, err);

    int rc;

    if (lunik_machine_state(m) == LUNIK_STATE_CLOSED)
        return lunik_fail(err, LUNIK_E_STATE, "machine '%s' can't be reset: it is closed", m->name);
    if (turn_mine(m) && m->resetting)
        return 0;
    if (must_not_wait(m) || turn_mine(m)) {
        machine_want(m, MACHINE_WANT_RESET);
        return 0;
    }
    rc = turn_take(m, err);
    if (rc)
        return rc;
    rc = reset_now(m, err);
    turn_end(m);
    return rc;
}

/* Enters a final state. Where this thread can't wait for the vCPUs, the loop thread stops the
 * machine. */
static void end_run(lunik_machine *m, lunik_run_state state)
{
    set_state(m, state);
    if (must_not_wait(m) || turn_take(m, NULL)) {
        machine_want(m, MACHINE_WANT_STOP);
        return;
    }
    if (lunik_machine_state(m) == state)
        stop_running(m);
    turn_end(m);
}

void lunik_machine_shutdown(lunik_machine *m, const char *reason, int code)
{
    NOT_NULL(m);

    lunik_run_state state = lunik_machine_state(m);

    if (state != LUNIK_STATE_RUNNING && state != LUNIK_STATE_PAUSED)
        return;
    REQUIRE(lunik_locked(m->rt), UNLOCKED);
    m->exit_code = code;
    lunik_emit(m, "shutdown", LUNIK_FIELD_STRING("reason", reason ? reason : "host-quit"),
               LUNIK_FIELD_INT("code", code));
    end_run(m, LUNIK_STATE_SHUTDOWN);
}

/* Writes what happened in words for people. */
static void describe_exit(const lunik_vcpu_exit *info, char *text, size_t size)
{
    if (!strcmp(info->reason, "run-error"))
        snprintf(text, size, "run-error: %s", uv_strerror(-(int)info->detail));
    else if (!strcmp(info->reason, "unknown"))
        snprintf(text, size, "unknown: KVM exit reason %u", info->kvm_reason);
    else if (!strcmp(info->reason, "fail-entry"))
        snprintf(text, size, "fail-entry: hardware reason 0x%" PRIx64, info->detail);
    else if (!strcmp(info->reason, "internal-error"))
        snprintf(text, size, "internal-error: suberror %" PRIu64, info->detail);
    else if (!strcmp(info->reason, "shutdown"))
        snprintf(text, size, "shutdown: a triple fault (no handler took an exception)");
    else
        snprintf(text, size, "%s", info->reason);
}

static void vcpu_crashed(lunik_vcpu *v, const lunik_vcpu_exit *info)
{
    lunik_machine *m = lunik_vcpu_machine(v);
    char dump[4096] = "", message[96];

    if (lunik_machine_state(m) != LUNIK_STATE_RUNNING)
        return;
    describe_exit(info, message, sizeof(message));
    lunik_vcpu_dump(v, dump, sizeof(dump));
    lunik_emit(m, "crashed", LUNIK_FIELD_UINT("vcpu", lunik_vcpu_index(v)),
               LUNIK_FIELD_STRING("reason", info->reason), LUNIK_FIELD_UINT("rip", info->rip),
               LUNIK_FIELD_UINT("detail", info->detail), LUNIK_FIELD_STRING("message", message),
               LUNIK_FIELD_STRING("dump", dump));
    end_run(m, LUNIK_STATE_CRASHED);
}

static void reset_failed(lunik_machine *m, const lunik_error *why)
{
    if (lunik_machine_state(m) == LUNIK_STATE_CLOSED)
        return;
    lunik_emit(m, "error", LUNIK_FIELD_STRING("message", why->message),
               LUNIK_FIELD_STRING("source", "reset"));
    lunik_machine_shutdown(m, "reset-failed", 1);
}

void lunik_machine_guest_reset(lunik_machine *m)
{
    NOT_NULL(m);

    lunik_error err;

    if (lunik_machine_reset(m, &err))
        reset_failed(m, &err);
}

static void ask_pause(lunik_machine *m)
{
    machine_want(m, MACHINE_WANT_PAUSE);
}

static const struct machine_requests requests = {
    .map_broken = lunik_machine_map_broken,
    .vcpu_crashed = vcpu_crashed,
    .guest_reset = lunik_machine_guest_reset,
    .shutdown = lunik_machine_shutdown,
    .pause = ask_pause,
};

static void close_now(lunik_machine *m);

/* Carries out the requests on the loop thread. In a turn. */
static void carry_out(lunik_machine *m, unsigned wanted)
{
    lunik_run_state state = lunik_machine_state(m);
    lunik_error err;

    if (wanted & MACHINE_WANT_CLOSE) {
        close_now(m);
        return;
    }
    if (state != LUNIK_STATE_RUNNING)
        stop_running(m);
    if (state == LUNIK_STATE_SHUTDOWN || state == LUNIK_STATE_CRASHED)
        return;
    if (wanted & MACHINE_WANT_RESET && reset_now(m, &err))
        reset_failed(m, &err);
    if (wanted & MACHINE_WANT_PAUSE)
        pause_now(m, NULL);
}

static void do_wanted(lunik_task *task)
{
    lunik_machine *m = lunik_container_of(task, lunik_machine, work);

    if (turn_take(m, NULL))
        return;
    carry_out(m, atomic_exchange(&m->wanted, 0));
    turn_end(m);
}

int lunik_machine_powerdown(lunik_machine *m, lunik_error *err)
{
    NOT_NULL_OR_FAIL(m, err);
    if (lunik_machine_state(m) == LUNIK_STATE_CLOSED)
        return machine_fail_closed(m, err);

    for (lunik_object *o = lunik_object_next(m, NULL); o; o = lunik_object_next(m, o)) {
        const lunik_power_button_ops *ops = lunik_power_button_iface(o);

        if (ops)
            return ops->press(o, err);
    }
    return lunik_fail(err, LUNIK_E_UNSUPPORTED, "machine '%s' has no power button", m->name);
}

/* ---- making and closing --------------------------------------------------------------------- */

/* Undoes build() as far as it got. */
static void take_apart(lunik_machine *m)
{
    vcpus_fini(m);
    objects_fini(m);
    events_deliver_last(m);
    data_release(&m->data);
    boot_fini(m);
    memory_end(m);
    if (m->kvm)
        kvm_map_fini(m);
    memory_fini(m);
    gsi_fini(m);
    lunik_defer_cancel(m->rt, &m->work);
    clock_fini(m);
    kvm_vm_free(m->kvm);
    m->kvm = NULL;
    m->memory_space = m->io_space = NULL;
}

static int build(lunik_machine *m, lunik_error *err)
{
    int rc = 0;

    if (m->config.accel == LUNIK_ACCEL_KVM)
        rc = kvm_vm_new(&m->kvm, &m->config, err);
    if (!rc)
        rc = clock_init(m, err);
    if (!rc)
        rc = gsi_init(m, err);
    if (!rc)
        rc = memory_init(m, err);
    if (!rc && m->kvm)
        rc = kvm_map_init(m, err);
    if (!rc)
        rc = objects_init(m, err);
    if (!rc)
        rc = boot_init(m, err);
    if (!rc)
        rc = vcpus_init(m, err);
    return rc;
}

int lunik_machine_new(lunik_runtime *rt, const lunik_machine_config *config, lunik_machine **out,
                      lunik_error *err)
{
    NOT_NULL_OR_FAIL(rt, err);
    NOT_NULL_OR_FAIL(config, err);
    NOT_NULL_OR_FAIL(out, err);

    lunik_machine *m = calloc(1, sizeof(*m));
    int rc;

    if (!m)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "machine: out of memory");
    rc = config_copy(&m->config, config, err);
    if (rc) {
        free(m);
        return rc;
    }
    m->rt = rt;
    m->name = m->config.name;
    atomic_init(&m->refs, 1);
    turn_init(&m->turn);
    m->requests = &requests;
    m->work.fn = do_wanted;
    TAILQ_INIT(&m->outlets);
    subs_init(m);
    rc = build(m, err);
    if (rc) {
        set_state(m, LUNIK_STATE_CLOSED);
        take_apart(m);
        lunik_machine_unref(m);
        return rc;
    }
    LIST_INSERT_HEAD(&rt->machines, m, link);
    *out = m;
    return 0;
}

/* In a turn. The machine stays in the runtime's list to the end, so that the runtime is not freed
 * while the lock is released. */
static void close_now(lunik_machine *m)
{
    stop_running(m);
    m->closing = true;
    outlets_wait(m, NULL);
    iothreads_end(m);
    set_state(m, LUNIK_STATE_CLOSED);
    take_apart(m);
    subs_end(m);
    LIST_REMOVE(m, link);
    lunik_machine_unref(m);
}

void lunik_machine_close(lunik_machine *m)
{
    NOT_NULL(m);
    if (lunik_machine_state(m) == LUNIK_STATE_CLOSED && (turn_mine(m) || !m->turn.depth))
        return; /* it may have outlived its runtime */
    REQUIRE(lunik_locked(m->rt), UNLOCKED);

    while (!on_vcpu() && lunik_in_transaction(m) && !lunik_in_listener(m))
        lunik_transaction_abort(m);
    if (must_not_wait(m) || turn_mine(m) || subs_called_here(m) || iothreads_called_here()) {
        machine_want(m, MACHINE_WANT_CLOSE);
        return;
    }
    if (turn_take(m, NULL)) {
        machine_want(m, MACHINE_WANT_CLOSE);
        return;
    }
    close_now(m);
    turn_end(m);
}
