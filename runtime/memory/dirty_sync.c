/*
 * dirty_sync.c: collects dirty pages from listeners, clears and marks them; listeners are notified
 * of pages that are cleared.
 */
#include "core/misuse.h"
#include "dirty_log.h"

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
        log_each_section(&q, sync_section);
}

static void notify_sync(void *opaque)
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
    listeners_call(core, notify_sync, core);
    log_blocks_trim(core);
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

static void notify_clear(void *opaque)
{
    log_each_section(opaque, clear_section);
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
    listeners_call(q.core, notify_clear, &q);
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
