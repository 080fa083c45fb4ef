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
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "netdev_user.h"
#include "../types.h"

enum { WAITING_LIMIT = 1024 * 1024 };

static struct user_net *of(struct netdev *n)
{
    return lunik_container_of(n, struct user_net, base);
}

/* ---- life cycle ----------------------------------------------------------------------------- */

static void on_round(lunik_task *task)
{
    user_round(lunik_container_of(task, struct user_net, round));
}

static void on_sockets(void *opaque, int events)
{
    user_round(opaque);
}

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
        user_callbacks.timer_free(s->timers, s);
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
    s->slirp = s->lib->new (&config, &user_callbacks, s);
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
    .send = user_send,
    .resume = user_resume,
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
