/*
 * sys.h: system calls without a C library.
 *
 * The instruction is chosen at the start: `syscall`, or `ud2` for a kernel that takes an undefined
 * instruction from user mode as a system call, where a hypervisor lets neither `syscall` nor `int`
 * reach it (linux/linux-user.patch). Both have two bytes, so a kernel restarts both alike.
 */
#ifndef AGENT_SYS_H
#define AGENT_SYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

extern bool sys_by_ud2;

/* Calls the kernel; returns its result, or a negative errno. */
long sys_call(long number, long a, long b, long c, long d, long e, long f);

/* Pointers and integers may be mixed. */
#define SYS6(n, a, b, c, d, e, f)                                                                  \
    sys_call(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define SYS5(n, a, b, c, d, e) SYS6(n, a, b, c, d, e, 0)
#define SYS4(n, a, b, c, d)    SYS5(n, a, b, c, d, 0)
#define SYS3(n, a, b, c)       SYS4(n, a, b, c, 0)
#define SYS2(n, a, b)          SYS3(n, a, b, 0)
#define SYS1(n, a)             SYS2(n, a, 0)
#define SYS0(n)                SYS1(n, 0)

/* Opens a file, with close-on-exec. */
long sys_open(const char *path, int flags, unsigned mode);

void sys_close(long fd);

/* Milliseconds since some moment in the past. */
int64_t sys_now(void);

void sys_sleep(int64_t milliseconds);

/* Waits until fd is ready for one of the events or the deadline is over (a time of sys_now(); -1:
 * for ever). Returns the events, -ETIMEDOUT, or another negative errno. */
long sys_wait(long fd, short events, int64_t deadline);

/* Reads from fd until the buffer is full or there is no more; returns how much. offset -1: from
 * where the file stands. */
long sys_read_all(long fd, void *data, size_t size, int64_t offset);

/* Writes all; returns the size, less only if an error came after a part, or a negative errno. */
long sys_write_all(long fd, const void *data, size_t size, int64_t offset);

#endif
