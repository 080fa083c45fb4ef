/*
 * lineedit.c: reads lines from standard input while the loop runs.
 *
 * On a terminal libedit edits the line (callback mode: it is called for each key), otherwise lines
 * are cut from the input. Either way read() runs the private loop until a line is complete, so
 * machines and timers go on while the prompt waits.
 */
#define _GNU_SOURCE /* newlocale */
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <editline/readline.h>

#include "command.h"
#include "history.h"

/* libedit's callbacks carry no context and its state is the process's: one reader for all. */
static struct {
    lunik_runtime *rt;
    lua_State *volatile L;     /* while read() is on the stack */
    char *line;                /* from libedit, malloc()ed */
    bool done, ended, starved; /* starved: there was no memory for the line */
    int input;                 /* standard input, opened again; -1: not yet, or it can't be */
    char *pending;             /* input that has not become a line yet */
    size_t pending_size;
    volatile sig_atomic_t disturbed; /* the terminal was resized, or used by another process */
} reader = {.input = -1};

/* ---- completion ----------------------------------------------------------------------------- */

/* Returns the length of the prefix that all matches have in common. */
static size_t common_length(char **matches, size_t count)
{
    size_t length = strlen(matches[1]);

    for (size_t i = 2; i <= count; i++) {
        size_t same = 0;
        while (same < length && matches[i][same] == matches[1][same])
            same++;
        length = same;
    }
    return length;
}

static char **free_matches(char **matches)
{
    for (size_t i = 1; matches[i]; i++)
        free(matches[i]);
    free(matches);
    return NULL;
}

/* Converts the list on top to libedit's form: the common prefix, the matches, NULL. Returns NULL if
 * there are no matches or out of memory. */
static char **copy_matches(lua_State *L)
{
    size_t count = lua_rawlen(L, -1);
    char **matches = count ? calloc(count + 2, sizeof(*matches)) : NULL;

    for (size_t i = 1; matches && i <= count; i++) {
        lua_rawgeti(L, -1, (lua_Integer)i);
        matches[i] = strdup(lua_isstring(L, -1) ? lua_tostring(L, -1) : "");
        lua_pop(L, 1);
        if (!matches[i])
            return free_matches(matches);
    }
    if (matches) {
        matches[0] = strndup(matches[1], common_length(matches, count));
        if (!matches[0])
            return free_matches(matches);
    }
    return matches;
}

/* Calls the Lua function at index 2 of read()'s stack: complete(line up to the cursor, word). */
static char **complete(const char *word, int start, int end)
{
    lua_State *L = reader.L;
    int top = lua_gettop(L);
    char **matches = NULL;

    rl_attempted_completion_over = 1; /* no file names */
    if (!lua_isfunction(L, 2) || !lua_checkstack(L, 8))
        return NULL;
    lua_pushvalue(L, 2);
    lua_pushlstring(L, rl_line_buffer, (size_t)end);
    lua_pushstring(L, word);
    if (lua_pcall(L, 2, 1, 0) == LUA_OK && lua_istable(L, -1))
        matches = copy_matches(L);
    lua_settop(L, top);
    return matches;
}

/* ---- editing -------------------------------------------------------------------------------- */

static void on_line(char *line)
{
    reader.line = line;
    reader.ended = !line;
    reader.done = true;
}

/* Ctrl-D: ends the input on an empty line, else deletes the character under the cursor. Needed as
 * libedit does not report the end of input in callback mode. */
static int end_or_delete(int count, int key)
{
    if (rl_end == 0)
        reader.done = reader.ended = true;
    else
        rl_delete_text(rl_point, rl_point + 1);
    return 0;
}

static void on_key(uv_poll_t *poll, int status, int events)
{
    if (status < 0)
        reader.done = reader.ended = true; /* the terminal is gone */
    else if (!reader.done)
        rl_callback_read_char();
    if (reader.done)
        lunik_stop(reader.rt);
}

static void on_disturbance(int sig)
{
    reader.disturbed = true;
    if (reader.L)
        lunik_stop(reader.rt); /* also ends a wait that has not begun yet */
}

/* Sets the terminal's mode again, and redraws the line for its present width. */
static void follow_terminal(void)
{
    static const char erase[] = "\r\033[J";

    if (!reader.disturbed)
        return;
    reader.disturbed = false;
    rl_deprep_terminal();
    rl_prep_terminal(1);
    rl_resize_terminal();
    if (write(STDOUT_FILENO, erase, sizeof(erase) - 1) > 0)
        rl_forced_update_display();
}

static void start_editing(const char *prompt)
{
    rl_readline_name = "lunik";
    rl_basic_word_break_characters = " \t\n\"'`$><=;|&{(})[],+-*/%^#~";
    rl_attempted_completion_function = complete;
    rl_completion_append_character = '\0';
    rl_callback_handler_install(prompt, on_line);
    rl_add_defun("lunik-end-or-delete", end_or_delete, 'D' - '@');
}

/* ---- plain input ---------------------------------------------------------------------------- */

/* Moves the first line of the pending input, or at the end of the input all of it, to reader.line.
 */
static bool cut_line(bool ended)
{
    char *newline = reader.pending ? memchr(reader.pending, '\n', reader.pending_size) : NULL;
    size_t length = newline ? (size_t)(newline - reader.pending) : reader.pending_size;
    size_t rest;

    if (!newline && !(ended && reader.pending_size))
        return false;
    reader.line = strndup(reader.pending, length);
    if (!reader.line) {
        reader.starved = true;
        return true;
    }
    rest = reader.pending_size - length - (newline ? 1 : 0);
    if (newline)
        memmove(reader.pending, newline + 1, rest);
    reader.pending_size = rest;
    return true;
}

static void read_input(void)
{
    char *grown = realloc(reader.pending, reader.pending_size + 4096);
    ssize_t n;

    if (!grown) {
        reader.done = reader.starved = true;
        return;
    }
    reader.pending = grown;
    n = read(STDIN_FILENO, reader.pending + reader.pending_size, 4096);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0)
        reader.pending_size += (size_t)n;
    reader.done = cut_line(n <= 0) || n <= 0;
    reader.ended = reader.done && !reader.line && !reader.starved;
}

static void on_input(uv_poll_t *poll, int status, int events)
{
    if (!reader.done)
        read_input();
    if (reader.done)
        lunik_stop(reader.rt);
}

/* ---- waiting -------------------------------------------------------------------------------- */

/* Opens standard input again: libuv makes what it polls non-blocking, which would affect all other
 * processes that share the open terminal. Keeps the descriptor, so that the prompt works when there
 * are none left. Returns false if standard input can't be opened again. */
static bool reopen_input(void)
{
    if (reader.input < 0)
        reader.input = open("/proc/self/fd/0", O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    return reader.input >= 0;
}

int command_input(void)
{
    return reopen_input() ? reader.input : -1;
}

static bool is_shortage(int rc)
{
    return rc == UV_EMFILE || rc == UV_ENFILE || rc == UV_ENOMEM || rc == UV_ENOSPC;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle);
}

static void fail_wait(lua_State *L, bool editing, int rc)
{
    if (editing)
        rl_callback_handler_remove();
    bind_fail(L, rc == UV_ENOMEM ? LUNIK_E_NO_MEMORY : LUNIK_E_IO,
              "read: can't watch the input: %s", uv_strerror(rc));
}

/* Runs the loop until the line is complete or a signal arrives. */
static void wait_line(lua_State *L, bool editing)
{
    uv_poll_t *p = malloc(sizeof(*p));
    int rc;

    if (!p)
        fail_wait(L, editing, UV_ENOMEM);
    rc = reopen_input() ? uv_poll_init(lunik_loop(reader.rt), p, reader.input) : -errno;
    if (rc)
        free(p);
    if (rc && (editing || is_shortage(rc)))
        fail_wait(L, editing, rc);
    if (rc) { /* usually a file, which can be read without waiting */
        lunik_run(reader.rt, LUNIK_RUN_NOWAIT);
        while (!reader.done)
            read_input();
        return;
    }
    rc = lunik_poll_start(p, UV_READABLE | UV_DISCONNECT, editing ? on_key : on_input);
    if (rc) {
        uv_close((uv_handle_t *)p, on_closed);
        fail_wait(L, editing, rc);
    }
    while (!reader.done && !command_signal()) {
        if (editing)
            follow_terminal();
        lunik_run(reader.rt, LUNIK_RUN_ONCE);
    }
    uv_close((uv_handle_t *)p, on_closed);
    lunik_run(reader.rt, LUNIK_RUN_NOWAIT);
}

/* ---- for Lua -------------------------------------------------------------------------------- */

/* read(prompt, complete): returns a line without its newline; nil at the end of the input; false
 * after a signal. The prompt and complete(line, word), which returns a list of words, are used on
 * terminals only. */
static int l_read(lua_State *L)
{
    const char *prompt = luaL_checkstring(L, 1);
    bool editing = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);

    reader.rt = bind_runtime(L);
    if (lunik_running(reader.rt))
        bind_fail(L, LUNIK_E_STATE, "read: the loop is running already");
    lua_settop(L, 2);
    reader.L = L;
    reader.done = reader.ended = reader.starved = false;
    reader.line = NULL;
    if (editing)
        start_editing(prompt);
    else
        reader.done = cut_line(false);
    if (!reader.done)
        wait_line(L, editing);
    if (editing)
        rl_callback_handler_remove();
    reader.L = NULL;
    if (reader.starved)
        bind_fail(L, LUNIK_E_NO_MEMORY, "read: out of memory");
    if (reader.line)
        lua_pushstring(L, reader.line);
    else if (reader.ended)
        lua_pushnil(L);
    else
        lua_pushboolean(L, 0);
    free(reader.line);
    reader.line = NULL;
    return 1;
}

/* redisplay(): shows prompt and line again after other output. */
static int l_redisplay(lua_State *L)
{
    if (reader.L && !reader.done)
        rl_forced_update_display();
    return 0;
}

/* add_history(text): returns why the entry could not be saved, or nil. */
static int l_add_history(lua_State *L)
{
    lua_pushstring(L, history_add(luaL_checkstring(L, 1)));
    return 1;
}

/* open_history(path): loads entries from that file and adds new ones to it. */
static int l_open_history(lua_State *L)
{
    history_open(luaL_checkstring(L, 1));
    return 0;
}

static int l_close(lua_State *L)
{
    history_close();
    free(reader.pending);
    reader.pending = NULL;
    reader.pending_size = 0;
    if (reader.input >= 0)
        close(reader.input);
    reader.input = -1;
    return 0;
}

static const luaL_Reg functions[] = {
    {"read", l_read},
    {"redisplay", l_redisplay},
    {"add_history", l_add_history},
    {"open_history", l_open_history},
    {"close", l_close},
    {"keys", command_keys},
    {"end_keys", command_end_keys},
    {0},
};

/* Makes the calling thread use the environment's character set, or UTF-8 if that has only single
 * bytes. */
static void choose_characters(void)
{
    locale_t locale = newlocale(LC_CTYPE_MASK, "", NULL);

    if (locale)
        uselocale(locale);
    if (MB_CUR_MAX > 1)
        return;
    uselocale(LC_GLOBAL_LOCALE);
    if (locale)
        freelocale(locale);
    locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", NULL);
    if (locale)
        uselocale(locale);
}

BIND_EXPORT int luaopen_lunik_lineedit(lua_State *L);
int luaopen_lunik_lineedit(lua_State *L)
{
    struct sigaction action = {.sa_handler = on_disturbance};

    choose_characters();
    rl_catch_signals = 0; /* before the first call: libedit's handlers send signals to others */
    sigemptyset(&action.sa_mask);
    sigaction(SIGWINCH, &action, NULL);
    sigaction(SIGCONT, &action, NULL);
    luaL_newlib(L, functions);
    return 1;
}
