/*
 * trace.c: reports of steps, see lunik_trace.h.
 *
 * The spans that a thread has begun are a list through its stack. They may be of several machines:
 * a handler of one may act on another one.
 */
#include "trace.h"

#include "cause_stack.h"
#include "monotonic.h"
#include "vcpu_thread.h"

static __thread lunik_span *innermost;
static __thread unsigned this_thread;
static _Atomic unsigned threads;

static unsigned thread_number(void)
{
    if (!this_thread)
        this_thread = atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed) + 1;
    return this_thread;
}

/* Returns the step of the machine that the thread is making, or NULL. */
static lunik_span *span_of(const lunik_machine *m)
{
    lunik_span *span = innermost;

    while (span && span->machine != m)
        span = span->outer;
    return span;
}

bool trace_in_step(const lunik_machine *m)
{
    return span_of(m);
}

/* ---- reports -------------------------------------------------------------------------------- */

static void report(lunik_machine *m, const lunik_step *step)
{
    struct sub_walk walk;
    lunik_sub_link *link;

    sub_walk_begin(&walk, &m->trace_subs);
    while ((link = sub_walk_next(&walk))) {
        lunik_trace_sub *sub = lunik_container_of(link, lunik_trace_sub, link);

        if (sub->accesses || !step->common)
            sub->fn(sub->opaque, step);
    }
    sub_walk_end(&walk);
}

bool trace_wants_accesses(const lunik_machine *m)
{
    const lunik_sub_link *link = m->trace_subs.first;

    while (link && !lunik_container_of(link, const lunik_trace_sub, link)->accesses)
        link = link->next;
    return link;
}

/* Returns the step with what the runtime knows of it. */
static lunik_step filled(lunik_machine *m, const lunik_step *step, lunik_step_phase phase)
{
    const lunik_span *outer = span_of(m);
    lunik_step full = *step;

    full.phase = phase;
    full.serial = ++m->steps;
    full.parent = outer ? outer->serial : 0;
    full.time_ns = monotonic_ns() - full.duration_ns;
    full.vcpu = vcpu_thread_index();
    full.thread = thread_number();
    full.loop = lunik_on_loop_thread(m->rt);
    full.cause = cause_current();
    if (full.count > LUNIK_STEP_FIELDS)
        full.count = LUNIK_STEP_FIELDS;
    return full;
}

void trace_step(lunik_machine *m, const lunik_step *step)
{
    lunik_step full = filled(m, step, LUNIK_STEP_WHOLE);

    report(m, &full);
}

/* The machine may be closed before the step ends: the reference keeps the struct. */
void trace_begin(lunik_machine *m, lunik_span *span, const lunik_step *step)
{
    lunik_step full = filled(m, step, LUNIK_STEP_BEGIN);

    lunik_machine_ref(m);
    *span = (lunik_span){m, innermost, full.kind, full.serial, full.time_ns, full.common};
    innermost = span;
    report(m, &full);
}

/* A report about a step under way. */
static lunik_step report_of(const lunik_span *span, lunik_step_phase phase)
{
    return (lunik_step){
        .phase = phase,
        .kind = span->kind,
        .serial = span->serial,
        .common = span->common,
        .time_ns = monotonic_ns(),
        .vcpu = vcpu_thread_index(),
        .thread = thread_number(),
        .loop = lunik_on_loop_thread(span->machine->rt),
    };
}

void trace_end(lunik_span *span, int rc, const lunik_error *err, const lunik_field *fields,
               size_t count)
{
    static const lunik_error unknown = {.code = LUNIK_E_INVALID, .message = "failed"};
    lunik_step step = report_of(span, LUNIK_STEP_END);

    step.duration_ns = step.time_ns - span->began;
    step.fields = fields;
    step.count = count < LUNIK_STEP_FIELDS ? count : LUNIK_STEP_FIELDS;
    if (rc)
        step.error = err ? err : &unknown;
    innermost = span->outer;
    report(span->machine, &step);
    lunik_machine_unref(span->machine);
    span->machine = NULL;
}

void trace_about(lunik_machine *m, const char *device, const char *driver)
{
    const lunik_span *span = span_of(m);
    lunik_step step;

    if (!span)
        return;
    step = report_of(span, LUNIK_STEP_ABOUT);
    step.device = device;
    step.driver = driver;
    report(m, &step);
}

/* ---- for devices ---------------------------------------------------------------------------- */

bool lunik_traced(const lunik_machine *m)
{
    NOT_NULL(m, false);

    return sub_list_any(&m->trace_subs);
}

void lunik_trace_begin(lunik_machine *m, lunik_span *span, const lunik_step *step)
{
    NOT_NULL(span);
    span->machine = NULL;
    NOT_NULL(m);
    NOT_NULL(step);
    REQUIRE(step->kind, "step->kind is NULL");
    REQUIRE(step->fields || !step->count, "step->fields is NULL");
    if (!trace_on(m))
        return;
    REQUIRE(lunik_locked(m->rt), UNLOCKED);

    trace_begin(m, span, step);
}

void lunik_trace_end(lunik_span *span, int rc, const lunik_error *err, const lunik_field *fields,
                     size_t count)
{
    NOT_NULL(span);
    REQUIRE(fields || !count, "fields is NULL");
    if (!span->machine)
        return;
    REQUIRE(span == innermost, "it is not the step that this thread has begun last");
    REQUIRE(lunik_locked(span->machine->rt), UNLOCKED);

    trace_end(span, rc, err, fields, count);
}
