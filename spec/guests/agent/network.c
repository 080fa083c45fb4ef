/* network.c: network interfaces and routes by ioctl; IPv4 addresses as text. */
#include "agent.h"
#include "address.h"

#include <errno.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

/* ---- addresses ------------------------------------------------------------------------------- */

/* Reads four numbers with dots between them. */
static bool parse_address(const char *text, uint32_t *out)
{
    uint32_t address = 0;

    for (unsigned part = 0; part < 4; part++) {
        unsigned value = 0, digits = 0;

        for (; *text >= '0' && *text <= '9' && digits < 3; digits++)
            value = value * 10 + (unsigned)(*text++ - '0');
        if (digits == 0 || value > 255 || *text != (part < 3 ? '.' : '\0'))
            return false;
        text += part < 3;
        address |= value << 8 * part;
    }
    *out = address;
    return true;
}

uint32_t address_get(struct call *c, const char *name, const char *otherwise)
{
    uint32_t address = 0;
    const char *text = otherwise ? call_text_or(c, name, otherwise) : call_text(c, name);

    if (!parse_address(text, &address))
        call_complain(c, name, "is not an IPv4 address");
    return address;
}

void address_answer(struct call *c, const char *name, uint32_t address)
{
    char data[16];
    struct text t = {data, sizeof(data) - 1, 0, false};

    for (unsigned part = 0; part < 4; part++) {
        text_put(&t, part ? "." : "");
        text_put_number(&t, address >> 8 * part & 255);
    }
    data[t.used] = '\0';
    answer_text(c, name, data);
}

/* ---- interfaces ------------------------------------------------------------------------------ */

static long control_socket(void)
{
    return SYS3(SYS_socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

static void name_interface(struct call *c, struct ifreq *r)
{
    const char *name = call_text(c, "name");
    size_t n = text_length(name);

    if (!c->rc && (n == 0 || n >= IFNAMSIZ))
        call_complain(c, "name", "is not the name of an interface");
    for (size_t i = 0; i < n && i < IFNAMSIZ - 1; i++)
        r->ifr_name[i] = name[i];
}

static void answer_mac(struct call *c, const unsigned char *mac)
{
    char data[18];
    struct text t = {data, sizeof(data) - 1, 0, false};

    for (unsigned i = 0; i < 6; i++) {
        text_put(&t, i ? ":" : "");
        text_put_hex(&t, mac[i], 2);
    }
    data[t.used] = '\0';
    answer_text(c, "mac", data);
}

static uint32_t inet_of(const struct ifreq *r)
{
    return ((const struct sockaddr_in *)&r->ifr_addr)->sin_addr.s_addr;
}

static void put_interface(struct call *c, long fd, struct ifreq *r)
{
    int flags = r->ifr_flags;

    answer_number(c, "up", (flags & IFF_UP) != 0);
    answer_number(c, "running", (flags & IFF_RUNNING) != 0);
    if (SYS3(SYS_ioctl, fd, SIOCGIFINDEX, r) == 0)
        answer_number(c, "index", r->ifr_ifindex);
    if (SYS3(SYS_ioctl, fd, SIOCGIFMTU, r) == 0)
        answer_number(c, "mtu", r->ifr_mtu);
    if (SYS3(SYS_ioctl, fd, SIOCGIFHWADDR, r) == 0)
        answer_mac(c, (const unsigned char *)r->ifr_hwaddr.sa_data);
    if (SYS3(SYS_ioctl, fd, SIOCGIFADDR, r) == 0)
        address_answer(c, "address", inet_of(r));
    if (SYS3(SYS_ioctl, fd, SIOCGIFNETMASK, r) == 0)
        address_answer(c, "mask", inet_of(r));
}

static long run_interface(struct call *c)
{
    struct ifreq r = {0};
    long fd, rc;

    name_interface(c, &r);
    if (c->rc)
        return c->rc;
    call_about(c, r.ifr_name);
    fd = control_socket();
    if (fd < 0)
        return fd;
    rc = SYS3(SYS_ioctl, fd, SIOCGIFFLAGS, &r);
    if (rc == 0)
        put_interface(c, fd, &r);
    sys_close(fd);
    return rc;
}

static long set_address(struct call *c, long fd, struct ifreq *r, const char *name,
                        unsigned long request)
{
    struct sockaddr_in a = {.sin_family = AF_INET};

    if (!call_find(c, name))
        return 0;
    a.sin_addr.s_addr = address_get(c, name, NULL);
    *(struct sockaddr_in *)&r->ifr_addr = a;
    return SYS3(SYS_ioctl, fd, request, r);
}

static long set_up(long fd, struct ifreq *r, bool up)
{
    long rc = SYS3(SYS_ioctl, fd, SIOCGIFFLAGS, r);

    if (rc < 0)
        return rc;
    r->ifr_flags = (short)(up ? r->ifr_flags | IFF_UP : r->ifr_flags & ~IFF_UP);
    return SYS3(SYS_ioctl, fd, SIOCSIFFLAGS, r);
}

static long run_set_interface(struct call *c)
{
    struct ifreq r = {0};
    int64_t up = call_number_or(c, "up", -1), mtu = call_number_or(c, "mtu", -1);
    long fd, rc;

    name_interface(c, &r);
    address_get(c, "address", "0.0.0.0");
    address_get(c, "mask", "0.0.0.0");
    if (c->rc)
        return c->rc;
    call_about(c, r.ifr_name);
    fd = control_socket();
    if (fd < 0)
        return fd;
    rc = set_address(c, fd, &r, "address", SIOCSIFADDR);
    if (rc == 0)
        rc = set_address(c, fd, &r, "mask", SIOCSIFNETMASK);
    r.ifr_mtu = (int)mtu;
    if (rc == 0 && mtu >= 0)
        rc = SYS3(SYS_ioctl, fd, SIOCSIFMTU, &r);
    if (rc == 0 && up >= 0)
        rc = set_up(fd, &r, up != 0);
    sys_close(fd);
    return rc;
}

/* ---- routes ---------------------------------------------------------------------------------- */

static void put_inet(struct sockaddr *at, uint32_t address)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = address};

    *(struct sockaddr_in *)at = a;
}

static long run_route(struct call *c)
{
    static char device[IFNAMSIZ];
    struct rtentry route = {0};
    struct ifreq name = {0};
    bool remove = call_number_or(c, "remove", 0) != 0;
    uint32_t gateway = address_get(c, "gateway", "0.0.0.0");
    long fd, rc;

    put_inet(&route.rt_dst, address_get(c, "destination", "0.0.0.0"));
    put_inet(&route.rt_genmask, address_get(c, "mask", "0.0.0.0"));
    put_inet(&route.rt_gateway, gateway);
    route.rt_flags = RTF_UP | (gateway ? RTF_GATEWAY : 0);
    if (call_find(c, "name")) {
        name_interface(c, &name);
        for (unsigned i = 0; i < IFNAMSIZ; i++)
            device[i] = name.ifr_name[i];
        route.rt_dev = device;
    }
    if (c->rc)
        return c->rc;
    fd = control_socket();
    if (fd < 0)
        return fd;
    rc = SYS3(SYS_ioctl, fd, remove ? SIOCDELRT : SIOCADDRT, &route);
    sys_close(fd);
    return rc;
}

const struct command network_commands[] = {
    {"interface", "name", run_interface},
    {"set_interface", "name address mask up mtu", run_set_interface},
    {"route", "name destination mask gateway remove", run_route},
    {0},
};
