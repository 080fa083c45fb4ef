/*
 * dirty_log.c: starts and stops logging of writes for clients, and notifies listeners of it.
 *
 * A client may log a region, a block and the whole machine at once: each has its own counts, and a
 * region's writes are logged for the clients of all three. A listener is notified of a change only
 * where this sum changes.
 */
#include "dirty_log.h"
#include "core/misuse.h"

/* ---- scopes --------------------------------------------------------------------------------- */

static bool in_scope(const lunik_dirty_scope *scope, const lunik_region *r)
{
    return r->ram && (!scope || ((!scope->region || scope->region == r) &&
                                 (!scope->ram || scope->ram == r->ram)));
}

static struct log_users *users_of(struct memory_core *core, const lunik_dirty_scope *scope)
{
    if (scope && scope->region)
        return &scope->region->log;
    return scope && scope->ram ? &scope->ram->log : &core->log;
}

static int check(struct memory_core *core, unsigned client, const lunik_dirty_scope *scope,
                 lunik_error *err)
{
    int rc = core_check(core, err);

    if (rc)
        return rc;
    if (client & (client - 1) || !client || client >> LUNIK_DIRTY_CLIENTS)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "dirty: client: '%u' is not a client (want one bit)", client);
    if (scope && scope->region && !scope->region->ram)
        return lunik_fail(err, LUNIK_E_INVALID, "dirty: memory region '%s' has no RAM",
                          scope->region->name);
    if (scope && scope->region && scope->region->gone)
        return region_fail_gone(scope->region, err);
    if (scope && scope->region && scope->region->core != core)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "dirty: memory region '%s' belongs to another machine",
                          scope->region->name);
    return 0;
}

/* ---- notifying the listeners ---------------------------------------------------------------- */

void log_each_section(const struct inquiry *q, log_section_fn *fn)
{
    for (lunik_space *s = q->core->spaces; s; s = s->next) {
        struct view_cursor c = view_seek(view_root_current(s->vr), 0);
        const struct flat_range *r;

        for (; (r = cursor_range(&c)); cursor_next(&c)) {
            lunik_section section;

            if (!in_scope(q->scope, r->region))
                continue;
            section = section_of(s, r);
            fn(q, &section);
        }
    }
}

/* Calls log_start or log_stop of the listeners. The mask without the client is the old one of a
 * start, and the new one of a stop. */
static void notify_section(const struct inquiry *q, lunik_section *s)
{
    struct memory_core *core = q->core;
    unsigned without = s->log_mask & ~q->client, with = without | q->client;

    if (s->log_mask & q->client)
        return; /* the client logs it in another scope as well */
    s->log_mask = q->on ? with : without;
    for (size_t i = 0; i < core->listener_count; i++) {
        lunik_listener *l = core->listeners[q->on ? i : core->listener_count - 1 - i];

        if (!listens(l, s->space))
            continue;
        if (q->on && l->log_start)
            l->log_start(l, s, without, with);
        else if (!q->on && l->log_stop)
            l->log_stop(l, s, with, without);
    }
}

static void notify_change(void *opaque)
{
    log_each_section(opaque, notify_section);
}

int log_greet(struct memory_core *core, lunik_listener *l, lunik_error *err)
{
    int rc;

    if (!core->log.mask || !l->log_global_start)
        return 0;
    core->open.notifying = true;
    rc = l->log_global_start(l, err);
    listeners_call(core, NULL, NULL);
    return rc;
}

void log_dismiss(struct memory_core *core, lunik_listener *l)
{
    if (!core->log.mask || !l->log_global_stop)
        return;
    core->open.notifying = true;
    l->log_global_stop(l);
    listeners_call(core, NULL, NULL);
}

/* Notifies the first `count` listeners that the whole machine is not logged any more. */
static void global_stop(struct memory_core *core, size_t count)
{
    core->open.notifying = true;
    while (count-- > 0) {
        lunik_listener *l = core->listeners[count];

        if (l && l->log_global_stop)
            l->log_global_stop(l);
    }
    listeners_call(core, NULL, NULL);
}

static int global_start(struct memory_core *core, lunik_error *err)
{
    int rc = 0;
    size_t i;

    core->open.notifying = true;
    for (i = 0; i < core->listener_count && !rc; i++) {
        lunik_listener *l = core->listeners[i];

        rc = l && l->log_global_start ? l->log_global_start(l, err) : 0;
    }
    if (rc)
        global_stop(core, i - 1);
    else
        listeners_call(core, NULL, NULL);
    return rc;
}

/* ---- start and stop ------------------------------------------------------------------------- */

/* True if the client logs the block or part of it. */
static bool block_logged(const struct inquiry *q, const lunik_ram *ram)
{
    return (ram->log.mask | q->core->log.mask) & q->client ||
           ram->region_log.counts[__builtin_ctz(q->client)];
}

/* Clears the client's bits of those blocks in the scope that it does not log. */
static void drop_bits(const struct inquiry *q)
{
    const struct log_tracker *t = q->core->logged;
    const lunik_dirty_scope *scope = q->scope;
    lunik_ram *only = !scope ? NULL : scope->region ? scope->region->ram : scope->ram;

    if (only && !block_logged(q, only))
        ram_dirty_clear(only, q->client, 0, UINT64_MAX, NULL);
    for (size_t i = 0; !only && i < t->count; i++)
        if (!block_logged(q, t->blocks[i].ram))
            ram_dirty_clear(t->blocks[i].ram, q->client, 0, UINT64_MAX, NULL);
}

static int log_start(const struct inquiry *q, bool global, lunik_error *err)
{
    struct inquiry back = *q;
    int rc = 0;

    drop_bits(q);
    if (global)
        rc = global_start(q->core, err);
    if (rc)
        return rc;
    rc = listeners_call_commit(q->core, notify_change, (void *)q, false, err);
    if (rc) {
        back.on = false;
        listeners_call_commit(q->core, notify_change, &back, true, NULL);
        if (global)
            global_stop(q->core, q->core->listener_count);
    }
    return rc;
}

/* Makes bitmaps for all blocks in the scope. */
static int make_bitmaps(const struct memory_core *core, const lunik_dirty_scope *scope,
                        lunik_error *err)
{
    int rc = 0;

    if (scope && (scope->region || scope->ram))
        return ram_dirty_init(scope->region ? scope->region->ram : scope->ram, err);
    for (const lunik_region *r = LIST_FIRST(&core->with_ram); r && !rc; r = LIST_NEXT(r, backed))
        rc = ram_dirty_init(r->ram, err);
    return rc;
}

/* One region more, or less, of the block is logged. */
static void count_region(lunik_ram *ram, unsigned client, int by)
{
    struct log_users *users = &ram->region_log;
    unsigned *count = &users->counts[__builtin_ctz(client)];

    *count += (unsigned)by;
    if (*count)
        atomic_fetch_or(&users->mask, client);
    else
        atomic_fetch_and(&users->mask, ~client);
}

int lunik_dirty_start(lunik_machine *m, lunik_dirty_client client, const lunik_dirty_scope *scope,
                      lunik_error *err)
{
    NOT_NULL_OR_FAIL(m, err);

    struct memory_core *core = m->memory;
    struct inquiry q = {.core = core, .scope = scope, .client = client, .on = true};
    unsigned index = (unsigned)__builtin_ctz(client | 1u << 31);
    struct log_users *users;
    int rc;

    if (!core)
        return machine_fail_closed(m, err);
    rc = check(core, client, scope, err);
    if (rc)
        return rc;
    users = users_of(core, scope);
    if (users->counts[index]) {
        users->counts[index]++;
        return 0;
    }
    rc = make_bitmaps(core, scope, err);
    if (!rc)
        rc = log_blocks_use(core, err);
    if (rc)
        return rc;
    rc = log_start(&q, users == &core->log && !core->log.mask, err);
    if (rc) {
        log_blocks_unuse(core);
        return rc;
    }
    users->counts[index] = 1;
    if (scope && scope->region)
        count_region(scope->region->ram, client, 1);
    atomic_fetch_or(&users->mask, client);
    return 0;
}

int lunik_dirty_stop(lunik_machine *m, lunik_dirty_client client, const lunik_dirty_scope *scope,
                     lunik_error *err)
{
    NOT_NULL_OR_FAIL(m, err);

    struct memory_core *core = m->memory;
    struct inquiry q = {.core = core, .scope = scope, .client = client};
    struct log_users *users;
    unsigned *count;
    int rc;

    if (!core)
        return machine_fail_closed(m, err);
    rc = check(core, client, scope, err);
    if (rc)
        return rc;
    users = users_of(core, scope);
    count = &users->counts[__builtin_ctz(client)];
    if (!*count)
        return lunik_fail(err, LUNIK_E_STATE, "dirty: client '%u' does not log this",
                          (unsigned)client);
    if (--*count)
        return 0;
    if (scope && scope->region)
        count_region(scope->region->ram, client, -1);
    atomic_fetch_and(&users->mask, ~(unsigned)client);
    listeners_call_commit(core, notify_change, &q, true, NULL);
    if (users == &core->log && !core->log.mask)
        global_stop(core, core->listener_count);
    drop_bits(&q);
    log_blocks_unuse(core);
    if (scope && scope->region)
        region_settle(scope->region);
    return 0;
}

void log_fini(struct memory_core *core)
{
    if (core->logged)
        log_blocks_free(core);
}
