/*
 * reject.c: counts accesses that are not carried out, and reports them to subscribers.
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

    return (unsigned)why < sizeof(names) / sizeof(names[0]) ? names[why] : "unknown";
}

const char *lunik_reject_meaning(lunik_reject why)
{
    static const char *const meanings[] = {"accepted",
#define REJECT_MEANING(name, lua, result, text) text,
                                           LUNIK_REJECT_MAP(REJECT_MEANING)
#undef REJECT_MEANING
    };

    return (unsigned)why < sizeof(meanings) / sizeof(meanings[0]) ? meanings[why] : "unknown";
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

/* Calls the subscribers. Lock held. If the thread had to wait for the lock, the region may have
 * been destroyed meanwhile: then only its struct is left, and nothing is reported. */
static void report(struct memory_core *core, const lunik_rejection *r)
{
    if (core->reporting || (r->region && !r->region->refs))
        return;
    if (r->region)
        lunik_region_ref(r->region);
    core->refs++;
    core->reporting = true;
    SUBS_CALL(reject, &core->reject_subs, r);
    core->reporting = false;
    if (r->region)
        lunik_region_unref(r->region);
    core_unref(core);
}

bool reject_count(lunik_space *s, lunik_region *r)
{
    count_up(&s->rejected);
    count_up(r ? &r->rejected : &s->unassigned);
    return sub_list_any(&s->core->reject_subs);
}

void reject_notify(const lunik_rejection *r)
{
    struct memory_core *core = r->space->core;
    lunik_runtime *rt = core->rt;
    bool locked = lunik_locked(rt);

    if (!locked)
        lunik_lock(rt);
    report(core, r);
    if (!locked)
        lunik_unlock(rt);
}

static void add_rejection(struct text *t, const void *rejection)
{
    const lunik_rejection *r = rejection;

    cause_add(t, &r->access);
    text_add(t, ": %s", lunik_reject_meaning(r->why));
    if (r->access.by) {
        text_add(t, ", by ");
        cause_add_chain(t, r->access.by);
    }
}

size_t lunik_rejection_text(const lunik_rejection *r, char **text)
{
    NOT_NULL(r, 0);
    NOT_NULL(text, 0);

    return text_make(text, add_rejection, r);
}

bool rejections_called_here(const lunik_machine *m)
{
    return m->memory && sub_list_called_here(&m->memory->reject_subs);
}

SUBSCRIPTION(reject, &m->memory->reject_subs)

void lunik_space_get_stats(const lunik_space *s, lunik_space_stats *out)
{
    NOT_NULL(s);
    NOT_NULL(out);

    out->rejected = atomic_load_explicit(&s->rejected, memory_order_relaxed);
    out->unassigned = atomic_load_explicit(&s->unassigned, memory_order_relaxed);
}
