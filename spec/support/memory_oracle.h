/*
 * memory_oracle.h: operations on region graphs, after which everything is compared with the model.
 *
 * The including file provides chance(): random numbers, or a fuzzer's input. It must define
 * _GNU_SOURCE first.
 */
#ifndef SPEC_MEMORY_ORACLE_H
#define SPEC_MEMORY_ORACLE_H

#include "memory_oracle_access.h"
#include "memory_oracle_listener.h"

static struct place shown_before[SPACES][CELLS_MAX]; /* at the last comparison; node -2: unknown */

/* ---- comparing ------------------------------------------------------------------------------ */

/* Sorted, disjoint, as few as possible, of whole cells. */
static void check_view(const struct flat_view *view)
{
    struct view_cursor c = view_seek(view, 0);
    const struct flat_range *before = NULL;

    for (const struct flat_range *r; (r = cursor_range(&c)); before = r, cursor_next(&c)) {
        if (r->span.first > r->span.last || (before && r->span.first <= before->span.last))
            complain("ranges out of order at 0x%" PRIx64, r->span.first);
        if (r->span.first % shape->cell || (r->span.last + 1) % shape->cell)
            complain("a range is cut at 0x%" PRIx64 "-0x%" PRIx64, r->span.first, r->span.last);
        if (before && before->region == r->region && before->flags == r->flags &&
            before->span.last + 1 == r->span.first &&
            before->offset + (r->span.first - before->span.first) == r->offset)
            complain("ranges not merged at 0x%" PRIx64, r->span.first);
    }
}

static struct place shown_at(const struct flat_view *view, uint64_t address)
{
    const struct flat_range *r = view_find(view, address);

    if (!r)
        return (struct place){.node = -1};
    for (unsigned i = 0; i < shape->nodes; i++)
        if (nodes[i].region == r->region)
            return (struct place){(int)i,
                                  (unsigned)((r->offset + (address - r->span.first)) / shape->cell),
                                  r->flags};
    return (struct place){.node = -2};
}

static void complain_place(unsigned which, uint64_t address, const struct place *got,
                           const struct place *want)
{
    complain("space %u of n%d, 0x%" PRIx64 " shows n%d+0x%" PRIx64 " flags %u, want n%d+0x%" PRIx64
             " flags %u",
             which, space_roots[which], address, got->node, got->offset * shape->cell, got->flags,
             want->node, want->offset * shape->cell, want->flags);
    if (!body || address > INT64_MAX || space_roots[which])
        return;
    fprintf(body, "local s = m.memory:find(0x%" PRIx64 ") or {}\n", address);
    if (want->node < 0)
        fprintf(body, "assert(not s.region, \"something shows\")\n");
    else
        fprintf(body,
                "assert(s.region == n[%d] and s.readonly == %s and s.romd == %s, \"wrong\")\n",
                want->node, want->flags & RANGE_READONLY ? "true" : "false",
                want->flags & RANGE_DIRECT ? "true" : "false");
}

/* True if listeners got the section at the cell, if there is one, since the last comparison. */
static bool was_told(lunik_space *s, unsigned cell)
{
    const struct flat_range *r = view_find(view_root_current(s->vr), cell * shape->cell);
    lunik_section section, cleaned;

    if (!r)
        return true;
    section = section_of(s, r);
    cleaned = clean(&section);
    return find_section(&told, &cleaned) >= 0;
}

static bool same_place(const struct place *a, const struct place *b)
{
    return a->node == b->node && a->offset == b->offset && a->flags == b->flags;
}

/* Listeners hear of what changes. */
static void check_told(unsigned which, const struct place *now)
{
    for (unsigned cell = 0; cell < shape->cells && shown_before[which][0].node != -2; cell++)
        if (!same_place(&now[cell], &shown_before[which][cell]) && !was_told(spaces[which], cell))
            complain("no report of 0x%" PRIx64, cell * shape->cell);
    memcpy(shown_before[which], now, shape->cells * sizeof(*now));
}

static void check_space(unsigned which)
{
    static struct place now[CELLS_MAX];
    lunik_space *s = spaces[which];
    const struct flat_view *view = view_root_current(s->vr);

    check_view(view);
    for (unsigned cell = 0; cell < shape->cells && !failed; cell++) {
        uint64_t address = cell * shape->cell;
        struct place want = {.node = -1}, got = shown_at(view, address);

        if (!resolve(space_roots[which], cell, 0, &want))
            want = (struct place){.node = -1};
        now[cell] = want;
        if (got.node != want.node || (got.node >= 0 && !same_place(&got, &want)))
            complain_place(which, address, &got, &want);
        else if (chance(8) == 0)
            check_access(s, address + chance(shape->cell > 256 ? 256 : (unsigned)shape->cell),
                         &want);
    }
    if (!failed)
        check_told(which, now);
    if (!failed && chance(2))
        check_transfer(which);
}

/* A listener's sections are those of the views that it follows. */
static void check_mirror(const struct mirror *mirror)
{
    unsigned count = 0;

    for (unsigned i = 0; i < SPACES; i++) {
        struct view_cursor c;

        if (!spaces[i] || (mirror->listener.space && mirror->listener.space != spaces[i]))
            continue;
        c = view_seek(view_root_current(spaces[i]->vr), 0);
        for (const struct flat_range *r; (r = cursor_range(&c)); cursor_next(&c), count++) {
            lunik_section s = section_of(spaces[i], r), cleaned = clean(&s);

            if (find_section(&mirror->known, &cleaned) < 0)
                complain("%s was not told about 0x%" PRIx64, mirror->listener.name, r->span.first);
        }
    }
    if (count != mirror->known.count)
        complain("%s knows %u sections, want %u", mirror->listener.name, mirror->known.count,
                 count);
}

/* A listener that is added late gets all sections, and loses them when it is removed. */
static void check_late(void)
{
    watch(&late, "late", (int)chance(10), 0, chance(2) ? spaces[chance(SPACES)] : NULL);
    check_mirror(&late);
    lunik_listener_del(&late.listener);
    if (late.known.count)
        complain("a listener that is gone keeps %u sections", late.known.count);
}

/* Every container's children are listed by priority, later additions first. */
static void check_children(void)
{
    lunik_region *next[NODES_MAX] = {NULL};

    for (unsigned i = 0; i < shape->nodes; i++)
        next[i] = nodes[i].kind == LUNIK_REGION_ALIAS
                      ? NULL
                      : lunik_region_next_child(nodes[i].region, NULL);
    for (unsigned i = 0; i < shape->nodes; i++) {
        const struct node *n = &nodes[order[i]];

        if (n->parent < 0)
            continue;
        if (next[n->parent] != n->region) {
            complain("n%d: the next child is not n%u", n->parent, order[i]);
            return;
        }
        next[n->parent] = lunik_region_next_child(nodes[n->parent].region, n->region);
    }
    for (unsigned i = 0; i < shape->nodes; i++)
        if (next[i])
            complain("n%u: has a child too many", i);
}

static void check_everything(void)
{
    for (unsigned i = 0; i < shape->nodes; i++)
        order[i] = i;
    qsort(order, shape->nodes, sizeof(order[0]), compare_order);
    for (unsigned i = 0; i < SPACES; i++)
        if (spaces[i])
            check_space(i);
    if (chance(4) == 0)
        check_children();
    check_mirror(&first);
    check_mirror(&picky);
    check_mirror(&last);
    if (!failed && chance(8) == 0)
        check_late();
    told.count = 0;
}

/* ---- operations ----------------------------------------------------------------------------- */

static void begin(void)
{
    if (!depth++)
        memcpy(saved, nodes, sizeof(nodes));
    lunik_transaction_begin(m);
}

static void restore(void)
{
    memcpy(nodes, saved, sizeof(nodes));
}

static void end(bool abort)
{
    int rc = 0;

    depth--;
    aborted = aborted || abort;
    if (abort)
        lunik_transaction_abort(m);
    else
        rc = lunik_transaction_commit(m, NULL);
    if (depth)
        return;
    if (!abort && (rc == LUNIK_E_STATE) != aborted)
        complain("commit after an inner abort: %d", rc);
    if (rc || aborted)
        restore();
    aborted = false;
}

/* Anywhere; an alias often right where it shows what is there anyhow, as to make it read-only. */
static unsigned random_address(const struct node *c, int parent)
{
    const struct node *target = &nodes[c->target < 0 ? 0 : c->target];
    unsigned address = chance(shape->cells);

    if (c->target >= 0 && target->parent == parent && chance(2))
        address = (target->address + c->alias_offset) % shape->cells;
    return address;
}

static int try_add(int parent, int child)
{
    struct node *c = &nodes[child];
    unsigned address = random_address(c, parent);
    bool may_overlap = chance(6) != 0;
    int priority = (int)chance(4) - 1, want = 0, rc, before = c->priority;

    c->priority = priority;
    if (nodes[parent].kind == LUNIK_REGION_ALIAS || leads_to(child, parent))
        want = LUNIK_E_INVALID;
    else if (!may_overlap && rival(parent, c, address))
        want = LUNIK_E_EXISTS;
    rc = lunik_region_add(nodes[parent].region, address * shape->cell, c->region, priority,
                          may_overlap, NULL);
    mentioned[child] = mentioned[parent] = true;
    script("try(function() n[%d]:add(n[%d], %s, { priority = %d, overlap = %s }) end) -- %d",
           parent, child, lua_number(address * shape->cell), priority,
           may_overlap ? "true" : "false", rc);
    if (rc != want && !(want == 0 && rc == LUNIK_E_NO_SPACE))
        complain("add: %d, want %d", rc, want);
    if (rc) {
        c->priority = before;
        return rc;
    }
    c->parent = parent;
    c->address = address;
    c->may_overlap = may_overlap;
    c->seq = ++next_seq;
    return 0;
}

static int try_resize(struct node *n)
{
    unsigned size = random_size();
    int rc = lunik_region_set_size(n->region, bytes_of(size), NULL);

    script("try(function() n[%d].size = %s end) -- %d", (int)(n - nodes),
           lua_number(bytes_of(size)), rc);

    if (!rc)
        n->size = size;
    return rc;
}

static void print_attribute(int at, unsigned what, unsigned value, int rc)
{
    static const char *const names[] = {"offset",   "enabled", "priority",
                                        "readonly", "romd",    "alias_offset"};
    char number[16];
    const char *text = value & 1 ? "true" : "false";

    snprintf(number, sizeof(number), "%d", (int)(value % 5) - 2);
    if (what == 2)
        text = number;
    else if (what == 0 || what == 5)
        text = lua_number(value * shape->cell);
    if ((what == 4 && nodes[at].kind != LUNIK_REGION_ROM_DEVICE) ||
        (what == 5 && nodes[at].kind != LUNIK_REGION_ALIAS) || (what == 0 && nodes[at].parent < 0))
        return;
    script("try(function() n[%d].%s = %s end) -- %d", at, names[what], text, rc);
}

static int try_attribute(int at)
{
    struct node *n = &nodes[at];
    unsigned what = chance(7), value = chance(shape->cells);
    int rc = 0;

    mentioned[at] = true;
    switch (what) {
    case 0:
        rc = n->parent < 0 ? 0 : lunik_region_set_offset(n->region, value * shape->cell, NULL);
        if (!rc && n->parent >= 0)
            n->address = value;
        break;
    case 1:
        rc = lunik_region_set_enabled(n->region, value & 1, NULL);
        if (!rc)
            n->enabled = value & 1;
        break;
    case 2:
        rc = lunik_region_set_priority(n->region, (int)(value % 5) - 2, NULL);
        if (!rc)
            n->priority = (int)(value % 5) - 2;
        break;
    case 3:
        rc = lunik_region_set_readonly(n->region, value & 1, NULL);
        if (!rc)
            n->readonly = value & 1;
        break;
    case 4:
        if (n->kind != LUNIK_REGION_ROM_DEVICE)
            break;
        rc = lunik_region_set_romd(n->region, value & 1, NULL);
        if (!rc)
            n->romd = value & 1;
        break;
    case 5:
        if (n->kind != LUNIK_REGION_ALIAS)
            break;
        rc = lunik_region_set_alias_offset(n->region, value * shape->cell, NULL);
        if (!rc)
            n->alias_offset = value;
        break;
    default:
        return try_resize(n);
    }
    print_attribute(at, what, value, rc);
    return rc;
}

static int try_space(void)
{
    unsigned i = chance(SPACES);
    int rc;

    ordered = false; /* each listener gets the whole space before the next one does */
    shown_before[i][0].node = -2;
    if (spaces[i]) {
        script("-- space %u goes", i);
        lunik_space_free(spaces[i]);
        spaces[i] = NULL;
        ordered = true;
        return 0;
    }
    space_roots[i] = (int)chance(chance(2) ? SPACES : shape->nodes);
    rc = lunik_space_new(m, "s", nodes[space_roots[i]].region, &spaces[i], NULL);
    ordered = true;
    mentioned[space_roots[i]] = true;
    script("-- space %u of n%d: %d", i, space_roots[i], rc);
    return rc;
}

/* One call on the API; a refusal leaves everything as it was. */
static void operate(void)
{
    int at = (int)chance(shape->nodes), rc = 0;

    first.picky = chance(40) == 0;
    picky.picky = chance(20) == 0;
    last.picky = chance(40) == 0;
    if (first.picky || picky.picky || last.picky)
        script("refuse = true");
    if (chance(12) == 0) {
        script("try(function() m:transaction(function()");
        begin();
    } else if (depth && chance(4) == 0) {
        bool abort = chance(4) == 0;

        end(abort);
        script("%send) end)", abort ? "  error(\"aborted\", 0)\n" : "");
    } else if (chance(25) == 0) {
        rc = try_space();
    } else if (nodes[at].parent < 0 && chance(3)) {
        int parent = (int)chance(chance(2) ? SPACES : shape->nodes);

        rc = try_add(parent, at);
    } else if (chance(4) == 0) {
        rc = lunik_region_del(nodes[at].region, NULL);
        mentioned[at] = true;
        if (nodes[at].parent >= 0)
            script("try(function() n[%d]:del(n[%d]) end) -- %d", nodes[at].parent, at, rc);
        if (!rc)
            nodes[at].parent = -1;
    } else {
        rc = try_attribute(at);
    }
    if (rc && depth && rc == LUNIK_E_NO_SPACE && !first.picky && !picky.picky && !last.picky)
        rc = 0; /* a space made in a transaction may be refused at once */
}

static void print_spaces(void)
{
    script("m:listen { commit = function() if refuse then refuse = false; return \"refused\" end "
           "end }");
    script("m.memory.root:add(n[0], 0)");
}

/* Regions, spaces and listeners; nothing is placed yet. */
static void build_tree(void)
{
    unsigned ram = 0;

    next_seq = depth = 0;
    aborted = false;
    memset(nodes, 0, sizeof(nodes));
    for (unsigned i = 0; i < shape->nodes; i++)
        make_node(i, &ram);
    ordered = false;
    for (unsigned i = 0; i < SPACES; i++)
        shown_before[i][0].node = -2;
    watch(&last, "last", 9, 3, NULL);
    watch(&first, "first", 1, 1, NULL);
    if (lunik_space_new(m, "s", nodes[0].region, &spaces[0], NULL))
        complain("space_new failed");
    space_roots[0] = 0;
    mentioned[0] = true;
    print_spaces();
    watch(&picky, "picky", 5, 2, NULL);
    told.count = 0;
    ordered = true;
}

static void place_node(unsigned i)
{
    if (nodes[i].parent < 0)
        try_add((int)chance(chance(3) ? SPACES : shape->nodes), (int)i);
}

/* Ends what is under way. */
static void end_tree(void)
{
    first.picky = picky.picky = last.picky = false;
    while (depth) {
        end(false);
        script("end) end)");
    }
    if (!failed)
        check_everything();
}

/* Removes everything, in an order that varies. */
static void clean_up(void)
{
    ordered = false;
    lunik_listener_del(&picky.listener);
    if (chance(2))
        lunik_transaction_begin(m), depth = 1;
    for (unsigned i = 0; i < shape->nodes; i++) {
        lunik_region_del(nodes[i].region, NULL);
        lunik_region_unref(nodes[i].region);
    }
    if (depth)
        lunik_transaction_commit(m, NULL);
    for (unsigned i = 0; i < SPACES; i++)
        lunik_space_free(spaces[i]), spaces[i] = NULL;
    if (first.known.count || last.known.count || picky.known.count)
        complain("listeners keep %u, %u, %u sections", first.known.count, picky.known.count,
                 last.known.count);
    lunik_listener_del(&first.listener);
    lunik_listener_del(&last.listener);
    lunik_unlock(rt); /* lets the reclaimer work */
    lunik_lock(rt);
}

static bool setup(void)
{
    static lunik_reject_sub subscription = {.fn = on_reject};
    static const lunik_type *const no_types[] = {NULL};
    static const lunik_machine_config config = {
        .name = "oracle", .accel = LUNIK_ACCEL_NONE, .cpus = 1};
    lunik_ram_config ram_config = {.name = "ram", .size = 64 * 0x1000, .fd = -1};
    lunik_error err;

    if (lunik_runtime_new(no_types, &rt, &err) || lunik_machine_new(rt, &config, &m, &err))
        return false;
    lunik_reject_subscribe(m, &subscription);
    for (unsigned i = 0; i < RAMS; i++) {
        uint8_t *host;

        if (lunik_ram_new(&ram_config, &rams[i], &err))
            return false;
        host = lunik_ram_host(rams[i]);
        for (unsigned page = 0; page < 64; page++)
            memset(host + page * 0x1000, (uint8_t)(page + (uintptr_t)host / 4096), 0x1000);
    }
    return true;
}

#endif
