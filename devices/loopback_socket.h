/*
 * loopback_socket.h: TCP on the host's loopback interface, for peers that can't use Unix domain
 * sockets. All users of the host can connect.
 */
#ifndef DEVICES_LOOPBACK_SOCKET_H
#define DEVICES_LOOPBACK_SOCKET_H

#include "unix_socket.h"

/* Listens at *port of 127.0.0.1; 0: at one that is free, which *port then is. On failure l->fd is
 * -1. Clients are accepted, and the listener ends, as that of a Unix domain socket. */
int loopback_listen(struct unix_listener *l, lunik_object *o, const char *property, int64_t *port,
                    lunik_error *err);

#endif
