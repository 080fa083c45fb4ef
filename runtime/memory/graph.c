/*
 * graph.c: containers, their children, and all changes of regions.
 *
 * Every change goes through change(), in a transaction: it saves the old state, marks the views
 * that show it, changes it, and marks the views that show the new state.
 */
#include <inttypes.h>

#include "core/misuse.h"
#include "memory.h"

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
    for (lunik_region *a = LIST_FIRST(&r->aliases); a; a = LIST_NEXT(a, aliasing)) {
        uint64_t skip = a->s.alias_offset;

        if (window.last >= skip)
            mark(a,
                 (struct span){window.first > skip ? window.first - skip : 0, window.last - skip},
                 depth + 1);
    }
}

void region_mark(lunik_region *r, struct span window)
{
    mark(r, window, 1);
}

/* Compares the fields that change() may change alone; seq and may_overlap change with the parent.
 */
static bool state_equal(const struct region_state *a, const struct region_state *b)
{
    return a->parent == b->parent && a->address == b->address && a->last == b->last &&
           a->alias_offset == b->alias_offset && a->priority == b->priority &&
           a->enabled == b->enabled && a->readonly == b->readonly && a->romd == b->romd;
}

/* Puts r into its new state. */
static void enter_state(lunik_region *r, const struct region_state *to)
{
    bool same_rank =
        r->s.parent == to->parent && r->s.priority == to->priority && r->s.seq == to->seq;

    if (!same_rank) {
        region_detach(r);
        r->s = *to;
        region_attach(r);
        return;
    }
    if (r->s.parent && (r->s.address != to->address || r->s.last != to->last))
        children_move(r->s.parent, r, to->address, to->last);
    r->s = *to;
}

/* Fails if a region reaches beyond the last port. Other containers cut off such a region; a device
 * without some of its ports is a mistake. */
static int check_ports(const lunik_region *r, const struct region_state *to, lunik_error *err)
{
    const lunik_machine *m = r->core->machine;
    const lunik_region *ports = m && m->io_space ? lunik_space_root(m->io_space) : NULL;

    if (!ports || to->parent != ports ||
        (to->address <= ports->s.last && to->last <= ports->s.last - to->address))
        return 0;
    return lunik_fail(err, LUNIK_E_INVALID,
                      "memory region '%s': 0x%" PRIx64 "-0x%" PRIx64
                      " is beyond the I/O ports (want 0 to 0x%" PRIx64 ")",
                      r->name, to->address, add_saturated(to->address, to->last), ports->s.last);
}

static int change(lunik_region *r, struct region_state to, lunik_error *err)
{
    static const struct span everything = {0, UINT64_MAX};
    int rc = core_check(r->core, err);

    if (!rc && r->gone && (to.parent || to.enabled))
        rc = region_fail_gone(r, err);
    if (!rc)
        rc = check_ports(r, &to, err);
    if (rc)
        return rc;
    if (state_equal(&r->s, &to))
        return 0;
    transaction_begin(r->core);
    transaction_touch(r);
    mark(r, everything, 1);
    enter_state(r, &to);
    mark(r, everything, 1);
    return transaction_commit(r->core, err);
}

/* ---- containers ----------------------------------------------------------------------------- */

enum above { NOT_ABOVE, IS_ABOVE, TOO_DEEP };

/* Whether top is r itself or above it, through containers and aliases. */
static enum above is_above(const lunik_region *top, const lunik_region *r, unsigned depth)
{
    enum above found = NOT_ABOVE;

    if (r == top)
        return IS_ABOVE;
    if (depth > MEMORY_MAX_DEPTH)
        return TOO_DEEP;
    if (r->s.parent)
        found = is_above(top, r->s.parent, depth + 1);
    for (const lunik_region *a = LIST_FIRST(&r->aliases); a && !found; a = LIST_NEXT(a, aliasing))
        found = is_above(top, a, depth + 1);
    return found;
}

static int check_loop(const lunik_region *parent, const lunik_region *child, lunik_error *err)
{
    /* A region without children can't have parent below it. */
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

/* Finds a sibling that must not overlap. A disabled one that may overlap is none. */
static bool find_rival(void *opaque, lunik_region *sibling)
{
    struct rival_search *search = opaque;

    if (sibling->s.priority == search->priority && (sibling->s.enabled || !sibling->s.may_overlap))
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
                      "0x%" PRIx64 "-0x%" PRIx64 " (want another place, a priority or overlap)",
                      child->name, to->address, parent->name, search.found->name,
                      search.found->s.address,
                      add_saturated(search.found->s.address, search.found->s.last));
}

int lunik_region_add(lunik_region *parent, uint64_t offset, lunik_region *child, int priority,
                     bool may_overlap, lunik_error *err)
{
    NOT_NULL_OR_FAIL(parent, err);
    NOT_NULL_OR_FAIL(child, err);

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
    NOT_NULL_OR_FAIL(child, err);

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
    NOT_NULL_OR_FAIL(r, err);

    struct region_state to = r->s;

    to.enabled = enabled;
    return change(r, to, err);
}

static int regions_disable(lunik_machine *m, const struct region_list *list, lunik_error *err)
{
    lunik_region *r;
    int rc;

    if (LIST_EMPTY(list) || !m->memory)
        return 0;
    rc = core_check(m->memory, err);
    if (rc)
        return rc;
    transaction_begin(m->memory);
    LIST_FOREACH (r, list, owned)
        if (r->s.parent)
            lunik_region_set_enabled(r, false, NULL);
    return transaction_commit(m->memory, err);
}

static void regions_orphan(lunik_machine *m, const struct region_list *list)
{
    lunik_region *r;
    int rc;

    if (LIST_EMPTY(list) || !m->memory)
        return;
    transaction_begin(m->memory);
    LIST_FOREACH (r, list, owned)
        if (r->ram) {
            lunik_region_set_enabled(r, false, NULL); /* aliases show it without a container */
            lunik_region_del(r, NULL);
        }
    rc = transaction_commit(m->memory, NULL);
    LIST_FOREACH (r, list, owned) {
        r->orphan = true;
        if (!rc) /* otherwise views may still show it: it is freed with the machine */
            region_settle(r);
    }
}

const struct region_hooks region_hooks = {
    .disable = regions_disable, .orphan = regions_orphan, .rejecting_here = rejections_called_here};

int lunik_region_set_offset(lunik_region *r, uint64_t offset, lunik_error *err)
{
    NOT_NULL_OR_FAIL(r, err);

    struct region_state to = r->s;

    if (!to.parent)
        return lunik_fail(err, LUNIK_E_STATE, "memory region '%s': offset: it is in no container",
                          r->name);
    to.address = offset;
    return change(r, to, err);
}

int lunik_region_set_size(lunik_region *r, uint64_t size, lunik_error *err)
{
    NOT_NULL_OR_FAIL(r, err);

    struct region_state to = r->s;
    int rc = region_check_size(r, size, err);

    if (rc)
        return rc;
    to.last = size_to_last(size);
    return change(r, to, err);
}

int lunik_region_set_priority(lunik_region *r, int priority, lunik_error *err)
{
    NOT_NULL_OR_FAIL(r, err);

    struct region_state to = r->s;

    to.priority = priority;
    return change(r, to, err);
}

int lunik_region_set_readonly(lunik_region *r, bool readonly, lunik_error *err)
{
    NOT_NULL_OR_FAIL(r, err);

    struct region_state to = r->s;

    if (!readonly && lunik_region_ram(r) && lunik_ram_readonly(r->ram))
        return lunik_fail(err, LUNIK_E_INVALID,
                          "memory region '%s': readonly: its RAM '%s' can't be written", r->name,
                          lunik_ram_name(r->ram));
    to.readonly = readonly;
    return change(r, to, err);
}

int lunik_region_set_romd(lunik_region *r, bool romd, lunik_error *err)
{
    NOT_NULL_OR_FAIL(r, err);

    struct region_state to = r->s;

    if (r->kind != LUNIK_REGION_ROM_DEVICE)
        return wrong_kind(r, "romd", "a ROM device", err);
    to.romd = romd;
    return change(r, to, err);
}

int lunik_region_set_alias_offset(lunik_region *r, uint64_t offset, lunik_error *err)
{
    NOT_NULL_OR_FAIL(r, err);

    struct region_state to = r->s;

    if (r->kind != LUNIK_REGION_ALIAS)
        return wrong_kind(r, "alias-offset", "an alias", err);
    to.alias_offset = offset;
    return change(r, to, err);
}
