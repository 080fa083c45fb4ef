/*
 * pty_watch.h: notices when programs open and close the slaves of pseudo-terminals.
 *
 * There is one inotify instance in a runtime, made with the first watch: a user can have few of
 * them, and closing one takes the kernel milliseconds.
 */
#ifndef CHARDEV_PTY_WATCH_H
#define CHARDEV_PTY_WATCH_H

#include "lunik_device.h"

/* Embed it, zeroed. */
struct pty_watch {
    void (*fn)(
        struct pty_watch *watch); /* on the loop thread, after a slave was opened or closed */
    /* private */
    int wd;
    struct pty_watcher *watcher; /* NULL: closed */
    LIST_ENTRY(pty_watch) entry;
};

int pty_watch_open(struct pty_watch *watch, lunik_runtime *rt, const char *path, lunik_error *err);
/* Does nothing to one that is closed. */
void pty_watch_close(struct pty_watch *watch);

#endif
