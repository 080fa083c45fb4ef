/* sys.c: system calls without a C library. */
#include "sys.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/time.h>
#include <poll.h>
#include <sys/syscall.h>

#define WORDS(instruction)                                                                         \
    __asm__ volatile(instruction                                                                   \
                     : "=a"(result)                                                                \
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)             \
                     : "rcx", "r11", "memory")

bool sys_by_ud2;

long sys_call(long number, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long result;

    if (sys_by_ud2)
        WORDS("ud2");
    else
        WORDS("syscall");
    return result;
}

long sys_open(const char *path, int flags, unsigned mode)
{
    return SYS4(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, mode);
}

void sys_close(long fd)
{
    SYS1(SYS_close, fd);
}

int64_t sys_now(void)
{
    struct timespec now = {0};

    SYS2(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void sys_sleep(int64_t milliseconds)
{
    struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};

    SYS2(SYS_nanosleep, &time, NULL);
}

long sys_wait(long fd, short events, int64_t deadline)
{
    struct pollfd one = {(int)fd, events, 0};
    struct timespec time;
    int64_t left;
    long rc;

    do {
        left = deadline < 0 ? 0 : deadline - sys_now();
        if (left < 0)
            left = 0;
        time = (struct timespec){left / 1000, left % 1000 * 1000000};
        rc = SYS5(SYS_ppoll, &one, 1, deadline < 0 ? NULL : &time, NULL, 8);
    } while (rc == -EINTR);
    if (rc == 0)
        return -ETIMEDOUT;
    return rc < 0 ? rc : one.revents;
}

/* One read or write, at an offset or where the file stands. */
static long transfer(bool write, long fd, char *data, size_t size, int64_t offset)
{
    if (offset < 0)
        return SYS3(write ? SYS_write : SYS_read, fd, data, size);
    return SYS4(write ? SYS_pwrite64 : SYS_pread64, fd, data, size, offset);
}

static long all(bool write, long fd, char *data, size_t size, int64_t offset)
{
    size_t done = 0;

    while (done < size) {
        long n =
            transfer(write, fd, data + done, size - done, offset < 0 ? -1 : offset + (long)done);

        if (n == -EINTR)
            continue;
        if (n < 0 && done == 0)
            return n;
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    return (long)done;
}

long sys_read_all(long fd, void *data, size_t size, int64_t offset)
{
    return all(false, fd, data, size, offset);
}

long sys_write_all(long fd, const void *data, size_t size, int64_t offset)
{
    return all(true, fd, (char *)(uintptr_t)data, size, offset);
}
