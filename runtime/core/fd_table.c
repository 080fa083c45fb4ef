/*
 * fd_table.c: room for descriptors.
 *
 * The kernel doubles a process's table of descriptors when it is full, and where there are several
 * threads it waits for a grace period then: milliseconds, as a rule with the machine lock held. A
 * process with one thread does not wait, and the table never shrinks; so it is grown early.
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
