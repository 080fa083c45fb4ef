/*
 * device.c: types defined by scripts.
 *
 * A type is made from a table that the Lua half has checked: its properties become a property
 * table with fields in the state struct, its functions are called with the object. The lunik_type
 * and all it points to stay until the runtime is freed.
 */
#include <stdlib.h>
#include <string.h>

#include "device.h"

static int on_realize(lunik_object *o, lunik_error *err);

/* ---- calls ---------------------------------------------------------------------------------- */

struct hook_call {
    const struct lua_type *type;
    lunik_object *object;
    const char *name;
    int argument;       /* -1: none; else a boolean */
    lunik_drain *drain; /* to be reported by a function that is passed; NULL: none */
};

/* Lua, protected: hooks[name](object, [argument]). */
static int hook_body(lua_State *L)
{
    struct hook_call *call = lua_touserdata(L, 1);

    lua_rawgeti(L, LUA_REGISTRYINDEX, call->type->hooks);
    lua_getfield(L, -1, call->name);
    bind_push_object(L, call->object);
    if (call->argument >= 0)
        lua_pushboolean(L, call->argument);
    if (call->drain)
        bind_push_done(L, &call->drain);
    lua_call(L, lua_gettop(L) - 3, 0);
    return 0;
}

static const struct lua_type *type_of(const lunik_object *o)
{
    return lunik_container_of(lunik_object_type(o), struct lua_type, type);
}

const struct lua_type *bind_lua_type_of(const lunik_object *o)
{
    return lunik_object_type(o)->realize == on_realize ? type_of(o) : NULL;
}

static int call_err(lunik_object *o, const char *name, int argument, lunik_error *err)
{
    struct hook_call call = {type_of(o), o, name, argument, NULL};
    int rc = bind_call_err(call.type->b, bind_glue(lunik_object_machine(o)), hook_body, &call, err);

    return rc ? lunik_fail_prefix(err, rc, "%s", lunik_object_type_name(o)) : 0;
}

static void call(lunik_object *o, const char *name, int argument)
{
    struct hook_call hook = {type_of(o), o, name, argument, NULL};

    bind_call(hook.type->b, bind_glue(lunik_object_machine(o)), lunik_object_type_name(o),
              hook_body, &hook);
}

void bind_call_hook(lunik_object *o, const char *name)
{
    call(o, name, -1);
}

static int on_realize(lunik_object *o, lunik_error *err)
{
    const struct lua_type *t = type_of(o);
    int rc = t->is_pci ? bind_pci_begin(o, &t->pci, err) : 0;

    if (rc)
        return rc;
    bind_timers_init(o);
    rc = call_err(o, "realize", lunik_in_transaction(lunik_object_machine(o)), err);
    if (!rc && t->is_pci) {
        rc = bind_pci_add(o, err);
        if (rc)
            call(o, "unrealize", -1);
    }
    if (rc)
        bind_timers_cancel(o);
    if (rc && t->is_pci)
        bind_pci_remove(o);
    return rc;
}

static void on_unrealize(lunik_object *o)
{
    bind_timers_cancel(o);
    call(o, "unrealize", -1);
    if (type_of(o)->is_pci)
        bind_pci_remove(o);
}

static void on_reset(lunik_object *o)
{
    if (type_of(o)->is_pci)
        bind_pci_reset(o);
    call(o, "reset", -1);
}

static void on_run_state(lunik_object *o, bool running)
{
    call(o, "run_state", running);
}

/* The script's function reports, or what is left of it when it fails. */
static void on_drain(lunik_object *o, lunik_drain *d)
{
    struct hook_call hook = {type_of(o), o, "drain", -1, d};

    bind_call(hook.type->b, bind_glue(lunik_object_machine(o)), lunik_object_type_name(o),
              hook_body, &hook);
    if (hook.drain)
        lunik_drain_done(hook.drain);
}

static void on_undrain(lunik_object *o)
{
    call(o, "undrain", -1);
}

static int on_unplug_request(lunik_object *o, lunik_error *err)
{
    return call_err(o, "unplug_request", -1, err);
}

/* ---- definition ----------------------------------------------------------------------------- */

static void type_free(struct lua_type *t)
{
    for (size_t i = 0; i < t->prop_count; i++) {
        lunik_prop *p = &t->props[i];

        for (size_t c = 0; p->choices && p->choices[c]; c++)
            free((char *)p->choices[c]);
        free((void *)p->choices);
        free((char *)p->name);
        free((char *)p->doc);
        free((char *)p->def_string);
        free((char *)p->link);
    }
    free(t->props);
    bind_state_free(t);
    free((char *)t->type.name);
    free((char *)t->type.doc);
    free(t);
}

void bind_types_free(struct bindings *b)
{
    while (b->types) {
        struct lua_type *t = b->types;

        b->types = t->next;
        type_free(t);
    }
}

/* Key of runtime data: a struct bindings without a Lua state, which takes over the types of states
 * that are closed before the runtime is freed. */
static const char heir_key[] = "lua types";

static void heir_release(void *data)
{
    struct bindings *heir = data;

    bind_types_free(heir);
    free(heir);
}

int bind_types_share(lunik_runtime *rt, lunik_error *err)
{
    struct bindings *heir;

    if (lunik_runtime_data(rt, heir_key))
        return 0;
    heir = calloc(1, sizeof(*heir));
    if (!heir || lunik_runtime_set_data(rt, heir_key, heir, heir_release)) {
        free(heir);
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "Lua module: out of memory");
    }
    heir->rt = rt;
    heir->closing = true;
    return 0;
}

void bind_types_leave(struct bindings *b)
{
    struct bindings *heir = lunik_runtime_data(b->rt, heir_key);
    struct lua_type **end;

    for (struct lua_type *t = b->types; t; t = t->next)
        t->b = heir;
    for (end = &heir->types; *end;)
        end = &(*end)->next;
    *end = b->types;
    b->types = NULL;
}

/* Copies the string on top of the stack, which `what` names in errors. */
static char *copy_string(lua_State *L, const char *what)
{
    char *copy = strdup(bind_string(L, -1, what));

    if (!copy)
        bind_fail(L, LUNIK_E_NO_MEMORY, "device: out of memory");
    return copy;
}

/* Copies a string field; returns NULL if it is nil. */
char *bind_copy_field(lua_State *L, int table, const char *name)
{
    char *copy = NULL;

    if (lua_getfield(L, table, name) != LUA_TNIL)
        copy = copy_string(L, name);
    lua_pop(L, 1);
    return copy;
}

uint64_t bind_number_field(lua_State *L, int table, const char *name)
{
    uint64_t number = 0;

    if (lua_getfield(L, table, name) != LUA_TNIL)
        number = lua_isboolean(L, -1) ? (uint64_t)lua_toboolean(L, -1) : bind_bits(L, -1, name, 8);
    lua_pop(L, 1);
    return number;
}

static bool flag_field(lua_State *L, int table, const char *name)
{
    bool flag;

    lua_getfield(L, table, name);
    flag = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return flag;
}

static void choices_field(lua_State *L, int table, lunik_prop *p)
{
    size_t count;
    char **choices;

    if (lua_getfield(L, table, "choices") != LUA_TNIL) {
        bind_table(L, -1, "choices");
        count = lua_rawlen(L, -1);
        choices = calloc(count + 1, sizeof(*choices));
        p->choices = (const char *const *)choices;
        if (!choices)
            bind_fail(L, LUNIK_E_NO_MEMORY, "device: out of memory");
        for (size_t i = 0; i < count; i++) {
            lua_rawgeti(L, -1, (lua_Integer)i + 1);
            choices[i] = copy_string(L, "choices");
            lua_pop(L, 1);
        }
    }
    lua_pop(L, 1);
}

static const char *const kind_names[] = {"size",   "uint", "int",  "bool", "enum",
                                         "string", "link", "list", NULL};

/* Returns how many bytes of the state a property needs; all fields are aligned to 8 bytes. */
static size_t field_size(lunik_prop_kind kind)
{
    return kind == LUNIK_PROP_UINT_LIST ? sizeof(lunik_uint_list) : 8;
}

static void prop_from(lua_State *L, int table, struct lua_type *t, lunik_prop *p)
{
    static const lunik_prop_kind prop_kinds[] = {
        LUNIK_PROP_SIZE, LUNIK_PROP_UINT,   LUNIK_PROP_INT,  LUNIK_PROP_BOOL,
        LUNIK_PROP_ENUM, LUNIK_PROP_STRING, LUNIK_PROP_LINK, LUNIK_PROP_UINT_LIST,
    };

    p->name = bind_copy_field(L, table, "name");
    lua_getfield(L, table, "kind");
    p->kind = prop_kinds[bind_choice(L, lua_gettop(L), "kind", kind_names)];
    lua_pop(L, 1);
    p->doc = bind_copy_field(L, table, "doc");
    p->link = bind_copy_field(L, table, "link");
    p->def_string = bind_copy_field(L, table, "default_string");
    p->def = bind_number_field(L, table, "default_number");
    p->min = bind_number_field(L, table, "min");
    p->max = bind_number_field(L, table, "max");
    choices_field(L, table, p);
    p->flags = (flag_field(L, table, "required") ? LUNIK_PROP_REQUIRED : 0) |
               (flag_field(L, table, "live") ? LUNIK_PROP_LIVE : 0);
    p->offset = t->type.size;
    t->type.size += field_size(p->kind);
}

static void props_from(lua_State *L, struct lua_type *t)
{
    int list;

    lua_getfield(L, 1, "props");
    list = lua_gettop(L);
    bind_table(L, list, "device: props");
    t->props = calloc(lua_rawlen(L, list) + 1, sizeof(*t->props));
    if (!t->props)
        bind_fail(L, LUNIK_E_NO_MEMORY, "device: out of memory");
    while (t->prop_count < lua_rawlen(L, list)) {
        lua_rawgeti(L, list, (lua_Integer)t->prop_count + 1);
        prop_from(L, lua_gettop(L), t, &t->props[t->prop_count++]);
        lua_pop(L, 1);
    }
    t->type.props = t->props;
    lua_pop(L, 1);
}

static void type_from(lua_State *L, lunik_runtime *rt, struct lua_type *t)
{

    t->type.name = bind_copy_field(L, 1, "name");
    t->type.doc = bind_copy_field(L, 1, "doc");
    t->type.flags = LUNIK_TYPE_DEVICE | (flag_field(L, 1, "hotplug") ? LUNIK_TYPE_HOTPLUG : 0) |
                    (flag_field(L, 1, "unplug") ? LUNIK_TYPE_UNPLUG : 0);
    t->type.size = 8;
    if (lua_getfield(L, 1, "pci") != LUA_TNIL)
        bind_pci_from(L, rt, t);
    lua_pop(L, 1);
    props_from(L, t);
    if (lua_getfield(L, 1, "state") != LUA_TNIL)
        bind_state_from(L, t);
    lua_pop(L, 1);
    lua_getfield(L, 1, "hooks");
    t->type.realize = on_realize;
    t->type.unrealize = on_unrealize;
    t->type.reset = t->is_pci || flag_field(L, -1, "reset") ? on_reset : NULL;
    t->type.run_state = flag_field(L, -1, "run_state") ? on_run_state : NULL;
    t->type.drain = flag_field(L, -1, "drain") ? on_drain : NULL;
    t->type.undrain = flag_field(L, -1, "undrain") ? on_undrain : NULL;
    t->type.unplug_request = flag_field(L, -1, "unplug_request") ? on_unplug_request : NULL;
    t->hooks = luaL_ref(L, LUA_REGISTRYINDEX);
}

/* core.type_add{name=, doc=, hotplug=, unplug=, props={...}, pci={...}, state={...}, hooks={...}},
 * as checked by the Lua half. Replaces a type of that name that a script made before. The struct is
 * put into the list before an error can be raised, so that it is freed in any case. */
int bind_lua_type_add(lua_State *L)
{
    struct bindings *b = bind_state(L);
    lunik_runtime *rt = bind_runtime(L);
    struct lua_type *t = calloc(1, sizeof(*t));
    int (*add)(lunik_runtime *, const lunik_type *, lunik_error *);
    const lunik_type *former;
    lunik_error err;

    if (!t)
        return bind_fail(L, LUNIK_E_NO_MEMORY, "device: out of memory");
    t->b = b;
    t->next = b->types;
    b->types = t;
    type_from(L, rt, t);
    former = t->type.name ? lunik_type_find(rt, t->type.name) : NULL;
    add = former && former->realize == on_realize ? lunik_type_replace : lunik_type_add;
    bind_check(L, add(rt, &t->type, &err), &err);
    return 0;
}

/* core.ejected(device): removes a device after unplug_request */
int bind_lua_ejected(lua_State *L)
{
    lunik_object *o = bind_object(L, 1);

    if (lunik_device_plug_state(o) != LUNIK_PLUG_REQUESTED)
        bind_fail(L, LUNIK_E_STATE, "device '%s': no unplug has been requested",
                  lunik_object_path(o));
    lunik_device_ejected(o);
    return 0;
}

/* core.refused(device, source, status): ends an unplug_request without removing the device */
int bind_lua_refused(lua_State *L)
{
    lunik_object *o = bind_object(L, 1);

    if (lunik_device_plug_state(o) != LUNIK_PLUG_REQUESTED)
        bind_fail(L, LUNIK_E_STATE, "device '%s': no unplug has been requested",
                  lunik_object_path(o));
    lunik_device_refused(o, bind_u64(L, 2, "refuse: source"), bind_u64(L, 3, "refuse: status"));
    return 0;
}
