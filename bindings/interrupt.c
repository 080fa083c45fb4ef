/*
 * interrupt.c: interrupts Lua code that runs for ever.
 *
 * DESIGN. A hook belongs to one Lua thread (coroutine), and Lua does not say which of them runs.
 * So each entry into another Lua thread, by a call from the runtime or by a resumption, puts a
 * frame on a list of its thread of the process. A signal handler on that thread sets hooks in all
 * frames, and frames pushed later get one, until the interrupt has been handled.
 *
 * The interrupt is handled where the script itself runs, below all calls from the runtime. A
 * handler that runs above that has to end first: it gets time to return, then an error is raised in
 * it, in code that is not the library's; it gets time to clean up, then every further instruction
 * raises an error.
 */
#include <stdatomic.h>

#include "bindings.h"

enum { GRACE_NS = 100 * 1000 * 1000 };

static __thread struct bind_frame *volatile top;

/* A signal handler has no argument of its own: there is one command in a process. */
static _Atomic(bind_interrupt_fn *) wanted;
static _Atomic uint64_t due; /* the time from which errors are raised in handlers */
static _Atomic bool raised;  /* one has been raised */

/* ---- hooks ---------------------------------------------------------------------------------- */

static void interrupt_handler(lua_State *L, lua_Debug *ar)
{
    uint64_t now = uv_hrtime();

    if (now < atomic_load(&due) || !lua_getinfo(L, "Sl", ar) || bind_in_library(L, ar))
        return;
    if (!atomic_exchange(&raised, true))
        atomic_store(&due, now + GRACE_NS);
    lua_pushfstring(L, "%s:%d: interrupted!", ar->short_src, ar->currentline);
    lua_error(L);
}

static void on_hook(lua_State *L, lua_Debug *ar)
{
    bind_interrupt_fn *fn = atomic_load(&wanted);

    if (fn && top && top->handler) {
        interrupt_handler(L, ar);
        return;
    }
    lua_sethook(L, NULL, 0, 0);
    if (!fn)
        return; /* it was handled before this Lua thread ran again */
    atomic_store(&wanted, NULL);
    fn(L);
}

static void set_hook(const struct bind_frame *f)
{
    int mask =
        f->handler ? LUA_MASKCOUNT : LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT;

    lua_sethook(f->L, on_hook, mask, 1);
}

void bind_interrupt_here(void)
{
    if (!atomic_load(&wanted))
        return;
    for (const struct bind_frame *f = top; f; f = f->below)
        set_hook(f);
}

void bind_interrupt(bind_interrupt_fn *fn)
{
    atomic_store(&due, uv_hrtime() + GRACE_NS);
    atomic_store(&raised, false);
    atomic_store(&wanted, fn);
    bind_interrupt_here();
}

/* ---- frames --------------------------------------------------------------------------------- */

void bind_frame_push(struct bind_frame *f, lua_State *L, bool handler)
{
    f->L = L;
    f->below = top;
    f->handler = handler || (top && top->handler);
    atomic_signal_fence(memory_order_release); /* signal handlers must see f complete */
    top = f;
    if (atomic_load_explicit(&wanted, memory_order_relaxed))
        set_hook(f);
}

void bind_frame_pop(const struct bind_frame *f)
{
    top = f->below;
}

/* ---- coroutines ----------------------------------------------------------------------------- */

static lua_State *coroutine_at(lua_State *L, int index)
{
    lua_State *co = lua_tothread(L, index);

    luaL_argexpected(L, co, index, "coroutine");
    return co;
}

/* Resumes co with the `count` values on top of L's stack. Pushes its results and returns how many
 * there are; if it raises an error, pushes that and returns -1. */
static int resume_with(lua_State *L, lua_State *co, int count)
{
    struct bind_frame frame;
    int status, results;

    if (!lua_checkstack(co, count)) {
        lua_pushliteral(L, "too many arguments to resume");
        return -1;
    }
    lua_xmove(L, co, count);
    bind_frame_push(&frame, co, false);
    status = lua_resume(co, L, count, &results);
    bind_frame_pop(&frame);
    if (status != LUA_OK && status != LUA_YIELD) {
        lua_xmove(co, L, 1);
        return -1;
    }
    if (!lua_checkstack(L, results + 1)) {
        lua_pop(co, results);
        lua_pushliteral(L, "too many results to resume");
        return -1;
    }
    lua_xmove(co, L, results);
    return results;
}

/* coroutine.resume(co, ...) */
static int resume(lua_State *L)
{
    int results = resume_with(L, coroutine_at(L, 1), lua_gettop(L) - 1);

    lua_pushboolean(L, results >= 0);
    if (results < 0)
        results = 1;
    lua_insert(L, -(results + 1));
    return results + 1;
}

/* Closes co's to-be-closed variables. Unless it returns LUA_OK, the error that co or a variable's
 * __close raised is on co's stack. */
static int reset(lua_State *co)
{
    struct bind_frame frame;
    int status;

    bind_frame_push(&frame, co, false);
    status = lua_resetthread(co);
    bind_frame_pop(&frame);
    return status;
}

/* The function that coroutine.wrap() returns. Upvalue: the coroutine. */
static int call_wrapped(lua_State *L)
{
    lua_State *co = lua_tothread(L, lua_upvalueindex(1));
    int results = resume_with(L, co, lua_gettop(L)), status;

    if (results >= 0)
        return results;
    status = lua_status(co);
    if (status != LUA_OK && status != LUA_YIELD) {
        status = reset(co);
        lua_xmove(co, L, 1);
    }
    if (status != LUA_ERRMEM && lua_type(L, -1) == LUA_TSTRING) {
        luaL_where(L, 1);
        lua_insert(L, -2);
        lua_concat(L, 2);
    }
    return lua_error(L);
}

/* coroutine.wrap(fn) */
static int wrap(lua_State *L)
{
    lua_State *co;

    luaL_checktype(L, 1, LUA_TFUNCTION);
    co = lua_newthread(L);
    lua_pushvalue(L, 1);
    lua_xmove(L, co, 1);
    lua_pushcclosure(L, call_wrapped, 1);
    return 1;
}

/* coroutine.close(co) */
static int close_coroutine(lua_State *L)
{
    lua_State *co = coroutine_at(L, 1);
    lua_Debug ar;

    if (co == L)
        return luaL_error(L, "cannot close a running coroutine");
    if (lua_status(co) == LUA_OK && lua_getstack(co, 0, &ar))
        return luaL_error(L, "cannot close a normal coroutine");
    if (reset(co) == LUA_OK) {
        lua_pushboolean(L, true);
        return 1;
    }
    lua_pushboolean(L, false);
    lua_xmove(co, L, 1);
    return 2;
}

void bind_track_coroutines(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"resume", resume}, {"wrap", wrap}, {"close", close_coroutine}, {0}};

    lua_getglobal(L, LUA_COLIBNAME);
    luaL_setfuncs(L, functions, 0);
    lua_pop(L, 1);
}
