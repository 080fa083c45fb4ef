/* faults.c: the Lua module: what is armed, the count, the points that were seen. */
#include <execinfo.h>
#include <lauxlib.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "faults.h"

enum { POINTS_MAX = 1 << 16 };

static struct {
    _Atomic bool armed;
    bool stay;      /* all calls fail from that point on */
    bool all;       /* on every thread, not only on the one that armed it */
    bool recording; /* keeps the hash of each point */
    enum faults_class class;
    pthread_t thread;
    unsigned long at;
    _Atomic unsigned long count;
    _Atomic bool hit;
    char only[32]; /* the calls that count, "" for all */
    char name[32]; /* of the call that failed, or failed first */
    struct faults_trace trace;
} faults;

static uint64_t hashes[POINTS_MAX];

void faults_trace(struct faults_trace *out)
{
    void *all[96];
    int depth = backtrace(all, sizeof(all) / sizeof(*all));
    unsigned count = 0;
    const char *module;
    uintptr_t offset;

    memset(out, 0, sizeof(*out));
    for (int i = 0; i < depth && count < FAULTS_FRAMES; i++)
        if (faults_under_test((uintptr_t)all[i], &module, &offset))
            out->frames[count++] = (uintptr_t)all[i];
}

static uint64_t hash_of(const struct faults_trace *trace)
{
    uint64_t hash = 14695981039346656037u;

    for (unsigned i = 0; i < FAULTS_FRAMES && trace->frames[i]; i++)
        hash = (hash ^ trace->frames[i]) * 1099511628211u;
    return hash;
}

unsigned long faults_now(void)
{
    return atomic_load(&faults.armed) ? faults.at : 0;
}

static void note(unsigned long n, const char *name)
{
    if (n != faults.at && !(faults.recording && n <= POINTS_MAX))
        return;
    faults_trace(&faults.trace);
    if (faults.recording && n <= POINTS_MAX)
        hashes[n - 1] = hash_of(&faults.trace);
    if (n == faults.at)
        snprintf(faults.name, sizeof(faults.name), "%s", name);
}

bool faults_here(const char *name, enum faults_class class)
{
    unsigned long n;

    if (!atomic_load(&faults.armed) || class != faults.class ||
        (*faults.only && strcmp(name, faults.only)) ||
        (!faults.all && !pthread_equal(faults.thread, pthread_self())))
        return false;
    n = atomic_fetch_add(&faults.count, 1) + 1;
    note(n, name);
    if (n != faults.at && !(faults.stay && n > faults.at))
        return false;
    atomic_store(&faults.hit, true);
    return true;
}

static bool option(lua_State *L, const char *name)
{
    bool value;

    lua_getfield(L, 1, name);
    value = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return value;
}

/* faults.arm{at=, stay=, all=, only=, record=, interrupt=} */
static int arm(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_getfield(L, 1, "only");
    snprintf(faults.only, sizeof(faults.only), "%s", luaL_optstring(L, -1, ""));
    lua_getfield(L, 1, "at");
    faults.at = (unsigned long)luaL_optinteger(L, -1, LUA_MAXINTEGER);
    faults.stay = option(L, "stay");
    faults.all = option(L, "all");
    faults.recording = option(L, "record");
    faults.class = option(L, "interrupt") ? FAULT_INTERRUPTED : FAULT_FAILS;
    faults.thread = pthread_self();
    faults.name[0] = 0;
    atomic_store(&faults.count, 0);
    atomic_store(&faults.hit, false);
    atomic_store(&faults.armed, true);
    return 0;
}

void faults_push_trace(lua_State *L, const struct faults_trace *trace)
{
    lua_newtable(L);
    for (unsigned i = 0; i < FAULTS_FRAMES && trace->frames[i]; i++) {
        const char *module = "?";
        uintptr_t offset = 0;

        faults_under_test(trace->frames[i], &module, &offset);
        lua_pushfstring(L, "%s %p", module, (void *)(offset - 1));
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}

/* faults.disarm() -> how many calls were counted; the name of the one that failed, or nil; trace */
static int disarm(lua_State *L)
{
    atomic_store(&faults.armed, false);
    lua_pushinteger(L, (lua_Integer)atomic_load(&faults.count));
    if (!atomic_load(&faults.hit))
        return 1;
    lua_pushstring(L, faults.name);
    faults_push_trace(L, &faults.trace);
    return 3;
}

/* faults.point(n) -> what tells that point of the last recording from others */
static int point(lua_State *L)
{
    lua_Integer n = luaL_checkinteger(L, 1);

    luaL_argcheck(L, n >= 1 && n <= POINTS_MAX, 1, "no such point");
    lua_pushinteger(L, (lua_Integer)hashes[n - 1]);
    return 1;
}

static int blocks(lua_State *L)
{
    faults_push_blocks(L);
    return 1;
}

static int forget(lua_State *L)
{
    faults_forget_blocks();
    return 0;
}

#pragma GCC visibility push(default)
int luaopen_faults(lua_State *L);
#pragma GCC visibility pop

int luaopen_faults(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"arm", arm},
        {"disarm", disarm},
        {"point", point},
        {"blocks", blocks},
        {"forget", forget},
        {"exits", faults_lua_exits},
        {"storm", faults_lua_storm},
        {"lua_arm", faults_lua_arm},
        {"lua_disarm", faults_lua_disarm},
        {0},
    };
    void *frames[2];

    if (!faults_patch())
        return luaL_error(L, "require \"lunik\" first");
    backtrace(frames, 2); /* loads what it needs */
    luaL_newlib(L, functions);
    return 1;
}
