/*
 * dirty_blocks.c: the list of blocks that clients of dirty logging can find dirty pages in.
 *
 * While a client logs, a listener keeps the list: a block that leaves the map stays in it as long
 * as it has dirty pages that its clients have not cleared.
 */
#include <limits.h>
#include <stdlib.h>

#include "dirty_log.h"
#include "core/misuse.h"

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

void log_blocks_free(struct memory_core *core)
{
    struct log_tracker *t = core->logged;

    lunik_listener_del(&t->listener);
    core->logged = NULL;
    forget_blocks(t, true);
    free(t->blocks);
    free(t);
}

int log_blocks_use(struct memory_core *core, lunik_error *err)
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

void log_blocks_unuse(struct memory_core *core)
{
    if (!--core->logged->users)
        log_blocks_free(core);
}

void log_blocks_trim(struct memory_core *core)
{
    forget_blocks(core->logged, false);
}

lunik_ram *lunik_dirty_block(lunik_machine *m, size_t index)
{
    NOT_NULL(m, NULL);

    const struct log_tracker *t = m->memory ? m->memory->logged : NULL;

    return t && index < t->count ? t->blocks[index].ram : NULL;
}
