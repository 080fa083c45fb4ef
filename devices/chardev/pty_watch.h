/*
 * pty_watch.h: notices when programs open and close the slaves of pseudo-terminals.
 *
 * A runtime has one inotify instance, made with the first watch: a user can have only a few, and
 * closing one takes the kernel milliseconds.
 */
#ifndef CHARDEV_PTY_WATCH_H
#define CHARDEV_PTY_WATCH_H

#include "lunik_device.h"

/* Embed it, zeroed. */
struct pty_watch {
    /* Called on the loop thread after the slave was opened or closed. */
    void (*fn)(struct pty_watch *watch);
    /* private */
    int wd;
    struct pty_watcher *watcher; /* NULL: closed */
    LIST_ENTRY(pty_watch) entry;
};

int pty_watch_open(struct pty_watch *watch, lunik_runtime *rt, const char *path, lunik_error *err);
/* Does nothing if the watch is closed. */
void pty_watch_close(struct pty_watch *watch);

#endif
