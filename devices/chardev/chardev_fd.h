/* chardev_fd.h: file descriptors of any kind, for the outputs and inputs of character devices. */
#ifndef CHARDEV_CHARDEV_FD_H
#define CHARDEV_CHARDEV_FD_H

#include <sys/types.h>

#include "chardev.h"

/* A file descriptor and how to treat it. */
struct chardev_fd {
    int fd;
    bool socket, fifo;
    bool blocking; /* other processes share it and expect that */
    bool pollable; /* regular files and some devices are not: they never block for long */
};

/* Examines fd and, if it can be watched, initializes poll, which does not keep the loop alive. Puts
 * back the file status flags, which libuv changes: they may be shared with other processes. */
int chardev_fd_init(struct chardev_fd *f, struct chardev *c, int fd, uv_poll_t *poll,
                    lunik_error *err);

/* Work as read() and write(), but without waiting and without SIGPIPE. */
ssize_t chardev_fd_read(const struct chardev_fd *f, uint8_t *data, size_t size);
/* The same for a socket; calls take with each descriptor that comes with the bytes. */
ssize_t chardev_fd_receive(const struct chardev_fd *f, uint8_t *data, size_t size,
                           void (*take)(struct chardev *c, int fd), struct chardev *c);
ssize_t chardev_fd_write(const struct chardev_fd *f, const uint8_t *data, size_t size);
/* Returns whether an errno value only means "not now". */
bool chardev_would_block(int sys);

#endif
