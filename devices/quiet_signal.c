/* quiet_signal.c: see quiet_signal.h. */
#include "quiet_signal.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

void quiet_signal_begin(struct quiet_signal *q, int sig)
{
    sigset_t pending;

    sigemptyset(&q->set);
    sigaddset(&q->set, sig);
    sigpending(&pending);
    q->pending = sigismember(&pending, sig);
    pthread_sigmask(SIG_BLOCK, &q->set, &q->before);
}

void quiet_signal_end(struct quiet_signal *q, bool raised)
{
    const struct timespec now = {0};
    int sys = errno;

    if (raised && !q->pending)
        while (sigtimedwait(&q->set, NULL, &now) < 0 && errno == EINTR)
            ;
    pthread_sigmask(SIG_SETMASK, &q->before, NULL);
    errno = sys;
}

int quiet_truncate(int fd, off_t size)
{
    struct quiet_signal q;
    int rc;

    quiet_signal_begin(&q, SIGXFSZ);
    do {
        rc = ftruncate(fd, size);
    } while (rc < 0 && errno == EINTR);
    quiet_signal_end(&q, rc < 0 && errno == EFBIG);
    return rc;
}
