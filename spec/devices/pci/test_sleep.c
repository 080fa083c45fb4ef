/* test_sleep.c: a machine that sleeps, seen by devices and C programs; what of it is saved. */
#include <string.h>

#include "check.h"
#include "pci_rig.h"

#define SUSPEND (0x2000 | 1 << 10)

static struct rig r;
static lunik_error err;

static bool is(lunik_run_state state)
{
    return lunik_machine_state(r.m) == state;
}

/* Makes a machine with ports whose guest sleeps. */
static void open_asleep(void)
{
    rig_open(&r, LUNIK_ACCEL_NONE, false);
    out(&r, 0x604, 2, SUSPEND);
    check_true("the guest sleeps", is(LUNIK_STATE_SUSPENDED) && lunik_machine_asleep(r.m));
}

static lunik_object *find_pm(void)
{
    lunik_object *o = NULL;

    while ((o = lunik_object_next(r.m, o)) && strcmp(lunik_object_type_name(o), "piix4-pm"))
        ;
    return o;
}

/* ---- states --------------------------------------------------------------------------------- */

static void test_states(void)
{
    rig_make(&r, LUNIK_ACCEL_NONE, false);
    lunik_machine_suspend(r.m);
    lunik_machine_wake(r.m, LUNIK_WAKE_RTC);
    lunik_machine_set_asleep(r.m, true);
    check_true("a created machine does not sleep",
               is(LUNIK_STATE_CREATED) && !lunik_machine_asleep(r.m));
    check_int("nor wake", lunik_machine_wakeup(r.m, &err), LUNIK_E_STATE);
    must("start", lunik_machine_start(r.m, &err), &err);
    must("pause", lunik_machine_pause(r.m, &err), &err);
    lunik_machine_suspend(r.m);
    check_true("nor a paused one", is(LUNIK_STATE_PAUSED) && !lunik_machine_asleep(r.m));
    rig_close(&r);

    open_asleep();
    check_true("it is not waking", !lunik_machine_waking(r.m));
    lunik_machine_suspend(r.m);
    check_true("once is enough", is(LUNIK_STATE_SUSPENDED));
    lunik_machine_pause_soon(r.m);
    lunik_run_timeout(r.rt, 0);
    check_true("paused by a device", is(LUNIK_STATE_PAUSED) && lunik_machine_asleep(r.m));
    must("resume", lunik_machine_start(r.m, &err), &err);
    lunik_machine_guest_reset(r.m);
    lunik_run_timeout(r.rt, 0);
    check_true("reset by a device", is(LUNIK_STATE_RUNNING) && !lunik_machine_asleep(r.m));
    rig_close(&r);
}

static void on_end(lunik_request *request, const lunik_error *why)
{
}

static void test_requests(void)
{
    lunik_request request = {.fn = on_end};

    open_asleep();
    check_int("a request", lunik_machine_request(r.m, LUNIK_REQUEST_WAKEUP, &request, &err), 0);
    check_true("wakes it", is(LUNIK_STATE_RUNNING));
    check_int("not twice", lunik_machine_request(r.m, LUNIK_REQUEST_WAKEUP, &request, &err),
              LUNIK_E_STATE);
    check_string("in QEMU's words", err.message,
                 "Unable to wake up: guest is not in suspended state (machine 'rig' is running)");
    rig_close(&r);
}

/* A wake-up that becomes pointless before it is carried out. */
static void test_too_late(void)
{
    open_asleep();
    lunik_machine_wake(r.m, LUNIK_WAKE_POWER_BUTTON);
    must("reset", lunik_machine_reset(r.m, &err), &err);
    lunik_run_timeout(r.rt, 0);
    check_true("reset before", is(LUNIK_STATE_RUNNING));
    check_uint("no wake status", in(&r, 0x600, 2), 0);
    out(&r, 0x604, 2, SUSPEND);
    lunik_machine_wake(r.m, LUNIK_WAKE_POWER_BUTTON);
    lunik_machine_shutdown(r.m, "test", 0);
    lunik_run_timeout(r.rt, 0);
    check_true("shut down before", is(LUNIK_STATE_SHUTDOWN));
    must("start", lunik_machine_start(r.m, &err), &err);
    check_true("it runs", is(LUNIK_STATE_RUNNING) && !lunik_machine_asleep(r.m));
    rig_close(&r);
}

/* ---- state ---------------------------------------------------------------------------------- */

static void save_pm(lunik_state_buffer *out)
{
    check_int("saving while it sleeps", lunik_object_save(find_pm(), out, &err), LUNIK_E_STATE);
    must("pause", lunik_machine_pause(r.m, &err), &err);
    must("save", lunik_object_save(find_pm(), out, &err), &err);
}

static void load_pm(const lunik_state_buffer *in)
{
    must("load", lunik_object_load(find_pm(), in->data, in->size, &err), &err);
}

static void test_saved(void)
{
    lunik_state_buffer asleep = {0}, awake = {0};

    open_asleep();
    save_pm(&asleep);
    rig_close(&r);

    rig_open(&r, LUNIK_ACCEL_NONE, false);
    must("pause", lunik_machine_pause(r.m, &err), &err);
    must("save", lunik_object_save(find_pm(), &awake, &err), &err);
    load_pm(&asleep);
    must("resume", lunik_machine_start(r.m, &err), &err);
    check_true("sleeps on in another machine", is(LUNIK_STATE_SUSPENDED));
    must("wake up", lunik_machine_wakeup(r.m, &err), &err);
    check_uint("and wakes up there", in(&r, 0x600, 2), 0x8100);
    out(&r, 0x604, 2, SUSPEND);
    must("pause", lunik_machine_pause(r.m, &err), &err);
    load_pm(&awake);
    must("resume", lunik_machine_start(r.m, &err), &err);
    check_true("one that does not sleep runs", is(LUNIK_STATE_RUNNING));
    rig_close(&r);
    lunik_state_buffer_free(&asleep);
    lunik_state_buffer_free(&awake);
}

int main(void)
{
    test_states();
    test_requests();
    test_too_late();
    test_saved();
    return check_result();
}
