/* quiet_signal.h: system calls that fail with a signal on top, without that signal. */
#ifndef CHARDEV_QUIET_SIGNAL_H
#define CHARDEV_QUIET_SIGNAL_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

struct quiet_signal {
    sigset_t set, before;
    bool pending; /* another one, sent before */
};

/* Keeps sig (SIGPIPE, SIGXFSZ) from this thread, whatever the process does about it. */
void quiet_signal_begin(struct quiet_signal *q, int sig);
/* Ends that; raised: the call has failed in the way that sends it. Keeps errno. */
void quiet_signal_end(struct quiet_signal *q, bool raised);
/* ftruncate() beyond RLIMIT_FSIZE. */
int quiet_truncate(int fd, off_t size);

#endif
