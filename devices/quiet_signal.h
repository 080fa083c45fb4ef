/* quiet_signal.h: keeps system calls from raising a signal when they fail. */
#ifndef DEVICES_QUIET_SIGNAL_H
#define DEVICES_QUIET_SIGNAL_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

struct quiet_signal {
    sigset_t set, before;
    bool pending; /* one was pending before */
};

/* Keeps sig (SIGPIPE, SIGXFSZ) from this thread, whatever its action in the process. */
void quiet_signal_begin(struct quiet_signal *q, int sig);
/* Ends that; raised: the call has failed in the way that raises it. Keeps errno. */
void quiet_signal_end(struct quiet_signal *q, bool raised);
/* Works as ftruncate(), but without SIGXFSZ beyond RLIMIT_FSIZE. */
int quiet_truncate(int fd, off_t size);

#endif
