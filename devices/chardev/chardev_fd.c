/* chardev_fd.c: see chardev_fd.h. */
#define _GNU_SOURCE /* TEMP_FAILURE_RETRY */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chardev_fd.h"
#include "../quiet_signal.h"

enum { RECEIVED_MAX = 253 }; /* descriptors with one message, as the kernel has it */

int chardev_fd_init(struct chardev_fd *f, struct chardev *c, int fd, uv_poll_t *poll,
                    lunik_error *err)
{
    lunik_object *o = lunik_state_object(c);
    int flags = fcntl(fd, F_GETFL);
    struct stat st;
    int rc;

    if (flags < 0 || fstat(fd, &st) < 0)
        return lunik_fail_errno(err, errno, "%s '%s'", lunik_object_type_name(o),
                                lunik_object_id(o));
    f->fd = fd;
    f->socket = S_ISSOCK(st.st_mode);
    f->fifo = S_ISFIFO(st.st_mode);
    f->blocking = !(flags & O_NONBLOCK);
    rc = uv_poll_init(lunik_loop(chardev_runtime(c)), poll, fd);
    f->pollable = !rc;
    if (f->pollable) {
        uv_unref((uv_handle_t *)poll);
        if (f->blocking)
            fcntl(fd, F_SETFL, flags);
    } else if (rc != UV_EPERM) {
        return lunik_fail_errno(err, -rc, "%s '%s': can't watch the file descriptor",
                                lunik_object_type_name(o), lunik_object_id(o));
    }
    return 0;
}

bool chardev_hung_up(int fd)
{
    struct pollfd p = {.fd = fd};

    return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR | POLLNVAL));
}

/* Works as write() without the signal that a broken pipe, or a file that has become too big, sends.
 */
static ssize_t write_quietly(const struct chardev_fd *f, const uint8_t *data, size_t size)
{
    int sig = f->fifo ? SIGPIPE : SIGXFSZ, raises = f->fifo ? EPIPE : EFBIG;
    struct quiet_signal q;
    ssize_t n;

    quiet_signal_begin(&q, sig);
    n = write(f->fd, data, size);
    quiet_signal_end(&q, n < 0 && errno == raises);
    return n;
}

ssize_t chardev_fd_write(const struct chardev_fd *f, const uint8_t *data, size_t size)
{
    struct pollfd p = {.fd = f->fd, .events = POLLOUT};
    size_t chunk =
        f->fifo ? PIPE_BUF : 128; /* a writable pipe, or terminal, has room for as much */

    if (f->socket)
        return send(f->fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (f->pollable && f->blocking) {
        if (poll(&p, 1, 0) == 0) {
            errno = EAGAIN;
            return -1;
        }
        size = size < chunk ? size : chunk;
    }
    return write_quietly(f, data, size);
}

ssize_t chardev_fd_read(const struct chardev_fd *f, uint8_t *data, size_t size)
{
    return f->socket ? recv(f->fd, data, size, MSG_DONTWAIT) : read(f->fd, data, size);
}

ssize_t chardev_fd_receive(const struct chardev_fd *f, uint8_t *data, size_t size,
                           void (*take)(struct chardev *c, int fd), struct chardev *c)
{
    union {
        char bytes[CMSG_SPACE(RECEIVED_MAX * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec iov = {.iov_base = data, .iov_len = size};
    struct msghdr msg = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof(control.bytes),
    };
    ssize_t n = recvmsg(f->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

    if (n < 0)
        return n;
    for (struct cmsghdr *h = CMSG_FIRSTHDR(&msg); h; h = CMSG_NXTHDR(&msg, h)) {
        size_t count = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        int fd;

        if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t i = 0; i < count; i++) {
            memcpy(&fd, CMSG_DATA(h) + i * sizeof(fd), sizeof(fd));
            take(c, fd);
        }
    }
    return n;
}

bool chardev_would_block(int sys)
{
    return sys == EAGAIN || sys == EWOULDBLOCK;
}

int chardev_reopen(int fd, int mode)
{
    char path[32];
    struct stat st;
    int copy = -1;

    if (fstat(fd, &st) < 0)
        return -1;
    /* Inherited descriptors have survived exec: one that would not was opened later, in place of a
     * stream that was closed. */
    if (fcntl(fd, F_GETFD) & FD_CLOEXEC) {
        errno = EBADF;
        return -1;
    }
    if (S_ISFIFO(st.st_mode) || isatty(fd)) {
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        copy = TEMP_FAILURE_RETRY(open(path, mode | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    }
    return copy >= 0 ? copy : fcntl(fd, F_DUPFD_CLOEXEC, 0);
}
