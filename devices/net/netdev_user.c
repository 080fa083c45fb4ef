/*
 * netdev_user.c: a network of the process's own (libslirp): the guest gets an address by DHCP and
 * reaches the host's network through sockets of this process; ports of the host can lead to the
 * guest. No right of the host is needed, but a sandbox must allow the network.
 *
 * DESIGN. libslirp says before each wait which sockets it wants to have watched, and is then given
 * what is ready. An epoll instance holds these sockets, and the thread's loop watches that alone.
 * A round takes what is ready, then asks for what to watch and for how long.
 *
 * Not modelled: guestfwd, TFTP and SMB servers, saved connections.
 */
#ifdef LUNIK_SLIRP
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "netdev_user.h"
#include "../types.h"

enum { EVENTS_AT_ONCE = 64, WAITING_LIMIT = 1024 * 1024, LONGEST_WAIT_MS = 1000 };

/* A socket that libslirp has watched, at the place of its descriptor. */
struct watched {
    int events; /* SLIRP_POLL_*; 0: it is not in the epoll instance */
    int ready;
    unsigned round; /* the last one that wanted it */
};

/* A timer of libslirp's. */
struct user_timer {
    SlirpTimerCb fn;
    void *opaque;
    int64_t due; /* ms; INT64_MAX: not armed */
    struct user_timer *next;
};

struct user_net;

/* Wakes the thread; has memory of its own, which is freed when the handle is closed. */
struct user_clock {
    uv_timer_t timer;
    struct user_net *owner;
};

struct user_net {
    struct netdev base;
    char *net, *host, *dhcpstart, *dns, *hostname, *domainname, *hostfwd;
    bool restricted, ipv6;

    const struct slirp_library *lib;
    Slirp *slirp;
    int epoll;
    struct net_poll *poll;
    struct user_clock *clock;
    lunik_task round;
    struct watched *watched;
    int room; /* of it */
    unsigned rounds;
    struct user_timer *timers;
    struct net_queue waiting; /* for the card */
    uint8_t frame[NETDEV_FRAME_MAX];
};

static struct user_net *of(struct netdev *n)
{
    return lunik_container_of(n, struct user_net, base);
}

/* ---- to the card ---------------------------------------------------------------------------- */

static void deliver(struct user_net *s)
{
    const uint8_t *frame;
    unsigned queue;
    size_t size;

    while ((frame = net_queue_first(&s->waiting, &queue, &size)) &&
           netdev_receive(&s->base, queue, frame, size))
        net_queue_drop(&s->waiting);
    netdev_received(&s->base, 0);
}

static void resume(struct netdev *n, unsigned queue)
{
    struct user_net *s = of(n);

    if (s->waiting.first)
        deliver(s);
}

/* ---- functions for libslirp ----------------------------------------------------------------- */

static ssize_t take_packet(const void *data, size_t size, void *opaque)
{
    struct user_net *s = opaque;
    struct iovec iov = {(void *)data, size};

    if (size > NETDEV_FRAME_MAX || !net_queue_add(&s->waiting, 0, &iov, 1))
        netdev_drop(&s->base);
    return (ssize_t)size;
}

static void guest_error(const char *message, void *opaque)
{
    struct user_net *s = opaque;

    netdev_drop(&s->base);
}

static int64_t now_ns(void *opaque)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void *timer_new(SlirpTimerCb fn, void *fn_opaque, void *opaque)
{
    struct user_net *s = opaque;
    struct user_timer *t = calloc(1, sizeof(*t));

    if (!t)
        return NULL;
    *t = (struct user_timer){fn, fn_opaque, INT64_MAX, s->timers};
    s->timers = t;
    return t;
}

static void timer_free(void *timer, void *opaque)
{
    struct user_net *s = opaque;
    struct user_timer **link = &s->timers;

    while (*link && *link != timer)
        link = &(*link)->next;
    if (*link)
        *link = (*link)->next;
    free(timer);
}

static void timer_mod(void *timer, int64_t due, void *opaque)
{
    struct user_timer *t = timer;

    if (t)
        t->due = due;
}

/* A descriptor is new, or goes: the epoll instance does not have it. */
static void forget_fd(int fd, void *opaque)
{
    struct user_net *s = opaque;

    if (fd < 0 || fd >= s->room)
        return;
    if (s->watched[fd].events)
        epoll_ctl(s->epoll, EPOLL_CTL_DEL, fd, NULL);
    s->watched[fd] = (struct watched){0};
}

static void notify(void *opaque)
{
    struct user_net *s = opaque;

    netdev_post(&s->base, &s->round);
}

static const SlirpCb callbacks = {
    .send_packet = take_packet,
    .guest_error = guest_error,
    .clock_get_ns = now_ns,
    .timer_new = timer_new,
    .timer_free = timer_free,
    .timer_mod = timer_mod,
    .register_poll_fd = forget_fd,
    .unregister_poll_fd = forget_fd,
    .notify = notify,
};

/* ---- rounds --------------------------------------------------------------------------------- */

static const struct {
    int slirp;
    uint32_t epoll;
} event_pairs[] = {
    {SLIRP_POLL_IN, EPOLLIN},   {SLIRP_POLL_OUT, EPOLLOUT}, {SLIRP_POLL_PRI, EPOLLPRI},
    {SLIRP_POLL_ERR, EPOLLERR}, {SLIRP_POLL_HUP, EPOLLHUP},
};
enum { PAIRS = sizeof(event_pairs) / sizeof(event_pairs[0]) };

static bool make_room(struct user_net *s, int fd)
{
    int room = s->room ? s->room : 64;
    struct watched *w;

    while (room <= fd)
        room *= 2;
    if (room == s->room)
        return true;
    w = realloc(s->watched, (size_t)room * sizeof(*w));
    if (!w)
        return false;
    memset(w + s->room, 0, (size_t)(room - s->room) * sizeof(*w));
    s->watched = w;
    s->room = room;
    return true;
}

/* libslirp wants fd to be watched; a descriptor is its own index. */
static int add_poll(int fd, int events, void *opaque)
{
    struct user_net *s = opaque;
    struct epoll_event e = {.data.fd = fd};
    struct watched *w;

    if (!make_room(s, fd))
        return -1;
    w = &s->watched[fd];
    w->round = s->rounds;
    if (w->events == events)
        return fd;
    for (unsigned i = 0; i < PAIRS; i++)
        if (events & event_pairs[i].slirp)
            e.events |= event_pairs[i].epoll;
    if (epoll_ctl(s->epoll, w->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &e))
        return -1;
    w->events = events;
    return fd;
}

static int ready_events(int index, void *opaque)
{
    const struct user_net *s = opaque;

    return index < 0 || index >= s->room ? 0 : s->watched[index].ready;
}

static void note_ready(struct user_net *s)
{
    struct epoll_event events[EVENTS_AT_ONCE];
    int count = epoll_wait(s->epoll, events, EVENTS_AT_ONCE, 0);

    for (int fd = 0; fd < s->room; fd++)
        s->watched[fd].ready = 0;
    for (int i = 0; i < count; i++)
        for (unsigned p = 0; p < PAIRS; p++)
            if (events[i].events & event_pairs[p].epoll)
                s->watched[events[i].data.fd].ready |= event_pairs[p].slirp;
}

static void run_timers(struct user_net *s)
{
    int64_t now = now_ns(s) / 1000000;
    struct user_timer *t;

    do { /* one at a time: its function may free others */
        for (t = s->timers; t && t->due > now; t = t->next)
            ;
        if (t) {
            t->due = INT64_MAX;
            t->fn(t->opaque);
        }
    } while (t);
}

static void on_clock(uv_timer_t *timer);

static void arm_clock(struct user_net *s, uint32_t wait)
{
    int64_t now = now_ns(s) / 1000000;

    for (const struct user_timer *t = s->timers; t; t = t->next)
        if (t->due < now + wait)
            wait = t->due > now ? (uint32_t)(t->due - now) : 0;
    if (wait > LONGEST_WAIT_MS && wait != UINT32_MAX)
        wait = LONGEST_WAIT_MS;
    if (!s->clock)
        return;
    netdev_loop(&s->base);
    if (wait == UINT32_MAX)
        uv_timer_stop(&s->clock->timer);
    else
        uv_timer_start(&s->clock->timer, on_clock, wait, 0);
}

static void run_round(struct user_net *s)
{
    uint32_t wait = UINT32_MAX;

    slirp_enter();
    note_ready(s);
    s->lib->pollfds_poll(s->slirp, 0, ready_events, s);
    run_timers(s);
    s->rounds++;
    s->lib->pollfds_fill(s->slirp, &wait, add_poll, s);
    for (int fd = 0; fd < s->room; fd++)
        if (s->watched[fd].events && s->watched[fd].round != s->rounds)
            forget_fd(fd, s);
    slirp_leave();
    arm_clock(s, wait);
    deliver(s);
}

static void on_clock(uv_timer_t *timer)
{
    run_round(lunik_container_of(timer, struct user_clock, timer)->owner);
}

static void on_round(lunik_task *task)
{
    run_round(lunik_container_of(task, struct user_net, round));
}

static void on_sockets(void *opaque, int events)
{
    run_round(opaque);
}

static bool send_frame(struct netdev *n, unsigned queue, const struct iovec *iov, unsigned count)
{
    struct user_net *s = of(n);
    size_t size = net_iov_size(iov, count);

    if (size > sizeof(s->frame)) {
        netdev_drop(n);
        return true;
    }
    net_iov_copy(s->frame, size, iov, count);
    slirp_enter();
    s->lib->input(s->slirp, s->frame, (int)size);
    slirp_leave();
    netdev_post(n, &s->round);
    return true;
}

/* ---- life cycle ----------------------------------------------------------------------------- */

static int start(struct netdev *n, lunik_error *err)
{
    struct user_net *s = of(n);
    int rc;

    s->clock = calloc(1, sizeof(*s->clock));
    if (!s->clock)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "netdev-user: no memory for a timer");
    s->clock->owner = s;
    uv_timer_init(netdev_loop(n), &s->clock->timer);
    uv_unref((uv_handle_t *)&s->clock->timer);
    rc = net_poll_open(&s->poll, n, s->epoll, on_sockets, s, err);
    net_poll_want(s->poll, UV_READABLE);
    netdev_post(n, &s->round);
    return rc;
}

static void free_clock(uv_handle_t *handle)
{
    free(lunik_container_of((uv_timer_t *)handle, struct user_clock, timer));
}

static void stop(struct netdev *n)
{
    struct user_net *s = of(n);

    netdev_cancel(n, &s->round);
    net_poll_close(&s->poll);
    if (s->clock) {
        netdev_loop(n);
        uv_close((uv_handle_t *)&s->clock->timer, free_clock);
    }
    s->clock = NULL;
    net_queue_clear(&s->waiting);
}

static void release(struct netdev *n)
{
    struct user_net *s = of(n);

    if (s->slirp) {
        slirp_enter();
        s->lib->cleanup(s->slirp);
        slirp_leave();
    }
    s->slirp = NULL;
    while (s->timers)
        timer_free(s->timers, s);
    if (s->epoll >= 0)
        close(s->epoll);
    s->epoll = -1;
    free(s->watched);
    s->watched = NULL;
    s->room = 0;
    net_queue_clear(&s->waiting);
}

static const struct in6_addr prefix6 = {{{0xfe, 0xc0}}};

static struct in6_addr host6(uint8_t number)
{
    struct in6_addr a = prefix6;

    a.s6_addr[15] = number;
    return a;
}

static int make_slirp(struct user_net *s, lunik_error *err)
{
    struct user_addresses a = {0};
    SlirpConfig config = {.version = 1, .restricted = s->restricted, .in_enabled = true};
    int rc = user_addresses_parse(&a, s->net, s->host, s->dhcpstart, s->dns, err);

    if (rc)
        return rc;
    config.vnetwork = a.network;
    config.vnetmask = a.mask;
    config.vhost = a.host;
    config.vdhcp_start = a.dhcp;
    config.vnameserver = a.dns;
    config.in6_enabled = s->ipv6;
    config.vprefix_addr6 = prefix6;
    config.vprefix_len = 64;
    config.vhost6 = host6(2);
    config.vnameserver6 = host6(3);
    config.vhostname = s->hostname;
    config.vdomainname = s->domainname;
    slirp_enter();
    s->slirp = s->lib->new (&config, &callbacks, s);
    slirp_leave();
    return s->slirp ? 0 : lunik_fail(err, LUNIK_E_IO, "netdev-user: libslirp can't begin");
}

static int add_forwards(struct user_net *s, lunik_error *err)
{
    const char *list = s->hostfwd ? s->hostfwd : "";
    struct user_forward f;
    int rc, failed;

    while ((rc = user_forward_parse(&list, &f, err)) > 0) {
        slirp_enter();
        errno = 0;
        failed = s->lib->add_hostfwd(s->slirp, f.udp, f.host, f.host_port, f.guest, f.guest_port);
        slirp_leave();
        if (failed)
            return lunik_fail_errno(err, errno ? errno : EADDRINUSE,
                                    "netdev-user: hostfwd: can't listen at %s port %d of the host",
                                    f.udp ? "UDP" : "TCP", f.host_port);
    }
    return rc;
}

static int realize(lunik_object *o, lunik_error *err)
{
    struct user_net *s = lunik_state(o);
    int rc = 0;

    netdev_init(&s->base);
    net_queue_init(&s->waiting, WAITING_LIMIT);
    s->round.fn = on_round;
    s->epoll = -1;
    s->lib = slirp_library(err);
    if (!s->lib)
        return lunik_fail_prefix(err, LUNIK_E_UNSUPPORTED, "netdev-user");
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (s->epoll < 0)
        rc = lunik_fail_errno(err, errno, "netdev-user: can't make an epoll instance");
    if (!rc)
        rc = make_slirp(s, err);
    if (!rc)
        rc = add_forwards(s, err);
    if (rc)
        release(&s->base);
    return rc;
}

#define TEXT(name_, field_, doc_, def_)                                                            \
    {                                                                                              \
        .name = name_, .kind = LUNIK_PROP_STRING, .doc = (doc_),                                   \
        .offset = offsetof(struct user_net, field_), .def_string = (def_)                          \
    }

static const lunik_prop props[] = {
    TEXT("net", net, "The guest's network, with the bits of its mask.", "10.0.2.0/24"),
    TEXT("host", host, "The host's address there; without it the second.", NULL),
    TEXT("dhcpstart", dhcpstart, "The first address that DHCP gives; without it the 15th.", NULL),
    TEXT("dns", dns, "The address of the name server there; without it the third.", NULL),
    TEXT("hostname", hostname, "The name that DHCP gives the guest.", NULL),
    TEXT("domainname", domainname, "The domain that DHCP gives the guest.", NULL),
    TEXT("hostfwd", hostfwd,
         "Ports of the host that lead to the guest, e.g. tcp::2222-:22,udp::5000-:5000.", NULL),
    {
        .name = "restrict",
        .kind = LUNIK_PROP_BOOL,
        .doc = "Keep the guest from the host and the networks beyond; forwarded ports work.",
        .offset = offsetof(struct user_net, restricted),
    },
    {
        .name = "ipv6",
        .kind = LUNIK_PROP_BOOL,
        .doc = "Offer IPv6 as well, in fec0::/64.",
        .offset = offsetof(struct user_net, ipv6),
        .def = 1,
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

const lunik_type netdev_user_type = {
    .name = "netdev-user",
    .parent = "netdev",
    .doc = "A network of the process's own, with DHCP, DNS and forwarded ports (libslirp).",
    .flags = LUNIK_TYPE_HOTPLUG | LUNIK_TYPE_UNPLUG,
    .size = sizeof(struct user_net),
    .props = props,
    .realize = realize,
    .state = &lunik_state_none,
    .data = (void *)&class,
};
#endif
