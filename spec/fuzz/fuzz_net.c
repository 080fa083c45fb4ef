/*
 * fuzz_net.c: a network card on a socket, whose driver writes what it likes into its queues
 * (headers of frames, commands, chains of buffers), and whose peer sends what it likes: the machine
 * goes on, and ends. -max_len=1024 -runs=400
 */
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "fuzz.h"
#include "pci_rig.h"
#include "virtio_pci_driver.h"
#include "nic_driver.h"

enum { QUEUES = 3, CONTROL = 2, STEPS_MAX = 150, PIECES_MAX = 4 };

/* Without headers, and with; they last, as it takes long to make them. */
static struct nic machines[2], *n;
static int peer;

static const char *path_of(bool headers)
{
    static char path[64];

    snprintf(path, sizeof(path), "/tmp/lunik-fuzz-%d-%d.sock", (int)getpid(), headers);
    return path;
}

static void settle(bool up)
{
    for (unsigned i = 0; i < 100 && nic_get(n->back, "up") != up; i++)
        lunik_run(n->rig.rt, LUNIK_RUN_NOWAIT);
    fuzz_check(nic_get(n->back, "up") == up, "the connection is not %s", up ? "made" : "gone");
}

static void connect_peer(bool headers)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path_of(headers));
    peer = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    fuzz_check(!connect(peer, (struct sockaddr *)&address, sizeof(address)), "connect");
}

static void begin(void)
{
    bool headers = fuzz_byte() & 1;
    uint64_t features = fuzz_number(3);

    n = &machines[headers];
    if (!n->card) {
        const lunik_field back[] = {LUNIK_FIELD_STRING("listen", path_of(headers)),
                                    LUNIK_FIELD_BOOL("vnet_hdr", headers)};

        nic_open(n, "netdev-socket", back, 2, NULL, 0);
    }
    connect_peer(headers);
    settle(true);
    memset(n->ram + vp_ring(0), 0, (size_t)VP_STRIDE * QUEUES);
    nic_start(n, features & vp_offered(&n->d), QUEUES);
}

/* Offers a chain of buffers, mostly of the right kind and content. */
static void offer(void)
{
    unsigned queue = fuzz_below(QUEUES), count = 1 + fuzz_below(PIECES_MAX), slot;
    uint32_t lengths[PIECES_MAX];
    uint16_t flags[PIECES_MAX];

    if (nic_free(n, queue) < count)
        return;
    for (unsigned i = 0; i < count; i++) {
        bool good = fuzz_byte() & 7;

        lengths[i] = good ? fuzz_below(200) : (uint32_t)fuzz_hostile() & 0x3fffff;
        flags[i] = queue == 0 || (queue == CONTROL && i + 1 == count) ? NIC_WRITE : 0;
        if (!good)
            flags[i] = fuzz_byte() & NIC_WRITE;
    }
    slot = nic_offer(n, queue, lengths, flags, count);
    for (unsigned i = 0; i < count; i++) {
        size_t size;
        const uint8_t *bytes = fuzz_bytes(100, &size);

        memcpy(nic_data(n, queue, n->queues[queue].chain[slot][i]), bytes, size);
    }
    nic_show(n, queue);
}

static void take_used(void)
{
    uint32_t written;

    for (unsigned i = 0; i < QUEUES; i++)
        while (nic_used(n, i, &written) >= 0)
            fuzz_check(written <= 4 * 0x3fffff, "%u bytes written", written);
}

/* A frame, or any bytes. */
static void send_peer(void)
{
    size_t size;
    bool whole = fuzz_byte() & 3;
    const uint8_t *bytes = fuzz_bytes(300, &size);
    const uint8_t length[] = {0, 0, (uint8_t)(size >> 8), (uint8_t)size};

    if (whole && send(peer, length, 4, MSG_NOSIGNAL) < 0)
        return;
    if (send(peer, bytes, size, MSG_NOSIGNAL) < 0)
        return;
}

static void read_peer(void)
{
    uint8_t bytes[4096];

    while (recv(peer, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
        ;
}

static void set_link(bool up)
{
    lunik_value v = {.kind = LUNIK_BOOL, .boolean = up};
    lunik_error err;

    fuzz_must(lunik_object_set(n->card, "link", &v, &err), err);
}

static void step(void)
{
    switch (fuzz_below(8)) {
    case 0:
    case 1:
        offer();
        break;
    case 2:
        nic_kick(n, fuzz_below(QUEUES));
        break;
    case 3:
        send_peer();
        break;
    case 4:
        take_used();
        break;
    case 5:
        read_peer();
        break;
    case 6:
        set_link(fuzz_byte() & 3);
        break;
    default:
        if (fuzz_below(16) == 15)
            nic_start(n, fuzz_number(3) & vp_offered(&n->d), QUEUES);
    }
    lunik_run(n->rig.rt, LUNIK_RUN_NOWAIT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_begin(data, size);
    begin();
    for (unsigned i = 0; i < STEPS_MAX && fuzz_more(); i++)
        step();
    close(peer);
    set_link(true);
    vp_reset(&n->d);
    connect_peer(n == &machines[1]); /* makes what is left of the first one go */
    for (unsigned i = 0; i < 5; i++)
        lunik_run(n->rig.rt, LUNIK_RUN_NOWAIT);
    close(peer);
    settle(false);
    return 0;
}
