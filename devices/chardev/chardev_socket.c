/*
 * chardev_socket.c: a connection through a Unix domain socket. As a server it listens at a path
 * (mode 0600), or on a descriptor, for one client at a time: the next waits in the backlog. As a
 * client it connects once, or is given the connection. Output without a connection is dropped. For
 * programs that can't use such sockets it listens for TCP, on the loopback interface only.
 */
#include <errno.h>
#include <unistd.h>

#include "chardev.h"
#include "../types.h"
#include "../loopback_socket.h"
#include "../unix_socket.h"

struct chardev_socket {
    struct chardev base;
    char *path;
    int64_t fd;   /* of the program's, -1: none */
    int64_t port; /* TCP, -1: none */
    bool server, connected;
    struct unix_listener listener; /* its descriptor is owned by watch */
    struct chardev_watch *watch;
    int peer; /* owned by input */
    struct chardev_input *input;
    struct chardev_output *output;
};

static size_t write_output(lunik_object *o, const uint8_t *data, size_t size)
{
    struct chardev_socket *s = lunik_state(o);

    return s->output ? chardev_output_write(s->output, data, size) : chardev_drop(&s->base, size);
}

static void accept_input(lunik_object *o)
{
    struct chardev_socket *s = lunik_state(o);

    chardev_input_resume(s->input);
}

/* ---- connection ----------------------------------------------------------------------------- */

/* Looks for the next client, which may be waiting already. */
static void wait_for_client(struct chardev_socket *s)
{
    int rc = chardev_watch_resume(s->watch);

    if (rc)
        chardev_failed(&s->base, -rc);
}

static void disconnect(struct chardev_socket *s, enum chardev_rest rest)
{
    if (!s->connected)
        return;
    s->connected = false;
    chardev_connection(&s->base, false);
    chardev_input_close(&s->input);
    chardev_output_close(&s->output, rest);
    wait_for_client(s);
}

static void input_ended(struct chardev *c, int sys)
{
    disconnect(lunik_container_of(c, struct chardev_socket, base), CHARDEV_REST_DROP);
}

/* Drops the output to a peer that takes no more, which may have sent input before that is still to
 * be read. After an error of the host later output is tried again. */
static void output_failed(struct chardev *c, int sys)
{
    struct chardev_socket *s = lunik_container_of(c, struct chardev_socket, base);

    if (sys != EPIPE && sys != ECONNRESET)
        chardev_failed(c, sys);
    else
        chardev_output_close(&s->output, CHARDEV_REST_DROP);
}

/* A client may be waiting for the place of one whose input can't be taken. */
static void peer_gone(struct chardev *c)
{
    wait_for_client(lunik_container_of(c, struct chardev_socket, base));
}

/* Takes over the connected socket fd, even if it fails. */
static int connected(struct chardev_socket *s, int fd, lunik_error *err)
{
    int out = dup(fd); /* a descriptor for each direction: libuv watches one only once */
    int rc;

    if (out < 0) {
        rc = lunik_fail_errno(err, errno, "chardev-socket: can't duplicate the connection");
        close(fd);
        return rc;
    }
    rc = chardev_output_open(&s->output, &s->base, out, CHARDEV_READER_PEER, output_failed, err);
    if (rc) {
        close(out);
        close(fd);
        return rc;
    }
    rc = chardev_input_open(&s->input, &s->base, fd, input_ended, err);
    if (rc) {
        chardev_output_close(&s->output, CHARDEV_REST_DROP);
        close(fd);
        return rc;
    }
    chardev_input_on_hangup(s->input, peer_gone);
    s->peer = fd;
    s->connected = true;
    s->base.failed = false;
    chardev_connection(&s->base, true);
    return 0;
}

/* Takes the client that waits, unless there is one. A connected one that has gone, but whose input
 * the front end has not taken, makes room. */
static void client_waits(struct chardev *c)
{
    struct chardev_socket *s = lunik_container_of(c, struct chardev_socket, base);
    lunik_error err;
    bool starved;
    int fd;

    if (s->connected && chardev_hung_up(s->peer))
        disconnect(s, CHARDEV_REST_DROP);
    if (s->connected) {
        chardev_watch_pause(s->watch);
        return;
    }
    fd = unix_accept(&s->listener, &starved);
    if (starved)
        chardev_error(c, "chardev-socket: a client can't be taken: too many open files");
    if (fd >= 0 && connected(s, fd, &err))
        chardev_error(&s->base, err.message);
}

/* ---- life cycle ----------------------------------------------------------------------------- */

static int start_server(struct chardev_socket *s, lunik_error *err)
{
    lunik_object *o = lunik_state_object(s);
    int rc;

    if (s->port >= 0)
        rc = loopback_listen(&s->listener, o, "port", &s->port, err);
    else
        rc = s->path ? unix_listen(&s->listener, o, "path", s->path, err)
                     : unix_listen_fd(&s->listener, o, "fd", (int)s->fd, err);
    if (rc)
        return rc;
    rc = chardev_watch_open(&s->watch, &s->base, s->listener.fd, client_waits, err);
    if (rc)
        unix_unlisten(&s->listener);
    return rc;
}

static int start_client(struct chardev_socket *s, lunik_error *err)
{
    lunik_object *o = lunik_state_object(s);
    int fd = s->path ? unix_connect(o, "path", s->path, err)
                     : unix_connected_fd(o, "fd", (int)s->fd, err);

    return fd < 0 ? fd : connected(s, fd, err);
}

static int realize(lunik_object *o, lunik_error *err)
{
    struct chardev_socket *s = lunik_state(o);

    s->listener.fd = s->listener.spare = -1;
    if (!!s->path + (s->fd >= 0) + (s->port >= 0) != 1)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "chardev-socket: path: %s (want one of path, fd and port)",
                          s->path ? "can't go together with fd or port" : "is missing");
    if (s->port >= 0)
        s->server = true;
    else if (!s->path)
        s->server = unix_is_listening((int)s->fd);
    return s->server ? start_server(s, err) : start_client(s, err);
}

/* Drops input that has arrived: the peer of a socket that is closed with some reads an error
 * instead of what was sent to it last. */
static void drop_input(const struct chardev_socket *s)
{
    char bytes[4096];

    for (int i = 0; s->connected && i < 64; i++)
        if (recv(s->peer, bytes, sizeof(bytes), MSG_DONTWAIT) <= 0)
            return;
}

static void unrealize(lunik_object *o)
{
    struct chardev_socket *s = lunik_state(o);

    drop_input(s);
    chardev_watch_close(&s->watch);
    s->listener.fd = -1; /* the watch had it */
    unix_unlisten(&s->listener);
    disconnect(s, CHARDEV_REST_TRY);
}

static const lunik_prop props[] = {
    {
        .name = "path",
        .kind = LUNIK_PROP_STRING,
        .doc = "The socket file.",
        .offset = offsetof(struct chardev_socket, path),
    },
    {
        .name = "fd",
        .kind = LUNIK_PROP_INT,
        .doc = "Instead of path: a socket of the program's that listens or is connected; the "
               "descriptor is duplicated. -1: none.",
        .offset = offsetof(struct chardev_socket, fd),
        .min = -1,
        .max = INT32_MAX,
        .def = -1,
    },
    {
        .name = "port",
        .kind = LUNIK_PROP_INT,
        .doc = "Instead of path: a TCP port of 127.0.0.1 to listen at, which all users of the host "
               "can connect to; 0: one that is free, which it then shows. -1: none.",
        .offset = offsetof(struct chardev_socket, port),
        .min = -1,
        .max = UINT16_MAX,
        .def = -1,
    },
    {
        .name = "server",
        .kind = LUNIK_PROP_BOOL,
        .doc = "Listen at the path and remove it at the end; false: connect to it. With fd: "
               "whether that listens.",
        .offset = offsetof(struct chardev_socket, server),
        .def = 1,
    },
    {
        .name = "connected",
        .kind = LUNIK_PROP_BOOL,
        .doc = "The other side is there.",
        .offset = offsetof(struct chardev_socket, connected),
        .flags = LUNIK_PROP_READONLY,
    },
    {0},
};

static const struct chardev_kind kind = {
    .realize = realize,
    .unrealize = unrealize,
    .write = write_output,
    .accept_input = accept_input,
};

static const lunik_iface ifaces[] = {{CHARDEV_KIND, &kind}, {0}};

const lunik_type chardev_socket_type = {
    .name = "chardev-socket",
    .parent = "chardev",
    .doc = "A connection through a Unix domain socket, for one client at a time.",
    .flags = LUNIK_TYPE_HOTPLUG | LUNIK_TYPE_UNPLUG,
    .size = sizeof(struct chardev_socket),
    .props = props,
    .ifaces = ifaces,
    .state = &lunik_state_none,
};
