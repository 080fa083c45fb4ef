/* test_virtio_net.c: the network card as a driver and a peer see it: configuration, frames both
 * ways, back-pressure, the control queue, several queues, the link, hostile requests, state. */
#include "devices/types.h"
#include "pci_rig.h"
#include "virtio_pci_driver.h"
#include "nic_driver.h"

enum { RX, TX, CONTROL, MAC_TABLE = 1, MQ = 4 };
enum { F_MRG = 15, F_STATUS = 16, F_CTRL = 17, F_RX = 18, F_VLAN = 19, F_EXTRA = 20, F_MQ = 22 };

static lunik_error err;
static struct nic n;
static const uint8_t no_header[NIC_HEADER];

/* ---- the peer ------------------------------------------------------------------------------- */

static struct {
    unsigned frames, queue;
    size_t size;
    uint8_t last[0x10000];
} peer;

static void on_frame(void *opaque, unsigned queue, const uint8_t *frame, size_t size)
{
    (void)opaque;
    peer.frames++;
    peer.queue = queue;
    peer.size = size;
    memcpy(peer.last, frame, size);
}

static bool peer_send(unsigned queue, const uint8_t *frame, size_t size)
{
    return lunik_netdev_peer_iface(n.back)->send(n.back, queue, frame, size);
}

static bool wait_frames(unsigned count)
{
    for (unsigned i = 0; i < 2000 && peer.frames < count; i++)
        nic_run(&n);
    return peer.frames == count;
}

/* options: "iothread", "mq". */
static void begin(const char *options)
{
    lunik_field back[] = {LUNIK_FIELD_UINT("queues", 2)};
    lunik_field card[3] = {LUNIK_FIELD_BOOL("mq", strstr(options, "mq") != NULL)};
    size_t count = 1;

    if (strstr(options, "iothread"))
        card[count++] = LUNIK_FIELD_STRING("iothread", "io");
    if (strstr(options, "mtu"))
        card[count++] = LUNIK_FIELD_UINT("host_mtu", 1400);
    memset(&peer, 0, sizeof(peer));
    nic_open(&n, "netdev-lua", back, 1, card, count);
    lunik_netdev_peer_iface(n.back)->watch(n.back, on_frame, NULL);
}

static void end(void)
{
    nic_close(&n);
}

/* A frame to `to`, whose bytes follow from `seed`. */
static size_t make_frame(uint8_t *frame, size_t size, const char *to, uint8_t seed)
{
    unsigned b[6];

    sscanf(to, "%x:%x:%x:%x:%x:%x", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5]);
    for (size_t i = 0; i < size; i++)
        frame[i] = i < 6 ? (uint8_t)b[i] : (uint8_t)(seed + 7 * i);
    return size;
}

/* ---- configuration -------------------------------------------------------------------------- */

static void test_identity(void)
{
    begin("mq mtu");
    check_uint("vendor and device", vp_config(&n.d, 0, 4), 0x10411af4);
    check_uint("class", vp_config(&n.d, LUNIK_PCI_CLASS, 2) | vp_config(&n.d, 0xb, 1) << 16,
               0x020000);
    check_uint("queues", vp_get(&n.d, 1, 0x12, 2), 5);
    check_uint("MAC, the first four", vp_get(&n.d, 4, 0, 4), 0x12005452);
    check_uint("MAC, the last two", vp_get(&n.d, 4, 4, 2), 0x5634);
    check_uint("status", vp_get(&n.d, 4, 6, 2), 1);
    check_uint("pairs", vp_get(&n.d, 4, 8, 2), 2);
    check_uint("MTU", vp_get(&n.d, 4, 10, 2), 1400);
    check_uint("offered: nothing that the back end lacks", vp_offered(&n.d) & 0xffffff,
               NIC_F(3) | NIC_F(5) | NIC_F(F_MRG) | NIC_F(F_STATUS) | NIC_F(F_CTRL) | NIC_F(F_RX) |
                   NIC_F(F_VLAN) | NIC_F(F_EXTRA) | NIC_F(21) | NIC_F(F_MQ) | NIC_F(23));
    check_uint("a feature without what it needs", vp_negotiate(&n.d, VP_VERSION_1 | NIC_F(F_RX)),
               3);
    check_uint("with it", vp_negotiate(&n.d, VP_VERSION_1 | NIC_F(F_RX) | NIC_F(F_CTRL)), 11);
    end();
}

/* id: "nic" and the slot. */
static void add_card(const char *id, const lunik_field *extra, int want, const char *text)
{
    lunik_field props[6] = {LUNIK_FIELD_STRING("id", id), LUNIK_FIELD_STRING("bus", "host"),
                            LUNIK_FIELD_STRING("addr", id + 3)};
    lunik_object *o = NULL;
    int rc;

    if (extra)
        props[3] = *extra;
    rc = lunik_device_add(n.rig.m, "virtio-net-pci", props, extra ? 4 : 3, &o, &err);
    check_int(text, rc, want);
    if (rc)
        check_contains("  says", err.message, text);
}

static void check_mac(const char *id, const char *want)
{
    lunik_value v = {0};

    must(id, lunik_object_get(lunik_object_find(n.rig.m, id), "mac", &v, &err), &err);
    check_string("mac", v.string, want);
}

static void test_options(void)
{
    lunik_field net[] = {LUNIK_FIELD_STRING("id", "net0")};
    lunik_field bad_mac = LUNIK_FIELD_STRING("mac", "52:54:00:12:34");
    lunik_field blank = LUNIK_FIELD_STRING("mac", "52:54: 0:12:34:56");
    lunik_field group = LUNIK_FIELD_STRING("mac", "53:54:00:12:34:56");
    lunik_field own = LUNIK_FIELD_STRING("mac", "52:54:00:12:34:57");
    lunik_field mtu = LUNIK_FIELD_UINT("host_mtu", 67);
    lunik_field entries = LUNIK_FIELD_UINT("rx_queue_size", 300);
    lunik_field taken = LUNIK_FIELD_STRING("netdev", "net0");

    memset(&n, 0, sizeof(n));
    rig_make(&n.rig, LUNIK_ACCEL_NONE, false);
    must("net0", lunik_object_add(n.rig.m, "netdev-lua", net, 1, NULL, &err), &err);
    add_card("nic6", &own, 0, "an address of its own");
    add_card("nic7", NULL, 0, "the first that is free");
    add_card("nic8", NULL, 0, "the next");
    check_mac("nic7", "52:54:00:12:34:56");
    check_mac("nic8", "52:54:00:12:34:58");
    add_card("nic9", &bad_mac, LUNIK_E_INVALID, "mac: '52:54:00:12:34' is not");
    add_card("nic9", &blank, LUNIK_E_INVALID, "mac: '52:54: 0:12:34:56' is not");
    add_card("nic9", &group, LUNIK_E_INVALID, "mac: '53:54:00:12:34:56' is not");
    add_card("nic9", &mtu, LUNIK_E_INVALID, "host_mtu: '67' is too small");
    add_card("nic9", &entries, LUNIK_E_INVALID, "rx_queue_size: '300' is not a power");
    add_card("nic9", &taken, 0, "with a back end");
    add_card("nica", &taken, LUNIK_E_BUSY, "'net0' is in use by 'nic9'");
    rig_close(&n.rig);
}

/* ---- frames --------------------------------------------------------------------------------- */

static void test_frames(const char *options)
{
    uint8_t frame[3000], got[4096];
    size_t size = make_frame(frame, 1200, "52:54:00:12:34:56", 3);

    begin(options);
    check_uint("ready", nic_start(&n, 0, 2), VP_READY);
    nic_send(&n, TX, no_header, frame, size, 3);
    nic_kick(&n, TX);
    check_true("a frame reaches the peer", wait_frames(1));
    check_true("  as it was", peer.size == size && !memcmp(peer.last, frame, size));
    check_true("tx-frames", nic_wait(&n, n.card, "tx-frames", 1));
    check_uint("tx-bytes", nic_get(n.card, "tx-bytes"), size);
    check_true("a frame of the peer is taken", peer_send(0, frame, size));
    nic_buffer(&n, RX, 2000);
    nic_kick(&n, RX);
    check_int("and reaches the guest", nic_wait_take(&n, RX, got, sizeof(got)),
              (int)size + NIC_HEADER);
    check_true("  as it was", !memcmp(got + NIC_HEADER, frame, size) && got[10] == 1 && !got[0]);
    check_uint("rx-frames", nic_get(n.card, "rx-frames"), 1);
    nic_buffer(&n, RX, 600);
    nic_kick(&n, RX);
    peer_send(0, frame, size);
    check_true("one that is too big for its buffer is lost",
               nic_wait(&n, n.card, "rx-dropped", 1) && nic_take(&n, RX, got, sizeof(got)) == -1);
    end();
}

static void test_mergeable(void)
{
    uint8_t frame[3000], got[4096];
    size_t size = make_frame(frame, 2500, "52:54:00:12:34:56", 9);

    begin("");
    nic_start(&n, NIC_F(F_MRG), 2);
    nic_buffer(&n, RX, 1000);
    nic_buffer(&n, RX, 512);
    nic_kick(&n, RX);
    peer_send(0, frame, size);
    lunik_run_timeout(n.rig.rt, 10);
    check_int("merged: not before there is room for all", nic_take(&n, RX, got, sizeof(got)), -1);
    nic_buffer(&n, RX, 2000);
    nic_kick(&n, RX);
    check_int("merged: over three buffers", nic_wait_take(&n, RX, got, sizeof(got)),
              (int)size + NIC_HEADER);
    check_uint("  as it says", got[10], 3);
    check_true("  all of it", !memcmp(got + NIC_HEADER, frame, size));
    for (unsigned i = 0; i < VP_SIZE; i++)
        nic_buffer(&n, RX, 20);
    nic_kick(&n, RX);
    peer_send(0, frame, size);
    check_true("merged: one that the whole ring can't hold is lost",
               nic_wait(&n, n.card, "rx-dropped", 1));
    peer_send(0, frame, 100);
    check_int("merged: and the next one is not", nic_wait_take(&n, RX, got, sizeof(got)), 112);
    end();
}

/* Frames that are not taken wait on both sides, and none is lost. */
static void test_pressure(const char *options)
{
    static uint8_t frame[60000], got[4096];
    unsigned sent = 0, taken = 0, posted = 0;
    uint32_t written;

    make_frame(frame, sizeof(frame), "52:54:00:12:34:56", 1);
    begin(options);
    nic_start(&n, 0, 2);
    while (peer_send(0, frame, 1000))
        posted++;
    check_true("pressure: the peer's queue is full", posted > 500);
    while (taken < posted) {
        if (nic_free(&n, RX)) {
            nic_buffer(&n, RX, 1100);
            nic_kick(&n, RX);
        }
        if (nic_take(&n, RX, got, sizeof(got)) == 1012)
            taken++;
        else
            nic_run(&n);
    }
    check_uint("pressure: all have come", nic_get(n.card, "rx-frames"), posted);
    while (sent < 400) {
        while (sent < 400 && nic_send(&n, TX, no_header, frame, 40000, 7))
            sent++;
        nic_kick(&n, TX);
        nic_run(&n);
        while (nic_used(&n, TX, &written) >= 0)
            ;
    }
    check_true("pressure: all were sent", wait_frames(400));
    check_uint("pressure: none was dropped", nic_get(n.card, "tx-dropped"), 0);
    end();
}

/* ---- the link ------------------------------------------------------------------------------- */

static void set_link(bool up)
{
    lunik_value v = {.kind = LUNIK_BOOL, .boolean = up};

    must("link", lunik_object_set(n.card, "link", &v, &err), &err);
}

static void test_link(void)
{
    uint8_t frame[100];
    uint32_t written;
    size_t size = make_frame(frame, sizeof(frame), "ff:ff:ff:ff:ff:ff", 1);

    begin("");
    nic_start(&n, NIC_F(F_STATUS), 2);
    check_uint("link: up", vp_get(&n.d, 4, 6, 2), 1);
    set_link(false);
    check_uint("link: down", vp_get(&n.d, 4, 6, 2), 0);
    check_uint("link: an interrupt for the configuration", vp_get(&n.d, 3, 0, 1), 2);
    nic_send(&n, TX, no_header, frame, size, 1);
    nic_kick(&n, TX);
    check_true("link: a frame is sent", nic_wait_used(&n, TX, &written) >= 0);
    check_uint("link: to nowhere", nic_get(n.card, "tx-dropped"), 1);
    nic_buffer(&n, RX, 200);
    nic_kick(&n, RX);
    peer_send(0, frame, size);
    check_true("link: nothing comes", nic_wait(&n, n.card, "rx-dropped", 1));
    set_link(true);
    check_uint("link: up again", vp_get(&n.d, 4, 6, 2), 1);
    peer_send(0, frame, size);
    check_true("link: frames come", nic_wait(&n, n.card, "rx-frames", 1));
    check_uint("link: the peer got none", peer.frames, 0);
    end();
}

/* ---- the control queue ---------------------------------------------------------------------- */

#define ALL_CONTROL                                                                                \
    (NIC_F(F_CTRL) | NIC_F(F_RX) | NIC_F(F_VLAN) | NIC_F(F_EXTRA) | NIC_F(23) | NIC_F(21))

static unsigned command(unsigned class, unsigned number, const void *data, size_t size)
{
    uint8_t all[1024] = {(uint8_t) class, (uint8_t)number};

    if (size)
        memcpy(all + 2, data, size);
    return nic_command(&n, CONTROL, all, size + 2);
}

static void test_control(void)
{
    const uint8_t on = 1, off = 0, mac[] = {2, 0, 0, 0, 0, 5};
    const uint8_t tables[] = {1, 0, 0, 0, 2, 0, 0, 0, 0, 7, 0, 0, 0, 0};
    const uint8_t short_table[] = {2, 0, 0, 0, 2, 0, 0, 0, 0, 7, 0, 0, 0, 0};
    const uint8_t huge_table[] = {0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0};
    const uint16_t vlan = 5, bad_vlan = 4096, pairs = 1;

    begin("");
    nic_start(&n, ALL_CONTROL, 3);
    check_uint("control: a mode", command(0, 0, &off, 1), 0);
    check_uint("control: another", command(0, 5, &on, 1), 0);
    check_uint("control: no such mode", command(0, 6, &on, 1), 1);
    check_uint("control: without a value", command(0, 0, NULL, 0), 1);
    check_uint("control: with too much", command(0, 0, tables, 2), 1);
    check_uint("control: tables", command(1, 0, tables, sizeof(tables)), 0);
    check_uint("control: a table that is cut off", command(1, 0, short_table, sizeof(short_table)),
               1);
    check_uint("control: a table of 2^32 entries", command(1, 0, huge_table, sizeof(huge_table)),
               1);
    check_uint("control: an address", command(1, 1, mac, 6), 0);
    check_uint("control: half of one", command(1, 1, mac, 3), 1);
    check_uint("control: a VLAN", command(2, 0, &vlan, 2), 0);
    check_uint("control: no such VLAN", command(2, 0, &bad_vlan, 2), 1);
    check_uint("control: announced", command(3, 0, NULL, 0), 0);
    check_uint("control: pairs, without that feature", command(4, 0, &pairs, 2), 1);
    check_uint("control: offloads, without that feature", command(5, 0, tables, 8), 1);
    check_uint("control: no such class", command(6, 0, NULL, 0), 1);
    check_uint("control: no class", nic_command(&n, CONTROL, &on, 1), 1);
    end();
}

static void test_pairs(const char *options)
{
    uint8_t frame[100], got[200];
    const uint16_t pairs = 2, none = 0, many = 3;
    uint8_t set[4] = {MQ, 0};
    size_t size = make_frame(frame, sizeof(frame), "52:54:00:12:34:56", 4);

    begin(options);
    nic_start(&n, NIC_F(F_CTRL) | NIC_F(F_MQ), 5);
    memcpy(set + 2, &none, 2);
    check_uint("pairs: not 0", nic_command(&n, 4, set, 4), 1);
    memcpy(set + 2, &many, 2);
    check_uint("pairs: not 3", nic_command(&n, 4, set, 4), 1);
    nic_buffer(&n, 0, 200);
    nic_kick(&n, 0);
    peer_send(1, frame, size);
    check_int("pairs: the second is not used yet", nic_wait_take(&n, 0, got, sizeof(got)), 112);
    memcpy(set + 2, &pairs, 2);
    check_uint("pairs: 2", nic_command(&n, 4, set, 4), 0);
    nic_buffer(&n, 2, 200);
    nic_kick(&n, 2);
    peer_send(1, frame, size);
    check_int("pairs: the second receives", nic_wait_take(&n, 2, got, sizeof(got)), 112);
    nic_send(&n, 3, no_header, frame, size, 1);
    nic_kick(&n, 3);
    check_true("pairs: and sends", wait_frames(1) && peer.queue == 1);
    end();
}

/* ---- hostile -------------------------------------------------------------------------------- */

static void check_broken(const char *name, unsigned queue, const uint32_t *lengths,
                         const uint16_t *flags, unsigned count)
{
    uint8_t frame[64] = {2};

    begin("");
    nic_start(&n, ALL_CONTROL, 3);
    nic_offer(&n, queue, lengths, flags, count);
    nic_kick(&n, queue);
    if (queue == RX)
        peer_send(0, frame, sizeof(frame));
    for (unsigned i = 0; i < 1000 && !(vp_status(&n.d) & 64); i++)
        nic_run(&n);
    check_true(name, vp_status(&n.d) & 64);
    check_true("  until it is reset", vp_reset(&n.d));
    end();
}

static void test_hostile(void)
{
    const uint32_t small = 11, both[] = {12, 100};
    const uint16_t read = 0, write = NIC_WRITE, mixed[] = {0, NIC_WRITE};

    check_broken("hostile: a header that is cut off", TX, &small, &read, 1);
    check_broken("hostile: a frame to send that is to be written", TX, both, mixed, 2);
    check_broken("hostile: a receive buffer without room for a header", RX, &small, &write, 1);
    check_broken("hostile: a receive buffer that is to be read", RX, both, mixed, 2);
    check_broken("hostile: a command without room for the answer", CONTROL, &small, &read, 1);
}

static void test_bad_frames(void)
{
    uint8_t frame[2000] = {2}, header[NIC_HEADER] = {1};
    uint32_t written;

    begin("");
    nic_start(&n, 0, 2);
    nic_send(&n, TX, no_header, frame, 13, 1);
    nic_send(&n, TX, header, frame, 100, 1);
    nic_kick(&n, TX);
    check_true("a frame that is too short, and one that leaves its checksum, are dropped",
               nic_wait(&n, n.card, "tx-dropped", 2));
    nic_wait_used(&n, TX, &written);
    nic_send(&n, TX, no_header, frame, 14, 1);
    nic_kick(&n, TX);
    check_true("and the next one is sent", wait_frames(1));
    end();
}

/* ---- the machine ---------------------------------------------------------------------------- */

static void test_state(void)
{
    const uint8_t off = 0;
    uint8_t frame[100], got[200];
    lunik_state_buffer saved = {0};

    make_frame(frame, sizeof(frame), "02:00:00:00:00:09", 4);
    begin("");
    nic_start(&n, ALL_CONTROL | NIC_F(F_STATUS), 3);
    nic_buffer(&n, RX, 200);
    nic_kick(&n, RX);
    check_uint("state: no longer all addresses", command(0, 0, &off, 1), 0);
    must("pause", lunik_machine_pause(n.rig.m, &err), &err);
    must("save", lunik_object_save(n.card, &saved, &err), &err);
    peer_send(0, frame, sizeof(frame));
    lunik_run_timeout(n.rig.rt, 10);
    check_uint("state: paused, nothing comes",
               nic_get(n.card, "rx-frames") + nic_get(n.card, "rx-dropped"), 0);
    vp_set(&n.d, 1, 0x14, 1, 0);
    must("load", lunik_object_load(n.card, saved.data, saved.size, &err), &err);
    lunik_state_buffer_free(&saved);
    check_uint("state: the guest is to announce itself", vp_get(&n.d, 4, 6, 2), 3);
    must("start", lunik_machine_start(n.rig.m, &err), &err);
    check_true("state: the filter is back", nic_wait(&n, n.card, "rx-dropped", 1));
    check_uint("state: announced", command(3, 0, NULL, 0), 0);
    nic_run(&n);
    check_uint("state: that is all", vp_get(&n.d, 4, 6, 2), 1);
    make_frame(frame, sizeof(frame), "52:54:00:12:34:56", 4);
    peer_send(0, frame, sizeof(frame));
    check_int("state: and the ring", nic_wait_take(&n, RX, got, sizeof(got)), 112);
    must("reset", lunik_machine_reset(n.rig.m, &err), &err);
    end();
}

/* The card goes while frames are under way, and another one takes its back end. */
static void test_removal(const char *options)
{
    static lunik_type hot;
    uint8_t frame[100];
    lunik_field props[] = {LUNIK_FIELD_STRING("id", "nic1"), LUNIK_FIELD_STRING("bus", "host"),
                           LUNIK_FIELD_STRING("addr", "6"), LUNIK_FIELD_STRING("netdev", "net0")};

    begin(options);
    hot = virtio_net_pci_type;
    hot.name = "hot-nic";
    hot.flags |= LUNIK_TYPE_HOTPLUG | LUNIK_TYPE_UNPLUG;
    must("type", lunik_type_add(n.rig.rt, &hot, &err), &err);
    make_frame(frame, sizeof(frame), "52:54:00:12:34:56", 4);
    nic_start(&n, 0, 2);
    for (unsigned i = 0; i < 50; i++)
        peer_send(0, frame, sizeof(frame));
    nic_buffer(&n, RX, 200);
    nic_kick(&n, RX);
    nic_run(&n);
    lunik_device_ejected(n.card);
    for (unsigned i = 0; i < 1000 && lunik_object_find(n.rig.m, "nic0"); i++)
        nic_run(&n);
    check_true("removal: the card has gone", !lunik_object_find(n.rig.m, "nic0"));
    check_int("removal: another takes its back end",
              lunik_device_add(n.rig.m, "hot-nic", props, 4, &n.card, &err), 0);
    vp_probe(&n.d, &n.rig, 6 << 3);
    nic_start(&n, 0, 2);
    nic_buffer(&n, RX, 200);
    nic_kick(&n, RX);
    peer_send(0, frame, sizeof(frame));
    check_true("removal: and receives", nic_wait(&n, n.card, "rx-frames", 1));
    end();
}

int main(void)
{
    test_identity();
    test_options();
    test_frames("");
    test_frames("iothread");
    test_mergeable();
    test_pressure("");
    test_pressure("iothread");
    test_link();
    test_control();
    test_pairs("mq");
    test_pairs("mq iothread");
    test_hostile();
    test_bad_frames();
    test_state();
    test_removal("");
    test_removal("iothread");
    return check_result();
}
