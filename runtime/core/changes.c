/*
 * changes.c: what a transaction does beside changing the topology: devices made in it, requests to
 * the guest that wait for it, all in one list in order of time.
 */
#include "misuse.h"
#include "memory/memory.h"

static void unlink_change(struct memory_core *core, lunik_change *c)
{
    *(c->prev ? &c->prev->next : &core->first_change) = c->next;
    *(c->next ? &c->next->prev : &core->last_change) = c->prev;
    c->prev = c->next = NULL;
    c->noted = false;
}

void lunik_transaction_note(lunik_machine *m, lunik_change *c)
{
    NOT_NULL(m);
    NOT_NULL(c);

    struct memory_core *core = m->memory;

    if (!core || !core->depth) {
        c->commit(c);
        return;
    }
    if (c->noted)
        return;
    c->noted = true;
    c->next = NULL;
    c->prev = core->last_change;
    *(c->prev ? &c->prev->next : &core->first_change) = c;
    core->last_change = c;
}

void lunik_transaction_forget(lunik_machine *m, lunik_change *c)
{
    NOT_NULL(m);
    NOT_NULL(c);

    if (c->noted && m->memory)
        unlink_change(m->memory, c);
}

bool lunik_in_transaction(const lunik_machine *m)
{
    NOT_NULL(m, false);

    return m->memory && m->memory->depth;
}

bool lunik_in_listener(const lunik_machine *m)
{
    NOT_NULL(m, false);

    return m->memory && m->memory->notifying;
}

/* What these do to the topology is one transaction again. */
void changes_commit(struct memory_core *core)
{
    lunik_change *c;

    if (!core->first_change)
        return;
    transaction_begin(core);
    while ((c = core->first_change)) {
        unlink_change(core, c);
        c->commit(c);
    }
    transaction_commit(core, NULL);
}

void changes_undo(struct memory_core *core)
{
    lunik_change *c;

    while ((c = core->last_change)) {
        unlink_change(core, c);
        if (c->undo)
            c->undo(c);
    }
}
