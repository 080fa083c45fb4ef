/* test_drain.c: devices that finish what is in flight before a pause, reset, removal or close. */
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/rcu.h"
#include "lunik_device.h"
#include "check.h"

static lunik_error err;
static lunik_runtime *rt;
static lunik_machine *m;

/* ---- a device ------------------------------------------------------------------------------- */

enum how {
    AT_ONCE,  /* reports within the call */
    BY_TASK,  /* from the loop */
    BY_TIMER, /* of the machine's clock */
    BY_HAND,  /* when the test says so */
};

enum { MOST_DEVICES = 8 };

struct slow {
    uint64_t how, index;
    lunik_object *backend;
    lunik_drain *owed;
    lunik_task task;
    lunik_timer timer;
    bool drained, running;
};

static struct slow *_Atomic device[MOST_DEVICES]; /* by index; NULL: none */
static bool all_at_once;                          /* whatever a device's `how` says */
static char order[256];                           /* what has been called, in letters */
static pthread_mutex_t order_mutex = PTHREAD_MUTEX_INITIALIZER;

static void note(const struct slow *s, char what)
{
    size_t length;

    pthread_mutex_lock(&order_mutex);
    length = strlen(order);
    if (length + 3 < sizeof(order)) {
        order[length] = what;
        order[length + 1] = (char)('0' + s->index);
        order[length + 2] = 0;
    }
    pthread_mutex_unlock(&order_mutex);
}

static void report(struct slow *s)
{
    lunik_drain *d = s->owed;

    s->owed = NULL;
    lunik_drain_done(d);
}

static void on_task(lunik_task *task)
{
    report(lunik_container_of(task, struct slow, task));
}

static void on_timer(lunik_timer *timer)
{
    report(lunik_container_of(timer, struct slow, timer));
}

static int realize(lunik_object *o, lunik_error *unused)
{
    struct slow *s = lunik_state(o);

    s->task.fn = on_task;
    lunik_timer_init(&s->timer, lunik_object_machine(o), on_timer);
    device[s->index] = s;
    return 0;
}

static void unrealize(lunik_object *o)
{
    struct slow *s = lunik_state(o);

    note(s, 'x');
    lunik_timer_cancel(&s->timer);
    lunik_defer_cancel(rt, &s->task);
    if (s->how != BY_HAND && s->owed)
        report(s);
    device[s->index] = NULL;
}

static void drain(lunik_object *o, lunik_drain *d)
{
    struct slow *s = lunik_state(o);

    note(s, 'd');
    check_true("asked by its own name", lunik_drain_object(d) == o);
    check_true("asked once", !s->owed && !s->drained);
    s->owed = d;
    s->drained = true;
    if (s->how == AT_ONCE || all_at_once)
        report(s);
    else if (s->how == BY_TASK)
        lunik_defer(rt, &s->task);
    else if (s->how == BY_TIMER)
        lunik_timer_set(&s->timer, lunik_clock_now(lunik_object_machine(o)) + 1000000);
}

static void undrain(lunik_object *o)
{
    struct slow *s = lunik_state(o);

    note(s, 'u');
    check_true("drained before", s->drained);
    s->drained = false;
}

static void run_state(lunik_object *o, bool running)
{
    struct slow *s = lunik_state(o);

    note(s, running ? 'r' : 's');
    s->running = running;
}

static void reset(lunik_object *o)
{
    note(lunik_state(o), '0');
}

static const lunik_prop props[] = {
    {.name = "how", .kind = LUNIK_PROP_UINT, .offset = offsetof(struct slow, how)},
    {.name = "index", .kind = LUNIK_PROP_UINT, .offset = offsetof(struct slow, index)},
    {.name = "backend",
     .kind = LUNIK_PROP_LINK,
     .link = "slow",
     .offset = offsetof(struct slow, backend)},
    {0},
};

static const lunik_type slow_type = {
    .name = "slow",
    .flags = LUNIK_TYPE_DEVICE | LUNIK_TYPE_HOTPLUG | LUNIK_TYPE_UNPLUG,
    .size = sizeof(struct slow),
    .props = props,
    .realize = realize,
    .unrealize = unrealize,
    .drain = drain,
    .undrain = undrain,
    .run_state = run_state,
    .reset = reset,
};

static const lunik_type *const types[] = {&slow_type, NULL};

/* ---- a machine ------------------------------------------------------------------------------ */

static char seen[512]; /* names of events, each with a space */
static char said[512]; /* the last message */
static lunik_event_sub events;

static void on_event(void *unused, const lunik_event *event)
{
    if (strlen(seen) + strlen(event->name) + 2 < sizeof(seen))
        strcat(strcat(seen, event->name), " ");
    for (size_t i = 0; i < event->count; i++)
        if (!strcmp(event->fields[i].name, "message") || !strcmp(event->fields[i].name, "reason"))
            snprintf(said, sizeof(said), "%s", event->fields[i].value.string);
}

static void make(unsigned timeout_ms)
{
    const lunik_machine_config config = {
        .name = "m", .accel = LUNIK_ACCEL_NONE, .cpus = 1, .drain_timeout = timeout_ms};

    if (lunik_runtime_new(types, &rt, &err) || lunik_machine_new(rt, &config, &m, &err))
        printf("# %s\n", err.message);
    events = (lunik_event_sub){.fn = on_event};
    lunik_event_subscribe(m, &events);
    order[0] = seen[0] = said[0] = 0;
}

static void add(unsigned index, enum how how, const char *backend)
{
    char id[] = {'d', (char)('0' + index), 0};
    lunik_field fields[] = {LUNIK_FIELD_STRING("id", id), LUNIK_FIELD_UINT("how", how),
                            LUNIK_FIELD_UINT("index", index),
                            LUNIK_FIELD_STRING("backend", backend)};

    if (lunik_device_add(m, "slow", fields, backend ? 4 : 3, NULL, &err))
        printf("not ok device: %s\n", err.message);
}

/* With nothing in flight. */
static void start(void)
{
    all_at_once = true;
    if (lunik_machine_start(m, &err))
        printf("not ok start: %s\n", err.message);
    all_at_once = false;
    lunik_run_timeout(rt, 0);
    order[0] = seen[0] = 0;
}

static bool is(lunik_run_state state)
{
    return lunik_machine_state(m) == state;
}

static void end(void)
{
    lunik_runtime_free(rt);
}

/* ---- another thread ------------------------------------------------------------------------- */

struct late {
    pthread_t thread;
    lunik_drain *d;
    unsigned us;
};

static void *report_late(void *arg)
{
    const struct late *l = arg;

    usleep(l->us);
    lunik_drain_done(l->d);
    return NULL;
}

/* The report of a device that is asked BY_HAND, from a thread. */
static void report_soon(struct late *l, struct slow *s, unsigned us)
{
    l->us = us;
    l->d = s->owed;
    s->owed = NULL;
    pthread_create(&l->thread, NULL, report_late, l);
}

static int ended_with; /* 1: not yet */

static void on_end(lunik_request *r, const lunik_error *why)
{
    ended_with = why ? why->code : 0;
}

static lunik_request request;

static int ask(lunik_request_kind kind)
{
    request = (lunik_request){.fn = on_end};
    ended_with = 1;
    return lunik_machine_request(m, kind, &request, &err);
}

static void run_until_ended(void)
{
    while (ended_with == 1)
        lunik_run_timeout(rt, -1);
}

/* ---- tests ---------------------------------------------------------------------------------- */

/* Users before what they use, vCPUs before devices, run_state after all. */
static void test_order(void)
{
    make(0);
    add(0, AT_ONCE, NULL);
    add(1, BY_TASK, "d0");
    start();
    check_int("pause", lunik_machine_pause(m, &err), 0);
    check_string("the user, what it uses, and then they stop", order, "d1d0s1s0");
    order[0] = 0;
    start();
    check_true("and it goes on", is(LUNIK_STATE_RUNNING) && !device[0]->drained);
    check_int("reset", lunik_machine_reset(m, &err), 0);
    check_string("drained while it is reset", order,
                 "d1d0s1s000"
                 "01r0r1u0u1");
    order[0] = 0;
    lunik_machine_close(m);
    check_string("and before it goes", order, "d1d0s1s0x1x0");
    end();
}

static void test_ways(void)
{
    struct late late;

    make(0);
    add(0, AT_ONCE, NULL);
    add(1, BY_TIMER, NULL);
    add(2, BY_TASK, NULL);
    add(3, BY_HAND, NULL);
    start();
    check_int("a pause can't be had at once", ask(LUNIK_REQUEST_PAUSE), LUNIK_UNDER_WAY);
    check_true("it runs, with the vCPUs outside", is(LUNIK_STATE_RUNNING));
    check_string("each is asked, and none stopped", order, "d3d2d1d0");
    report_soon(&late, device[3], 20000);
    run_until_ended();
    pthread_join(late.thread, NULL);
    check_true("paused in the end", !ended_with && is(LUNIK_STATE_PAUSED));
    check_int("paused again", ask(LUNIK_REQUEST_PAUSE), 0);
    add(4, BY_TASK, NULL);
    check_true("one that is added to a paused machine is asked", device[4]->drained);
    lunik_run_timeout(rt, 0);
    check_int("resume", ask(LUNIK_REQUEST_START), 0);
    check_true("and goes on with it", !device[4]->drained);
    device[3]->how = AT_ONCE;
    lunik_machine_close(m);
    end();
}

static void test_late(void)
{
    lunik_drain *owed;

    make(30);
    add(0, BY_HAND, NULL);
    start();
    device[0]->how = BY_HAND;
    check_int("a pause that takes too long fails", lunik_machine_pause(m, &err), LUNIK_E_TIMEOUT);
    check_string("and says why", err.message,
                 "machine 'm' can't be paused: device 'd0' (slow) has not finished what is in "
                 "flight within 0.03 s");
    check_true("the machine runs on", is(LUNIK_STATE_RUNNING) && device[0]->running);
    check_string("the device, too", order, "d0u0");
    check_int("it is not asked before it has reported", ask(LUNIK_REQUEST_PAUSE), LUNIK_UNDER_WAY);
    check_string("not asked", order, "d0u0");
    report(device[0]);
    lunik_run_timeout(rt, 0);
    check_string("but then", order, "d0u0d0");
    report(device[0]);
    run_until_ended();
    check_true("paused", !ended_with && is(LUNIK_STATE_PAUSED));
    start();
    check_int("a reset goes on without it", lunik_machine_reset(m, &err), 0);
    check_string("after the bound", order, "d0s000r0u0");
    lunik_run_timeout(rt, 0);
    check_string("and says so", said,
                 "device 'd0' (slow) has not finished what is in flight within 0.03 s");
    check_contains("with an event", seen, "error reset");
    report(device[0]);
    said[0] = order[0] = 0;
    ask(LUNIK_REQUEST_CLOSE);
    owed = device[0]->owed;
    run_until_ended();
    check_contains("a close, too", said, "has not finished");
    check_string("it is taken apart", order, "d0s0x0");
    lunik_drain_done(owed);
    end();
}

/* Its report comes when the machine, or the runtime, is gone. */
static void test_after_close(void)
{
    struct late late[2];
    lunik_drain *owed[2];

    make(5);
    add(0, BY_HAND, NULL);
    add(1, BY_HAND, NULL);
    start();
    check_int("pause", lunik_machine_pause(m, &err), LUNIK_E_TIMEOUT);
    owed[0] = device[0]->owed;
    owed[1] = device[1]->owed;
    lunik_machine_close(m);
    late[0] = (struct late){.d = owed[0], .us = 20000};
    pthread_create(&late[0].thread, NULL, report_late, &late[0]);
    end();
    lunik_drain_done(owed[1]);
    pthread_join(late[0].thread, NULL);
    rcu_drain();
}

static void test_removal(void)
{
    struct late late;
    lunik_object *o;

    make(30);
    add(0, BY_HAND, NULL);
    add(1, AT_ONCE, NULL);
    start();
    check_int("one without work in flight goes", lunik_device_del(m, "d1", &err), 0);
    check_true("at once", !lunik_object_find(m, "d1"));
    o = lunik_object_find(m, "d0");
    check_int("removal", lunik_device_del(m, "d0", &err), 0);
    check_true("it is still there", lunik_device_plug_state(o) == LUNIK_PLUG_DRAINING);
    check_int("asked again", lunik_device_del(m, "d0", &err), 0);
    report_soon(&late, device[0], 5000);
    while (device[0])
        lunik_run_timeout(rt, -1);
    pthread_join(late.thread, NULL);
    lunik_run_timeout(rt, 0);
    check_contains("gone when it has finished", seen, "device-deleted");
    add(2, BY_HAND, NULL);
    seen[0] = order[0] = 0;
    lunik_device_del(m, "d2", &err);
    while (!strstr(seen, "device-unplug-guest-error"))
        lunik_run_timeout(rt, -1);
    check_contains("it stays if it takes too long", said, "'d2' (slow) has not finished");
    check_true("as it was",
               lunik_device_plug_state(lunik_object_find(m, "d2")) == LUNIK_PLUG_REFUSED);
    check_string("and goes on", order, "d2u2");
    report(device[2]);
    lunik_device_del(m, "d2", &err);
    check_int("a reset", ask(LUNIK_REQUEST_RESET), LUNIK_UNDER_WAY);
    report(device[2]);
    run_until_ended();
    check_true("completes a removal", !ended_with && !device[2]);
    end();
}

static void test_transaction(void)
{
    make(0);
    add(0, AT_ONCE, NULL);
    add(1, BY_HAND, NULL);
    start();
    lunik_transaction_begin(m);
    lunik_device_del(m, "d0", &err);
    lunik_device_del(m, "d1", &err);
    check_true("hidden", !lunik_object_find(m, "d0"));
    lunik_transaction_abort(m);
    check_true("and back", lunik_object_find(m, "d0") && lunik_object_find(m, "d1"));
    check_string("to work", order, "d0d1u1u0");
    report(device[1]);
    order[0] = 0;
    lunik_transaction_begin(m);
    lunik_device_del(m, "d1", &err);
    report(device[1]);
    lunik_device_del(m, "d0", &err);
    check_int("commit", lunik_transaction_commit(m, &err), 0);
    check_true("one is gone with it", !device[0]);
    lunik_run_timeout(rt, 0);
    check_true("the other soon after", !device[1]);
    add(2, BY_HAND, NULL);
    order[0] = 0;
    lunik_transaction_begin(m);
    check_int("a pause in a transaction", lunik_machine_pause(m, &err), 0);
    check_int("a drain can't be waited for", lunik_machine_drain(m, NULL, &err), LUNIK_E_STATE);
    lunik_transaction_commit(m, &err);
    lunik_run_timeout(rt, 0);
    check_true("takes time", is(LUNIK_STATE_RUNNING));
    report(device[2]);
    lunik_run_timeout(rt, 0);
    check_true("and effect", is(LUNIK_STATE_PAUSED));
    end();
}

static lunik_request second;

static void test_together(void)
{
    make(0);
    add(0, BY_HAND, NULL);
    start();
    ask(LUNIK_REQUEST_PAUSE);
    second = (lunik_request){.fn = on_end};
    check_int("a reset during a pause",
              lunik_machine_request(m, LUNIK_REQUEST_RESET, &second, &err), LUNIK_UNDER_WAY);
    check_string("asks no more", order, "d0");
    device[0]->how = AT_ONCE;
    report(device[0]);
    lunik_run_timeout(rt, 0);
    check_true("both are carried out", is(LUNIK_STATE_PAUSED) && !ended_with);
    lunik_run_timeout(rt, 0);
    check_contains("the reset first", seen, "reset paused");
    device[0]->how = BY_HAND;
    start();
    ask(LUNIK_REQUEST_PAUSE);
    lunik_machine_shutdown(m, "host-quit", 2);
    check_true("a shutdown during a pause", is(LUNIK_STATE_SHUTDOWN));
    report(device[0]);
    run_until_ended();
    check_true("has the last word", is(LUNIK_STATE_SHUTDOWN) && !device[0]->running);
    device[0]->how = AT_ONCE;
    start();
    device[0]->how = BY_HAND;
    ask(LUNIK_REQUEST_PAUSE);
    lunik_machine_ref(m);
    lunik_machine_request(m, LUNIK_REQUEST_CLOSE, &second, &err);
    check_int("no start while it is being closed", lunik_machine_start(m, &err), LUNIK_E_STATE);
    report(device[0]);
    run_until_ended();
    check_true("a close comes before a pause", is(LUNIK_STATE_CLOSED));
    lunik_machine_unref(m);
    end();
}

static void test_drains(void)
{
    make(30);
    add(0, BY_TASK, NULL);
    start();
    check_int("drain", lunik_machine_drain(m, NULL, &err), 0);
    check_true("the machine runs", is(LUNIK_STATE_RUNNING) && device[0]->running);
    check_int("twice", lunik_machine_drain(m, NULL, &err), 0);
    check_int("a pause has nothing to wait for", ask(LUNIK_REQUEST_PAUSE), 0);
    lunik_machine_undrain(m);
    lunik_machine_start(m, &err);
    check_string("drained all the time", order, "d0s0r0");
    lunik_machine_undrain(m);
    check_string("until the last", order, "d0s0r0u0");
    device[0]->how = BY_HAND;
    check_int("one that fails", ask(LUNIK_REQUEST_DRAIN), LUNIK_UNDER_WAY);
    run_until_ended();
    check_int("is over", ended_with, LUNIK_E_TIMEOUT);
    check_true("for the device as well", !device[0]->drained);
    report(device[0]);
    device[0]->how = BY_TASK;
    end();
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    test_order();
    test_ways();
    test_late();
    test_after_close();
    test_removal();
    test_transaction();
    test_together();
    test_drains();
    return check_result();
}
