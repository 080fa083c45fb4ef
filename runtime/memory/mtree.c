/*
 * mtree.c: prints the region graph and the flat views in the format of QEMU's "info mtree".
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/misuse.h"
#include "memory.h"

struct printer {
    FILE *out;
    unsigned flags;
    lunik_region **targets; /* of aliases: each gets a section of its own */
    size_t count, capacity;
    bool failed;
};

static const char *type_text(const lunik_region *r)
{
    while (r->target)
        r = r->target;
    switch (r->kind) {
    case LUNIK_REGION_RAM:
    case LUNIK_REGION_ROM:
        return r->s.readonly ? "rom" : "ram";
    case LUNIK_REGION_ROM_DEVICE:
        return r->s.romd ? "romd" : "i/o";
    default:
        return "i/o";
    }
}

static void print_owner(struct printer *p, const lunik_region *r)
{
    const lunik_object *o = r->owner;

    if (!(p->flags & LUNIK_MTREE_OWNER))
        return;
    if (!o)
        fputs(" owner:{obj path=/machine}", p->out);
    else if (!lunik_object_is_device(o))
        fprintf(p->out, " owner:{obj path=%s}", lunik_object_path(o));
    else if (*lunik_object_id(o))
        fprintf(p->out, " owner:{dev id=%s}", lunik_object_id(o));
    else
        fprintf(p->out, " owner:{dev path=%s}", lunik_object_path(o));
}

/* Whether one section is enough for both regions: devices that show parts of one backend each have
 * a region for all of it. */
static bool same_section(const struct printer *p, const lunik_region *a, const lunik_region *b)
{
    if (a == b)
        return true;
    return a->ram && a->ram == b->ram && a->ram_offset == b->ram_offset && a->kind == b->kind &&
           !strcmp(a->name, b->name) && a->s.last == b->s.last && a->s.readonly == b->s.readonly &&
           a->s.enabled == b->s.enabled && !a->children && !b->children &&
           (a->owner == b->owner || !(p->flags & LUNIK_MTREE_OWNER));
}

static void note_target(struct printer *p, lunik_region *target)
{
    for (size_t i = 0; i < p->count; i++)
        if (same_section(p, p->targets[i], target))
            return;
    if (grow((void **)&p->targets, &p->capacity, p->count + 1, sizeof(*p->targets)))
        p->targets[p->count++] = target;
    else
        p->failed = true;
}

struct level {
    struct printer *printer;
    unsigned depth;
    uint64_t base;
};

static bool print_region(void *opaque, lunik_region *r)
{
    const struct level *level = opaque;
    struct printer *p = level->printer;
    struct level below = {p, level->depth + 1, level->base + r->s.address};

    if (!r->s.enabled && !(p->flags & LUNIK_MTREE_DISABLED))
        return true;
    if (below.base < level->base || below.base > UINT64_MAX - r->s.last)
        fputs("[DETECTED OVERFLOW!] ", p->out);
    fprintf(p->out, "%*s%016" PRIx64 "-%016" PRIx64 " (prio %d, %s%s): ", (int)(2 * level->depth),
            "", below.base, below.base + r->s.last, r->s.priority, r->nonvolatile ? "nv-" : "",
            type_text(r));
    if (r->target) {
        note_target(p, r->target);
        fprintf(p->out, "alias %s @%s %016" PRIx64 "-%016" PRIx64, r->name, r->target->name,
                r->s.alias_offset, r->s.alias_offset + r->s.last);
    } else {
        fputs(r->name, p->out);
    }
    if (!r->s.enabled)
        fputs(" [disabled]", p->out);
    print_owner(p, r);
    fputc('\n', p->out);
    if (level->depth < MEMORY_MAX_DEPTH)
        children_visit(r, (struct span){0, UINT64_MAX}, print_region, &below);
    return true;
}

/* Whether s is the first space of its root: roots are printed in the order of these. */
static bool first_of_root(const lunik_space *s)
{
    for (const lunik_space *other = s->core->spaces; other != s; other = other->next)
        if (other->vr == s->vr)
            return false;
    return true;
}

static void print_tree(struct printer *p, const struct memory_core *core)
{
    struct level top = {p, 1, 0};

    for (const lunik_space *s = core->spaces; s; s = s->next) {
        if (!first_of_root(s))
            continue;
        for (const lunik_space *same = s; same; same = same->next)
            if (same->vr == s->vr)
                fprintf(p->out, "address-space: %s\n", same->name);
        print_region(&top, s->vr->root);
        fputc('\n', p->out);
    }
    for (size_t i = 0; i < p->count; i++) { /* grows while it is printed */
        fprintf(p->out, "memory-region: %s\n", p->targets[i]->name);
        print_region(&top, p->targets[i]);
        fputc('\n', p->out);
    }
}

static void print_range(struct printer *p, const struct view_root *vr, const struct flat_range *r)
{
    const struct memory_core *core = vr->core;

    fprintf(p->out, "  %016" PRIx64 "-%016" PRIx64 " (prio %d, %s%s): %s", r->span.first,
            r->span.last, r->region->s.priority, r->flags & RANGE_NONVOLATILE ? "nv-" : "",
            r->flags & RANGE_READONLY ? "rom" : type_text(r->region), r->region->name);
    if (r->offset)
        fprintf(p->out, " @%016" PRIx64, r->offset);
    print_owner(p, r->region);
    if (core->hooks && core->machine->memory_space->vr == vr &&
        core->hooks->has_slot(core->machine, r->span.first, r->span.last))
        fputs(" KVM", p->out);
    fputc('\n', p->out);
}

static void print_views(struct printer *p, const struct memory_core *core)
{
    unsigned number = 0;

    for (const lunik_space *s = core->spaces; s; s = s->next) {
        struct view_cursor c = view_seek(view_root_current(s->vr), 0);
        const lunik_region *root = s->vr->root;

        if (!first_of_root(s))
            continue;
        fprintf(p->out, "FlatView #%u\n", number++);
        for (const lunik_space *same = s; same; same = same->next) {
            if (same->vr != s->vr)
                continue;
            fprintf(p->out, " AS \"%s\", root: %s", same->name, root->name);
            if (root->target)
                fprintf(p->out, ", alias %s", root->target->name);
            fputc('\n', p->out);
        }
        if (cursor_range(&c))
            fprintf(p->out, " Root memory region: %s\n", root->name);
        else
            fputs(" Root memory region: (none)\n  No rendered FlatView\n", p->out);
        for (const struct flat_range *r; (r = cursor_range(&c)); cursor_next(&c))
            print_range(p, s->vr, r);
        fputc('\n', p->out);
    }
}

size_t lunik_mtree(lunik_machine *m, unsigned flags, char **out)
{
    NOT_NULL(m, 0);
    NOT_NULL(out, 0);

    struct printer p = {.flags = flags};
    size_t size = 0;

    *out = NULL;
    p.out = open_memstream(out, &size);
    if (!p.out)
        return 0;
    if (m->memory && flags & LUNIK_MTREE_FLAT)
        print_views(&p, m->memory);
    else if (m->memory)
        print_tree(&p, m->memory);
    p.failed = p.failed || ferror(p.out);
    free(p.targets);
    if (fclose(p.out) || p.failed) {
        free(*out);
        *out = NULL;
        return 0;
    }
    return size;
}
