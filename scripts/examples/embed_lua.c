/*
 * embed_lua.c: a C program whose machine is built by a board script.
 *
 *   cc embed_lua.c $(pkg-config --cflags --libs lunik-lua) && ./a.out
 *
 * The program adds a DIMM to the machine; the event is delivered to the script and to the program.
 */
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lunik_lua.h>

static const char script[] =
    "local lunik = ...\n"
    "local m = lunik.machine { board = 'pc', accel = 'none', memory = '64M', maxmem = '1G',\n"
    "                          slots = 2, serial = 'buffer' }\n"
    "m:on('device-added', function(ev)\n"
    "  if ev.device == 'dimm1' then print('Lua: added ' .. ev.device) end\n"
    "end)\n"
    "return m\n";

static void check(int rc, const char *message)
{
    if (!rc)
        return;
    fprintf(stderr, "embed_lua: %s\n", message);
    exit(1);
}

static void on_event(void *opaque, const lunik_event *event)
{
    if (!strcmp(event->name, "device-added") && !strcmp(event->fields[0].value.string, "dimm1"))
        printf("C: added %s\n", event->fields[0].value.string);
}

static lunik_machine *make_board(lua_State *L, lunik_runtime *rt)
{
    lunik_machine *m;
    lunik_error err;

    check(luaL_loadstring(L, script), "the script can't be compiled");
    check(lunik_lua_open(L, rt, &err), err.message);
    if (lua_pcall(L, 1, 1, 0) != LUA_OK)
        check(1, luaL_tolstring(L, -1, NULL));
    m = lunik_lua_machine(L, -1);
    check(!m, "the script has returned no machine");
    return m;
}

static void add_dimm(lunik_machine *m)
{
    const lunik_field memory[] = {
        LUNIK_FIELD_STRING("id", "memory1"),
        LUNIK_FIELD_UINT("size", 128 << 20),
    };
    const lunik_field dimm[] = {
        LUNIK_FIELD_STRING("id", "dimm1"),
        LUNIK_FIELD_STRING("memdev", "memory1"),
    };
    lunik_error err;

    check(lunik_object_add(m, "memory-backend-ram", memory, 2, NULL, &err), err.message);
    check(lunik_device_add(m, "pc-dimm", dimm, 2, NULL, &err), err.message);
}

int main(void)
{
    lunik_event_sub events = {.fn = on_event};
    lua_State *L = luaL_newstate();
    lunik_runtime *rt;
    lunik_machine *m;
    lunik_error err;

    luaL_openlibs(L);
    check(lunik_runtime_new(lunik_builtin_types(), &rt, &err), err.message);
    m = make_board(L, rt);
    lunik_event_subscribe(m, &events);
    add_dimm(m);
    lunik_deliver_events(rt);
    check(lunik_lua_push_machine(L, m, &err), err.message);
    printf("the same machine: %s\n", lua_rawequal(L, -1, -2) ? "yes" : "no");
    lunik_machine_close(m);
    lua_close(L);
    return lunik_runtime_free(rt);
}
