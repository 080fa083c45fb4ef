/* test_work.c: slow work on the runtime's own threads. */
#include <pthread.h>
#include <sched.h>

#include "check.h"
#include "core/runtime.h"

enum { MANY = 50 };

static lunik_runtime *rt;
static lunik_error err;
static _Atomic unsigned begun, runs, wrong, gate;
static unsigned dones, gone;

static void run(lunik_work *w)
{
    if (lunik_locked(rt) || lunik_on_loop_thread(rt))
        wrong++;
    begun++;
    while (!gate)
        sched_yield();
    lunik_lock(rt); /* as for a register of another device */
    runs++;
    lunik_unlock(rt);
}

static void done(lunik_work *w, int rc)
{
    if (!lunik_locked(rt) || !lunik_on_loop_thread(rt))
        wrong++;
    dones++;
    gone += rc == LUNIK_E_GONE;
    if (rc && rc != LUNIK_E_GONE)
        wrong++;
}

static lunik_work works[MANY];

static void start_all(void)
{
    int rc = 0;

    for (unsigned i = 0; i < MANY; i++) {
        works[i] = (lunik_work){.run = run, .done = done};
        rc = rc ? rc : lunik_work_start(rt, &works[i], &err);
    }
    check_int("work: is started", rc, 0);
}

static void test_all_done(void)
{
    start_all();
    check_int("work: only once", lunik_work_start(rt, &works[0], &err), LUNIK_E_STATE);
    check_uint("work: done on the loop only", dones, 0);
    check_true("work: what waits is cancelled", lunik_work_cancel(&works[MANY - 1]));
    check_true("work: once", !lunik_work_cancel(&works[MANY - 1]));
    gate = 1;
    while (dones < MANY - 1)
        lunik_run(rt, LUNIK_RUN_NOWAIT);
    check_uint("work: all of it is done", runs, MANY - 1);
    check_true("work: what is done is not cancelled", !lunik_work_cancel(&works[0]));
    check_int("work: may be started again", lunik_work_start(rt, &works[0], &err), 0);
    while (dones < MANY)
        lunik_run(rt, LUNIK_RUN_NOWAIT);
}

/* Once no more work is taken. The threads, and so the runtime, wait for the gate. */
static void *open_gate(void *unused)
{
    bool closed = false;

    while (!closed) {
        sched_yield();
        pthread_mutex_lock(&rt->work.mutex);
        closed = rt->work.closed;
        pthread_mutex_unlock(&rt->work.mutex);
    }
    gate = 1;
    return NULL;
}

static void test_runtime_freed(void)
{
    pthread_t thread;

    begun = gate = runs = dones = gone = 0;
    start_all();
    while (!begun) /* without any there is nothing to wait for */
        sched_yield();
    pthread_create(&thread, NULL, open_gate, NULL);
    lunik_runtime_free(rt);
    pthread_join(thread, NULL);
    check_uint("end: done is called for all", dones, MANY);
    check_uint("end: run for those that had begun", runs + gone, MANY);
    check_true("end: not for the others", gone);
}

int main(void)
{
    static const lunik_type *const no_types[] = {NULL};

    if (lunik_runtime_new(no_types, &rt, &err))
        return 1;
    test_all_done();
    test_runtime_freed();
    check_uint("work: with and without the lock", wrong, 0);
    return check_result();
}
