/*
 * embed_lua.c: a C program whose machine is built by a board.
 *
 *   cc embed_lua.c $(pkg-config --cflags --libs lunik-lua) && ./a.out
 *
 * What you should see: the board in Lua makes the machine and a guest (a script as well, so that
 * KVM is not needed); the C program plugs a DIMM and runs the loop; the guest's answer is delivered
 * to the C program and to the script.
 */
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lunik_lua.h>

/* Gets the library's table, returns the machine. More often this is a file: luaL_loadfile(). */
static const char script[] =
    "local lunik = ...\n"
    "local m = lunik.machine {\n"
    "  board = 'pc', accel = 'none', memory = '64M', maxmem = '1G', slots = 2,\n"
    "}\n"
    "require('lunik.guest').attach(m)\n"
    "m:on('acpi-ost', function(ev)\n"
    "  print(('Lua: the guest answers for %s: status %d'):format(ev.device, ev.status))\n"
    "end)\n"
    "return m\n";

static void check(int rc, const char *message)
{
    if (!rc)
        return;
    fprintf(stderr, "embed_lua: %s\n", message);
    exit(1);
}

/* Events are delivered to every subscriber; this one ends the program's loop. */
static void on_event(void *opaque, const lunik_event *event)
{
    lunik_runtime *rt = opaque;

    if (strcmp(event->name, "acpi-ost"))
        return;
    printf("C: the guest has answered\n");
    lunik_stop(rt);
}

/* Returns the machine that the script makes; it stays on the stack, which keeps its handle. */
static lunik_machine *make_machine(lua_State *L, lunik_runtime *rt)
{
    lunik_machine *m;
    lunik_error err;

    check(luaL_loadstring(L, script), "the script can't be compiled");
    check(lunik_lua_open(L, rt, &err), err.message); /* pushes the library's table */
    if (lua_pcall(L, 1, 1, 0) != LUA_OK)
        check(1, luaL_tolstring(L, -1, NULL));
    m = lunik_lua_machine(L, -1);
    check(!m, "the script has returned no machine");
    return m;
}

static void plug_dimm(lunik_machine *m)
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
    m = make_machine(L, rt);
    events.opaque = rt;
    lunik_event_subscribe(m, &events);
    check(lunik_machine_start(m, &err), err.message);
    plug_dimm(m);
    lunik_run(rt, LUNIK_RUN_DEFAULT);
    lunik_machine_close(m);
    lua_close(L); /* before the runtime that it uses */
    return lunik_runtime_free(rt);
}
