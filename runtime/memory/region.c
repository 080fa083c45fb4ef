/*
 * region.c: memory regions and the graph they form.
 *
 * Every change goes through change(): remember the old state, mark what showed it, change, mark
 * what shows it now. The transaction around it does the rest.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"

/* ---- references ----------------------------------------------------------------------------- */

static void region_free(struct rcu_head *head)
{
    lunik_region *r = lunik_container_of(head, lunik_region, rcu);

    rcu_note_reclaim();
    free(r->name);
    free(r);
}

static void unlink_alias(lunik_region *r)
{
    *r->alias_link = r->next_alias;
    if (r->next_alias)
        r->next_alias->alias_link = r->alias_link;
    lunik_region_unref(r->target);
}

/* Nothing shows r any more; a vCPU may still look at the struct until it is through with an old
 * view. */
static void region_destroy(lunik_region *r)
{
    struct memory_core *core = r->core;

    while (r->children) {
        lunik_region *child = r->children;

        region_detach(child);
        child->s.parent = NULL;
    }
    if (r->target)
        unlink_alias(r);
    if (r->ram)
        lunik_ram_unref(r->ram); /* unmapped after a grace period, too */
    rcu_defer(&r->rcu, region_free);
    core_unref(core);
}

void lunik_region_ref(lunik_region *r)
{
    r->refs++;
}

void lunik_region_unref(lunik_region *r)
{
    if (!--r->refs)
        region_destroy(r);
}

void region_use(lunik_region *r)
{
    if (r->uses++)
        return;
    r->refs++;
    if (r->owner)
        lunik_object_ref(r->owner);
}

void region_unuse(lunik_region *r)
{
    if (--r->uses)
        return;
    if (r->owner)
        lunik_object_unref(r->owner);
    lunik_region_unref(r);
}

/* ---- making regions ------------------------------------------------------------------------- */

static int check_ops(const lunik_region *r, lunik_error *err)
{
    const struct access_rules *a = &r->rules;
    const uint8_t sizes[] = {a->valid_min, a->valid_max, a->impl_min, a->impl_max};
    bool ok = a->valid_min <= a->valid_max && a->impl_min <= a->impl_max;

    for (size_t i = 0; i < sizeof(sizes); i++)
        ok = ok && sizes[i] >= 1 && sizes[i] <= 8 && !(sizes[i] & (sizes[i] - 1));
    if (!ok)
        return lunik_fail(
            err, LUNIK_E_INVALID,
            "memory region '%s': access sizes: valid %u..%u, implemented %u..%u (want "
            "1, 2, 4 or 8, and no minimum above its maximum)",
            r->name, a->valid_min, a->valid_max, a->impl_min, a->impl_max);
    return 0;
}

static struct access_rules make_rules(const lunik_io_ops *ops)
{
    struct access_rules a = {
        .valid_min = ops->valid.min ? ops->valid.min : 1,
        .valid_max = ops->valid.max ? ops->valid.max : 4,
        .valid_unaligned = ops->valid.unaligned,
        .impl_unaligned = ops->impl.unaligned,
        .big_endian = ops->endian == LUNIK_BIG_ENDIAN,
    };

    if (!ops->valid.max && a.valid_min > a.valid_max)
        a.valid_max = a.valid_min;
    if (!ops->impl.min && !ops->impl.max)
        a.impl_unaligned = a.impl_unaligned || a.valid_unaligned;
    a.impl_min = ops->impl.min ? ops->impl.min : a.valid_min;
    a.impl_max = ops->impl.max ? ops->impl.max : a.valid_max;
    if (!ops->impl.min && a.impl_min > a.impl_max)
        a.impl_min = a.impl_max;
    if (!ops->impl.max && a.impl_min > a.impl_max)
        a.impl_max = a.impl_min;
    return a;
}

static int check_size(const lunik_region *r, uint64_t size, lunik_error *err)
{
    uint64_t limit;

    if (!size)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "memory region '%s': size: '0' is not a size (want at least 1 byte)",
                          r->name);
    if (!r->ram)
        return 0;
    limit = lunik_ram_size(r->ram) - r->ram_offset;
    if (size > limit)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "memory region '%s': size: '0x%" PRIx64 "' is more than its RAM holds "
                          "(want at most 0x%" PRIx64 ")",
                          r->name, size, limit);
    return 0;
}

static int check_needs(const lunik_region *r, const lunik_region_config *c, lunik_error *err)
{
    bool needs_ops = r->kind == LUNIK_REGION_IO || r->kind == LUNIK_REGION_ROM_DEVICE;
    const char *missing = NULL;

    if (region_has_ram(r) && !c->ram)
        missing = "ram";
    else if (needs_ops && !c->ops)
        missing = "ops";
    else if (r->kind == LUNIK_REGION_ALIAS && !c->target)
        missing = "target";
    if (missing)
        return lunik_fail(err, LUNIK_E_INVALID, "memory region '%s': %s: missing", r->name,
                          missing);
    if (r->kind == LUNIK_REGION_ALIAS && c->target->core != r->core)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "memory region '%s': target: '%s' belongs to another machine", r->name,
                          c->target->name);
    return 0;
}

static int set_ram(lunik_region *r, const lunik_region_config *c, lunik_error *err)
{
    uint64_t size = lunik_ram_size(c->ram);

    if (c->ram_offset >= size)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "memory region '%s': ram-offset: '0x%" PRIx64 "' is beyond its RAM (want "
                          "less than 0x%" PRIx64 ")",
                          r->name, c->ram_offset, size);
    lunik_ram_ref(c->ram);
    r->ram = c->ram;
    r->ram_offset = c->ram_offset;
    r->host = (uint8_t *)lunik_ram_host(c->ram) + c->ram_offset;
    if (r->kind == LUNIK_REGION_ROM || lunik_ram_readonly(c->ram))
        r->s.readonly = true;
    return 0;
}

static int region_init(lunik_region *r, const lunik_region_config *c, lunik_error *err)
{
    uint64_t size = c->size;
    int rc = check_needs(r, c, err);

    if (!rc && c->ops) {
        r->rules = make_rules(c->ops);
        rc = check_ops(r, err);
    }
    if (!rc && region_has_ram(r))
        rc = set_ram(r, c, err);
    if (!rc && r->ram && !size)
        size = lunik_ram_size(r->ram) - r->ram_offset;
    if (!rc)
        rc = check_size(r, size, err);
    if (rc)
        return rc;
    r->s.last = size_to_last(size);
    if (r->kind == LUNIK_REGION_ALIAS) {
        r->target = c->target;
        lunik_region_ref(r->target);
        r->next_alias = r->target->aliases;
        r->alias_link = &r->target->aliases;
        if (r->next_alias)
            r->next_alias->alias_link = &r->next_alias;
        r->target->aliases = r;
    }
    return 0;
}

int lunik_region_new(lunik_region **out, lunik_machine *m, const lunik_region_config *config,
                     lunik_error *err)
{
    lunik_region *r;
    int rc;

    if (!m->memory)
        return lunik_fail(err, LUNIK_E_GONE, "machine '%s' is closed", lunik_machine_name(m));
    r = calloc(1, sizeof(*r));
    if (r)
        r->name = strdup(config->name ? config->name : "region");
    if (!r || !r->name) {
        free(r);
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "memory: out of memory");
    }
    r->refs = 1;
    r->core = m->memory;
    r->kind = config->kind;
    r->nonvolatile = config->nonvolatile;
    r->owner = config->owner;
    r->ops = config->ops;
    r->opaque = config->opaque;
    r->s.enabled = true;
    r->s.romd = true;
    r->s.readonly = config->readonly;
    r->s.alias_offset = config->offset;
    rc = region_init(r, config, err);
    if (rc) {
        if (r->ram)
            lunik_ram_unref(r->ram);
        region_free(&r->rcu);
        return rc;
    }
    r->core->refs++;
    *out = r;
    return 0;
}

/* ---- the graph ------------------------------------------------------------------------------ */

void region_attach(lunik_region *r)
{
    if (!r->s.parent)
        return;
    children_insert(r->s.parent, r);
    lunik_region_ref(r);
}

void region_detach(lunik_region *r)
{
    if (!r->s.parent)
        return;
    children_remove(r->s.parent, r);
    lunik_region_unref(r);
}

/* Marks the offsets `window` of r in every view that shows them. */
static void mark(lunik_region *r, struct span window, unsigned depth)
{
    if (!r->s.enabled || window.first > r->s.last)
        return;
    if (depth > MEMORY_MAX_DEPTH) {
        r->core->too_deep = true;
        return;
    }
    if (window.last > r->s.last)
        window.last = r->s.last;
    if (r->view_root)
        view_root_mark(r->view_root, window);
    if (r->s.parent && window.first <= UINT64_MAX - r->s.address)
        mark(r->s.parent,
             (struct span){window.first + r->s.address, add_saturated(window.last, r->s.address)},
             depth + 1);
    for (lunik_region *a = r->aliases; a; a = a->next_alias) {
        uint64_t skip = a->s.alias_offset;

        if (window.last >= skip)
            mark(a,
                 (struct span){window.first > skip ? window.first - skip : 0, window.last - skip},
                 depth + 1);
    }
}

static bool state_equal(const struct region_state *a, const struct region_state *b)
{
    return a->parent == b->parent && a->address == b->address && a->last == b->last &&
           a->alias_offset == b->alias_offset && a->seq == b->seq && a->priority == b->priority &&
           a->enabled == b->enabled && a->readonly == b->readonly && a->romd == b->romd &&
           a->may_overlap == b->may_overlap;
}

static int change(lunik_region *r, struct region_state to, lunik_error *err)
{
    static const struct span everything = {0, UINT64_MAX};
    int rc = core_check(r->core, err);

    if (rc)
        return rc;
    if (state_equal(&r->s, &to))
        return 0;
    transaction_begin(r->core);
    transaction_touch(r);
    mark(r, everything, 1);
    region_detach(r);
    r->s = to;
    region_attach(r);
    mark(r, everything, 1);
    return transaction_commit(r->core, err);
}

/* ---- containers ----------------------------------------------------------------------------- */

enum above { NOT_ABOVE, IS_ABOVE, TOO_DEEP };

/* Is top r itself, or above it, through containers and aliases? */
static enum above is_above(const lunik_region *top, const lunik_region *r, unsigned depth)
{
    enum above found = NOT_ABOVE;

    if (r == top)
        return IS_ABOVE;
    if (depth > MEMORY_MAX_DEPTH)
        return TOO_DEEP;
    if (r->s.parent)
        found = is_above(top, r->s.parent, depth + 1);
    for (const lunik_region *a = r->aliases; a && !found; a = a->next_alias)
        found = is_above(top, a, depth + 1);
    return found;
}

static int check_loop(const lunik_region *parent, const lunik_region *child, lunik_error *err)
{
    /* A leaf can't have parent below it. */
    if (child->kind != LUNIK_REGION_ALIAS && !child->children && child != parent)
        return 0;
    switch (is_above(child, parent, 1)) {
    case NOT_ABOVE:
        return 0;
    case IS_ABOVE:
        return lunik_fail(err, LUNIK_E_INVALID,
                          "memory region '%s': '%s' can't be added: it would contain itself",
                          parent->name, child->name);
    default:
        return lunik_fail(err, LUNIK_E_INVALID,
                          "memory region '%s' is nested too deeply (want at most %d levels)",
                          parent->name, MEMORY_MAX_DEPTH);
    }
}

struct rival_search {
    int priority;
    const lunik_region *found;
};

static bool find_rival(void *opaque, lunik_region *sibling)
{
    struct rival_search *search = opaque;

    if (sibling->s.priority == search->priority && !sibling->s.may_overlap)
        search->found = sibling;
    return !search->found;
}

static int check_overlap(const lunik_region *parent, const lunik_region *child,
                         const struct region_state *to, lunik_error *err)
{
    struct rival_search search = {.priority = to->priority};
    struct span span = {to->address, add_saturated(to->address, to->last)};

    if (!to->may_overlap)
        children_visit(parent, span, find_rival, &search);
    if (!search.found)
        return 0;
    return lunik_fail(err, LUNIK_E_EXISTS,
                      "memory region '%s': offset: '0x%" PRIx64 "' is taken in '%s': '%s' is at "
                      "0x%" PRIx64 "-0x%" PRIx64,
                      child->name, to->address, parent->name, search.found->name,
                      search.found->s.address,
                      add_saturated(search.found->s.address, search.found->s.last));
}

int lunik_region_add(lunik_region *parent, uint64_t offset, lunik_region *child, int priority,
                     bool may_overlap, lunik_error *err)
{
    struct region_state to = child->s;
    int rc;

    if (parent->core != child->core)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "memory region '%s': '%s' belongs to another machine", parent->name,
                          child->name);
    if (parent->kind == LUNIK_REGION_ALIAS)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "memory region '%s': '%s' can't be added: an alias has no children",
                          parent->name, child->name);
    if (to.parent)
        return lunik_fail(err, LUNIK_E_BUSY, "memory region '%s' is in '%s' already", child->name,
                          to.parent->name);
    to.parent = parent;
    to.address = offset;
    to.priority = priority;
    to.may_overlap = may_overlap;
    rc = check_loop(parent, child, err);
    if (!rc)
        rc = check_overlap(parent, child, &to, err);
    if (rc)
        return rc;
    to.seq = ++parent->core->seq;
    return change(child, to, err);
}

int lunik_region_del(lunik_region *child, lunik_error *err)
{
    struct region_state to = child->s;

    if (!to.parent)
        return 0;
    to.parent = NULL;
    to.address = 0;
    return change(child, to, err);
}

/* ---- attributes ----------------------------------------------------------------------------- */

static int wrong_kind(const lunik_region *r, const char *property, const char *want,
                      lunik_error *err)
{
    return lunik_fail(err, LUNIK_E_INVALID, "memory region '%s': %s: only %s has it", r->name,
                      property, want);
}

int lunik_region_set_enabled(lunik_region *r, bool enabled, lunik_error *err)
{
    struct region_state to = r->s;

    to.enabled = enabled;
    return change(r, to, err);
}

int lunik_region_set_offset(lunik_region *r, uint64_t offset, lunik_error *err)
{
    struct region_state to = r->s;

    if (!to.parent)
        return lunik_fail(err, LUNIK_E_STATE, "memory region '%s': offset: it is in no container",
                          r->name);
    to.address = offset;
    return change(r, to, err);
}

int lunik_region_set_size(lunik_region *r, uint64_t size, lunik_error *err)
{
    struct region_state to = r->s;
    int rc = check_size(r, size, err);

    if (rc)
        return rc;
    to.last = size_to_last(size);
    return change(r, to, err);
}

int lunik_region_set_priority(lunik_region *r, int priority, lunik_error *err)
{
    struct region_state to = r->s;

    to.priority = priority;
    return change(r, to, err);
}

int lunik_region_set_readonly(lunik_region *r, bool readonly, lunik_error *err)
{
    struct region_state to = r->s;

    if (!readonly && r->ram && lunik_ram_readonly(r->ram))
        return lunik_fail(err, LUNIK_E_INVALID,
                          "memory region '%s': readonly: its RAM '%s' can't be written", r->name,
                          lunik_ram_name(r->ram));
    to.readonly = readonly;
    return change(r, to, err);
}

int lunik_region_set_romd(lunik_region *r, bool romd, lunik_error *err)
{
    struct region_state to = r->s;

    if (r->kind != LUNIK_REGION_ROM_DEVICE)
        return wrong_kind(r, "romd", "a ROM device", err);
    to.romd = romd;
    return change(r, to, err);
}

int lunik_region_set_alias_offset(lunik_region *r, uint64_t offset, lunik_error *err)
{
    struct region_state to = r->s;

    if (r->kind != LUNIK_REGION_ALIAS)
        return wrong_kind(r, "alias-offset", "an alias", err);
    to.alias_offset = offset;
    return change(r, to, err);
}

const char *lunik_region_name(const lunik_region *r)
{
    return r->name;
}

lunik_region_kind lunik_region_get_kind(const lunik_region *r)
{
    return r->kind;
}

uint64_t lunik_region_size(const lunik_region *r)
{
    return span_size((struct span){0, r->s.last});
}

uint64_t lunik_region_offset(const lunik_region *r)
{
    return r->s.address;
}

int lunik_region_priority(const lunik_region *r)
{
    return r->s.priority;
}

bool lunik_region_enabled(const lunik_region *r)
{
    return r->s.enabled;
}

bool lunik_region_readonly(const lunik_region *r)
{
    return r->s.readonly;
}

lunik_region *lunik_region_parent(const lunik_region *r)
{
    return r->s.parent;
}

lunik_object *lunik_region_owner(const lunik_region *r)
{
    return r->owner;
}

lunik_ram *lunik_region_ram(const lunik_region *r)
{
    return r->ram;
}

uint64_t lunik_region_ram_offset(const lunik_region *r)
{
    return r->ram_offset;
}

lunik_region *lunik_region_next_child(const lunik_region *parent, const lunik_region *previous)
{
    return previous ? previous->next_child : parent->children;
}

void lunik_region_get_stats(const lunik_region *r, lunik_region_stats *out)
{
    out->reads = atomic_load_explicit(&r->reads, memory_order_relaxed);
    out->writes = atomic_load_explicit(&r->writes, memory_order_relaxed);
    out->rejected = atomic_load_explicit(&r->rejected, memory_order_relaxed);
}
