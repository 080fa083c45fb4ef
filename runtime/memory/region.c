/*
 * region.c: memory regions: references, construction, queries.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "core/misuse.h"
#include "object/object.h"

/* ---- references ----------------------------------------------------------------------------- */

static void region_free(struct rcu_head *head)
{
    lunik_region *r = lunik_container_of(head, lunik_region, rcu);

    rcu_note_reclaim();
    if (r->release)
        r->release(r->opaque);
    free(r->name);
    free(r);
}

static void set_owner(lunik_region *r, lunik_object *owner)
{
    r->owner = owner;
    if (!owner)
        return;
    lunik_object_ref(owner);
    LIST_INSERT_HEAD(&owner->regions, r, owned);
}

/* Releases r's RAM. The block is unmapped after a grace period: until then vCPUs may still use r.
 */
static void drop_ram(lunik_region *r)
{
    LIST_REMOVE(r, backed);
    atomic_store_explicit(&r->gone, true, memory_order_release);
    lunik_ram_unref(r->ram);
}

static bool is_logged(const lunik_region *r)
{
    for (size_t i = 0; i < LUNIK_DIRTY_CLIENTS; i++)
        if (r->log.counts[i])
            return true;
    return false;
}

void region_settle(lunik_region *r)
{
    bool in_use = r->core->machine && (r->s.parent || is_logged(r));

    if (r->orphan && r->ram && !r->gone && !in_use)
        drop_ram(r);
}

/* Destroys r, which no view shows any more. A vCPU may still find the struct in an old view, so
 * that is freed after a grace period. */
static void region_destroy(lunik_region *r)
{
    struct memory_core *core = r->core;

    while (r->children) {
        lunik_region *child = r->children;

        region_detach(child);
        child->s.parent = NULL;
    }
    if (r->target) {
        LIST_REMOVE(r, aliasing);
        lunik_region_unref(r->target);
    }
    if (r->ram && !r->gone)
        drop_ram(r);
    /* Sets are freed after a grace period as well. */
    io_set_unref(atomic_load_explicit(&r->live_io, memory_order_relaxed));
    io_set_unref(r->s.io);
    cause_unref(r->cause);
    if (r->owner) {
        LIST_REMOVE(r, owned);
        lunik_object_unref(r->owner);
    }
    rcu_defer(&r->rcu, region_free);
    core_unref(core);
}

void lunik_region_ref(lunik_region *r)
{
    NOT_NULL(r);

    r->refs++;
}

void lunik_region_unref(lunik_region *r)
{
    NOT_NULL(r);

    if (!--r->refs)
        region_destroy(r);
}

int region_fail_gone(const lunik_region *r, lunik_error *err)
{
    return lunik_fail(err, LUNIK_E_GONE, "memory region '%s' is gone", r->name);
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

int region_check_size(const lunik_region *r, uint64_t size, lunik_error *err)
{
    uint64_t limit;

    if (!size)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "memory region '%s': size: '0' is not a size (want at least 1 byte)",
                          r->name);
    if (!r->ram)
        return 0;
    if (r->gone)
        return region_fail_gone(r, err);
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
    const char *missing = NULL, *want = NULL;

    if ((unsigned)c->kind > LUNIK_REGION_RESERVED)
        return lunik_fail(err, LUNIK_E_INVALID, "memory region '%s': kind: %d is not one", r->name,
                          (int)c->kind);
    if (region_has_ram(r) && !c->ram)
        missing = "ram", want = "the RAM that it shows";
    else if (needs_ops && !c->ops)
        missing = "ops", want = "the functions that take accesses";
    else if (r->kind == LUNIK_REGION_ALIAS && !c->target)
        missing = "target", want = "the region that the alias shows";
    if (missing)
        return lunik_fail(err, LUNIK_E_INVALID, "memory region '%s': %s: is missing (want %s)",
                          r->name, missing, want);
    if (r->kind == LUNIK_REGION_ALIAS && c->target->gone)
        return region_fail_gone(c->target, err);
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
    return atomic_load(&r->core->log.mask) ? ram_dirty_init(r->ram, err) : 0;
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
        rc = region_check_size(r, size, err);
    if (rc)
        return rc;
    r->s.last = size_to_last(size);
    if (r->kind == LUNIK_REGION_ALIAS) {
        r->target = c->target;
        lunik_region_ref(r->target);
        LIST_INSERT_HEAD(&r->target->aliases, r, aliasing);
    }
    return 0;
}

int lunik_region_new(lunik_machine *m, const lunik_region_config *config, lunik_region **out,
                     lunik_error *err)
{
    NOT_NULL_OR_FAIL(out, err);
    NOT_NULL_OR_FAIL(m, err);
    NOT_NULL_OR_FAIL(config, err);

    const char *name = config->name ? config->name : "region";
    lunik_region *r;
    int rc;

    if (!m->memory)
        return machine_fail_closed(m, err);
    rc = name_check("memory region", name, err);
    if (rc)
        return rc;
    rcu_checkpoint();
    r = calloc(1, sizeof(*r));
    if (r)
        r->name = strdup(name);
    if (!r || !r->name) {
        free(r);
        return fail_no_memory(err);
    }
    r->refs = 1;
    r->core = m->memory;
    r->kind = config->kind;
    r->nonvolatile = config->nonvolatile;
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
    r->release = config->release;
    if (r->ram)
        LIST_INSERT_HEAD(&r->core->with_ram, r, backed);
    set_owner(r, config->owner);
    r->core->refs++;
    *out = r;
    return 0;
}

/* ---- damage --------------------------------------------------------------------------------- */

/* Reports, once for each block, that a part of its content is lost. */
static void report_damage(lunik_machine *m, lunik_ram *ram)
{
    lunik_error why;

    if (atomic_exchange(&ram->damage_told, true))
        return;
    lunik_fail(&why, LUNIK_E_IO,
               "%s: a part of this memory is lost and reads as zeros: its file was truncated, or "
               "the host has no page for it",
               ram->name);
    m->requests->map_broken(m, &why);
}

void core_check_damage(struct memory_core *core, lunik_ram *ram)
{
    if (ram_damaged(ram) && core->machine)
        report_damage(core->machine, ram);
}

void region_check_damage(lunik_region *r)
{
    core_check_damage(r->core, r->ram);
}

/* ---- queries -------------------------------------------------------------------------------- */

const char *lunik_region_name(const lunik_region *r)
{
    NOT_NULL(r, "");

    return r->name;
}

lunik_region_kind lunik_region_get_kind(const lunik_region *r)
{
    NOT_NULL(r, LUNIK_REGION_CONTAINER);

    return r->kind;
}

uint64_t lunik_region_size(const lunik_region *r)
{
    NOT_NULL(r, 0);

    return span_size((struct span){0, r->s.last});
}

uint64_t lunik_region_offset(const lunik_region *r)
{
    NOT_NULL(r, 0);

    return r->s.address;
}

int lunik_region_priority(const lunik_region *r)
{
    NOT_NULL(r, 0);

    return r->s.priority;
}

bool lunik_region_enabled(const lunik_region *r)
{
    NOT_NULL(r, false);

    return r->s.enabled;
}

bool lunik_region_readonly(const lunik_region *r)
{
    NOT_NULL(r, false);

    return r->s.readonly;
}

bool lunik_region_romd(const lunik_region *r)
{
    NOT_NULL(r, false);

    return r->kind == LUNIK_REGION_ROM_DEVICE && r->s.romd;
}

lunik_region *lunik_region_target(const lunik_region *r)
{
    NOT_NULL(r, NULL);

    return r->target;
}

uint64_t lunik_region_alias_offset(const lunik_region *r)
{
    NOT_NULL(r, 0);

    return r->s.alias_offset;
}

lunik_region *lunik_region_parent(const lunik_region *r)
{
    NOT_NULL(r, NULL);

    return r->s.parent;
}

lunik_object *lunik_region_owner(const lunik_region *r)
{
    NOT_NULL(r, NULL);

    return r->owner;
}

bool lunik_region_alive(const lunik_region *r)
{
    NOT_NULL(r, false);

    return !atomic_load_explicit(&r->gone, memory_order_acquire);
}

lunik_ram *lunik_region_ram(const lunik_region *r)
{
    NOT_NULL(r, NULL);

    return lunik_region_alive(r) ? r->ram : NULL;
}

uint64_t lunik_region_ram_offset(const lunik_region *r)
{
    NOT_NULL(r, 0);

    return r->ram_offset;
}

lunik_region *lunik_region_next_child(const lunik_region *parent, const lunik_region *previous)
{
    NOT_NULL(parent, NULL);

    return previous ? previous->next_child : children_first((lunik_region *)parent);
}

void lunik_region_get_stats(const lunik_region *r, lunik_region_stats *out)
{
    NOT_NULL(r);
    NOT_NULL(out);

    out->reads = atomic_load_explicit(&r->reads, memory_order_relaxed);
    out->writes = atomic_load_explicit(&r->writes, memory_order_relaxed);
    out->rejected = atomic_load_explicit(&r->rejected, memory_order_relaxed);
}
