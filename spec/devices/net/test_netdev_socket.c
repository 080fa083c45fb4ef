/* test_netdev_socket.c: two machines exchange frames through a Unix domain socket: random frames
 * next to a model, peers that come and go, that are wrong or stop reading, headers. */
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "pci_rig.h"
#include "virtio_pci_driver.h"
#include "nic_driver.h"
#include "random.h"

enum { RX, TX, FRAMES = 1000, KEPT = 16, BIGGEST = 1514 };
#define PATH "/tmp/lunik-net-test.sock"

static lunik_error err;
static struct nic a, b;
static const uint8_t no_header[NIC_HEADER];

static void open_pair(const lunik_field *more, size_t count, const char *thread)
{
    lunik_field server[3] = {LUNIK_FIELD_STRING("listen", PATH)};
    lunik_field client[3] = {LUNIK_FIELD_STRING("connect", PATH)};
    lunik_field card[] = {LUNIK_FIELD_STRING("iothread", "io")};

    memcpy(server + 1, more, count * sizeof(*more));
    memcpy(client + 1, more, count * sizeof(*more));
    nic_open(&a, "netdev-socket", server, count + 1, card, *thread ? 1 : 0);
    nic_open(&b, "netdev-socket", client, count + 1, card, *thread ? 1 : 0);
}

static void run_both(void)
{
    lunik_run_timeout(a.rig.rt, 1);
    lunik_run_timeout(b.rig.rt, 1);
}

static bool wait_up(struct nic *n, bool up)
{
    for (unsigned i = 0; i < 1000 && nic_get(n->back, "up") != up; i++)
        lunik_run_timeout(n->rig.rt, 1);
    return nic_get(n->back, "up") == up;
}

static void close_pair(void)
{
    nic_close(&a);
    nic_close(&b);
}

/* ---- random frames -------------------------------------------------------------------------- */

/* What one direction has under way: frames in the order in which they were sent. */
struct way {
    struct nic *from, *to;
    uint8_t frames[KEPT][BIGGEST];
    size_t sizes[KEPT];
    unsigned sent, got, wrong;
};

static void send_one(struct way *w)
{
    unsigned at = w->sent % KEPT, pieces = 1 + chance(VP_SIZE - 1);
    uint32_t written;

    while (nic_used(w->from, TX, &written) >= 0)
        ;
    if (w->sent == FRAMES || w->sent - w->got == KEPT)
        return;
    w->sizes[at] = 14 + chance(chance(4) ? 100 : BIGGEST - 13);
    for (size_t i = 0; i < w->sizes[at]; i++)
        w->frames[at][i] = (uint8_t)chance(256);
    w->frames[at][0] &= 0xfe;
    if (!nic_send(w->from, TX, no_header, w->frames[at], w->sizes[at], pieces))
        return;
    w->sent++;
    if (chance(3))
        nic_kick(w->from, TX);
}

static void receive_one(struct way *w)
{
    uint8_t got[NIC_SLOT * VP_SIZE];
    unsigned at = w->got % KEPT;
    int size;

    if (nic_free(w->to, RX) && chance(4)) {
        nic_buffer(w->to, RX, 300 + chance(1300));
        if (chance(3))
            nic_kick(w->to, RX);
    }
    size = nic_take(w->to, RX, got, sizeof(got));
    if (size == -1)
        return;
    if (size != (int)w->sizes[at] + NIC_HEADER ||
        memcmp(got + NIC_HEADER, w->frames[at], w->sizes[at]))
        w->wrong++;
    w->got++;
}

static void exchange(const char *name, const char *thread, bool headers, uint64_t seed)
{
    const lunik_field more[] = {LUNIK_FIELD_BOOL("vnet_hdr", headers)};
    static struct way ways[2];
    unsigned steps = 0;

    printf("# %s, seed %" PRIu64 "\n", name, seed);
    random_state = seed;
    memset(ways, 0, sizeof(ways));
    ways[0].from = ways[1].to = &a;
    ways[1].from = ways[0].to = &b;
    open_pair(more, 1, thread);
    check_true("both sides are there", wait_up(&a, true) && wait_up(&b, true));
    nic_start(&a, NIC_F(15), 2);
    nic_start(&b, NIC_F(15), 2);
    while ((ways[0].got < FRAMES || ways[1].got < FRAMES) && steps++ < 2000000) {
        struct way *w = &ways[chance(2)];

        if (chance(2))
            send_one(w);
        else
            receive_one(w);
        if (chance(8))
            continue;
        nic_kick(&a, TX); /* what was held back above */
        nic_kick(&b, TX);
        nic_kick(&a, RX);
        nic_kick(&b, RX);
        lunik_run(a.rig.rt, LUNIK_RUN_NOWAIT);
        lunik_run(b.rig.rt, LUNIK_RUN_NOWAIT);
    }
    check_uint(name, ways[0].wrong + ways[1].wrong, 0);
    check_uint("  from the first", ways[0].got, FRAMES);
    check_uint("  from the second", ways[1].got, FRAMES);
    close_pair();
}

/* ---- headers -------------------------------------------------------------------------------- */

/* An IPv4 packet of UDP whose checksum is open: the place has the sum of the pseudo header. */
static size_t open_udp(uint8_t *frame)
{
    memset(frame, 0, 60);
    frame[0] = 2;
    frame[12] = 8;
    frame[14] = 0x45;
    frame[14 + 9] = 17;
    frame[34 + 6] = 0x12;
    frame[34 + 7] = 0x34;
    for (unsigned i = 42; i < 60; i++)
        frame[i] = (uint8_t)i;
    return 60;
}

/* The complement of the sum of 16-bit words, with an odd byte at the end or not. */
static uint16_t sum_of(const uint8_t *data, size_t size)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < size; i++)
        sum += i % 2 ? data[i] : (uint64_t)data[i] << 8;
    return (uint16_t) ~(sum % 0xffff ? sum % 0xffff : 0xffff);
}

static int pass(const uint8_t *header, const uint8_t *frame, size_t size, uint8_t *got, size_t room)
{
    int result = -1;
    uint32_t written;

    while (nic_used(&a, TX, &written) >= 0)
        ;
    nic_send(&a, TX, header, frame, size, 2);
    nic_kick(&a, TX);
    for (unsigned i = 0; i < 300 && result == -1; i++) {
        run_both();
        result = nic_take(&b, RX, got, room);
    }
    return result;
}

static void give_buffers(struct nic *n)
{
    while (nic_free(n, RX))
        nic_buffer(n, RX, 6000);
    nic_kick(n, RX);
}

static void test_headers(void)
{
    const lunik_field more[] = {LUNIK_FIELD_BOOL("vnet_hdr", true)};
    const uint8_t csum[NIC_HEADER] = {1, 0, 0, 0, 0, 0, 34, 0, 6, 0};
    const uint8_t outside[NIC_HEADER] = {1, 0, 0, 0, 0, 0, 34, 0, 60, 0};
    const uint8_t tso[NIC_HEADER] = {1, 1, 54, 0, 0xb4, 5, 34, 0, 16, 0};
    static uint8_t frame[30000], got[60000];
    size_t size = open_udp(frame);

    open_pair(more, 1, "");
    check_true("headers: connected", wait_up(&a, true) && wait_up(&b, true));
    check_uint("headers: offloads are offered", vp_offered(&a.d) & 0x7f83, 0x7f83);
    nic_start(&a, NIC_F(0) | NIC_F(11), 2);
    nic_start(&b, NIC_F(1) | NIC_F(7) | NIC_F(15), 2);
    give_buffers(&b);
    check_int("headers: an open checksum stays open", pass(csum, frame, size, got, sizeof(got)),
              72);
    check_true("  as the header says",
               got[0] == 1 && got[6] == 34 && got[8] == 6 && got[52] == 0x12);
    give_buffers(&b);
    memset(frame + 60, 7, sizeof(frame) - 60);
    check_int("headers: a large segment", pass(tso, frame, sizeof(frame), got, sizeof(got)), 30012);
    check_true("  as the header says", got[1] == 1 && got[10] == 6);
    check_int("headers: a checksum beyond the frame is not sent",
              pass(outside, frame, size, got, sizeof(got)), -1);
    check_uint("  it is dropped", nic_get(a.card, "tx-dropped"), 1);
    nic_start(&b, NIC_F(15), 2);
    give_buffers(&b);
    size = open_udp(frame);
    check_int("headers: a guest without offloads", pass(csum, frame, size, got, sizeof(got)), 72);
    check_true("  gets the checksum",
               !got[0] && (got[52] << 8 | got[53]) == sum_of(frame + 34, 26));
    check_int("  and no large segments", pass(tso, frame, sizeof(frame), got, sizeof(got)), -1);
    check_uint("  they are dropped", nic_get(b.card, "rx-dropped"), 1);
    close_pair();
}

/* ---- peers that are no card ----------------------------------------------------------------- */

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)))
        return -1;
    return fd;
}

static bool is_closed(int fd)
{
    char byte;

    for (unsigned i = 0; i < 300; i++) {
        if (recv(fd, &byte, 1, MSG_DONTWAIT) == 0)
            return true;
        nic_run(&a);
    }
    return false;
}

static void put(int fd, const void *data, size_t size)
{
    check_int("  written", write(fd, data, size), (int64_t)size);
}

static void test_peers(void)
{
    const lunik_field server[] = {LUNIK_FIELD_STRING("listen", PATH)};
    const uint8_t half[] = {0, 0, 0, 20, 2, 0, 0, 0, 0, 0, 9}, rest[13] = {5}, nothing[4] = {0};
    const uint8_t huge[] = {0, 1, 0x10, 0};
    uint8_t got[200], frame[20] = {2};
    int fd, other;

    nic_open(&a, "netdev-socket", server, 1, NULL, 0);
    nic_start(&a, NIC_F(16), 2);
    check_uint("peers: no carrier without one", vp_get(&a.d, 4, 6, 2), 0);
    fd = connect_to(PATH);
    check_true("peers: one comes", fd >= 0 && wait_up(&a, true));
    nic_run(&a);
    check_uint("peers: there is a carrier", vp_get(&a.d, 4, 6, 2), 1);
    other = connect_to(PATH);
    check_true("peers: a second one is refused", is_closed(other));
    close(other);
    nic_buffer(&a, RX, 200);
    nic_kick(&a, RX);
    put(fd, half, sizeof(half));
    nic_run(&a);
    put(fd, rest, sizeof(rest));
    check_int("peers: a frame in two parts", nic_wait_take(&a, RX, got, sizeof(got)), 32);
    check_true("  is whole", got[12] == 2 && got[18] == 9 && got[19] == 5);
    put(fd, nothing, 4);
    nic_buffer(&a, RX, 200);
    nic_kick(&a, RX);
    check_true("peers: a frame of no bytes is dropped", nic_wait(&a, a.card, "rx-dropped", 1));
    nic_send(&a, TX, no_header, frame, sizeof(frame), 1);
    nic_kick(&a, TX);
    nic_wait(&a, a.card, "tx-frames", 1);
    check_int("peers: a frame has its length", recv(fd, got, sizeof(got), MSG_DONTWAIT), 24);
    check_uint("  the highest byte first", got[3], 20);
    put(fd, huge, 4);
    check_true("peers: a length that is too big ends the connection", is_closed(fd));
    check_true("  no carrier", wait_up(&a, false));
    close(fd);
    fd = connect_to(PATH);
    check_true("peers: another one may come", fd >= 0 && wait_up(&a, true));
    close(fd);
    check_true("peers: and go", wait_up(&a, false));
    nic_close(&a);
    check_true("peers: the file is removed", access(PATH, F_OK) < 0);
}

/* One that has gone, and left frames that the guest does not take, makes room for another. */
static void test_left_frames(void)
{
    const lunik_field server[] = {LUNIK_FIELD_STRING("listen", PATH)};
    const uint8_t frame[24] = {0, 0, 0, 20, 2};
    int fd;

    nic_open(&a, "netdev-socket", server, 1, NULL, 0);
    nic_start(&a, 0, 2);
    fd = connect_to(PATH);
    check_true("left: connected", fd >= 0 && wait_up(&a, true));
    for (unsigned i = 0; i < 3; i++) {
        put(fd, frame, sizeof(frame));
        nic_run(&a);
    }
    close(fd);
    fd = connect_to(PATH);
    nic_run(&a);
    nic_run(&a);
    put(fd, frame, sizeof(frame));
    check_true("left: another one is not refused", !is_closed(fd));
    close(fd);
    nic_close(&a);
}

/* A peer that does not read stops the guest's frames; nothing is lost. */
static void test_slow_peer(void)
{
    const lunik_field server[] = {LUNIK_FIELD_STRING("listen", PATH)};
    static uint8_t frame[10000], got[20000];
    unsigned sent = 0;
    size_t bytes = 0;
    uint32_t written;
    int fd;

    frame[0] = 2;
    nic_open(&a, "netdev-socket", server, 1, NULL, 0);
    nic_start(&a, 0, 2);
    fd = connect_to(PATH);
    check_true("slow: connected", fd >= 0 && wait_up(&a, true));
    for (unsigned i = 0; i < 400; i++) {
        sent += nic_send(&a, TX, no_header, frame, sizeof(frame), 2);
        nic_kick(&a, TX);
        lunik_run(a.rig.rt, LUNIK_RUN_NOWAIT);
        while (nic_used(&a, TX, &written) >= 0)
            ;
    }
    check_true("slow: the guest waits", sent < 400 && !nic_get(a.card, "tx-dropped"));
    for (unsigned i = 0; i < 100000 && bytes < sent * (sizeof(frame) + 4); i++) {
        ssize_t n = recv(fd, got, sizeof(got), MSG_DONTWAIT);

        bytes += n > 0 ? (size_t)n : 0;
        lunik_run(a.rig.rt, LUNIK_RUN_NOWAIT);
    }
    check_uint("slow: all has come", bytes, sent * (sizeof(frame) + 4));
    close(fd);
    nic_close(&a);
}

/* ---- options -------------------------------------------------------------------------------- */

static void refuse(const lunik_field *props, size_t count, const char *text)
{
    lunik_field all[4] = {LUNIK_FIELD_STRING("id", "net1")};

    for (size_t i = 0; i < count; i++)
        all[1 + i] = props[i];
    check_true(text, lunik_object_add(a.rig.m, "netdev-socket", all, count + 1, NULL, &err) < 0);
    check_contains("  says", err.message, text);
}

static void test_options(void)
{
    lunik_field both[] = {LUNIK_FIELD_STRING("listen", PATH), LUNIK_FIELD_STRING("connect", PATH)};
    lunik_field bad_fd[] = {LUNIK_FIELD_INT("fd", 0)};
    lunik_field gone[] = {LUNIK_FIELD_STRING("connect", "/tmp/lunik-no-such.sock")};
    lunik_field exists[] = {LUNIK_FIELD_STRING("listen", "/dev/null")};
    int fds[2];

    check_int("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    lunik_field good[] = {LUNIK_FIELD_INT("fd", fds[0])};
    nic_open(&a, "netdev-socket", good, 1, NULL, 0);
    close(fds[0]);
    check_true("options: a descriptor", wait_up(&a, true));
    close(fds[1]);
    check_true("options: whose other end goes", wait_up(&a, false));
    refuse(both, 2, "listen, connect and fd: there are several");
    refuse(NULL, 0, "listen, connect and fd: there is none");
    refuse(bad_fd, 1, "fd: '0' is not a stream socket");
    refuse(gone, 1, "connect: can't connect to '/tmp/lunik-no-such.sock'");
    refuse(exists, 1, "listen: '/dev/null' exists");
    nic_close(&a);
}

int main(void)
{
    uint64_t seed = (uint64_t)getpid();

    exchange("random frames", "", false, seed);
    exchange("random frames on iothreads", "iothread", false, seed + 1);
    exchange("random frames with headers", "", true, seed + 2);
    test_headers();
    test_peers();
    test_left_frames();
    test_slow_peer();
    test_options();
    return check_result();
}
