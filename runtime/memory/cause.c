/*
 * cause.c: records what led to each change of the memory map.
 *
 * Each thread has a stack of causes, whose frames live in the functions that push them. When a
 * region changes, the stack is copied. For each address, a view keeps the copy made at the last
 * change there.
 */
#define _GNU_SOURCE /* stpcpy */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/cause_stack.h"
#include "core/misuse.h"
#include "memory.h"

enum { CHAIN_MAX = 8, MAP_MAX = 1 << 14 };

struct cause_ref {
    unsigned refs;
    size_t count;
    uint64_t serial;     /* of the copied frame */
    const void *thread;  /* whose stack it was on */
    lunik_cause chain[]; /* innermost first; names after it */
};

static __thread char this_thread; /* its address identifies the thread */

/* ---- copies --------------------------------------------------------------------------------- */

void cause_unref(struct cause_ref *ref)
{
    if (ref && !--ref->refs)
        free(ref);
}

static const char *copy_text(const char *text, char **room)
{
    char *copy = *room;

    if (!text)
        return NULL;
    *room = stpcpy(copy, text) + 1;
    return copy;
}

static size_t text_size(const char *text)
{
    return text ? strlen(text) + 1 : 0;
}

/* Returns the bytes that a copy of the chain needs; *count: the causes it will have. */
static size_t chain_size(const lunik_cause *c, size_t *count)
{
    size_t size = 0;

    for (*count = 0; c && *count < CHAIN_MAX; c = c->by, ++*count)
        size += sizeof(*c) + text_size(c->name) + text_size(c->detail);
    return size;
}

static void copy_chain(lunik_cause *to, const lunik_cause *c, size_t count)
{
    char *room = (char *)&to[count];

    for (size_t i = 0; i < count; i++, c = c->by) {
        to[i] = *c;
        to[i].name = copy_text(c->name, &room);
        to[i].detail = copy_text(c->detail, &room);
        to[i].by = i + 1 < count ? &to[i + 1] : NULL;
    }
}

static struct cause_ref *copy_stack(void)
{
    const lunik_cause *top = cause_current();
    size_t count, size = chain_size(top, &count);
    struct cause_ref *ref = malloc(sizeof(*ref) + size);

    if (!ref)
        return NULL;
    *ref = (struct cause_ref){1, count, top->serial, &this_thread};
    copy_chain(ref->chain, top, count);
    return ref;
}

lunik_cause *lunik_cause_copy(const lunik_cause *cause)
{
    NOT_NULL(cause, NULL);

    size_t count, size = chain_size(cause, &count);
    lunik_cause *copy = malloc(size);

    if (copy)
        copy_chain(copy, cause, count);
    return copy;
}

/* Returns a reference to a copy of the present stack; NULL if that is empty or out of memory. */
static struct cause_ref *capture(struct memory_core *core)
{
    const lunik_cause *top = cause_current();
    struct cause_ref *last = core->last_cause;

    if (!top)
        return NULL;
    if (!last || last->thread != &this_thread || last->serial != top->serial) {
        cause_unref(last);
        core->last_cause = last = copy_stack();
    }
    if (last)
        last->refs++;
    return last;
}

static void replace(struct cause_ref **place, struct cause_ref *ref)
{
    cause_unref(*place);
    *place = ref;
}

void cause_of_transaction(struct memory_core *core)
{
    replace(&core->cause, capture(core));
}

void cause_of_region(lunik_region *r)
{
    replace(&r->cause, capture(r->core));
}

/* Returns the cause of the change of a region that an address space shows: of the region itself or
 * of one of its containers. */
static struct cause_ref *region_cause(const lunik_region *r)
{
    const struct memory_core *core = r->core;

    for (; r; r = r->s.parent)
        if (r->touched && r->cause)
            return r->cause;
    return core->cause;
}

/* ---- the map of causes ---------------------------------------------------------------------- */

struct cause_span {
    struct span span;
    struct cause_ref *ref;
};

/* Returns the index of the first span that does not end before address. */
static size_t seek(const struct cause_map *map, uint64_t address)
{
    size_t low = 0, high = map->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (map->items[middle].span.last < address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void cause_map_clear(struct cause_map *map)
{
    for (size_t i = 0; i < map->count; i++)
        cause_unref(map->items[i].ref);
    free(map->items);
    *map = (struct cause_map){0};
}

/* Records ref as the cause of the last change in a span. Without memory for that clears the map. */
static void paint(struct cause_map *map, struct span span, struct cause_ref *ref)
{
    struct cause_span put[3];
    size_t count = 0, first = seek(map, span.first), end = first;

    while (end < map->count && map->items[end].span.first <= span.last)
        end++;
    if (!ref && first == end)
        return;
    if (first < end && map->items[first].span.first < span.first) {
        put[count] = map->items[first];
        put[count++].span.last = span.first - 1;
    }
    if (ref)
        put[count++] = (struct cause_span){span, ref};
    if (first < end && map->items[end - 1].span.last > span.last) {
        put[count] = map->items[end - 1];
        put[count++].span.first = span.last + 1;
    }
    if (map->count + count - (end - first) > MAP_MAX ||
        !grow((void **)&map->items, &map->capacity, map->count + count, sizeof(*map->items))) {
        cause_map_clear(map);
        return;
    }
    for (size_t i = 0; i < count; i++)
        if (put[i].ref)
            put[i].ref->refs++;
    for (size_t i = first; i < end; i++)
        cause_unref(map->items[i].ref);
    if (first + count != end)
        memmove(&map->items[first + count], &map->items[end],
                (map->count - end) * sizeof(*map->items));
    memcpy(&map->items[first], put, count * sizeof(*put));
    map->count += count - (end - first);
}

/* Paints the ranges of one kind: those that only the old view has, or only the new one. */
static void paint_diff(struct view_root *vr, struct view_diff diff, enum view_diff_kind which)
{
    const struct flat_range *r;
    enum view_diff_kind kind;

    while ((r = view_diff_next(&diff, &kind)))
        if (kind == which)
            paint(&vr->causes, r->span, region_cause(r->region));
}

void causes_record(struct view_root *vr)
{
    for (size_t i = 0; i < vr->changed_count; i++) {
        struct view_diff diff = view_diff_start(&vr->changed[i], false);

        paint_diff(vr, diff, DIFF_GONE);
        paint_diff(vr, diff, DIFF_NEW);
    }
}

/* ---- queries -------------------------------------------------------------------------------- */

static const lunik_cause *first_of(const struct cause_ref *ref)
{
    return ref && ref->count ? ref->chain : NULL;
}

const lunik_cause *lunik_space_why(lunik_space *s, uint64_t address)
{
    NOT_NULL(s, NULL);

    const struct cause_map *map = &s->vr->causes;
    size_t i = seek(map, address);

    return i < map->count && map->items[i].span.first <= address ? first_of(map->items[i].ref)
                                                                 : NULL;
}

const lunik_cause *lunik_section_cause(const lunik_section *s)
{
    NOT_NULL(s, NULL);

    const struct memory_core *core = s->space->core;

    if (core->open.notifying && core->open.depth)
        return first_of(region_cause(s->region));
    return lunik_space_why(s->space, s->address);
}

const lunik_cause *lunik_transaction_cause(const lunik_machine *m)
{
    NOT_NULL(m, NULL);

    return m->memory && m->memory->open.depth ? first_of(m->memory->cause) : NULL;
}

static void add_access(struct text *t, const lunik_cause *c)
{
    if (c->vcpu >= 0)
        text_add(t, "vCPU %d: ", c->vcpu);
    if (*c->action == 'r')
        text_add(t, "read of");
    else if (c->size <= sizeof(c->value))
        text_add(t, "write of 0x%" PRIx64 " to", c->value);
    else
        text_add(t, "write to");
    text_add(t, " %s 0x%" PRIx64 " (%s%s%u bytes)", c->detail, c->address, c->name ? c->name : "",
             c->name ? ", " : "", c->size);
}

void cause_add(struct text *t, const lunik_cause *c)
{
    if (!strcmp(c->action, "read") || !strcmp(c->action, "write")) {
        add_access(t, c);
        return;
    }
    text_add(t, "%s", c->action);
    if (c->name)
        text_add(t, " %s", c->name);
    if (c->line)
        text_add(t, ":%d", c->line);
    if (c->detail)
        text_add(t, " (%s)", c->detail);
}

void cause_add_chain(struct text *t, const lunik_cause *c)
{
    for (; c; c = c->by) {
        cause_add(t, c);
        if (c->by)
            text_add(t, ", by ");
    }
}

static void add_chain(struct text *t, const void *cause)
{
    cause_add_chain(t, cause);
}

size_t lunik_cause_text(const lunik_cause *cause, char **text)
{
    NOT_NULL(text, 0);

    return text_make(text, add_chain, cause);
}

size_t lunik_cause_print(const lunik_cause *cause, char *buf, size_t size)
{
    REQUIRE(buf || !size, "buf is NULL", 0);

    struct text t = text_begin(buf, size);

    cause_add_chain(&t, cause);
    return t.length;
}
