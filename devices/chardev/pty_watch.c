/* pty_watch.c: see pty_watch.h. */
#include "pty_watch.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <unistd.h>

static const char watcher_key[] = "chardev-pty";

/* One in a runtime. */
struct pty_watcher {
    int fd;
    uv_poll_t poll;
    LIST_HEAD(, pty_watch) watches;
};

/* Calls the watch with number wd. One that was closed meanwhile is not found: the kernel uses a
 * number only once. */
static void touched(struct pty_watcher *w, int wd)
{
    struct pty_watch *watch, *next;

    for (watch = LIST_FIRST(&w->watches); watch; watch = next) {
        next = LIST_NEXT(watch, entry);
        if (wd < 0 || watch->wd == wd) /* less than 0: events were lost */
            watch->fn(watch);
    }
}

/* Reads once, so that a program that opens and closes without a pause does not keep the loop from
 * other work. */
static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct pty_watcher *w = lunik_container_of(poll, struct pty_watcher, poll);
    _Alignas(struct inotify_event) char data[16 * (sizeof(struct inotify_event) + NAME_MAX + 1)];
    ssize_t size = read(w->fd, data, sizeof(data));

    for (ssize_t at = 0; at < size;) {
        const struct inotify_event *event = (const struct inotify_event *)(data + at);

        at += (ssize_t)(sizeof(*event) + event->len);
        touched(w, event->wd);
    }
}

static void on_closed(uv_handle_t *handle)
{
    struct pty_watcher *w = lunik_container_of((uv_poll_t *)handle, struct pty_watcher, poll);

    close(w->fd);
    free(w);
}

static void release(void *data)
{
    struct pty_watcher *w = data;

    uv_close((uv_handle_t *)&w->poll, on_closed);
}

static int fail(lunik_error *err, int sys, const char *what)
{
    return lunik_fail_errno(err, sys, "chardev-pty: %s", what);
}

static int watcher_new(struct pty_watcher **out, lunik_runtime *rt, lunik_error *err)
{
    struct pty_watcher *w = calloc(1, sizeof(*w));
    int rc;

    if (!w)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "chardev-pty: no memory to watch the slave");
    w->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (w->fd < 0) {
        rc = fail(err, errno, "can't watch the slave (inotify; see fs.inotify.max_user_instances)");
        goto fail_fd;
    }
    rc = uv_poll_init(lunik_loop(rt), &w->poll, w->fd);
    if (rc) {
        rc = fail(err, -rc, "can't watch the slave");
        goto fail_poll;
    }
    uv_unref((uv_handle_t *)&w->poll);
    rc = lunik_poll_start(&w->poll, UV_READABLE, on_readable);
    if (rc) {
        rc = fail(err, -rc, "can't watch the slave");
        release(w);
        return rc;
    }
    *out = w;
    return 0;
fail_poll:
    close(w->fd);
fail_fd:
    free(w);
    return rc;
}

static int find_watcher(struct pty_watcher **out, lunik_runtime *rt, lunik_error *err)
{
    int rc;

    *out = lunik_runtime_data(rt, watcher_key);
    if (*out)
        return 0;
    rc = watcher_new(out, rt, err);
    if (!rc && lunik_runtime_set_data(rt, watcher_key, *out, release)) {
        release(*out);
        rc = lunik_fail(err, LUNIK_E_NO_MEMORY, "chardev-pty: no memory to watch the slave");
    }
    return rc;
}

int pty_watch_open(struct pty_watch *watch, lunik_runtime *rt, const char *path, lunik_error *err)
{
    struct pty_watcher *w;
    int rc = find_watcher(&w, rt, err);

    if (rc)
        return rc;
    watch->wd = inotify_add_watch(w->fd, path, IN_OPEN | IN_CLOSE);
    if (watch->wd < 0)
        return fail(err, errno, path);
    watch->watcher = w;
    LIST_INSERT_HEAD(&w->watches, watch, entry);
    return 0;
}

void pty_watch_close(struct pty_watch *watch)
{
    if (!watch->watcher)
        return;
    inotify_rm_watch(watch->watcher->fd, watch->wd);
    LIST_REMOVE(watch, entry);
    watch->watcher = NULL;
}
