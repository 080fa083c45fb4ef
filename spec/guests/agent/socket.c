/* socket.c: TCP and UDP over IPv4, each call with a time limit, and echo requests. */
#include "agent.h"
#include "address.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define ADDRESS_SIZE sizeof(struct sockaddr_in)

/* The arguments "address" (default: any) and "port" (default 0). */
static struct sockaddr_in read_address(struct call *c)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    int64_t port = call_number_or(c, "port", 0);

    a.sin_addr.s_addr = address_get(c, "address", "0.0.0.0");
    if (port < 0 || port > 65535)
        call_complain(c, "port", "is out of range");
    a.sin_port = (uint16_t)(port >> 8 | (port & 255) << 8);
    return a;
}

static void answer_address(struct call *c, const struct sockaddr_in *a)
{
    address_answer(c, "address", a->sin_addr.s_addr);
    answer_number(c, "port", a->sin_port >> 8 | (a->sin_port & 255) << 8);
}

static long new_socket(int type, int protocol)
{
    return SYS3(SYS_socket, AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
}

/* Waits for the end of a connect(). */
static long finish_connect(long fd, int64_t deadline)
{
    int error = 0;
    unsigned size = sizeof(error);
    long rc = sys_wait(fd, POLLOUT, deadline);

    if (rc < 0)
        return rc;
    SYS5(SYS_getsockopt, fd, SOL_SOCKET, SO_ERROR, &error, &size);
    return -error;
}

static long run_tcp(struct call *c)
{
    struct sockaddr_in to = read_address(c);
    int64_t deadline = call_deadline(c);
    long fd, rc;

    if (c->rc)
        return c->rc;
    fd = new_socket(SOCK_STREAM, 0);
    if (fd < 0)
        return fd;
    rc = SYS3(SYS_connect, fd, &to, ADDRESS_SIZE);
    if (rc == -EINPROGRESS)
        rc = finish_connect(fd, deadline);
    if (rc < 0) {
        sys_close(fd);
        return rc;
    }
    return handle_add(c, fd);
}

/* A socket that is bound to the address and port of the arguments; answers them. */
static long bound(struct call *c, int type)
{
    struct sockaddr_in at = read_address(c);
    unsigned size = ADDRESS_SIZE;
    int one = 1;
    long fd, rc;

    if (c->rc)
        return c->rc;
    fd = new_socket(type, 0);
    if (fd < 0)
        return fd;
    if (type == SOCK_STREAM)
        SYS5(SYS_setsockopt, fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    rc = SYS3(SYS_bind, fd, &at, ADDRESS_SIZE);
    if (rc == 0 && type == SOCK_STREAM)
        rc = SYS2(SYS_listen, fd, 16);
    if (rc == 0)
        rc = SYS3(SYS_getsockname, fd, &at, &size);
    if (rc < 0) {
        sys_close(fd);
        return rc;
    }
    answer_address(c, &at);
    return handle_add(c, fd);
}

static long run_listen(struct call *c)
{
    return bound(c, SOCK_STREAM);
}

static long run_udp(struct call *c)
{
    return bound(c, SOCK_DGRAM);
}

static long run_accept(struct call *c)
{
    struct sockaddr_in from = {0};
    unsigned size = ADDRESS_SIZE;
    long fd = handle_get(c);
    int64_t deadline = call_deadline(c);
    long rc;

    if (c->rc)
        return c->rc;
    do {
        rc = sys_wait(fd, POLLIN, deadline);
        if (rc >= 0)
            rc = SYS4(SYS_accept4, fd, &from, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    } while (rc == -EAGAIN);
    if (rc < 0)
        return rc;
    answer_address(c, &from);
    return handle_add(c, rc);
}

/* Answers how much has been sent by then: less only at an error or the end of the time. */
static long run_send(struct call *c)
{
    long fd = handle_get(c), rc = 0;
    const struct arg *data = call_data(c, "data");
    bool to_address = call_find(c, "address") != NULL;
    struct sockaddr_in to = read_address(c);
    int64_t deadline = call_deadline(c);
    size_t done = 0;

    if (c->rc)
        return c->rc;
    do {
        rc = SYS6(SYS_sendto, fd, data->value + done, data->size - done, MSG_NOSIGNAL,
                  to_address ? &to : NULL, to_address ? ADDRESS_SIZE : 0);
        if (rc == -EAGAIN)
            rc = sys_wait(fd, POLLOUT, deadline) == -ETIMEDOUT ? -ETIMEDOUT : 0;
        else if (rc > 0)
            done += (size_t)rc;
    } while (rc >= 0 && done < data->size);
    if (rc < 0 && done == 0)
        return rc;
    answer_number(c, "size", (int64_t)done);
    return 0;
}

/* Answers what has come, at most `size` bytes; nothing: the other side has closed. */
static long run_receive(struct call *c)
{
    long fd = handle_get(c), n;
    struct sockaddr_in from = {0};
    unsigned size = ADDRESS_SIZE;
    int64_t most = call_range(c, "size", 1, CALL_DATA), deadline = call_deadline(c);

    if (c->rc)
        return c->rc;
    do {
        n = sys_wait(fd, POLLIN, deadline);
        if (n >= 0)
            n = SYS6(SYS_recvfrom, fd, buffer, most, 0, &from, &size);
    } while (n == -EAGAIN);
    if (n < 0)
        return n;
    if (from.sin_family == AF_INET)
        answer_address(c, &from);
    answer_data(c, "data", buffer, (size_t)n);
    return 0;
}

static long run_shutdown(struct call *c)
{
    long fd = handle_get(c);

    return c->rc ? c->rc : SYS2(SYS_shutdown, fd, SHUT_WR);
}

/* ---- echo requests (RFC 792) ----------------------------------------------------------------- */

#define ECHO_SIZE 64

struct echo {
    uint8_t type, code;
    uint16_t checksum, id, sequence;
    uint8_t data[ECHO_SIZE - 8];
};

static uint16_t checksum(const void *data, size_t size)
{
    const uint16_t *words = data;
    uint32_t sum = 0;

    for (size_t i = 0; i < size / 2; i++)
        sum += words[i];
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t) ~(sum + (sum >> 16));
}

static long send_echo(long fd, const struct sockaddr_in *to, uint16_t sequence)
{
    struct echo e = {.type = 8, .id = 0x4c75, .sequence = sequence};

    for (size_t i = 0; i < sizeof(e.data); i++)
        e.data[i] = (uint8_t)i;
    e.checksum = checksum(&e, sizeof(e));
    return SYS6(SYS_sendto, fd, &e, sizeof(e), MSG_NOSIGNAL, to, ADDRESS_SIZE);
}

/* Waits for the reply with a sequence number. A raw socket gets the IP header as well. */
static long await_echo(long fd, bool raw, uint16_t sequence, int64_t deadline)
{
    const struct echo *e;
    size_t header;
    long n;

    for (;;) {
        n = sys_wait(fd, POLLIN, deadline);
        if (n >= 0)
            n = SYS6(SYS_recvfrom, fd, buffer, 2048, 0, NULL, NULL);
        if (n == -EAGAIN)
            continue;
        if (n < 0)
            return n;
        header = raw ? (buffer[0] & 15u) * 4 : 0;
        e = (const struct echo *)(buffer + header);
        if ((size_t)n >= header + sizeof(*e) && e->type == 0 && e->sequence == sequence)
            return 0;
    }
}

static long run_ping(struct call *c)
{
    struct sockaddr_in to = read_address(c);
    int64_t count = call_number_or(c, "count", 1), deadline = call_deadline(c), sent = 0, back = 0;
    bool raw = true;
    long fd, rc = 0;

    if (count < 1 || count > 1000)
        call_complain(c, "count", "is out of range");
    if (c->rc)
        return c->rc;
    fd = new_socket(SOCK_RAW, IPPROTO_ICMP);
    if (fd < 0) {
        raw = false;
        fd = new_socket(SOCK_DGRAM, IPPROTO_ICMP);
    }
    if (fd < 0)
        return fd;
    for (; sent < count && rc != -ETIMEDOUT; sent++) {
        rc = send_echo(fd, &to, (uint16_t)sent);
        if (rc < 0)
            break;
        rc = await_echo(fd, raw, (uint16_t)sent, deadline);
        back += rc == 0;
    }
    sys_close(fd);
    if (rc < 0 && rc != -ETIMEDOUT)
        return rc;
    answer_number(c, "sent", sent);
    answer_number(c, "received", back);
    return 0;
}

const struct command socket_commands[] = {
    {"tcp", "address port timeout", run_tcp},
    {"listen", "address port", run_listen},
    {"udp", "address port", run_udp},
    {"accept", "handle timeout", run_accept},
    {"send", "handle data address port timeout", run_send},
    {"receive", "handle size timeout", run_receive},
    {"shutdown", "handle", run_shutdown},
    {"ping", "address count timeout", run_ping},
    {0},
};
