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
#include "core/trace.h"
#include "core/misuse.h"
#include "kvm/vcpu.h"
#include "boot/boot.h"
#include "memory/memory.h"
#include "object/object.h"
#include "request.h"

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

void lunik_machine_map_broken(lunik_machine *m, const lunik_error *why)
{
    NOT_NULL(m);
    NOT_NULL(why);

    lunik_emit(m, "error", LUNIK_FIELD_STRING("message", why->message),
               LUNIK_FIELD_STRING("source", "memory"));
    if (run_is_on(m))
        machine_want(m, MACHINE_WANT_PAUSE);
}

/* ---- ends of a run --------------------------------------------------------------------------- */

/* Enters a final state. */
static void end_run(lunik_machine *m, lunik_run_state state)
{
    m->asleep = false;
    run_set_state(m, state);
    machine_want_now(m, MACHINE_WANT_STOP);
}

void lunik_machine_shutdown(lunik_machine *m, const char *reason, int code)
{
    NOT_NULL(m);

    if (!run_is_on(m) && lunik_machine_state(m) != LUNIK_STATE_PAUSED)
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

void machine_reset_failed(lunik_machine *m, const lunik_error *why)
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

    TRACE(m, .kind = "guest_reset");
    machine_want_now(m, MACHINE_WANT_RESET);
}

void lunik_machine_pause_soon(lunik_machine *m)
{
    NOT_NULL(m);

    if (run_is_on(m))
        machine_want(m, MACHINE_WANT_PAUSE);
}

static const struct machine_requests requests = {
    .map_broken = lunik_machine_map_broken,
    .vcpu_crashed = vcpu_crashed,
    .guest_reset = lunik_machine_guest_reset,
    .shutdown = lunik_machine_shutdown,
    .pause = lunik_machine_pause_soon,
};

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
    msi_routes_fini(m);
    gsi_fini(m);
    drains_close(m);
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
    cpus_init(m);
    turn_init(&m->turn);
    drains_init(m);
    m->requests = &requests;
    requests_init(m);
    TAILQ_INIT(&m->outlets);
    subs_init(m);
    rc = build(m, err);
    if (rc) {
        run_set_state(m, LUNIK_STATE_CLOSED);
        take_apart(m);
        lunik_machine_unref(m);
        return rc;
    }
    LIST_INSERT_HEAD(&rt->machines, m, link);
    *out = m;
    return 0;
}

/* The machine stays in the runtime's list to the end, so that the runtime is not freed while the
 * lock is released. */
void machine_close_now(lunik_machine *m)
{
    run_stop_devices(m);
    outlets_wait(m, NULL);
    iothreads_end(m);
    run_set_state(m, LUNIK_STATE_CLOSED);
    take_apart(m);
    requests_end(m);
    subs_end(m);
    LIST_REMOVE(m, link);
    lunik_machine_unref(m);
}
