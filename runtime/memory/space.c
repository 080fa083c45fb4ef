/*
 * space.c: address spaces, and the memory core of a machine.
 */
#include <stdlib.h>
#include <string.h>

#include "core/misuse.h"
#include "memory.h"

/* Devices' threads may still look at these. */
static void core_free(struct rcu_head *head)
{
    rcu_note_reclaim();
    free(lunik_container_of(head, struct memory_core, rcu));
}

static void root_free(struct rcu_head *head)
{
    rcu_note_reclaim();
    free(lunik_container_of(head, struct view_root, rcu));
}

static void space_reclaim(struct rcu_head *head)
{
    rcu_note_reclaim();
    free(lunik_container_of(head, lunik_space, rcu));
}

void core_unref(struct memory_core *core)
{
    if (--core->refs)
        return;
    cause_unref(core->cause);
    cause_unref(core->last_cause);
    scratch_free(&core->scratch);
    rcu_defer(&core->rcu, core_free);
}

/* ---- spaces --------------------------------------------------------------------------------- */

static struct view_root *view_root_new(struct memory_core *core, lunik_region *root)
{
    struct view_root *vr = calloc(1, sizeof(*vr));
    struct flat_view *view = view_new_empty();

    if (!vr || !view) {
        free(vr);
        free(view);
        return NULL;
    }
    vr->core = core;
    vr->root = root;
    vr->fresh = true;
    atomic_init(&vr->view, view);
    vr->next = core->roots;
    core->roots = vr;
    root->view_root = vr;
    lunik_region_ref(root);
    return vr;
}

static void view_root_free(struct view_root *vr)
{
    struct view_root **link = &vr->core->roots;

    while (*link != vr)
        link = &(*link)->next;
    *link = vr->next;
    vr->root->view_root = NULL;
    view_retire(view_root_current(vr), NULL);
    lunik_region_unref(vr->root);
    cause_map_clear(&vr->causes);
    free(vr->windows);
    free(vr->changed);
    free(vr->io.now.items);
    rcu_defer(&vr->rcu, root_free);
}

static void link_space(lunik_space *s)
{
    lunik_space **link = &s->core->spaces;

    while (*link)
        link = &(*link)->next;
    *link = s;
    s->next_same = s->vr->spaces;
    s->vr->spaces = s;
}

static void unlink_space(lunik_space *s)
{
    lunik_space **link;

    for (link = &s->core->spaces; *link != s; link = &(*link)->next)
        ;
    *link = s->next;
    for (link = &s->vr->spaces; *link != s; link = &(*link)->next_same)
        ;
    *link = s->next_same;
    if (!s->vr->spaces)
        view_root_free(s->vr);
}

/* Shows the space's root: renders it, or replays the view that another space has of it. */
static int space_appear(lunik_space *s, lunik_error *err)
{
    if (s->vr->spaces->next_same)
        return listeners_add_space(s, err);
    transaction_begin(s->core);
    view_root_mark(s->vr, (struct span){0, UINT64_MAX});
    return transaction_commit(s->core, err);
}

int lunik_space_new(lunik_machine *m, const char *name, lunik_region *root, lunik_space **out,
                    lunik_error *err)
{
    NOT_NULL_OR_FAIL(out, err);
    NOT_NULL_OR_FAIL(m, err);
    NOT_NULL_OR_FAIL(name, err);
    NOT_NULL_OR_FAIL(root, err);

    struct memory_core *core = m->memory;
    lunik_space *s;
    int rc;

    if (!core)
        return machine_fail_closed(m, err);
    rc = core_check(core, err);
    if (!rc)
        rc = name_check("address space", name, err);
    if (rc)
        return rc;
    if (root->core != core)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "address space '%s': root: '%s' belongs to another machine", name,
                          root->name);
    s = calloc(1, sizeof(*s));
    if (!s || !(s->name = strdup(name)) ||
        !(s->vr = root->view_root ? root->view_root : view_root_new(core, root))) {
        if (s)
            free(s->name);
        free(s);
        return fail_no_memory(err);
    }
    s->core = core;
    core->refs++;
    link_space(s);
    rc = space_appear(s, err);
    if (rc)
        lunik_space_free(s);
    else
        *out = s;
    return rc;
}

void lunik_space_free(lunik_space *s)
{
    if (!s)
        return;
    dmas_detach(s);
    listeners_del_space(s);
    unlink_space(s);
    core_unref(s->core);
    free(s->name);
    rcu_defer(&s->rcu, space_reclaim);
}

const char *lunik_space_name(const lunik_space *s)
{
    NOT_NULL(s, "");

    return s->name;
}

lunik_region *lunik_space_root(const lunik_space *s)
{
    NOT_NULL(s, NULL);

    return s->vr->root;
}

lunik_space *lunik_space_next(lunik_machine *m, lunik_space *previous)
{
    NOT_NULL(m, NULL);

    if (previous)
        return previous->next;
    return m->memory ? m->memory->spaces : NULL;
}

bool lunik_space_find(lunik_space *s, uint64_t address, lunik_section *out)
{
    NOT_NULL(s, false);
    NOT_NULL(out, false);

    const struct flat_range *r = view_find(view_root_current(s->vr), address);

    if (r)
        *out = section_of(s, r);
    return r;
}

/* ---- a machine's memory --------------------------------------------------------------------- */

static int new_machine_space(lunik_machine *m, lunik_space **out, const char *name,
                             const char *root_name, uint64_t size, lunik_error *err)
{
    lunik_region_config config = {.kind = LUNIK_REGION_CONTAINER, .name = root_name, .size = size};
    lunik_region *root;
    int rc = lunik_region_new(m, &config, &root, err);

    if (rc)
        return rc;
    rc = lunik_space_new(m, name, root, out, err);
    lunik_region_unref(root);
    return rc;
}

int memory_init(lunik_machine *m, lunik_error *err)
{
    struct memory_core *core = calloc(1, sizeof(*core));
    int rc;

    if (!core)
        return fail_no_memory(err);
    core->refs = 1;
    core->machine = m;
    core->rt = m->rt;
    sub_list_init(&core->reject_subs, m->rt);
    m->memory = core;
    m->transaction = &core->open;
    m->regions = &region_hooks;
    rc = new_machine_space(m, &m->memory_space, "memory", "system", LUNIK_SIZE_MAX, err);
    if (!rc)
        rc = new_machine_space(m, &m->io_space, "I/O", "io", 0x10000, err);
    if (rc)
        memory_fini(m);
    return rc;
}

/* Releases the RAM of regions that references keep beyond the machine's end. */
static void orphan_all(struct memory_core *core)
{
    lunik_region *r, *next;

    for (r = LIST_FIRST(&core->with_ram); r; r = next) {
        next = LIST_NEXT(r, backed);
        r->orphan = true;
        region_settle(r);
    }
}

void memory_end(lunik_machine *m)
{
    struct memory_core *core = m->memory;

    if (!core)
        return;
    while (core->open.depth)
        lunik_transaction_abort(m);
    log_fini(core);
}

void memory_fini(lunik_machine *m)
{
    struct memory_core *core = m->memory;

    if (!core)
        return;
    while (core->listener_count)
        lunik_listener_del(core->listeners[0]);
    while (core->spaces)
        lunik_space_free(core->spaces);
    m->memory_space = m->io_space = NULL;
    m->memory = NULL;
    m->transaction = NULL;
    core->machine = NULL;
    sub_list_end(&core->reject_subs);
    free(core->listeners);
    free(core->tallies);
    core->listeners = NULL;
    core->tallies = NULL;
    orphan_all(core);
    core_unref(core);
}
