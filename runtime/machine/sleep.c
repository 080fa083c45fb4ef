/*
 * sleep.c: a guest that sleeps (ACPI S3), and what wakes it.
 *
 * A guest suspends its machine in the middle of a vCPU's access: the state changes at once and the
 * gate closes behind the vCPUs, which leave the guest soon; nothing else stops. So there is nothing
 * to wait for until the machine wakes up, which is a want like a reset (request.c). A machine that
 * is paused meanwhile stays asleep.
 */
#include "core/misuse.h"
#include "kvm/vcpu.h"
#include "object/object.h"
#include "request.h"

/* Returns the next object with the interface, and its ops. */
static lunik_object *next_sleeper(lunik_machine *m, lunik_object *o, const lunik_sleep_ops **ops)
{
    while ((o = lunik_object_next(m, o)))
        if ((*ops = lunik_sleep_iface(o)) && lunik_object_alive(o))
            return o;
    return NULL;
}

void sleep_go_on(lunik_machine *m)
{
    const lunik_sleep_ops *ops;

    run_set_state(m, LUNIK_STATE_SUSPENDED);
    for (lunik_object *o = NULL; (o = next_sleeper(m, o, &ops));)
        if (ops->suspended)
            ops->suspended(o);
}

void lunik_machine_suspend(lunik_machine *m)
{
    NOT_NULL(m);

    if (lunik_machine_state(m) != LUNIK_STATE_RUNNING)
        return;
    REQUIRE(lunik_locked(m->rt), UNLOCKED);
    vcpus_stop(m);
    m->asleep = true;
    m->wake_reason = LUNIK_WAKE_HOST;
    lunik_emit_fields(m, "suspend", NULL, 0);
    sleep_go_on(m);
}

void lunik_machine_set_asleep(lunik_machine *m, bool asleep)
{
    NOT_NULL(m);

    if (lunik_machine_state(m) == LUNIK_STATE_PAUSED)
        m->asleep = asleep;
}

/* ---- waking --------------------------------------------------------------------------------- */

const char *sleep_wake_reason(const lunik_machine *m)
{
    static const char *const names[] = {
#define WAKE_NAME(name, text) [LUNIK_WAKE_##name] = text,
        LUNIK_WAKE_MAP(WAKE_NAME)
#undef WAKE_NAME
    };

    return names[m->wake_reason];
}

static bool may_wake(lunik_machine *m, lunik_wake_reason reason)
{
    const lunik_sleep_ops *ops;

    for (lunik_object *o = NULL; (o = next_sleeper(m, o, &ops));)
        if (ops->wakes && !ops->wakes(o, reason))
            return false;
    return true;
}

void lunik_machine_wake(lunik_machine *m, lunik_wake_reason reason)
{
    NOT_NULL(m);
    REQUIRE((unsigned)reason <= LUNIK_WAKE_PM_TIMER, "there is no such reason");

    if (lunik_machine_state(m) != LUNIK_STATE_SUSPENDED || machine_wants(m, MACHINE_WANT_WAKE) ||
        !may_wake(m, reason))
        return;
    m->wake_reason = reason;
    machine_want(m, MACHINE_WANT_WAKE);
}

void sleep_report_woken(lunik_machine *m)
{
    const lunik_sleep_ops *ops;

    for (lunik_object *o = NULL; (o = next_sleeper(m, o, &ops));)
        if (ops->woken)
            ops->woken(o, m->wake_reason);
    m->wake_reason = LUNIK_WAKE_HOST;
}
