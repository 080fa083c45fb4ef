/*
 * clock.c: a machine's clock and its timers.
 *
 * Machine time stands still until the first start and while the machine is stopped: paused, shut
 * down, crashed, or held by a debugger. machine.c stops it and the clocks that KVM keeps for the
 * guest (kvm_clock.c) together. Timers sit in a binary heap; one timerfd, armed for the earliest,
 * wakes the loop. A manual clock has no timerfd: only lunik_clock_advance() moves it. The struct
 * lives as long as the machine's, so that any thread may read the time; the clock of a closed
 * machine keeps the time of the close.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "misuse.h"
#include "monotonic.h"
#include "rcu.h"
#include "runtime.h"

/* The uv handle outlives the clock until its close callback. */
struct clock_wake {
    uv_poll_t poll;
    int fd;
    lunik_machine *machine;
};

struct machine_clock {
    lunik_clock clock; /* first: what devices see */
    bool manual;
    bool closed;             /* accepts no timers any more */
    _Atomic uint64_t frozen; /* the time while it stands still, UINT64_MAX while it runs */
    _Atomic uint64_t offset; /* CLOCK_MONOTONIC minus machine time while it runs */
    lunik_timer **heap;
    size_t count, capacity;
    struct clock_wake *wake;
};

static uint64_t clock_now(lunik_clock *clock)
{
    struct machine_clock *c = lunik_container_of(clock, struct machine_clock, clock);
    uint64_t frozen = atomic_load_explicit(&c->frozen, memory_order_acquire);

    if (frozen != UINT64_MAX)
        return frozen;
    return monotonic_ns() - atomic_load_explicit(&c->offset, memory_order_relaxed);
}

lunik_clock *lunik_machine_clock(lunik_machine *m)
{
    NOT_NULL(m, NULL);

    return &m->clock->clock;
}

uint64_t lunik_clock_now(const lunik_machine *m)
{
    NOT_NULL(m, 0);

    return clock_now(&m->clock->clock);
}

/* ---- heap ----------------------------------------------------------------------------------- */

static void place(struct machine_clock *c, size_t i, lunik_timer *t)
{
    c->heap[i] = t;
    t->heap_index = i;
}

static void sift_up(struct machine_clock *c, size_t i, lunik_timer *t)
{
    while (i > 0 && c->heap[(i - 1) / 2]->deadline > t->deadline) {
        place(c, i, c->heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    place(c, i, t);
}

static void sift_down(struct machine_clock *c, size_t i, lunik_timer *t)
{
    for (;;) {
        size_t child = 2 * i + 1;

        if (child >= c->count)
            break;
        if (child + 1 < c->count && c->heap[child + 1]->deadline < c->heap[child]->deadline)
            child++;
        if (c->heap[child]->deadline >= t->deadline)
            break;
        place(c, i, c->heap[child]);
        i = child;
    }
    place(c, i, t);
}

static void heap_remove(struct machine_clock *c, lunik_timer *t)
{
    size_t i = t->heap_index;
    lunik_timer *last = c->heap[--c->count];

    t->deadline = UINT64_MAX;
    if (last == t)
        return;
    sift_down(c, i, last);
    sift_up(c, last->heap_index, last);
}

/* ---- arming --------------------------------------------------------------------------------- */

/* Sets the timerfd for the earliest timer, or disarms it. */
static void arm(struct machine_clock *c)
{
    struct itimerspec when = {0};
    bool running = atomic_load_explicit(&c->frozen, memory_order_relaxed) == UINT64_MAX;

    if (!c->wake)
        return;
    if (running && c->count) {
        uint64_t at = c->heap[0]->deadline + atomic_load_explicit(&c->offset, memory_order_relaxed);

        if (at < c->heap[0]->deadline || at > INT64_MAX)
            at = INT64_MAX;
        when.it_value.tv_sec = (time_t)(at / NS_PER_S);
        when.it_value.tv_nsec = (long)(at % NS_PER_S) + (at == 0);
    }
    timerfd_settime(c->wake->fd, TFD_TIMER_ABSTIME, &when, NULL);
}

void lunik_timer_init(lunik_timer *timer, lunik_machine *machine, void (*fn)(lunik_timer *))
{
    NOT_NULL(timer);

    timer->fn = fn;
    timer->machine = machine;
    timer->deadline = UINT64_MAX;
    timer->heap_index = 0;
}

void lunik_timer_set(lunik_timer *timer, uint64_t deadline)
{
    NOT_NULL(timer);

    struct machine_clock *c;
    lunik_timer *first;

    if (!timer->machine)
        return;
    if (deadline == UINT64_MAX) {
        lunik_timer_cancel(timer);
        return;
    }
    c = timer->machine->clock;
    if (c->closed)
        return;
    first = c->count ? c->heap[0] : NULL;
    if (timer->deadline != UINT64_MAX)
        heap_remove(c, timer);
    if (c->count == c->capacity) {
        size_t capacity = c->capacity ? 2 * c->capacity : 16;
        lunik_timer **heap = realloc(c->heap, capacity * sizeof(*heap));

        if (!heap)
            return; /* the timer stays idle: a guest may lose a tick, nothing else */
        c->heap = heap;
        c->capacity = capacity;
    }
    timer->deadline = deadline;
    sift_up(c, c->count++, timer);
    if (c->heap[0] == timer || first == timer)
        arm(c);
}

void lunik_timer_cancel(lunik_timer *timer)
{
    NOT_NULL(timer);

    struct machine_clock *c;
    bool first;

    if (!timer->machine || timer->deadline == UINT64_MAX)
        return;
    c = timer->machine->clock;
    first = c->heap[0] == timer;
    heap_remove(c, timer);
    if (first)
        arm(c);
}

/* Ends early if a timer closes the machine: that empties the heap. */
static void run_due(struct machine_clock *c, uint64_t now)
{
    while (c->count && c->heap[0]->deadline <= now) {
        lunik_timer *timer = c->heap[0];

        heap_remove(c, timer);
        timer->fn(timer);
    }
}

static void on_timerfd(uv_poll_t *poll, int status, int events)
{
    struct clock_wake *wake = lunik_container_of(poll, struct clock_wake, poll);
    lunik_machine *m = wake->machine;
    struct machine_clock *c = m->clock;
    uint64_t expirations;

    if (read(wake->fd, &expirations, sizeof(expirations)) < 0)
        return;
    lunik_machine_ref(m);
    run_due(c, clock_now(&c->clock));
    arm(c);
    lunik_machine_unref(m);
}

int lunik_clock_advance(lunik_machine *m, uint64_t ns, lunik_error *err)
{
    NOT_NULL_OR_FAIL(m, err);

    struct machine_clock *c = m->clock;
    uint64_t now = clock_now(&c->clock), end;

    if (c->closed)
        return machine_fail_closed(m, err);
    if (!c->manual)
        return lunik_fail(err, LUNIK_E_STATE,
                          "machine '%s': its clock can't be advanced (want clock = \"manual\")",
                          m->name);
    if (ns >= UINT64_MAX - now)
        return lunik_fail(err, LUNIK_E_INVALID, "machine '%s': advance: %" PRIu64 " ns is too far",
                          m->name, ns);
    lunik_machine_ref(m);
    runtime_enter(m->rt);
    /* Timers see the time at which they were due, and may set others on the way. */
    for (end = now + ns; c->count && c->heap[0]->deadline <= end; run_due(c, now)) {
        now = c->heap[0]->deadline > now ? c->heap[0]->deadline : now;
        atomic_store_explicit(&c->frozen, now, memory_order_release);
    }
    atomic_store_explicit(&c->frozen, end, memory_order_release);
    runtime_leave(m->rt);
    lunik_machine_unref(m);
    return 0;
}

/* ---- life cycle ----------------------------------------------------------------------------- */

static void free_wake(uv_handle_t *handle)
{
    free(lunik_container_of((uv_poll_t *)handle, struct clock_wake, poll));
}

static void close_wake(struct clock_wake *wake)
{
    uv_close((uv_handle_t *)&wake->poll, free_wake);
    close(wake->fd);
}

static int make_wake(lunik_machine *m, struct clock_wake **out, lunik_error *err)
{
    struct clock_wake *wake = malloc(sizeof(*wake));
    int rc;

    if (!wake)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "machine '%s': out of memory", m->name);
    wake->machine = m;
    wake->fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (wake->fd < 0 && rcu_shortage_over(errno))
        wake->fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (wake->fd < 0) {
        rc = lunik_fail_errno(err, errno, "machine '%s': can't make a timer", m->name);
        goto fail_fd;
    }
    rc = uv_poll_init(lunik_loop(m->rt), &wake->poll, wake->fd);
    if (rc) {
        close(wake->fd);
        rc = lunik_fail_errno(err, -rc, "machine '%s': can't make a timer", m->name);
        goto fail_fd;
    }
    uv_unref((uv_handle_t *)&wake->poll); /* timers do not keep the loop running */
    rc = lunik_poll_start(&wake->poll, UV_READABLE, on_timerfd);
    if (rc) {
        close_wake(wake);
        return lunik_fail_errno(err, -rc, "machine '%s': can't wait for a timer", m->name);
    }
    *out = wake;
    return 0;
fail_fd:
    free(wake);
    return rc;
}

int clock_init(lunik_machine *m, lunik_error *err)
{
    struct machine_clock *c = calloc(1, sizeof(*c));
    int rc;

    if (!c)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "machine '%s': out of memory", m->name);
    c->clock.now = clock_now;
    c->manual = m->config.manual_clock;
    if (!c->manual) {
        rc = make_wake(m, &c->wake, err);
        if (rc) {
            free(c);
            return rc;
        }
    }
    m->clock = c;
    return 0;
}

void clock_fini(lunik_machine *m)
{
    struct machine_clock *c = m->clock;

    if (!c)
        return;
    atomic_store_explicit(&c->frozen, clock_now(&c->clock), memory_order_release);
    if (c->wake) {
        lunik_loop(m->rt);
        close_wake(c->wake);
        c->wake = NULL;
    }
    while (c->count)
        heap_remove(c, c->heap[0]);
    free(c->heap);
    c->heap = NULL;
    c->closed = true;
}

void clock_free(lunik_machine *m)
{
    free(m->clock);
    m->clock = NULL;
}

void clock_stop(lunik_machine *m)
{
    struct machine_clock *c = m->clock;

    if (!c->manual) {
        atomic_store_explicit(&c->frozen, clock_now(&c->clock), memory_order_release);
        arm(c);
    }
}

void clock_start(lunik_machine *m)
{
    struct machine_clock *c = m->clock;

    if (c->manual)
        return;
    atomic_store_explicit(&c->offset, monotonic_ns() - clock_now(&c->clock), memory_order_relaxed);
    atomic_store_explicit(&c->frozen, UINT64_MAX, memory_order_release);
    arm(c);
}
