/* port.c: the port that requests come from: a terminal, a virtio port by its name, or standard
 * input and output. */
#include "agent.h"

#include <asm/termbits.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <asm/ioctls.h>
#include <sys/syscall.h>

#define RETRY 50 /* milliseconds between looks for a port */

static const char *port_name;
static long in = -1, out = -1;

/* ---- finding it ------------------------------------------------------------------------------ */

static const char *join(char *path, size_t size, const char *a, const char *b, const char *c)
{
    struct text t = {path, size - 1, 0, false};

    text_put(&t, a);
    text_put(&t, b);
    text_put(&t, c);
    path[t.used] = '\0';
    return path;
}

/* Whether the virtio port "vportNpM" has the name that is looked for. */
static bool has_name(const char *device)
{
    char path[320], name[128];
    long fd, n;

    fd = sys_open(join(path, sizeof(path), "/sys/class/virtio-ports/", device, "/name"), O_RDONLY,
                  0);
    if (fd < 0)
        return false;
    n = sys_read_all(fd, name, sizeof(name) - 1, -1);
    sys_close(fd);
    if (n > 0 && name[n - 1] == '\n')
        n--;
    name[n < 0 ? 0 : n] = '\0';
    return text_equal(name, port_name);
}

/* Opens the virtio port of that name. */
static long open_virtio_port(void)
{
    long folder = sys_open("/sys/class/virtio-ports", O_RDONLY | O_DIRECTORY, 0), n, fd = -ENOENT;
    char entries[2048], path[320];

    if (folder < 0)
        return folder;
    while (fd < 0 && (n = SYS3(SYS_getdents64, folder, entries, sizeof(entries))) > 0) {
        for (long at = 0; at < n && fd < 0;) {
            const char *name = entries + at + 19; /* of struct linux_dirent64 */

            if (name[0] != '.' && has_name(name))
                fd = sys_open(join(path, sizeof(path), "/dev/", name, ""), O_RDWR, 0);
            at += *(const uint16_t *)(entries + at + 16);
        }
    }
    sys_close(folder);
    return fd;
}

static long open_by_name(void)
{
    char path[320];
    long fd;

    if (port_name[0] == '/')
        return sys_open(port_name, O_RDWR | O_NOCTTY, 0);
    fd = sys_open(join(path, sizeof(path), "/dev/", port_name, ""), O_RDWR | O_NOCTTY, 0);
    return fd >= 0 ? fd : open_virtio_port();
}

/* Makes a terminal pass all bytes as they are. Anything else is left alone. */
static void make_raw(long fd)
{
    struct termios t;

    if (SYS3(SYS_ioctl, fd, TCGETS, &t) < 0)
        return;
    t.c_iflag = t.c_oflag = t.c_lflag = 0;
    t.c_cflag = (t.c_cflag & CBAUD) | CS8 | CREAD | CLOCAL;
    t.c_cc[VMIN] = 1;
    t.c_cc[VTIME] = 0;
    SYS3(SYS_ioctl, fd, TCSETSF, &t); /* and drops what was typed before */
}

void port_open(const char *name)
{
    port_name = name;
    if (text_equal(name, "-")) {
        in = 0;
        out = 1;
        return;
    }
    if (in >= 0)
        sys_close(in);
    for (unsigned tries = 0; (in = open_by_name()) < 0; tries++) {
        if (tries == 10000 / RETRY)
            log_line("still waiting for the port ", name);
        sys_sleep(RETRY);
    }
    out = in;
    make_raw(in);
}

/* ---- transfers ------------------------------------------------------------------------------- */

/* Whether there is another side to wait for: standard input ends for good. A virtio port without
 * one, and a terminal that was hung up, may get one. */
static bool again(long n)
{
    if (in == 0)
        return n == -EINTR || n == -EAGAIN;
    sys_sleep(RETRY);
    if (n == -ENODEV || n == -EIO || n == -EBADF)
        port_open(port_name);
    return true;
}

size_t port_read(char *data, size_t size)
{
    long n;

    do {
        sys_wait(in, POLLIN, -1);
        n = SYS3(SYS_read, in, data, size);
    } while (n <= 0 && again(n));
    return n > 0 ? (size_t)n : 0;
}

void port_drain(void)
{
    SYS3(SYS_ioctl, out, TCSBRK, 1);
}

void port_write(const char *data, size_t size)
{
    size_t done = 0;

    while (done < size) {
        long n = SYS3(SYS_write, out, data + done, size - done);

        if (n > 0)
            done += (size_t)n;
        else if (n == -EAGAIN)
            sys_wait(out, POLLOUT, sys_now() + RETRY);
        else if (n != -EINTR)
            return; /* no reader: the client asks again */
    }
}
