/* fw_cfg.c: files and items of a machine's firmware configuration device. */
#include <stdlib.h>
#include <string.h>

#include "bindings.h"

/* Which item is meant: a name, or a number. */
struct item {
    char name[LUNIK_FW_CFG_NAME_SIZE]; /* empty: the number */
    uint16_t key;
};

/* An item whose contents a function returns; the Lua half has the function. */
struct computed {
    lunik_object *o; /* the device, whose item this is */
    struct item item;
};

static lunik_object *find_device(lunik_machine *m)
{
    lunik_object *o = NULL;

    while ((o = lunik_object_next(m, o)) && (!lunik_fw_cfg_iface(o) || !lunik_object_alive(o)))
        ;
    return o;
}

static lunik_object *check_device(lua_State *L, lunik_machine *m)
{
    lunik_object *o = find_device(m);

    if (!o)
        bind_fail(L, LUNIK_E_NOT_FOUND,
                  "fw_cfg: machine '%s' has no fw-cfg device (the pc board adds one for firmware, "
                  "and with fw_cfg = true)",
                  lunik_machine_name(m));
    return o;
}

static const char *name_of(const struct item *item)
{
    return *item->name ? item->name : NULL;
}

/* Reads the name or number at index 2; a name that is too long stays too long. */
static const char *item_arg(lua_State *L, const char *what, uint16_t *key)
{
    *key = 0;
    if (lua_type(L, 2) == LUA_TSTRING)
        return bind_string(L, 2, what);
    *key = (uint16_t)bind_int(L, 2, what, 0, UINT16_MAX);
    return NULL;
}

/* ---- computed contents ---------------------------------------------------------------------- */

struct select_call {
    lunik_object *o;
    lunik_machine *m;
    struct item item;
};

/* Lua, protected: hooks.fw_cfg(machine, name or number) -> contents, or nil: they stay. */
static int select_body(lua_State *L)
{
    const struct select_call *call = lua_touserdata(L, 1);
    const char *name = name_of(&call->item), *data;
    lunik_error err;
    size_t size;

    bind_push_hook(L, "fw_cfg");
    bind_push_machine(L, call->m);
    if (name)
        lua_pushstring(L, name);
    else
        lua_pushinteger(L, call->item.key);
    lua_call(L, 2, 1);
    if (lua_isnil(L, -1))
        return 0;
    data = bind_data(L, -1, "what a function of fw_cfg_add returned", &size);
    if (!lunik_object_alive(call->o))
        return 0;
    bind_check(L, lunik_fw_cfg_iface(call->o)->set(call->o, name, call->item.key, data, size, &err),
               &err);
    return 0;
}

/* The function may remove the device, and `opaque` with it. */
static void on_select(void *opaque)
{
    const struct computed *c = opaque;
    struct select_call call = {.o = c->o, .m = lunik_object_machine(c->o), .item = c->item};
    struct glue *g = bind_glue(call.m);

    if (!g)
        return;
    lunik_object_ref(call.o);
    bind_call(g->b, g, "a function of fw_cfg_add", select_body, &call);
    lunik_object_unref(call.o);
}

/* ---- functions ------------------------------------------------------------------------------ */

/* core.fw_cfg_add(machine, name or number, data, computed) */
int bind_lua_fw_cfg_add(lua_State *L)
{
    lunik_machine *m = bind_machine(L, 1);
    lunik_object *o = check_device(L, m);
    lunik_fw_cfg_source source = {0};
    struct computed *c = NULL;
    lunik_error err;
    uint16_t key;
    const char *name = item_arg(L, "fw_cfg_add: name", &key);
    int rc;

    source.data = bind_data(L, 3, "fw_cfg_add: data", &source.size);
    if (bind_bool(L, 4, "fw_cfg_add: computed")) {
        c = calloc(1, sizeof(*c));
        if (!c)
            return bind_fail(L, LUNIK_E_NO_MEMORY, "fw_cfg_add: out of memory");
        c->o = o;
        c->item.key = key;
        if (name)
            snprintf(c->item.name, sizeof(c->item.name), "%s", name);
        source.select = on_select;
        source.release = free;
        source.opaque = c;
    }
    rc = lunik_fw_cfg_iface(o)->add(o, name, key, &source, &err);
    if (rc)
        free(c);
    bind_check(L, rc, &err);
    return 0;
}

/* core.fw_cfg(machine, name or number) -> contents, or nil */
int bind_lua_fw_cfg(lua_State *L)
{
    lunik_object *o = check_device(L, bind_machine(L, 1));
    uint16_t key;
    const char *name = item_arg(L, "fw_cfg: name", &key);
    size_t size;
    const void *data = lunik_fw_cfg_iface(o)->find(o, name, key, &size);

    if (!data)
        return 0;
    lua_pushlstring(L, data, size);
    return 1;
}

/* core.fw_cfg_names(machine) -> names of the files, in the order of addition */
int bind_lua_fw_cfg_names(lua_State *L)
{
    lunik_object *o = check_device(L, bind_machine(L, 1));
    const lunik_fw_cfg_ops *ops = lunik_fw_cfg_iface(o);
    const char *name;

    lua_newtable(L);
    for (size_t i = 0; (name = ops->file(o, i)); i++) {
        lua_pushstring(L, name);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}
