/* types.c: lists types and their properties. */
#include "bindings.h"

static const char *kind_name(lunik_prop_kind kind)
{
    switch (kind) {
    case LUNIK_PROP_SIZE:
        return "size";
    case LUNIK_PROP_UINT:
        return "uint";
    case LUNIK_PROP_INT:
        return "int";
    case LUNIK_PROP_BOOL:
        return "bool";
    case LUNIK_PROP_ENUM:
        return "enum";
    case LUNIK_PROP_STRING:
        return "string";
    case LUNIK_PROP_LINK:
        return "link";
    case LUNIK_PROP_UINT_LIST:
        return "list";
    }
    return "unknown";
}

/* core.types() -> {name, ...} */
int bind_lua_types(lua_State *L)
{
    lunik_runtime *rt = bind_runtime(L);
    lua_Integer count = 0;

    lua_newtable(L);
    for (const lunik_type *t = NULL; (t = lunik_type_next(rt, t));) {
        lua_pushstring(L, t->name);
        lua_rawseti(L, -2, ++count);
    }
    return 1;
}

static void push_default(lua_State *L, const lunik_prop *p)
{
    switch (p->kind) {
    case LUNIK_PROP_SIZE:
    case LUNIK_PROP_UINT:
    case LUNIK_PROP_INT:
        lua_pushinteger(L, (lua_Integer)p->def);
        break;
    case LUNIK_PROP_BOOL:
        lua_pushboolean(L, p->def != 0);
        break;
    case LUNIK_PROP_ENUM:
        lua_pushstring(L, p->choices[p->def]);
        break;
    case LUNIK_PROP_STRING:
        lua_pushstring(L, p->def_string); /* nil for NULL */
        break;
    default:
        lua_pushnil(L);
    }
}

static void set_string(lua_State *L, const char *key, const char *value)
{
    lua_pushstring(L, value);
    lua_setfield(L, -2, key);
}

static void set_flag(lua_State *L, const char *key, unsigned flag)
{
    lua_pushboolean(L, flag != 0);
    lua_setfield(L, -2, key);
}

static void push_choices(lua_State *L, const char *const *choices)
{
    lua_newtable(L);
    for (int i = 0; choices[i]; i++) {
        lua_pushstring(L, choices[i]);
        lua_rawseti(L, -2, i + 1);
    }
}

static void push_prop(lua_State *L, const lunik_prop *p)
{
    bool number =
        p->kind == LUNIK_PROP_SIZE || p->kind == LUNIK_PROP_UINT || p->kind == LUNIK_PROP_INT;

    lua_createtable(L, 0, 12);
    set_string(L, "name", p->name);
    set_string(L, "kind", kind_name(p->kind));
    set_string(L, "doc", p->doc);
    set_flag(L, "required", p->flags & LUNIK_PROP_REQUIRED);
    set_flag(L, "readonly", p->flags & LUNIK_PROP_READONLY);
    set_flag(L, "live", p->flags & LUNIK_PROP_LIVE);
    if (!(p->flags & (LUNIK_PROP_REQUIRED | LUNIK_PROP_READONLY))) {
        push_default(L, p);
        lua_setfield(L, -2, "default");
    }
    bool limited = p->max || (p->kind == LUNIK_PROP_INT && p->min);

    if (number && (limited || p->kind != LUNIK_PROP_INT)) {
        lua_pushinteger(L, (lua_Integer)p->min);
        lua_setfield(L, -2, "min");
    }
    if (number && limited) {
        lua_pushinteger(L, (lua_Integer)p->max);
        lua_setfield(L, -2, "max");
    }
    if (p->choices) {
        push_choices(L, p->choices);
        lua_setfield(L, -2, "choices");
    }
    set_string(L, "link", p->link);
}

/* core.type(name) -> description, or nil if there is no such type. core.type(object): the object's
 * own type, which may have been replaced since. */
int bind_lua_type(lua_State *L)
{
    lunik_runtime *rt = bind_runtime(L);
    const lunik_type *t = luaL_testudata(L, 1, "lunik.Object")
                              ? lunik_object_type(bind_object(L, 1))
                              : lunik_type_find(rt, bind_string(L, 1, "type: name"));
    const lunik_prop *p;

    if (!t)
        return 0;
    lua_createtable(L, 0, 8);
    set_string(L, "name", t->name);
    set_string(L, "parent", t->parent);
    set_string(L, "doc", t->doc);
    set_flag(L, "abstract", t->flags & LUNIK_TYPE_ABSTRACT);
    set_flag(L, "device", t->flags & LUNIK_TYPE_DEVICE);
    set_flag(L, "hotplug", t->flags & LUNIK_TYPE_HOTPLUG);
    set_flag(L, "unplug", t->flags & LUNIK_TYPE_UNPLUG);
    lua_newtable(L);
    for (size_t i = 0; (p = lunik_type_prop(rt, t, i)); i++) {
        push_prop(L, p);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_setfield(L, -2, "props");
    return 1;
}
