/* test_lua_state.c: what is saved of devices that scripts define, in one machine and another. */
#include <stdlib.h>

#include "bindings/bindings.h"
#include "bindings/lunik_lua.h"
#include "check.h"
#include "lunik_state.h"

static lunik_error err;
static lua_State *L;

static void run(const char *script)
{
    if (luaL_dostring(L, script))
        printf("not ok script: %s\n", luaL_tolstring(L, -1, NULL)), check_failures++;
    lua_settop(L, 0);
}

/* Makes a machine, which is that global, with an edu in Lua. */
static lunik_machine *machine(const char *name)
{
    lunik_machine *m;

    lua_pushstring(L, name);
    lua_setglobal(L, "name");
    run("_G[name] = lunik.machine { accel = 'none', memory = '16M', clock = 'manual', name = name }"
        "_G[name]:device_add('edu-lua', { id = 'edu', bus = 'i440fx', addr = '5' })");
    lua_getglobal(L, name);
    m = bind_machine(L, -1);
    lua_pop(L, 1);
    return m;
}

static void test_edu(void)
{
    lunik_machine *from = machine("from"), *to = machine("to");
    lunik_object *source = lunik_object_find(from, "edu"), *target = lunik_object_find(to, "edu");
    lunik_state_buffer buffer = {0};

    run("from:start()"
        "local function config(offset, value)"
        "  from:outl(0xcf8, 0x80000000 | 5 << 11 | offset) from:outl(0xcfc, value)"
        "end "
        "config(0x10, 0xe7000000) config(4, 6)"
        "from:store(0xe7000004, 4, 1) from:store(0xe7000060, 4, 0x30)"
        "from:store(0xe7000008, 4, 5) from:object('edu').dev.state.buffer = ('ab'):rep(2048)"
        "from:pause()");
    check_uint("saved", (uint64_t)lunik_object_save(source, &buffer, &err), 0);
    check_uint("loaded", (uint64_t)lunik_object_load(target, buffer.data, buffer.size, &err), 0);
    run("local s = to:object('edu').dev.state "
        "assert(s.liveness == 0xfffffffe and s.irq_status == 0x30 and s.factorial == 5) "
        "assert(s.buffer == ('ab'):rep(2048) and s.compute == to:clock() + 10000)"
        "assert(to:load(0xe7000004, 4) == 0xfffffffe)"
        "assert(to:pci()[4].status & 8 == 8)");
    for (size_t i = 0; i < buffer.size; i += 97) {
        uint8_t kept = buffer.data[i];

        buffer.data[i] ^= 0x55;
        lunik_object_load(target, buffer.data, buffer.size, &err);
        buffer.data[i] = kept;
        check_true("a short one is refused",
                   lunik_object_load(target, buffer.data, i, &err) == LUNIK_E_INVALID);
    }
    lunik_state_buffer_free(&buffer);
}

static void test_none(void)
{
    lunik_machine *m = machine("other");
    lunik_state_buffer buffer = {0};

    run("lunik.device { name = 'unsaved', pci = { vendor = 1, device = 2 } }"
        "other:device_add('unsaved', { id = 'u', bus = 'i440fx' })");
    check_int("a type that says nothing can't be saved",
              lunik_object_save(lunik_object_find(m, "u"), &buffer, &err), LUNIK_E_UNSUPPORTED);
    lunik_state_buffer_free(&buffer);
}

static void test_loaded(void)
{
    lunik_machine *m = machine("third");
    lunik_state_buffer buffer = {0};
    lunik_object *o;

    run("lunik.device { name = 'told', state = { n = {} },"
        "  loaded = function(dev) seen = dev.state.n end }"
        "third:device_add('told', { id = 't' }).dev.state.n = 42");
    o = lunik_object_find(m, "t");
    check_uint("saved", (uint64_t)lunik_object_save(o, &buffer, &err), 0);
    run("third:object('t').dev.state.n = 1");
    check_uint("loaded", (uint64_t)lunik_object_load(o, buffer.data, buffer.size, &err), 0);
    run("assert(seen == 42)");
    lunik_state_buffer_free(&buffer);
}

int main(void)
{
    lunik_runtime *rt = NULL;

    if (lunik_runtime_new(lunik_builtin_types(), &rt, &err))
        printf("# %s\n", err.message);
    L = luaL_newstate();
    luaL_openlibs(L);
    if (lunik_lua_open(L, rt, &err))
        printf("# %s\n", err.message);
    lua_setglobal(L, "lunik");
    run("assert(loadfile 'scripts/examples/edu.lua')('define')");
    test_edu();
    test_none();
    test_loaded();
    run("from:close() to:close() other:close() third:close()");
    lua_close(L);
    while (lunik_runtime_free(rt) == LUNIK_E_BUSY)
        lunik_run_timeout(rt, 0);
    return check_result();
}
