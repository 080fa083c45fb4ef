/*
 * dirty_log.c: starts and stops logging of writes for clients, and notifies listeners of it.
 *
 * A client may log a region, a block and the whole machine at once: each has its own counts, and a
 * region's writes are logged for the clients of all three. A listener is notified of a change only
 * where this sum changes.
 *
 * While a client logs, a listener of this file keeps the list of blocks: a block that leaves the
 * map stays in it as long as it has dirty pages that its clients have not cleared.
 */
#include <limits.h>
#include <stdlib.h>

#include "core/misuse.h"
#include "memory.h"

struct log_block {
    lunik_ram *ram;   /* a reference */
    unsigned visible; /* sections of it */
};

struct log_tracker {
    lunik_listener listener;
    unsigned users; /* counts that are not 0 */
    struct log_block *blocks;
    size_t count, capacity;
    bool lost; /* no memory to remember a block */
};

/* A call of listeners about the sections in a scope. */
struct inquiry {
    struct memory_core *core;
    const lunik_dirty_scope *scope; /* NULL: all */
    unsigned client;
    bool on;
    struct span bytes; /* of scope->ram */
    size_t listener;   /* index, if only one listener is called */
};

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

/* ---- the blocks ----------------------------------------------------------------------------- */

static struct log_block *find_block(const struct log_tracker *t, const lunik_ram *ram)
{
    for (size_t i = 0; i < t->count; i++)
        if (t->blocks[i].ram == ram)
            return &t->blocks[i];
    return NULL;
}

static void on_add(lunik_listener *l, const lunik_section *s)
{
    struct log_tracker *t = lunik_container_of(l, struct log_tracker, listener);
    lunik_ram *ram = s->region->ram;
    struct log_block *b = ram ? find_block(t, ram) : NULL;

    if (!ram)
        return;
    if (b) {
        b->visible++;
    } else if (grow((void **)&t->blocks, &t->capacity, t->count + 1, sizeof(*t->blocks))) {
        lunik_ram_ref(ram);
        t->blocks[t->count++] = (struct log_block){.ram = ram, .visible = 1};
    } else {
        t->lost = true;
    }
}

static void on_del(lunik_listener *l, const lunik_section *s)
{
    struct log_tracker *t = lunik_container_of(l, struct log_tracker, listener);
    struct log_block *b = s->region->ram ? find_block(t, s->region->ram) : NULL;

    if (b && b->visible)
        b->visible--;
}

static int on_commit(lunik_listener *l, lunik_error *err)
{
    struct log_tracker *t = lunik_container_of(l, struct log_tracker, listener);
    bool lost = t->lost;

    t->lost = false;
    return lost ? fail_no_memory(err) : 0;
}

static bool any_dirty(const lunik_ram *ram)
{
    for (unsigned i = 0; i < LUNIK_DIRTY_CLIENTS; i++)
        if (lunik_dirty_count(ram, 1u << i, 0, ram->size))
            return true;
    return false;
}

/* Drops the blocks that have left the map, except those with dirty pages; all: drops all blocks. */
static void forget_blocks(struct log_tracker *t, bool all)
{
    size_t kept = 0;

    for (size_t i = 0; i < t->count; i++) {
        if (!all && (t->blocks[i].visible || any_dirty(t->blocks[i].ram)))
            t->blocks[kept++] = t->blocks[i];
        else
            lunik_ram_unref(t->blocks[i].ram);
    }
    t->count = kept;
}

static void tracker_free(struct memory_core *core)
{
    struct log_tracker *t = core->logged;

    lunik_listener_del(&t->listener);
    core->logged = NULL;
    forget_blocks(t, true);
    free(t->blocks);
    free(t);
}

/* Adds a user of the tracker, which is made for the first. */
static int tracker_use(struct memory_core *core, lunik_error *err)
{
    struct log_tracker *t = core->logged;
    int rc;

    if (!t) {
        t = calloc(1, sizeof(*t));
        if (!t)
            return fail_no_memory(err);
        t->listener = (lunik_listener){.name = "dirty-log",
                                       .priority = INT_MIN,
                                       .region_add = on_add,
                                       .region_del = on_del,
                                       .commit = on_commit};
        rc = lunik_listener_add(core->machine, &t->listener, err);
        if (rc) {
            forget_blocks(t, true);
            free(t->blocks);
            free(t);
            return rc;
        }
        core->logged = t;
    }
    t->users++;
    return 0;
}

static void tracker_unuse(struct memory_core *core)
{
    if (!--core->logged->users)
        tracker_free(core);
}

lunik_ram *lunik_dirty_block(lunik_machine *m, size_t index)
{
    NOT_NULL(m, NULL);

    const struct log_tracker *t = m->memory ? m->memory->logged : NULL;

    return t && index < t->count ? t->blocks[index].ram : NULL;
}

/* ---- notifying the listeners ---------------------------------------------------------------- */

typedef void tell_fn(const struct inquiry *q, lunik_section *s);

/* Calls fn for every section in the scope. */
static void each_section(const struct inquiry *q, tell_fn *fn)
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
static void tell_section(const struct inquiry *q, lunik_section *s)
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

static void tell_change(void *opaque)
{
    each_section(opaque, tell_section);
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
    rc = listeners_call_commit(q->core, tell_change, (void *)q, false, err);
    if (rc) {
        back.on = false;
        listeners_call_commit(q->core, tell_change, &back, true, NULL);
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
        rc = tracker_use(core, err);
    if (rc)
        return rc;
    rc = log_start(&q, users == &core->log && !core->log.mask, err);
    if (rc) {
        tracker_unuse(core);
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
    listeners_call_commit(core, tell_change, &q, true, NULL);
    if (users == &core->log && !core->log.mask)
        global_stop(core, core->listener_count);
    drop_bits(&q);
    tracker_unuse(core);
    if (scope && scope->region)
        region_settle(scope->region);
    return 0;
}

void log_fini(struct memory_core *core)
{
    if (core->logged)
        tracker_free(core);
}

/* ---- sync and clear ------------------------------------------------------------------------- */

static void sync_section(const struct inquiry *q, lunik_section *s)
{
    lunik_listener *l = q->core->listeners[q->listener];

    if (s->log_mask && listens(l, s->space))
        l->log_sync(l, s);
}

/* Visits the sections only for a listener that can't sync all of them at once. */
static void sync_listener(struct memory_core *core, size_t index)
{
    const struct inquiry q = {.core = core, .listener = index};
    lunik_listener *l = core->listeners[index];

    if (l && l->log_sync_global)
        l->log_sync_global(l);
    else if (l && l->log_sync)
        each_section(&q, sync_section);
}

static void tell_sync(void *opaque)
{
    struct memory_core *core = opaque;

    for (size_t i = 0; i < core->listener_count; i++)
        sync_listener(core, i);
    for (size_t i = 0; i < core->listener_count; i++)
        if (core->listeners[i] && core->listeners[i]->log_global_after_sync)
            core->listeners[i]->log_global_after_sync(core->listeners[i]);
}

int lunik_dirty_sync(lunik_machine *m, lunik_error *err)
{
    NOT_NULL_OR_FAIL(m, err);

    struct memory_core *core = m->memory;
    int rc;

    if (!core)
        return machine_fail_closed(m, err);
    rc = core_check(core, err);
    if (rc || !core->logged)
        return rc;
    listeners_call(core, tell_sync, core);
    forget_blocks(core->logged, false);
    return 0;
}

/* Calls log_clear of the listeners for the part of s that is in the range of the block. */
static void clear_section(const struct inquiry *q, lunik_section *s)
{
    uint64_t first = s->region->ram_offset + s->offset, last = first + (s->size - 1);
    struct memory_core *core = q->core;

    if (!s->log_mask || first > q->bytes.last || last < q->bytes.first)
        return;
    if (first < q->bytes.first) {
        s->offset += q->bytes.first - first;
        s->address += q->bytes.first - first;
        s->size -= q->bytes.first - first;
    }
    if (last > q->bytes.last)
        s->size -= last - q->bytes.last;
    for (size_t i = 0; i < core->listener_count; i++) {
        lunik_listener *l = core->listeners[i];

        if (listens(l, s->space) && l->log_clear)
            l->log_clear(l, s);
    }
}

static void tell_clear(void *opaque)
{
    each_section(opaque, clear_section);
}

uint64_t lunik_dirty_test_and_clear(lunik_machine *m, lunik_dirty_client client, lunik_ram *ram,
                                    uint64_t offset, uint64_t size, uint64_t *bits)
{
    NOT_NULL(m, 0);
    NOT_NULL(ram, 0);

    const uint64_t mask = LUNIK_DIRTY_PAGE - 1;
    uint64_t count = ram_dirty_clear(ram, client, offset, size, bits);
    const lunik_dirty_scope scope = {.ram = ram};
    struct inquiry q = {.core = m->memory, .scope = &scope, .client = client};

    if (!count || !q.core || q.core->open.notifying)
        return count;
    q.bytes = (struct span){offset & ~mask, add_saturated(offset, size - 1) | mask};
    listeners_call(q.core, tell_clear, &q);
    return count;
}

void lunik_dirty_mark(lunik_region *r, uint64_t offset, uint64_t size)
{
    NOT_NULL(r);

    rcu_online(); /* keeps the block even if the region drops it now */
    if (lunik_region_ram(r))
        region_written(r, offset, size);
    rcu_offline();
}
