/*
 * listener.c: notifies listeners of what changed between two flat views.
 */
#include <stdlib.h>
#include <string.h>

#include "core/misuse.h"
#include "core/monotonic.h"
#include "core/trace.h"
#include "memory.h"

typedef void section_hook(lunik_listener *l, const lunik_section *s);

enum pass { PASS_DEL, PASS_ADD };

lunik_section section_of(lunik_space *s, const struct flat_range *r)
{
    return (lunik_section){
        .space = s,
        .region = r->region,
        .offset = r->offset,
        .address = r->span.first,
        .size = span_size(r->span),
        .readonly = r->flags & RANGE_READONLY,
        .romd = r->flags & RANGE_DIRECT,
        .nonvolatile = r->flags & RANGE_NONVOLATILE,
        .log_mask = region_log_mask(r->region),
    };
}

bool listens(const lunik_listener *l, const lunik_space *s)
{
    return l && (!l->space || l->space == s);
}

/* ---- steps ---------------------------------------------------------------------------------- */

static void tallies_begin(struct memory_core *core)
{
    core->tallying = core->machine && trace_on(core->machine);
    if (core->tallying && core->listener_count)
        memset(core->tallies, 0, core->listener_count * sizeof(*core->tallies));
}

/* Frame the call of a hook of the listener with that index. */
static uint64_t hook_begin(const struct memory_core *core)
{
    return core->tallying ? monotonic_ns() : 0;
}

static void hook_end(struct memory_core *core, size_t i, uint64_t began)
{
    if (began)
        core->tallies[i].ns += monotonic_ns() - began;
}

static void trace_section(lunik_space *s, const struct flat_range *r, bool added)
{
    const lunik_object *owner = r->region->owner;
    const lunik_field fields[] = {
        LUNIK_FIELD_BOOL("added", added),
        LUNIK_FIELD_UINT("address", r->span.first),
        LUNIK_FIELD_UINT("size", span_size(r->span)),
        LUNIK_FIELD_STRING("space", s->name),
    };

    trace_step(s->core->machine, &(const lunik_step){
                                     .kind = "section",
                                     .name = r->region->name,
                                     .device = owner ? lunik_object_id(owner) : NULL,
                                     .driver = owner ? lunik_object_type_name(owner) : NULL,
                                     .fields = fields,
                                     .count = sizeof(fields) / sizeof(fields[0]),
                                 });
}

/* ---- calls ---------------------------------------------------------------------------------- */

static void call_begin(struct memory_core *core)
{
    for (size_t i = 0; i < core->listener_count; i++) {
        lunik_listener *l = core->listeners[i];
        uint64_t began = hook_begin(core);

        if (l && l->begin)
            l->begin(l);
        hook_end(core, i, began);
    }
}

static int commit_one(lunik_listener *l, lunik_error *err)
{
    return l->commit ? l->commit(l, err) : 0;
}

/* The same as a step, which shows what the listener has done in the whole round. */
static int commit_traced(struct memory_core *core, size_t i, lunik_error *err)
{
    lunik_listener *l = core->listeners[i];
    struct listener_tally *tally = &core->tallies[i];
    uint64_t began = monotonic_ns();
    lunik_span span;
    int rc;

    TRACE_BEGIN(core->machine, &span, .kind = "listener", .name = l->name);
    rc = commit_one(l, err);
    hook_end(core, i, began);
    if (span.machine)
        trace_end(&span, rc, err,
                  (const lunik_field[]){LUNIK_FIELD_UINT("added", tally->added),
                                        LUNIK_FIELD_UINT("removed", tally->removed),
                                        LUNIK_FIELD_UINT("hooks", tally->ns),
                                        LUNIK_FIELD_BOOL("undo", core->undoing)},
                  4);
    return rc;
}

/* Calls the listeners' commit hooks; must_succeed: refusals are ignored. */
static int call_commit(struct memory_core *core, bool must_succeed, lunik_error *err)
{
    for (size_t i = 0; i < core->listener_count; i++) {
        lunik_listener *l = core->listeners[i];
        int rc = !l ? 0 : core->tallying ? commit_traced(core, i, err) : commit_one(l, err);

        if (rc && !must_succeed)
            return rc;
    }
    return 0;
}

static void call_del(lunik_space *s, const struct flat_range *r)
{
    struct memory_core *core = s->core;
    lunik_section section = section_of(s, r);

    for (size_t i = core->listener_count; i-- > 0;) {
        lunik_listener *l = core->listeners[i];

        if (listens(l, s) && l->region_del) {
            uint64_t began = hook_begin(core);

            core->tallies[i].removed++;
            l->region_del(l, &section);
            hook_end(core, i, began);
        }
    }
}

static void call_add(lunik_space *s, const struct flat_range *r, bool nop)
{
    struct memory_core *core = s->core;
    lunik_section section = section_of(s, r);

    for (size_t i = 0; i < core->listener_count; i++) {
        lunik_listener *l = core->listeners[i];
        section_hook *hook = !listens(l, s) ? NULL : nop ? l->region_nop : l->region_add;

        if (hook) {
            uint64_t began = hook_begin(core);

            core->tallies[i].added += !nop;
            hook(l, &section);
            hook_end(core, i, began);
        }
    }
}

static void notify_change(lunik_space *s, struct view_diff diff, enum pass pass)
{
    const struct memory_core *core = s->core;
    const struct flat_range *r;
    enum view_diff_kind kind;

    while ((r = view_diff_next(&diff, &kind))) {
        if (core->tallying && !core->undoing && kind == (pass == PASS_DEL ? DIFF_GONE : DIFF_NEW))
            trace_section(s, r, pass == PASS_ADD);
        if (kind == DIFF_GONE && pass == PASS_DEL)
            call_del(s, r);
        else if (kind != DIFF_GONE && pass == PASS_ADD)
            call_add(s, r, kind == DIFF_SAME);
    }
}

static void notify_all(struct memory_core *core, enum pass pass, bool reverse)
{
    for (lunik_space *s = core->spaces; s; s = s->next) {
        const struct view_root *vr = s->vr;

        for (size_t i = 0; i < vr->changed_count; i++)
            notify_change(s, view_diff_start(&vr->changed[i], reverse), pass);
    }
}

/* Ends a round of calls: closes the gaps left by listeners that were removed during it. */
static void calls_end(struct memory_core *core)
{
    size_t kept = 0;

    for (size_t i = 0; i < core->listener_count; i++)
        if (core->listeners[i])
            core->listeners[kept++] = core->listeners[i];
    core->listener_count = kept;
    core->open.notifying = core->tallying = core->undoing = false;
}

int listeners_update(struct memory_core *core, bool forced, lunik_error *err)
{
    bool any = false;
    int rc;

    for (const struct view_root *vr = core->roots; vr; vr = vr->next)
        any = any || vr->update || vr->io.changed;
    if (!any)
        return 0;
    core->open.notifying = true;
    tallies_begin(core);
    call_begin(core);
    io_notify_dels(core, false);
    notify_all(core, PASS_DEL, false);
    notify_all(core, PASS_ADD, false);
    io_notify_adds(core, false);
    rc = call_commit(core, forced, err);
    if (rc) {
        core->undoing = true;
        tallies_begin(core);
        call_begin(core);
        io_notify_dels(core, true);
        notify_all(core, PASS_DEL, true);
        notify_all(core, PASS_ADD, true);
        io_notify_adds(core, true);
        call_commit(core, true, NULL);
    }
    calls_end(core);
    return rc;
}

void listeners_call(struct memory_core *core, void (*notify)(void *opaque), void *opaque)
{
    core->open.notifying = true;
    if (notify)
        notify(opaque);
    calls_end(core);
}

int listeners_call_commit(struct memory_core *core, void (*notify)(void *opaque), void *opaque,
                          bool must_succeed, lunik_error *err)
{
    int rc;

    core->open.notifying = true;
    call_begin(core);
    notify(opaque);
    rc = call_commit(core, must_succeed, err);
    calls_end(core);
    return rc;
}

/* ---- whole spaces --------------------------------------------------------------------------- */

/* Notifies one listener of everything a space shows, as added or as removed. */
static void notify_one(lunik_listener *l, lunik_space *s, bool add)
{
    struct view_cursor c = view_seek(view_root_current(s->vr), 0);
    section_hook *hook = add ? l->region_add : l->region_del;
    const struct flat_range *r;

    if (!add)
        io_notify_space(l, s, false);
    for (; listens(l, s) && hook && (r = cursor_range(&c)); cursor_next(&c)) {
        lunik_section section = section_of(s, r);

        hook(l, &section);
    }
    if (add)
        io_notify_space(l, s, true);
}

int listeners_add_space(lunik_space *s, lunik_error *err)
{
    struct memory_core *core = s->core;
    int rc;

    core->open.notifying = true;
    call_begin(core);
    for (size_t i = 0; i < core->listener_count; i++)
        if (core->listeners[i])
            notify_one(core->listeners[i], s, true);
    rc = call_commit(core, false, err);
    calls_end(core);
    return rc;
}

void listeners_del_space(lunik_space *s)
{
    struct memory_core *core = s->core;

    core->open.notifying = true;
    call_begin(core);
    for (size_t i = core->listener_count; i-- > 0;)
        if (core->listeners[i])
            notify_one(core->listeners[i], s, false);
    call_commit(core, true, NULL);
    calls_end(core);
}

/* ---- registration --------------------------------------------------------------------------- */

/* Notifies l of everything that all spaces show, between begin and commit. */
static int notify_world(lunik_listener *l, bool add, lunik_error *err)
{
    struct memory_core *core = l->machine->memory;
    int rc = 0;

    core->open.notifying = true;
    if (l->begin)
        l->begin(l);
    for (lunik_space *s = core->spaces; s; s = s->next)
        notify_one(l, s, add);
    if (l->commit)
        rc = l->commit(l, err);
    calls_end(core);
    return rc;
}

static void insert_listener(struct memory_core *core, lunik_listener *l)
{
    size_t at = core->listener_count++;

    for (; at > 0 && core->listeners[at - 1]->priority > l->priority; at--)
        core->listeners[at] = core->listeners[at - 1];
    core->listeners[at] = l;
}

int lunik_listener_add(lunik_machine *m, lunik_listener *l, lunik_error *err)
{
    NOT_NULL_OR_FAIL(m, err);
    NOT_NULL_OR_FAIL(l, err);

    struct memory_core *core = m->memory;
    int rc;

    if (!core)
        return machine_fail_closed(m, err);
    rc = core_check(core, err);
    if (rc)
        return rc;
    if (!grow((void **)&core->listeners, &core->listener_capacity, core->listener_count + 1,
              sizeof(*core->listeners)) ||
        !grow((void **)&core->tallies, &core->tally_capacity, core->listener_count + 1,
              sizeof(*core->tallies)))
        return fail_no_memory(err);
    l->machine = m;
    rc = log_greet(core, l, err);
    if (rc) {
        l->machine = NULL;
        return rc;
    }
    rc = notify_world(l, true, err);
    if (rc) {
        notify_world(l, false, NULL);
        log_dismiss(core, l);
        l->machine = NULL;
        return rc;
    }
    insert_listener(core, l);
    return 0;
}

void lunik_listener_del(lunik_listener *l)
{
    NOT_NULL(l);

    struct memory_core *core = l->machine ? l->machine->memory : NULL;
    bool nested = core && core->open.notifying;

    for (size_t i = 0; core && i < core->listener_count; i++)
        if (core->listeners[i] == l)
            core->listeners[i] = NULL;
    if (core && !nested)
        notify_world(l, false, NULL); /* closes the gap in the list as well */
    if (core && !nested)
        log_dismiss(core, l);
    l->machine = NULL;
}
