/*
 * request.c: requests to a machine, and when they are carried out.
 *
 * DESIGN. A start, pause, reset, wake-up, close or the rest of a shutdown is a bit in m->wanted. It
 * is carried out, in a turn, when the machine has come to rest: the vCPUs are outside and the
 * devices have finished what was in flight. Until then the bit stays, and the thread tries again
 * after a report or at the end of the devices' time (m->until): the loop thread in do_wanted() for
 * all bits, and a thread in wait_for() for its own request. So no thread has the turn while devices
 * finish, and a request that comes meanwhile (a close during a pause, a reset from the guest) is
 * one more bit. The devices stay drained (m->held) from the first of these to
 * run_leave_rest(), however many there are.
 *
 * A lunik_request belongs to a bit, or is a lunik_machine_drain(), which needs no turn and no bit.
 * Requests that have ended are reported after the turn, for their functions to be free to begin
 * other ones.
 */
#include "request.h"

#include "core/misuse.h"
#include "core/monotonic.h"
#include "core/runtime.h"
#include "kvm/vcpu.h"
#include "object/object.h"

/* ---- wants ---------------------------------------------------------------------------------- */

bool machine_wants(const lunik_machine *m, unsigned want)
{
    return atomic_load(&m->wanted) & 1u << want;
}

static void set_wanted(lunik_machine *m, unsigned want)
{
    if (!machine_wants(m, want))
        m->until[want] = drains_until(m);
    atomic_fetch_or(&m->wanted, 1u << want);
}

static void clear_wanted(lunik_machine *m, unsigned want)
{
    atomic_fetch_and(&m->wanted, ~(1u << want));
}

void machine_want(lunik_machine *m, unsigned want)
{
    if (lunik_machine_state(m) == LUNIK_STATE_CLOSED)
        return;
    set_wanted(m, want);
    vcpus_stop(m);
    lunik_defer(m->rt, &m->work);
}

/* ---- requests ------------------------------------------------------------------------------- */

unsigned request_want(lunik_request_kind kind)
{
    static const unsigned wants[] = {
        [LUNIK_REQUEST_CLOSE] = MACHINE_WANT_CLOSE, [LUNIK_REQUEST_RESET] = MACHINE_WANT_RESET,
        [LUNIK_REQUEST_START] = MACHINE_WANT_START, [LUNIK_REQUEST_PAUSE] = MACHINE_WANT_PAUSE,
        [LUNIK_REQUEST_DRAIN] = MACHINE_WANTS,      [LUNIK_REQUEST_WAKEUP] = MACHINE_WANT_WAKE,
    };

    return wants[kind];
}

void request_add(lunik_machine *m, lunik_request *r)
{
    r->state = REQUEST_PENDING;
    r->until = drains_until(m);
    TAILQ_INSERT_TAIL(&m->pending, r, entry);
}

void request_take_back(lunik_machine *m, lunik_request *r)
{
    if (r->state == REQUEST_PENDING)
        TAILQ_REMOVE(&m->pending, r, entry);
    else if (r->state == REQUEST_ENDED)
        TAILQ_REMOVE(&m->ended, r, entry);
    r->state = REQUEST_IDLE;
}

static void end(lunik_machine *m, lunik_request *r, const lunik_error *err)
{
    TAILQ_REMOVE(&m->pending, r, entry);
    r->state = REQUEST_ENDED;
    r->error = err ? *err : (lunik_error){0};
    TAILQ_INSERT_TAIL(&m->ended, r, entry);
}

static lunik_request *find(const lunik_machine *m, unsigned want)
{
    lunik_request *r;

    TAILQ_FOREACH (r, &m->pending, entry)
        if (request_want(r->what) == want)
            return r;
    return NULL;
}

static void end_all(lunik_machine *m, unsigned want, const lunik_error *err)
{
    lunik_request *r;

    while ((r = find(m, want)))
        end(m, r, err);
}

/* Calls the functions of ended requests, after the turn. They may do anything to the machine. */
void requests_report(lunik_machine *m)
{
    lunik_request *r;
    bool any = false;

    if (turn_mine(m))
        return;
    while ((r = TAILQ_FIRST(&m->ended))) {
        request_take_back(m, r);
        any = true;
        r->fn(r, r->error.code ? &r->error : NULL);
    }
    if (any)
        drains_changed(m); /* threads in wait_for() */
}

void requests_end(lunik_machine *m)
{
    lunik_error err;
    lunik_request *r;

    atomic_store(&m->wanted, 0);
    end_all(m, MACHINE_WANT_CLOSE, NULL);
    machine_fail_closed(m, &err);
    while ((r = TAILQ_FIRST(&m->pending)))
        end(m, r, &err);
}

/* ---- carrying out --------------------------------------------------------------------------- */

static int carry_close(lunik_machine *m, lunik_error *err)
{
    machine_close_now(m);
    return 0;
}

static int carry_stop(lunik_machine *m, lunik_error *err)
{
    run_stop_devices(m);
    return 0;
}

static int carry_start(lunik_machine *m, lunik_error *err)
{
    if (run_is_on(m)) /* by another thread's turn */
        return lunik_fail(err, LUNIK_E_STATE, "machine '%s' can't be started: it is %s", m->name,
                          lunik_state_name(lunik_machine_state(m)));
    clear_wanted(m, MACHINE_WANT_STOP);
    return run_start(m, err);
}

static int carry_pause(lunik_machine *m, lunik_error *err)
{
    run_pause(m);
    return 0;
}

static const struct {
    int (*carry)(lunik_machine *m, lunik_error *err);
    const char *name; /* in events */
    bool waits;       /* fails at the end of the devices' time; the others go on without them */
} wants[MACHINE_WANTS] = {
    [MACHINE_WANT_CLOSE] = {carry_close, "close", false},
    [MACHINE_WANT_STOP] = {carry_stop, "shutdown", false},
    [MACHINE_WANT_RESET] = {run_reset, "reset", false},
    [MACHINE_WANT_WAKE] = {run_wake_up, "wakeup", false},
    [MACHINE_WANT_START] = {carry_start, "start", false},
    [MACHINE_WANT_PAUSE] = {carry_pause, "pause", true},
};

/* Returns whether the machine's state has made a want pointless. A reset by the guest is, once its
 * run has ended. */
static bool is_moot(const lunik_machine *m, unsigned want)
{
    switch (want) {
    case MACHINE_WANT_STOP:
        return !run_is_final(m);
    case MACHINE_WANT_RESET:
        return run_is_final(m) && !find(m, want);
    case MACHINE_WANT_WAKE:
        return lunik_machine_state(m) != LUNIK_STATE_SUSPENDED;
    case MACHINE_WANT_PAUSE:
        return !run_is_on(m);
    default:
        return false;
    }
}

/* A paused machine has come to rest before. */
static bool needs_rest(const lunik_machine *m, unsigned want)
{
    return want != MACHINE_WANT_START || lunik_machine_state(m) != LUNIK_STATE_PAUSED;
}

/* The machine runs on, unless it is to rest for something else. */
static int give_up_pause(lunik_machine *m, lunik_error *err)
{
    int rc = objects_fail_late(m, "paused", err);
    lunik_error why;

    if (!atomic_load(&m->wanted) && run_go_on(m, &why)) {
        run_pause(m);
        *err = why;
        rc = why.code;
    }
    return rc;
}

static int carry(lunik_machine *m, unsigned want, bool late, lunik_error *err)
{
    if (late && wants[want].waits)
        return give_up_pause(m, err);
    if (want == MACHINE_WANT_CLOSE)
        m->closing = true;
    if (late)
        objects_report_late(m, wants[want].name);
    return wants[want].carry(m, err);
}

static void report_failure(lunik_machine *m, unsigned want, const lunik_error *err)
{
    if (want == MACHINE_WANT_RESET)
        machine_reset_failed(m, err);
    else
        lunik_emit(m, "error", LUNIK_FIELD_STRING("message", err->message),
                   LUNIK_FIELD_STRING("source", wants[want].name));
}

/* Carries out a want, in a turn. Returns false if devices have to finish first. */
static bool try_want(lunik_machine *m, unsigned want)
{
    bool late = false, requested;
    lunik_error err;
    int rc = 0;

    if (!machine_wants(m, want))
        return true;
    if (!is_moot(m, want) && needs_rest(m, want) && !run_come_to_rest(m)) {
        late = monotonic_ns() >= m->until[want];
        if (!late)
            return false;
    }
    clear_wanted(m, want);
    if (!is_moot(m, want))
        rc = carry(m, want, late, &err);
    requested = find(m, want);
    end_all(m, want, rc ? &err : NULL);
    if (rc && !requested)
        report_failure(m, want, &err);
    if (lunik_machine_state(m) == LUNIK_STATE_CREATED)
        run_leave_rest(m);
    return true;
}

/* Returns the first want from a given one on. */
static unsigned first_wanted(const lunik_machine *m, unsigned want)
{
    while (want < MACHINE_WANTS && !machine_wants(m, want))
        want++;
    return want;
}

/* Carries out wants in their order, until one has to wait for devices. */
static void try_wants(lunik_machine *m, unsigned first, unsigned last)
{
    unsigned want;

    while ((want = first_wanted(m, first)) <= last && try_want(m, want))
        ;
}

/* Finds a lunik_machine_drain() that can be ended now, and its result. */
static lunik_request *next_drained(lunik_machine *m, bool *drained)
{
    uint64_t now = monotonic_ns();
    lunik_request *r;

    *drained = find(m, MACHINE_WANTS) && objects_drained(m);
    TAILQ_FOREACH (r, &m->pending, entry)
        if (r->what == LUNIK_REQUEST_DRAIN && (*drained || r->until <= now))
            return r;
    return NULL;
}

void requests_try_drains(lunik_machine *m)
{
    lunik_request *r;
    lunik_error err;
    bool drained;

    while ((r = next_drained(m, &drained))) {
        if (drained)
            m->drained++;
        else
            objects_fail_late(m, "drained", &err);
        end(m, r, drained ? NULL : &err);
        if (!drained)
            objects_undrain(m);
    }
}

/* Sets the alarm for the earliest time at which a request stops waiting. */
void requests_set_alarm(lunik_machine *m)
{
    uint64_t until = objects_leaving_until(m);
    const lunik_request *r;

    for (unsigned want = 0; want < MACHINE_WANTS; want++)
        if (machine_wants(m, want) && m->until[want] < until)
            until = m->until[want];
    TAILQ_FOREACH (r, &m->pending, entry)
        if (r->what == LUNIK_REQUEST_DRAIN && r->until < until)
            until = r->until;
    drains_alarm(m, until);
}

/* Carries out the wants that are possible by now, on the loop thread. */
static void do_wanted(lunik_task *task)
{
    lunik_machine *m = lunik_container_of(task, lunik_machine, work);

    lunik_machine_ref(m);
    objects_let_go(m);
    requests_try_drains(m);
    if (atomic_load(&m->wanted) && !turn_take(m, NULL)) {
        try_wants(m, 0, MACHINE_WANTS - 1);
        turn_end(m);
    }
    requests_set_alarm(m);
    requests_report(m);
    lunik_machine_unref(m);
}

void requests_init(lunik_machine *m)
{
    m->work.fn = do_wanted;
    TAILQ_INIT(&m->pending);
    TAILQ_INIT(&m->ended);
}

/* ---- for control.c --------------------------------------------------------------------------- */

/* Returns LUNIK_UNDER_WAY, or the result of the request. */
int request_outcome(lunik_machine *m, lunik_request *r, lunik_error *err)
{
    if (r->state == REQUEST_PENDING)
        return LUNIK_UNDER_WAY;
    request_take_back(m, r);
    if (err && r->error.code)
        *err = r->error;
    return r->error.code;
}

/* Takes a turn for a want. r: a request for it, which begins with this call or has begun before;
 * NULL: there is none. */
int request_attempt(lunik_machine *m, unsigned want, lunik_request *r, bool begin, lunik_error *err)
{
    int rc = turn_take(m, err);

    if (rc)
        return rc;
    lunik_machine_ref(m);
    if (begin) {
        set_wanted(m, want);
        if (r)
            request_add(m, r);
    }
    /* A want does not overtake an earlier one, unless a hook asks for it. The loop thread closes:
     * the caller may have no reference. */
    if (m->turn.depth > 1 || want == MACHINE_WANT_CLOSE)
        try_want(m, want);
    else
        try_wants(m, MACHINE_WANT_CLOSE + 1, want);
    if (atomic_load(&m->wanted) & ~(1u << want))
        lunik_defer(m->rt, &m->work); /* it may have found the turn taken */
    requests_set_alarm(m);
    turn_end(m);
    if (r)
        rc = request_outcome(m, r, err);
    requests_report(m);
    lunik_machine_unref(m);
    return rc;
}
