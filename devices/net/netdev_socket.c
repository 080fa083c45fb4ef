/*
 * netdev_socket.c: frames through a Unix domain socket, to another machine of this process or of
 * another one. One side listens at a path (mode 0600), for one peer at a time, the other connects,
 * once; or a connected descriptor is given. Without a peer there is no carrier, and frames are
 * dropped.
 *
 * With vnet_hdr, which both sides must have, frames carry their header, and leave checksums and
 * segmentation to the card that receives them.
 */
#define _GNU_SOURCE /* F_DUPFD_CLOEXEC */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net_stream.h"
#include "../types.h"
#include "../unix_socket.h"

struct netdev_socket {
    struct netdev base;
    char *listen, *connect;
    int64_t fd;
    bool vnet_hdr;

    struct unix_listener listener;
    int peer; /* -1: none */
    struct net_poll *clients, *poll;
    struct net_stream stream;
    bool refused; /* a frame waits for the card */
    bool blocked; /* the card waits for room */
};

static struct netdev_socket *of(struct netdev *n)
{
    return lunik_container_of(n, struct netdev_socket, base);
}

static void emit(struct netdev_socket *s, const char *event)
{
    lunik_object *o = netdev_object(&s->base);

    lunik_emit(lunik_object_machine(o), event, LUNIK_FIELD_STRING("object", lunik_object_id(o)));
}

/* ---- the peer ------------------------------------------------------------------------------- */

static void watch(struct netdev_socket *s)
{
    net_poll_want(s->poll, (s->refused ? 0 : UV_READABLE) | (s->stream.to_send ? UV_WRITABLE : 0));
}

static void unblock(struct netdev_socket *s)
{
    if (!s->blocked)
        return;
    s->blocked = false;
    netdev_writable(&s->base, 0);
}

static void disconnect(struct netdev_socket *s)
{
    net_poll_close(&s->poll);
    close(s->peer);
    s->peer = -1;
    s->refused = false;
    net_stream_reset(&s->stream);
    emit(s, "netdev-disconnected");
    netdev_set_up(&s->base, false);
    unblock(s);
}

/* ---- receiving ------------------------------------------------------------------------------ */

/* Hands the card what has come, as far as it takes it. */
static void deliver(struct netdev_socket *s)
{
    const uint8_t *frame;
    lunik_error err;
    size_t size;
    int rc;

    while ((rc = net_stream_next(&s->stream, &frame, &size, &err)) > 0) {
        s->refused = !netdev_receive(&s->base, 0, frame, size);
        if (s->refused)
            break;
        net_stream_consume(&s->stream);
    }
    netdev_received(&s->base, 0);
    if (rc < 0) {
        netdev_error(&s->base, err.message);
        disconnect(s);
    }
}

static void resume(struct netdev *n, unsigned queue)
{
    struct netdev_socket *s = of(n);

    if (!s->refused)
        return;
    s->refused = false;
    deliver(s);
    watch(s);
}

static bool would_block(int sys)
{
    return sys == EAGAIN || sys == EWOULDBLOCK || sys == EINTR;
}

static void read_some(struct netdev_socket *s)
{
    size_t room;
    uint8_t *to = net_stream_room(&s->stream, &room);
    ssize_t n = recv(s->peer, to, room, MSG_DONTWAIT);

    if (n > 0) {
        net_stream_filled(&s->stream, (size_t)n);
        deliver(s);
    } else if (n == 0 || !would_block(errno)) {
        disconnect(s);
    }
}

/* ---- sending -------------------------------------------------------------------------------- */

/* Sends the rest of a frame; true: all of it. */
static bool flush(struct netdev_socket *s)
{
    struct net_stream *t = &s->stream;
    ssize_t n;

    if (!t->to_send)
        return true;
    n = send(s->peer, t->out + t->sent, t->to_send - t->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0)
        t->sent += (size_t)n;
    else if (!would_block(errno))
        t->sent = t->to_send; /* the end is seen when reading */
    if (t->sent == t->to_send)
        t->sent = t->to_send = 0;
    return !t->to_send;
}

static bool send_frame(struct netdev *n, unsigned queue, const struct iovec *iov, unsigned count)
{
    struct netdev_socket *s = of(n);
    struct iovec all[NETDEV_PIECES_MAX + 1];
    uint8_t length[NET_STREAM_LENGTH];
    struct msghdr message = {.msg_iov = all};
    ssize_t done;

    if (s->peer < 0) {
        netdev_drop(n);
        return true;
    }
    s->blocked = s->stream.to_send;
    if (s->blocked)
        return false;
    message.msg_iovlen = net_stream_frame(length, all, iov, count);
    done = sendmsg(s->peer, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (done < 0 && !would_block(errno)) {
        netdev_drop(n);
        return true;
    }
    if (done < (ssize_t)net_iov_size(all, (unsigned)message.msg_iovlen)) {
        net_stream_keep(&s->stream, all, (unsigned)message.msg_iovlen, done < 0 ? 0 : (size_t)done);
        watch(s);
    }
    return true;
}

/* ---- connecting ----------------------------------------------------------------------------- */

static void on_peer(void *opaque, int events)
{
    struct netdev_socket *s = opaque;

    if (events & UV_WRITABLE && flush(s))
        unblock(s);
    if (!(events & UV_WRITABLE) || events & UV_READABLE)
        read_some(s);
    if (s->peer >= 0)
        watch(s);
}

static int join(struct netdev_socket *s, lunik_error *err)
{
    int rc = net_poll_open(&s->poll, &s->base, s->peer, on_peer, s, err);

    if (rc)
        return rc;
    emit(s, "netdev-connected");
    netdev_set_up(&s->base, true);
    watch(s);
    return 0;
}

static bool has_gone(const struct netdev_socket *s)
{
    struct pollfd p = {.fd = s->peer};

    return poll(&p, 1, 0) > 0 && p.revents & (POLLHUP | POLLERR);
}

/* Takes the client that waits, or refuses it. A peer that has gone, but whose frames the card has
 * not taken, makes room. */
static void on_client(void *opaque, int events)
{
    struct netdev_socket *s = opaque;
    bool starved;
    int fd = unix_accept(&s->listener, &starved);
    lunik_error err;

    if (starved)
        netdev_error(&s->base, "netdev-socket: a peer can't be taken: too many open files");
    if (fd < 0)
        return;
    if (s->peer >= 0 && has_gone(s))
        disconnect(s);
    if (s->peer >= 0) {
        close(fd);
        return;
    }
    s->peer = fd;
    if (join(s, &err)) {
        netdev_error(&s->base, err.message);
        close(fd);
        s->peer = -1;
    }
}

/* ---- life cycle ----------------------------------------------------------------------------- */

static int start(struct netdev *n, lunik_error *err)
{
    struct netdev_socket *s = of(n);
    int rc = 0;

    if (s->listener.fd >= 0)
        rc = net_poll_open(&s->clients, n, s->listener.fd, on_client, s, err);
    if (!rc && s->listener.fd >= 0)
        net_poll_want(s->clients, UV_READABLE);
    return !rc && s->peer >= 0 ? join(s, err) : rc;
}

/* The peer stays: another card may follow. */
static void stop(struct netdev *n)
{
    struct netdev_socket *s = of(n);

    net_poll_close(&s->clients);
    net_poll_close(&s->poll);
    s->refused = s->blocked = false;
}

static void release(struct netdev *n)
{
    struct netdev_socket *s = of(n);

    unix_unlisten(&s->listener);
    if (s->peer >= 0)
        close(s->peer);
    s->peer = -1;
    net_stream_fini(&s->stream);
}

static int check_way(const struct netdev_socket *s, lunik_error *err)
{
    if (!!s->listen + !!s->connect + (s->fd >= 0) == 1)
        return 0;
    return lunik_fail(
        err, LUNIK_E_INVALID, "netdev-socket: listen, connect and fd: %s (want one of them)",
        s->listen || s->connect || s->fd >= 0 ? "there are several" : "there is none");
}

/* A descriptor of the program's, of which it keeps its own. */
static int take_fd(struct netdev_socket *s, lunik_error *err)
{
    int type = 0;
    socklen_t size = sizeof(type);

    if (s->fd > INT32_MAX || getsockopt((int)s->fd, SOL_SOCKET, SO_TYPE, &type, &size) ||
        type != SOCK_STREAM)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "netdev-socket: fd: '%" PRId64
                          "' is not a stream socket (want a connected one)",
                          s->fd);
    s->peer = fcntl((int)s->fd, F_DUPFD_CLOEXEC, 0);
    return s->peer < 0 ? lunik_fail_errno(err, errno, "netdev-socket: fd: %" PRId64, s->fd) : 0;
}

static int open_socket(struct netdev_socket *s, lunik_object *o, lunik_error *err)
{
    if (s->listen)
        return unix_listen(&s->listener, o, "listen", s->listen, err);
    if (s->fd >= 0)
        return take_fd(s, err);
    s->peer = unix_connect(o, "connect", s->connect, err);
    return s->peer < 0 ? s->peer : 0;
}

static int realize(lunik_object *o, lunik_error *err)
{
    struct netdev_socket *s = lunik_state(o);
    int rc = check_way(s, err);

    netdev_init(&s->base);
    s->listener.fd = s->listener.spare = s->peer = -1;
    s->base.vnet_hdr = s->vnet_hdr;
    s->base.offloads = s->vnet_hdr ? NETDEV_OFFLOADS : 0;
    netdev_set_up(&s->base, false);
    if (!rc)
        rc = net_stream_init(&s->stream, err);
    if (!rc)
        rc = open_socket(s, o, err);
    if (rc)
        release(&s->base);
    return rc;
}

static const lunik_prop props[] = {
    {
        .name = "listen",
        .kind = LUNIK_PROP_STRING,
        .doc = "Listen at this path, and remove it at the end.",
        .offset = offsetof(struct netdev_socket, listen),
    },
    {
        .name = "connect",
        .kind = LUNIK_PROP_STRING,
        .doc = "Connect to this path.",
        .offset = offsetof(struct netdev_socket, connect),
    },
    {
        .name = "fd",
        .kind = LUNIK_PROP_INT,
        .doc = "A connected stream socket of the program; -1: none.",
        .offset = offsetof(struct netdev_socket, fd),
        .def = (uint64_t)-1,
    },
    {
        .name = "vnet_hdr",
        .kind = LUNIK_PROP_BOOL,
        .doc = "Frames carry a virtio header, on both sides: checksums and segmentation can be "
               "left to the receiver.",
        .offset = offsetof(struct netdev_socket, vnet_hdr),
    },
    {0},
};

static const struct netdev_class class = {
    .start = start,
    .stop = stop,
    .send = send_frame,
    .resume = resume,
    .release = release,
};

const lunik_type netdev_socket_type = {
    .name = "netdev-socket",
    .parent = "netdev",
    .doc = "Frames through a Unix domain socket, such as to another machine.",
    .flags = LUNIK_TYPE_HOTPLUG | LUNIK_TYPE_UNPLUG,
    .size = sizeof(struct netdev_socket),
    .props = props,
    .realize = realize,
    .state = &lunik_state_none,
    .data = (void *)&class,
};
