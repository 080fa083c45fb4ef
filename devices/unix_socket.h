/*
 * unix_socket.h: Unix domain sockets of back ends, for one peer at a time: a listener whose file
 * other users can't open, and a connection.
 *
 * Errors begin with the type of the object and the name of its property that has the path.
 */
#ifndef DEVICES_UNIX_SOCKET_H
#define DEVICES_UNIX_SOCKET_H

#include <sys/types.h>

#include "lunik_device.h"

struct unix_listener {
    const char *path;
    int fd;    /* -1: none */
    int spare; /* closed for a moment to refuse a client when there are no descriptors left */
    dev_t dev; /* identify the socket file that was made, */
    ino_t ino; /* so that no other is removed */
};

/* Listens at path (mode 0600), which must stay. It replaces the file of a server that is gone. On
 * failure l->fd is -1. LUNIK_E_EXISTS: a file is there. */
int unix_listen(struct unix_listener *l, lunik_object *o, const char *property, const char *path,
                lunik_error *err);
/* Listens with a duplicate of fd, a socket of the program's that listens. */
int unix_listen_fd(struct unix_listener *l, lunik_object *o, const char *property, int fd,
                   lunik_error *err);
bool unix_is_listening(int fd);
/* Returns a duplicate of fd, a connected socket of the program's, or an error. */
int unix_connected_fd(lunik_object *o, const char *property, int fd, lunik_error *err);
/* Removes the file and closes the descriptors, if it listens. */
void unix_unlisten(struct unix_listener *l);
/* Accepts a client; -1 with errno: there is none, or, with *starved, there is no descriptor for it,
 * and it has been refused: one left waiting would wake the loop for ever. */
int unix_accept(struct unix_listener *l, bool *starved);
/* Returns a connected, non-blocking socket, or an error. */
int unix_connect(lunik_object *o, const char *property, const char *path, lunik_error *err);

#endif
