/*
 * transaction.c: nesting, commit, undo.
 *
 * The outermost commit renders the marked windows of every view, notifies the listeners, and then
 * publishes the new views. Until then vCPUs find the old views, as if their accesses had come a
 * moment earlier.
 */
#include <string.h>

#include "memory.h"
#include "core/misuse.h"
#include "core/runtime.h"
#include "core/trace.h"

static int fail_listening(lunik_error *err)
{
    return lunik_fail(err, LUNIK_E_STATE,
                      "memory: the topology can't be changed by a listener of its changes");
}

int core_check(struct memory_core *core, lunik_error *err)
{
    if (!core->machine)
        return lunik_fail(err, LUNIK_E_GONE, "memory: the machine is closed");
    if (!core->open.notifying)
        return 0;
    core->refused = core->in_hooks > 0;
    return fail_listening(err);
}

int fail_no_memory(lunik_error *err)
{
    return lunik_fail(err, LUNIK_E_NO_MEMORY, "memory: out of memory");
}

void transaction_touch(lunik_region *r)
{
    cause_of_region(r);
    if (r->touched)
        return;
    r->touched = true;
    r->saved = r->s;
    r->next_touched = r->core->touched;
    r->core->touched = r;
    lunik_region_ref(r);
    if (r->saved.parent)
        lunik_region_ref(r->saved.parent);
    io_set_ref(r->saved.io);
}

static void forget_touched(struct memory_core *core)
{
    lunik_region *r;

    while ((r = core->touched)) {
        core->touched = r->next_touched;
        r->touched = false;
        if (r->saved.parent)
            lunik_region_unref(r->saved.parent);
        io_set_unref(r->saved.io);
        lunik_region_unref(r);
    }
}

/* Renders, notifies the listeners, publishes. On failure nothing has changed. */
static int apply(struct memory_core *core, bool forced, lunik_error *err)
{
    int rc = 0;

    if (core->too_deep)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "memory: regions are nested too deeply (want at most %d levels)",
                          MEMORY_MAX_DEPTH);
    for (struct view_root *vr = core->roots; vr && !rc; vr = vr->next)
        if (view_root_marked(vr))
            rc = view_root_prepare(vr, err);
    if (!rc)
        rc = listeners_update(core, forced, err);
    for (struct view_root *vr = core->roots; vr; vr = vr->next) {
        if (rc) {
            view_root_discard(vr);
        } else {
            causes_record(vr);
            view_root_publish(vr);
        }
    }
    if (!rc)
        io_publish(core);
    return rc;
}

static bool is_marked(const struct memory_core *core)
{
    const struct view_root *vr = core->roots;

    while (vr && !view_root_marked(vr))
        vr = vr->next;
    return vr;
}

/* The same as a step, unless no view can change. */
static int apply_traced(struct memory_core *core, lunik_error *err)
{
    lunik_span span;
    int rc;

    if (!is_marked(core))
        return apply(core, false, err);
    TRACE_BEGIN(core->machine, &span, .kind = "map");
    rc = apply(core, false, err);
    trace_finish(&span, rc, err);
    return rc;
}

/* Restores the state of every touched region from before the transaction. */
static void undo(struct memory_core *core)
{
    bool fresh = false;

    for (lunik_region *r = core->touched; r; r = r->next_touched)
        region_detach(r);
    for (lunik_region *r = core->touched; r; r = r->next_touched) {
        io_set_unref(r->s.io);
        r->s = r->saved;
        io_set_ref(r->s.io);
        region_attach(r);
    }
    core->too_deep = false;
    for (struct view_root *vr = core->roots; vr; vr = vr->next) {
        view_root_unmark(vr);
        if (!vr->fresh)
            continue;
        fresh = true;
        view_root_mark(vr, (struct span){0, UINT64_MAX});
    }
    /* Spaces made in the transaction stay: renders them. If memory lacks, the next commit retries.
     */
    if (fresh)
        apply(core, true, NULL);
}

/* A checkpoint at each outermost transaction: a thread that changes the topology again and again
 * without releasing the lock must not delay freeing of what it replaces. */
void transaction_begin(struct memory_core *core)
{
    if (core->open.notifying) {
        core->in_hooks++;
    } else if (!core->open.depth++) {
        rcu_checkpoint();
        runtime_enter(core->rt);
        cause_of_transaction(core);
    }
}

/* Ends a transaction opened while listeners are called, e.g. by a device whose register a listener
 * wrote. Fails if a change in it was refused. */
static int end_told(struct memory_core *core, lunik_error *err)
{
    bool refused = core->refused;

    if (!--core->in_hooks)
        core->refused = false;
    return refused ? fail_listening(err) : 0;
}

/* Commits the noted changes; what they do to the topology is one transaction. */
static void commit_changes(struct memory_core *core)
{
    if (!core->open.first_change)
        return;
    transaction_begin(core);
    changes_commit(&core->open);
    transaction_commit(core, NULL);
}

int transaction_commit(struct memory_core *core, lunik_error *err)
{
    lunik_machine *m = core->machine;
    lunik_runtime *rt = core->rt;
    int rc = 0;

    if (core->in_hooks)
        return end_told(core, err);
    if (core->open.depth > 1) {
        core->open.depth--;
        return 0;
    }
    core_flush(core); /* coalesced writes reach the regions they were made to */
    if (core->doomed)
        rc = lunik_fail(err, LUNIK_E_STATE, "memory: a transaction inside this one was aborted");
    else
        rc = trace_on(m) ? apply_traced(core, err) : apply(core, false, err);
    if (rc) {
        lunik_error why;

        changes_undo(&core->open);
        undo(core);
        if (core->hooks && core->hooks->repair(m, &why))
            m->requests->map_broken(m, &why);
    }
    forget_touched(core);
    core->doomed = false;
    core->open.depth = 0;
    commit_changes(core);
    core_flush(core);
    runtime_leave(rt);
    return rc;
}

void lunik_transaction_begin(lunik_machine *m)
{
    NOT_NULL(m);

    if (m->memory)
        transaction_begin(m->memory);
}

int lunik_transaction_commit(lunik_machine *m, lunik_error *err)
{
    NOT_NULL_OR_FAIL(m, err);

    if (!m->memory)
        return machine_fail_closed(m, err);
    if (!m->memory->open.depth && !m->memory->in_hooks)
        return lunik_fail(err, LUNIK_E_STATE, "memory: no transaction is open");
    return transaction_commit(m->memory, err);
}

void lunik_transaction_abort(lunik_machine *m)
{
    NOT_NULL(m);

    struct memory_core *core = m->memory;

    if (!core || (!core->open.depth && !core->in_hooks))
        return;
    core->doomed = core->doomed || !core->in_hooks;
    transaction_commit(core, NULL);
}
