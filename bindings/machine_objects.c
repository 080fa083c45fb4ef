/* machine_objects.c: a machine's objects, vCPUs and transactions. */
#include "bindings.h"

/* ---- objects -------------------------------------------------------------------------------- */

typedef int add_fn(lunik_machine *m, const char *type, const lunik_field *props, size_t count,
                   lunik_object **out, lunik_error *err);

static int add(lua_State *L, add_fn *fn, const char *what)
{
    lunik_machine *m = bind_machine(L, 1);
    const char *type = bind_string(L, 2, what);
    struct bind_fields fields;
    lunik_object *o = NULL;
    struct bind_script script;
    lunik_error err;

    bind_fields(L, 3, type, &fields);
    bind_script_begin(L, &script);
    bind_script_end(L, &script, fn(m, type, fields.items, fields.count, &o, &err), &err);
    bind_push_object(L, o);
    return 1;
}

/* Calls hooks.chardev(object) for a new character device. */
static void notify_chardev(lua_State *L)
{
    if (!lunik_chardev_tap_iface(bind_object(L, -1)))
        return;
    bind_push_hook(L, "chardev");
    lua_pushvalue(L, -2);
    lua_call(L, 1, 0);
}

static int machine_object_add(lua_State *L)
{
    add(L, lunik_object_add, "object_add: type");
    notify_chardev(L);
    return 1;
}

static int machine_device_add(lua_State *L)
{
    return add(L, lunik_device_add, "device_add: driver");
}

/* Returns the id or path at index, or that of the object there. */
static const char *id_arg(lua_State *L, int index, const char *what)
{
    const lunik_object *o;

    if (!luaL_testudata(L, index, "lunik.Object"))
        return bind_id(L, index, what);
    o = bind_object(L, index);
    return *lunik_object_id(o) ? lunik_object_id(o) : lunik_object_path(o);
}

static int machine_object_del(lua_State *L)
{
    lunik_machine *m = bind_machine(L, 1);
    const char *id = id_arg(L, 2, "object_del: object");
    struct bind_script script;
    lunik_error err;

    bind_script_begin(L, &script);
    return bind_script_end(L, &script, lunik_object_del(m, id, &err), &err);
}

/* core.device_del(machine, id), for m:device_del() in the Lua half */
int bind_lua_device_del(lua_State *L)
{
    lunik_machine *m = bind_machine(L, 1);
    const char *id = id_arg(L, 2, "device_del: device");
    struct bind_script script;
    lunik_error err;

    bind_script_begin(L, &script);
    return bind_script_end(L, &script, lunik_device_del(m, id, &err), &err);
}

/* m:object(id) -> object or nil */
static int machine_object(lua_State *L)
{
    lunik_machine *m = bind_machine(L, 1);

    bind_push_object(L, lunik_object_find(m, bind_string(L, 2, "object: id")));
    return 1;
}

static int machine_objects(lua_State *L)
{
    lunik_machine *m = bind_machine(L, 1);
    lua_Integer count = 0;

    lua_newtable(L);
    for (lunik_object *o = NULL; (o = lunik_object_next(m, o));) {
        bind_push_object(L, o);
        lua_rawseti(L, -2, ++count);
    }
    return 1;
}

/* m:transaction(fn, ...): all changes made by fn take effect together, or none does */
static int machine_transaction(lua_State *L)
{
    struct glue *g = bind_machine_glue(L, 1);
    struct bind_script script;
    lunik_error err;
    bool on_loop, raised;
    int rc;

    bind_function(L, 2, "transaction: function");
    if (lunik_in_listener(g->m))
        bind_fail(L, LUNIK_E_STATE, "a listener of the memory map can't open a transaction");
    on_loop = lunik_on_loop_thread(g->b->rt);
    bind_script_begin(L, &script);
    lunik_transaction_begin(g->m);
    g->b->transactions += on_loop;
    raised = lua_pcall(L, lua_gettop(L) - 2, LUA_MULTRET, 0) != LUA_OK;
    g->b->transactions -= on_loop;
    rc = 0;
    if (raised)
        lunik_transaction_abort(g->m);
    else
        rc = lunik_transaction_commit(g->m, &err);
    lunik_cause_pop(&script.cause);
    if (!lunik_in_transaction(g->m))
        bind_region_settle(L, g->m);
    if (raised)
        return lua_error(L);
    bind_check(L, rc, &err);
    return lua_gettop(L) - 1;
}

/* ---- vCPUs ---------------------------------------------------------------------------------- */

static int machine_cpus(lua_State *L)
{
    lunik_machine *m = bind_machine(L, 1);
    unsigned count = lunik_vcpu_count(m);
    lua_Integer n = 0;

    lua_createtable(L, (int)count, 0);
    for (unsigned i = 0; i < count; i++) {
        lunik_vcpu *v = lunik_vcpu_get(m, i);

        if (!v)
            continue;
        bind_push_vcpu(L, v, m);
        lua_rawseti(L, -2, ++n);
    }
    return 1;
}

/* m:cpu(index), from 0 */
static int machine_cpu(lua_State *L)
{
    lunik_machine *m = bind_machine(L, 1);
    lua_Integer count = lunik_vcpu_count(m);
    lunik_vcpu *v;
    unsigned index;

    if (!count)
        bind_fail(L, LUNIK_E_UNSUPPORTED, "machine '%s' has no vCPUs (accel is none)",
                  lunik_machine_name(m));
    index = (unsigned)bind_int(L, 2, "cpu: index", 0, count - 1);
    v = lunik_vcpu_get(m, index);
    if (!v)
        bind_fail(L, LUNIK_E_NOT_FOUND, "cpu: machine '%s' has no vCPU %d: it is not plugged",
                  lunik_machine_name(m), (int)index);
    bind_push_vcpu(L, v, m);
    return 1;
}

const luaL_Reg bind_machine_object_methods[] = {
    {"object_add", machine_object_add},
    {"object_del", machine_object_del},
    {"device_add", machine_device_add},
    {"object", machine_object},
    {"objects", machine_objects},
    {"transaction", machine_transaction},
    {"cpus", machine_cpus},
    {"cpu", machine_cpu},
    {0},
};
