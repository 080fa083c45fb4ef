/*
 * event.c: the queue of events from any thread to the loop thread.
 *
 * A push is one compare-and-exchange; the push that finds the queue empty wakes the loop. The
 * consumer takes the whole list and reverses it, so events are delivered in order of emission.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine.h"
#include "misuse.h"
#include "monotonic.h"
#include "runtime.h"
#include "trace.h"
#include "vcpu_thread.h"

struct event_node {
    struct event_node *next;
    bool last; /* emitted while the machine was being closed */
    lunik_event event;
    char text[]; /* the strings of its fields */
};

static const char *text_of(const lunik_field *f)
{
    return f->value.string ? f->value.string : "";
}

static size_t text_size(const lunik_field *fields, size_t count)
{
    size_t size = 0;

    for (size_t i = 0; i < count; i++)
        if (fields[i].value.kind == LUNIK_STRING)
            size += strlen(text_of(&fields[i])) + 1;
    return size;
}

static void copy_fields(struct event_node *node, const lunik_field *fields, size_t count)
{
    char *text = node->text;

    node->event.count = count;
    for (size_t i = 0; i < count; i++) {
        node->event.fields[i] = fields[i];
        if (fields[i].value.kind != LUNIK_STRING)
            continue;
        node->event.fields[i].value.string = text;
        text = stpcpy(text, text_of(&fields[i])) + 1;
    }
}

/* Reports the step, if the thread has the lock, as the devices have that emit events of hotplug. */
static void trace_event(lunik_machine *m, const lunik_event *event)
{
    lunik_step step = {.kind = "event", .name = event->name};
    lunik_field fields[LUNIK_STEP_FIELDS];
    const char *path = NULL;

    if (!lunik_locked(m->rt))
        return;
    for (size_t i = 0; i < event->count; i++) {
        const lunik_field *f = &event->fields[i];

        if (!strcmp(f->name, "device"))
            step.device = f->value.string;
        else if (!strcmp(f->name, "path"))
            path = f->value.string;
        else if (step.count < LUNIK_STEP_FIELDS)
            fields[step.count++] = *f;
    }
    if (!step.device)
        step.device = path;
    step.fields = fields;
    trace_step(m, &step);
}

static void push(lunik_runtime *rt, struct event_node *node)
{
    struct event_node *head = atomic_load_explicit(&rt->events, memory_order_relaxed);

    do {
        node->next = head;
    } while (!atomic_compare_exchange_weak_explicit(&rt->events, &head, node, memory_order_release,
                                                    memory_order_relaxed));
    if (!head)
        runtime_wake(rt);
}

void lunik_emit_fields(lunik_machine *m, const char *name, const lunik_field *fields, size_t count)
{
    NOT_NULL(m);
    NOT_NULL(name);
    REQUIRE(fields || !count, "fields is NULL");

    struct event_node *node;

    if (count > LUNIK_EVENT_FIELDS)
        count = LUNIK_EVENT_FIELDS;
    node = malloc(sizeof(*node) + text_size(fields, count));
    if (!node) {
        /* The emitter can do nothing about it; an "error" event will report the loss. */
        atomic_fetch_add(&m->events_lost, 1);
        atomic_store(&m->rt->lost, true);
        runtime_wake(m->rt);
        return;
    }
    node->event.name = name;
    node->event.machine = m;
    node->event.time_ns = monotonic_ns();
    node->event.vcpu = vcpu_thread_index();
    node->last = m->closing;
    copy_fields(node, fields, count);
    if (trace_on(m))
        trace_event(m, &node->event);
    lunik_machine_ref(m);
    push(m->rt, node);
}

/* Takes everything queued, oldest first. */
static struct event_node *take_all(lunik_runtime *rt)
{
    struct event_node *node = atomic_exchange_explicit(&rt->events, NULL, memory_order_acquire);
    struct event_node *oldest = NULL;

    while (node) {
        struct event_node *next = node->next;

        node->next = oldest;
        oldest = node;
        node = next;
    }
    return oldest;
}

static void drop(struct event_node *node)
{
    lunik_machine_unref(node->event.machine);
    free(node);
}

/* Flushes first: the guest's output from before the event is to appear before it. */
static void deliver(const lunik_event *event)
{
    lunik_machine_flush(event->machine);
    events_report(event->machine, event);
}

/* Finds a machine that has lost events; takes their number. */
static lunik_machine *find_loss(lunik_runtime *rt, unsigned *count)
{
    lunik_machine *m;

    LIST_FOREACH (m, &rt->machines, link) {
        *count = atomic_exchange(&m->events_lost, 0);
        if (*count)
            return m;
    }
    return NULL;
}

static void report_loss(lunik_machine *m, unsigned count)
{
    char text[64];
    lunik_event event = {
        .name = "error",
        .machine = m,
        .vcpu = -1,
        .count = 2,
        .fields = {LUNIK_FIELD_STRING("message", text), LUNIK_FIELD_STRING("source", "events")},
    };

    snprintf(text, sizeof(text), "out of memory: %u events were lost", count);
    lunik_machine_ref(m);
    deliver(&event);
    lunik_machine_unref(m);
}

static void report_losses(lunik_runtime *rt)
{
    lunik_machine *m;
    unsigned count;

    if (!atomic_exchange(&rt->lost, false))
        return;
    while ((m = find_loss(rt, &count)))
        report_loss(m, count);
}

void lunik_deliver_events(lunik_runtime *rt)
{
    NOT_NULL(rt);

    struct event_node *node;

    /* A callback that waits delivers events in a nested call, which must see the rest of the
     * queue: it stays in rt->delivering. */
    for (;;) {
        if (!rt->delivering)
            rt->delivering = take_all(rt);
        node = rt->delivering;
        if (!node)
            break;
        rt->delivering = node->next;
        deliver(&node->event);
        drop(node);
    }
    report_losses(rt);
}

/* Appends the queued events to rt->delivering. */
static void gather(lunik_runtime *rt)
{
    struct event_node **end = &rt->delivering;

    while (*end)
        end = &(*end)->next;
    *end = take_all(rt);
}

static struct event_node *take_of(lunik_runtime *rt, const lunik_machine *m)
{
    struct event_node **link = &rt->delivering, *node;

    while (*link && (*link)->event.machine != m)
        link = &(*link)->next;
    node = *link;
    if (node)
        *link = node->next;
    return node;
}

void events_deliver_last(lunik_machine *m)
{
    struct event_node *node;
    unsigned lost;

    gather(m->rt);
    while ((node = take_of(m->rt, m))) {
        if (node->last) {
            deliver(&node->event);
            gather(m->rt); /* handlers may have emitted more */
        }
        drop(node);
    }
    lost = atomic_exchange(&m->events_lost, 0);
    if (lost)
        report_loss(m, lost);
}

void events_discard(lunik_runtime *rt)
{
    struct event_node *node;

    while ((node = rt->delivering ? rt->delivering : take_all(rt))) {
        rt->delivering = node->next;
        drop(node);
    }
}
