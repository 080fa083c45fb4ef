/*
 * local_socket.c: Unix domain sockets on the loop, for the prompt's clients and its server.
 *
 * A socket's userdata is anchored in the registry under its address while it is open; its uservalue
 * is the function that gets a client (of a listener) or input. A listener does not keep the loop
 * going, a connection does.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "bindings.h"
#include "../devices/unix_bind.h"

static const char socket_class[] = "lunik.LocalSocket";

enum { INPUT_SIZE = 65536, BACKLOG = 16 };

struct local_socket {
    uv_pipe_t pipe;
    struct bindings *b;
    struct local_socket *next, **link; /* in b->sockets while open */
    dev_t dev;                         /* of a listener's file, which it removes */
    ino_t ino;
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
    char input[INPUT_SIZE];
};

struct delivery {
    struct local_socket *s;
    ssize_t size; /* of s->input; below 0: the other side has gone */
    bool client;
};

/* ---- life ------------------------------------------------------------------------------------ */

static void on_closed(uv_handle_t *handle)
{
    free(lunik_container_of((uv_pipe_t *)handle, struct local_socket, pipe));
}

static void remove_file(struct local_socket *s)
{
    struct stat st;

    if (s->ino && lstat(s->path, &st) == 0 && st.st_dev == s->dev && st.st_ino == s->ino)
        unlink(s->path);
}

static void unlink_socket(struct local_socket *s)
{
    *s->link = s->next;
    if (s->next)
        s->next->link = s->link;
    remove_file(s);
    lunik_loop(s->b->rt); /* on a vCPU's thread: wakes the loop at unlock */
    uv_close((uv_handle_t *)&s->pipe, on_closed);
}

void bind_sockets_release(struct bindings *b)
{
    while (b->sockets)
        unlink_socket(b->sockets);
}

static void disarm(lua_State *L, struct local_socket **box)
{
    struct local_socket *s = *box;

    if (!s)
        return;
    lua_pushnil(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, s);
    *box = NULL;
    unlink_socket(s);
}

/* Pushes the userdata of a new socket; the function at index `fn` (0: none yet) is its own. */
static struct local_socket *push_socket(lua_State *L, int fn)
{
    struct bindings *b = bind_state(L);
    lunik_runtime *rt = bind_runtime(L);
    struct local_socket **box = lua_newuserdatauv(L, sizeof(struct local_socket *), 1), *s;

    *box = NULL;
    luaL_setmetatable(L, socket_class);
    if (fn) {
        lua_pushvalue(L, fn);
        lua_setiuservalue(L, -2, 1);
    }
    luaL_checkstack(L, 4, NULL);
    s = calloc(1, sizeof(*s));
    if (!s)
        bind_fail(L, LUNIK_E_NO_MEMORY, "socket: out of memory");
    if (!bind_try_keep(L, LUA_REGISTRYINDEX, s)) {
        free(s);
        lua_error(L);
        __builtin_unreachable();
    }
    s->b = b;
    uv_pipe_init(lunik_loop(rt), &s->pipe, 0);
    s->next = b->sockets;
    s->link = &b->sockets;
    if (s->next)
        s->next->link = &s->next;
    b->sockets = s;
    *box = s;
    return s;
}

/* ---- delivery -------------------------------------------------------------------------------- */

/* Lua, protected: calls the function of the socket of a struct delivery at 1. */
static int deliver_body(lua_State *L)
{
    const struct delivery *d = lua_touserdata(L, 1);
    struct local_socket *s = d->s, *client;

    lua_rawgetp(L, LUA_REGISTRYINDEX, s);
    lua_getiuservalue(L, -1, 1);
    if (d->client) {
        client = push_socket(L, 0);
        if (uv_accept((uv_stream_t *)&s->pipe, (uv_stream_t *)&client->pipe)) {
            disarm(L, lua_touserdata(L, -1));
            return 0;
        }
    } else if (d->size < 0) {
        disarm(L, lua_touserdata(L, -2));
        lua_pushnil(L);
    } else {
        lua_pushlstring(L, s->input, (size_t)d->size);
    }
    if (lua_isfunction(L, -2))
        lua_call(L, 1, 0);
    return 0;
}

static void deliver(struct local_socket *s, bool client, ssize_t size)
{
    struct delivery d = {.s = s, .client = client, .size = size};

    bind_call(s->b, NULL, "a function of a socket", deliver_body, &d);
}

static void on_client(uv_stream_t *stream, int status)
{
    if (status == 0)
        deliver(lunik_container_of((uv_pipe_t *)stream, struct local_socket, pipe), true, 0);
}

static void give_buffer(uv_handle_t *handle, size_t size, uv_buf_t *buf)
{
    struct local_socket *s = lunik_container_of((uv_pipe_t *)handle, struct local_socket, pipe);

    *buf = uv_buf_init(s->input, sizeof(s->input));
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buf)
{
    if (size != 0)
        deliver(lunik_container_of((uv_pipe_t *)stream, struct local_socket, pipe), false, size);
}

/* ---- sockets --------------------------------------------------------------------------------- */

static void make_address(lua_State *L, const char *path, struct sockaddr_un *address)
{
    size_t size = strlen(path);

    if (size == 0 || size >= sizeof(address->sun_path))
        bind_fail(L, LUNIK_E_INVALID, "path: '%s' is %s (want 1 to %d bytes)", path,
                  size ? "too long" : "empty", (int)sizeof(address->sun_path) - 1);
    memset(address, 0, sizeof(*address));
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, path, size);
}

/* Closes fd (-1: none) and the new socket on top of the stack, and raises errno. */
static void fail_socket(lua_State *L, int fd, const char *what, const char *path)
{
    lunik_error err;

    lunik_fail_errno(&err, errno, "can't %s '%s'", what, path);
    if (fd >= 0)
        close(fd);
    disarm(L, lua_touserdata(L, -1));
    bind_raise(L, &err);
}

static int new_socket(void)
{
    return socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/* core.local_listen(path, fn) -> socket; calls fn(socket) for each client */
static int local_listen(lua_State *L)
{
    const char *path = bind_string(L, 1, "path");
    struct sockaddr_un address;
    struct local_socket *s;
    struct stat st;
    int fd;

    bind_function(L, 2, "function");
    make_address(L, path, &address);
    s = push_socket(L, 2);
    fd = new_socket();
    if (fd < 0)
        fail_socket(L, fd, "make a socket for", path);
    if (unix_bind(fd, &address) < 0)
        fail_socket(L, fd, "listen at", path);
    memcpy(s->path, address.sun_path, sizeof(s->path));
    if (lstat(path, &st) == 0) {
        s->dev = st.st_dev;
        s->ino = st.st_ino;
    }
    if (listen(fd, BACKLOG) < 0 || uv_pipe_open(&s->pipe, fd) < 0)
        fail_socket(L, fd, "listen at", path);
    if (uv_listen((uv_stream_t *)&s->pipe, BACKLOG, on_client))
        fail_socket(L, -1, "listen at", path);
    uv_unref((uv_handle_t *)&s->pipe);
    return 1;
}

/* core.local_connect(path) -> socket */
static int local_connect(lua_State *L)
{
    const char *path = bind_string(L, 1, "path");
    struct sockaddr_un address;
    struct local_socket *s;
    int fd;

    make_address(L, path, &address);
    s = push_socket(L, 0);
    fd = new_socket();
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        fail_socket(L, fd, "connect to", path);
    if (uv_pipe_open(&s->pipe, fd))
        fail_socket(L, fd, "connect to", path);
    return 1;
}

/* ---- methods --------------------------------------------------------------------------------- */

struct output {
    uv_write_t request;
    char data[];
};

static void on_written(uv_write_t *request, int status)
{
    free(lunik_container_of(request, struct output, request));
}

/* socket:read(fn): calls fn(text) with input from now on, and fn(nil) when the other side has gone,
 * after which the socket is closed. Returns whether it is open. */
static int socket_read(lua_State *L)
{
    struct local_socket **box = luaL_checkudata(L, 1, socket_class);

    bind_function(L, 2, "read: function");
    lua_settop(L, 2);
    lua_setiuservalue(L, 1, 1);
    lua_pushboolean(L, *box && !uv_read_start((uv_stream_t *)&(*box)->pipe, give_buffer, on_read));
    return 1;
}

/* socket:write(text) -> how many bytes the other side has not taken; nil: it is closed */
static int socket_write(lua_State *L)
{
    struct local_socket **box = luaL_checkudata(L, 1, socket_class);
    size_t size;
    const char *text = bind_data(L, 2, "write: text", &size);
    struct output *out;
    uv_buf_t buf;

    if (!*box)
        return 0;
    out = malloc(sizeof(*out) + size);
    if (!out)
        return bind_fail(L, LUNIK_E_NO_MEMORY, "write: out of memory");
    memcpy(out->data, text, size);
    buf = uv_buf_init(out->data, (unsigned)size);
    lunik_loop((*box)->b->rt);
    if (uv_write(&out->request, (uv_stream_t *)&(*box)->pipe, &buf, 1, on_written)) {
        free(out);
        return 0;
    }
    lua_pushinteger(L, (lua_Integer)uv_stream_get_write_queue_size((uv_stream_t *)&(*box)->pipe));
    return 1;
}

/* socket:receive(ms) -> input that comes within that time, nil: none. For callers that can't let
 * the loop run. */
static int socket_receive(lua_State *L)
{
    struct local_socket **box = luaL_checkudata(L, 1, socket_class);
    int ms = (int)bind_int(L, 2, "receive: time", 0, 60000);
    struct pollfd poll_fd = {.events = POLLIN};
    ssize_t n;

    if (!*box || uv_fileno((uv_handle_t *)&(*box)->pipe, &poll_fd.fd) || poll(&poll_fd, 1, ms) <= 0)
        return 0;
    n = read(poll_fd.fd, (*box)->input, INPUT_SIZE);
    if (n <= 0)
        return 0;
    lua_pushlstring(L, (*box)->input, (size_t)n);
    return 1;
}

/* socket:close() */
static int socket_close(lua_State *L)
{
    disarm(L, luaL_checkudata(L, 1, socket_class));
    return 0;
}

const luaL_Reg bind_socket_functions[] = {
    {"local_listen", local_listen},
    {"local_connect", local_connect},
    {0},
};

void bind_socket_open(lua_State *L)
{
    static const luaL_Reg methods[] = {
        {"read", socket_read},
        {"write", socket_write},
        {"receive", socket_receive},
        {"close", socket_close},
        {0},
    };
    static const luaL_Reg meta[] = {{0}};
    static const struct bind_class class = {
        .name = socket_class,
        .methods = methods,
        .meta = meta,
    };

    lua_newtable(L);
    bind_class_new(L, lua_gettop(L), &class);
    lua_pop(L, 1);
}
