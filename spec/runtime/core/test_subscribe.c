/* test_subscribe.c: subscriptions to a machine of each kind, against a model: those that were there
 * when a report began, and are not unsubscribed before their turn, are called in order. Subscribers
 * come and go at random while they are called. Each is memory of its own that is freed as soon as
 * it is unsubscribed. */
#include <stdlib.h>

#include "core/machine.h"
#include "lunik_trace.h"
#include "check.h"
#include "random.h"

enum { SUBS = 12, ROUNDS = 4000, DEPTH = 3 };

static lunik_error err;
static lunik_runtime *rt;
static lunik_machine *m;
static lunik_irq line;
static char said[256];

static void on_misuse(const char *message)
{
    snprintf(said, sizeof(said), "%s", message);
}

/* ---- kinds ---------------------------------------------------------------------------------- */

/* One of six, and its number: 0 when there is none. */
struct member {
    union {
        lunik_event_sub event;
        lunik_exit_sub exit;
        lunik_reset_sub reset;
        lunik_gsi_sub gsi;
        lunik_reject_sub reject;
        lunik_trace_sub trace;
    } sub;
    unsigned number;
};

static bool called(struct member *member);

static void notice_event(void *opaque, const lunik_event *event)
{
    called(opaque);
}

static lunik_exit_action notice_exit(void *opaque, lunik_vcpu *v, const lunik_vcpu_exit *exit)
{
    return called(opaque) ? LUNIK_EXIT_RESUME : LUNIK_EXIT_UNHANDLED;
}

static void notice_reset(void *opaque)
{
    called(opaque);
}

static void notice_gsi(void *opaque, unsigned gsi, bool level)
{
    called(opaque);
}

static void notice_reject(void *opaque, const lunik_rejection *r)
{
    called(opaque);
}

static void notice_trace(void *opaque, const lunik_step *step)
{
    called(opaque);
}

#define KIND(kind)                                                                                 \
    static void subscribe_##kind(struct member *member)                                            \
    {                                                                                              \
        member->sub.kind = (lunik_##kind##_sub){.fn = notice_##kind, .opaque = member};            \
        lunik_##kind##_subscribe(m, &member->sub.kind);                                            \
    }                                                                                              \
                                                                                                   \
    static void unsubscribe_##kind(struct member *member)                                          \
    {                                                                                              \
        lunik_##kind##_unsubscribe(&member->sub.kind);                                             \
    }
KIND(event)
KIND(exit)
KIND(reset)
KIND(gsi)
KIND(reject)
KIND(trace)

static bool report_event(void)
{
    lunik_emit_fields(m, "test", NULL, 0);
    lunik_deliver_events(rt);
    return false;
}

/* Without KVM no vCPU asks. */
static bool report_exit(void)
{
    return exit_ask(m, NULL, &(lunik_vcpu_exit){.reason = "debug"}) == LUNIK_EXIT_RESUME;
}

static bool report_reset(void)
{
    lunik_machine_reset(m, &err);
    return false;
}

static bool report_gsi(void)
{
    lunik_irq_set(&line, !lunik_gsi_level(m, 5));
    return false;
}

static bool report_reject(void)
{
    uint64_t value;

    lunik_space_load(lunik_machine_memory(m), 0x1000, 4, &value);
    return false;
}

static bool report_trace(void)
{
    lunik_trace_fields(m, "test", NULL, NULL, 0);
    return false;
}

static const struct kind {
    const char *name;
    void (*subscribe)(struct member *member);
    void (*unsubscribe)(struct member *member);
    bool (*report)(void);
    bool nests; /* a report while subscribers are called reaches them */
} kinds[] = {
    {"events", subscribe_event, unsubscribe_event, report_event, true},
    {"exits", subscribe_exit, unsubscribe_exit, report_exit, true},
    {"resets", subscribe_reset, unsubscribe_reset, report_reset, false},
    {"lines", subscribe_gsi, unsubscribe_gsi, report_gsi, true},
    {"rejections", subscribe_reject, unsubscribe_reject, report_reject, false},
    {"steps", subscribe_trace, unsubscribe_trace, report_trace, true},
};
static const struct kind *kind;

/* ---- model ---------------------------------------------------------------------------------- */

static struct member *members[SUBS]; /* subscribed, in that order */
static unsigned count, numbers, depth, wrong, calls;

/* A report under way: the numbers of those that are to be called. */
struct report {
    struct report *outer;
    unsigned numbers[SUBS], count, position;
};
static struct report *current;

static int place_of(unsigned number)
{
    for (unsigned i = 0; i < count; i++)
        if (members[i]->number == number)
            return (int)i;
    return -1;
}

/* The number of the next one to call, 0 at the end. */
static unsigned next_of(struct report *r)
{
    while (r->position < r->count && place_of(r->numbers[r->position]) < 0)
        r->position++;
    return r->position < r->count ? r->numbers[r->position] : 0;
}

static void join(void)
{
    struct member *member;

    if (count == SUBS)
        return;
    member = calloc(1, sizeof(*member));
    if (!member)
        abort();
    member->number = ++numbers;
    members[count++] = member;
    kind->subscribe(member);
}

static void quit(unsigned place)
{
    struct member *member = members[place];

    memmove(&members[place], &members[place + 1], sizeof(members[0]) * (--count - place));
    kind->unsubscribe(member);
    free(member);
}

static void report(void)
{
    struct report r = {.outer = current, .count = count};
    bool handled;

    for (unsigned i = 0; i < count; i++)
        r.numbers[i] = members[i]->number;
    current = &r;
    depth++;
    handled = kind->report();
    depth--;
    wrong += !handled && next_of(&r) != 0;
    current = r.outer;
}

static void change(void)
{
    switch (chance(4)) {
    case 0:
        if (count)
            quit(chance(count));
        break;
    case 1:
        join();
        break;
    case 2:
        if (depth < DEPTH && (depth == 0 || kind->nests))
            report();
    }
}

/* True: it has dealt with it. */
static bool called(struct member *member)
{
    unsigned number = member->number;
    bool handles = kind->report == report_exit && chance(8) == 0;

    calls++;
    wrong += next_of(current) != number;
    current->position++;
    if (chance(6) == 0 && place_of(number) >= 0)
        quit((unsigned)place_of(number));
    while (chance(2))
        change();
    return handles;
}

/* ---- tests ---------------------------------------------------------------------------------- */

static void make(void)
{
    const lunik_machine_config config = {.name = "subs", .accel = LUNIK_ACCEL_NONE, .cpus = 1};

    if (lunik_machine_new(rt, &config, &m, &err) || lunik_machine_start(m, &err) ||
        lunik_irq_connect(m, &line, 5, &err))
        check_true(err.message, false);
}

static void test_model(void)
{
    make();
    calls = wrong = 0;
    for (unsigned i = 0; i < ROUNDS; i++)
        change();
    check_uint(kind->name, wrong, 0);
    check_true("  subscribers were called", calls > ROUNDS / 4);
    while (count)
        quit(0);
    calls = 0;
    kind->report();
    check_uint("  none any more", calls, 0);
    lunik_machine_close(m);
}

static unsigned before, after;

#define COUNTERS(kind, args)                                                                       \
    static void count_##kind args                                                                  \
    {                                                                                              \
        (*(unsigned *)opaque)++;                                                                   \
    }
COUNTERS(event, (void *opaque, const lunik_event *event))
COUNTERS(reset, (void *opaque))
COUNTERS(gsi, (void *opaque, unsigned gsi, bool level))
COUNTERS(reject, (void *opaque, const lunik_rejection *r))

static void close_event(void *opaque, const lunik_event *event)
{
    lunik_machine_close(m);
}

static void close_reset(void *opaque)
{
    lunik_machine_close(m);
}

static void close_gsi(void *opaque, unsigned gsi, bool level)
{
    lunik_machine_close(m);
    check_int("a runtime is not freed there", lunik_runtime_free(rt), LUNIK_E_STATE);
}

static void close_reject(void *opaque, const lunik_rejection *r)
{
    lunik_machine_close(m);
    check_int("a runtime is not freed there", lunik_runtime_free(rt), LUNIK_E_STATE);
}

/* Where a device still needs the machine it is closed by the loop, after all have been called. */
#define CLOSING(kind, report, at_once)                                                             \
    static void test_close_##kind(void)                                                            \
    {                                                                                              \
        lunik_##kind##_sub subs[] = {{.fn = count_##kind, .opaque = &before},                      \
                                     {.fn = close_##kind},                                         \
                                     {.fn = count_##kind, .opaque = &after}};                      \
                                                                                                   \
        make();                                                                                    \
        lunik_deliver_events(rt);                                                                  \
        before = after = 0;                                                                        \
        for (unsigned i = 0; i < 3; i++)                                                           \
            lunik_##kind##_subscribe(m, &subs[i]);                                                 \
        lunik_machine_ref(m);                                                                      \
        report();                                                                                  \
        check_true("closed in a callback: " #kind, before == 1 && after == !(at_once));            \
        check_true("  when", (lunik_machine_state(m) == LUNIK_STATE_CLOSED) == (at_once));         \
        lunik_run_timeout(rt, 0);                                                                  \
        check_int("  closed", lunik_machine_state(m), LUNIK_STATE_CLOSED);                         \
        for (unsigned i = 0; i < 3; i++) {                                                         \
            check_true("  its subscriptions have ended", !subs[i].link.list);                      \
            lunik_##kind##_unsubscribe(&subs[i]);                                                  \
        }                                                                                          \
        lunik_##kind##_subscribe(m, &subs[0]);                                                     \
        check_true("  and there are no new ones", !subs[0].link.list);                             \
        lunik_machine_unref(m);                                                                    \
    }
CLOSING(event, report_event, true)
CLOSING(reset, report_reset, false)
CLOSING(gsi, report_gsi, false)
CLOSING(reject, report_reject, false)

static void test_misuse(void)
{
    lunik_gsi_sub sub = {0};

    make();
    lunik_gsi_subscribe(m, &sub);
    check_string("no function", said, "lunik_gsi_subscribe: sub->fn is NULL");
    sub.fn = count_gsi;
    sub.opaque = &before;
    lunik_gsi_subscribe(m, &sub);
    lunik_gsi_subscribe(m, &sub);
    check_contains("twice", said, "is subscribed already");
    lunik_unlock(rt);
    lunik_gsi_unsubscribe(&sub);
    check_contains("without the lock", said, "does not hold the machine lock");
    lunik_lock(rt);
    before = 0;
    report_gsi();
    check_uint("still there, once", before, 1);
    lunik_machine_close(m);
}

int main(void)
{
    lunik_set_misuse_cb(on_misuse);
    if (lunik_runtime_new(lunik_builtin_types(), &rt, &err))
        check_true(err.message, false);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        kind = &kinds[i];
        test_model();
    }
    test_close_event();
    test_close_reset();
    test_close_gsi();
    test_close_reject();
    test_misuse();
    check_int("the runtime goes", lunik_runtime_free(rt), 0);
    return check_result();
}
