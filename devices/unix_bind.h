/*
 * unix_bind.h: gives a Unix domain socket its file. The functions are in a header since back ends
 * and the Lua module, which is a library of its own, share them.
 */
#ifndef DEVICES_UNIX_BIND_H
#define DEVICES_UNIX_BIND_H

#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lunik_device.h"

/* Removes the socket file of a server that is gone. */
static inline void unix_remove_stale(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct stat st;

    if (fd < 0)
        return;
    if (lstat(address->sun_path, &st) == 0 && S_ISSOCK(st.st_mode) &&
        connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 &&
        errno == ECONNREFUSED)
        unlink(address->sun_path);
    close(fd);
}

/* Binds with mode 0600, set before other users can see the file; -1 with errno. It replaces the
 * file of a server that is gone. A sandbox without all files has no fchmod(), which reaches any
 * open file; there the umask does it, which also applies to files that other threads make at the
 * same time. */
static inline int unix_bind(int fd, const struct sockaddr_un *address)
{
    unsigned allow;
    bool masked = lunik_sandboxed(&allow) && !(allow & LUNIK_SANDBOX_FILES);
    mode_t before = 0;
    int rc;

    unix_remove_stale(address);
    if (masked)
        before = umask(0177);
    else if (fchmod(fd, 0600) < 0)
        return -1;
    rc = bind(fd, (const struct sockaddr *)address, sizeof(*address));
    if (masked)
        umask(before);
    return rc;
}

#endif
