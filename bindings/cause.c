/* cause.c: causes of changes of the memory map: pushes them to Lua, and adds the lines of scripts.
 */
#include <stdlib.h>
#include <string.h>

#include "bindings.h"

void bind_script_begin(lua_State *L, struct bind_script *s)
{
    bool found = bind_where(L, &s->where);

    s->cause = (lunik_cause){.action = "script", .vcpu = -1};
    if (found) {
        s->cause.name = s->where.short_src;
        s->cause.line = s->where.currentline;
    }
    lunik_cause_push(&s->cause);
    if (!found && s->cause.by) /* an action of the library itself is its caller's */
        lunik_cause_pop(&s->cause);
}

int bind_script_end(lua_State *L, struct bind_script *s, int rc, const lunik_error *err)
{
    lunik_cause_pop(&s->cause);
    bind_check(L, rc, err);
    return 0;
}

static void set_text(lua_State *L, const char *name, const char *value)
{
    lua_pushstring(L, value);
    lua_setfield(L, -2, name);
}

static void set_number(lua_State *L, const char *name, uint64_t value)
{
    lua_pushinteger(L, (lua_Integer)value);
    lua_setfield(L, -2, name);
}

static bool is_access(const lunik_cause *c)
{
    return !strcmp(c->action, "read") || !strcmp(c->action, "write");
}

/* Lua, protected: the text at 1 as a string. */
static int text_body(lua_State *L)
{
    lua_pushstring(L, lua_touserdata(L, 1));
    return 1;
}

/* Pushes and frees the text. If there was no memory for it (NULL), pushes the action alone: a
 * listener must not miss a change. */
static void push_line(lua_State *L, char *text, const char *action)
{
    int rc;

    if (!text) {
        lua_pushstring(L, action);
        return;
    }
    lua_pushcfunction(L, text_body);
    lua_pushlightuserdata(L, text);
    rc = lua_pcall(L, 1, 1, 0);
    free(text);
    if (rc != LUA_OK)
        lua_error(L);
}

static void push_chain(lua_State *L, const lunik_cause *c)
{
    char *text = NULL;

    luaL_checkstack(L, 6, NULL);
    if (!c) {
        lua_pushnil(L);
        return;
    }
    lua_createtable(L, 0, 12);
    lunik_cause_text(c, &text);
    push_line(L, text, c->action);
    lua_setfield(L, -2, "text");
    set_text(L, "action", c->action);
    if (c->line) {
        lua_pushfstring(L, "%s:%d", c->name, c->line);
        lua_setfield(L, -2, "name");
    } else {
        set_text(L, "name", c->name);
    }
    set_text(L, "detail", c->detail);
    if (is_access(c)) {
        set_number(L, "address", c->address);
        set_number(L, "size", c->size);
    }
    if (!strcmp(c->action, "write") && c->size <= sizeof(c->value))
        set_number(L, "value", c->value);
    if (c->vcpu >= 0)
        set_number(L, "vcpu", (uint64_t)c->vcpu);
    push_chain(L, c->by); /* a few levels at most */
    lua_setfield(L, -2, "by");
}

/* Lua, protected: the cause at 1 as a table. */
static int cause_body(lua_State *L)
{
    push_chain(L, lua_touserdata(L, 1));
    return 1;
}

/* Copies the cause first: a finalizer that runs meanwhile may change the memory map and free it.
 * Without memory for a copy pushes nil. */
void bind_push_cause(lua_State *L, const lunik_cause *c)
{
    lunik_cause *copy = NULL;
    int rc;

    luaL_checkstack(L, 2, NULL);
    if (c)
        copy = lunik_cause_copy(c);
    lua_pushcfunction(L, cause_body);
    lua_pushlightuserdata(L, copy);
    rc = lua_pcall(L, 1, 1, 0);
    free(copy);
    if (rc != LUA_OK)
        lua_error(L);
}

void bind_push_rejection(lua_State *L, const lunik_rejection *r, lunik_machine *m)
{
    char *text = NULL;

    bind_push_cause(L, &r->access);
    lunik_rejection_text(r, &text);
    push_line(L, text, r->access.action);
    lua_setfield(L, -2, "text");
    bind_push_space(L, r->space, m);
    lua_setfield(L, -2, "space");
    if (r->region) {
        bind_push_region(L, r->region, m);
        lua_setfield(L, -2, "region");
        set_number(L, "offset", r->offset);
    }
    set_text(L, "why", lunik_reject_name(r->why));
    set_text(L, "code",
             lunik_error_name(r->result == LUNIK_ACCESS_DEVICE ? LUNIK_E_DEVICE : LUNIK_E_ACCESS));
}

/* space:why(address) -> cause or nil */
int bind_lua_why(lua_State *L)
{
    lunik_space *s = bind_check_open(L, 1, "lunik.Space")->ptr;

    bind_push_cause(L, lunik_space_why(s, bind_address(L, 2, "why: address")));
    return 1;
}
