/*
 * trace.c: what flight recorders are made of: a ring of steps, and handlers as steps.
 *
 * DESIGN. Steps are made in the middle of everything, on any thread that has the machine lock. So
 * they are only copied into a ring of entries of one size, allocated when the recorder is made;
 * where the ring is full the oldest one is lost, and counted. Lua takes the entries out later, on
 * the loop thread: when the script asks for them, when the ring is half full, or soon, if it
 * follows them. The end of a step completes the entry of its beginning if that is the last one,
 * else it is an entry of its own.
 */
#include <stdlib.h>
#include <string.h>

#include "bindings.h"
#include "lunik_trace.h"

static const char ring_class[] = "lunik.StepRing";
static const char rings_key; /* registry: address -> userdata, weak */

enum { TEXT_MAX = 400, CAUSE_MAX = 160, FIELDS_MAX = 2 * LUNIK_STEP_FIELDS };

enum text { TEXT_DEVICE, TEXT_DRIVER, TEXT_NAME, TEXT_WHERE, TEXT_CAUSE, TEXT_MESSAGE, TEXTS };

struct entry_field {
    const char *name;
    lunik_value_kind kind;
    union {
        uint64_t number;
        uint16_t at; /* of a string, in the entry's text */
    };
};

struct entry {
    uint64_t serial, parent, time, duration;
    const char *kind;
    lunik_step_phase phase;
    int vcpu, line;
    unsigned thread;
    bool loop, ended, failed;
    size_t count;
    struct entry_field fields[FIELDS_MAX];
    uint16_t texts[TEXTS]; /* offsets; 0: none */
    uint16_t used;
    char text[TEXT_MAX]; /* begins with a zero byte */
};

struct step_ring {
    lunik_trace_sub sub;
    lunik_task wake;
    struct bindings *b;
    struct glue *glue; /* NULL: it has ended */
    struct step_ring *next;
    struct entry *entries;
    uint64_t capacity, head, tail; /* head and tail count all entries */
    uint64_t dropped;
    uint64_t first_skipped, last_skipped; /* serials; 0: none has been */
    bool follow, woken;
};

/* ---- entries -------------------------------------------------------------------------------- */

/* Keeps as much of a string as there is room for; returns its offset, 0 for NULL. */
static uint16_t keep(struct entry *e, const char *string, size_t most)
{
    size_t room = TEXT_MAX - e->used, size;
    uint16_t at = e->used;

    if (!string || room < 2)
        return 0;
    size = strnlen(string, most < room ? most - 1 : room - 1);
    memcpy(e->text + at, string, size);
    e->text[at + size] = 0;
    e->used = (uint16_t)(at + size + 1);
    return at;
}

static void keep_fields(struct entry *e, const lunik_step *step)
{
    for (size_t i = 0; i < step->count && e->count < FIELDS_MAX; i++) {
        const lunik_field *from = &step->fields[i];
        struct entry_field *to = &e->fields[e->count++];

        to->name = from->name;
        to->kind = from->value.kind;
        if (to->kind == LUNIK_STRING)
            to->at = keep(e, from->value.string, TEXT_MAX);
        else if (to->kind == LUNIK_BOOL)
            to->number = from->value.boolean;
        else
            to->number = from->value.uint;
    }
}

/* Keeps the line of the script that acts, and what led to the step. */
static void keep_cause(struct entry *e, const lunik_cause *c)
{
    const lunik_cause *script = c;
    char text[CAUSE_MAX];

    while (script && !script->line)
        script = script->by;
    if (script) {
        e->texts[TEXT_WHERE] = keep(e, script->name, TEXT_MAX);
        e->line = script->line;
    }
    if (c) {
        lunik_cause_print(c, text, sizeof(text));
        e->texts[TEXT_CAUSE] = keep(e, text, sizeof(text));
    }
}

static void keep_about(struct entry *e, const lunik_step *step)
{
    e->texts[TEXT_DEVICE] = keep(e, step->device, TEXT_MAX);
    e->texts[TEXT_DRIVER] = keep(e, step->driver, TEXT_MAX);
}

static void keep_end(struct entry *e, const lunik_step *step)
{
    e->ended = true;
    e->duration = step->duration_ns;
    if (step->error) {
        e->failed = true;
        e->texts[TEXT_MESSAGE] = keep(e, step->error->message, TEXT_MAX);
    }
    keep_fields(e, step);
}

/* Returns the last entry if it is that of the beginning of a step, else NULL. */
static struct entry *find_begin(const struct step_ring *r, uint64_t serial)
{
    struct entry *e = &r->entries[(r->head - 1) % r->capacity];

    return r->head > r->tail && e->serial == serial && e->phase == LUNIK_STEP_BEGIN ? e : NULL;
}

static struct entry *append(struct step_ring *r, const lunik_step *step)
{
    struct entry *e = &r->entries[r->head++ % r->capacity];

    if (r->head - r->tail > r->capacity) {
        r->tail++;
        r->dropped++;
    }
    memset(e, 0, offsetof(struct entry, text));
    e->text[0] = 0;
    e->used = 1;
    e->serial = step->serial;
    e->parent = step->parent;
    e->phase = step->phase;
    e->kind = step->kind;
    e->time = step->time_ns;
    e->vcpu = step->vcpu;
    e->thread = step->thread;
    e->loop = step->loop;
    return e;
}

static void note(struct step_ring *r, const lunik_step *step)
{
    bool begins = step->phase == LUNIK_STEP_BEGIN || step->phase == LUNIK_STEP_WHOLE;
    struct entry *e = begins ? NULL : find_begin(r, step->serial);

    if (!e)
        e = append(r, step);
    if (step->phase != LUNIK_STEP_END)
        keep_about(e, step);
    if (begins) {
        e->texts[TEXT_NAME] = keep(e, step->name, TEXT_MAX);
        keep_cause(e, step->cause);
    }
    if (step->phase == LUNIK_STEP_BEGIN)
        keep_fields(e, step);
    else if (step->phase != LUNIK_STEP_ABOUT)
        keep_end(e, step);
}

static void on_step(void *opaque, const lunik_step *step)
{
    struct step_ring *r = opaque;

    note(r, step);
    if (!r->woken && (r->follow || r->head - r->tail > r->capacity / 2)) {
        r->woken = true;
        lunik_defer(r->b->rt, &r->wake);
    }
}

/* ---- life cycle ----------------------------------------------------------------------------- */

/* Lua, protected: hooks.recorded(ring). */
static int wake_body(lua_State *L)
{
    bind_push_hook(L, "recorded");
    lua_rawgetp(L, LUA_REGISTRYINDEX, &rings_key);
    if (lua_rawgetp(L, -1, lua_touserdata(L, 1)) == LUA_TNIL || lua_isnil(L, -3))
        return 0;
    lua_remove(L, -2);
    lua_call(L, 1, 0);
    return 0;
}

static void on_wake(lunik_task *task)
{
    struct step_ring *r = lunik_container_of(task, struct step_ring, wake);

    r->woken = false;
    bind_call(r->b, NULL, "a flight recorder", wake_body, r);
}

static void stop(struct step_ring *r)
{
    struct step_ring **link;

    if (!r->glue)
        return;
    lunik_trace_unsubscribe(&r->sub);
    for (link = &r->glue->rings; *link != r;)
        link = &(*link)->next;
    *link = r->next;
    r->glue = NULL;
}

void bind_trace_release(struct glue *g)
{
    while (g->rings)
        stop(g->rings);
}

/* Pushes a new ring without entries. */
static struct step_ring *push_ring(lua_State *L)
{
    struct step_ring *r = lua_newuserdatauv(L, sizeof(*r), 0);

    *r = (struct step_ring){.sub.fn = on_step, .sub.opaque = r, .wake.fn = on_wake};
    luaL_setmetatable(L, ring_class);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &rings_key);
    lua_pushvalue(L, -2);
    lua_rawsetp(L, -2, r);
    lua_pop(L, 1);
    return r;
}

/* core.record(machine, steps, accesses) -> ring: records steps from now on */
int bind_lua_record(lua_State *L)
{
    struct glue *g = bind_machine_glue(L, 1);
    uint64_t capacity = (uint64_t)bind_int(L, 2, "record: steps", 1, 1 << 24);
    bool accesses = bind_bool(L, 3, "record: accesses");
    struct step_ring *r = push_ring(L);

    r->entries = calloc(capacity, sizeof(*r->entries));
    if (!r->entries)
        bind_fail(L, LUNIK_E_NO_MEMORY, "record: steps: out of memory for %d steps", (int)capacity);
    r->b = g->b;
    r->capacity = capacity;
    r->sub.accesses = accesses;
    r->glue = g;
    r->next = g->rings;
    g->rings = r;
    lunik_trace_subscribe(g->m, &r->sub);
    return 1;
}

static struct step_ring *check_ring(lua_State *L)
{
    return luaL_checkudata(L, 1, ring_class);
}

static int ring_gc(lua_State *L)
{
    struct step_ring *r = check_ring(L);

    stop(r);
    if (r->b && r->b->rt)
        lunik_defer_cancel(r->b->rt, &r->wake);
    free(r->entries);
    r->entries = NULL;
    r->head = r->tail = 0;
    return 0;
}

static int ring_stop(lua_State *L)
{
    stop(check_ring(L));
    return 0;
}

/* ring:follow(on): has hooks.recorded called soon after each step */
static int ring_follow(lua_State *L)
{
    check_ring(L)->follow = bind_bool(L, 2, "follow: on");
    return 0;
}

/* ring:dropped() -> how many entries have been lost */
static int ring_dropped(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)check_ring(L)->dropped);
    return 1;
}

/* ---- to Lua --------------------------------------------------------------------------------- */

static void set_number(lua_State *L, const char *name, uint64_t value)
{
    lua_pushinteger(L, (lua_Integer)value);
    lua_setfield(L, -2, name);
}

static void set_text(lua_State *L, const char *name, const struct entry *e, enum text which)
{
    if (!e->texts[which])
        return;
    lua_pushstring(L, e->text + e->texts[which]);
    lua_setfield(L, -2, name);
}

static void push_thread(lua_State *L, const struct entry *e)
{
    if (e->vcpu >= 0)
        lua_pushfstring(L, "vcpu %d", e->vcpu);
    else if (e->loop)
        lua_pushliteral(L, "loop");
    else
        lua_pushfstring(L, "thread %d", (int)e->thread);
}

static void push_fields(lua_State *L, const struct entry *e)
{
    lua_createtable(L, 0, (int)e->count);
    for (size_t i = 0; i < e->count; i++) {
        const struct entry_field *f = &e->fields[i];

        bind_push_name(L, f->name, '-', '_');
        if (f->kind == LUNIK_STRING)
            lua_pushstring(L, f->at ? e->text + f->at : "");
        else if (f->kind == LUNIK_BOOL)
            lua_pushboolean(L, f->number != 0);
        else
            lua_pushinteger(L, (lua_Integer)f->number);
        lua_rawset(L, -3);
    }
}

static void push_where(lua_State *L, const struct entry *e)
{
    if (!e->texts[TEXT_WHERE])
        return;
    lua_pushfstring(L, "%s:%d", e->text + e->texts[TEXT_WHERE], e->line);
    lua_setfield(L, -2, "where");
}

static void push_entry(lua_State *L, const struct entry *e)
{
    static const char *const phases[] = {"whole", "begin", "about", "end"};

    lua_createtable(L, 0, 20);
    lua_pushstring(L, phases[e->phase]);
    lua_setfield(L, -2, "phase");
    lua_pushstring(L, e->kind);
    lua_setfield(L, -2, "kind");
    set_number(L, "serial", e->serial);
    set_number(L, "parent", e->parent);
    set_number(L, "time", e->time);
    if (e->ended && (e->phase != LUNIK_STEP_WHOLE || e->duration))
        set_number(L, "duration", e->duration);
    if (e->vcpu >= 0)
        set_number(L, "vcpu", (uint64_t)e->vcpu);
    push_thread(L, e);
    lua_setfield(L, -2, "thread");
    set_text(L, "device", e, TEXT_DEVICE);
    set_text(L, "driver", e, TEXT_DRIVER);
    set_text(L, "name", e, TEXT_NAME);
    set_text(L, "cause", e, TEXT_CAUSE);
    push_where(L, e);
    if (e->failed) {
        lua_pushstring(L, e->text + e->texts[TEXT_MESSAGE]);
        lua_setfield(L, -2, "failed");
    }
    push_fields(L, e);
    lua_setfield(L, -2, "fields");
}

/* Whether it is an access that is a part of nothing and has no parts: most of the steps of a guest
 * that looks at each of many slots. */
static bool is_lone_access(const struct entry *e)
{
    return !e->parent && e->ended && !strcmp(e->kind, "access");
}

/* Takes lone accesses out; returns whether there were any. They can be found for a while. */
static bool skip(struct step_ring *r)
{
    uint64_t tail = r->tail;

    while (r->tail < r->head && is_lone_access(&r->entries[r->tail % r->capacity])) {
        r->last_skipped = r->entries[r->tail++ % r->capacity].serial;
        if (!r->first_skipped)
            r->first_skipped = r->last_skipped;
    }
    return r->tail > tail;
}

/* ring:take(idle) -> the oldest entry, which is taken out, or nil; with idle, lone accesses before
 * it are skipped, and whether some were is the second value. A copy is pushed: collecting garbage
 * may run finalizers that make steps. */
static int ring_take(lua_State *L)
{
    struct step_ring *r = check_ring(L);
    bool skipped = lua_toboolean(L, 2) && skip(r);
    struct entry e;

    if (r->tail == r->head) {
        lua_pushnil(L);
    } else {
        e = r->entries[r->tail++ % r->capacity];
        push_entry(L, &e);
    }
    lua_pushboolean(L, skipped);
    return 2;
}

/* ring:find(serial) -> the entry of an access that has been skipped, or nil */
static int ring_find(lua_State *L)
{
    enum { MOST = 4096 }; /* entries looked at */
    struct step_ring *r = check_ring(L);
    uint64_t serial = bind_u64(L, 2, "find: serial");
    uint64_t oldest = r->head > r->capacity ? r->head - r->capacity : 0;
    struct entry e;

    if (serial < r->first_skipped || serial > r->last_skipped)
        return 0;
    if (r->tail > MOST && oldest < r->tail - MOST)
        oldest = r->tail - MOST;
    for (uint64_t at = r->tail; at > oldest; at--) {
        if (r->entries[(at - 1) % r->capacity].serial == serial) {
            e = r->entries[(at - 1) % r->capacity];
            push_entry(L, &e);
            return 1;
        }
    }
    return 0;
}

void bind_trace_open(lua_State *L)
{
    static const luaL_Reg methods[] = {
        {"take", ring_take},     {"find", ring_find},       {"stop", ring_stop},
        {"follow", ring_follow}, {"dropped", ring_dropped}, {0},
    };

    luaL_newmetatable(L, ring_class);
    lua_pushcfunction(L, ring_gc);
    lua_setfield(L, -2, "__gc");
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    bind_trace_handler_open(L);
    lua_newtable(L);
    lua_createtable(L, 0, 1);
    lua_pushliteral(L, "v");
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &rings_key);
    lua_pop(L, 1);
}
