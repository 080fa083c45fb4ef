/*
 * irq.c: sources of interrupt lines that Lua drives.
 *
 * A source that is high stays connected even if the script drops its userdata: collecting a handle
 * must not lower a line.
 */
#include <stdlib.h>

#include "bindings.h"

static const char irq_class[] = "lunik.Irq";

struct irq_source {
    struct glue *glue;
    lunik_irq irq;
    struct irq_source *next, **link;
};

struct irq_box {
    struct irq_source *source; /* NULL: closed */
    lunik_machine *m;
    unsigned gsi;
};

static struct irq_box *check_box(lua_State *L)
{
    struct irq_box *box = luaL_testudata(L, 1, irq_class);

    if (!box)
        bind_wrong_class(L, 1, irq_class);
    return box;
}

static struct irq_source *check_source(lua_State *L)
{
    struct irq_box *box = check_box(L);

    if (lunik_machine_state(box->m) == LUNIK_STATE_CLOSED)
        bind_fail(L, LUNIK_E_GONE, "machine '%s' is closed", lunik_machine_name(box->m));
    if (!box->source)
        bind_fail(L, LUNIK_E_GONE, "this source of GSI %d is closed", (int)box->gsi);
    return box->source;
}

static void source_free(struct irq_source *s)
{
    *s->link = s->next;
    if (s->next)
        s->next->link = s->link;
    lunik_irq_disconnect(&s->irq);
    free(s);
}

/* m:irq(gsi) -> source */
int bind_lua_irq_new(lua_State *L)
{
    struct glue *g = bind_machine_glue(L, 1);
    unsigned gsi = (unsigned)bind_int(L, 2, "irq: gsi", 0, LUNIK_GSI_COUNT - 1);
    struct irq_box *box = lua_newuserdatauv(L, sizeof(*box), 0);
    struct irq_source *s;
    lunik_error err;

    *box = (struct irq_box){.m = g->m, .gsi = gsi};
    lunik_machine_ref(g->m);
    luaL_setmetatable(L, irq_class);
    s = calloc(1, sizeof(*s));
    if (!s)
        return bind_fail(L, LUNIK_E_NO_MEMORY, "irq: out of memory");
    if (lunik_irq_connect(g->m, &s->irq, gsi, &err)) {
        free(s);
        return bind_raise(L, &err);
    }
    s->glue = g;
    s->next = g->irqs;
    s->link = &g->irqs;
    if (s->next)
        s->next->link = &s->next;
    g->irqs = s;
    box->source = s;
    return 1;
}

void bind_irq_release(struct glue *g)
{
    while (g->irqs)
        source_free(g->irqs);
}

/* irq:set(level) */
static int irq_set(lua_State *L)
{
    struct irq_source *s = check_source(L);

    lunik_irq_set(&s->irq, bind_level(L, 2, "set: level"));
    return 0;
}

/* irq:pulse(): high and low again */
static int irq_pulse(lua_State *L)
{
    struct irq_source *s = check_source(L);

    lunik_irq_set(&s->irq, true);
    lunik_irq_set(&s->irq, false);
    return 0;
}

static int irq_close(lua_State *L)
{
    struct irq_box *box = check_box(L);

    if (box->source && lunik_machine_state(box->m) != LUNIK_STATE_CLOSED)
        source_free(box->source);
    box->source = NULL;
    return 0;
}

static int irq_gc(lua_State *L)
{
    struct irq_box *box = lua_touserdata(L, 1);

    if (!box->m)
        return 0;
    if (box->source && lunik_machine_state(box->m) != LUNIK_STATE_CLOSED && !box->source->irq.level)
        source_free(box->source);
    box->source = NULL;
    lunik_machine_unref(box->m);
    box->m = NULL;
    return 0;
}

static int irq_get_gsi(lua_State *L)
{
    lua_pushinteger(L, check_box(L)->gsi);
    return 1;
}

static int irq_get_level(lua_State *L)
{
    lua_pushboolean(L, check_source(L)->irq.level);
    return 1;
}

static int irq_tostring(lua_State *L)
{
    lua_pushfstring(L, "source of GSI %d", (int)check_box(L)->gsi);
    return 1;
}

void bind_irq_open(lua_State *L, int classes)
{
    static const luaL_Reg methods[] = {
        {"set", irq_set},
        {"pulse", irq_pulse},
        {"close", irq_close},
        {0},
    };
    static const luaL_Reg getters[] = {
        {"gsi", irq_get_gsi},
        {"level", irq_get_level},
        {0},
    };
    static const luaL_Reg meta[] = {
        {"__gc", irq_gc},
        {"__close", irq_close},
        {"__tostring", irq_tostring},
        {0},
    };
    static const struct bind_class class = {
        .name = irq_class,
        .methods = methods,
        .getters = getters,
        .meta = meta,
    };

    bind_class_new(L, classes, &class);
}
