/*
 * changes.c: changes outside the topology that commit or roll back with a transaction: devices made
 * in it, requests to the guest that wait for its end. One list holds them in order of time.
 */
#include "changes.h"

#include "misuse.h"
#include "runtime.h"

static void unlink_change(struct transaction *t, lunik_change *c)
{
    *(c->prev ? &c->prev->next : &t->first_change) = c->next;
    *(c->next ? &c->next->prev : &t->last_change) = c->prev;
    c->prev = c->next = NULL;
    c->noted = false;
}

void lunik_transaction_note(lunik_machine *m, lunik_change *c)
{
    NOT_NULL(m);
    NOT_NULL(c);

    struct transaction *t = m->transaction;

    if (!t || !t->depth) {
        c->commit(c);
        return;
    }
    if (c->noted)
        return;
    c->noted = true;
    c->next = NULL;
    c->prev = t->last_change;
    *(c->prev ? &c->prev->next : &t->first_change) = c;
    t->last_change = c;
}

void lunik_transaction_forget(lunik_machine *m, lunik_change *c)
{
    NOT_NULL(m);
    NOT_NULL(c);

    if (c->noted && m->transaction)
        unlink_change(m->transaction, c);
}

bool lunik_in_transaction(const lunik_machine *m)
{
    NOT_NULL(m, false);

    return m->transaction && m->transaction->depth;
}

bool lunik_in_listener(const lunik_machine *m)
{
    NOT_NULL(m, false);

    return m->transaction && m->transaction->notifying;
}

bool machines_in_transaction(const lunik_runtime *rt)
{
    const lunik_machine *m;

    LIST_FOREACH (m, &rt->machines, link)
        if (lunik_in_transaction(m) || lunik_in_listener(m))
            return true;
    return false;
}

void changes_commit(struct transaction *t)
{
    lunik_change *c;

    while ((c = t->first_change)) {
        unlink_change(t, c);
        c->commit(c);
    }
}

void changes_undo(struct transaction *t)
{
    lunik_change *c;

    while ((c = t->last_change)) {
        unlink_change(t, c);
        if (c->undo)
            c->undo(c);
    }
}
