/*
 * chardev_pty.c: a pseudo-terminal. While no program has its slave open, output is dropped.
 *
 * The master reports the slave's last close but not its open; inotify reports that, so that nothing
 * has to be polled.
 */
#define _GNU_SOURCE /* posix_openpt, ptsname_r */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "chardev.h"
#include "pty_watch.h"
#include "../types.h"

struct chardev_pty {
    struct chardev base;
    char path[64]; /* of the slave */
    bool connected;
    int master;
    struct chardev_input *input;
    struct chardev_output *output;
    struct pty_watch watch;
};

static size_t write_output(lunik_object *o, const uint8_t *data, size_t size)
{
    struct chardev_pty *p = lunik_state(o);

    return p->connected ? chardev_output_write(p->output, data, size)
                        : chardev_drop(&p->base, size);
}

static void accept_input(lunik_object *o)
{
    struct chardev_pty *p = lunik_state(o);

    if (p->connected)
        chardev_input_resume(p->input);
}

/* ---- connection ----------------------------------------------------------------------------- */

/* Checks whether a program has the slave open. */
static void check_connection(struct chardev_pty *p)
{
    bool connected = !chardev_hung_up(p->master);

    if (connected == p->connected)
        return;
    p->connected = connected;
    p->base.failed = false;
    if (!connected)
        chardev_output_discard(p->output);
}

static void slave_touched(struct pty_watch *watch)
{
    struct chardev_pty *p = lunik_container_of(watch, struct chardev_pty, watch);

    check_connection(p);
    if (p->connected)
        chardev_input_restart(p->input);
}

/* Handles an error of the master: the last program has closed the slave, or else the host fails.
 * Input goes on when a program opens the slave again. */
static void master_failed(struct chardev *c, int sys)
{
    struct chardev_pty *p = lunik_container_of(c, struct chardev_pty, base);

    check_connection(p);
    if (p->connected)
        chardev_failed(c, sys ? sys : EIO);
}

/* ---- life cycle ----------------------------------------------------------------------------- */

static int fail(lunik_error *err, const char *what)
{
    return lunik_fail_errno(err, errno, "chardev-pty: %s", what);
}

/* Opens a master whose slave is in raw mode and closed again. */
static int open_master(struct chardev_pty *p, lunik_error *err)
{
    struct termios raw;
    int slave;

    p->master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (p->master < 0)
        return fail(err, "can't open a pseudo-terminal");
    if (fcntl(p->master, F_SETFL, O_RDWR | O_NONBLOCK) < 0 || grantpt(p->master) < 0 ||
        unlockpt(p->master) < 0 || ptsname_r(p->master, p->path, sizeof(p->path)) != 0)
        return fail(err, "can't prepare a pseudo-terminal");
    slave = TEMP_FAILURE_RETRY(open(p->path, O_RDWR | O_NOCTTY | O_CLOEXEC));
    if (slave < 0)
        return fail(err, p->path);
    if (tcgetattr(slave, &raw) == 0) {
        cfmakeraw(&raw);
        tcsetattr(slave, TCSANOW, &raw);
    }
    close(slave);
    return 0;
}

/* Opens a descriptor for each direction: libuv watches a descriptor only once. */
static int open_streams(struct chardev_pty *p, lunik_error *err)
{
    int in = fcntl(p->master, F_DUPFD_CLOEXEC, 0), out = fcntl(p->master, F_DUPFD_CLOEXEC, 0);
    int rc = 0;

    if (in < 0 || out < 0)
        rc = fail(err, "can't duplicate the master");
    if (!rc)
        rc =
            chardev_output_open(&p->output, &p->base, out, CHARDEV_READER_PEER, master_failed, err);
    if (!rc)
        rc = chardev_input_open(&p->input, &p->base, in, master_failed, err);
    if (rc && out >= 0 && !p->output)
        close(out);
    if (rc && in >= 0)
        close(in);
    return rc;
}

/* Returns whether there is output that the program at the slave has not read. */
static bool unread(const struct chardev_pty *p)
{
    int slave = ioctl(p->master, TIOCGPTPEER, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    int count = 0;

    if (slave < 0)
        return false;
    if (ioctl(slave, FIONREAD, &count) < 0)
        count = 0;
    close(slave);
    return count > 0;
}

/* Closes the output, and reports that some is lost: closing the master discards unread output. */
static void close_output(struct chardev_pty *p)
{
    uint64_t dropped = p->base.dropped;
    bool lost = p->connected && unread(p);

    chardev_output_close(&p->output, CHARDEV_REST_DROP);
    if (lost || p->base.dropped > dropped)
        chardev_error(&p->base, "output is lost: closed before the other side had read it");
}

static void unrealize(lunik_object *o)
{
    struct chardev_pty *p = lunik_state(o);

    pty_watch_close(&p->watch);
    chardev_input_close(&p->input);
    if (p->output)
        close_output(p);
    if (p->master >= 0)
        close(p->master);
    p->master = -1;
}

static int realize(lunik_object *o, lunik_error *err)
{
    struct chardev_pty *p = lunik_state(o);
    int rc = open_master(p, err);

    p->watch.fn = slave_touched;
    if (!rc)
        rc = pty_watch_open(&p->watch, chardev_runtime(&p->base), p->path, err);
    if (!rc)
        rc = open_streams(p, err);
    if (rc)
        unrealize(o);
    else
        check_connection(p);
    return rc;
}

static void get_path(lunik_object *o, lunik_value *out)
{
    struct chardev_pty *p = lunik_state(o);

    *out = (lunik_value){.kind = LUNIK_STRING, .string = p->path};
}

static const lunik_prop props[] = {
    {
        .name = "path",
        .kind = LUNIK_PROP_STRING,
        .doc = "The slave, for a terminal program to open.",
        .flags = LUNIK_PROP_READONLY,
        .get = get_path,
    },
    {
        .name = "connected",
        .kind = LUNIK_PROP_BOOL,
        .doc = "A program has the slave open.",
        .offset = offsetof(struct chardev_pty, connected),
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

const lunik_type chardev_pty_type = {
    .name = "chardev-pty",
    .parent = "chardev",
    .doc = "A pseudo-terminal; output is dropped while no program has its slave open.",
    .flags = LUNIK_TYPE_HOTPLUG | LUNIK_TYPE_UNPLUG,
    .size = sizeof(struct chardev_pty),
    .props = props,
    .ifaces = ifaces,
    .state = &lunik_state_none,
};
