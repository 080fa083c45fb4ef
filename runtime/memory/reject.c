/*
 * reject.c: accesses that are not carried out: counting them, telling who wants to know.
 */
#define _GNU_SOURCE /* open_memstream */
#include <stdlib.h>

#include "core/misuse.h"
#include "memory.h"

const char *lunik_reject_name(lunik_reject why)
{
    static const char *const names[] = {"none",
#define REJECT_NAME(name, lua, result, text) lua,
                                        LUNIK_REJECT_MAP(REJECT_NAME)
#undef REJECT_NAME
    };

    return names[why];
}

const char *lunik_reject_meaning(lunik_reject why)
{
    static const char *const meanings[] = {"accepted",
#define REJECT_MEANING(name, lua, result, text) text,
                                           LUNIK_REJECT_MAP(REJECT_MEANING)
#undef REJECT_MEANING
    };

    return meanings[why];
}

lunik_access reject_result(lunik_reject why)
{
    static const lunik_access results[] = {LUNIK_ACCESS_OK,
#define REJECT_RESULT(name, lua, result, text) LUNIK_ACCESS_##result,
                                           LUNIK_REJECT_MAP(REJECT_RESULT)
#undef REJECT_RESULT
    };

    return results[why];
}

/* Under the lock. Who had to wait for it may find that the region is gone by now, and only its
 * struct left. */
static void tell(struct memory_core *core, const lunik_rejection *r)
{
    lunik_reject_fn *fn = atomic_load_explicit(&core->reject_fn, memory_order_relaxed);

    if (!fn || core->telling || (r->region && !r->region->refs))
        return;
    if (r->region)
        lunik_region_ref(r->region);
    core->refs++;
    core->telling = true;
    fn(core->reject_opaque, r);
    core->telling = false;
    if (r->region)
        lunik_region_unref(r->region);
    core_unref(core);
}

bool reject_count(lunik_space *s, lunik_region *r)
{
    count_up(&s->rejected);
    count_up(r ? &r->rejected : &s->unassigned);
    return atomic_load_explicit(&s->core->reject_fn, memory_order_relaxed);
}

void reject_tell(const lunik_rejection *r)
{
    struct memory_core *core = r->space->core;
    lunik_runtime *rt = core->rt;
    bool locked = lunik_locked(rt);

    if (!locked)
        lunik_lock(rt);
    tell(core, r);
    if (!locked)
        lunik_unlock(rt);
}

size_t lunik_rejection_text(const lunik_rejection *r, char **text)
{
    NOT_NULL(r, 0);
    NOT_NULL(text, 0);

    size_t size = 0;
    FILE *out;

    *text = NULL;
    out = open_memstream(text, &size);
    if (!out)
        return 0;
    cause_print(out, &r->access);
    fprintf(out, ": %s", lunik_reject_meaning(r->why));
    if (r->access.by) {
        fputs(", by ", out);
        cause_print_chain(out, r->access.by);
    }
    if (!fclose(out))
        return size;
    free(*text);
    *text = NULL;
    return 0;
}

void lunik_machine_set_reject_cb(lunik_machine *m, lunik_reject_fn *fn, void *opaque)
{
    NOT_NULL(m);

    if (!m->memory)
        return;
    m->memory->reject_opaque = opaque;
    atomic_store_explicit(&m->memory->reject_fn, fn, memory_order_relaxed);
}

void lunik_space_get_stats(const lunik_space *s, lunik_space_stats *out)
{
    NOT_NULL(s);
    NOT_NULL(out);

    out->rejected = atomic_load_explicit(&s->rejected, memory_order_relaxed);
    out->unassigned = atomic_load_explicit(&s->unassigned, memory_order_relaxed);
}
