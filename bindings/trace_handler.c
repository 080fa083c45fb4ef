/* trace_handler.c: the calls of event handlers as steps of their machine. */
#include "bindings.h"
#include "lunik_trace.h"

static const char span_class[] = "lunik.Span";

static int close_span(lua_State *L)
{
    lunik_span *span = luaL_checkudata(L, 1, span_class);
    lunik_error err;

    if (!span->machine)
        return 0;
    if (lua_istable(L, 2) && lua_rawgeti(L, 2, 1) != LUA_TNIL)
        lua_replace(L, 2); /* a message handler has added a traceback */
    lua_settop(L, 2);
    if (lua_isnoneornil(L, 2))
        lunik_trace_end(span, 0, NULL, NULL, 0);
    else
        lunik_trace_end(span, bind_error_from(L, 2, &err), &err, NULL, 0);
    return 0;
}

/* Pushes a span that ends when the calling function does, also by an error: the traceback of that
 * is of the place where it is raised. */
static lunik_span *push_span(lua_State *L)
{
    lunik_span *span = lua_newuserdatauv(L, sizeof(*span), 0);

    span->machine = NULL;
    luaL_setmetatable(L, span_class);
    lua_toclose(L, -1);
    return span;
}

/* Begins the step of a handler, unless it is a function of the library. Pushes its span. */
static void begin_handler(lua_State *L, lunik_machine *m, const char *event, const char *device)
{
    lunik_span *span = push_span(L);
    lunik_field fields[2] = {LUNIK_FIELD_STRING("event", event)};
    lua_Debug ar;

    lua_pushvalue(L, 4);
    lua_getinfo(L, ">S", &ar);
    if (bind_in_library(L, &ar))
        return;
    fields[1] = LUNIK_FIELD_UINT("line", (uint64_t)ar.linedefined);
    lunik_trace_begin(m, span,
                      &(const lunik_step){.kind = "handler",
                                          .name = ar.short_src,
                                          .device = device,
                                          .fields = fields,
                                          .count = 2});
}

/* core.trace_handler(machine, event, device, fn, ...): calls fn(...) as a step of the machine */
int bind_lua_trace_handler(lua_State *L)
{
    lunik_machine *m = bind_machine(L, 1);
    int top = lua_gettop(L);

    begin_handler(L, m, bind_string(L, 2, "handler: event"),
                  bind_opt_string(L, 3, "handler: device", NULL));
    for (int i = 4; i <= top; i++)
        lua_pushvalue(L, i);
    lua_call(L, top - 4, 1);
    return 1;
}

/* Pushes nothing. */
void bind_trace_handler_open(lua_State *L)
{
    luaL_newmetatable(L, span_class);
    lua_pushcfunction(L, close_span);
    lua_setfield(L, -2, "__close");
    lua_pop(L, 1);
}
