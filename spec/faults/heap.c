/* heap.c: require "faults.heap"() tells how many bytes malloc has given out, of all threads, and
 * has it return to the system what it keeps between them: what is resident then is in use. It
 * changes nothing of what is under test. */
#include <lauxlib.h>
#include <malloc.h>

#include "faults.h"

static int in_use(lua_State *L)
{
    struct mallinfo2 info;

    malloc_trim(0);
    info = mallinfo2();
    lua_pushinteger(L, (lua_Integer)(info.uordblks + info.hblkhd));
    return 1;
}

#pragma GCC visibility push(default)
int luaopen_faults_heap(lua_State *L);
#pragma GCC visibility pop

int luaopen_faults_heap(lua_State *L)
{
    lua_pushcfunction(L, in_use);
    return 1;
}
