/* runtime_new.c: makes a runtime, and frees it with all of its machines. */
#include <stdlib.h>

#include "core/misuse.h"
#include "core/rcu.h"
#include "core/runtime.h"
#include "object/object.h"

#define NOT_ON_LOOP "the calling thread is not the loop thread with the lock held"

int lunik_runtime_new(const lunik_type *const *types, lunik_runtime **out, lunik_error *err)
{
    NOT_NULL_OR_FAIL(out, err);
    NOT_NULL_OR_FAIL(types, err);

    lunik_runtime *rt = calloc(1, sizeof(*rt));
    int rc;

    if (!rt)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "runtime: out of memory");
    rt->loop_thread = pthread_self();
    lock_init(&rt->lock);
    task_queue_init(&rt->tasks);
    work_init(&rt->work);
    rc = types_init(&rt->types, types, err);
    if (rc)
        goto fail_types;
    rc = loop_init(rt, err);
    if (rc)
        goto fail_loop;
    lunik_lock(rt);
    *out = rt;
    return 0;
fail_loop:
    types_fini(rt->types);
fail_types:
    work_fini(&rt->work);
    task_queue_destroy(&rt->tasks);
    lock_destroy(&rt->lock);
    free(rt);
    return rc;
}

static bool is_open_transaction(const lunik_machine *m)
{
    return lunik_in_transaction(m) && !lunik_in_listener(m);
}

/* Whether a callback is running: an open transaction accounts for one of rt->calls, any further
 * call is the one that a callback was made from. */
static bool in_callback(const lunik_runtime *rt)
{
    const lunik_machine *m;
    unsigned transactions = 0;
    bool reporting = false;

    LIST_FOREACH (m, &rt->machines, link) {
        transactions += is_open_transaction(m);
        reporting |= subs_called_here(m);
    }
    return reporting || turn_any() || rt->calls > transactions;
}

static void abort_transactions(lunik_runtime *rt)
{
    lunik_machine *m;

    LIST_FOREACH (m, &rt->machines, link)
        while (lunik_in_transaction(m))
            lunik_transaction_abort(m);
}

void lunik_runtime_use(lunik_runtime *rt)
{
    NOT_NULL(rt);
    REQUIRE(lunik_locked(rt), UNLOCKED);

    rt->users++;
}

void lunik_runtime_unuse(lunik_runtime *rt)
{
    NOT_NULL(rt);
    REQUIRE(lunik_locked(rt), UNLOCKED);
    REQUIRE(rt->users, "the runtime is not in use");

    rt->users--;
}

int lunik_runtime_free(lunik_runtime *rt)
{
    if (!rt)
        return 0;
    REQUIRE(lunik_on_loop_thread(rt) && lunik_locked(rt), NOT_ON_LOOP, LUNIK_E_STATE);
    REQUIRE(!in_callback(rt), "a runtime can't be freed in a callback", LUNIK_E_STATE);
    REQUIRE(!rt->users, "the runtime is in use, for example by a Lua state", LUNIK_E_BUSY);
    abort_transactions(rt);
    runtime_enter(rt);
    while (!LIST_EMPTY(&rt->machines))
        lunik_machine_close(LIST_FIRST(&rt->machines));
    work_end(rt);
    data_release(&rt->data);
    tasks_run(rt);
    events_discard(rt);
    uv_close((uv_handle_t *)&rt->wake, NULL);
    /* Runs the close callbacks that are due. Handles that the embedder has not closed stay open. */
    while (uv_run(&rt->loop, UV_RUN_NOWAIT) && rt->loop.closing_handles)
        ;
    runtime_leave(rt);
    lunik_unlock(rt);
    rcu_drain();
    uv_loop_close(&rt->loop);
    types_fini(rt->types);
    work_fini(&rt->work);
    task_queue_destroy(&rt->tasks);
    lock_destroy(&rt->lock);
    free(rt);
    return 0;
}
