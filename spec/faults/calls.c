/* calls.c: the calls that can fail, each in the way in which it does when a host runs short. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/vfs.h>
#include <termios.h>
#include <unistd.h>
#include <uv.h>

#include "faults.h"

#define FAILS(name, sys, value)                                                                    \
    do {                                                                                           \
        if (faults_here(name, FAULT_FAILS)) {                                                      \
            errno = (sys);                                                                         \
            return value;                                                                          \
        }                                                                                          \
    } while (0)

#define INTERRUPTED(name)                                                                          \
    do {                                                                                           \
        if (faults_here(name, FAULT_INTERRUPTED)) {                                                \
            errno = EINTR;                                                                         \
            return -1;                                                                             \
        }                                                                                          \
    } while (0)

/* A call like libc's own that fails with sys and value. */
#define CALL(type, name, sys, value, parameters, arguments)                                        \
    static type at_##name parameters                                                               \
    {                                                                                              \
        FAILS(#name, sys, value);                                                                  \
        return name arguments;                                                                     \
    }

/* The same, for one that a signal may also interrupt. */
#define SLOW_CALL(type, name, sys, value, parameters, arguments)                                   \
    static type at_##name parameters                                                               \
    {                                                                                              \
        INTERRUPTED(#name);                                                                        \
        FAILS(#name, sys, value);                                                                  \
        return name arguments;                                                                     \
    }

/* ---- memory --------------------------------------------------------------------------------- */

static void *taken(void *block, size_t size)
{
    if (block)
        faults_block_taken(block, size);
    return block;
}

static void *at_malloc(size_t size)
{
    FAILS("malloc", ENOMEM, NULL);
    return taken(malloc(size), size);
}

static void *at_calloc(size_t count, size_t size)
{
    FAILS("calloc", ENOMEM, NULL);
    return taken(calloc(count, size), count * size);
}

static void *at_aligned_alloc(size_t alignment, size_t size)
{
    FAILS("aligned_alloc", ENOMEM, NULL);
    return taken(aligned_alloc(alignment, size), size);
}

static void *at_realloc(void *block, size_t size)
{
    FAILS("realloc", ENOMEM, NULL);
    faults_block_freed(block);
    return taken(realloc(block, size), size);
}

static void at_free(void *block)
{
    faults_block_freed(block);
    free(block);
}

static char *at_strdup(const char *text)
{
    FAILS("strdup", ENOMEM, NULL);
    return taken(strdup(text), strlen(text) + 1);
}

static char *at_strndup(const char *text, size_t size)
{
    FAILS("strndup", ENOMEM, NULL);
    return taken(strndup(text, size), size + 1);
}

static int at_asprintf(char **out, const char *format, ...)
{
    va_list args;
    int rc;

    FAILS("asprintf", ENOMEM, -1);
    va_start(args, format);
    rc = vasprintf(out, format, args);
    va_end(args);
    if (rc >= 0)
        taken(*out, (size_t)rc + 1);
    return rc;
}

CALL(FILE *, open_memstream, ENOMEM, NULL, (char **buffer, size_t *size), (buffer, size))
static void *at_mmap(void *address, size_t size, int prot, int flags, int fd, off_t offset)
{
    void *mapping;

    FAILS("mmap", ENOMEM, MAP_FAILED);
    mapping = mmap(address, size, prot, flags, fd, offset);
    if (mapping != MAP_FAILED)
        faults_run_mapped(fd, size, mapping);
    return mapping;
}

SLOW_CALL(int, madvise, ENOMEM, -1, (void *address, size_t size, int advice),
          (address, size, advice))

static long at_syscall(long number, long a, long b, long c, long d, long e, long f)
{
    if (number == SYS_mbind)
        FAILS("mbind", ENOMEM, -1);
    return syscall(number, a, b, c, d, e, f);
}

/* ---- files ---------------------------------------------------------------------------------- */

static int at_open(const char *path, int flags, mode_t mode)
{
    INTERRUPTED("open");
    FAILS("open", EMFILE, -1);
    return open(path, flags, mode);
}

static int at_fcntl(int fd, int command, void *argument)
{
    FAILS("fcntl", EMFILE, -1);
    return fcntl(fd, command, argument);
}

CALL(int, memfd_create, EMFILE, -1, (const char *name, unsigned flags), (name, flags))
CALL(int, eventfd, EMFILE, -1, (unsigned value, int flags), (value, flags))
CALL(int, timerfd_create, EMFILE, -1, (int clock, int flags), (clock, flags))
CALL(int, epoll_ctl, ENOSPC, -1, (int epfd, int op, int fd, struct epoll_event *event),
     (epfd, op, fd, event))
CALL(int, dup, EMFILE, -1, (int fd), (fd))
CALL(int, mkostemp, EMFILE, -1, (char *path, int flags), (path, flags))
CALL(int, posix_openpt, EMFILE, -1, (int flags), (flags))
CALL(int, grantpt, EACCES, -1, (int fd), (fd))
CALL(int, unlockpt, EINVAL, -1, (int fd), (fd))
CALL(int, inotify_init1, EMFILE, -1, (int flags), (flags))
CALL(int, inotify_add_watch, ENOSPC, -1, (int fd, const char *path, uint32_t mask),
     (fd, path, mask))
CALL(int, fstat, EIO, -1, (int fd, struct stat *st), (fd, st))
CALL(int, fstatfs, EIO, -1, (int fd, struct statfs *st), (fd, st))
CALL(int, fchmod, EPERM, -1, (int fd, mode_t mode), (fd, mode))
CALL(int, tcgetattr, EIO, -1, (int fd, struct termios *t), (fd, t))
CALL(int, tcsetattr, EIO, -1, (int fd, int when, const struct termios *t), (fd, when, t))
SLOW_CALL(int, ftruncate, ENOSPC, -1, (int fd, off_t size), (fd, size))
SLOW_CALL(ssize_t, read, EIO, -1, (int fd, void *data, size_t size), (fd, data, size))
SLOW_CALL(ssize_t, write, ENOSPC, -1, (int fd, const void *data, size_t size), (fd, data, size))

/* What can't fail, or is asked because it may, is left alone. */
static int at_ioctl(int fd, unsigned long request, void *argument)
{
    if (request == KVM_RUN)
        return faults_run(fd);
    if (request == KVM_CHECK_EXTENSION || request == KVM_GET_API_VERSION ||
        request == KVM_GET_VCPU_MMAP_SIZE || request == KVM_RESET_DIRTY_RINGS ||
        request == KVM_IRQ_LINE)
        return ioctl(fd, request, argument);
    if (request == KVM_CREATE_VM)
        INTERRUPTED("ioctl");
    FAILS("ioctl", ENOMEM, -1);
    return ioctl(fd, request, argument);
}

/* ---- sockets -------------------------------------------------------------------------------- */

CALL(int, socket, EMFILE, -1, (int domain, int type, int protocol), (domain, type, protocol))
CALL(int, bind, EADDRINUSE, -1, (int fd, const struct sockaddr *to, socklen_t size), (fd, to, size))
CALL(int, listen, EADDRINUSE, -1, (int fd, int backlog), (fd, backlog))
SLOW_CALL(int, connect, ECONNREFUSED, -1, (int fd, const struct sockaddr *to, socklen_t size),
          (fd, to, size))
SLOW_CALL(int, accept4, EMFILE, -1, (int fd, struct sockaddr *from, socklen_t *size, int flags),
          (fd, from, size, flags))
SLOW_CALL(ssize_t, send, ENOBUFS, -1, (int fd, const void *data, size_t size, int flags),
          (fd, data, size, flags))
SLOW_CALL(ssize_t, recv, ECONNRESET, -1, (int fd, void *data, size_t size, int flags),
          (fd, data, size, flags))

/* ---- threads and libuv, which return errors ------------------------------------------------- */

static int at_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
                             void *arg)
{
    if (faults_here("pthread_create", FAULT_FAILS))
        return EAGAIN;
    return pthread_create(thread, attr, fn, arg);
}

#define UV_CALL(name, error, parameters, arguments)                                                \
    static int at_##name parameters                                                                \
    {                                                                                              \
        return faults_here(#name, FAULT_FAILS) ? (error) : name arguments;                         \
    }

UV_CALL(uv_loop_init, UV_EMFILE, (uv_loop_t * loop), (loop))
UV_CALL(uv_async_init, UV_EMFILE, (uv_loop_t * loop, uv_async_t *handle, uv_async_cb fn),
        (loop, handle, fn))
UV_CALL(uv_poll_init, UV_ENOMEM, (uv_loop_t * loop, uv_poll_t *handle, int fd), (loop, handle, fd))

#define ENTRY(name)                                                                                \
    {                                                                                              \
#name, at_##name                                                                           \
    }

const struct faults_call faults_calls[] = {
    ENTRY(malloc),         ENTRY(calloc),
    ENTRY(realloc),        ENTRY(free),
    ENTRY(aligned_alloc),  ENTRY(strdup),
    ENTRY(strndup),        ENTRY(asprintf),
    ENTRY(open_memstream), ENTRY(mmap),
    ENTRY(madvise),        ENTRY(syscall),
    ENTRY(open),           ENTRY(fcntl),
    ENTRY(memfd_create),   ENTRY(eventfd),
    ENTRY(timerfd_create), ENTRY(dup),
    ENTRY(mkostemp),       ENTRY(posix_openpt),
    ENTRY(grantpt),        ENTRY(unlockpt),
    ENTRY(inotify_init1),  ENTRY(inotify_add_watch),
    ENTRY(fstat),          ENTRY(fstatfs),
    ENTRY(fchmod),         ENTRY(tcgetattr),
    ENTRY(tcsetattr),      ENTRY(ftruncate),
    ENTRY(read),           ENTRY(write),
    ENTRY(ioctl),          ENTRY(socket),
    ENTRY(bind),           ENTRY(listen),
    ENTRY(connect),        ENTRY(accept4),
    ENTRY(send),           ENTRY(recv),
    ENTRY(pthread_create), ENTRY(uv_loop_init),
    ENTRY(uv_async_init),  ENTRY(uv_poll_init),
    ENTRY(epoll_ctl),      {0},
};
