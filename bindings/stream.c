/*
 * stream.c: the script's end of a character device: a front end for the streams of the Lua half.
 *
 * Input is kept until a task hands it to Lua, so that a function of the script runs without the
 * device below it on the stack: it may delete the device or close the machine. A script that does
 * not want input for a while leaves it where it is: the device then takes none from its peer.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bindings.h"

enum {
    INPUT_SIZE = 65536, /* bytes kept for the script */
    FDS_MAX = 16,       /* descriptors kept for the script */
};

struct stream {
    lunik_chardev_front front;
    lunik_object *object; /* a reference */
    struct glue *glue;
    struct stream *next;
    lunik_task task;
    int fds[FDS_MAX]; /* received, oldest first */
    unsigned fd_count;
    size_t used;
    size_t ended;                  /* bytes of `used` from a peer that has gone, while `closed` */
    bool held;                     /* the script wants no input */
    bool closed, opened, writable; /* to be reported, in this order */
    uint8_t input[INPUT_SIZE];
};

static lunik_runtime *runtime_of(const struct stream *s)
{
    return s->glue->b->rt;
}

static struct stream **find(lunik_object *o)
{
    struct glue *g = bind_glue(lunik_object_machine(o));
    struct stream **link = g ? &g->streams : NULL;

    while (link && *link && (*link)->object != o)
        link = &(*link)->next;
    return link && *link ? link : NULL;
}

static struct stream *check_stream(lua_State *L)
{
    lunik_object *o = bind_object(L, 1);
    struct stream **link = find(o);

    if (!link)
        bind_fail(L, LUNIK_E_GONE, "the stream of '%s' is closed", lunik_object_id(o));
    return *link;
}

/* ---- descriptors ---------------------------------------------------------------------------- */

static void close_fds(struct stream *s)
{
    for (unsigned i = 0; i < s->fd_count; i++)
        close(s->fds[i]);
    s->fd_count = 0;
}

/* Keeps the newest. */
static void receive_fd(void *opaque, int fd)
{
    struct stream *s = opaque;

    if (s->fd_count == FDS_MAX) {
        close(s->fds[0]);
        s->fd_count--;
        memmove(s->fds, s->fds + 1, s->fd_count * sizeof(s->fds[0]));
    }
    s->fds[s->fd_count++] = fd;
}

/* ---- the front end -------------------------------------------------------------------------- */

static size_t can_receive(void *opaque)
{
    const struct stream *s = opaque;

    return INPUT_SIZE - s->used;
}

static void receive(void *opaque, const uint8_t *data, size_t size)
{
    struct stream *s = opaque;

    memcpy(s->input + s->used, data, size);
    s->used += size;
    lunik_defer(runtime_of(s), &s->task);
}

static void writable(void *opaque)
{
    struct stream *s = opaque;

    s->writable = true;
    lunik_defer(runtime_of(s), &s->task);
}

static void drop_input(struct stream *s, size_t size)
{
    s->used -= size;
    memmove(s->input, s->input + size, s->used);
}

/* What a peer has sent that goes is still for the script, unless the next one has come before the
 * script has taken it. */
static void connection(void *opaque, bool open)
{
    struct stream *s = opaque;

    if (!open) {
        s->closed = true;
        s->opened = false;
        s->ended = s->used;
    } else {
        s->opened = true;
        drop_input(s, s->ended);
        s->ended = 0;
        close_fds(s);
    }
    lunik_defer(runtime_of(s), &s->task);
}

/* ---- delivery ------------------------------------------------------------------------------- */

struct delivery {
    lunik_object *object;
    const char *what;
    const uint8_t *data;
    size_t size;
};

/* Lua, protected: hooks.stream(object, what, text). */
static int deliver_body(lua_State *L)
{
    const struct delivery *d = lua_touserdata(L, 1);

    bind_push_hook(L, "stream");
    bind_push_object(L, d->object);
    lua_pushstring(L, d->what);
    lua_pushlstring(L, (const char *)d->data, d->size);
    lua_call(L, 3, 0);
    return 0;
}

/* Takes what is to be reported next; false: there is nothing. */
static bool take_next(struct stream *s, struct delivery *d, uint8_t *data)
{
    bool last = s->closed && s->ended;

    if (s->used && (last || (!s->closed && !s->opened && !s->held))) {
        d->what = "data";
        d->size = last ? s->ended : s->used;
        memcpy(data, s->input, d->size);
        drop_input(s, d->size);
        s->ended = 0;
        return true;
    }
    d->size = 0;
    d->what = s->closed ? "closed" : s->opened ? "opened" : s->writable ? "writable" : NULL;
    if (s->closed)
        s->closed = false;
    else if (s->opened)
        s->opened = false;
    else
        s->writable = false;
    return d->what;
}

/* Reports all, as long as the stream is there. */
static void run_task(lunik_task *task)
{
    struct stream *s = lunik_container_of(task, struct stream, task), **link;
    lunik_object *o = s->object;
    struct bindings *b = s->glue->b;
    uint8_t data[INPUT_SIZE];
    struct delivery d = {.object = o, .data = data};
    const lunik_chardev_ops *ops;

    lunik_object_ref(o);
    for (link = find(o); link && take_next(*link, &d, data); link = find(o)) {
        bind_call(b, NULL, "a function of a stream", deliver_body, &d);
        ops = lunik_chardev_iface(o);
        if (d.size && lunik_object_alive(o) && find(o))
            ops->accept_input(o);
    }
    lunik_object_unref(o);
}

/* ---- life ----------------------------------------------------------------------------------- */

static void stream_free(struct stream *s)
{
    if (lunik_object_alive(s->object))
        lunik_chardev_iface(s->object)->attach(s->object, NULL, NULL);
    lunik_defer_cancel(runtime_of(s), &s->task);
    close_fds(s);
    lunik_object_unref(s->object);
    free(s);
}

void bind_stream_release(struct glue *g)
{
    while (g->streams) {
        struct stream *s = g->streams;

        g->streams = s->next;
        stream_free(s);
    }
}

/* Frees the streams of objects that are gone. */
static void collect(struct glue *g)
{
    struct stream **link = &g->streams;

    while (*link) {
        struct stream *s = *link;

        if (lunik_object_alive(s->object)) {
            link = &s->next;
        } else {
            *link = s->next;
            stream_free(s);
        }
    }
}

/* core.stream_open(object): attaches a stream; calls hooks.stream(object, what, text) with what is
 * "opened", "data", "closed" or "writable" */
static int stream_open(lua_State *L)
{
    lunik_object *o = bind_object(L, 1);
    struct glue *g = bind_glue(lunik_object_machine(o));
    const lunik_chardev_ops *ops = lunik_chardev_iface(o);
    struct stream *s;
    lunik_error err;

    if (!ops)
        bind_fail(L, LUNIK_E_UNSUPPORTED, "stream: object '%s' is a %s (want a character device)",
                  lunik_object_id(o), lunik_object_type_name(o));
    collect(g);
    s = calloc(1, sizeof(*s));
    if (!s)
        return bind_fail(L, LUNIK_E_NO_MEMORY, "stream: out of memory");
    s->front = (lunik_chardev_front){
        .opaque = s,
        .can_receive = can_receive,
        .receive = receive,
        .writable = writable,
        .receive_fd = receive_fd,
        .connection = connection,
    };
    s->object = o;
    s->glue = g;
    s->task.fn = run_task;
    if (ops->attach(o, &s->front, &err)) {
        free(s);
        return bind_raise(L, &err);
    }
    lunik_object_ref(o);
    s->next = g->streams;
    g->streams = s;
    return 0;
}

/* core.stream_close(object) */
static int stream_close(lua_State *L)
{
    struct box *box = bind_check_box(L, 1, "lunik.Object");
    struct stream **link = find(box->ptr), *s;

    if (!link)
        return 0;
    s = *link;
    *link = s->next;
    stream_free(s);
    return 0;
}

/* core.stream_write(object, text, from) -> bytes taken of those from that position on */
static int stream_write(lua_State *L)
{
    struct stream *s = check_stream(L);
    const lunik_chardev_ops *ops = lunik_chardev_iface(s->object);
    size_t size, from = (size_t)bind_int(L, 3, "write: position", 1, LUA_MAXINTEGER) - 1;
    const char *text = bind_data(L, 2, "write: text", &size);

    if (from > size)
        from = size;
    size = ops->write(s->object, (const uint8_t *)text + from, size - from);
    lua_pushinteger(L, (lua_Integer)size);
    return 1;
}

/* core.stream_hold(object, on): on: no input is delivered */
static int stream_hold(lua_State *L)
{
    struct stream *s = check_stream(L);

    s->held = bind_bool(L, 2, "hold: on");
    if (!s->held)
        lunik_defer(runtime_of(s), &s->task);
    return 0;
}

/* core.stream_fds(object) -> list of the descriptors received, which the caller owns */
static int stream_fds(lua_State *L)
{
    struct stream *s = check_stream(L);

    lua_createtable(L, FDS_MAX, 0);
    for (unsigned i = 0; i < s->fd_count; i++) {
        lua_pushinteger(L, s->fds[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    s->fd_count = 0;
    return 1;
}

/* core.close_fd(fd) */
static int close_fd(lua_State *L)
{
    close((int)bind_int(L, 1, "close_fd: descriptor", 0, INT_MAX));
    return 0;
}

/* write() without SIGPIPE. */
static ssize_t quiet_write(int fd, const char *text, size_t size)
{
    static const struct timespec now = {0};
    sigset_t pipe, before;
    ssize_t n;
    int sys;

    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, &before);
    n = write(fd, text, size);
    sys = errno;
    if (n < 0 && sys == EPIPE)
        sigtimedwait(&pipe, NULL, &now);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = sys;
    return n;
}

/* core.fd_write(fd, text, from) -> bytes written of those from that position on, 0: the reader has
 * no room for more yet. Does not wait for a reader; a file takes all. */
static int fd_write(lua_State *L)
{
    struct pollfd p = {.fd = (int)bind_int(L, 1, "fd_write: descriptor", 0, INT_MAX),
                       .events = POLLOUT};
    size_t size, from;
    const char *text = bind_data(L, 2, "fd_write: text", &size);
    struct stat st;
    ssize_t n = 0;

    from = (size_t)bind_int(L, 3, "fd_write: position", 1, LUA_MAXINTEGER) - 1;
    size = from < size ? size - from : 0;
    /* One that is ready takes this much without waiting. */
    if (!fstat(p.fd, &st) && !S_ISREG(st.st_mode) && size > PIPE_BUF)
        size = PIPE_BUF;
    if (size && poll(&p, 1, 0) == 1)
        n = quiet_write(p.fd, text + from, size);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        lunik_error err;

        lunik_fail_errno(&err, errno, "can't write to the descriptor");
        return bind_raise(L, &err);
    }
    lua_pushinteger(L, n > 0 ? (lua_Integer)n : 0);
    return 1;
}

/* core.deliver_events(): calls the handlers of events that have been sent */
static int deliver_events(lua_State *L)
{
    lunik_runtime *rt = bind_runtime(L);

    if (lunik_on_loop_thread(rt))
        lunik_deliver_events(rt);
    return 0;
}

/* core.real_time(ns) -> seconds and microseconds since 1970 of a time of an event */
static int real_time(lua_State *L)
{
    struct timespec real, monotonic;
    int64_t us;

    clock_gettime(CLOCK_REALTIME, &real);
    clock_gettime(CLOCK_MONOTONIC, &monotonic);
    us = (int64_t)(real.tv_sec - monotonic.tv_sec) * 1000000 +
         (real.tv_nsec - monotonic.tv_nsec) / 1000 + luaL_checkinteger(L, 1) / 1000;
    lua_pushinteger(L, us / 1000000);
    lua_pushinteger(L, us % 1000000);
    return 2;
}

const luaL_Reg bind_stream_functions[] = {
    {"stream_open", stream_open},   {"stream_close", stream_close},
    {"stream_write", stream_write}, {"stream_hold", stream_hold},
    {"stream_fds", stream_fds},     {"close_fd", close_fd},
    {"fd_write", fd_write},         {"deliver_events", deliver_events},
    {"real_time", real_time},       {0},
};
