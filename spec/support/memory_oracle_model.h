/*
 * memory_oracle_model.h: the regions of the memory oracle, and a model of them that resolves every
 * page by walking the graph as the documentation says.
 */
#ifndef SPEC_MEMORY_ORACLE_MODEL_H
#define SPEC_MEMORY_ORACLE_MODEL_H

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "memory/memory.h"

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

/* A device's response to accesses. */
enum manner { ANSWERS, REFUSES, UNDECODED, LARGE_ONLY, READ_ONLY, WRITE_ONLY, MANNERS };

struct node {
    lunik_region *region;
    lunik_region_kind kind;
    enum manner manner;
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
static struct place reached; /* by the last callback */
static bool failed;
static enum { RIGHT, WRONG_VIEW, WRONG_RESULT } model; /* wrong: to see it fail */
static FILE *body;                                     /* of the script; NULL: none is printed */
static char definitions[NODES_MAX][384];
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

/* Finds the leaf that answers at an offset of a node. */
static bool resolve(int at, unsigned offset, unsigned flags, struct place *out)
{
    const struct node *n = &nodes[at];

    if (!n->enabled || offset >= n->size)
        return false;
    flags |= (n->readonly && !(model == WRONG_VIEW && n->target >= 0) ? RANGE_READONLY : 0) |
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

        if (n->parent == parent && n->priority == child->priority &&
            (n->enabled || !n->may_overlap) && n->address < address + child->size &&
            address < n->address + n->size)
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

static uint8_t device_byte(const struct node *n)
{
    return (uint8_t)(n - nodes);
}

static lunik_access result_of(const struct node *n)
{
    return n->manner == REFUSES     ? LUNIK_ACCESS_DEVICE
           : n->manner == UNDECODED ? LUNIK_ACCESS_DECODE
                                    : LUNIK_ACCESS_OK;
}

static lunik_access on_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    const struct node *n = opaque;

    reached = (struct place){(int)(n - nodes), (unsigned)(offset / shape->cell), 0};
    *value = device_byte(n) * 0x0101010101010101u;
    return result_of(n);
}

static lunik_access on_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    const struct node *n = opaque;

    reached = (struct place){(int)(n - nodes), (unsigned)(offset / shape->cell), RANGE_READONLY};
    return result_of(n);
}

static const lunik_io_ops device_ops[MANNERS] = {
    [ANSWERS] = {.read = on_read, .write = on_write, .valid = {1, 8, true}},
    [REFUSES] = {.read = on_read, .write = on_write, .valid = {1, 8, true}},
    [UNDECODED] = {.read = on_read, .write = on_write, .valid = {1, 8, true}},
    [LARGE_ONLY] = {.read = on_read, .write = on_write, .valid = {2, 8, true}},
    [READ_ONLY] = {.read = on_read, .valid = {1, 8, true}},
    [WRITE_ONLY] = {.write = on_write, .valid = {1, 8, true}},
};

static bool is_device(const struct node *n)
{
    return n->kind == LUNIK_REGION_IO || n->kind == LUNIK_REGION_ROM_DEVICE;
}

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

static void define_device(FILE *out, const struct node *n)
{
    static const char *const refusals[] = {[REFUSES] = "nil", [UNDECODED] = "nil, \"access\""};
    bool refuses = n->manner == REFUSES || n->manner == UNDECODED;

    if (n->manner != WRITE_ONLY && refuses)
        fprintf(out, ", read = function() return %s end", refusals[n->manner]);
    else if (n->manner != WRITE_ONLY)
        fprintf(out, ", read = function() return %u end", device_byte(n));
    if (n->manner != READ_ONLY)
        fprintf(out, ", write = function() return %s end",
                n->manner == REFUSES     ? "false"
                : n->manner == UNDECODED ? "false, \"access\""
                                         : "true");
    fprintf(out, ", valid = { min = %d, max = 8, unaligned = true }",
            n->manner == LARGE_ONLY ? 2 : 1);
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
    if (is_device(n))
        define_device(out, n);
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
    n->manner = chance(3) ? ANSWERS : (enum manner)chance(MANNERS);
    if (is_device(n))
        config.ops = &device_ops[n->manner];
    if (lunik_region_new(m, &config, &n->region, NULL))
        complain("region_new failed");
    if (body)
        define_node(i, config.ram ? *ram - 1 : 0);
}

#endif
