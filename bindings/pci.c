/* pci.c: configuration spaces as Lua sees them. */
#include "bindings.h"
#include "lunik_pci.h"

/* Pushes the bytes of a configuration space as the guest reads them. */
static void push_config(lua_State *L, const lunik_pci_function *f)
{
    char bytes[LUNIK_PCI_CONFIG_SIZE];

    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)lunik_pci_config_read(f, i, 1);
    lua_pushlstring(L, bytes, sizeof(bytes));
}

/* Appends {bus=, object=, devfn=, config=} to the table at the top. */
static void push_function(lua_State *L, lunik_object *bus, unsigned devfn,
                          const lunik_pci_function *f)
{
    lua_createtable(L, 0, 4);
    lua_pushstring(L, lunik_object_path(bus));
    lua_setfield(L, -2, "bus");
    bind_push_object(L, f->owner);
    lua_setfield(L, -2, "object");
    lua_pushinteger(L, devfn);
    lua_setfield(L, -2, "devfn");
    push_config(L, f);
    lua_setfield(L, -2, "config");
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
}

/* core.pci_functions(m) -> all functions, bus by bus */
int bind_lua_pci_functions(lua_State *L)
{
    lunik_machine *m = bind_machine(L, 1);

    lua_newtable(L);
    for (lunik_object *o = NULL; (o = lunik_object_next(m, o));) {
        for (unsigned devfn = 0; devfn < 256; devfn++) {
            const lunik_pci_function *f = lunik_pci_bus_function(o, devfn);

            if (f)
                push_function(L, o, devfn, f);
        }
    }
    return 1;
}
