/* unix_socket.c: see unix_socket.h. */
#define _GNU_SOURCE /* accept4 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "unix_bind.h"
#include "unix_socket.h"

/* The beginning of errors. */
struct name {
    const char *type, *property, *path;
};

static struct name name_of(lunik_object *o, const char *property, const char *path)
{
    return (struct name){lunik_object_type_name(o), property, path};
}

static int fail(const struct name *n, lunik_error *err, const char *what)
{
    return lunik_fail_errno(err, errno, "%s: %s: can't %s '%s'", n->type, n->property, what,
                            n->path);
}

static int make_address(const struct name *n, struct sockaddr_un *address, lunik_error *err)
{
    size_t size = strlen(n->path);

    if (size == 0 || size >= sizeof(address->sun_path))
        return lunik_fail(err, LUNIK_E_INVALID, "%s: %s: '%s' is %s (want 1 to %zu bytes)", n->type,
                          n->property, n->path, size ? "too long" : "empty",
                          sizeof(address->sun_path) - 1);
    memset(address, 0, sizeof(*address));
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, n->path, size);
    return 0;
}

static int new_socket(const struct name *n, lunik_error *err)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    return fd >= 0 ? fd : lunik_fail_errno(err, errno, "%s: can't make a socket", n->type);
}

/* ---- listening ------------------------------------------------------------------------------ */

static int bind_path(struct unix_listener *l, const struct name *n,
                     const struct sockaddr_un *address, lunik_error *err)
{
    struct stat st;

    if (unix_bind(l->fd, address) < 0) {
        if (errno == EADDRINUSE)
            return lunik_fail(err, LUNIK_E_EXISTS, "%s: %s: '%s' exists", n->type, n->property,
                              n->path);
        return fail(n, err, "bind to");
    }
    if (lstat(n->path, &st) < 0)
        return fail(n, err, "find");
    l->dev = st.st_dev;
    l->ino = st.st_ino;
    return 0;
}

static void remove_path(struct unix_listener *l)
{
    struct stat st;

    if (l->ino && lstat(l->path, &st) == 0 && st.st_dev == l->dev && st.st_ino == l->ino)
        unlink(l->path);
    l->ino = 0;
}

static void close_spare(struct unix_listener *l)
{
    if (l->spare >= 0)
        close(l->spare);
    l->spare = -1;
}

int unix_listen(struct unix_listener *l, lunik_object *o, const char *property, const char *path,
                lunik_error *err)
{
    struct name n = name_of(o, property, path);
    struct sockaddr_un address;
    int rc;

    *l = (struct unix_listener){.path = path, .fd = -1, .spare = -1};
    rc = make_address(&n, &address, err);
    if (rc)
        return rc;
    rc = l->fd = new_socket(&n, err);
    if (rc < 0)
        return rc;
    rc = bind_path(l, &n, &address, err);
    if (!rc && (listen(l->fd, 1) < 0 || (l->spare = fcntl(l->fd, F_DUPFD_CLOEXEC, 0)) < 0))
        rc = fail(&n, err, "listen at");
    if (rc)
        unix_unlisten(l);
    return rc;
}

static int socket_option(int fd, int option)
{
    int value = -1;
    socklen_t size = sizeof(value);

    return getsockopt(fd, SOL_SOCKET, option, &value, &size) < 0 ? -1 : value;
}

bool unix_is_listening(int fd)
{
    return socket_option(fd, SO_ACCEPTCONN) == 1;
}

/* ---- sockets of the program's -----------------------------------------------------------------
 */

/* Duplicates a stream socket of the program's. */
static int own_socket(lunik_object *o, const char *property, int fd, lunik_error *err)
{
    int own;

    if (socket_option(fd, SO_TYPE) != SOCK_STREAM || socket_option(fd, SO_DOMAIN) != AF_UNIX)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "%s: %s: '%d' is not a stream socket of the Unix domain",
                          lunik_object_type_name(o), property, fd);
    own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return own >= 0 ? own
                    : lunik_fail_errno(err, errno, "%s: %s: '%d'", lunik_object_type_name(o),
                                       property, fd);
}

int unix_listen_fd(struct unix_listener *l, lunik_object *o, const char *property, int fd,
                   lunik_error *err)
{
    int rc;

    *l = (struct unix_listener){.fd = -1, .spare = -1};
    l->fd = own_socket(o, property, fd, err);
    if (l->fd < 0)
        return l->fd;
    l->spare = fcntl(l->fd, F_DUPFD_CLOEXEC, 0);
    if (l->spare >= 0)
        return 0;
    rc = lunik_fail_errno(err, errno, "%s: %s: '%d'", lunik_object_type_name(o), property, fd);
    unix_unlisten(l);
    return rc;
}

int unix_connected_fd(lunik_object *o, const char *property, int fd, lunik_error *err)
{
    struct sockaddr_un peer;
    socklen_t size = sizeof(peer);
    int own = own_socket(o, property, fd, err);

    if (own < 0 || getpeername(own, (struct sockaddr *)&peer, &size) == 0)
        return own;
    close(own);
    return lunik_fail(err, LUNIK_E_INVALID, "%s: %s: '%d' is neither connected nor listening",
                      lunik_object_type_name(o), property, fd);
}

void unix_unlisten(struct unix_listener *l)
{
    remove_path(l);
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
    close_spare(l);
}

int unix_accept(struct unix_listener *l, bool *starved)
{
    int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    *starved = false;
    if (fd >= 0 && l->spare < 0)
        l->spare = fcntl(l->fd, F_DUPFD_CLOEXEC, 0);
    if (fd >= 0 || (errno != EMFILE && errno != ENFILE))
        return fd;
    *starved = true;
    close_spare(l);
    fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0)
        close(fd);
    l->spare = fcntl(l->fd, F_DUPFD_CLOEXEC, 0);
    return -1;
}

/* ---- connecting ----------------------------------------------------------------------------- */

int unix_connect(lunik_object *o, const char *property, const char *path, lunik_error *err)
{
    struct name n = name_of(o, property, path);
    struct sockaddr_un address;
    int rc = make_address(&n, &address, err), fd;

    if (rc)
        return rc;
    fd = new_socket(&n, err);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
        rc = fail(&n, err, "connect to");
        close(fd);
        return rc;
    }
    return fd;
}
