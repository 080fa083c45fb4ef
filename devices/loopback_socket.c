/* loopback_socket.c: see loopback_socket.h. */
#define _GNU_SOURCE /* F_DUPFD_CLOEXEC */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "loopback_socket.h"

static int bind_and_listen(int fd, int64_t *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)*port)};
    socklen_t size = sizeof(address);
    int on = 1;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    /* Connections have the options of the socket that listens. */
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
        bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 1) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) < 0)
        return -1;
    *port = ntohs(address.sin_port);
    return 0;
}

int loopback_listen(struct unix_listener *l, lunik_object *o, const char *property, int64_t *port,
                    lunik_error *err)
{
    int rc = 0;

    *l = (struct unix_listener){.fd = -1, .spare = -1};
    l->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (l->fd < 0 || bind_and_listen(l->fd, port) < 0 ||
        (l->spare = fcntl(l->fd, F_DUPFD_CLOEXEC, 0)) < 0)
        rc = lunik_fail_errno(err, errno, "%s: %s: can't listen at 127.0.0.1:%d",
                              lunik_object_type_name(o), property, (int)*port);
    if (rc)
        unix_unlisten(l);
    return rc;
}
