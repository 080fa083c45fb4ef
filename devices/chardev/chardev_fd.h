/* chardev_fd.h: file descriptors of any kind, for the outputs and inputs of character devices. */
#ifndef CHARDEV_CHARDEV_FD_H
#define CHARDEV_CHARDEV_FD_H

#include <sys/types.h>

#include "chardev.h"

/* How a descriptor has to be treated. */
struct chardev_fd {
    int fd;
    bool socket, fifo;
    bool blocking; /* shared with others who expect that */
    bool pollable; /* regular files and some devices are not: they never block for long */
};

/* Looks fd over and prepares poll, which does not keep the loop alive, if fd can be watched. The
 * file status flags, which libuv changes, are put back: they may be shared with other processes. */
int chardev_fd_init(struct chardev_fd *f, struct chardev *c, int fd, uv_poll_t *poll,
                    lunik_error *err);

/* As read() and write(), but without waiting and without SIGPIPE. */
ssize_t chardev_fd_read(const struct chardev_fd *f, uint8_t *data, size_t size);
ssize_t chardev_fd_write(const struct chardev_fd *f, const uint8_t *data, size_t size);
/* True for the errno values that only mean "not now". */
bool chardev_would_block(int sys);

#endif
