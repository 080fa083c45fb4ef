/*
 * control.c: the calls that start, pause, reset, wake, close and drain a machine: whether that can
 * be, and waiting for it. request.c carries it out.
 */
#include "request.h"

#include "boot/boot.h"
#include "core/iothread.h"
#include "core/misuse.h"
#include "core/monotonic.h"
#include "core/runtime.h"
#include "kvm/vcpu.h"
#include "object/object.h"

/* A thread of a vCPU must not wait for vCPUs, nor an iothread for iothreads and the devices on
 * them: neither for itself nor for those of another machine, which may be waiting for it. Nor can
 * the lock be released in a transaction. */
static bool must_not_wait(const lunik_machine *m)
{
    return lunik_vcpu_current() || iothreads_called_here() || machines_in_transaction(m->rt);
}

void machine_want_now(lunik_machine *m, unsigned want)
{
    if (lunik_machine_state(m) == LUNIK_STATE_CLOSED)
        return;
    if (must_not_wait(m) || request_attempt(m, want, NULL, true, NULL))
        machine_want(m, want);
}

/* Returns a text for the place from which a machine can't be started, if the caller is there, or
 * NULL. */
static const char *no_start_here(const lunik_machine *m)
{
    if (turn_mine(m))
        return m->resetting ? "while it is being reset" : "while it is being stopped or started";
    if (machines_in_transaction(m->rt))
        return "inside a transaction or by a listener";
    if (lunik_vcpu_current() && run_is_final(m))
        return "from a vCPU's callback"; /* it can't wait for the end of the last run */
    return machine_wants(m, MACHINE_WANT_CLOSE) ? "while it is being closed" : NULL;
}

static int check_start(const lunik_machine *m, lunik_error *err)
{
    lunik_run_state state = lunik_machine_state(m);
    const char *where;

    if (run_is_on(m) || state == LUNIK_STATE_CLOSED)
        return lunik_fail(err, LUNIK_E_STATE, "machine '%s' can't be started: it is %s", m->name,
                          lunik_state_name(state));
    where = no_start_here(m);
    if (where)
        return lunik_fail(err, LUNIK_E_STATE, "machine '%s' can't be started %s: it is %s", m->name,
                          where, lunik_state_name(state));
    return 0;
}

static int check_pause(const lunik_machine *m, lunik_error *err)
{
    lunik_run_state state = lunik_machine_state(m);

    if (run_is_on(m) || state == LUNIK_STATE_PAUSED)
        return 0;
    return lunik_fail(err, LUNIK_E_STATE, "machine '%s' can't be paused: it is %s", m->name,
                      lunik_state_name(state));
}

static int check_reset(const lunik_machine *m, lunik_error *err)
{
    if (lunik_machine_state(m) == LUNIK_STATE_CLOSED)
        return lunik_fail(err, LUNIK_E_STATE, "machine '%s' can't be reset: it is closed", m->name);
    return 0;
}

/* The words are QEMU's. */
static int check_wakeup(lunik_machine *m, lunik_error *err)
{
    lunik_run_state state = lunik_machine_state(m);

    if (state == LUNIK_STATE_SUSPENDED)
        return boot_check_waking(m, err);
    return lunik_fail(err, LUNIK_E_STATE,
                      "Unable to wake up: guest is not in suspended state (machine '%s' is %s)",
                      m->name, lunik_state_name(state));
}

static int check(lunik_machine *m, lunik_request_kind kind, lunik_error *err)
{
    switch (kind) {
    case LUNIK_REQUEST_START:
        return check_start(m, err);
    case LUNIK_REQUEST_PAUSE:
        return check_pause(m, err);
    case LUNIK_REQUEST_RESET:
        return check_reset(m, err);
    case LUNIK_REQUEST_WAKEUP:
        return check_wakeup(m, err);
    default:
        return 0;
    }
}

/* Returns whether the request is fulfilled already, or being carried out by the caller. */
static bool is_done(const lunik_machine *m, lunik_request_kind kind)
{
    switch (kind) {
    case LUNIK_REQUEST_PAUSE:
        return lunik_machine_state(m) == LUNIK_STATE_PAUSED;
    case LUNIK_REQUEST_RESET:
        return turn_mine(m) && m->resetting;
    case LUNIK_REQUEST_CLOSE:
        return turn_mine(m) && lunik_machine_state(m) == LUNIK_STATE_CLOSED;
    default:
        return false;
    }
}

/* Returns whether the request can't begin on this thread now. */
static bool is_for_later(const lunik_machine *m, lunik_request_kind kind)
{
    switch (kind) {
    case LUNIK_REQUEST_PAUSE:
        return must_not_wait(m);
    case LUNIK_REQUEST_RESET:
    case LUNIK_REQUEST_WAKEUP:
        return must_not_wait(m) || turn_mine(m);
    case LUNIK_REQUEST_CLOSE:
        return must_not_wait(m) || turn_mine(m) || subs_called_here(m);
    default:
        return false;
    }
}

/* ---- waiting -------------------------------------------------------------------------------- */

static int ms_left(uint64_t until)
{
    uint64_t now = monotonic_ns();

    return until > now ? (int)((until - now) / NS_PER_MS) + 1 : 0;
}

/* Waits for a report; runs the loop if the thread may, because reports may depend on it. */
static void wait_some(lunik_machine *m, uint64_t seen, uint64_t until)
{
    lunik_runtime *rt = m->rt;
    bool stopped;

    if (!lunik_on_loop_thread(rt) || lunik_running(rt) || turn_any()) {
        drains_wait(m, seen, until);
        return;
    }
    stopped = atomic_exchange(&rt->stop, false); /* else it would not wait */
    lunik_run_timeout(rt, ms_left(until));
    if (stopped)
        atomic_store(&rt->stop, true);
}

/* Tries again to carry out a request. */
static int retry(lunik_machine *m, lunik_request *r, lunik_error *err)
{
    int rc = request_outcome(m, r, err);

    if (rc == LUNIK_UNDER_WAY)
        rc = request_attempt(m, request_want(r->what), r, false, err);
    if (r->state == REQUEST_PENDING && rc != LUNIK_UNDER_WAY)
        request_take_back(m, r); /* the turn can't be waited for here */
    return rc;
}

static void ignore(lunik_request *r, const lunik_error *err)
{
}

/* Carries out a request and waits for its end. A thread that can't wait leaves it to the loop
 * thread. */
static int wait_for(lunik_machine *m, lunik_request_kind kind, lunik_error *err)
{
    lunik_request r = {.fn = ignore, .what = kind};
    uint64_t seen = drains_seen(m);
    int rc;

    lunik_machine_ref(m);
    rc = request_attempt(m, request_want(kind), &r, true, err);
    if (rc == LUNIK_UNDER_WAY && (must_not_wait(m) || turn_mine(m))) {
        request_take_back(m, &r);
        rc = 0;
    }
    while (rc == LUNIK_UNDER_WAY) {
        wait_some(m, seen, r.until);
        seen = drains_seen(m);
        rc = retry(m, &r, err);
    }
    lunik_machine_unref(m);
    return rc;
}

static int ask(lunik_machine *m, lunik_request_kind kind, lunik_request *r, lunik_error *err)
{
    int rc = check(m, kind, err);

    if (rc || is_done(m, kind))
        return rc;
    if (is_for_later(m, kind)) {
        if (r)
            request_add(m, r);
        machine_want(m, request_want(kind));
        return r ? LUNIK_UNDER_WAY : 0;
    }
    return r ? request_attempt(m, request_want(kind), r, true, err) : wait_for(m, kind, err);
}

/* ---- calls ---------------------------------------------------------------------------------- */

static int check_locked(const lunik_machine *m, lunik_error *err)
{
    if (lunik_machine_state(m) != LUNIK_STATE_CLOSED)
        REQUIRE_OR_FAIL(lunik_locked(m->rt), UNLOCKED, err);
    return 0;
}

int lunik_machine_start(lunik_machine *m, lunik_error *err)
{
    NOT_NULL_OR_FAIL(m, err);

    int rc = check_locked(m, err);
    return rc ? rc : ask(m, LUNIK_REQUEST_START, NULL, err);
}

int lunik_machine_pause(lunik_machine *m, lunik_error *err)
{
    NOT_NULL_OR_FAIL(m, err);

    int rc = check_locked(m, err);
    return rc ? rc : ask(m, LUNIK_REQUEST_PAUSE, NULL, err);
}

int lunik_machine_reset(lunik_machine *m, lunik_error *err)
{
    NOT_NULL_OR_FAIL(m, err);

    int rc = check_locked(m, err);
    return rc ? rc : ask(m, LUNIK_REQUEST_RESET, NULL, err);
}

int lunik_machine_wakeup(lunik_machine *m, lunik_error *err)
{
    NOT_NULL_OR_FAIL(m, err);

    int rc = check_locked(m, err);
    return rc ? rc : ask(m, LUNIK_REQUEST_WAKEUP, NULL, err);
}

/* If the turn is another thread's and can't be waited for here, the loop thread closes afterwards.
 */
static int ask_close(lunik_machine *m, lunik_request *r)
{
    int rc;

    while (!lunik_vcpu_current() && lunik_in_transaction(m) && !lunik_in_listener(m))
        lunik_transaction_abort(m);
    rc = ask(m, LUNIK_REQUEST_CLOSE, r, NULL);
    if (rc != LUNIK_E_STATE)
        return rc == LUNIK_UNDER_WAY ? rc : 0;
    if (r)
        request_add(m, r);
    machine_want(m, MACHINE_WANT_CLOSE);
    return LUNIK_UNDER_WAY;
}

void lunik_machine_close(lunik_machine *m)
{
    NOT_NULL(m);
    if (lunik_machine_state(m) == LUNIK_STATE_CLOSED && (turn_mine(m) || !m->turn.depth))
        return; /* it may have outlived its runtime */
    REQUIRE(lunik_locked(m->rt), UNLOCKED);

    ask_close(m, NULL);
}

static int wait_drained(lunik_machine *m, uint64_t seen, lunik_error *err)
{
    lunik_request r = {.fn = ignore, .what = LUNIK_REQUEST_DRAIN};
    int rc;

    lunik_machine_ref(m);
    request_add(m, &r);
    while ((rc = request_outcome(m, &r, err)) == LUNIK_UNDER_WAY) {
        wait_some(m, seen, r.until);
        seen = drains_seen(m);
        if (lunik_machine_state(m) != LUNIK_STATE_CLOSED)
            requests_try_drains(m);
        requests_report(m);
    }
    lunik_machine_unref(m);
    return rc;
}

int lunik_machine_drain(lunik_machine *m, lunik_request *r, lunik_error *err)
{
    NOT_NULL_OR_FAIL(m, err);

    REQUIRE_OR_FAIL(!r || r->state == REQUEST_IDLE, "the request is under way", err);

    uint64_t seen;
    int rc = check_locked(m, err);

    if (rc)
        return rc;
    if (lunik_machine_state(m) == LUNIK_STATE_CLOSED)
        return machine_fail_closed(m, err);
    if (!r && (must_not_wait(m) || turn_mine(m)))
        return lunik_fail(err, LUNIK_E_STATE, "machine '%s': can't wait for its devices here",
                          m->name);
    seen = drains_seen(m);
    objects_drain(m);
    if (objects_drained(m)) {
        m->drained++;
        return 0;
    }
    if (!r)
        return wait_drained(m, seen, err);
    r->what = LUNIK_REQUEST_DRAIN;
    request_add(m, r);
    requests_set_alarm(m);
    return LUNIK_UNDER_WAY;
}

void lunik_machine_undrain(lunik_machine *m)
{
    NOT_NULL(m);

    if (lunik_machine_state(m) == LUNIK_STATE_CLOSED)
        return;
    REQUIRE(lunik_locked(m->rt), UNLOCKED);
    REQUIRE(m->drained, "the machine is not drained");
    m->drained--;
    objects_undrain(m);
}

int lunik_machine_request(lunik_machine *m, lunik_request_kind what, lunik_request *r,
                          lunik_error *err)
{
    NOT_NULL_OR_FAIL(m, err);
    NOT_NULL_OR_FAIL(r, err);
    REQUIRE_OR_FAIL((unsigned)what <= LUNIK_REQUEST_WAKEUP, "there is no such request", err);
    REQUIRE_OR_FAIL(r->fn, "r->fn is NULL", err);
    REQUIRE_OR_FAIL(r->state == REQUEST_IDLE, "the request is under way", err);

    int rc = check_locked(m, err);

    if (rc)
        return rc;
    if (lunik_machine_state(m) == LUNIK_STATE_CLOSED && what == LUNIK_REQUEST_CLOSE)
        return 0; /* it may have outlived its runtime */
    r->what = what;
    if (what == LUNIK_REQUEST_DRAIN)
        return lunik_machine_drain(m, r, err);
    return what == LUNIK_REQUEST_CLOSE ? ask_close(m, r) : ask(m, what, r, err);
}
