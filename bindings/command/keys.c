/* keys.c: hands keys to a function as they are typed, for terminals that a guest has. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include "command.h"

static struct {
    lua_State *L;
    lunik_runtime *rt;
    int fd;
    bool done;   /* keys() is not running, or is to return */
    bool failed; /* failed: the function's error is on top of the stack */
} keys = {.done = true};

static void on_keys(uv_poll_t *poll, int status, int events)
{
    char data[4096];
    ssize_t n = status < 0 ? 0 : read(keys.fd, data, sizeof(data));

    if (keys.done || (n < 0 && (errno == EAGAIN || errno == EINTR)))
        return;
    lua_pushvalue(keys.L, 1);
    if (n > 0)
        lua_pushlstring(keys.L, data, (size_t)n);
    else
        lua_pushnil(keys.L);
    keys.failed = lua_pcall(keys.L, 1, 1, 0) != LUA_OK;
    keys.done = keys.failed || n <= 0 || lua_toboolean(keys.L, -1);
    if (!keys.failed)
        lua_pop(keys.L, 1);
    if (keys.done)
        lunik_stop(keys.rt);
}

static void on_closed(uv_handle_t *handle)
{
    free(handle);
}

/* Runs the loop until a key's function returns true, or a signal arrives. */
static int wait_keys(lunik_runtime *rt)
{
    uv_poll_t *p = malloc(sizeof(*p));
    int rc = p ? uv_poll_init(lunik_loop(rt), p, keys.fd) : UV_ENOMEM;

    if (rc) {
        free(p);
        return rc;
    }
    rc = lunik_poll_start(p, UV_READABLE | UV_DISCONNECT, on_keys);
    while (!rc && !keys.done && !command_signal())
        lunik_run(rt, LUNIK_RUN_ONCE);
    uv_close((uv_handle_t *)p, on_closed);
    lunik_run(rt, LUNIK_RUN_NOWAIT);
    return rc;
}

/* keys(fn): calls fn(bytes) with what is typed, nil when the terminal is gone, until it returns
 * true. Keys have no other effect meanwhile. */
int command_keys(lua_State *L)
{
    struct termios before, raw;
    int rc;

    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_settop(L, 1);
    luaL_checkstack(L, 4, NULL);
    keys.L = L;
    keys.rt = bind_runtime(L);
    keys.fd = command_input();
    keys.failed = false;
    if (lunik_running(keys.rt))
        bind_fail(L, LUNIK_E_STATE, "keys: the loop is running already");
    if (keys.fd < 0 || tcgetattr(STDIN_FILENO, &before) < 0)
        bind_fail(L, LUNIK_E_UNSUPPORTED, "keys: standard input is not a terminal");
    keys.done = false;
    raw = before;
    cfmakeraw(&raw);
    raw.c_oflag = before.c_oflag;
    tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
    rc = wait_keys(keys.rt);
    tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
    keys.done = true;
    if (rc)
        bind_fail(L, LUNIK_E_IO, "keys: can't watch the terminal: %s", uv_strerror(rc));
    return keys.failed ? lua_error(L) : 0;
}

/* end_keys(): makes keys() return. */
int command_end_keys(lua_State *L)
{
    if (!keys.rt || keys.done)
        return 0;
    keys.done = true;
    lunik_stop(keys.rt);
    return 0;
}
