/* netdev_user.h: the parts of the user-mode network; see netdev_user.c. */
#ifndef NET_NETDEV_USER_H
#define NET_NETDEV_USER_H

#include <netinet/in.h>

#include "net.h"
#include "slirp_library.h"

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

/* user_round.c, on the thread: what is ready is taken, and what to wait for is asked. */
void user_round(struct user_net *s);
void user_resume(struct netdev *n, unsigned queue);
bool user_send(struct netdev *n, unsigned queue, const struct iovec *iov, unsigned count);
extern const SlirpCb user_callbacks;

/* Addresses of the guest's network, in network byte order. */
struct user_addresses {
    struct in_addr network, mask, host, dhcp, dns;
};

/* Reads "10.0.2.0/24" and the addresses in it; NULL: the default. */
int user_addresses_parse(struct user_addresses *out, const char *net, const char *host,
                         const char *dhcp, const char *dns, lunik_error *err);

/* A port of the host that leads to one of the guest's. */
struct user_forward {
    bool udp;
    struct in_addr host, guest; /* 0: any; the first address that DHCP gives */
    int host_port, guest_port;
};

/* Reads the first rule of a list, "tcp:ADDRESS:PORT-ADDRESS:PORT,...", where addresses may be
 * missing, and moves *list behind it. 1: there was one; 0: the end; or an error. */
int user_forward_parse(const char **list, struct user_forward *out, lunik_error *err);

#endif
