/*
 * main.c: the lunik command, a Lua interpreter with the library built in.
 *
 * C does what Lua can't: signals, the terminal, finding the scripts (modules.c). Options, running
 * the script, the prompt and the exit code are in scripts/lunik/command/cli.lua and repl.lua;
 * QEMU's command line is in scripts/lunik/qemu/main.lua.
 *
 * A signal (SIGINT, SIGTERM) ends waits on the loop and interrupts running Lua code (interrupt.c):
 * in the script it calls the function that cli.lua has put into the registry, in handlers it raises
 * an error. A second signal before the first has been handled ends the process at once, with the
 * terminal restored.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <termios.h>
#include <unistd.h>

#include "command.h"

/* A signal handler has no argument of its own: there is one command in a process. */
static struct {
    pthread_t main_thread;
    volatile sig_atomic_t pending;
    _Atomic(lunik_runtime *) runtime;
    bool has_terminal;
    struct termios terminal;
} command;

static const char signal_fn_key = 0; /* registry: function(signal) */

int command_signal(void)
{
    return command.pending;
}

/* ---- signals -------------------------------------------------------------------------------- */

static void deal_with_signal(lua_State *L)
{
    int sig = command.pending;

    command.pending = 0;
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &signal_fn_key) == LUA_TFUNCTION) {
        lua_pushinteger(L, sig);
        lua_call(L, 1, 0);
    } else {
        lua_pop(L, 1);
    }
}

static void on_signal(int sig)
{
    lunik_runtime *rt;

    if (!pthread_equal(pthread_self(), command.main_thread)) {
        pthread_kill(command.main_thread, sig);
        return;
    }
    if (command.pending) {
        if (command.has_terminal)
            tcsetattr(STDIN_FILENO, TCSANOW, &command.terminal);
        _exit(128 + sig);
    }
    command.pending = sig;
    bind_interrupt(deal_with_signal);
    rt = atomic_load(&command.runtime);
    if (!rt)
        return;
    lunik_stop(rt);
    lunik_kick_lock_holder(rt);
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};

    command.main_thread = pthread_self();
    command.has_terminal = tcgetattr(STDIN_FILENO, &command.terminal) == 0;
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static void leave_signals(void)
{
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    atomic_store(&command.runtime, NULL);
}

/* ---- functions for cli.lua ------------------------------------------------------------------ */

/* on_signal(function(signal)): sets what a signal does. */
static int l_on_signal(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_settop(L, 1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &signal_fn_key);
    return 0;
}

/* isatty(fd) */
static int l_isatty(lua_State *L)
{
    lua_pushboolean(L, isatty((int)luaL_checkinteger(L, 1)));
    return 1;
}

/* columns(fd): the width of a terminal; 80 where that is not known. */
static int l_columns(lua_State *L)
{
    struct winsize size = {0};

    ioctl((int)luaL_checkinteger(L, 1), TIOCGWINSZ, &size);
    lua_pushinteger(L, size.ws_col ? size.ws_col : 80);
    return 1;
}

/* rows(fd): the height of a terminal; 24 where that is not known. */
static int l_rows(lua_State *L)
{
    struct winsize size = {0};

    ioctl((int)luaL_checkinteger(L, 1), TIOCGWINSZ, &size);
    lua_pushinteger(L, size.ws_row ? size.ws_row : 24);
    return 1;
}

/* attach(): makes signals end waits on the runtime's loop as well. */
static int l_attach(lua_State *L)
{
    lunik_set_kick_cb(bind_interrupt_here);
    atomic_store(&command.runtime, bind_runtime(L));
    return 0;
}

/* detach(): restores the default actions: a signal then ends the process. */
static int l_detach(lua_State *L)
{
    leave_signals();
    return 0;
}

/* end_with_parent(): the process gets SIGTERM when the one that has started it ends. */
static int l_end_with_parent(lua_State *L)
{
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    return 0;
}

static const luaL_Reg host_functions[] = {
    {"on_signal", l_on_signal},
    {"isatty", l_isatty},
    {"columns", l_columns},
    {"rows", l_rows},
    {"attach", l_attach},
    {"detach", l_detach},
    {"end_with_parent", l_end_with_parent},
    {"daemonize", command_daemonize},
    {"daemon_ready", command_daemon_ready},
    {0},
};

static int open_host(lua_State *L)
{
    luaL_newlib(L, host_functions);
    lua_pushstring(L, lunik_version());
    lua_setfield(L, -2, "version");
    return 1;
}

/* ---- start ---------------------------------------------------------------------------------- */

static void preload(lua_State *L, const char *name, lua_CFunction open)
{
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
    lua_pushcfunction(L, open);
    lua_setfield(L, -2, name);
    lua_pop(L, 1);
}

/* Returns the module that carries out the command line: under the names lunik-qemu and
 * qemu-system-ARCH, by which libvirt looks for emulators, the command understands QEMU's. */
static const char *main_module(const char *name)
{
    const char *slash = name ? strrchr(name, '/') : NULL;
    const char *base = slash ? slash + 1 : name;

    if (base && (strncmp(base, "lunik-qemu", 10) == 0 || strncmp(base, "qemu-system-", 12) == 0))
        return "lunik.qemu.main";
    return "lunik.command.cli";
}

static int run(lua_State *L)
{
    int argc = (int)lua_tointeger(L, 1);
    char **argv = lua_touserdata(L, 2);

    luaL_checkversion(L);
    luaL_openlibs(L);
    bind_track_coroutines(L);
    preload(L, "lunik.core", luaopen_lunik_core);
    preload(L, "lunik.host", open_host);
    modules_find(L);
    lua_getglobal(L, "require");
    lua_pushstring(L, main_module(argv[0]));
    lua_call(L, 1, 1);
    lua_getfield(L, -1, "main");
    lua_createtable(L, argc, 1);
    for (int i = 0; i < argc; i++) {
        lua_pushstring(L, argv[i]);
        lua_rawseti(L, -2, i);
    }
    lua_call(L, 1, 1);
    return 1;
}

/* Message handler: converts the error to a text. */
static int show(lua_State *L)
{
    bind_push_text(L, 1);
    return 1;
}

int main(int argc, char **argv)
{
    lua_State *L = luaL_newstate();
    struct bind_frame frame;
    int code = EXIT_FAILURE;

    if (!L) {
        fprintf(stderr, "lunik: out of memory\n");
        return EXIT_FAILURE;
    }
    bind_frame_push(&frame, L, false);
    catch_signals();
    lua_pushcfunction(L, show);
    lua_pushcfunction(L, run);
    lua_pushinteger(L, argc);
    lua_pushlightuserdata(L, argv);
    if (lua_pcall(L, 2, 1, -4) != LUA_OK)
        fprintf(stderr, "lunik: %s\n", bind_push_text(L, -1));
    else
        code = (int)lua_tointeger(L, -1);
    leave_signals();
    bind_frame_pop(&frame);
    lua_close(L);
    return code;
}
