/*
 * outlet.c: output on its way out of a machine.
 *
 * A machine lists the outlets that hold output. Two functions walk that list.
 * lunik_machine_flush(), called before an event is delivered, writes what readers accept at once.
 * outlets_wait(), called at the end of a machine or an object, waits for slow readers. It releases
 * the lock while it waits, so no other machine stands still for a reader, and walks the list anew
 * after that.
 */
#include "monotonic.h"
#include "outlet.h"

#include <errno.h>
#include <poll.h>

#include "misuse.h"
#include "runtime.h"

enum {
    QUIET_MS = 1000,  /* wait for a reader that takes nothing */
    TOTAL_MS = 5000,  /* wait altogether */
    DESCRIPTORS = 64, /* waited for at once */
};

static bool any(const lunik_outlet *outlet, const lunik_object *owner)
{
    return true;
}

/* Whether to wait for the outlet. owner NULL: any. */
static bool slow(const lunik_outlet *outlet, const lunik_object *owner)
{
    return outlet->fd >= 0 && (!owner || outlet->owner == owner);
}

/* Flushes the wanted outlets, each once. That may run any callback, which may add and remove
 * outlets and flush them itself; so an outlet moves to the end of the list, where new ones are
 * added too, before it is flushed. */
static void flush(lunik_machine *m, const lunik_object *owner,
                  bool (*wanted)(const lunik_outlet *outlet, const lunik_object *owner))
{
    unsigned pass = ++m->outlet_pass;
    lunik_outlet *outlet;

    while ((outlet = TAILQ_FIRST(&m->outlets)) && outlet->pass < pass) {
        outlet->pass = pass;
        TAILQ_REMOVE(&m->outlets, outlet, entry);
        TAILQ_INSERT_TAIL(&m->outlets, outlet, entry);
        if (wanted(outlet, owner))
            outlet->flush(outlet);
    }
}

void lunik_machine_flush(lunik_machine *m)
{
    NOT_NULL(m);

    flush(m, NULL, any);
}

/* ---- waiting -------------------------------------------------------------------------------- */

static int64_t now_ms(void)
{
    return (int64_t)(monotonic_ns() / NS_PER_MS);
}

struct waiting {
    struct pollfd fds[DESCRIPTORS];
    unsigned count;
    bool patient; /* one of the outlets is */
};

static void collect(struct waiting *w, const lunik_machine *m, const lunik_object *owner)
{
    const lunik_outlet *outlet;

    w->count = 0;
    w->patient = false;
    TAILQ_FOREACH (outlet, &m->outlets, entry) {
        if (!slow(outlet, owner) || w->count == DESCRIPTORS)
            continue;
        w->fds[w->count++] = (struct pollfd){.fd = outlet->fd, .events = POLLOUT};
        w->patient |= outlet->patient;
    }
}

/* Whether waiting holds up no other machine of the runtime, and the loop was not asked to stop. */
static bool alone(const lunik_machine *m)
{
    return LIST_FIRST(&m->rt->machines) == m && !LIST_NEXT(m, link) && !atomic_load(&m->rt->stop);
}

/* Returns false if nothing became writable in time, or lunik_stop() was called. */
static bool wait_writable(lunik_runtime *rt, struct waiting *w, int timeout)
{
    int ready, sys;

    lunik_unlock(rt);
    ready = poll(w->fds, w->count, timeout);
    sys = errno;
    lunik_lock(rt);
    return ready > 0 || (ready < 0 && sys == EINTR && !atomic_load(&rt->stop));
}

static int limit(int64_t left)
{
    return left < 0 ? 0 : left < QUIET_MS ? (int)left : QUIET_MS;
}

bool outlets_wait(lunik_machine *m, const lunik_object *owner)
{
    int64_t end = now_ms() + TOTAL_MS;
    bool unlocked = false, more = true;
    struct waiting w;

    if (lunik_vcpu_current() || machines_in_transaction(m->rt))
        return false;
    lunik_machine_ref(m);
    collect(&w, m, owner);
    while (w.count && more) {
        more = wait_writable(m->rt, &w, w.patient && alone(m) ? -1 : limit(end - now_ms()));
        unlocked = true;
        if (lunik_machine_state(m) == LUNIK_STATE_CLOSED)
            break;
        flush(m, owner, slow);
        collect(&w, m, owner);
    }
    lunik_machine_unref(m);
    return unlocked;
}
