/* event.c: calls Lua for events, unhandled exits, interrupt lines, resets and rejected accesses. */
#include <string.h>

#include "bindings.h"

static const char names_key; /* registry: names of events and fields that scripts emit */

/* ---- events --------------------------------------------------------------------------------- */

static void set_field(lua_State *L, const lunik_field *field)
{
    bind_push_name(L, field->name, '-', '_');
    bind_push_value(L, &field->value);
    lua_rawset(L, -3);
}

/* Lua, protected: hooks.event(machine, event). */
static int event_body(lua_State *L)
{
    const lunik_event *event = lua_touserdata(L, 1);

    bind_push_hook(L, "event");
    bind_push_machine(L, event->machine);
    lua_createtable(L, 0, (int)event->count + 4);
    lua_pushstring(L, event->name);
    lua_setfield(L, -2, "name");
    lua_pushvalue(L, -2);
    lua_setfield(L, -2, "machine");
    lua_pushinteger(L, (lua_Integer)event->time_ns);
    lua_setfield(L, -2, "time");
    if (event->vcpu >= 0) {
        lua_pushinteger(L, event->vcpu);
        lua_setfield(L, -2, "vcpu");
    }
    for (size_t i = 0; i < event->count; i++)
        set_field(L, &event->fields[i]);
    lua_call(L, 2, 0);
    return 0;
}

/* A handler may close the machine, so its glue is not counted as busy. */
static void on_event(void *opaque, const lunik_event *event)
{
    struct glue *g = opaque;

    bind_call(g->b, NULL, "the delivery of an event", event_body, (void *)event);
}

/* Returns a copy of the string on top of the stack that is never freed. Pushes nothing. */
static const char *intern(lua_State *L)
{
    const char *name = lua_tostring(L, -1);

    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &names_key) == LUA_TNIL) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushvalue(L, -1);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &names_key);
    }
    if (lua_getfield(L, -1, name) == LUA_TNIL) {
        lua_pushvalue(L, -3);
        lua_setfield(L, -3, name);
        lua_pushvalue(L, -3);
        lua_replace(L, -2);
    }
    name = lua_tostring(L, -1);
    lua_pop(L, 2);
    return name;
}

/* core.emit(machine, name, fields) */
int bind_lua_emit(lua_State *L)
{
    lunik_machine *m = bind_machine(L, 1);
    struct bind_fields fields;
    const char *name;

    bind_string(L, 2, "emit: event");
    bind_fields(L, 3, "emit: fields", &fields);
    if (fields.count > LUNIK_EVENT_FIELDS)
        bind_fail(L, LUNIK_E_INVALID, "emit: fields: %d are too many (want at most %d)",
                  (int)fields.count, LUNIK_EVENT_FIELDS);
    for (size_t i = 0; i < fields.count; i++) {
        if (fields.items[i].value.kind == LUNIK_LIST)
            bind_fail(L, LUNIK_E_INVALID, "emit: %s: a list can't be sent with an event",
                      fields.items[i].name);
        lua_pushstring(L, fields.items[i].name);
        fields.items[i].name = intern(L);
        lua_pop(L, 1);
    }
    lua_pushvalue(L, 2);
    name = intern(L);
    lunik_emit_fields(m, name, fields.items, fields.count);
    return 0;
}

/* ---- exits ---------------------------------------------------------------------------------- */

struct exit_call {
    struct glue *glue;
    lunik_vcpu *vcpu;
    const lunik_vcpu_exit *exit;
    lunik_exit_action action;
};

static void push_exit(lua_State *L, const struct exit_call *call)
{
    const lunik_vcpu_exit *exit = call->exit;

    lua_createtable(L, 0, 9);
    lua_pushliteral(L, "vcpu-exit");
    lua_setfield(L, -2, "name");
    bind_push_machine(L, call->glue->m);
    lua_setfield(L, -2, "machine");
    bind_push_vcpu(L, call->vcpu, call->glue->m);
    lua_setfield(L, -2, "vcpu");
    lua_pushstring(L, exit->reason);
    lua_setfield(L, -2, "reason");
    lua_pushinteger(L, (lua_Integer)exit->kvm_reason);
    lua_setfield(L, -2, "kvm_reason");
    lua_pushinteger(L, (lua_Integer)exit->detail);
    lua_setfield(L, -2, "detail");
    lua_pushinteger(L, (lua_Integer)exit->rip);
    lua_setfield(L, -2, "rip");
    lua_pushlstring(L, (const char *)exit->insn, exit->insn_len);
    lua_setfield(L, -2, "insn");
    lua_pushinteger(L, exit->exception);
    lua_setfield(L, -2, "exception");
}

/* Lua, protected: hooks.exit(machine, event) -> "resume", "pause" or nil. */
static int exit_body(lua_State *L)
{
    struct exit_call *call = lua_touserdata(L, 1);
    const char *action;

    bind_push_hook(L, "exit");
    bind_push_machine(L, call->glue->m);
    push_exit(L, call);
    lua_call(L, 2, 1);
    action = lua_tostring(L, -1);
    if (action && !strcmp(action, "resume"))
        call->action = LUNIK_EXIT_RESUME;
    else if (action && !strcmp(action, "pause"))
        call->action = LUNIK_EXIT_PAUSE;
    return 0;
}

static lunik_exit_action on_exit_unhandled(void *opaque, lunik_vcpu *v, const lunik_vcpu_exit *exit)
{
    struct glue *g = opaque;
    struct exit_call call = {g, v, exit, LUNIK_EXIT_UNHANDLED};

    bind_call(g->b, g, "a vcpu-exit handler", exit_body, &call);
    return call.action;
}

/* ---- lines, resets, rejected accesses ------------------------------------------------------- */

struct irq_call {
    struct glue *glue;
    unsigned gsi;
    bool level;
};

/* Lua, protected: hooks.irq(machine, gsi, level). */
static int irq_body(lua_State *L)
{
    struct irq_call *call = lua_touserdata(L, 1);

    bind_push_hook(L, "irq");
    bind_push_machine(L, call->glue->m);
    lua_pushinteger(L, call->gsi);
    lua_pushboolean(L, call->level);
    lua_call(L, 3, 0);
    return 0;
}

static void on_gsi(void *opaque, unsigned gsi, bool level)
{
    struct glue *g = opaque;
    struct irq_call call = {g, gsi, level};

    bind_call(g->b, g, "an interrupt observer", irq_body, &call);
}

/* Lua, protected: hooks.reset(machine). */
static int reset_body(lua_State *L)
{
    struct glue *g = lua_touserdata(L, 1);

    bind_push_hook(L, "reset");
    bind_push_machine(L, g->m);
    lua_call(L, 1, 0);
    return 0;
}

static void on_reset(void *opaque)
{
    struct glue *g = opaque;

    bind_call(g->b, g, "a reset handler", reset_body, g);
}

struct reject_call {
    struct glue *glue;
    const lunik_rejection *rejection;
};

/* Lua, protected: hooks.rejected(machine, rejection). */
static int reject_body(lua_State *L)
{
    struct reject_call *call = lua_touserdata(L, 1);

    bind_push_hook(L, "rejected");
    bind_push_machine(L, call->glue->m);
    bind_push_rejection(L, call->rejection, call->glue->m);
    lua_call(L, 2, 0);
    return 0;
}

static void on_reject(void *opaque, const lunik_rejection *rejection)
{
    struct glue *g = opaque;
    struct reject_call call = {g, rejection};

    bind_call(g->b, g, "an observer of rejected accesses", reject_body, &call);
}

enum observed { OBSERVE_IRQ, OBSERVE_RESET, OBSERVE_REJECTED };

static void observe(struct glue *g, enum observed kind)
{
    if (kind == OBSERVE_IRQ)
        lunik_gsi_subscribe(g->m, &g->gsi_sub);
    else if (kind == OBSERVE_RESET)
        lunik_reset_subscribe(g->m, &g->reset_sub);
    else
        lunik_reject_subscribe(g->m, &g->reject_sub);
}

static void unobserve(struct glue *g, enum observed kind)
{
    if (kind == OBSERVE_IRQ)
        lunik_gsi_unsubscribe(&g->gsi_sub);
    else if (kind == OBSERVE_RESET)
        lunik_reset_unsubscribe(&g->reset_sub);
    else
        lunik_reject_unsubscribe(&g->reject_sub);
}

/* core.observe(machine, "irq" | "reset" | "rejected", on): subscribes or unsubscribes; these cost
 * time, so they are subscribed only while there is an observer */
int bind_lua_observe(lua_State *L)
{
    static const char *const kinds[] = {"irq", "reset", "rejected", NULL};
    struct glue *g = bind_machine_glue(L, 1);
    enum observed kind = (enum observed)bind_choice(L, 2, "observe: kind", kinds);
    bool on = bind_bool(L, 3, "observe: on");

    unobserve(g, kind);
    if (on)
        observe(g, kind);
    return 0;
}

void bind_event_attach(struct glue *g)
{
    g->event_sub = (lunik_event_sub){.fn = on_event, .opaque = g};
    g->exit_sub = (lunik_exit_sub){.fn = on_exit_unhandled, .opaque = g};
    g->gsi_sub = (lunik_gsi_sub){.fn = on_gsi, .opaque = g};
    g->reset_sub = (lunik_reset_sub){.fn = on_reset, .opaque = g};
    g->reject_sub = (lunik_reject_sub){.fn = on_reject, .opaque = g};
    lunik_event_subscribe(g->m, &g->event_sub);
    lunik_exit_subscribe(g->m, &g->exit_sub);
}

void bind_event_detach(struct glue *g)
{
    lunik_event_unsubscribe(&g->event_sub);
    lunik_exit_unsubscribe(&g->exit_sub);
    for (int kind = OBSERVE_IRQ; kind <= OBSERVE_REJECTED; kind++)
        unobserve(g, (enum observed)kind);
}
