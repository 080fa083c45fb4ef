/* chardev_input.c: input from a file descriptor, and the watch on one; see chardev.h. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "chardev_fd.h"

/* ---- input ---------------------------------------------------------------------------------- */

struct chardev_input {
    struct chardev *owner; /* NULL once closed */
    lunik_runtime *rt;
    chardev_end_fn *ended;
    struct chardev_fd fd;
    uv_poll_t poll;
    lunik_task task;
    void (*hung_up)(struct chardev *c); /* NULL: not of interest */
    bool reading;                       /* the descriptor is watched for input */
    bool at_end;
    bool busy; /* in input_work(), whose callbacks may close this */
};

static void input_ready(uv_poll_t *poll, int status, int events);

static void input_end(struct chardev_input *in, int sys)
{
    in->at_end = true;
    in->reading = false;
    /* The peer may only have shut its sending side: wait for the hang-up, which a poll for any
     * event reports. One that can't be waited for has happened. */
    if (sys == 0 && in->fd.socket && !chardev_hung_up(in->fd.fd) &&
        lunik_poll_start(&in->poll, UV_PRIORITIZED, input_ready) == 0)
        return;
    if (in->fd.pollable)
        uv_poll_stop(&in->poll);
    in->ended(in->owner, sys);
}

/* Reads once; returns false when there is no more input for now. */
static bool take_input(struct chardev_input *in)
{
    uint8_t data[4096];
    size_t room = in->owner && !in->at_end ? chardev_can_receive(in->owner) : 0;
    ssize_t n;

    if (!room)
        return false;
    room = room < sizeof(data) ? room : sizeof(data);
    n = in->fd.socket && chardev_takes_fds(in->owner)
            ? chardev_fd_receive(&in->fd, data, room, chardev_receive_fd, in->owner)
            : chardev_fd_read(&in->fd, data, room);
    if (n > 0) {
        chardev_receive(in->owner, data, (size_t)n);
        return true;
    }
    if (n == 0 || (!chardev_would_block(errno) && errno != EINTR))
        input_end(in, n == 0 ? 0 : errno);
    return false;
}

/* Waits for the descriptor if the front end can receive; if not, for a hang-up if that is of
 * interest. */
static void input_watch(struct chardev_input *in)
{
    int rc = 0;

    if (!in->owner || in->at_end)
        return;
    if (chardev_can_receive(in->owner)) {
        if (!in->reading)
            rc = lunik_poll_start(&in->poll, UV_READABLE, input_ready);
        in->reading = true;
    } else if (in->reading || !uv_is_active((uv_handle_t *)&in->poll)) {
        in->reading = false;
        if (in->hung_up)
            rc = lunik_poll_start(&in->poll, UV_PRIORITIZED, input_ready);
        else
            uv_poll_stop(&in->poll);
    }
    if (rc) {
        chardev_failed(in->owner, -rc);
        input_end(in, -rc);
    }
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

/* Takes input: once from a descriptor that is ready, as much as fits from one that can't be
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

    if (!in->at_end && in->reading) {
        input_work(in, true);
    } else if (!in->at_end) {
        uv_poll_stop(poll);
        in->hung_up(in->owner);
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
    int rc;

    if (!i)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "%s: no memory for the input",
                          lunik_object_type_name(lunik_state_object(c)));
    i->owner = c;
    i->rt = chardev_runtime(c);
    i->ended = ended;
    i->task.fn = input_task;
    rc = chardev_fd_init(&i->fd, c, fd, &i->poll, err);
    if (rc) {
        free(i);
        return rc;
    }
    *in = i;
    chardev_input_resume(i);
    return 0;
}

void chardev_input_resume(struct chardev_input *in)
{
    if (in && !in->at_end && !in->reading)
        lunik_defer(in->rt, &in->task);
}

void chardev_input_on_hangup(struct chardev_input *in, void (*fn)(struct chardev *c))
{
    in->hung_up = fn;
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

static void watch_closed(uv_handle_t *handle)
{
    free(lunik_container_of((uv_poll_t *)handle, struct chardev_watch, poll));
}

static int fail_watch(struct chardev *c, int rc, lunik_error *err)
{
    return lunik_fail_errno(err, -rc, "%s: can't watch a file descriptor",
                            lunik_object_type_name(lunik_state_object(c)));
}

int chardev_watch_open(struct chardev_watch **watch, struct chardev *c, int fd,
                       void (*fn)(struct chardev *c), lunik_error *err)
{
    struct chardev_watch *w = calloc(1, sizeof(*w));
    int rc;

    if (!w)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "%s: no memory for a watch",
                          lunik_object_type_name(lunik_state_object(c)));
    w->owner = c;
    w->rt = chardev_runtime(c);
    w->fn = fn;
    w->fd = fd;
    rc = uv_poll_init(lunik_loop(w->rt), &w->poll, fd);
    if (rc) {
        free(w);
        return fail_watch(c, rc, err);
    }
    uv_unref((uv_handle_t *)&w->poll);
    rc = lunik_poll_start(&w->poll, UV_READABLE, watch_ready);
    if (rc) {
        uv_close((uv_handle_t *)&w->poll, watch_closed);
        return fail_watch(c, rc, err);
    }
    *watch = w;
    return 0;
}

void chardev_watch_pause(struct chardev_watch *watch)
{
    if (watch)
        uv_poll_stop(&watch->poll);
}

int chardev_watch_resume(struct chardev_watch *watch)
{
    if (!watch || uv_is_active((uv_handle_t *)&watch->poll))
        return 0;
    lunik_loop(watch->rt);
    return lunik_poll_start(&watch->poll, UV_READABLE, watch_ready);
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
