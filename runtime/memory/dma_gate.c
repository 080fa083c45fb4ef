/*
 * dma_gate.c: the life of a lunik_dma, and its gate.
 *
 * A user of the gate keeps the struct. The last user that leaves a closed gate posts a task to the
 * loop, or frees the struct if the device has called lunik_dma_free().
 */
#include <stdlib.h>

#include "core/misuse.h"
#include "dma.h"

#define GATE_CLOSED ((uint64_t)1 << 63)
#define GATE_FREED  ((uint64_t)1 << 62)
#define GATE_USERS  (GATE_FREED - 1)

/* ---- the gate ------------------------------------------------------------------------------- */

static void dma_reclaim(struct rcu_head *head)
{
    lunik_dma *d = lunik_container_of(head, lunik_dma, rcu);

    rcu_note_reclaim();
    pthread_mutex_destroy(&d->mutex);
    free(d);
}

/* The read section keeps the struct for a call that finds the gate closed. */
int dma_enter(lunik_dma *d)
{
    uint64_t gate;
    int rc = 0;

    rcu_online();
    gate = atomic_load_explicit(&d->gate, memory_order_relaxed);
    do {
        if (gate & GATE_CLOSED)
            rc = atomic_load(&d->space) ? LUNIK_E_STATE : LUNIK_E_GONE;
    } while (!rc && !atomic_compare_exchange_weak(&d->gate, &gate, gate + 1));
    rcu_offline();
    return rc;
}

/* The read section keeps the struct: after the decrement another thread may free it. */
static void leave_closed(lunik_dma *d)
{
    bool last;
    uint64_t gate;

    rcu_online();
    pthread_mutex_lock(&d->mutex);
    gate = atomic_fetch_sub(&d->gate, 1) - 1;
    last = !(gate & GATE_USERS);
    if (last && !(gate & GATE_FREED))
        lunik_defer(d->rt, &d->task);
    pthread_mutex_unlock(&d->mutex);
    if (last && gate & GATE_FREED)
        rcu_defer(&d->rcu, dma_reclaim);
    rcu_offline();
}

void dma_leave(lunik_dma *d)
{
    uint64_t gate = atomic_load_explicit(&d->gate, memory_order_relaxed);

    while (!(gate & GATE_CLOSED))
        if (atomic_compare_exchange_weak(&d->gate, &gate, gate - 1))
            return;
    leave_closed(d);
}

/* Calls one waiting callback if the gate is open or has no users. The callback may free d. */
static void on_idle(lunik_task *task)
{
    lunik_dma *d = lunik_container_of(task, lunik_dma, task);
    uint64_t gate = atomic_load(&d->gate);
    lunik_dma_idle *idle = d->idle;

    if (!idle || (gate & GATE_CLOSED && gate & GATE_USERS))
        return;
    d->idle = idle->next;
    if (d->idle)
        lunik_defer(d->rt, &d->task);
    idle->fn(idle);
}

void lunik_dma_enable(lunik_dma *d)
{
    NOT_NULL(d);
    REQUIRE(lunik_locked(d->rt), UNLOCKED);

    atomic_fetch_and(&d->gate, ~GATE_CLOSED);
    if (d->idle)
        lunik_defer(d->rt, &d->task);
}

void lunik_dma_disable(lunik_dma *d, lunik_dma_idle *idle)
{
    NOT_NULL(d);
    REQUIRE(lunik_locked(d->rt), UNLOCKED);

    lunik_dma_idle **end = &d->idle;

    atomic_fetch_or(&d->gate, GATE_CLOSED);
    if (!idle)
        return;
    for (; *end; end = &(*end)->next)
        REQUIRE(*end != idle, "idle is waiting already");
    idle->next = NULL;
    *end = idle;
    lunik_defer(d->rt, &d->task);
}

bool lunik_dma_enabled(const lunik_dma *d)
{
    NOT_NULL(d, false);

    return !(atomic_load(&d->gate) & GATE_CLOSED);
}

/* ---- making and freeing --------------------------------------------------------------------- */

int lunik_dma_new(lunik_space *s, lunik_dma **out, lunik_error *err)
{
    NOT_NULL_OR_FAIL(out, err);
    NOT_NULL_OR_FAIL(s, err);
    REQUIRE_OR_FAIL(lunik_locked(s->core->rt), UNLOCKED, err);

    lunik_dma *d = calloc(1, sizeof(*d));

    if (!d)
        return fail_no_memory(err);
    atomic_init(&d->space, s);
    atomic_init(&d->gate, GATE_CLOSED);
    atomic_init(&d->cache.first, 1); /* nothing: it ends at 0 */
    d->rt = s->core->rt;
    d->task.fn = on_idle;
    pthread_mutex_init(&d->mutex, NULL);
    LIST_INSERT_HEAD(&s->dmas, d, link);
    *out = d;
    return 0;
}

void lunik_dma_free(lunik_dma *d)
{
    uint64_t before;

    if (!d)
        return;
    REQUIRE(lunik_locked(d->rt), UNLOCKED);
    if (atomic_exchange(&d->space, NULL))
        LIST_REMOVE(d, link);
    pthread_mutex_lock(&d->mutex);
    before = atomic_fetch_or(&d->gate, GATE_CLOSED | GATE_FREED);
    lunik_defer_cancel(d->rt, &d->task);
    pthread_mutex_unlock(&d->mutex);
    if (!(before & GATE_USERS))
        rcu_defer(&d->rcu, dma_reclaim);
}

void dmas_detach(lunik_space *s)
{
    lunik_dma *d;

    while ((d = LIST_FIRST(&s->dmas))) {
        LIST_REMOVE(d, link);
        atomic_store(&d->space, NULL);
    }
}
