/*
 * machine.c: the life cycle of machines.
 *
 * Whatever changes a machine's run state from a vCPU's thread (a reset port, power-off, a crash)
 * closes the vCPU gate at once and leaves the rest to the loop thread, because only there can it
 * wait until every vCPU is outside.
 */
#include "machine.h"

#include <stdlib.h>
#include <string.h>

#include "kvm.h"
#include "outlet.h"
#include "rcu.h"
#include "runtime.h"
#include "vcpu.h"

enum { MOST_ADDRESS_BITS = 52 }; /* that x86-64 has */

const char *lunik_state_name(lunik_run_state state)
{
    switch (state) {
#define STATE_CASE(name, lua)                                                                      \
    case LUNIK_STATE_##name:                                                                       \
        return lua;
        LUNIK_STATE_MAP(STATE_CASE)
#undef STATE_CASE
    }
    return "unknown";
}

const char *lunik_machine_name(const lunik_machine *m)
{
    return m->name;
}

lunik_runtime *lunik_machine_runtime(const lunik_machine *m)
{
    return m->rt;
}

lunik_accel lunik_machine_accel(const lunik_machine *m)
{
    return m->config.accel;
}

unsigned lunik_machine_address_bits(const lunik_machine *m)
{
    return m->kvm ? m->kvm->phys_bits : MOST_ADDRESS_BITS;
}

lunik_run_state lunik_machine_state(const lunik_machine *m)
{
    return (lunik_run_state)atomic_load_explicit(&m->state, memory_order_relaxed);
}

const lunik_machine_config *lunik_machine_config_get(const lunik_machine *m)
{
    return &m->config;
}

void lunik_machine_get_stats(const lunik_machine *m, lunik_machine_stats *out)
{
    *out = (lunik_machine_stats){0};
    kvm_memory_get_stats(m, out);
}

int lunik_machine_exit_code(const lunik_machine *m)
{
    return m->exit_code;
}

lunik_space *lunik_machine_memory(lunik_machine *m)
{
    return m->memory_space;
}

lunik_space *lunik_machine_io(lunik_machine *m)
{
    return m->io_space;
}

void lunik_machine_set_exit_cb(lunik_machine *m, lunik_exit_fn *fn, void *opaque)
{
    m->exit_fn = fn;
    m->exit_opaque = opaque;
}

void lunik_machine_set_reset_cb(lunik_machine *m, void (*fn)(void *opaque), void *opaque)
{
    m->reset_fn = fn;
    m->reset_opaque = opaque;
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

/* On a vCPU's thread, which must not wait for vCPUs: not for itself, and not for those of another
 * machine, which may wait for it. */
static bool on_vcpu(void)
{
    return lunik_vcpu_current() != NULL;
}

bool machines_in_transaction(const lunik_runtime *rt)
{
    const lunik_machine *m;

    LIST_FOREACH (m, &rt->machines, link)
        if (lunik_in_transaction(m) || lunik_in_listener(m))
            return true;
    return false;
}

/* Who waits for vCPUs lets go of the lock. */
static bool must_not_wait(const lunik_machine *m)
{
    return on_vcpu() || machines_in_transaction(m->rt);
}

void machine_want(lunik_machine *m, unsigned what)
{
    atomic_fetch_or(&m->wanted, what);
    vcpus_stop(m);
    lunik_defer(m->rt, &m->work);
}

void lunik_machine_map_broken(lunik_machine *m, const lunik_error *why)
{
    lunik_emit(m, "error", LUNIK_FIELD_STRING("message", why->message),
               LUNIK_FIELD_STRING("source", "memory"));
    if (lunik_machine_state(m) == LUNIK_STATE_RUNNING)
        machine_want(m, MACHINE_WANT_PAUSE);
}

/* Every vCPU outside, the clock and the devices stopped. Not on a vCPU's thread. */
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

/* The opposite, without the vCPUs. */
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

    if (rc == 0)
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

/* Power-on state for everything. Stopped. */
static int reset_all(lunik_machine *m, lunik_error *err)
{
    int rc = vcpus_create(m, err);

    if (rc)
        return rc;
    objects_reset(m);
    rc = boot_reset(m, err);
    if (rc == 0)
        rc = vcpus_reset(m, err);
    if (rc == 0 && m->reset_fn)
        m->reset_fn(m->reset_opaque);
    return rc;
}

int lunik_machine_start(lunik_machine *m, lunik_error *err)
{
    lunik_run_state state = lunik_machine_state(m);
    int rc;

    if (state == LUNIK_STATE_RUNNING || state == LUNIK_STATE_CLOSED)
        return lunik_fail(err, LUNIK_E_STATE, "machine '%s' can't be started: it is %s", m->name,
                          lunik_state_name(state));
    if (must_not_wait(m) && (state == LUNIK_STATE_SHUTDOWN || state == LUNIK_STATE_CRASHED))
        return lunik_fail(err, LUNIK_E_STATE, "machine '%s' can't be started again %s: it is %s",
                          m->name, on_vcpu() ? "from a vCPU's callback" : "inside a transaction",
                          lunik_state_name(state));
    if (state == LUNIK_STATE_PAUSED) {
        rc = go_on(m, err);
        if (rc == 0)
            lunik_emit_fields(m, "resumed", NULL, 0);
        return rc;
    }
    stop_running(m);
    m->exit_code = 0;
    rc = reset_all(m, err);
    if (rc == 0)
        rc = go_on(m, err);
    if (rc == 0)
        lunik_emit_fields(m, "started", NULL, 0);
    return rc;
}

int lunik_machine_pause(lunik_machine *m, lunik_error *err)
{
    lunik_run_state state = lunik_machine_state(m);

    if (state == LUNIK_STATE_PAUSED)
        return 0;
    if (state != LUNIK_STATE_RUNNING)
        return lunik_fail(err, LUNIK_E_STATE, "machine '%s' can't be paused: it is %s", m->name,
                          lunik_state_name(state));
    if (must_not_wait(m)) {
        machine_want(m, MACHINE_WANT_PAUSE);
        return 0;
    }
    stop_running(m);
    /* The guest may have shut down while we waited for its vCPUs. */
    if (lunik_machine_state(m) == LUNIK_STATE_RUNNING) {
        set_state(m, LUNIK_STATE_PAUSED);
        atomic_fetch_and(&m->wanted, ~(unsigned)MACHINE_WANT_PAUSE);
        lunik_emit_fields(m, "paused", NULL, 0);
    }
    return 0;
}

int lunik_machine_reset(lunik_machine *m, lunik_error *err)
{
    lunik_run_state state = lunik_machine_state(m);
    bool running = state == LUNIK_STATE_RUNNING;
    int rc;

    if (state == LUNIK_STATE_CLOSED)
        return lunik_fail(err, LUNIK_E_STATE, "machine '%s' can't be reset: it is closed", m->name);
    if (m->resetting)
        return 0;
    if (must_not_wait(m)) {
        machine_want(m, MACHINE_WANT_RESET);
        return 0;
    }
    m->resetting = true;
    stop_running(m);
    rc = reset_all(m, err);
    m->resetting = false;
    if (rc == 0) {
        lunik_emit_fields(m, "reset", NULL, 0);
        if (running && lunik_machine_state(m) == LUNIK_STATE_RUNNING)
            rc = go_on(m, err);
        else if (lunik_machine_state(m) != LUNIK_STATE_CREATED)
            set_state(m, LUNIK_STATE_PAUSED);
    }
    if (rc && lunik_machine_state(m) == LUNIK_STATE_RUNNING) {
        set_state(m, LUNIK_STATE_PAUSED); /* half reset: not to be run */
        lunik_emit_fields(m, "paused", NULL, 0);
    }
    return rc;
}

/* Enters a final state; the rest of the stop is the loop's where we can't wait for it. */
static void end_run(lunik_machine *m, lunik_run_state state)
{
    set_state(m, state);
    if (must_not_wait(m))
        machine_want(m, MACHINE_WANT_STOP);
    else
        stop_running(m);
}

void lunik_machine_shutdown(lunik_machine *m, const char *reason, int code)
{
    lunik_run_state state = lunik_machine_state(m);

    if (state != LUNIK_STATE_RUNNING && state != LUNIK_STATE_PAUSED)
        return;
    m->exit_code = code;
    lunik_emit(m, "shutdown", LUNIK_FIELD_STRING("reason", reason), LUNIK_FIELD_INT("code", code));
    end_run(m, LUNIK_STATE_SHUTDOWN);
}

/* What happened, for a reader. */
static void describe_exit(const lunik_vcpu_exit *info, char *text, size_t size)
{
    if (!strcmp(info->reason, "run-error"))
        snprintf(text, size, "run-error: %s", uv_strerror(-(int)info->detail));
    else if (!strcmp(info->reason, "unknown"))
        snprintf(text, size, "unknown: KVM exit reason %u", info->kvm_reason);
    else if (!strcmp(info->reason, "fail-entry"))
        snprintf(text, size, "fail-entry: hardware reason 0x%llx",
                 (unsigned long long)info->detail);
    else if (!strcmp(info->reason, "internal-error"))
        snprintf(text, size, "internal-error: suberror %llu", (unsigned long long)info->detail);
    else if (!strcmp(info->reason, "shutdown"))
        snprintf(text, size, "shutdown: a triple fault (no handler took an exception)");
    else
        snprintf(text, size, "%s", info->reason);
}

void machine_vcpu_crashed(lunik_vcpu *v, const lunik_vcpu_exit *info)
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

void lunik_machine_guest_reset(lunik_machine *m)
{
    lunik_error err;

    if (lunik_machine_reset(m, &err) == 0)
        return;
    lunik_emit(m, "error", LUNIK_FIELD_STRING("message", err.message),
               LUNIK_FIELD_STRING("source", "reset"));
    lunik_machine_shutdown(m, "reset-failed", 1);
}

/* Carries out on the loop thread what vCPU threads asked for. */
static void do_wanted(lunik_task *task)
{
    lunik_machine *m = lunik_container_of(task, lunik_machine, work);
    unsigned wanted = atomic_exchange(&m->wanted, 0);
    lunik_run_state state;

    if (wanted & MACHINE_WANT_CLOSE) {
        lunik_machine_close(m);
        return;
    }
    state = lunik_machine_state(m);
    if (state != LUNIK_STATE_RUNNING)
        stop_running(m);
    if (state == LUNIK_STATE_SHUTDOWN || state == LUNIK_STATE_CRASHED)
        return;
    if (wanted & MACHINE_WANT_RESET)
        lunik_machine_guest_reset(m);
    if (wanted & MACHINE_WANT_PAUSE)
        lunik_machine_pause(m, NULL);
}

int lunik_machine_powerdown(lunik_machine *m, lunik_error *err)
{
    for (lunik_object *o = lunik_object_next(m, NULL); o; o = lunik_object_next(m, o)) {
        const lunik_power_button_ops *ops = lunik_object_iface(o, "power-button");

        if (ops)
            return ops->press(o, err);
    }
    return lunik_fail(err, LUNIK_E_UNSUPPORTED, "machine '%s' has no power button", m->name);
}

/* ---- making and closing --------------------------------------------------------------------- */

void lunik_machine_ref(lunik_machine *m)
{
    atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
}

void lunik_machine_unref(lunik_machine *m)
{
    if (atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) != 1)
        return;
    config_free(&m->config);
    free(m);
}

/* Undoes build() as far as it got. */
static void take_apart(lunik_machine *m)
{
    vcpus_fini(m);
    objects_fini(m);
    events_deliver_last(m);
    data_release(&m->data);
    boot_fini(m);
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
    if (rc == 0)
        rc = clock_init(m, err);
    if (rc == 0)
        rc = gsi_init(m, err);
    if (rc == 0)
        rc = memory_init(m, err);
    if (rc == 0)
        rc = objects_init(m, err);
    if (rc == 0)
        rc = boot_init(m, err);
    if (rc == 0)
        rc = vcpus_init(m, err);
    return rc;
}

int lunik_machine_new(lunik_runtime *rt, const lunik_machine_config *config, lunik_machine **out,
                      lunik_error *err)
{
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
    m->work.fn = do_wanted;
    TAILQ_INIT(&m->outlets);
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

void lunik_machine_close(lunik_machine *m)
{
    if (lunik_machine_state(m) == LUNIK_STATE_CLOSED)
        return;
    if (on_vcpu()) {
        machine_want(m, MACHINE_WANT_CLOSE);
        return;
    }
    stop_running(m);
    m->closing = true;
    if (outlets_wait(m, NULL))
        stop_running(m); /* it may have been started meanwhile */
    /* Somebody else may have closed it while we waited for the vCPUs. */
    if (lunik_machine_state(m) == LUNIK_STATE_CLOSED)
        return;
    set_state(m, LUNIK_STATE_CLOSED);
    LIST_REMOVE(m, link);
    take_apart(m);
    m->event_fn = NULL;
    m->exit_fn = NULL;
    m->reset_fn = NULL;
    lunik_machine_unref(m);
}
