/*
 * chardev_socket.c: a connection through a Unix domain socket. As a server it listens at a path
 * (mode 0600) for one client at a time: another is refused while one is connected. As a client it
 * connects once. Output without a connection is dropped.
 */
#define _GNU_SOURCE /* accept4 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "chardev.h"
#include "../types.h"

struct chardev_socket {
    struct chardev base;
    char *path;
    bool server, connected;
    int listener; /* owned by watch */
    int spare;    /* closed for a moment to refuse a client when there are no descriptors left */
    struct chardev_watch *watch;
    dev_t dev; /* identify the socket file that was made, */
    ino_t ino; /* so that no other is removed */
    int peer;  /* owned by input */
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

static void emit(struct chardev_socket *s, const char *event)
{
    lunik_object *o = lunik_state_object(s);

    lunik_emit(lunik_object_machine(o), event, LUNIK_FIELD_STRING("object", lunik_object_id(o)));
}

static void disconnect(struct chardev_socket *s, enum chardev_rest rest)
{
    if (!s->connected)
        return;
    s->connected = false;
    emit(s, "chardev-disconnected");
    chardev_input_close(&s->input);
    chardev_output_close(&s->output, rest);
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
    s->peer = fd;
    s->connected = true;
    s->base.failed = false;
    emit(s, "chardev-connected");
    return 0;
}

static void close_spare(struct chardev_socket *s)
{
    if (s->spare >= 0)
        close(s->spare);
    s->spare = -1;
}

/* Accepts a client, or refuses it for want of a descriptor: one left waiting would wake the loop
 * for ever. */
static int take_client(struct chardev_socket *s)
{
    int fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd >= 0 && s->spare < 0)
        s->spare = fcntl(s->listener, F_DUPFD_CLOEXEC, 0);
    if (fd >= 0 || (errno != EMFILE && errno != ENFILE))
        return fd;
    close_spare(s);
    fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0)
        close(fd);
    s->spare = fcntl(s->listener, F_DUPFD_CLOEXEC, 0);
    chardev_error(&s->base, "chardev-socket: a client can't be taken: too many open files");
    return -1;
}

/* Takes the client that waits, or refuses it. A connected one that has gone, but whose input the
 * guest has not taken, makes room. */
static void client_waits(struct chardev *c)
{
    struct chardev_socket *s = lunik_container_of(c, struct chardev_socket, base);
    int fd = take_client(s);
    lunik_error err;

    if (fd < 0)
        return;
    if (s->connected && chardev_hung_up(s->peer))
        disconnect(s, CHARDEV_REST_DROP);
    if (s->connected)
        close(fd);
    else if (connected(s, fd, &err))
        chardev_error(&s->base, err.message);
}

/* ---- life cycle ----------------------------------------------------------------------------- */

static int fail(struct chardev_socket *s, lunik_error *err, const char *what)
{
    return lunik_fail_errno(err, errno, "chardev-socket: path: can't %s '%s'", what, s->path);
}

static int make_address(struct chardev_socket *s, struct sockaddr_un *address, lunik_error *err)
{
    size_t size = strlen(s->path);

    if (size == 0 || size >= sizeof(address->sun_path))
        return lunik_fail(err, LUNIK_E_INVALID,
                          "chardev-socket: path: '%s' is %s (want 1 to %zu bytes)", s->path,
                          size ? "too long" : "empty", sizeof(address->sun_path) - 1);
    memset(address, 0, sizeof(*address));
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, s->path, size);
    return 0;
}

static int new_socket(lunik_error *err)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    return fd >= 0 ? fd : lunik_fail_errno(err, errno, "chardev-socket: can't make a socket");
}

/* Removes the socket file of a server that is gone. */
static void remove_stale(struct chardev_socket *s, const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct stat st;

    if (fd < 0)
        return;
    if (lstat(s->path, &st) == 0 && S_ISSOCK(st.st_mode) &&
        connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 &&
        errno == ECONNREFUSED)
        unlink(s->path);
    close(fd);
}

/* Binds with mode 0600, set before other users can see the file. A sandbox without all files has no
 * fchmod(), which reaches any open file; there the umask does it, which also applies to files that
 * other threads make at the same time. */
static int bind_privately(int fd, const struct sockaddr_un *address)
{
    unsigned allow;
    bool masked = lunik_sandboxed(&allow) && !(allow & LUNIK_SANDBOX_FILES);
    mode_t before = 0;
    int rc;

    if (masked)
        before = umask(0177);
    else if (fchmod(fd, 0600) < 0)
        return -1;
    rc = bind(fd, (const struct sockaddr *)address, sizeof(*address));
    if (masked)
        umask(before);
    return rc;
}

static int bind_path(struct chardev_socket *s, int fd, const struct sockaddr_un *address,
                     lunik_error *err)
{
    struct stat st;

    remove_stale(s, address);
    if (bind_privately(fd, address) < 0) {
        if (errno == EADDRINUSE)
            return lunik_fail(err, LUNIK_E_EXISTS, "chardev-socket: path: '%s' exists", s->path);
        return fail(s, err, "bind to");
    }
    if (lstat(s->path, &st) < 0)
        return fail(s, err, "find");
    s->dev = st.st_dev;
    s->ino = st.st_ino;
    return 0;
}

static void remove_path(struct chardev_socket *s)
{
    struct stat st;

    if (s->ino && lstat(s->path, &st) == 0 && st.st_dev == s->dev && st.st_ino == s->ino)
        unlink(s->path);
    s->ino = 0;
}

static int start_server(struct chardev_socket *s, const struct sockaddr_un *address,
                        lunik_error *err)
{
    int fd = new_socket(err);
    int rc;

    if (fd < 0)
        return fd;
    rc = bind_path(s, fd, address, err);
    if (!rc && listen(fd, 1) < 0)
        rc = fail(s, err, "listen at");
    if (!rc && (s->spare = fcntl(fd, F_DUPFD_CLOEXEC, 0)) < 0)
        rc = fail(s, err, "listen at");
    if (!rc)
        rc = chardev_watch_open(&s->watch, &s->base, fd, client_waits, err);
    if (rc) {
        remove_path(s);
        close_spare(s);
        close(fd);
        return rc;
    }
    s->listener = fd;
    return 0;
}

static int start_client(struct chardev_socket *s, const struct sockaddr_un *address,
                        lunik_error *err)
{
    int fd = new_socket(err);
    int rc;

    if (fd < 0)
        return fd;
    if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0) {
        rc = fail(s, err, "connect to");
        close(fd);
        return rc;
    }
    return connected(s, fd, err);
}

static int realize(lunik_object *o, lunik_error *err)
{
    struct chardev_socket *s = lunik_state(o);
    struct sockaddr_un address;
    int rc = make_address(s, &address, err);

    s->spare = -1;
    if (rc)
        return rc;
    return s->server ? start_server(s, &address, err) : start_client(s, &address, err);
}

static void unrealize(lunik_object *o)
{
    struct chardev_socket *s = lunik_state(o);

    chardev_watch_close(&s->watch);
    remove_path(s);
    close_spare(s);
    disconnect(s, CHARDEV_REST_TRY);
}

static const lunik_prop props[] = {
    {
        .name = "path",
        .kind = LUNIK_PROP_STRING,
        .doc = "The socket file.",
        .offset = offsetof(struct chardev_socket, path),
        .flags = LUNIK_PROP_REQUIRED,
    },
    {
        .name = "server",
        .kind = LUNIK_PROP_BOOL,
        .doc = "Listen at the path and remove it at the end; false: connect to it.",
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

static const lunik_chardev_ops chardev_ops = {
    .attach = chardev_attach,
    .write = write_output,
    .accept_input = accept_input,
};

static const lunik_iface ifaces[] = {LUNIK_IFACE(chardev, &chardev_ops), {0}};

const lunik_type chardev_socket_type = {
    .name = "chardev-socket",
    .parent = "chardev",
    .doc = "A connection through a Unix domain socket, for one client at a time.",
    .flags = LUNIK_TYPE_HOTPLUG | LUNIK_TYPE_UNPLUG,
    .size = sizeof(struct chardev_socket),
    .props = props,
    .ifaces = ifaces,
    .realize = realize,
    .unrealize = unrealize,
    .state = &lunik_state_none,
};
