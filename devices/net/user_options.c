/* user_options.c: addresses and port forwards of a user-mode network; see netdev_user.h. */
#ifdef LUNIK_SLIRP
#include <arpa/inet.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "netdev_user.h"

/* ---- addresses ------------------------------------------------------------------------------ */

static int bad(lunik_error *err, const char *property, const char *text, const char *want)
{
    return lunik_fail(err, LUNIK_E_INVALID, "netdev-user: %s: '%s' is not possible (want %s)",
                      property, text, want);
}

/* "10.0.2.0/24" */
static int parse_network(struct user_addresses *out, const char *net, lunik_error *err)
{
    const char *want = "a network such as 10.0.2.0/24, /8 to /28", *slash = strchr(net, '/');
    char address[INET_ADDRSTRLEN], *end;
    long bits;

    if (!slash || (size_t)(slash - net) >= sizeof(address) || !isdigit((unsigned char)slash[1]))
        return bad(err, "net", net, want);
    memcpy(address, net, (size_t)(slash - net));
    address[slash - net] = '\0';
    bits = strtol(slash + 1, &end, 10);
    if (*end || bits < 8 || bits > 28 || inet_pton(AF_INET, address, &out->network) != 1)
        return bad(err, "net", net, want);
    out->mask.s_addr = htonl(UINT32_MAX << (32 - bits));
    if (out->network.s_addr & ~out->mask.s_addr)
        return bad(err, "net", net, "no bits of hosts");
    return 0;
}

/* An address in the network; `number` is the default one's. */
static int parse_host(struct in_addr *out, const struct user_addresses *in, const char *property,
                      const char *text, uint32_t number, lunik_error *err)
{
    uint32_t host;

    if (!text) {
        out->s_addr = in->network.s_addr | htonl(number);
        return 0;
    }
    if (inet_pton(AF_INET, text, out) != 1)
        return bad(err, property, text, "an IPv4 address");
    host = out->s_addr & ~in->mask.s_addr;
    if ((out->s_addr & in->mask.s_addr) != in->network.s_addr || !host || host == ~in->mask.s_addr)
        return bad(err, property, text, "the address of a host in net");
    return 0;
}

int user_addresses_parse(struct user_addresses *out, const char *net, const char *host,
                         const char *dhcp, const char *dns, lunik_error *err)
{
    int rc = parse_network(out, net, err);

    if (!rc)
        rc = parse_host(&out->host, out, "host", host, 2, err);
    if (!rc)
        rc = parse_host(&out->dns, out, "dns", dns, 3, err);
    if (!rc)
        rc = parse_host(&out->dhcp, out, "dhcpstart", dhcp, 15, err);
    if (!rc && out->host.s_addr == out->dns.s_addr)
        return bad(err, "dns", dns ? dns : "the default", "another address than host");
    return rc;
}

/* ---- forwards ------------------------------------------------------------------------------- */

/* Reads "ADDRESS:PORT" up to the character `end`, which it changes to the end of the text. */
static bool parse_place(char **at, char end, struct in_addr *address, int *port)
{
    char *colon = strchr(*at, ':'), *rest;
    long value;

    address->s_addr = 0;
    if (!colon)
        return false;
    *colon = '\0';
    if (**at && inet_pton(AF_INET, *at, address) != 1)
        return false;
    if (!isdigit((unsigned char)colon[1]))
        return false;
    value = strtol(colon + 1, &rest, 10);
    if (*rest != end || value < 1 || value > 65535)
        return false;
    *port = (int)value;
    *at = end ? rest + 1 : rest;
    return true;
}

static bool parse_rule(char *text, struct user_forward *out)
{
    char *at = text;

    out->udp = !strncmp(at, "udp:", 4);
    if (out->udp || !strncmp(at, "tcp:", 4))
        at += 4;
    else if (*at++ != ':')
        return false;
    return parse_place(&at, '-', &out->host, &out->host_port) &&
           parse_place(&at, '\0', &out->guest, &out->guest_port);
}

int user_forward_parse(const char **list, struct user_forward *out, lunik_error *err)
{
    const char *at = *list + strspn(*list, ", ");
    size_t size = strcspn(at, ", ");
    char text[80], copy[80];

    if (!size)
        return 0;
    snprintf(text, sizeof(text), "%.*s", (int)size, at);
    memcpy(copy, text, sizeof(copy));
    if (size >= sizeof(text) || !parse_rule(copy, out))
        return bad(err, "hostfwd", text, "e.g. tcp::2222-:22 or udp:127.0.0.1:5000-10.0.2.15:53");
    *list = at + size;
    return 1;
}
#endif
