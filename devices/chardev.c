/* chardev.c: see chardev.h. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chardev.h"
#include "types.h"

/* ---- front end ------------------------------------------------------------------------------ */

int chardev_attach(lunik_object *o, const lunik_chardev_front *front, lunik_error *err)
{
    struct chardev *c = lunik_state(o);
    const lunik_chardev_ops *ops = lunik_object_iface(o, "chardev");

    if (front && c->front)
        return lunik_fail(err, LUNIK_E_BUSY, "%s '%s': a front end is attached already",
                          lunik_object_type_name(o), lunik_object_id(o));
    c->front = front;
    if (front)
        ops->accept_input(o);
    return 0;
}

void chardev_ignore_input(lunik_object *o)
{
}

size_t chardev_can_receive(const struct chardev *c)
{
    return c->front ? c->front->can_receive(c->front->opaque) : 0;
}

void chardev_receive(struct chardev *c, const uint8_t *data, size_t size)
{
    if (c->front)
        c->front->receive(c->front->opaque, data, size);
}

void chardev_writable(struct chardev *c)
{
    if (c->front)
        c->front->writable(c->front->opaque);
}

size_t chardev_drop(struct chardev *c, size_t size)
{
    c->written += size;
    c->dropped += size;
    return size;
}

void chardev_failed(struct chardev *c, int sys)
{
    lunik_object *o = lunik_state_object(c);

    if (c->failed)
        return;
    c->failed = true;
    lunik_emit(lunik_object_machine(o), "chardev-error",
               LUNIK_FIELD_STRING("object", lunik_object_id(o)),
               LUNIK_FIELD_STRING("message", strerror(sys)));
}

static lunik_runtime *runtime_of(struct chardev *c)
{
    return lunik_machine_runtime(lunik_object_machine(lunik_state_object(c)));
}

/* ---- file descriptors ----------------------------------------------------------------------- */

/* How a descriptor has to be treated. */
struct chardev_fd {
    int fd;
    bool socket, fifo;
    bool blocking; /* shared with others who expect that */
    bool pollable; /* regular files and some devices are not: they never block for long */
};

/* Looks fd over and prepares poll for it. The file status flags, which libuv changes, are put back:
 * they may be shared with other processes. */
static int fd_init(struct chardev_fd *f, struct chardev *c, int fd, uv_poll_t *poll,
                   lunik_error *err)
{
    lunik_object *o = lunik_state_object(c);
    int flags = fcntl(fd, F_GETFL);
    struct stat st;
    int code;

    if (flags < 0 || fstat(fd, &st) < 0)
        return lunik_fail_errno(err, errno, "%s '%s'", lunik_object_type_name(o),
                                lunik_object_id(o));
    f->fd = fd;
    f->socket = S_ISSOCK(st.st_mode);
    f->fifo = S_ISFIFO(st.st_mode);
    f->blocking = !(flags & O_NONBLOCK);
    code = uv_poll_init(lunik_loop(runtime_of(c)), poll, fd);
    f->pollable = code == 0;
    if (f->pollable) {
        uv_unref((uv_handle_t *)poll);
        if (f->blocking)
            fcntl(fd, F_SETFL, flags);
    } else if (code != UV_EPERM) {
        return lunik_fail_errno(err, -code, "%s '%s': can't watch the file descriptor",
                                lunik_object_type_name(o), lunik_object_id(o));
    }
    return 0;
}

bool chardev_hung_up(int fd)
{
    struct pollfd p = {.fd = fd};

    return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR | POLLNVAL));
}

/* write() without SIGPIPE, whatever the process does about that signal. */
static ssize_t write_pipe(int fd, const uint8_t *data, size_t size)
{
    const struct timespec now = {0};
    sigset_t pipe_set, old, pending;
    ssize_t n;
    int sys;

    sigemptyset(&pipe_set);
    sigaddset(&pipe_set, SIGPIPE);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &pipe_set, &old);
    n = write(fd, data, size);
    sys = errno;
    if (n < 0 && sys == EPIPE && !sigismember(&pending, SIGPIPE))
        while (sigtimedwait(&pipe_set, NULL, &now) < 0 && errno == EINTR)
            ;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    errno = sys;
    return n;
}

/* Writes without blocking; as write(). */
static ssize_t fd_write(const struct chardev_fd *f, const uint8_t *data, size_t size)
{
    struct pollfd p = {.fd = f->fd, .events = POLLOUT};
    size_t chunk = f->fifo ? PIPE_BUF : 128; /* what a writable pipe, or terminal, has room for */

    if (f->socket)
        return send(f->fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (f->pollable && f->blocking) {
        if (poll(&p, 1, 0) == 0) {
            errno = EAGAIN;
            return -1;
        }
        size = size < chunk ? size : chunk;
    }
    return f->fifo ? write_pipe(f->fd, data, size) : write(f->fd, data, size);
}

static ssize_t fd_read(const struct chardev_fd *f, uint8_t *data, size_t size)
{
    return f->socket ? recv(f->fd, data, size, MSG_DONTWAIT) : read(f->fd, data, size);
}

static bool would_block(int sys)
{
    return sys == EAGAIN || sys == EWOULDBLOCK;
}

int chardev_reopen(int fd, int mode)
{
    char path[32];
    struct stat st;
    int copy = -1;

    if (fstat(fd, &st) < 0)
        return -1;
    if (S_ISFIFO(st.st_mode) || isatty(fd)) {
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        copy = open(path, mode | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    }
    return copy >= 0 ? copy : fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

/* ---- output --------------------------------------------------------------------------------- */

struct chardev_output {
    struct chardev *owner; /* NULL once closed */
    lunik_runtime *rt;
    chardev_end_fn *failed;
    struct chardev_fd fd;
    uv_poll_t poll;
    lunik_task task;
    bool busy;    /* in flush(), whose callbacks may close this */
    bool starved; /* the front end waits for room */
    size_t head, used;
    uint8_t data[CHARDEV_OUTPUT_SIZE];
};

static void output_closed(uv_handle_t *handle)
{
    free(lunik_container_of((uv_poll_t *)handle, struct chardev_output, poll));
}

static void output_free(struct chardev_output *out)
{
    if (out->fd.pollable) {
        uv_close((uv_handle_t *)&out->poll, output_closed);
        close(out->fd.fd);
    } else {
        close(out->fd.fd);
        free(out);
    }
}

/* Lets the front end write again if it waits for room and there is enough. */
static void feed(struct chardev_output *out)
{
    if (out->starved && out->used <= CHARDEV_OUTPUT_SIZE / 2) {
        out->starved = false;
        chardev_writable(out->owner);
    }
}

/* Writes what is possible now. Returns 0, or the errno value of a failure. */
static int drain(struct chardev_output *out)
{
    while (out->used) {
        size_t run = CHARDEV_OUTPUT_SIZE - out->head;
        ssize_t n = fd_write(&out->fd, out->data + out->head, run < out->used ? run : out->used);

        if (n > 0) {
            out->head = (out->head + (size_t)n) % CHARDEV_OUTPUT_SIZE;
            out->used -= (size_t)n;
        } else if (n < 0 && would_block(errno) && out->fd.pollable) {
            return 0;
        } else if (n == 0 || errno != EINTR) {
            return n == 0 ? EIO : errno;
        }
    }
    return 0;
}

static void output_ready(uv_poll_t *poll, int status, int events);

/* Waits for the descriptor if there is something left to write. */
static void output_watch(struct chardev_output *out)
{
    if (!out->fd.pollable)
        return;
    if (!out->used)
        uv_poll_stop(&out->poll);
    else if (!uv_is_active((uv_handle_t *)&out->poll))
        uv_poll_start(&out->poll, UV_WRITABLE, output_ready);
}

void chardev_output_discard(struct chardev_output *out)
{
    out->owner->dropped += out->used;
    out->used = 0;
    lunik_loop(out->rt);
    output_watch(out);
    feed(out);
}

static void flush(struct chardev_output *out)
{
    int sys = drain(out);

    out->busy = true;
    if (out->owner && sys) {
        chardev_output_discard(out);
        if (out->owner)
            out->failed(out->owner, sys);
    } else if (sys) {
        out->used = 0;
    } else {
        output_watch(out);
        feed(out);
    }
    out->busy = false;
    if (!out->owner && !out->used)
        output_free(out);
}

static void output_ready(uv_poll_t *poll, int status, int events)
{
    flush(lunik_container_of(poll, struct chardev_output, poll));
}

static void output_task(lunik_task *task)
{
    flush(lunik_container_of(task, struct chardev_output, task));
}

int chardev_output_open(struct chardev_output **out, struct chardev *c, int fd,
                        chardev_end_fn *failed, lunik_error *err)
{
    struct chardev_output *o = malloc(sizeof(*o));
    int code;

    if (!o)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "%s: no memory for the output buffer",
                          lunik_object_type_name(lunik_state_object(c)));
    memset(o, 0, offsetof(struct chardev_output, data));
    o->owner = c;
    o->rt = runtime_of(c);
    o->failed = failed;
    o->task.fn = output_task;
    code = fd_init(&o->fd, c, fd, &o->poll, err);
    if (code) {
        free(o);
        return code;
    }
    *out = o;
    return 0;
}

size_t chardev_output_write(struct chardev_output *out, const uint8_t *data, size_t size)
{
    size_t room = CHARDEV_OUTPUT_SIZE - out->used;
    size_t taken = size < room ? size : room;
    size_t tail = (out->head + out->used) % CHARDEV_OUTPUT_SIZE;
    size_t run = CHARDEV_OUTPUT_SIZE - tail;

    if (run > taken)
        run = taken;
    memcpy(out->data + tail, data, run);
    memcpy(out->data, data + run, taken - run);
    if (taken && !out->used)
        lunik_defer(out->rt, &out->task);
    out->used += taken;
    out->owner->written += taken;
    out->starved |= taken < size;
    return taken;
}

void chardev_output_close(struct chardev_output **out, bool linger)
{
    struct chardev_output *o = *out;
    struct chardev *c;
    bool starved;

    if (!o)
        return;
    *out = NULL;
    c = o->owner;
    starved = o->starved;
    o->starved = false;
    o->owner = NULL;
    lunik_defer_cancel(o->rt, &o->task);
    lunik_loop(o->rt);
    if (drain(o) || !linger || !o->fd.pollable) {
        c->dropped += o->used;
        o->used = 0;
    }
    output_watch(o);
    if (o->used)
        uv_ref((uv_handle_t *)&o->poll);
    else if (!o->busy)
        output_free(o);
    if (starved)
        chardev_writable(c);
}

/* ---- input ---------------------------------------------------------------------------------- */

struct chardev_input {
    struct chardev *owner; /* NULL once closed */
    lunik_runtime *rt;
    chardev_end_fn *ended;
    struct chardev_fd fd;
    uv_poll_t poll;
    lunik_task task;
    bool at_end;
    bool busy; /* in input_work(), whose callbacks may close this */
};

static void input_ready(uv_poll_t *poll, int status, int events);

static void input_end(struct chardev_input *in, int sys)
{
    in->at_end = true;
    if (sys == 0 && in->fd.socket && !chardev_hung_up(in->fd.fd)) {
        /* The peer only shut its sending side: a hang-up is reported whatever one waits for. */
        uv_poll_start(&in->poll, UV_PRIORITIZED, input_ready);
        return;
    }
    if (in->fd.pollable)
        uv_poll_stop(&in->poll);
    in->ended(in->owner, sys);
}

/* Reads once; false when there is nothing more for now. */
static bool take_input(struct chardev_input *in)
{
    uint8_t data[4096];
    size_t room = in->owner && !in->at_end ? chardev_can_receive(in->owner) : 0;
    ssize_t n;

    if (!room)
        return false;
    n = fd_read(&in->fd, data, room < sizeof(data) ? room : sizeof(data));
    if (n > 0) {
        chardev_receive(in->owner, data, (size_t)n);
        return true;
    }
    if (n == 0 || (!would_block(errno) && errno != EINTR))
        input_end(in, n == 0 ? 0 : errno);
    return false;
}

/* Waits for the descriptor if the front end can receive. */
static void input_watch(struct chardev_input *in)
{
    if (!in->owner || in->at_end)
        return;
    if (!chardev_can_receive(in->owner))
        uv_poll_stop(&in->poll);
    else if (!uv_is_active((uv_handle_t *)&in->poll))
        uv_poll_start(&in->poll, UV_READABLE, input_ready);
}

static void input_closed(uv_handle_t *handle)
{
    free(lunik_container_of((uv_poll_t *)handle, struct chardev_input, poll));
}

static void input_free(struct chardev_input *in)
{
    if (in->fd.pollable) {
        uv_close((uv_handle_t *)&in->poll, input_closed);
        close(in->fd.fd);
    } else {
        close(in->fd.fd);
        free(in);
    }
}

/* Takes what there is: once from a descriptor that is ready, as much as fits from one that can't be
 * watched. */
static void input_work(struct chardev_input *in, bool ready)
{
    in->busy = true;
    if (!in->fd.pollable)
        while (take_input(in))
            ;
    else if (ready)
        take_input(in);
    if (in->fd.pollable)
        input_watch(in);
    in->busy = false;
    if (!in->owner)
        input_free(in);
}

static void input_ready(uv_poll_t *poll, int status, int events)
{
    struct chardev_input *in = lunik_container_of(poll, struct chardev_input, poll);

    if (!in->at_end) {
        input_work(in, true);
    } else {
        uv_poll_stop(poll);
        in->ended(in->owner, 0);
    }
}

static void input_task(lunik_task *task)
{
    input_work(lunik_container_of(task, struct chardev_input, task), false);
}

int chardev_input_open(struct chardev_input **in, struct chardev *c, int fd, chardev_end_fn *ended,
                       lunik_error *err)
{
    struct chardev_input *i = calloc(1, sizeof(*i));
    int code;

    if (!i)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "%s: no memory for the input",
                          lunik_object_type_name(lunik_state_object(c)));
    i->owner = c;
    i->rt = runtime_of(c);
    i->ended = ended;
    i->task.fn = input_task;
    code = fd_init(&i->fd, c, fd, &i->poll, err);
    if (code) {
        free(i);
        return code;
    }
    *in = i;
    chardev_input_resume(i);
    return 0;
}

void chardev_input_resume(struct chardev_input *in)
{
    if (in && !in->at_end && !(in->fd.pollable && uv_is_active((uv_handle_t *)&in->poll)))
        lunik_defer(in->rt, &in->task);
}

void chardev_input_restart(struct chardev_input *in)
{
    in->at_end = false;
    chardev_input_resume(in);
}

void chardev_input_close(struct chardev_input **in)
{
    struct chardev_input *i = *in;

    if (!i)
        return;
    *in = NULL;
    i->owner = NULL;
    lunik_defer_cancel(i->rt, &i->task);
    lunik_loop(i->rt);
    if (!i->busy)
        input_free(i);
}

/* ---- watch ---------------------------------------------------------------------------------- */

struct chardev_watch {
    struct chardev *owner;
    lunik_runtime *rt;
    void (*fn)(struct chardev *c);
    int fd;
    uv_poll_t poll;
};

static void watch_ready(uv_poll_t *poll, int status, int events)
{
    struct chardev_watch *w = lunik_container_of(poll, struct chardev_watch, poll);

    w->fn(w->owner);
}

int chardev_watch_open(struct chardev_watch **watch, struct chardev *c, int fd,
                       void (*fn)(struct chardev *c), lunik_error *err)
{
    struct chardev_watch *w = calloc(1, sizeof(*w));
    int code;

    if (!w)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "%s: no memory for a watch",
                          lunik_object_type_name(lunik_state_object(c)));
    w->owner = c;
    w->rt = runtime_of(c);
    w->fn = fn;
    w->fd = fd;
    code = uv_poll_init(lunik_loop(w->rt), &w->poll, fd);
    if (code) {
        free(w);
        return lunik_fail_errno(err, -code, "%s: can't watch a file descriptor",
                                lunik_object_type_name(lunik_state_object(c)));
    }
    uv_unref((uv_handle_t *)&w->poll);
    uv_poll_start(&w->poll, UV_READABLE, watch_ready);
    *watch = w;
    return 0;
}

static void watch_closed(uv_handle_t *handle)
{
    free(lunik_container_of((uv_poll_t *)handle, struct chardev_watch, poll));
}

void chardev_watch_close(struct chardev_watch **watch)
{
    struct chardev_watch *w = *watch;

    if (!w)
        return;
    *watch = NULL;
    lunik_loop(w->rt);
    uv_close((uv_handle_t *)&w->poll, watch_closed);
    close(w->fd);
}

/* ---- type ----------------------------------------------------------------------------------- */

static const lunik_prop chardev_props[] = {
    {
        .name = "written",
        .kind = LUNIK_PROP_UINT,
        .doc = "Bytes taken from the front end so far.",
        .offset = offsetof(struct chardev, written),
        .flags = LUNIK_PROP_READONLY,
    },
    {
        .name = "dropped",
        .kind = LUNIK_PROP_UINT,
        .doc = "Bytes of those that were dropped: nobody was connected, or the target failed.",
        .offset = offsetof(struct chardev, dropped),
        .flags = LUNIK_PROP_READONLY,
    },
    {0},
};

const lunik_type chardev_type = {
    .name = "chardev",
    .doc = "A byte stream to the world outside.",
    .flags = LUNIK_TYPE_ABSTRACT,
    .size = sizeof(struct chardev),
    .props = chardev_props,
};
