/* test_turns.c: threads that start, pause, reset and close one machine. A hook of a reset that
 * releases the lock stands for all that a call may wait for. */
#include <semaphore.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/rcu.h"
#include "lunik_device.h"
#include "check.h"

static lunik_error err;
static lunik_runtime *rt;
static lunik_machine *m;

static void make_with(const lunik_type *const *types)
{
    const lunik_machine_config config = {.name = "turns", .accel = LUNIK_ACCEL_NONE, .cpus = 1};

    if (lunik_runtime_new(types, &rt, &err) || lunik_machine_new(rt, &config, &m, &err))
        printf("# %s\n", err.message);
}

static void make(void)
{
    make_with(lunik_builtin_types());
}

static bool is(lunik_run_state state)
{
    return lunik_machine_state(m) == state;
}

/* ---- other threads -------------------------------------------------------------------------- */

static sem_t inside;
static bool waits; /* the hook releases the lock */

static void on_reset(void *unused)
{
    if (!waits)
        return;
    waits = false;
    lunik_unlock(rt);
    sem_post(&inside);
    usleep(100000); /* for others to come as far as they can */
    lunik_lock(rt);
}

struct call {
    pthread_t thread;
    int (*fn)(lunik_machine *m, lunik_error *err);
    int rc;
    lunik_run_state state; /* when it had returned */
};

static void *outsider(void *arg)
{
    struct call *c = arg;
    lunik_error why;

    lunik_lock(rt);
    c->rc = c->fn(m, &why);
    c->state = lunik_machine_state(m);
    lunik_machine_unref(m);
    lunik_unlock(rt);
    return NULL;
}

static void begin(struct call *c)
{
    lunik_machine_ref(m);
    pthread_create(&c->thread, NULL, outsider, c);
}

static void end(struct call *c)
{
    lunik_unlock(rt);
    pthread_join(c->thread, NULL);
    lunik_lock(rt);
}

static lunik_reset_sub hook; /* of the test's machine */

static void set_hook(lunik_reset_fn *fn)
{
    lunik_reset_unsubscribe(&hook);
    hook.fn = fn;
    lunik_reset_subscribe(m, &hook);
}

/* With the lock: begins a reset in another thread and returns when that waits in its hook. */
static void begin_reset(struct call *c)
{
    waits = true;
    set_hook(on_reset);
    c->fn = lunik_machine_reset;
    begin(c);
    lunik_unlock(rt);
    sem_wait(&inside);
    lunik_lock(rt);
}

static void test_close_during_reset(void)
{
    struct call reset;

    make();
    lunik_machine_ref(m);
    begin_reset(&reset);
    lunik_machine_close(m);
    check_true("closed", is(LUNIK_STATE_CLOSED));
    end(&reset);
    check_int("the reset before it was carried out", reset.rc, 0);
    check_int("another one is not", lunik_machine_reset(m, &err), LUNIK_E_STATE);
    lunik_machine_unref(m);
    lunik_runtime_free(rt);
}

static int shut_it_down(lunik_machine *machine, lunik_error *unused)
{
    lunik_machine_shutdown(machine, "host-quit", 0);
    return 0;
}

static void release_lock_in_stop(lunik_object *unused, bool running)
{
    if (!running)
        on_reset(NULL);
}

/* A shutdown that waits for the end of a close leaves nothing for the loop to do on a machine that
 * is gone. */
static void test_shutdown_during_close(void)
{
    static const lunik_type slow = {
        .name = "slow", .flags = LUNIK_TYPE_DEVICE, .run_state = release_lock_in_stop};
    static const lunik_type *const types[] = {&slow, NULL};
    struct call shutdown = {.fn = shut_it_down};

    make_with(types);
    check_int("slow to stop", lunik_device_add(m, "slow", NULL, 0, NULL, &err), 0);
    check_int("start", lunik_machine_start(m, &err), 0);
    lunik_machine_ref(m);
    begin(&shutdown);
    waits = true;
    lunik_machine_close(m);
    end(&shutdown);
    sem_wait(&inside);
    check_int("closed when the shutdown had returned", shutdown.state, LUNIK_STATE_CLOSED);
    lunik_unlock(rt);
    rcu_drain(); /* the reference that the reclaimer had */
    lunik_lock(rt);
    lunik_machine_unref(m);
    lunik_run_timeout(rt, 0);
    lunik_runtime_free(rt);
}

static int close_it(lunik_machine *machine, lunik_error *unused)
{
    lunik_machine_close(machine);
    return 0;
}

/* Those that wait for their turn find the machine closed; whoever closes it as well returns when it
 * is. */
static void test_waiting(void)
{
    int (*const calls[])(lunik_machine * m, lunik_error * err) = {
        lunik_machine_start, lunik_machine_pause, lunik_machine_reset, close_it};
    enum { CALLS = sizeof(calls) / sizeof(calls[0]) };
    struct call reset, waiting[CALLS];

    make();
    lunik_machine_ref(m);
    lunik_machine_start(m, &err);
    lunik_machine_pause(m, &err);
    lunik_machine_start(m, &err);
    begin_reset(&reset);
    for (unsigned i = 0; i < CALLS; i++) {
        waiting[i].fn = calls[i];
        begin(&waiting[i]);
    }
    lunik_machine_close(m);
    end(&reset);
    check_int("the reset was carried out", reset.rc, 0);
    for (unsigned i = 0; i < CALLS; i++) {
        end(&waiting[i]);
        check_true("before the close, refused or gone", waiting[i].rc == 0 ||
                                                            waiting[i].rc == LUNIK_E_STATE ||
                                                            waiting[i].rc == LUNIK_E_GONE);
    }
    check_int("closed by both", waiting[CALLS - 1].state, LUNIK_STATE_CLOSED);
    lunik_machine_unref(m);
    lunik_runtime_free(rt);
}

/* A running machine survives changes by all threads at once. */
static void *hammer(void *arg)
{
    const unsigned *seed = arg;
    unsigned random = *seed;

    for (int i = 0; i < 300; i++) {
        lunik_lock(rt);
        random = random * 1664525 + 1013904223;
        switch (random >> 30) {
        case 0:
            lunik_machine_start(m, NULL);
            break;
        case 1:
            lunik_machine_pause(m, NULL);
            break;
        case 2:
            lunik_machine_reset(m, NULL);
            break;
        default:
            lunik_machine_shutdown(m, "host-quit", 0);
        }
        lunik_unlock(rt);
    }
    return NULL;
}

static void yield_in_reset(void *unused)
{
    lunik_unlock(rt);
    lunik_lock(rt);
}

static void test_hammer(void)
{
    static unsigned seeds[] = {1, 2, 3};
    pthread_t threads[3];

    make();
    lunik_machine_ref(m);
    set_hook(yield_in_reset);
    for (unsigned i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, hammer, &seeds[i]);
    for (int i = 0; i < 20; i++)
        lunik_run_timeout(rt, 1);
    lunik_machine_close(m);
    check_true("closed under fire", is(LUNIK_STATE_CLOSED));
    lunik_unlock(rt);
    for (unsigned i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    lunik_lock(rt);
    lunik_machine_unref(m);
    lunik_runtime_free(rt);
}

/* ---- calls from hooks ----------------------------------------------------------------------- */

static int start_rc, reset_rc, pause_rc;
static unsigned hooks;

static void start_again(void *unused)
{
    hooks++;
    start_rc = lunik_machine_start(m, &err);
    reset_rc = lunik_machine_reset(m, NULL);
}

static void shut_down(void *unused)
{
    lunik_machine_shutdown(m, "host-quit", 3);
}

static void pause_it(void *unused)
{
    pause_rc = lunik_machine_pause(m, &err);
}

static void close_in_hook(void *unused)
{
    lunik_machine_close(m);
}

static void test_reset_hooks(void)
{
    make();
    set_hook(start_again);
    check_int("start", lunik_machine_start(m, &err), 0);
    check_int("start in its reset hook", start_rc, LUNIK_E_STATE);
    check_int("a reset there is the one under way", reset_rc, 0);
    check_int("reset", lunik_machine_reset(m, &err), 0);
    check_int("start in that", start_rc, LUNIK_E_STATE);
    check_uint("one hook for each", hooks, 2);
    check_true("and it runs", is(LUNIK_STATE_RUNNING));
    set_hook(pause_it);
    check_int("reset with a pause", lunik_machine_reset(m, &err), 0);
    check_true("stays paused", is(LUNIK_STATE_PAUSED) && !pause_rc);
    lunik_machine_start(m, &err);
    set_hook(shut_down);
    check_int("reset with a shutdown", lunik_machine_reset(m, &err), 0);
    check_true("stays shut down", is(LUNIK_STATE_SHUTDOWN) && lunik_machine_exit_code(m) == 3);
    set_hook(close_in_hook);
    lunik_machine_ref(m);
    lunik_machine_reset(m, &err);
    check_true("closed only afterwards", !is(LUNIK_STATE_CLOSED));
    lunik_run_timeout(rt, 0);
    check_true("but closed", is(LUNIK_STATE_CLOSED));
    lunik_machine_unref(m);
    lunik_runtime_free(rt);
}

static int start_in_commit(lunik_listener *l, lunik_error *unused)
{
    start_rc = lunik_machine_start(m, &err);
    return 0;
}

static void test_listener(void)
{
    lunik_listener l = {.name = "starter", .commit = start_in_commit};

    make();
    start_rc = 0;
    lunik_listener_add(m, &l, &err);
    check_int("start in a listener's hook", start_rc, LUNIK_E_STATE);
    check_true("nothing has started", is(LUNIK_STATE_CREATED));
    lunik_listener_del(&l);
    lunik_transaction_begin(m);
    check_int("start in a transaction", lunik_machine_start(m, &err), LUNIK_E_STATE);
    lunik_machine_ref(m);
    lunik_machine_close(m);
    check_true("a close there aborts it", is(LUNIK_STATE_CLOSED));
    lunik_machine_unref(m);
    lunik_runtime_free(rt);
}

int main(void)
{
    sem_init(&inside, 0, 0);
    test_close_during_reset();
    test_shutdown_during_close();
    test_waiting();
    test_hammer();
    test_reset_hooks();
    test_listener();
    return check_result();
}
