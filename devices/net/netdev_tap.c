/*
 * netdev_tap.c: a tap device of the host. It is opened by name, which needs the right to do so, or
 * its descriptors are given, one for each pair of queues; in a sandbox these are the way.
 *
 * With vnet_hdr the kernel computes checksums and segments, or leaves that to the guest.
 */
#define _GNU_SOURCE /* F_DUPFD_CLOEXEC */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "net.h"
#include "../types.h"

enum { FRAME_SIZE = NETDEV_HEADER + NETDEV_FRAME_MAX, FRAMES_AT_ONCE = 64 };

struct tap_queue {
    struct netdev_tap *tap;
    unsigned index;
    int fd;
    bool attached; /* as TUNSETQUEUE has it */
    struct net_poll *poll;
    uint8_t *frame;
    size_t held; /* bytes of a frame that waits for the card */
    bool blocked;
};

struct netdev_tap {
    struct netdev base;
    char *ifname, *fds;
    int64_t fd;
    uint64_t queues;
    bool vnet_hdr;

    char name[IFNAMSIZ]; /* of the device that is open */
    struct tap_queue pairs[NETDEV_QUEUES_MAX];
    unsigned count; /* of pairs that are open */
};

static struct netdev_tap *of(struct netdev *n)
{
    return lunik_container_of(n, struct netdev_tap, base);
}

/* ---- frames --------------------------------------------------------------------------------- */

static void watch(struct tap_queue *q)
{
    net_poll_want(q->poll, (q->held ? 0 : UV_READABLE) | (q->blocked ? UV_WRITABLE : 0));
}

/* Hands the card a frame; one that it refuses is held. */
static bool deliver(struct tap_queue *q, size_t size)
{
    q->held = netdev_receive(&q->tap->base, q->index, q->frame, size) ? 0 : size;
    return !q->held;
}

static void read_some(struct tap_queue *q)
{
    for (unsigned n = 0; n < FRAMES_AT_ONCE && !q->held; n++) {
        ssize_t size = read(q->fd, q->frame, FRAME_SIZE);

        if (size <= 0)
            break;
        deliver(q, (size_t)size);
    }
    netdev_received(&q->tap->base, q->index);
}

static void resume(struct netdev *n, unsigned queue)
{
    struct netdev_tap *s = of(n);
    struct tap_queue *q = queue < s->count ? &s->pairs[queue] : NULL;

    if (!q || !q->held || !deliver(q, q->held))
        return;
    read_some(q);
    watch(q);
}

static void on_event(void *opaque, int events)
{
    struct tap_queue *q = opaque;

    if (events & UV_WRITABLE) {
        q->blocked = false;
        netdev_writable(&q->tap->base, q->index);
    }
    if (events & UV_READABLE)
        read_some(q);
    if (events)
        watch(q);
    else
        net_poll_want(q->poll, 0); /* the device has gone */
}

/* Frames that the kernel does not take, such as while the device is down, are lost. */
static bool send_frame(struct netdev *n, unsigned queue, const struct iovec *iov, unsigned count)
{
    struct netdev_tap *s = of(n);
    struct tap_queue *q = &s->pairs[queue % s->count];
    ssize_t done = writev(q->fd, iov, (int)count);

    if (done < 0 && errno == EAGAIN) {
        q->blocked = true;
        watch(q);
        return false;
    }
    if (done < 0)
        netdev_drop(n);
    return true;
}

/* ---- configuration -------------------------------------------------------------------------- */

static unsigned long tun_flags(unsigned offloads)
{
    static const struct {
        unsigned offload;
        unsigned long flag;
    } flags[] = {
        {NETDEV_CSUM, TUN_F_CSUM},   {NETDEV_TSO4, TUN_F_TSO4}, {NETDEV_TSO6, TUN_F_TSO6},
        {NETDEV_ECN, TUN_F_TSO_ECN}, {NETDEV_UFO, TUN_F_UFO},
    };
    unsigned long all = 0;

    if (!(offloads & NETDEV_CSUM))
        return 0;
    for (unsigned i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
        if (offloads & flags[i].offload)
            all |= flags[i].flag;
    return all;
}

static bool set_queue(struct tap_queue *q, bool attach)
{
    struct ifreq request = {.ifr_flags = attach ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE};

    if (q->attached != attach && ioctl(q->fd, TUNSETQUEUE, &request))
        return false;
    q->attached = attach;
    return true;
}

static void configure(struct netdev *n, unsigned offloads, unsigned pairs)
{
    struct netdev_tap *s = of(n);
    bool failed = false;

    for (unsigned i = 0; i < s->count; i++) {
        if (n->vnet_hdr && ioctl(s->pairs[i].fd, TUNSETOFFLOAD, tun_flags(offloads)))
            failed = true;
        if (s->count > 1 && !set_queue(&s->pairs[i], i < pairs))
            failed = true;
    }
    if (failed)
        netdev_error(n, "netdev-tap: the kernel does not take the card's offloads or queues");
}

static int start(struct netdev *n, lunik_error *err)
{
    struct netdev_tap *s = of(n);
    int rc = 0;

    for (unsigned i = 0; i < s->count && !rc; i++) {
        rc = net_poll_open(&s->pairs[i].poll, n, s->pairs[i].fd, on_event, &s->pairs[i], err);
        watch(&s->pairs[i]);
    }
    return rc;
}

static void stop(struct netdev *n)
{
    struct netdev_tap *s = of(n);

    for (unsigned i = 0; i < s->count; i++) {
        net_poll_close(&s->pairs[i].poll);
        s->pairs[i].held = 0;
        s->pairs[i].blocked = false;
    }
}

/* ---- opening -------------------------------------------------------------------------------- */

static void release(struct netdev *n)
{
    struct netdev_tap *s = of(n);

    for (unsigned i = 0; i < s->count; i++) {
        close(s->pairs[i].fd);
        free(s->pairs[i].frame);
    }
    s->count = 0;
}

/* Takes fd over, also on failure. */
static int add_queue(struct netdev_tap *s, int fd, lunik_error *err)
{
    struct tap_queue *q = &s->pairs[s->count];
    uint8_t *frame = malloc(FRAME_SIZE);
    int size = NETDEV_HEADER;

    if (!frame || (s->vnet_hdr && ioctl(fd, TUNSETVNETHDRSZ, &size))) {
        int rc = frame ? lunik_fail_errno(err, errno, "netdev-tap: vnet_hdr")
                       : lunik_fail(err, LUNIK_E_NO_MEMORY, "netdev-tap: no memory for a queue");

        free(frame);
        close(fd);
        return rc;
    }
    *q = (struct tap_queue){.tap = s, .index = s->count, .fd = fd, .attached = true};
    q->frame = frame;
    s->count++;
    return 0;
}

static int open_named(struct netdev_tap *s, lunik_error *err)
{
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0)
        return lunik_fail_errno(err, errno, "netdev-tap: can't open '/dev/net/tun'");
    if (s->vnet_hdr)
        request.ifr_flags |= IFF_VNET_HDR;
    if (s->queues > 1)
        request.ifr_flags |= IFF_MULTI_QUEUE;
    snprintf(request.ifr_name, IFNAMSIZ, "%s", s->name);
    if (ioctl(fd, TUNSETIFF, &request)) {
        int rc = lunik_fail_errno(err, errno, "netdev-tap: ifname: can't open '%s'",
                                  *s->name ? s->name : "tap%d");
        close(fd);
        return rc;
    }
    memcpy(s->name, request.ifr_name, IFNAMSIZ); /* further queues are of the same device */
    return add_queue(s, fd, err);
}

/* A descriptor of the program's, of which the back end keeps its own. It says itself whether it has
 * headers. */
static int open_given(struct netdev_tap *s, const char *property, long given, lunik_error *err)
{
    struct ifreq request = {0};
    int fd;

    if (given < 0 || given > INT32_MAX || ioctl((int)given, TUNGETIFF, &request) ||
        !(request.ifr_flags & IFF_TAP) || !(request.ifr_flags & IFF_NO_PI))
        return lunik_fail(err, LUNIK_E_INVALID,
                          "netdev-tap: %s: '%ld' is not a tap device without packet information",
                          property, given);
    s->vnet_hdr = request.ifr_flags & IFF_VNET_HDR;
    memcpy(s->name, request.ifr_name, IFNAMSIZ);
    fd = fcntl((int)given, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return lunik_fail_errno(err, errno, "netdev-tap: %s: '%ld'", property, given);
    return add_queue(s, fd, err);
}

/* "3:4:5" */
static int open_list(struct netdev_tap *s, lunik_error *err)
{
    const char *at = s->fds;
    int rc = 0;

    while (!rc) {
        char *end;
        long given = strtol(at, &end, 10);

        if (end == at || (*end && *end != ':') || s->count == NETDEV_QUEUES_MAX)
            return lunik_fail(err, LUNIK_E_INVALID,
                              "netdev-tap: fds: '%s' is not a list of descriptors (want at most "
                              "%d, such as 3:4)",
                              s->fds, NETDEV_QUEUES_MAX);
        rc = open_given(s, "fds", given, err);
        if (!*end)
            break;
        at = end + 1;
    }
    return rc;
}

static int check_way(const struct netdev_tap *s, lunik_error *err)
{
    if ((s->fd >= 0) + !!s->fds + !!s->ifname > 1)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "netdev-tap: ifname, fd and fds can't go together (want one of them)");
    if (s->ifname && (!*s->ifname || strlen(s->ifname) >= IFNAMSIZ))
        return lunik_fail(err, LUNIK_E_INVALID,
                          "netdev-tap: ifname: '%s' is %s (want 1 to %d bytes)", s->ifname,
                          *s->ifname ? "too long" : "empty", IFNAMSIZ - 1);
    if (s->queues > 1 && (s->fd >= 0 || s->fds))
        return lunik_fail(err, LUNIK_E_INVALID,
                          "netdev-tap: queues: goes with ifname alone (want fds for several)");
    return 0;
}

static int open_all(struct netdev_tap *s, lunik_error *err)
{
    int rc = 0;

    if (s->fd >= 0)
        return open_given(s, "fd", (long)s->fd, err);
    if (s->fds)
        return open_list(s, err);
    snprintf(s->name, IFNAMSIZ, "%s", s->ifname ? s->ifname : "");
    for (uint64_t i = 0; i < s->queues && !rc; i++)
        rc = open_named(s, err);
    return rc;
}

static int realize(lunik_object *o, lunik_error *err)
{
    struct netdev_tap *s = lunik_state(o);
    int rc = check_way(s, err);

    netdev_init(&s->base);
    if (!rc)
        rc = open_all(s, err);
    if (rc) {
        release(&s->base);
        return rc;
    }
    s->base.queues = s->count;
    s->base.vnet_hdr = s->vnet_hdr;
    s->base.offloads = s->vnet_hdr ? NETDEV_OFFLOADS : 0;
    if (s->vnet_hdr && ioctl(s->pairs[0].fd, TUNSETOFFLOAD, tun_flags(NETDEV_OFFLOADS)))
        s->base.offloads &= ~(unsigned)NETDEV_UFO; /* some kernels have none */
    return 0;
}

static void get_ifname(lunik_object *o, lunik_value *out)
{
    const struct netdev_tap *s = lunik_state(o);

    *out = (lunik_value){.kind = LUNIK_STRING, .string = s->name};
}

static const lunik_prop props[] = {
    {
        .name = "ifname",
        .kind = LUNIK_PROP_STRING,
        .get = get_ifname,
        .doc = "The host's device; without it, and without descriptors, a new one is made.",
        .offset = offsetof(struct netdev_tap, ifname),
    },
    {
        .name = "fd",
        .kind = LUNIK_PROP_INT,
        .doc = "The descriptor of an open tap device; -1: none.",
        .offset = offsetof(struct netdev_tap, fd),
        .def = (uint64_t)-1,
    },
    {
        .name = "fds",
        .kind = LUNIK_PROP_STRING,
        .doc = "Descriptors of one device with several queues, such as 3:4.",
        .offset = offsetof(struct netdev_tap, fds),
    },
    {
        .name = "queues",
        .kind = LUNIK_PROP_UINT,
        .doc = "Pairs of queues of a device that is opened by name, 1 to 31.",
        .offset = offsetof(struct netdev_tap, queues),
        .def = 1,
        .min = 1,
        .max = NETDEV_QUEUES_MAX,
    },
    {
        .name = "vnet_hdr",
        .kind = LUNIK_PROP_BOOL,
        .doc = "Leave checksums and segmentation to the kernel, or to the guest; descriptors say "
               "so themselves.",
        .offset = offsetof(struct netdev_tap, vnet_hdr),
        .def = 1,
    },
    {0},
};

static const struct netdev_class class = {
    .start = start,
    .stop = stop,
    .send = send_frame,
    .resume = resume,
    .configure = configure,
    .release = release,
};

const lunik_type netdev_tap_type = {
    .name = "netdev-tap",
    .parent = "netdev",
    .doc = "A tap device of the host.",
    .flags = LUNIK_TYPE_HOTPLUG | LUNIK_TYPE_UNPLUG,
    .size = sizeof(struct netdev_tap),
    .props = props,
    .realize = realize,
    .state = &lunik_state_none,
    .data = (void *)&class,
};
