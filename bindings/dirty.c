/*
 * dirty.c: dirty logging from Lua: m:dirty{...}, and samples for m:dirty_rate{...}.
 *
 * A started handle is kept by its machine's box, so that logging ends when the script stops it and
 * not when the handle is collected.
 */
#include <stdlib.h>
#include <string.h>

#include "bindings.h"

struct dirty {
    lunik_machine *m;
    lunik_dirty_client client;
    lunik_region *region; /* a reference, or NULL */
    lunik_ram *ram;       /* a reference, or NULL */
    bool active;
};

static const char dirty_class[] = "lunik.Dirty";
static const char sample_class[] = "lunik.dirty-sample";
static const char *const client_names[] = {"migration", "display", "user", "rate", NULL};

/* ---- handles -------------------------------------------------------------------------------- */

static struct dirty *dirty(lua_State *L, int index)
{
    return bind_check_open(L, index, dirty_class)->ptr;
}

static struct dirty *started(lua_State *L, const char *what)
{
    struct dirty *d = dirty(L, 1);

    if (!d->active)
        bind_fail(L, LUNIK_E_STATE, "dirty: %s: nothing is logged (call start first)", what);
    return d;
}

static lunik_dirty_scope scope_of(const struct dirty *d)
{
    return (lunik_dirty_scope){.region = d->region, .ram = d->ram};
}

static int dirty_gc(lua_State *L)
{
    struct box *box = lua_touserdata(L, 1);
    struct dirty *d = box->ptr;

    if (!box->m)
        return 0;
    if (d->region)
        lunik_region_unref(d->region);
    if (d->ram)
        lunik_ram_unref(d->ram);
    free(d);
    lunik_machine_unref(box->m);
    *box = (struct box){0};
    return 0;
}

/* Returns the RAM block of a memory backend, or of a device that has one. */
static lunik_ram *ram_of(lua_State *L, lunik_object *o)
{
    const lunik_memory_backend_ops *backend = lunik_memory_backend_iface(o);

    if (lunik_memory_device_iface(o)) {
        o = lunik_memory_device_get(o)->memdev;
        backend = o ? lunik_memory_backend_iface(o) : NULL;
    }
    if (!backend)
        bind_fail(L, LUNIK_E_INVALID,
                  "dirty: object: '%s' has no memory (want a memory backend or device)",
                  o ? lunik_object_id(o) : "");
    return backend->ram(o);
}

/* m:dirty{client=, region=, object=} -> handle */
int bind_lua_dirty_new(lua_State *L)
{
    static const char *const options[] = {"client", "region", "object", NULL};
    lunik_machine *m = bind_machine(L, 1);
    lunik_dirty_client client = LUNIK_DIRTY_USER;
    lunik_region *region = NULL;
    lunik_ram *ram = NULL;
    struct dirty *d;
    struct box *box;
    bool made;
    int index;

    if (!lua_isnoneornil(L, 2)) {
        bind_options(L, 2, "dirty", options);
        index = bind_field(L, 2, "client");
        if (!lua_isnil(L, index))
            client = 1u << bind_choice(L, index, "dirty: client", client_names);
        index = bind_field(L, 2, "region");
        if (!lua_isnil(L, index))
            region = bind_region_option(L, index, "dirty: region");
        if (region && !lunik_region_ram(region))
            bind_fail(L, LUNIK_E_INVALID, "dirty: region: '%s' has no RAM of its own",
                      lunik_region_name(region));
        index = bind_field(L, 2, "object");
        if (!lua_isnil(L, index))
            ram = ram_of(L, bind_object_arg(L, index, m, "dirty: object"));
        if (region && ram)
            bind_fail(L, LUNIK_E_INVALID, "dirty: region and object: want only one of them");
    }
    d = calloc(1, sizeof(*d));
    if (!d)
        return bind_fail(L, LUNIK_E_NO_MEMORY, "dirty: out of memory");
    *d = (struct dirty){.m = m, .client = client, .region = region, .ram = ram};
    box = bind_push_box(L, dirty_class, d, 0, &made, free);
    box->m = m;
    lunik_machine_ref(m);
    if (region)
        lunik_region_ref(region);
    if (ram)
        lunik_ram_ref(ram);
    return 1;
}

/* Makes the machine's box keep the handle at index 1, or no longer. */
static void keep(lua_State *L, struct dirty *d, bool on)
{
    bind_push_parts(L, d->m);
    if (on)
        lua_pushvalue(L, 1);
    else
        lua_pushnil(L);
    lua_rawsetp(L, -2, d);
    lua_pop(L, 1);
    d->active = on;
}

static int dirty_start(lua_State *L)
{
    struct dirty *d = dirty(L, 1);
    lunik_dirty_scope scope = scope_of(d);
    lunik_error err;
    int rc;

    if (d->active)
        bind_fail(L, LUNIK_E_STATE, "dirty: start: it is started already");
    keep(L, d, true); /* which may fail */
    rc = lunik_dirty_start(d->m, d->client, &scope, &err);
    if (rc)
        keep(L, d, false);
    bind_check(L, rc, &err);
    lua_settop(L, 1);
    return 1;
}

static int dirty_stop(lua_State *L)
{
    struct dirty *d = started(L, "stop");
    lunik_dirty_scope scope = scope_of(d);
    lunik_error err;

    bind_check(L, lunik_dirty_stop(d->m, d->client, &scope, &err), &err);
    keep(L, d, false);
    return 0;
}

/* __close: stops logging, if it has been started. */
static int dirty_close(lua_State *L)
{
    struct box *box = bind_check_box(L, 1, dirty_class);

    if (lunik_machine_state(box->m) == LUNIK_STATE_CLOSED || !((struct dirty *)box->ptr)->active)
        return 0;
    lua_settop(L, 1);
    return dirty_stop(L);
}

/* ---- blocks --------------------------------------------------------------------------------- */

/* A block, and the part of it that a handle covers. */
struct part {
    lunik_ram *ram;
    uint64_t first, end;
};

static bool get_part(const struct dirty *d, size_t index, struct part *out)
{
    uint64_t size;

    out->first = 0;
    if (d->region) {
        size = lunik_region_size(d->region);
        out->ram = lunik_region_ram(d->region);
        out->first = lunik_region_ram_offset(d->region);
        out->end = out->first + size;
        return index == 0;
    }
    out->ram = !d->ram ? lunik_dirty_block(d->m, index) : index == 0 ? d->ram : NULL;
    out->end = out->ram ? lunik_ram_size(out->ram) : 0;
    return out->ram;
}

static uint64_t count_dirty(const struct dirty *d)
{
    uint64_t count = 0;
    struct part p;

    for (size_t i = 0; get_part(d, i, &p); i++)
        count += lunik_dirty_count(p.ram, d->client, p.first, p.end - p.first);
    return count;
}

/* d:sync() -> number of dirty pages */
static int dirty_sync(lua_State *L)
{
    struct dirty *d = started(L, "sync");
    lunik_error err;

    bind_check(L, lunik_dirty_sync(d->m, &err), &err);
    lua_pushinteger(L, (lua_Integer)count_dirty(d));
    return 1;
}

/* d:count() -> number of dirty pages as of the last sync */
static int dirty_count(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)count_dirty(started(L, "count")));
    return 1;
}

/* d:blocks() -> {{name=, size=, pages=}, ...} */
static int dirty_blocks(lua_State *L)
{
    struct dirty *d = started(L, "blocks");
    struct part p;

    lua_newtable(L);
    for (size_t i = 0; get_part(d, i, &p); i++) {
        lua_createtable(L, 0, 3);
        lua_pushstring(L, lunik_ram_name(p.ram));
        lua_setfield(L, -2, "name");
        lua_pushinteger(L, (lua_Integer)(p.end - p.first));
        lua_setfield(L, -2, "size");
        lua_pushinteger(L,
                        (lua_Integer)lunik_dirty_count(p.ram, d->client, p.first, p.end - p.first));
        lua_setfield(L, -2, "pages");
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

/* The iterators' upvalues: handle, index of the block, offset in it. */
enum { UP_HANDLE = 1, UP_BLOCK, UP_OFFSET };

/* Finds the next run of dirty pages at or after the iterator's position, or with size NULL its
 * first page; pushes the block's name and the offset. */
static bool next_run(lua_State *L, uint64_t *offset, uint64_t *size)
{
    struct dirty *d = bind_check_open(L, lua_upvalueindex(UP_HANDLE), dirty_class)->ptr;
    lua_Integer block = lua_tointeger(L, lua_upvalueindex(UP_BLOCK));
    struct part p;

    for (*offset = (uint64_t)lua_tointeger(L, lua_upvalueindex(UP_OFFSET));
         d->active && get_part(d, (size_t)block, &p); block++, *offset = 0) {
        if (*offset < p.first)
            *offset = p.first;
        if (lunik_dirty_next(p.ram, d->client, offset, p.end, size)) {
            lua_pushinteger(L, block);
            lua_replace(L, lua_upvalueindex(UP_BLOCK));
            lua_pushstring(L, lunik_ram_name(p.ram));
            lua_pushinteger(L, (lua_Integer)*offset);
            return true;
        }
    }
    return false;
}

static void set_offset(lua_State *L, uint64_t offset)
{
    lua_pushinteger(L, (lua_Integer)offset);
    lua_replace(L, lua_upvalueindex(UP_OFFSET));
}

static int iterate_pages(lua_State *L)
{
    uint64_t offset;

    if (!next_run(L, &offset, NULL))
        return 0;
    set_offset(L, offset + LUNIK_DIRTY_PAGE);
    return 2;
}

static int iterate_ranges(lua_State *L)
{
    uint64_t offset, size;

    if (!next_run(L, &offset, &size))
        return 0;
    set_offset(L, offset + size);
    lua_pushinteger(L, (lua_Integer)size);
    return 3;
}

static int push_iterator(lua_State *L, const char *what, lua_CFunction fn)
{
    started(L, what);
    lua_pushvalue(L, 1);
    lua_pushinteger(L, 0);
    lua_pushinteger(L, 0);
    lua_pushcclosure(L, fn, 3);
    return 1;
}

static int dirty_pages(lua_State *L)
{
    return push_iterator(L, "pages", iterate_pages);
}

static int dirty_ranges(lua_State *L)
{
    return push_iterator(L, "ranges", iterate_ranges);
}

/* d:clear([block, [offset, size]]) -> how many pages were dirty */
static int dirty_clear(lua_State *L)
{
    struct dirty *d = started(L, "clear");
    const char *name = bind_opt_string(L, 2, "clear: block", NULL);
    uint64_t first = 0, end = UINT64_MAX, count = 0;
    bool found = false;
    struct part p;

    if (!lua_isnoneornil(L, 3)) {
        first = bind_size(L, 3, "clear: offset");
        end = bind_size(L, 4, "clear: size");
        end = end > UINT64_MAX - first ? UINT64_MAX : first + end;
    }
    for (size_t i = 0; get_part(d, i, &p); i++) {
        if (name && strcmp(name, lunik_ram_name(p.ram)) != 0)
            continue;
        found = true;
        if (p.first < first)
            p.first = first;
        if (p.end > end)
            p.end = end;
        if (p.first < p.end)
            count +=
                lunik_dirty_test_and_clear(d->m, d->client, p.ram, p.first, p.end - p.first, NULL);
    }
    if (name && !found)
        bind_fail(L, LUNIK_E_NOT_FOUND, "clear: block: there is no '%s'", name);
    lua_pushinteger(L, (lua_Integer)count);
    return 1;
}

/* ---- fields --------------------------------------------------------------------------------- */

static int get_active(lua_State *L)
{
    const struct dirty *d = bind_check_box(L, 1, dirty_class)->ptr;

    lua_pushboolean(L, d->active && lunik_machine_state(d->m) != LUNIK_STATE_CLOSED);
    return 1;
}

static int get_client(lua_State *L)
{
    const struct dirty *d = bind_check_box(L, 1, dirty_class)->ptr;

    lua_pushstring(L, client_names[__builtin_ctz(d->client)]);
    return 1;
}

static int dirty_tostring(lua_State *L)
{
    const struct dirty *d = bind_check_box(L, 1, dirty_class)->ptr;

    lua_pushfstring(L, "dirty pages of %s '%s' for %s",
                    d->region ? "region"
                    : d->ram  ? "block"
                              : "machine",
                    d->region ? lunik_region_name(d->region)
                    : d->ram  ? lunik_ram_name(d->ram)
                              : lunik_machine_name(d->m),
                    client_names[__builtin_ctz(d->client)]);
    return 1;
}

/* ---- samples -------------------------------------------------------------------------------- */

static int sample_gc(lua_State *L)
{
    lunik_dirty_sample **s = lua_touserdata(L, 1);

    if (*s)
        lunik_dirty_sample_free(*s);
    *s = NULL;
    return 0;
}

/* core.dirty_sample(machine, pages per GiB) -> sample */
int bind_lua_dirty_sample(lua_State *L)
{
    lunik_machine *m = bind_machine(L, 1);
    unsigned per_gib = (unsigned)bind_int(L, 2, "dirty_rate: sample_pages", 1, 1 << 18);
    lunik_dirty_sample **s = lua_newuserdatauv(L, sizeof(*s), 0);
    lunik_error err;

    *s = NULL;
    luaL_setmetatable(L, sample_class);
    bind_check(L, lunik_dirty_sample_new(m, per_gib, s, &err), &err);
    return 1;
}

/* core.dirty_compare(sample) -> {{name=, size=, sampled=, changed=}, ...} */
int bind_lua_dirty_compare(lua_State *L)
{
    lunik_dirty_sample **s = luaL_checkudata(L, 1, sample_class);
    lunik_dirty_sampled b;

    lua_newtable(L);
    for (size_t i = 0; lunik_dirty_sample_compare(*s, i, &b); i++) {
        lua_createtable(L, 0, 4);
        lua_pushstring(L, lunik_ram_name(b.ram));
        lua_setfield(L, -2, "name");
        lua_pushinteger(L, (lua_Integer)lunik_ram_size(b.ram));
        lua_setfield(L, -2, "size");
        lua_pushinteger(L, (lua_Integer)b.pages);
        lua_setfield(L, -2, "sampled");
        lua_pushinteger(L, (lua_Integer)b.changed);
        lua_setfield(L, -2, "changed");
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

/* ---- registration --------------------------------------------------------------------------- */

void bind_dirty_open(lua_State *L, int classes)
{
    static const luaL_Reg methods[] = {
        {"start", dirty_start},   {"stop", dirty_stop},     {"sync", dirty_sync},
        {"count", dirty_count},   {"blocks", dirty_blocks}, {"pages", dirty_pages},
        {"ranges", dirty_ranges}, {"clear", dirty_clear},   {0},
    };
    static const luaL_Reg getters[] = {
        {"active", get_active},
        {"client", get_client},
        {0},
    };
    static const luaL_Reg meta[] = {
        {"__gc", dirty_gc},
        {"__close", dirty_close},
        {"__tostring", dirty_tostring},
        {0},
    };
    static const struct bind_class class = {
        .name = dirty_class,
        .methods = methods,
        .getters = getters,
        .meta = meta,
    };

    bind_class_new(L, classes, &class);
    luaL_newmetatable(L, sample_class);
    lua_pushcfunction(L, sample_gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
}
