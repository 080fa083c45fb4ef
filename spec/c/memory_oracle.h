/*
 * memory_oracle.h: region graphs and operations on them, compared with a model that resolves every
 * page by walking the graph as the documentation says.
 *
 * Who includes it takes the decisions: by chance, or from a fuzzer's input. Wants _GNU_SOURCE.
 */
#ifndef SPEC_MEMORY_ORACLE_H
#define SPEC_MEMORY_ORACLE_H

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "../../runtime/memory/memory.h"

enum { NODES_MAX = 160, CELLS_MAX = 512, SPACES = 3, RAMS = 4 };

/* The address space is a row of cells; everything begins and ends where a cell does. */
struct shape {
    const char *name;
    unsigned cells, nodes, operations;
    uint64_t cell; /* bytes */
    bool ram;
};

static const struct shape shapes[] = {
    {"pages", 64, 14, 40, 0x1000, true},
    {"all of 2^64", 64, 12, 40, 1ull << 58, false},
    {"bytes", 64, 12, 40, 1, false},
    {"many regions", 512, 160, 120, 1ull << 55, false},
};

struct node {
    lunik_region *region;
    lunik_region_kind kind;
    int parent, target;                   /* -1: none */
    unsigned address, size, alias_offset; /* in cells */
    int priority;
    unsigned seq;
    bool enabled, readonly, romd, may_overlap, nonvolatile;
    uint8_t *host;
};

struct place {
    int node; /* -1: nothing */
    unsigned offset, flags;
};

struct mirror {
    lunik_listener listener;
    bool picky; /* refuses the next commit */
    unsigned count;
    lunik_section sections[SPACES * CELLS_MAX];
    lunik_section collected[SPACES * CELLS_MAX]; /* at region_nop */
};

static lunik_runtime *rt;
static lunik_machine *m;
static lunik_ram *rams[RAMS];
static const struct shape *shape;
static struct node nodes[NODES_MAX], saved[NODES_MAX];
static lunik_space *spaces[SPACES];
static int space_roots[SPACES];
static unsigned order[NODES_MAX]; /* nodes by descending priority, later additions first */
static unsigned next_seq, depth;
static bool aborted;
static struct mirror first, picky, last;
static struct place reached; /* by the last callback */
static bool failed, wrong;
static FILE *body; /* of the script; NULL: none is printed */
static char definitions[NODES_MAX][256];
static bool mentioned[NODES_MAX]; /* in the script */

/* A number below n. */
static unsigned chance(unsigned n);

/* A line of the script, if one is printed. */
static void script(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void script(const char *format, ...)
{
    va_list args;

    if (!body)
        return;
    for (unsigned i = 0; i < depth; i++)
        fputs("  ", body);
    va_start(args, format);
    vfprintf(body, format, args);
    va_end(args);
    fputc('\n', body);
}

/* A size or address as Lua takes it. */
static const char *lua_number(uint64_t value)
{
    static char text[4][32];
    static unsigned next;
    char *out = text[next++ % 4];

    snprintf(out, sizeof(text[0]), value > INT64_MAX ? "\"%" PRIu64 "\"" : "0x%" PRIx64, value);
    return value == LUNIK_SIZE_MAX ? "lunik.SIZE_MAX" : out;
}

static void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void complain(const char *format, ...)
{
    va_list args;

    if (failed)
        return;
    failed = true;
    va_start(args, format);
    fputs(body ? "-- " : "not ok oracle: ", body ? body : stdout);
    vfprintf(body ? body : stdout, format, args);
    fputc('\n', body ? body : stdout);
    va_end(args);
}

/* ---- the model ------------------------------------------------------------------------------ */

static int compare_order(const void *a, const void *b)
{
    const struct node *x = &nodes[*(const unsigned *)a], *y = &nodes[*(const unsigned *)b];

    if (x->priority != y->priority)
        return x->priority > y->priority ? -1 : 1;
    return x->seq > y->seq ? -1 : 1;
}

/* Who answers at an offset of a node. */
static bool resolve(int at, unsigned offset, unsigned flags, struct place *out)
{
    const struct node *n = &nodes[at];

    if (!n->enabled || offset >= n->size)
        return false;
    flags |= (n->readonly && !(wrong && n->target >= 0) ? RANGE_READONLY : 0) |
             (n->nonvolatile ? RANGE_NONVOLATILE : 0);
    if (n->kind == LUNIK_REGION_ALIAS)
        return resolve(n->target, offset + n->alias_offset, flags, out);
    for (unsigned i = 0; i < shape->nodes; i++) {
        const struct node *child = &nodes[order[i]];

        if (child->parent == at && offset >= child->address &&
            resolve((int)order[i], offset - child->address, flags, out))
            return true;
    }
    if (n->kind == LUNIK_REGION_CONTAINER)
        return false;
    if (n->host && (n->kind != LUNIK_REGION_ROM_DEVICE || n->romd))
        flags |= RANGE_DIRECT;
    *out = (struct place){at, offset, flags};
    return true;
}

/* Can `to` be reached from `from` going down? */
static bool leads_to(int from, int to)
{
    if (from == to)
        return true;
    if (nodes[from].target >= 0 && leads_to(nodes[from].target, to))
        return true;
    for (unsigned i = 0; i < shape->nodes; i++)
        if (nodes[i].parent == from && leads_to((int)i, to))
            return true;
    return false;
}

static bool rival(int parent, const struct node *child, unsigned address)
{
    for (unsigned i = 0; i < shape->nodes; i++) {
        const struct node *n = &nodes[i];

        if (n->parent == parent && n->priority == child->priority && !n->may_overlap &&
            n->address < address + child->size && address < n->address + n->size)
            return true;
    }
    return false;
}

/* ---- regions -------------------------------------------------------------------------------- */

static uint64_t bytes_of(unsigned cells)
{
    uint64_t size = shape->cell * cells;

    return size ? size : LUNIK_SIZE_MAX; /* 2^64 */
}

static lunik_access on_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    reached =
        (struct place){(int)((struct node *)opaque - nodes), (unsigned)(offset / shape->cell), 0};
    *value = 0;
    return LUNIK_ACCESS_OK;
}

static lunik_access on_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    reached = (struct place){(int)((struct node *)opaque - nodes), (unsigned)(offset / shape->cell),
                             RANGE_READONLY};
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops io_ops = {.read = on_read, .write = on_write, .valid = {1, 8, true}};

static lunik_region_kind random_kind(unsigned i, unsigned *ram)
{
    static const lunik_region_kind ram_kinds[] = {LUNIK_REGION_RAM, LUNIK_REGION_ROM,
                                                  LUNIK_REGION_ROM_DEVICE};

    if (i < SPACES)
        return chance(4) ? LUNIK_REGION_CONTAINER : LUNIK_REGION_IO;
    if (shape->ram && *ram < RAMS && chance(3) == 0) {
        ++*ram;
        return ram_kinds[chance(3)];
    }
    switch (chance(6)) {
    case 0:
    case 1:
        return LUNIK_REGION_ALIAS;
    case 2:
    case 3:
        return LUNIK_REGION_CONTAINER;
    case 4:
        return LUNIK_REGION_RESERVED;
    default:
        return LUNIK_REGION_IO;
    }
}

static unsigned random_size(void)
{
    return chance(3) ? 1 + chance(shape->cells / 8) : 1 + chance(shape->cells);
}

static void define_node(unsigned i, unsigned ram)
{
    static const char *const kinds[] = {"container", "ram",   "rom",     "rom-device",
                                        "io",        "alias", "reserved"};
    const struct node *n = &nodes[i];

    FILE *out = fmemopen(definitions[i], sizeof(definitions[i]), "w");

    if (!out)
        return;
    fprintf(out, "n[%u] = m:region { kind = \"%s\", name = \"n%u\", size = %s", i, kinds[n->kind],
            i, lua_number(bytes_of(n->size)));
    if (n->kind == LUNIK_REGION_ALIAS)
        fprintf(out, ", target = n[%d], offset = %s%s", n->target,
                lua_number(shape->cell * n->alias_offset), n->readonly ? ", readonly = true" : "");
    if (n->host)
        fprintf(out, ", memdev = \"ram%u\"", ram);
    if (n->kind == LUNIK_REGION_IO || n->kind == LUNIK_REGION_ROM_DEVICE)
        fprintf(out, ", read = function() return %u end", i & 0xff);
    fprintf(out, "%s }\n", n->nonvolatile ? ", nonvolatile = true" : "");
    fclose(out);
}

static void make_node(unsigned i, unsigned *ram)
{
    struct node *n = &nodes[i];
    lunik_region_config config = {.kind = random_kind(i, ram)};
    char name[16];

    snprintf(name, sizeof(name), "n%u", i);
    *n = (struct node){
        .kind = config.kind, .parent = -1, .target = -1, .enabled = true, .romd = true};
    n->size = i < SPACES ? shape->cells : random_size();
    n->nonvolatile = chance(8) == 0;
    config.name = name;
    config.size = bytes_of(n->size);
    config.nonvolatile = n->nonvolatile;
    config.opaque = n;
    if (n->kind == LUNIK_REGION_ALIAS) {
        n->target = (int)chance(i);
        n->alias_offset = chance(shape->cells);
        n->readonly = chance(4) == 0;
        config.target = nodes[n->target].region;
        config.offset = shape->cell * n->alias_offset;
        config.readonly = n->readonly;
    } else if (n->kind == LUNIK_REGION_RAM || n->kind == LUNIK_REGION_ROM ||
               n->kind == LUNIK_REGION_ROM_DEVICE) {
        config.ram = rams[*ram - 1];
        n->host = lunik_ram_host(config.ram);
        n->readonly = n->kind == LUNIK_REGION_ROM;
    }
    if (n->kind == LUNIK_REGION_IO || n->kind == LUNIK_REGION_ROM_DEVICE)
        config.ops = &io_ops;
    if (lunik_region_new(&n->region, m, &config, NULL))
        complain("region_new failed");
    if (body)
        define_node(i, config.ram ? *ram - 1 : 0);
}

/* ---- listeners ------------------------------------------------------------------------------ */

static int find_section(const struct mirror *mirror, const lunik_section *s)
{
    for (unsigned i = 0; i < mirror->count; i++)
        if (!memcmp(&mirror->sections[i], s, sizeof(*s)))
            return (int)i;
    return -1;
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

static void on_add(lunik_listener *l, const lunik_section *s)
{
    struct mirror *mirror = lunik_container_of(l, struct mirror, listener);
    lunik_section c = clean(s);

    if (find_section(mirror, &c) >= 0)
        complain("%s: region_add twice", l->name);
    else
        memcpy(&mirror->sections[mirror->count++], &c, sizeof(c));
}

static void on_del(lunik_listener *l, const lunik_section *s)
{
    struct mirror *mirror = lunik_container_of(l, struct mirror, listener);
    lunik_section c = clean(s);
    int at = find_section(mirror, &c);

    if (at < 0)
        complain("%s: region_del of what was never added", l->name);
    else
        memcpy(&mirror->sections[at], &mirror->sections[--mirror->count], sizeof(c));
}

static void on_nop(lunik_listener *l, const lunik_section *s)
{
    struct mirror *mirror = lunik_container_of(l, struct mirror, listener);
    lunik_section c = clean(s);

    if (find_section(mirror, &c) < 0)
        complain("%s: region_nop of what was never added", l->name);
}

static int on_commit(lunik_listener *l, lunik_error *e)
{
    struct mirror *mirror = lunik_container_of(l, struct mirror, listener);

    if (!mirror->picky)
        return 0;
    mirror->picky = false;
    return lunik_fail(e, LUNIK_E_NO_SPACE, "refused");
}

static void watch(struct mirror *mirror, const char *name, int priority)
{
    mirror->count = 0;
    mirror->picky = false;
    mirror->listener = (lunik_listener){.name = name,
                                        .priority = priority,
                                        .region_add = on_add,
                                        .region_del = on_del,
                                        .region_nop = on_nop,
                                        .commit = on_commit};
    if (lunik_listener_add(m, &mirror->listener, NULL))
        complain("listener_add failed");
}

/* ---- comparing ------------------------------------------------------------------------------ */

/* Sorted, disjoint, as few as possible. */
static void check_view(const struct flat_view *view)
{
    struct view_cursor c = view_seek(view, 0);
    const struct flat_range *before = NULL;

    for (const struct flat_range *r; (r = cursor_range(&c)); before = r, cursor_next(&c)) {
        if (r->span.first > r->span.last || (before && r->span.first <= before->span.last))
            complain("ranges out of order at 0x%" PRIx64, r->span.first);
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

/* A read and a write must end up where the model says. */
static void check_access(lunik_space *s, uint64_t address, const struct place *want)
{
    const struct node *n = want->node < 0 ? NULL : &nodes[want->node];
    bool device = n && (n->kind == LUNIK_REGION_IO || n->kind == LUNIK_REGION_ROM_DEVICE);
    uint8_t *host =
        n && n->host ? n->host + want->offset * shape->cell + address % shape->cell : NULL;
    bool direct = want->flags & RANGE_DIRECT;
    bool writable =
        direct && n && n->kind != LUNIK_REGION_ROM_DEVICE && !(want->flags & RANGE_READONLY);
    uint64_t value;

    reached = (struct place){.node = -1};
    if (lunik_space_load(s, address, 1, &value) != (n ? 0 : LUNIK_E_ACCESS))
        complain("load at 0x%" PRIx64 ": wrong result", address);
    if (direct ? value != *host : !device && value != 0xff)
        complain("load at 0x%" PRIx64 ": value 0x%" PRIx64, address, value);
    if (device && !direct && (reached.node != want->node || reached.offset != want->offset))
        complain("load at 0x%" PRIx64 " reached n%d", address, reached.node);
    reached = (struct place){.node = -1};
    if (host)
        *host ^= 0x55;
    lunik_space_store(s, address, 1, host ? *host ^ 0x55 : 0);
    if (writable || !host) {
        if (!writable && device &&
            (reached.node != want->node || reached.offset != want->offset || !reached.flags))
            complain("store at 0x%" PRIx64 " reached n%d", address, reached.node);
    } else {
        *host ^= 0x55;
    }
    if (host && *host != (uint8_t)((host - n->host) / shape->cell + (uintptr_t)n->host / 4096))
        complain("store at 0x%" PRIx64 ": RAM changed", address);
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

static void check_space(unsigned which)
{
    lunik_space *s = spaces[which];
    const struct flat_view *view = view_root_current(s->vr);

    check_view(view);
    for (unsigned cell = 0; cell < shape->cells && !failed; cell++) {
        uint64_t address = cell * shape->cell;
        struct place want = {.node = -1}, got = shown_at(view, address);

        resolve(space_roots[which], cell, 0, &want);
        if (got.node != want.node ||
            (got.node >= 0 && (got.offset != want.offset || got.flags != want.flags)))
            complain_place(which, address, &got, &want);
        else if (chance(8) == 0)
            check_access(s, address + chance(shape->cell > 256 ? 256 : (unsigned)shape->cell),
                         &want);
    }
}

/* A listener's sections are those of the views. */
static void check_mirror(const struct mirror *mirror)
{
    unsigned count = 0;

    for (unsigned i = 0; i < SPACES; i++) {
        struct view_cursor c;

        if (!spaces[i])
            continue;
        c = view_seek(view_root_current(spaces[i]->vr), 0);
        for (const struct flat_range *r; (r = cursor_range(&c)); cursor_next(&c), count++) {
            lunik_section s = section_of(spaces[i], r), cleaned = clean(&s);

            if (find_section(mirror, &cleaned) < 0)
                complain("%s was not told about 0x%" PRIx64, mirror->listener.name, r->span.first);
        }
    }
    if (count != mirror->count)
        complain("%s knows %u sections, want %u", mirror->listener.name, mirror->count, count);
}

static void check_everything(void)
{
    for (unsigned i = 0; i < shape->nodes; i++)
        order[i] = i;
    qsort(order, shape->nodes, sizeof(order[0]), compare_order);
    for (unsigned i = 0; i < SPACES; i++)
        if (spaces[i])
            check_space(i);
    check_mirror(&first);
    check_mirror(&picky);
    check_mirror(&last);
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

static int try_add(int parent, int child)
{
    struct node *c = &nodes[child];
    unsigned address = chance(shape->cells);
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

    if (spaces[i]) {
        script("-- space %u goes", i);
        lunik_space_free(spaces[i]);
        spaces[i] = NULL;
        return 0;
    }
    space_roots[i] = (int)chance(chance(2) ? SPACES : shape->nodes);
    rc = lunik_space_new(&spaces[i], m, "s", nodes[space_roots[i]].region, NULL);
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
    watch(&last, "last", 9);
    watch(&first, "first", 1);
    if (lunik_space_new(&spaces[0], m, "s", nodes[0].region, NULL))
        complain("space_new failed");
    space_roots[0] = 0;
    mentioned[0] = true;
    print_spaces();
    watch(&picky, "picky", 5);
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
    if (first.count || last.count || picky.count)
        complain("listeners keep %u, %u, %u sections", first.count, picky.count, last.count);
    lunik_listener_del(&first.listener);
    lunik_listener_del(&last.listener);
    lunik_unlock(rt); /* lets the reclaimer work */
    lunik_lock(rt);
}

static bool setup(void)
{
    static const lunik_type *const no_types[] = {NULL};
    static const lunik_machine_config config = {
        .name = "oracle", .accel = LUNIK_ACCEL_NONE, .cpus = 1};
    lunik_ram_config ram_config = {.name = "ram", .size = 64 * 0x1000, .fd = -1};
    lunik_error err;

    if (lunik_runtime_new(&rt, no_types, &err) || lunik_machine_new(rt, &config, &m, &err))
        return false;
    for (unsigned i = 0; i < RAMS; i++) {
        uint8_t *host;

        if (lunik_ram_new(&rams[i], &ram_config, &err))
            return false;
        host = lunik_ram_host(rams[i]);
        for (unsigned page = 0; page < 64; page++)
            memset(host + page * 0x1000, (uint8_t)(page + (uintptr_t)host / 4096), 0x1000);
    }
    return true;
}

#endif
