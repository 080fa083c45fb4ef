/* subscribe.c: lists of subscriptions, and walks along them; subscriptions to a machine. */
#include "machine.h"
#include "subscribe.h"
#include "lunik_trace.h"

/* ---- lists ---------------------------------------------------------------------------------- */

void sub_list_init(struct lunik_sub_list *list, lunik_runtime *rt)
{
    list->rt = rt;
    LIST_INIT(&list->walks);
}

void sub_add(struct lunik_sub_list *list, lunik_sub_link *sub)
{
    sub->list = list;
    sub->serial = ++list->serial;
    sub->next = NULL;
    sub->previous = list->last;
    if (list->last)
        list->last->next = sub;
    else
        list->first = sub;
    list->last = sub;
    atomic_store_explicit(&list->any, true, memory_order_relaxed);
}

void sub_remove(lunik_sub_link *sub)
{
    struct lunik_sub_list *list = sub->list;
    struct sub_walk *walk;

    if (!list)
        return;
    LIST_FOREACH (walk, &list->walks, link)
        if (walk->next == sub)
            walk->next = sub->next;
    if (sub->next)
        sub->next->previous = sub->previous;
    else
        list->last = sub->previous;
    if (sub->previous)
        sub->previous->next = sub->next;
    else
        list->first = sub->next;
    sub->list = NULL;
    atomic_store_explicit(&list->any, list->first != NULL, memory_order_relaxed);
}

void sub_list_end(struct lunik_sub_list *list)
{
    while (list->first)
        sub_remove(list->first);
}

/* ---- walks ---------------------------------------------------------------------------------- */

void sub_walk_begin(struct sub_walk *walk, struct lunik_sub_list *list)
{
    walk->next = list->first;
    walk->last = list->serial;
    walk->thread = pthread_self();
    LIST_INSERT_HEAD(&list->walks, walk, link);
}

lunik_sub_link *sub_walk_next(struct sub_walk *walk)
{
    lunik_sub_link *sub = walk->next;

    if (!sub || sub->serial > walk->last)
        return NULL;
    walk->next = sub->next;
    return sub;
}

void sub_walk_end(struct sub_walk *walk)
{
    LIST_REMOVE(walk, link);
}

bool sub_list_called_here(const struct lunik_sub_list *list)
{
    const struct sub_walk *walk;

    LIST_FOREACH (walk, &list->walks, link)
        if (pthread_equal(walk->thread, pthread_self()))
            return true;
    return false;
}

/* ---- subscriptions to a machine ------------------------------------------------------------- */

void subs_init(lunik_machine *m)
{
    sub_list_init(&m->event_subs, m->rt);
    sub_list_init(&m->exit_subs, m->rt);
    sub_list_init(&m->reset_subs, m->rt);
    sub_list_init(&m->gsi_subs, m->rt);
    sub_list_init(&m->msi_subs, m->rt);
    sub_list_init(&m->trace_subs, m->rt);
}

void subs_end(lunik_machine *m)
{
    sub_list_end(&m->event_subs);
    sub_list_end(&m->exit_subs);
    sub_list_end(&m->reset_subs);
    sub_list_end(&m->gsi_subs);
    sub_list_end(&m->msi_subs);
    sub_list_end(&m->trace_subs);
}

bool subs_called_here(const lunik_machine *m)
{
    return sub_list_called_here(&m->gsi_subs) || sub_list_called_here(&m->msi_subs) ||
           sub_list_called_here(&m->trace_subs) || (m->regions && m->regions->rejecting_here(m));
}

SUBSCRIPTION(event, &m->event_subs)
SUBSCRIPTION(exit, &m->exit_subs)
SUBSCRIPTION(reset, &m->reset_subs)
SUBSCRIPTION(gsi, &m->gsi_subs)
SUBSCRIPTION(msi, &m->msi_subs)
SUBSCRIPTION(trace, &m->trace_subs)

void events_report(lunik_machine *m, const lunik_event *event)
{
    SUBS_CALL(event, &m->event_subs, event);
}

lunik_exit_action exit_ask(lunik_machine *m, lunik_vcpu *v, const lunik_vcpu_exit *exit)
{
    lunik_exit_action action = LUNIK_EXIT_UNHANDLED;
    struct sub_walk walk;
    lunik_sub_link *link;

    sub_walk_begin(&walk, &m->exit_subs);
    while (action == LUNIK_EXIT_UNHANDLED && (link = sub_walk_next(&walk))) {
        lunik_exit_sub *sub = lunik_container_of(link, lunik_exit_sub, link);

        action = sub->fn(sub->opaque, v, exit);
    }
    sub_walk_end(&walk);
    return action;
}

void reset_report(lunik_machine *m)
{
    SUBS_CALL(reset, &m->reset_subs);
}

/* The machine may be closed on another thread while a subscriber has released the lock. */
void gsi_report(lunik_machine *m, unsigned gsi, bool level)
{
    lunik_machine_ref(m);
    SUBS_CALL(gsi, &m->gsi_subs, gsi, level);
    lunik_machine_unref(m);
}

/* As for gsi_report(). */
void msi_report(lunik_machine *m, lunik_object *source, const lunik_msi *msg)
{
    lunik_machine_ref(m);
    SUBS_CALL(msi, &m->msi_subs, source, msg);
    lunik_machine_unref(m);
}
