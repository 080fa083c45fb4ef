/* test_netdev_user.c: a guest on the user-mode network, with a network stack of the smallest kind:
 * DHCP, a TCP connection to the host and one from it, wrong options. */
#define _GNU_SOURCE /* accept4 */
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pci_rig.h"
#include "virtio_pci_driver.h"
#include "nic_driver.h"

#ifndef LUNIK_SLIRP
int main(void)
{
    check_skip("user-mode network", "libslirp's header was not there");
    return check_result();
}
#else
enum { RX, TX, ETH = 14, IP = 34, TCP = 54, UDP = 42 };
enum { FIN = 1, SYN = 2, RST = 4, ACK = 16, TCP_PROTO = 6, UDP_PROTO = 17, GUEST_PORT = 40000 };
#define HOST_ADDRESS  0x0a000202u /* 10.0.2.2 */
#define GUEST_ADDRESS 0x0a00020fu

static lunik_error err;
static struct nic n;
static uint8_t packet[0x4000]; /* the last one of IP that has come */
static int packet_size;

/* ---- bytes ---------------------------------------------------------------------------------- */

static void put16(uint8_t *at, unsigned value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static void put32(uint8_t *at, uint32_t value)
{
    put16(at, value >> 16);
    put16(at + 2, value & 0xffff);
}

static unsigned get16(const uint8_t *at)
{
    return (unsigned)at[0] << 8 | at[1];
}

static uint32_t get32(const uint8_t *at)
{
    return (uint32_t)get16(at) << 16 | get16(at + 2);
}

static uint32_t add_words(uint32_t sum, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        sum += i % 2 ? data[i] : (uint32_t)data[i] << 8;
    return sum;
}

static unsigned fold(uint32_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return ~sum & 0xffff;
}

/* ---- sending -------------------------------------------------------------------------------- */

static const uint8_t mac[6] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56};
static const uint8_t no_header[NIC_HEADER];

static void send_frame(uint8_t *frame, size_t size, unsigned type)
{
    uint32_t written;

    while (nic_used(&n, TX, &written) >= 0)
        ;
    memset(frame, 0xff, 6);
    memcpy(frame + 6, mac, 6);
    put16(frame + 12, type);
    nic_send(&n, TX, no_header, frame, size < 60 ? 60 : size, 2);
    nic_kick(&n, TX);
}

/* size: of the frame; what follows the IP header is there. */
static void send_ip(uint8_t *frame, size_t size, unsigned protocol, uint32_t from, uint32_t to)
{
    uint8_t *ip = frame + ETH;
    unsigned at = protocol == TCP_PROTO ? IP + 16 : IP + 6;
    size_t length = size - IP;

    memset(ip, 0, 20);
    ip[0] = 0x45;
    put16(ip + 2, (unsigned)(size - ETH));
    ip[8] = 64;
    ip[9] = (uint8_t)protocol;
    put32(ip + 12, from);
    put32(ip + 16, to);
    put16(ip + 10, fold(add_words(0, ip, 20)));
    put16(frame + at, 0);
    put16(frame + at,
          fold(add_words(add_words(protocol + (uint32_t)length, ip + 12, 8), frame + IP, length)));
    send_frame(frame, size, 0x0800);
}

struct connection {
    unsigned port, peer_port;
    uint32_t sent, got; /* the next numbers */
};

static void send_tcp(struct connection *c, unsigned flags, const char *data)
{
    uint8_t frame[400] = {0}, *tcp = frame + IP;
    size_t size = strlen(data);

    put16(tcp, c->port);
    put16(tcp + 2, c->peer_port);
    put32(tcp + 4, c->sent);
    put32(tcp + 8, c->got);
    tcp[12] = 5 << 4;
    tcp[13] = (uint8_t)flags;
    put16(tcp + 14, 8192);
    memcpy(frame + TCP, data, size);
    send_ip(frame, TCP + size, TCP_PROTO, GUEST_ADDRESS, HOST_ADDRESS);
    c->sent += (uint32_t)size + (flags & (SYN | FIN) ? 1 : 0);
}

/* ---- receiving ------------------------------------------------------------------------------ */

static void answer_arp(const uint8_t *request)
{
    uint8_t frame[60] = {0};

    if (get16(request + 20) != 1 || get32(request + 38) != GUEST_ADDRESS)
        return;
    memcpy(frame + ETH, request + ETH, 6);
    put16(frame + 20, 2);
    memcpy(frame + 22, mac, 6);
    put32(frame + 28, GUEST_ADDRESS);
    memcpy(frame + 32, request + 22, 10);
    send_frame(frame, sizeof(frame), 0x0806);
}

/* Takes what has come; true: a packet of IP with that protocol. */
static bool take_packet(unsigned protocol)
{
    uint8_t got[0x4000];
    int size;

    nic_run(&n);
    size = nic_take(&n, RX, got, sizeof(got)) - NIC_HEADER;
    while (nic_free(&n, RX) > 1)
        nic_buffer(&n, RX, 2000);
    nic_kick(&n, RX);
    if (size < ETH)
        return false;
    if (get16(got + NIC_HEADER + 12) == 0x0806)
        answer_arp(got + NIC_HEADER);
    if (get16(got + NIC_HEADER + 12) != 0x0800 || got[NIC_HEADER + 23] != protocol)
        return false;
    packet_size = (int)get16(got + NIC_HEADER + 16) + ETH;
    memcpy(packet, got + NIC_HEADER, (size_t)size);
    return true;
}

static bool wait_packet(unsigned protocol)
{
    for (unsigned i = 0; i < 3000; i++)
        if (take_packet(protocol))
            return true;
    return false;
}

/* Waits for a segment with these flags, or data, and notes what it says. */
static bool wait_tcp(struct connection *c, unsigned flags, bool with_data)
{
    for (unsigned i = 0; i < 3000; i++) {
        unsigned header;

        if (!take_packet(TCP_PROTO) || get16(packet + IP + 2) != c->port)
            continue;
        header = (packet[IP + 12] >> 4) * 4u;
        c->peer_port = get16(packet + IP);
        if ((packet[IP + 13] & flags) != flags || (with_data && packet_size <= (int)(IP + header)))
            continue;
        c->got = get32(packet + IP + 4) + (uint32_t)packet_size - IP - header +
                 (packet[IP + 13] & (SYN | FIN) ? 1 : 0);
        memmove(packet, packet + IP + header, (size_t)packet_size - IP - header);
        packet[(size_t)packet_size - IP - header] = '\0';
        return true;
    }
    return false;
}

/* ---- DHCP ----------------------------------------------------------------------------------- */

static void send_dhcp(unsigned type)
{
    uint8_t frame[UDP + 300] = {0}, *dhcp = frame + UDP;

    put16(frame + IP, 68);
    put16(frame + IP + 2, 67);
    put16(frame + IP + 4, 8 + 300);
    memcpy(dhcp, "\1\1\6", 3);
    put32(dhcp + 4, 0x12345678);
    memcpy(dhcp + 28, mac, 6);
    put32(dhcp + 236, 0x63825363);
    memcpy(dhcp + 240, (uint8_t[]){53, 1, (uint8_t)type, 50, 4, 10, 0, 2, 15, 255}, 10);
    send_ip(frame, sizeof(frame), UDP_PROTO, 0, 0xffffffff);
}

/* The value of an option of the reply, its first four bytes; 0: it has none. */
static uint32_t dhcp_option(unsigned code)
{
    const uint8_t *at = packet + UDP + 240, *end = packet + packet_size;
    uint32_t value = 0;

    while (at + 1 < end && *at != 255 && *at != code)
        at += *at ? 2 + at[1] : 1;
    if (at + 1 < end && *at == code)
        for (unsigned i = 0; i < at[1] && i < 4; i++)
            value = value << 8 | at[2 + i];
    return value;
}

static void test_dhcp(void)
{
    send_dhcp(1);
    check_true("DHCP: an offer", wait_packet(UDP_PROTO));
    check_uint("  message", dhcp_option(53), 2);
    check_uint("  address", get32(packet + UDP + 16), GUEST_ADDRESS);
    check_uint("  mask", dhcp_option(1), 0xffffff00);
    check_uint("  router", dhcp_option(3), HOST_ADDRESS);
    check_uint("  name server", dhcp_option(6), 0x0a000203);
    check_uint("  name", dhcp_option(12), 0x6c756e69); /* "luni" */
    send_dhcp(3);
    check_true("DHCP: it is acknowledged", wait_packet(UDP_PROTO));
    check_uint("  message", dhcp_option(53), 5);
}

/* ---- TCP ------------------------------------------------------------------------------------ */

static int listener(unsigned *port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&a, size) || listen(fd, 1) ||
        getsockname(fd, (struct sockaddr *)&a, &size))
        exit(1);
    *port = ntohs(a.sin_port);
    return fd;
}

static int accept_soon(int fd)
{
    int peer = -1;

    for (unsigned i = 0; i < 1000 && peer < 0; i++) {
        nic_run(&n);
        peer = accept4(fd, NULL, NULL, SOCK_NONBLOCK);
    }
    return peer;
}

static bool recv_soon(int fd, const char *want)
{
    char got[100] = {0};

    for (unsigned i = 0; i < 1000 && !*got; i++) {
        nic_run(&n);
        recv(fd, got, sizeof(got) - 1, 0);
    }
    return !strcmp(got, want);
}

static void test_tcp_out(void)
{
    struct connection c = {.port = GUEST_PORT, .sent = 1000};
    unsigned port;
    int fd = listener(&port), peer;

    c.peer_port = port;
    send_tcp(&c, SYN, "");
    peer = accept_soon(fd);
    check_true("TCP: the host has the connection", peer >= 0);
    check_true("TCP: and so has the guest", wait_tcp(&c, SYN | ACK, false));
    send_tcp(&c, ACK, "");
    send_tcp(&c, ACK, "from the guest");
    check_true("TCP: the guest's data", recv_soon(peer, "from the guest"));
    check_int("TCP: the host answers", send(peer, "from the host", 13, 0), 13);
    check_true("TCP: the host's data", wait_tcp(&c, ACK, true));
    check_string("  as it was", (char *)packet, "from the host");
    send_tcp(&c, ACK, "");
    close(peer);
    check_true("TCP: the end", wait_tcp(&c, FIN, false));
    close(fd);
}

static void test_tcp_in(unsigned port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct connection c = {.port = 80, .sent = 5000};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    a.sin_port = htons((uint16_t)port);
    check_int("forward: a client connects", connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    check_true("forward: the guest is asked", wait_tcp(&c, SYN, false));
    send_tcp(&c, SYN | ACK, "");
    check_int("forward: the client sends", send(fd, "to the guest", 12, MSG_DONTWAIT), 12);
    check_true("forward: the guest gets it", wait_tcp(&c, ACK, true));
    check_string("  as it was", (char *)packet, "to the guest");
    close(fd);
}

/* ---- options -------------------------------------------------------------------------------- */

static void refuse(const char *name, const char *value, const char *text)
{
    const lunik_field props[] = {LUNIK_FIELD_STRING("id", "net1"), LUNIK_FIELD_STRING(name, value)};

    check_true(text, lunik_object_add(n.rig.m, "netdev-user", props, 2, NULL, &err) < 0);
    check_contains("  says", err.message, text);
}

static void test_options(unsigned taken)
{
    char forward[40];

    refuse("net", "10.0.2.0", "net: '10.0.2.0' is not possible");
    refuse("net", "10.0.2.1/24", "net: '10.0.2.1/24' is not possible (want no bits of hosts)");
    refuse("net", "10.0.2.0/30", "net: '10.0.2.0/30' is not possible");
    refuse("host", "10.0.3.2", "host: '10.0.3.2' is not possible (want the address of a host");
    refuse("dns", "10.0.2.2", "dns: '10.0.2.2' is not possible (want another address than host)");
    refuse("hostfwd", "tcp:2222-:22", "hostfwd: 'tcp:2222-:22' is not possible");
    refuse("hostfwd", "tcp::2222-:22,sctp::1-:2", "hostfwd: 'sctp::1-:2' is not possible");
    refuse("hostfwd", "tcp::70000-:22", "hostfwd: 'tcp::70000-:22' is not possible");
    snprintf(forward, sizeof(forward), "tcp:127.0.0.1:%u-:1", taken);
    refuse("hostfwd", forward, "hostfwd: can't listen at TCP port");
}

static void test_restricted(void)
{
    const lunik_field back[] = {LUNIK_FIELD_BOOL("restrict", true)};
    struct connection c = {.port = GUEST_PORT, .sent = 1000};
    unsigned port;
    int fd = listener(&port);

    nic_open(&n, "netdev-user", back, 1, NULL, 0);
    nic_start(&n, 0, 2);
    c.peer_port = port;
    send_tcp(&c, SYN, "");
    for (unsigned i = 0; i < 50; i++)
        take_packet(TCP_PROTO);
    check_true("restricted: the host is not reached", accept4(fd, NULL, NULL, SOCK_NONBLOCK) < 0);
    nic_close(&n);
    close(fd);
}

static void run(const char *thread)
{
    lunik_field card[] = {LUNIK_FIELD_STRING("iothread", "io")};
    char forward[60];
    unsigned port;

    close(listener(&port)); /* one that is free */
    snprintf(forward, sizeof(forward), "tcp:127.0.0.1:%u-:80", port);
    lunik_field back[] = {LUNIK_FIELD_STRING("hostname", "lunik"),
                          LUNIK_FIELD_STRING("hostfwd", forward)};
    nic_open(&n, "netdev-user", back, 2, card, *thread ? 1 : 0);
    nic_start(&n, 0, 2);
    test_dhcp();
    test_tcp_out();
    test_tcp_in(port);
    test_options(port);
    nic_close(&n);
}

int main(void)
{
    run("");
    run("iothread");
    test_restricted();
    return check_result();
}
#endif
