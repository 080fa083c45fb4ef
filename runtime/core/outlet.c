/*
 * outlet.c: output on its way out of a machine.
 *
 * A machine lists the outlets that hold something. Two things go through that list: the delivery of
 * an event, before which everything is handed on that the other side takes at once, and the end of
 * a machine or of an object, which waits for readers that are slow. The lock is free during that
 * wait, so no other machine stands still for a reader; the list is gone through anew after it.
 */
#include "outlet.h"

#include <errno.h>
#include <poll.h>
#include <time.h>

#include "misuse.h"
#include "runtime.h"

enum {
    QUIET_MS = 1000,  /* a reader that takes nothing for so long is given up */
    TOTAL_MS = 5000,  /* and one that is that slow */
    DESCRIPTORS = 64, /* waited for at once */
};

static bool any(const lunik_outlet *outlet, const lunik_object *owner)
{
    return true;
}

/* Worth waiting for; owner NULL: whosever it is. */
static bool slow(const lunik_outlet *outlet, const lunik_object *owner)
{
    return outlet->fd >= 0 && (!owner || outlet->owner == owner);
}

/* Flushing may run any callback, which may fill and clear outlets and deliver events itself. Those
 * that have had their turn are at the end of the list, where new ones are put as well. */
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
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

struct waiting {
    struct pollfd fds[DESCRIPTORS];
    unsigned count;
    bool patient; /* one of them is */
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

/* Nothing else in the runtime stands still while this machine waits, and it was not asked to end.
 */
static bool alone(const lunik_machine *m)
{
    return LIST_FIRST(&m->rt->machines) == m && !LIST_NEXT(m, link) && !atomic_load(&m->rt->stop);
}

/* Returns false when a signal is to end the wait, or nothing became writable in time. */
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
