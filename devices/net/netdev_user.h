/* netdev_user.h: the parts of the user-mode network; see netdev_user.c. */
#ifndef NET_NETDEV_USER_H
#define NET_NETDEV_USER_H

#include <netinet/in.h>

#include "net.h"
#include "slirp_library.h"

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
