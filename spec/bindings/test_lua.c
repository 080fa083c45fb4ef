/* test_lua.c: a C program with a Lua state (lunik_lua.h): what it may do wrong, and machines that
 * it closes while a script waits for them. */
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>

#include "bindings/bindings.h"
#include "bindings/lunik_lua.h"
#include "check.h"

static lunik_error err;
static char said[256]; /* the last sentence about a misuse */

static void on_misuse(const char *message)
{
    snprintf(said, sizeof(said), "%s", message);
}

static lunik_runtime *runtime(void)
{
    lunik_runtime *rt = NULL;

    if (lunik_runtime_new(lunik_builtin_types(), &rt, &err))
        printf("# %s\n", err.message);
    return rt;
}

static lunik_machine *machine(lunik_runtime *rt, const char *name)
{
    const lunik_machine_config config = {.name = name, .accel = LUNIK_ACCEL_NONE, .cpus = 1};
    lunik_machine *m = NULL;

    if (lunik_machine_new(rt, &config, &m, &err))
        printf("# %s\n", err.message);
    return m;
}

static lua_State *state(void)
{
    lua_State *L = luaL_newstate();

    luaL_openlibs(L);
    return L;
}

/* A Lua state with the module, which is the global lunik. */
static lua_State *state_of(lunik_runtime *rt)
{
    lua_State *L = state();

    if (lunik_lua_open(L, rt, &err))
        printf("# %s\n", err.message);
    lua_setglobal(L, "lunik");
    return L;
}

/* Makes m the global m. */
static void show(lua_State *L, lunik_machine *m)
{
    if (lunik_lua_push_machine(L, m, &err))
        printf("# %s\n", err.message);
    lua_setglobal(L, "m");
}

static void run(lua_State *L, const char *script)
{
    if (luaL_dostring(L, script))
        printf("not ok script: %s\n", luaL_tolstring(L, -1, NULL)), check_failures++;
    lua_settop(L, 0);
}

static void check_global(const char *what, lua_State *L, const char *name, const char *want)
{
    lua_getglobal(L, name);
    check_string(what, luaL_tolstring(L, -1, NULL), want);
    lua_settop(L, 0);
}

/* ---- opening -------------------------------------------------------------------------------- */

static int refuse(lua_State *L)
{
    return luaL_error(L, "this script can't be loaded");
}

/* An error whose text can't be had. */
static int refuse_oddly(lua_State *L)
{
    luaL_newmetatable(L, "odd");
    lua_pushcfunction(L, refuse);
    lua_setfield(L, -2, "__tostring");
    lua_newtable(L);
    luaL_setmetatable(L, "odd");
    return lua_error(L);
}

static void preload(lua_State *L, const char *name, lua_CFunction loader)
{
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
    lua_pushcfunction(L, loader);
    lua_setfield(L, -2, name);
    lua_pop(L, 1);
}

/* A module that can't be loaded now can be loaded later, with another runtime. */
static void test_load(void)
{
    lunik_runtime *rt = runtime(), *other = runtime();
    lua_State *L = state();

    preload(L, "lunik", refuse);
    check_int("a module that can't be loaded", lunik_lua_open(L, rt, &err), LUNIK_E_SCRIPT);
    check_contains("  why", err.message, "this script can't be loaded");
    preload(L, "lunik", refuse_oddly);
    check_int("  for a reason without a text", lunik_lua_open(L, rt, &err), LUNIK_E_SCRIPT);
    check_contains("  of a kind", err.message, "error object is a table");
    check_int("nothing is pushed", lua_gettop(L), 0);
    lua_pushnil(L);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
    lua_pushnil(L);
    lua_setfield(L, -2, "lunik");
    lua_settop(L, 0);
    check_int("another runtime", lunik_lua_open(L, other, &err), 0);
    check_int("  has the module", lua_type(L, -1), LUA_TTABLE);
    lua_close(L);
    check_int("the first", lunik_runtime_free(rt), 0);
    check_int("the other", lunik_runtime_free(other), 0);
}

static void test_open(void)
{
    lunik_runtime *rt = runtime(), *other = runtime();
    lua_State *L = state_of(rt);

    check_int("a second time", lunik_lua_open(L, rt, &err), 0);
    lua_getglobal(L, "lunik");
    check_true("  the same module", lua_rawequal(L, -1, -2));
    lua_settop(L, 0);
    check_int("with another runtime", lunik_lua_open(L, other, &err), LUNIK_E_STATE);
    check_contains("  why", err.message, "another runtime");
    check_int("nothing is pushed", lua_gettop(L), 0);
    lua_close(L);
    lunik_runtime_free(rt);
    lunik_runtime_free(other);
}

/* ---- machines ------------------------------------------------------------------------------- */

static void test_values(void)
{
    lunik_runtime *rt = runtime();
    lunik_machine *m = machine(rt, "m");
    lua_State *L = state();

    lua_pushinteger(L, 1);
    check_true("before the module is open", !lunik_lua_machine(L, 1));
    check_int("nor can one be pushed", lunik_lua_push_machine(L, m, &err), LUNIK_E_STATE);
    check_contains("  why", err.message, "'m'");
    lunik_lua_open(L, rt, &err);
    lua_setglobal(L, "lunik");
    check_true("a number is no machine", !lunik_lua_machine(L, 1));
    check_true("nor is no value", !lunik_lua_machine(L, 2) && !lunik_lua_machine(L, 100));
    luaL_newmetatable(L, "another");
    lua_newuserdatauv(L, 8, 0);
    luaL_setmetatable(L, "another");
    check_true("nor a userdata of others", !lunik_lua_machine(L, -1));
    show(L, m);
    run(L, "space = m.memory");
    lua_getglobal(L, "space");
    check_true("nor a part of one", !lunik_lua_machine(L, -1));
    lua_getglobal(L, "m");
    check_true("a machine is one", lunik_lua_machine(L, -1) == m);
    lunik_machine_close(m);
    check_true("when it is closed as well", lunik_lua_machine(L, -1) == m);
    check_int("  which can't be pushed", lunik_lua_push_machine(L, m, &err), LUNIK_E_GONE);
    check_contains("  why", err.message, "'m' is closed");
    lua_close(L);
    lunik_runtime_free(rt);
}

static void test_states(void)
{
    lunik_runtime *rt = runtime(), *other = runtime();
    lunik_machine *m = machine(rt, "m"), *foreign = machine(other, "foreign");
    lua_State *first = state_of(rt), *second = state_of(rt);

    check_int("a machine of another runtime", lunik_lua_push_machine(first, foreign, &err),
              LUNIK_E_STATE);
    check_contains("  why", err.message, "'foreign'");
    show(first, m);
    check_int("one that another state knows", lunik_lua_push_machine(second, m, &err),
              LUNIK_E_BUSY);
    check_contains("  why", err.message, "'m'");
    check_int("nothing is pushed", lua_gettop(first) + lua_gettop(second), 0);
    check_int("it is", lunik_machine_state(m), LUNIK_STATE_CREATED);
    lunik_machine_ref(m);
    lua_close(first);
    check_int("closed with its state", lunik_machine_state(m), LUNIK_STATE_CLOSED);
    lunik_machine_unref(m);
    lua_close(second);
    lunik_runtime_free(rt);
    lunik_runtime_free(other);
}

static void test_places(void)
{
    lunik_runtime *rt = runtime(), *other = runtime();
    lunik_machine *m = machine(rt, "m"), *late = machine(other, "late");
    lua_State *L = state();

    lunik_unlock(rt);
    check_int("without the lock nothing is opened", lunik_lua_open(L, rt, &err), LUNIK_E_INVALID);
    check_contains("  why", err.message, "with the lock held");
    lunik_lock(rt);
    lunik_lua_open(L, rt, &err);
    lua_setglobal(L, "lunik");
    lunik_unlock(rt);
    check_int("nor pushed", lunik_lua_push_machine(L, m, &err), LUNIK_E_INVALID);
    lunik_lock(rt);
    lunik_machine_ref(late);
    lunik_runtime_free(other);
    check_int("nor is a machine that has outlived its runtime",
              lunik_lua_push_machine(L, late, &err), LUNIK_E_GONE);
    lunik_machine_unref(late);
    lua_close(L);
    lunik_runtime_free(rt);
}

/* ---- too little memory ---------------------------------------------------------------------- */

static unsigned long allocations = ULONG_MAX; /* that succeed from now on */

static void *allocate(void *unused, void *block, size_t before, size_t size)
{
    if (!size) {
        free(block);
        return NULL;
    }
    if (!block || size > before) {
        if (!allocations)
            return NULL;
        allocations -= allocations != ULONG_MAX;
    }
    return realloc(block, size);
}

static void test_memory_open(void)
{
    enum { STEP = 101 };
    lunik_runtime *rt = runtime();
    unsigned long count = 0, refused = 0;
    int rc;

    do {
        lua_State *L = lua_newstate(allocate, NULL);

        luaL_openlibs(L);
        allocations = count;
        rc = lunik_lua_open(L, rt, &err);
        allocations = ULONG_MAX;
        refused += rc == LUNIK_E_NO_MEMORY && !lua_gettop(L);
        lua_close(L);
        count += STEP;
    } while (rc == LUNIK_E_NO_MEMORY);
    check_int("the module opens in the end", rc, 0);
    check_uint("  and fails for want of memory until then", refused, count / STEP - 1);
    check_int("  the runtime goes", lunik_runtime_free(rt), 0);
}

static void test_memory_push(void)
{
    lunik_runtime *rt = runtime();
    lunik_machine *m = machine(rt, "m");
    lua_State *L = lua_newstate(allocate, NULL), *other = state_of(rt);
    unsigned long count = 0;
    int rc;

    luaL_openlibs(L);
    lunik_lua_open(L, rt, &err);
    lua_settop(L, 0);
    for (rc = LUNIK_E_NO_MEMORY; rc == LUNIK_E_NO_MEMORY; count++) {
        lua_gc(L, LUA_GCCOLLECT);
        allocations = count;
        rc = lunik_lua_push_machine(L, m, &err);
        allocations = ULONG_MAX;
        if (rc && bind_glue(m))
            break;
    }
    check_int("a machine is pushed in the end", rc, 0);
    check_true("  which has failed, and left it without a state", count > 1);
    lua_close(L);
    lua_close(other);
    lunik_runtime_free(rt);
}

/* ---- machines that C closes ----------------------------------------------------------------- */

static const char wait_in_task[] = "task = lunik.spawn(function()\n"
                                   "  local ok, err = pcall(m.wait, m, 'never', { timeout = 5 })\n"
                                   "  result = ok or err.code\n"
                                   "end)";

static void test_task(void)
{
    lunik_runtime *rt = runtime();
    lunik_machine *m = machine(rt, "m");
    lua_State *L = state_of(rt);

    show(L, m);
    run(L, wait_in_task);
    lunik_machine_close(m);
    lunik_run_timeout(rt, 0);
    check_global("a task's wait for a machine that C closes", L, "result", "gone");
    run(L, "weak = setmetatable({ m }, { __mode = 'v' })\n m, task = nil, nil\n"
           "collectgarbage() collectgarbage() kept = #weak");
    check_global("the machine is not kept", L, "kept", "0");
    lua_close(L);
    lunik_runtime_free(rt);
}

static lunik_machine *closing;

static void close_it(lunik_task *task)
{
    lunik_machine_close(closing);
}

static void test_main(void)
{
    lunik_runtime *rt = runtime();
    lunik_machine *other = machine(rt, "other");
    lunik_task task = {.fn = close_it};
    lua_State *L = state_of(rt);

    closing = machine(rt, "m");
    show(L, closing);
    lunik_machine_start(other, &err);
    lunik_defer(rt, &task);
    run(L, "ok, err = pcall(m.wait, m, 'never', { timeout = 5 }) result = ok or err.code");
    check_global("a script's own wait while another machine runs", L, "result", "gone");
    check_contains("  which runs on", lunik_state_name(lunik_machine_state(other)), "running");
    lua_close(L);
    lunik_runtime_free(rt);
}

static void *close_here(void *rt)
{
    lunik_lock(rt);
    lunik_machine_close(closing);
    lunik_unlock(rt);
    return NULL;
}

static void test_thread(void)
{
    lunik_runtime *rt = runtime();
    lunik_machine *other = machine(rt, "other");
    lua_State *L = state_of(rt);
    pthread_t thread;

    closing = machine(rt, "m");
    show(L, closing);
    lunik_machine_start(other, &err);
    run(L, wait_in_task);
    pthread_create(&thread, NULL, close_here, rt);
    run(L, "task:wait()");
    pthread_join(thread, NULL);
    check_global("a task's wait for one that another thread closes", L, "result", "gone");
    lua_close(L);
    lunik_runtime_free(rt);
}

static void close_on_event(void *opaque, const lunik_event *event)
{
    lunik_machine_close(event->machine);
}

/* The program's subscriber is called before the script's handlers. */
static void test_subscriber(void)
{
    lunik_event_sub events = {.fn = close_on_event};
    lunik_runtime *rt = runtime();
    lunik_machine *m = machine(rt, "m");
    lua_State *L = state_of(rt);

    lunik_event_subscribe(m, &events);
    show(L, m);
    run(L, wait_in_task);
    lunik_emit_fields(m, "some", NULL, 0);
    lunik_deliver_events(rt);
    lunik_run_timeout(rt, 0);
    check_global("a wait for one that a subscriber closes", L, "result", "gone");
    lua_close(L);
    lunik_runtime_free(rt);
}

/* ---- the end -------------------------------------------------------------------------------- */

static void test_order(void)
{
    lunik_runtime *rt = runtime();
    lunik_machine *m = machine(rt, "m");
    lua_State *L = state_of(rt);

    show(L, m);
    run(L, wait_in_task);
    said[0] = 0;
    check_int("a runtime that a Lua state uses is not freed", lunik_runtime_free(rt), LUNIK_E_BUSY);
    check_contains("  why", said, "a Lua state");
    check_int("  its machines are as before", lunik_machine_state(m), LUNIK_STATE_CREATED);
    lua_close(L);
    check_int("afterwards it is", lunik_runtime_free(rt), 0);
}

static void test_own(void)
{
    lunik_runtime *rt = runtime();
    lua_State *L = state();
    lunik_machine *m;

    preload(L, "lunik.core", luaopen_lunik_core);
    run(L, "m = require('lunik').machine { accel = 'none' }");
    lua_getglobal(L, "m");
    m = lunik_lua_machine(L, -1);
    check_int("nor is the one that a module has made itself",
              lunik_runtime_free(lunik_machine_runtime(m)), LUNIK_E_BUSY);
    check_int("  which is another runtime", lunik_lua_open(L, rt, &err), LUNIK_E_STATE);
    lua_close(L);
    check_int("a module that has none", lunik_runtime_free(rt), 0);
}

static lua_State *ending;

static void end_state(void *opaque)
{
    lua_State *L = ending;

    ending = NULL;
    if (L)
        lua_close(L);
}

static void end_state_on_event(void *opaque, const lunik_event *event)
{
    end_state(NULL);
}

/* In a callback the machine stays to its end. */
static void test_callbacks(void)
{
    lunik_reset_sub resets = {.fn = end_state};
    lunik_event_sub events = {.fn = end_state_on_event};
    lunik_runtime *rt = runtime();
    lunik_machine *m = machine(rt, "m");

    lunik_machine_ref(m);
    ending = state_of(rt);
    show(ending, m);
    lunik_reset_subscribe(m, &resets);
    check_int("a state closed in a reset", lunik_machine_reset(m, &err), 0);
    lunik_run_timeout(rt, 0);
    check_int("  closes its machine soon after", lunik_machine_state(m), LUNIK_STATE_CLOSED);
    lunik_machine_unref(m);

    m = machine(rt, "m");
    ending = state_of(rt);
    lunik_event_subscribe(m, &events);
    show(ending, m);
    lunik_machine_ref(m);
    lunik_emit_fields(m, "some", NULL, 0);
    lunik_deliver_events(rt);
    check_int("one closed in an event", lunik_machine_state(m), LUNIK_STATE_CLOSED);
    lunik_machine_unref(m);
    check_int("the runtime goes", lunik_runtime_free(rt), 0);
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    lunik_set_misuse_cb(on_misuse);
    test_load();
    test_open();
    test_values();
    test_states();
    test_places();
    test_memory_open();
    test_memory_push();
    test_task();
    test_main();
    test_thread();
    test_subscriber();
    test_order();
    test_own();
    test_callbacks();
    return check_result();
}
