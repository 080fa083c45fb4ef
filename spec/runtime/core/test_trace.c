/* test_trace.c: a machine's steps: which there are, how they nest, what is known of them, on which
 * thread; and that there are none without a subscriber. */
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

#include "devices/memory/memory_hotplug_chip.h"
#include "lunik_trace.h"
#include "transcript.h"

#define GIB    (UINT64_C(1) << 30)
#define MIB    (UINT64_C(1) << 20)
#define WINDOW (4 * GIB)
#define PORT   0xa00

static lunik_runtime *rt;
static lunik_machine *m;
static lunik_error err;
static char said[256];

static void on_misuse(const char *message)
{
    snprintf(said, sizeof(said), "%s", message);
}

/* ---- what is reported ----------------------------------------------------------------------- */

enum { DEPTH = 16 };

static struct transcript steps;
static uint64_t open_steps[DEPTH], last_serial, last_time;
static unsigned depth, wrong, reports;
static lunik_step last;

static void note_fields(const lunik_step *step)
{
    for (size_t i = 0; i < step->count; i++) {
        const lunik_field *f = &step->fields[i];

        if (f->value.kind == LUNIK_STRING)
            note(&steps, " %s=%s", f->name, f->value.string);
        else if (strcmp(f->name, "hooks") != 0)
            note(&steps, " %s=0x%" PRIx64, f->name,
                 f->value.kind == LUNIK_BOOL ? f->value.boolean : f->value.uint);
    }
}

/* Steps of one thread are in order, and each is a part of the innermost one that is under way. */
static void check_order(const lunik_step *step)
{
    uint64_t innermost = depth ? open_steps[depth - 1] : 0;

    if (step->phase == LUNIK_STEP_END || step->phase == LUNIK_STEP_ABOUT) {
        wrong += step->serial != innermost;
    } else {
        wrong += step->parent != innermost || step->serial != last_serial + 1;
        last_serial = step->serial;
    }
    wrong += step->time_ns + step->duration_ns < last_time || !step->loop || step->vcpu != -1;
    last_time = step->time_ns;
    if (step->phase == LUNIK_STEP_BEGIN && depth < DEPTH)
        open_steps[depth++] = step->serial;
    else if (step->phase == LUNIK_STEP_END && depth)
        depth--;
}

static void on_step(void *opaque, const lunik_step *step)
{
    static const char *const marks[] = {".", "{", "@", "}"};

    reports++;
    last = *step;
    check_order(step);
    note(&steps, "%s%s", marks[step->phase], step->phase == LUNIK_STEP_END ? "" : step->kind);
    if (step->name)
        note(&steps, " %s", step->name);
    if (step->device)
        note(&steps, " %s", step->device);
    note_fields(step);
    if (step->error)
        note(&steps, " failed: %s", step->error->message);
    note(&steps, ";");
}

static lunik_trace_sub watching = {.fn = on_step};

static void watch(bool accesses)
{
    last_serial = reports = wrong = depth = 0;
    last_time = 0;
    clear(&steps);
    watching.accesses = accesses;
    lunik_trace_subscribe(m, &watching);
    lunik_trace_fields(m, "first", NULL, NULL, 0);
    last_serial = last.serial;
    clear(&steps);
    reports = wrong = 0;
}

static void expect(const char *name, const char *want)
{
    check_transcript(name, &steps, want);
    check_uint("  each is a part of the one before that it is in", wrong, 0);
    check_uint("  all have ended", depth, 0);
}

/* ---- a machine ------------------------------------------------------------------------------ */

#define TEXT LUNIK_FIELD_STRING
#define NUM  LUNIK_FIELD_UINT

static int device(const char *driver, const lunik_field *fields, size_t count)
{
    err = (lunik_error){0};
    return lunik_device_add(m, driver, fields, count, NULL, &err);
}
#define DEVICE(driver, ...)                                                                        \
    device((driver), (const lunik_field[]){__VA_ARGS__},                                           \
           sizeof((const lunik_field[]){__VA_ARGS__}) / sizeof(lunik_field))

static void backend(const char *id)
{
    const lunik_field fields[] = {TEXT("id", id), NUM("size", 128 * MIB), TEXT("reserve", "off")};

    if (lunik_object_add(m, "memory-backend-ram", fields, 3, NULL, &err))
        check_string(id, err.message, "a backend");
}

static void build(void)
{
    const lunik_machine_config config = {.accel = LUNIK_ACCEL_NONE, .cpus = 1};

    if (lunik_machine_new(rt, &config, &m, &err) ||
        DEVICE("acpi-memory-hotplug", TEXT("id", "regs"), NUM("slots", 2)) ||
        DEVICE("device-memory", TEXT("id", "window"), NUM("addr", WINDOW), NUM("size", 4 * GIB),
               NUM("slots", 2), NUM("limit", GIB), TEXT("acpi", "regs")))
        check_true(err.message, false);
    backend("m1");
    if (lunik_machine_start(m, &err))
        check_true(err.message, false);
}

static void end(void)
{
    lunik_trace_unsubscribe(&watching);
    lunik_machine_close(m);
}

static void out(unsigned offset, uint32_t value)
{
    lunik_space_store(lunik_machine_io(m), PORT + offset, 4, value);
}

/* ---- tests ---------------------------------------------------------------------------------- */

#define PLACE   ".place d1 slot=0x0 address=0x100000000 size=0x8000000;"
#define ADD(id) "{device_add " id " options=id=" id " memdev=m1 in_transaction=0x0 state=running;"

static void test_plug(void)
{
    build();
    watch(false);
    check_int("plug", DEVICE("pc-dimm", TEXT("id", "d1"), TEXT("memdev", "m1")), 0);
    expect("the steps of a plug",
           ADD("d1") "@device_add d1;"
                     "{pre_plug window d1;" PLACE "};"
                     "{realize d1;};"
                     "{plug window d1;{map;.section m1 d1 added=0x1 address=0x100000000"
                     " size=0x8000000 space=memory;};"
                     ".shown d1 slot=0x0 asks=insert;};"
                     ".event device-added d1 driver=pc-dimm;};");
    check_int("plug", DEVICE("pc-dimm", TEXT("id", "d2"), TEXT("memdev", "m1"), NUM("slot", 0)),
              LUNIK_E_BUSY);
    check_contains("a failure says why", steps.text, "} failed: pc-dimm");
    check_contains("  down to the call", steps.text, err.message);
    check_uint("  and its step has ended", depth, 0);
    clear(&steps);
    check_int("no such type", DEVICE("nothing", TEXT("id", "d3")), LUNIK_E_NOT_FOUND);
    check_contains("a call that fails at once is a step", steps.text,
                   "{device_add d3 options=id=d3");
    end();
}

static void test_guest(void)
{
    build();
    DEVICE("pc-dimm", TEXT("id", "d1"), TEXT("memdev", "m1"));
    watch(false);
    out(MHP_SELECTOR, 0);
    expect("an access is about the device in the slot",
           "{access acpi-mem-hotplug write=0x1 address=0xa00 offset=0x0 size=0x4 bus=port "
           "value=0x0;@access d1;};");
    out(MHP_OST_EVENT, 1);
    clear(&steps);
    out(MHP_OST_STATUS, 0);
    check_contains("_OST", steps.text, "@access d1;.ost d1 slot=0x0 source=0x1 status=0x0;");
    check_contains("  and what it leads to", steps.text, ".event acpi-ost d1");
    clear(&steps);
    check_int("unplug", lunik_device_del(m, "d1", &err), 0);
    expect("the request", "{device_del d1 in_transaction=0x0;{unplug_request window d1;"
                          ".shown d1 slot=0x0 asks=remove;};.event device-unplug-request d1;};");
    out(MHP_CONTROL, MHP_EJECT);
    check_contains("the answer", steps.text, ".eject d1;{map;.section m1 d1 added=0x0");
    check_contains("  takes it out", steps.text,
                   "{unplug window d1;};{unrealize d1;};.event device-deleted d1;};");
    check_uint("  in order", wrong + depth, 0);
    end();
}

static bool refuses;

static int refuse(lunik_listener *l, lunik_error *why)
{
    return refuses ? lunik_fail(why, LUNIK_E_STATE, "not today") : 0;
}

static void ignore(lunik_listener *l, const lunik_section *s)
{
}

static void test_listeners(void)
{
    lunik_listener l = {
        .name = "spec", .region_add = ignore, .region_del = ignore, .commit = refuse};

    build();
    lunik_listener_add(m, &l, &err);
    watch(false);
    DEVICE("pc-dimm", TEXT("id", "d1"), TEXT("memdev", "m1"));
    check_contains("what a listener got", steps.text,
                   "{listener spec;} added=0x1 removed=0x0 undo=0x0;};.shown");
    clear(&steps);
    lunik_device_del(m, "d1", &err);
    clear(&steps);
    refuses = true;
    lunik_device_ejected(lunik_object_find(m, "d1"));
    check_contains("its refusal", steps.text,
                   "{listener spec;} added=0x0 removed=0x1 undo=0x0 failed: not today;");
    check_contains("  is taken back", steps.text,
                   "{listener spec;} added=0x1 removed=0x0 undo=0x1");
    check_contains("  and the change has failed", steps.text,
                   "} failed: not today;.event device-unplug-guest-error");
    check_uint("  in order", wrong + depth, 0);
    refuses = false;
    lunik_listener_del(&l);
    end();
}

static lunik_access read_seven(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    lunik_trace(m, "seen", NULL, LUNIK_FIELD_UINT("offset", offset));
    *value = 7;
    return LUNIK_ACCESS_OK;
}

static void test_accesses(void)
{
    static const lunik_io_ops ops = {.read = read_seven};
    lunik_region *r = NULL;
    uint64_t value;

    build();
    if (lunik_region_new(m,
                         &(lunik_region_config){
                             .kind = LUNIK_REGION_IO, .name = "ports", .size = 4, .ops = &ops},
                         &r, &err) ||
        lunik_region_add(lunik_space_root(lunik_machine_io(m)), 0x50, r, 0, false, &err))
        check_true(err.message, false);
    watch(false);
    lunik_space_load(lunik_machine_io(m), 0x51, 1, &value);
    expect("other devices report their own steps only", ".seen offset=0x1;");
    lunik_trace_unsubscribe(&watching);
    watch(true);
    lunik_space_load(lunik_machine_io(m), 0x51, 1, &value);
    expect("unless all accesses are asked for",
           "{access ports write=0x0 address=0x51 offset=0x1 size=0x1 bus=port;"
           ".seen offset=0x1;} value=0x7;");
    end();
    lunik_region_unref(r);
}

static void test_off(void)
{
    lunik_span span = {0};

    build();
    reports = 0;
    check_true("off", !lunik_traced(m));
    lunik_trace(m, "never", NULL, LUNIK_FIELD_UINT("n", ++reports));
    lunik_trace_begin(m, &span, &(const lunik_step){.kind = "never"});
    check_true("a step that is not reported", !span.machine);
    watch(false);
    lunik_trace_end(&span, 0, NULL, NULL, 0);
    check_uint("  has no end", reports, 0);
    check_true("on", lunik_traced(m));
    lunik_trace_begin(m, &span, &(const lunik_step){.kind = "half"});
    lunik_trace_unsubscribe(&watching);
    reports = 0;
    lunik_trace_end(&span, 0, NULL, NULL, 0);
    check_uint("nor has one that is not watched any more", reports, 0);
    check_true("off again", !lunik_traced(m));
    lunik_machine_close(m);
}

static void test_misuse(void)
{
    lunik_span outer, inner;

    build();
    watch(false);
    lunik_trace_begin(m, &outer, &(const lunik_step){0});
    check_string("no kind", said, "lunik_trace_begin: step->kind is NULL");
    lunik_trace_begin(m, &outer, &(const lunik_step){.kind = "outer"});
    lunik_trace_begin(m, &inner, &(const lunik_step){.kind = "inner"});
    lunik_trace_end(&outer, 0, NULL, NULL, 0);
    check_contains("the wrong one ends", said, "is not the step that this thread has begun last");
    lunik_trace_end(&inner, LUNIK_E_IO, NULL, NULL, 0);
    lunik_trace_end(&outer, 0, NULL, NULL, 0);
    expect("both have", "{outer;{inner;} failed: failed;};");
    lunik_unlock(rt);
    lunik_trace_fields(m, "late", NULL, NULL, 0);
    check_contains("without the lock", said, "does not hold the machine lock");
    lunik_lock(rt);
    lunik_trace_begin(m, &outer, &(const lunik_step){.kind = "close"});
    lunik_machine_close(m);
    lunik_trace_end(&outer, 0, NULL, NULL, 0); /* the span keeps the machine */
}

/* ---- threads -------------------------------------------------------------------------------- */

enum { THREADS = 3, ROUNDS = 300 };

static uint64_t by_thread[64];

static void count_step(void *opaque, const lunik_step *step)
{
    if (step->thread < 64 && step->phase != LUNIK_STEP_END)
        by_thread[step->thread]++;
    wrong += step->phase == LUNIK_STEP_WHOLE && (!step->parent || step->loop);
}

static void *make_steps(void *opaque)
{
    lunik_span span;

    for (unsigned i = 0; i < ROUNDS; i++) {
        lunik_traced(m);
        lunik_lock(rt);
        lunik_trace_begin(m, &span, &(const lunik_step){.kind = "outer"});
        lunik_unlock(rt); /* other threads make theirs meanwhile */
        lunik_lock(rt);
        lunik_trace_fields(m, "inner", NULL, NULL, 0);
        lunik_trace_end(&span, 0, NULL, NULL, 0);
        lunik_unlock(rt);
    }
    return NULL;
}

static void test_threads(void)
{
    lunik_trace_sub sub = {.fn = count_step};
    pthread_t threads[THREADS];
    unsigned busy = 0;

    build();
    wrong = 0;
    lunik_trace_subscribe(m, &sub);
    for (unsigned i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, make_steps, NULL))
            abort();
    lunik_unlock(rt);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    lunik_lock(rt);
    for (unsigned i = 0; i < 64; i++)
        busy += by_thread[i] == 2 * ROUNDS;
    check_uint("each thread's steps have its number", busy, THREADS);
    check_uint("  and are parts of its own", wrong, 0);
    lunik_trace_unsubscribe(&sub);
    lunik_machine_close(m);
}

int main(void)
{
    lunik_set_misuse_cb(on_misuse);
    if (lunik_runtime_new(lunik_builtin_types(), &rt, &err))
        check_true(err.message, false);
    test_plug();
    test_guest();
    test_listeners();
    test_accesses();
    test_off();
    test_misuse();
    test_threads();
    check_int("the runtime goes", lunik_runtime_free(rt), 0);
    return check_result();
}
