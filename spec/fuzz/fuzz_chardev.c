/*
 * fuzz_chardev.c: peers that come, send, stop reading, hang up and come again at a serial port's
 * socket, while the guest reads and writes when it likes. -max_len=512 -runs=500
 *
 * A peer's bytes reach the guest once and in order while it is connected; the bytes that it gets
 * have no gaps; a second peer is refused.
 */
#define _GNU_SOURCE /* O_PATH, SOCK_NONBLOCK */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "board.h"

enum { DATA = 0x3f8, FIFO_CONTROL = 0x3fa, LINE_STATUS = 0x3fd, HAS_DATA = 0x01, CAN_SEND = 0x20 };
enum { PEERS_MAX = 32, QUIET = 32 };

static char folder[] = "/tmp/lunik-fuzz-XXXXXX";
static struct sockaddr_un address = {.sun_family = AF_UNIX};

static struct {
    int fd; /* of the peer that is there; -1: none */
    bool half_closed;
    unsigned peers;
    unsigned sent[PEERS_MAX]; /* bytes, by peer */
    unsigned from, at;        /* the byte that the guest gets next: of that peer */
    unsigned written;         /* bytes by the guest */
    bool receives;            /* the peer has received something: */
    uint8_t last;             /* that last */
} b;

/* The same path in every process, so that it makes no difference. */
static void remove_folder(void)
{
    rmdir(folder);
}

static void make_folder(void)
{
    int fd;

    fuzz_check(mkdtemp(folder), "%s: %s", folder, strerror(errno));
    fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    fuzz_check(fd >= 0, "%s: %s", folder, strerror(errno));
    snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/serial", fd);
    atexit(remove_folder);
}

static void run_loop(void)
{
    lunik_run(lunik_machine_runtime(board), LUNIK_RUN_NOWAIT);
}

/* ---- the peer ------------------------------------------------------------------------------- */

static uint8_t byte_of(unsigned peer, unsigned n)
{
    return (uint8_t)(peer * 101 + n);
}

/* Those who wait to be let in are so one at a time. */
static void settle(void)
{
    for (unsigned i = 0; i < 4; i++)
        run_loop();
}

/* Returns -1 if as many wait already as can. */
static int try_to_connect(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    fuzz_check(errno == EAGAIN, "connect: %s", strerror(errno));
    close(fd);
    return -1;
}

/* Those who left before they were seen stand in the way until the loop runs. */
static int connect_peer(void)
{
    int fd = try_to_connect();

    for (unsigned i = 0; i < 4 && fd < 0; i++) {
        settle();
        fd = try_to_connect();
    }
    fuzz_check(fd >= 0, "connect: %s", strerror(EAGAIN));
    return fd;
}

static void come(void)
{
    if (b.peers == PEERS_MAX)
        return;
    b.fd = connect_peer();
    b.peers++;
    b.half_closed = b.receives = false;
}

/* While one is there another has to wait; it leaves before its turn comes. */
static void intrude(void)
{
    char byte;
    ssize_t n;
    int fd;

    settle();
    fd = try_to_connect();
    if (fd < 0)
        return;
    settle();
    n = recv(fd, &byte, 1, 0);
    fuzz_check(b.half_closed || (n < 0 && errno == EAGAIN), "two peers are there");
    close(fd);
}

static void send_some(void)
{
    unsigned count = fuzz_byte(), peer = b.peers - 1;
    uint8_t bytes[256];
    ssize_t n;

    for (unsigned i = 0; i < count; i++)
        bytes[i] = byte_of(peer, b.sent[peer] + i);
    n = send(b.fd, bytes, count, MSG_NOSIGNAL);
    b.sent[peer] += n > 0 ? (unsigned)n : 0;
}

static bool receive_some(size_t count)
{
    uint8_t bytes[256];
    ssize_t n = recv(b.fd, bytes, count, 0);

    for (ssize_t i = 0; i < n; i++) {
        fuzz_check(!b.receives || bytes[i] == (uint8_t)(b.last + 1), "0x%x comes after 0x%x",
                   bytes[i], b.last);
        b.receives = true;
        b.last = bytes[i];
    }
    return n > 0;
}

static void leave(void)
{
    close(b.fd);
    b.fd = -1;
}

static void use_peer(unsigned how)
{
    if (b.fd < 0) {
        come();
        return;
    }
    switch (how % 8) {
    case 0:
        leave();
        break;
    case 1:
        intrude();
        break;
    case 2:
        shutdown(b.fd, how & 8 ? SHUT_WR : SHUT_RD);
        b.half_closed = true;
        break;
    case 3:
        receive_some(fuzz_byte());
        break;
    default:
        send_some();
    }
}

/* ---- the guest ------------------------------------------------------------------------------ */

/* The rest of a peer's bytes is lost when another peer connects. */
static void check_received(uint8_t byte)
{
    if (b.at == b.sent[b.from] || byte != byte_of(b.from, b.at)) {
        do {
            b.from++;
            fuzz_check(b.from < b.peers, "0x%x was not sent", byte);
        } while (!b.sent[b.from] || byte != byte_of(b.from, 0));
        b.at = 0;
    }
    b.at++;
}

static bool guest_reads(unsigned count)
{
    bool any = false;

    for (; count > 0 && port_in(LINE_STATUS, 1) & HAS_DATA; count--) {
        check_received((uint8_t)port_in(DATA, 1));
        any = true;
    }
    return any;
}

static void guest_writes(unsigned count)
{
    for (; count > 0 && port_in(LINE_STATUS, 1) & CAN_SEND; count--)
        port_out(DATA, 1, b.written++ & 0xff);
}

static void operate(void)
{
    uint8_t how = fuzz_byte();

    switch (how & 3) {
    case 0:
        use_peer(how >> 2);
        break;
    case 1:
        run_loop();
        break;
    case 2:
        guest_reads(1 + (how >> 2));
        break;
    default:
        guest_writes(1 + (how >> 2));
    }
}

/* A peer that is still there has sent all it will. What the guest writes may take some
 * milliseconds, which pass as the loop looks at the time. */
static void check_end(void)
{
    unsigned quiet = 0;

    while (quiet < QUIET) {
        run_loop();
        quiet++;
        if (receive_some(256))
            quiet = 0;
        if (guest_reads(256))
            quiet = 0;
    }
    fuzz_check(b.half_closed || !b.sent[b.peers - 1] ||
                   (b.from == b.peers - 1 && b.at == b.sent[b.from]),
               "byte %u of %u from peer %u is missing", b.at, b.sent[b.peers - 1], b.peers - 1);
    fuzz_check(b.half_closed || !b.receives || b.last == (uint8_t)(b.written - 1),
               "0x%x was the last byte, want 0x%x", b.last, (uint8_t)(b.written - 1));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char options[160];

    if (!*address.sun_path)
        make_folder();
    memset(&b, 0, sizeof(b));
    b.fd = -1;
    fuzz_begin(data, size);
    snprintf(options, sizeof(options), "memory = '2M', acpi = false, serial = 'unix:%s'",
             address.sun_path);
    board_open(options);
    port_out(FIFO_CONTROL, 1, fuzz_byte() & 1);
    while (fuzz_more())
        operate();
    if (b.fd >= 0) {
        check_end();
        leave();
    }
    board_close();
    return 0;
}
