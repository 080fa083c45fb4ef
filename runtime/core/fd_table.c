/*
 * fd_table.c: grows the process's descriptor table early.
 *
 * The kernel doubles the table when it is full. In a process with several threads it then waits for
 * a grace period: milliseconds, usually with the machine lock held. A process with one thread does
 * not wait, and the table never shrinks.
 */
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "runtime.h"

void fd_table_reserve(int any)
{
    enum { ROOM = 4096 }; /* 8 bytes of the kernel's memory for each */
    struct rlimit limit;
    int fd;

    if (getrlimit(RLIMIT_NOFILE, &limit) || !limit.rlim_cur)
        return;
    fd = fcntl(any, F_DUPFD_CLOEXEC, limit.rlim_cur < ROOM ? (int)limit.rlim_cur - 1 : ROOM - 1);
    if (fd >= 0)
        close(fd);
}
