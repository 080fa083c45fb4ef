/*
 * test_drain_model.c: random pauses, resets, sleeps, drains, removals and reports, against a model
 * that knows only the rules in lunik_device.h; then the same from several threads at once.
 *
 * usage: test_drain_model [FIRST-SEED [SEEDS]]
 */
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "lunik_device.h"
#include "check.h"

enum { DEVICES = 4, STEPS = 120, SEEDS = 150 };

static lunik_error err;
static lunik_runtime *rt;
static lunik_machine *m;

static uint64_t random_state;

static unsigned chance(unsigned below)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(random_state >> 33) % below;
}

/* ---- devices -------------------------------------------------------------------------------- */

struct device {
    uint64_t index;
    bool drained; /* drain was called later than undrain */
};

/* A report needs nothing of the device, which may be gone. */
static struct slot {
    struct device *device;
    lunik_drain *owed[8]; /* the oldest first: those of devices that are gone as well */
    unsigned count;
    bool at_once;
} slots[DEVICES];

static const char *broken; /* a rule that the library has broken */

static bool is_owed(const struct slot *s)
{
    for (unsigned i = 0; s->device && i < s->count; i++)
        if (lunik_drain_object(s->owed[i]) == lunik_state_object(s->device))
            return true;
    return false;
}

static int realize(lunik_object *o, lunik_error *unused)
{
    struct device *d = lunik_state(o);

    slots[d->index].device = d;
    return 0;
}

static void unrealize(lunik_object *o)
{
    const struct device *d = lunik_state(o);

    slots[d->index].device = NULL;
}

static void drain(lunik_object *o, lunik_drain *owed)
{
    struct device *d = lunik_state(o);
    struct slot *s = &slots[d->index];

    if (d->drained || is_owed(s))
        broken = "drain is called twice";
    d->drained = true;
    if (s->at_once)
        lunik_drain_done(owed);
    else
        s->owed[s->count++] = owed;
}

static void undrain(lunik_object *o)
{
    struct device *d = lunik_state(o);

    if (!d->drained)
        broken = "undrain without drain";
    d->drained = false;
}

static const lunik_prop props[] = {
    {.name = "index", .kind = LUNIK_PROP_UINT, .offset = offsetof(struct device, index)},
    {0},
};

static const lunik_type type = {
    .name = "device",
    .flags = LUNIK_TYPE_DEVICE | LUNIK_TYPE_HOTPLUG | LUNIK_TYPE_UNPLUG,
    .size = sizeof(struct device),
    .props = props,
    .realize = realize,
    .unrealize = unrealize,
    .drain = drain,
    .undrain = undrain,
};

static const lunik_type *const types[] = {&type, NULL};

/* ---- the model ------------------------------------------------------------------------------ */

static struct {
    lunik_run_state state;
    bool stop, reset, wake, start, pause; /* asked for, not carried out */
    bool held;                            /* drained for these, or since one of them */
    bool asleep;
    unsigned drains, waiting; /* lunik_machine_drain() carried out, and not yet */
    struct {
        bool there, asked, owed, leaving;
    } device[DEVICES];
} model;

static bool wanted(unsigned i)
{
    return model.held || model.drains || model.waiting || model.device[i].leaving;
}

/* Drains and undrains. Returns whether all objects that were asked have finished. */
static bool at_rest(void)
{
    bool rest = true;

    for (unsigned i = 0; i < DEVICES; i++) {
        if (!model.device[i].there)
            continue;
        if (!wanted(i))
            model.device[i].asked = false;
        else if (!model.device[i].asked && !model.device[i].owed) {
            model.device[i].asked = true;
            model.device[i].owed = !slots[i].at_once;
        }
        rest &= !wanted(i) || (model.device[i].asked && !model.device[i].owed);
    }
    return rest;
}

static bool come_to_rest(void)
{
    model.held = true;
    return at_rest();
}

static void remove_finished(bool all)
{
    for (unsigned i = 0; i < DEVICES; i++)
        if (model.device[i].there && model.device[i].leaving && model.device[i].asked &&
            (all || !model.device[i].owed))
            memset(&model.device[i], 0, sizeof(model.device[i]));
}

static bool is_on(void)
{
    return model.state == LUNIK_STATE_RUNNING || model.state == LUNIK_STATE_SUSPENDED;
}

static void go_on(void)
{
    model.state = model.asleep ? LUNIK_STATE_SUSPENDED : LUNIK_STATE_RUNNING;
    model.held = false;
    at_rest();
}

static void carry_reset(void)
{
    model.reset = model.asleep = false;
    remove_finished(true);
    if (is_on())
        go_on();
    else if (model.state != LUNIK_STATE_CREATED)
        model.state = LUNIK_STATE_PAUSED;
}

static void carry_start(void)
{
    model.start = false;
    if (model.state != LUNIK_STATE_PAUSED) {
        model.asleep = false;
        remove_finished(true);
    }
    if (!is_on())
        go_on();
}

/* Carries out the first that is asked for; false: there is none, or it has to wait. */
static bool carry_one(void)
{
    if (model.stop) {
        if (!come_to_rest())
            return false;
        model.stop = false;
    } else if (model.reset) {
        if (!come_to_rest())
            return false;
        carry_reset();
    } else if (model.wake) {
        if (model.state == LUNIK_STATE_SUSPENDED && !come_to_rest())
            return false;
        model.wake = false;
        if (model.state == LUNIK_STATE_SUSPENDED) {
            model.asleep = false;
            go_on();
        }
    } else if (model.start) {
        if (model.state != LUNIK_STATE_PAUSED && !come_to_rest())
            return false;
        carry_start();
    } else if (model.pause) {
        if (is_on() && !come_to_rest())
            return false;
        model.pause = false;
        if (is_on())
            model.state = LUNIK_STATE_PAUSED;
    } else {
        return false;
    }
    if (model.state == LUNIK_STATE_CREATED)
        model.held = false;
    return true;
}

/* All that is possible without further reports. */
static void settle(void)
{
    do {
        at_rest();
        remove_finished(false);
        if (model.waiting && at_rest()) {
            model.drains += model.waiting;
            model.waiting = 0;
        }
    } while (carry_one());
    at_rest();
    remove_finished(false);
}

/* ---- requests ------------------------------------------------------------------------------- */

enum { REQUESTS = 64 };

static lunik_request requests[REQUESTS];
static unsigned begun, ended, failed;

static void on_end(lunik_request *r, const lunik_error *why)
{
    ended++;
    failed += why != NULL;
}

/* Returns whether it is under way or done. */
static bool ask(lunik_request_kind kind)
{
    lunik_request *r = &requests[begun % REQUESTS];
    int rc;

    *r = (lunik_request){.fn = on_end};
    rc = lunik_machine_request(m, kind, r, &err);
    begun += rc == LUNIK_UNDER_WAY;
    return rc >= 0;
}

/* ---- steps ---------------------------------------------------------------------------------- */

static char name[3] = "d0";

static const char *name_of(unsigned i)
{
    name[1] = (char)('0' + i);
    return name;
}

static void step_add(unsigned i)
{
    const lunik_field fields[] = {LUNIK_FIELD_STRING("id", name_of(i)),
                                  LUNIK_FIELD_UINT("index", i)};

    if (slots[i].device || slots[i].count)
        return;
    slots[i].at_once = chance(3) == 0;
    if (lunik_device_add(m, "device", fields, 2, NULL, &err))
        broken = "a device can't be added";
    model.device[i].there = true;
}

static void step_del(unsigned i)
{
    if (!slots[i].device)
        return;
    if (lunik_device_del(m, name_of(i), &err))
        broken = "a device can't be asked to go";
    model.device[i].leaving = true;
}

static void step_report(unsigned i)
{
    struct slot *s = &slots[i];

    if (!s->count)
        return;
    if (is_owed(s))
        model.device[i].owed = false;
    lunik_drain_done(s->owed[0]);
    s->count--;
    memmove(s->owed, s->owed + 1, s->count * sizeof(s->owed[0]));
}

static void step_shutdown(void)
{
    if (!is_on() && model.state != LUNIK_STATE_PAUSED)
        return;
    lunik_machine_shutdown(m, "host-quit", 0);
    model.state = LUNIK_STATE_SHUTDOWN;
    model.stop = true;
}

static void step_suspend(void)
{
    lunik_machine_suspend(m);
    if (model.state != LUNIK_STATE_RUNNING)
        return;
    model.state = LUNIK_STATE_SUSPENDED;
    model.asleep = true;
}

static void step_undrain(void)
{
    if (!model.drains)
        return;
    lunik_machine_undrain(m);
    model.drains--;
}

static const char *const step_names[] = {"pause",  "start",   "reset",   "shutdown",
                                         "drain",  "undrain", "add",     "del",
                                         "report", "report",  "suspend", "wakeup"};

static void take_step(unsigned what, unsigned i)
{
    switch (what) {
    case 0:
        model.pause |= ask(LUNIK_REQUEST_PAUSE) && is_on();
        break;
    case 1:
        model.start |= ask(LUNIK_REQUEST_START);
        break;
    case 2:
        model.reset |= ask(LUNIK_REQUEST_RESET);
        break;
    case 3:
        step_shutdown();
        break;
    case 4:
        if (model.drains + model.waiting < 3 && ask(LUNIK_REQUEST_DRAIN))
            model.waiting++;
        break;
    case 5:
        step_undrain();
        break;
    case 6:
        step_add(i);
        break;
    case 7:
        step_del(i);
        break;
    case 10:
        step_suspend();
        break;
    case 11:
        model.wake |= ask(LUNIK_REQUEST_WAKEUP);
        break;
    default:
        step_report(i);
    }
}

static bool agrees(void)
{
    unsigned open = model.waiting;

    if (lunik_machine_state(m) != model.state)
        broken = "the state differs";
    for (unsigned i = 0; i < DEVICES; i++) {
        if ((slots[i].device != NULL) != model.device[i].there)
            broken = "a device is there, or not";
        else if (slots[i].device && slots[i].device->drained != model.device[i].asked)
            broken = "a device is drained, or not";
        else if (slots[i].device && is_owed(&slots[i]) != model.device[i].owed)
            broken = "a device owes a report, or not";
    }
    if (!open && !model.stop && !model.reset && !model.wake && !model.start && !model.pause &&
        ended != begun)
        broken = "a request has not ended";
    return !broken;
}

static void make(unsigned timeout_ms)
{
    const lunik_machine_config config = {
        .name = "m", .accel = LUNIK_ACCEL_NONE, .cpus = 1, .drain_timeout = timeout_ms};

    if (lunik_runtime_new(types, &rt, &err) || lunik_machine_new(rt, &config, &m, &err)) {
        printf("not ok %s\n", err.message);
        exit(1);
    }
}

static void report_all(void)
{
    for (unsigned i = 0; i < DEVICES; i++)
        while (slots[i].count)
            step_report(i);
}

static bool run_seed(uint64_t seed)
{
    random_state = seed * 0x9e3779b97f4a7c15u;
    memset(&model, 0, sizeof(model));
    memset(slots, 0, sizeof(slots));
    model.state = LUNIK_STATE_CREATED;
    begun = ended = failed = 0;
    broken = NULL;
    make(1000000);
    for (unsigned step = 0; step < STEPS; step++) {
        unsigned what = chance(12), i = chance(DEVICES);

        take_step(what, i);
        lunik_run_timeout(rt, 0);
        lunik_run_timeout(rt, 0);
        settle();
        if (!agrees()) {
            printf("not ok seed %" PRIu64 ", step %u (%s %u): %s\n", seed, step, step_names[what],
                   i, broken);
            return false;
        }
    }
    for (unsigned i = 0; i < DEVICES; i++)
        slots[i].at_once = true;
    report_all();
    lunik_runtime_free(rt);
    return ended == begun && !broken;
}

/* ---- threads -------------------------------------------------------------------------------- */

static _Atomic bool over;

/* Reports what is owed, sooner or later. */
static void *reporter(void *unused)
{
    unsigned i = 0;

    while (!over) {
        lunik_drain *d = NULL;
        struct slot *s = &slots[i++ % DEVICES];

        lunik_lock(rt);
        if (s->count) {
            d = s->owed[0];
            s->count--;
            memmove(s->owed, s->owed + 1, s->count * sizeof(s->owed[0]));
        }
        lunik_unlock(rt);
        if (d)
            lunik_drain_done(d);
        else
            usleep(100);
    }
    return NULL;
}

static void *hammer(void *arg)
{
    unsigned random = *(const unsigned *)arg;

    for (int i = 0; i < 100; i++) {
        lunik_lock(rt);
        random = random * 1664525 + 1013904223;
        switch (random >> 29) {
        case 0:
        case 1:
            lunik_machine_start(m, NULL);
            break;
        case 2:
        case 3:
            lunik_machine_pause(m, NULL);
            break;
        case 4:
            lunik_machine_reset(m, NULL);
            break;
        case 5:
            lunik_machine_shutdown(m, "host-quit", 0);
            break;
        default:
            if (!lunik_machine_drain(m, NULL, NULL))
                lunik_machine_undrain(m);
        }
        lunik_unlock(rt);
    }
    return NULL;
}

static void test_threads(void)
{
    static unsigned numbers[] = {1, 2, 3};
    pthread_t threads[3], reports;

    random_state = 7;
    memset(slots, 0, sizeof(slots));
    broken = NULL;
    make(60000);
    for (unsigned i = 0; i < DEVICES; i++)
        step_add(i);
    lunik_machine_ref(m);
    over = false;
    pthread_create(&reports, NULL, reporter, NULL);
    for (unsigned i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, hammer, &numbers[i]);
    for (int i = 0; i < 50; i++) {
        step_del((unsigned)i % DEVICES);
        lunik_run_timeout(rt, 2);
        step_add((unsigned)i % DEVICES);
    }
    lunik_machine_close(m);
    check_true("closed under fire", lunik_machine_state(m) == LUNIK_STATE_CLOSED);
    lunik_unlock(rt);
    for (unsigned i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    over = true;
    pthread_join(reports, NULL);
    lunik_lock(rt);
    report_all();
    lunik_machine_unref(m);
    lunik_runtime_free(rt);
    if (!check_true("by the rules", !broken))
        printf("# %s\n", broken);
}

int main(int argc, char **argv)
{
    uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
    uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 0) : SEEDS, good = 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    for (uint64_t seed = first; seed < first + count; seed++)
        good += run_seed(seed);
    printf("# seeds %" PRIu64 " to %" PRIu64 "\n", first, first + count - 1);
    check_uint("as the model says", good, count);
    test_threads();
    return check_result();
}
