/*
 * memory_oracle_listener.h: the listeners of the memory oracle. Checks that the calls are complete,
 * in the documented order, and not more than needed.
 */
#ifndef SPEC_MEMORY_ORACLE_LISTENER_H
#define SPEC_MEMORY_ORACLE_LISTENER_H

#include "memory_oracle_model.h"

enum { SECTIONS_MAX = SPACES * CELLS_MAX };

struct section_list {
    unsigned count;
    lunik_section items[SECTIONS_MAX];
};

struct mirror {
    lunik_listener listener;
    unsigned rank; /* among those of which the order of calls is known; 0: it is not */
    bool picky;    /* refuses the next commit */
    struct section_list known;
};

/* The calls between begin and commit. */
struct calls {
    bool adding;
    unsigned next; /* the rank whose turn it is with the same section; 0: another section's */
    lunik_section section;
    struct section_list gone;
};

static struct mirror first, picky, last, late;
static bool ordered; /* these three are called in turn */
static struct calls calls;
static struct section_list told; /* added, or said to stay, since the last comparison */

static int find_section(const struct section_list *list, const lunik_section *s)
{
    for (unsigned i = 0; i < list->count; i++)
        if (!memcmp(&list->items[i], s, sizeof(*s)))
            return (int)i;
    return -1;
}

static void put_section(struct section_list *list, const lunik_section *s)
{
    if (list->count < SECTIONS_MAX && find_section(list, s) < 0)
        memcpy(&list->items[list->count++], s, sizeof(*s));
}

/* With padding cleared, for memcmp. */
static lunik_section clean(const lunik_section *s)
{
    lunik_section c;

    memset(&c, 0, sizeof(c));
    c.space = s->space;
    c.region = s->region;
    c.offset = s->offset;
    c.address = s->address;
    c.size = s->size;
    c.readonly = s->readonly;
    c.romd = s->romd;
    c.nonvolatile = s->nonvolatile;
    return c;
}

/* All listeners get a section before the next section: first removals by descending priority, then
 * additions and kept sections by ascending priority, each by ascending address. */
static void take_turn(const struct mirror *mirror, const lunik_section *s, bool add)
{
    const unsigned start = add ? first.rank : last.rank, end = add ? last.rank : first.rank;
    bool again = calls.section.space == s->space && calls.adding == add;

    if (!ordered || !mirror->rank)
        return;
    if (mirror->rank != (calls.next ? calls.next : start) ||
        (calls.next && memcmp(&calls.section, s, sizeof(*s)) != 0) || (calls.adding && !add))
        complain("%s is called out of turn for 0x%" PRIx64, mirror->listener.name, s->address);
    else if (!calls.next && again && s->address <= calls.section.address)
        complain("sections are reported out of order at 0x%" PRIx64, s->address);
    calls.adding = add;
    memcpy(&calls.section, s, sizeof(*s));
    calls.next = mirror->rank == end ? 0 : add ? mirror->rank + 1 : mirror->rank - 1;
}

static void on_begin(lunik_listener *l)
{
    if (lunik_container_of(l, struct mirror, listener)->rank == first.rank)
        calls = (struct calls){0};
}

static void on_add(lunik_listener *l, const lunik_section *s)
{
    struct mirror *mirror = lunik_container_of(l, struct mirror, listener);
    lunik_section c = clean(s);

    take_turn(mirror, &c, true);
    if (ordered && mirror->rank && find_section(&calls.gone, &c) >= 0)
        complain("%s: region_add of what has just gone", l->name);
    if (find_section(&mirror->known, &c) >= 0)
        complain("%s: region_add twice", l->name);
    put_section(&mirror->known, &c);
    put_section(&told, &c);
}

static void on_del(lunik_listener *l, const lunik_section *s)
{
    struct mirror *mirror = lunik_container_of(l, struct mirror, listener);
    lunik_section c = clean(s);
    int at = find_section(&mirror->known, &c);

    take_turn(mirror, &c, false);
    put_section(&calls.gone, &c);
    if (at < 0)
        complain("%s: region_del of what was never added", l->name);
    else
        memcpy(&mirror->known.items[at], &mirror->known.items[--mirror->known.count], sizeof(c));
}

static void on_nop(lunik_listener *l, const lunik_section *s)
{
    struct mirror *mirror = lunik_container_of(l, struct mirror, listener);
    lunik_section c = clean(s);

    take_turn(mirror, &c, true);
    if (find_section(&mirror->known, &c) < 0)
        complain("%s: region_nop of what was never added", l->name);
    put_section(&told, &c);
}

static int on_commit(lunik_listener *l, lunik_error *e)
{
    struct mirror *mirror = lunik_container_of(l, struct mirror, listener);

    if (ordered && calls.next)
        complain("%s: commit before all know of 0x%" PRIx64, l->name, calls.section.address);
    if (!mirror->picky)
        return 0;
    mirror->picky = false;
    return lunik_fail(e, LUNIK_E_NO_SPACE, "refused");
}

static void watch(struct mirror *mirror, const char *name, int priority, unsigned rank,
                  lunik_space *space)
{
    mirror->known.count = 0;
    mirror->picky = false;
    mirror->rank = rank;
    mirror->listener = (lunik_listener){.name = name,
                                        .priority = priority,
                                        .space = space,
                                        .begin = on_begin,
                                        .region_add = on_add,
                                        .region_del = on_del,
                                        .region_nop = on_nop,
                                        .commit = on_commit};
    if (lunik_listener_add(m, &mirror->listener, NULL))
        complain("listener_add failed");
}

#endif
