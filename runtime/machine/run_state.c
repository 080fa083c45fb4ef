/*
 * run_state.c: a machine starts, pauses, is reset and wakes up, once its vCPUs and devices are at
 * rest. All in a turn; request.c brings the machine to rest before it calls what is here.
 */
#include "run_state.h"

#include "boot/boot.h"
#include "core/runtime.h"
#include "core/trace.h"
#include "kvm/kvm.h"
#include "kvm/vcpu.h"
#include "object/object.h"

bool run_is_final(const lunik_machine *m)
{
    lunik_run_state state = lunik_machine_state(m);

    return state == LUNIK_STATE_SHUTDOWN || state == LUNIK_STATE_CRASHED;
}

bool run_is_on(const lunik_machine *m)
{
    lunik_run_state state = lunik_machine_state(m);

    return state == LUNIK_STATE_RUNNING || state == LUNIK_STATE_SUSPENDED;
}

void run_set_state(lunik_machine *m, lunik_run_state state)
{
    m->rt->running -= run_is_on(m);
    m->rt->running += state == LUNIK_STATE_RUNNING || state == LUNIK_STATE_SUSPENDED;
    atomic_store_explicit(&m->state, (int)state, memory_order_relaxed);
}

/* ---- vCPUs and devices ---------------------------------------------------------------------- */

bool run_come_to_rest(lunik_machine *m)
{
    vcpus_stop(m);
    vcpus_wait_stopped(m);
    if (!m->held) {
        m->held = true;
        objects_drain(m);
    }
    return objects_drained(m);
}

void run_leave_rest(lunik_machine *m)
{
    if (!m->held)
        return;
    m->held = false;
    objects_undrain(m);
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

void run_stop_devices(lunik_machine *m)
{
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

int run_go_on(lunik_machine *m, lunik_error *err)
{
    lunik_run_state before = lunik_machine_state(m);
    int rc = kvm_memory_repair(m, err);

    if (!rc)
        rc = start_devices(m, err);
    if (rc)
        return rc;
    if (m->asleep) {
        sleep_go_on(m);
        run_leave_rest(m);
        return 0;
    }
    run_set_state(m, LUNIK_STATE_RUNNING);
    rc = vcpus_resume(m, err);
    if (rc) {
        run_set_state(m, before);
        vcpus_stop(m);
        vcpus_wait_stopped(m);
        run_stop_devices(m);
        return rc;
    }
    run_leave_rest(m);
    return 0;
}

/* ---- states ---------------------------------------------------------------------------------- */

/* One part of a start or reset, as a step. */
static int part(lunik_machine *m, const char *kind, int (*fn)(lunik_machine *, lunik_error *),
                lunik_error *err)
{
    lunik_span span;
    int rc;

    TRACE_BEGIN(m, &span, .kind = kind);
    rc = fn(m, err);
    trace_finish(&span, rc, err);
    return rc;
}

/* Puts everything into its power-on state, except the memory of a machine that wakes up. The
 * machine is stopped. */
static int reset_all(lunik_machine *m, lunik_error *err)
{
    int rc = part(m, "vcpus_create", vcpus_create, err);

    if (rc)
        return rc;
    m->resetting = true;
    m->asleep = false;
    objects_reset(m);
    rc = part(m, "boot_reset", boot_reset, err);
    if (!rc)
        rc = part(m, "vcpus_reset", vcpus_reset, err);
    if (!rc && m->waking)
        sleep_report_woken(m);
    else if (!rc)
        reset_report(m);
    m->resetting = false;
    return rc;
}

static int start(lunik_machine *m, bool resume, lunik_error *err)
{
    int rc = 0;

    if (!resume) {
        run_stop_devices(m);
        m->exit_code = 0;
        rc = reset_all(m, err);
    }
    if (!rc)
        rc = part(m, "go_on", run_go_on, err);
    if (!rc && resume)
        lunik_emit_fields(m, "resumed", NULL, 0);
    else if (!rc)
        lunik_emit_fields(m, "started", NULL, 0);
    return rc;
}

int run_start(lunik_machine *m, lunik_error *err)
{
    bool resume = lunik_machine_state(m) == LUNIK_STATE_PAUSED;
    lunik_span span;
    int rc;

    TRACE_BEGIN(m, &span, .kind = resume ? "resume" : "start");
    rc = start(m, resume, err);
    trace_finish(&span, rc, err);
    return rc;
}

void run_pause(lunik_machine *m)
{
    run_stop_devices(m);
    run_set_state(m, LUNIK_STATE_PAUSED);
    lunik_emit_fields(m, "paused", NULL, 0);
}

/* Half reset a machine must not run. */
static int end_reset(lunik_machine *m, int rc)
{
    if (rc && run_is_on(m)) {
        run_set_state(m, LUNIK_STATE_PAUSED);
        lunik_emit_fields(m, "paused", NULL, 0);
    }
    return rc;
}

/* If a hook pauses the machine or shuts it down, that state stays. */
static int reset(lunik_machine *m, lunik_error *err)
{
    lunik_run_state before = lunik_machine_state(m);
    bool was_on = run_is_on(m);
    int rc;

    run_stop_devices(m);
    rc = reset_all(m, err);
    if (!rc) {
        lunik_emit_fields(m, "reset", NULL, 0);
        if (was_on && lunik_machine_state(m) == before)
            rc = part(m, "go_on", run_go_on, err);
        else if (before != LUNIK_STATE_CREATED && lunik_machine_state(m) == before)
            run_set_state(m, LUNIK_STATE_PAUSED);
    }
    return end_reset(m, rc);
}

int run_reset(lunik_machine *m, lunik_error *err)
{
    return part(m, "reset", reset, err);
}

static int wake_up(lunik_machine *m, lunik_error *err)
{
    const char *reason = sleep_wake_reason(m);
    int rc;

    run_stop_devices(m);
    m->waking = true;
    rc = reset_all(m, err);
    m->waking = false;
    if (!rc) {
        lunik_emit(m, "wakeup", LUNIK_FIELD_STRING("reason", reason));
        if (lunik_machine_state(m) == LUNIK_STATE_SUSPENDED)
            rc = part(m, "go_on", run_go_on, err);
    }
    return end_reset(m, rc);
}

/* The guest sleeps on if it can't be entered. */
int run_wake_up(lunik_machine *m, lunik_error *err)
{
    int rc = boot_check_waking(m, err);

    if (!rc)
        return part(m, "wakeup", wake_up, err);
    run_leave_rest(m);
    return rc;
}
