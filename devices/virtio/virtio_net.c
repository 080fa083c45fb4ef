/*
 * virtio_net.c: the network card (virtio 1.2, section 5.1): its life, configuration and properties.
 *
 * Not modelled: hashes and receive-side scaling, coalescing of notifications, speed and duplex.
 */
#include <ctype.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>

#include "virtio_net.h"
#include "../types.h"

enum { NET_ID = 1, ETHERNET_CLASS = 0x020000, MAC_SIZE = 6 };
enum { STATUS_AT = 6, PAIRS_AT = 8, MTU_AT = 10 }; /* in the configuration */
enum { MTU_MIN = 68, MTU_MAX = 65535, ENTRIES_MIN = 64 };

/* ---- configuration -------------------------------------------------------------------------- */

static bool link_is_up(const struct virtio_net *s)
{
    return s->link && s->back && !atomic_load(&s->back->down);
}

/* With the lock. */
static void on_refresh(lunik_task *task)
{
    struct virtio_net *s = lunik_container_of(task, struct virtio_net, refresh);
    struct virtio *v = &s->pci.virtio;
    uint16_t before = lunik_pci_get_word(s->config, STATUS_AT), now;

    now = before & VIRTIO_NET_ANNOUNCE;
    if (atomic_exchange(&s->acknowledged, false))
        now = 0;
    if (link_is_up(s))
        now |= VIRTIO_NET_LINK_UP;
    atomic_store(&s->up, now & VIRTIO_NET_LINK_UP);
    lunik_pci_set_word(s->config, STATUS_AT, now);
    if ((now ^ before) & VIRTIO_NET_LINK_UP && virtio_net_has(s, VIRTIO_NET_STATUS))
        virtio_config_changed(v);
}

void virtio_net_refresh(struct virtio_net *s)
{
    lunik_object *o = lunik_state_object(s);

    lunik_defer(lunik_machine_runtime(lunik_object_machine(o)), &s->refresh);
}

/* Reads "52:54:00:12:34:56". */
static bool read_mac(const char *text, uint8_t *mac)
{
    static const char digits[] = "0123456789abcdef";

    if (strlen(text) != 3 * MAC_SIZE - 1)
        return false;
    for (unsigned i = 0; i < MAC_SIZE; i++, text += 3) {
        const char *high = strchr(digits, tolower((unsigned char)text[0]));
        const char *low = strchr(digits, tolower((unsigned char)text[1]));

        if (!high || !low || (i + 1 < MAC_SIZE && text[2] != ':'))
            return false;
        mac[i] = (uint8_t)((high - digits) << 4 | (low - digits));
    }
    return true;
}

/* The property of an address has no multicast bit. */
static int parse_mac(struct virtio_net *s, lunik_error *err)
{
    if (!read_mac(s->mac, s->own_mac) || s->own_mac[0] & 1)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "virtio-net-pci: mac: '%s' is not the address of a card (want e.g. "
                          "52:54:00:12:34:56, the first byte even)",
                          s->mac);
    return 0;
}

static bool mac_taken(lunik_object *self, const uint8_t *mac)
{
    lunik_machine *m = lunik_object_machine(self);

    for (lunik_object *o = NULL; (o = lunik_object_next(m, o));) {
        const struct virtio_net *s = lunik_state(o);

        if (o != self && lunik_object_type(o) == &virtio_net_pci_type &&
            !memcmp(s->own_mac, mac, MAC_SIZE))
            return true;
    }
    return false;
}

/* The first address from 52:54:00:12:34:56 on that no other card of the machine has. */
static void choose_mac(struct virtio_net *s)
{
    static const uint8_t first[MAC_SIZE] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56};

    memcpy(s->own_mac, first, MAC_SIZE);
    while (mac_taken(lunik_state_object(s), s->own_mac))
        if (!++s->own_mac[5] && !++s->own_mac[4])
            s->own_mac[3]++;
}

/* ---- the driver ----------------------------------------------------------------------------- */

static bool depends(uint64_t features, uint64_t on, uint64_t others)
{
    return features & on || !(features & others);
}

/* Section 5.1.3.1. */
static bool features_ok(struct virtio *v, uint64_t features)
{
    const uint64_t guest = VIRTIO_NET_GUEST_TSO4 | VIRTIO_NET_GUEST_TSO6 | VIRTIO_NET_GUEST_UFO;
    const uint64_t host = VIRTIO_NET_HOST_TSO4 | VIRTIO_NET_HOST_TSO6 | VIRTIO_NET_HOST_UFO;
    const uint64_t control = VIRTIO_NET_CTRL_RX | VIRTIO_NET_CTRL_VLAN | VIRTIO_NET_CTRL_MAC |
                             VIRTIO_NET_GUEST_ANNOUNCE | VIRTIO_NET_MQ | VIRTIO_NET_GUEST_OFFLOADS;

    return depends(features, VIRTIO_NET_GUEST_CSUM, guest) &&
           depends(features, VIRTIO_NET_GUEST_TSO4 | VIRTIO_NET_GUEST_TSO6, VIRTIO_NET_GUEST_ECN) &&
           depends(features, VIRTIO_NET_CSUM, host) &&
           depends(features, VIRTIO_NET_HOST_TSO4 | VIRTIO_NET_HOST_TSO6, VIRTIO_NET_HOST_ECN) &&
           depends(features, VIRTIO_NET_CTRL_VQ, control) &&
           depends(features, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_EXTRA);
}

static void driver_start(struct virtio *v)
{
    struct virtio_net *s = virtio_net_of(v);

    s->offloads = (uint8_t)virtio_net_guest_offloads(v->features);
    s->filter.vlans_filtered = virtio_net_has(s, VIRTIO_NET_CTRL_VLAN);
    atomic_store(&s->reconfigure, true);
}

/* Which queue it is follows from what was negotiated. */
static void serve(struct virtio *v, unsigned queue)
{
    struct virtio_net *s = virtio_net_of(v);

    if (atomic_load(&s->reconfigure))
        virtio_net_configure(s);
    if (queue == virtio_net_control_queue(s))
        virtio_path_each(v, queue, virtio_net_command);
    else if (queue / 2 >= s->max_pairs)
        return;
    else if (queue % 2)
        virtio_net_serve_send(s, queue / 2);
    else
        virtio_net_serve_receive(s, queue / 2);
}

static void finish(struct virtio *v, unsigned queue)
{
    struct virtio_net *s = virtio_net_of(v);
    struct virtio_net_pair *p = &s->state[queue / 2];

    if (queue / 2 < s->max_pairs && queue != virtio_net_control_queue(s))
        *(queue % 2 ? &p->sending : &p->receiving) = false;
    virtio_path_idle(v, queue);
}

void virtio_net_restore(struct virtio_net *s)
{
    s->filter = (struct virtio_net_filter){.promisc = true};
    memcpy(s->filter.mac, s->own_mac, MAC_SIZE);
    s->pairs = 1;
    s->offloads = 0;
    atomic_store(&s->acknowledged, true); /* nothing is to be announced */
    on_refresh(&s->refresh);
}

static void driver_reset(struct virtio *v)
{
    virtio_net_restore(virtio_net_of(v));
}

static const struct virtio_ops net_ops = {.features_ok = features_ok,
                                          .start = driver_start,
                                          .serve = serve,
                                          .finish = finish,
                                          .reset = driver_reset};

/* ---- life cycle ----------------------------------------------------------------------------- */

static uint64_t offered(const struct virtio_net *s)
{
    unsigned there = s->back && s->back->vnet_hdr ? s->back->offloads : 0;
    uint64_t features = VIRTIO_NET_MAC;

#define VIRTIO_NET_OFFER(bit, NAME, name, offload, doc)                                            \
    if (s->name && (there & (offload)) == (offload))                                               \
        features |= VIRTIO_NET_##NAME;
    VIRTIO_NET_FEATURES(VIRTIO_NET_OFFER)
#undef VIRTIO_NET_OFFER
    if (s->host_mtu)
        features |= VIRTIO_NET_MTU;
    if (s->mq && s->ctrl_vq && s->max_pairs > 1)
        features |= VIRTIO_NET_MQ;
    return features;
}

static int check_options(struct virtio_net *s, lunik_error *err)
{
    const struct {
        const char *name;
        uint64_t value;
    } entries[] = {{"rx_queue_size", s->rx_queue_size}, {"tx_queue_size", s->tx_queue_size}};

    for (unsigned i = 0; i < 2; i++)
        if (entries[i].value & (entries[i].value - 1))
            return lunik_fail(err, LUNIK_E_INVALID,
                              "virtio-net-pci: %s: '%" PRIu64 "' is not a power of two (want %d "
                              "to %d)",
                              entries[i].name, entries[i].value, ENTRIES_MIN,
                              VIRTIO_NET_ENTRIES_MAX);
    if (s->host_mtu && s->host_mtu < MTU_MIN)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "virtio-net-pci: host_mtu: '%" PRIu64 "' is too small (want 0 or %d to "
                          "%d)",
                          s->host_mtu, MTU_MIN, MTU_MAX);
    if (s->mac)
        return parse_mac(s, err);
    choose_mac(s);
    return 0;
}

static int attach(struct virtio_net *s, lunik_object *o, lunik_error *err)
{
    const struct netdev_user user = {
        .front = &virtio_net_front,
        .opaque = s,
        .card = o,
        .thread =
            s->pci.iothread ? lunik_iothread_iface(s->pci.iothread)->thread(s->pci.iothread) : NULL,
    };

    return s->netdev ? netdev_attach(s->netdev, &user, err) : 0;
}

static uint16_t entries(lunik_object *o, unsigned queue)
{
    const struct virtio_net *s = lunik_state(o);

    if (queue == 2 * s->max_pairs)
        return ENTRIES_MIN;
    return (uint16_t)(queue % 2 ? s->tx_queue_size : s->rx_queue_size);
}

static int realize(lunik_object *o, lunik_error *err)
{
    struct virtio_net *s = lunik_state(o);
    int rc = check_options(s, err);

    if (rc)
        return rc;
    s->back = s->netdev ? lunik_state(s->netdev) : NULL;
    s->max_pairs = s->mq && s->back && s->back->queues ? s->back->queues : 1;
    s->refresh.fn = on_refresh;
    memcpy(s->config, s->own_mac, MAC_SIZE);
    lunik_pci_set_word(s->config, PAIRS_AT, (uint16_t)s->max_pairs);
    lunik_pci_set_word(s->config, MTU_AT, (uint16_t)s->host_mtu);
    s->pci.queue_count = 2 * s->max_pairs + 1;
    s->pci.segments = NETDEV_PIECES_MAX;
    s->pci.virtio.offered = offered(s);
    s->pci.virtio.config = s->config;
    s->pci.virtio.config_size = s->host_mtu ? MTU_AT + 2 : MTU_AT;
    virtio_net_restore(s);
    return attach(s, o, err);
}

static void unrealize(lunik_object *o)
{
    struct virtio_net *s = lunik_state(o);

    if (s->netdev)
        netdev_detach(s->netdev, o);
    lunik_defer_cancel(lunik_machine_runtime(lunik_object_machine(o)), &s->refresh);
}

/* ---- properties ----------------------------------------------------------------------------- */

static int set_link(lunik_object *o, const lunik_value *value, lunik_error *err)
{
    struct virtio_net *s = lunik_state(o);

    s->link = value->boolean;
    on_refresh(&s->refresh);
    return 0;
}

#define STAT(name_, field_, doc_)                                                                  \
    static void get_##field_(lunik_object *o, lunik_value *out)                                    \
    {                                                                                              \
        const struct virtio_net *s = lunik_state(o);                                               \
                                                                                                   \
        *out = (lunik_value){.kind = LUNIK_UINT, .uint = atomic_load(&s->STAT_##field_)};          \
    }
#define STAT_rx_frames  rx.frames
#define STAT_rx_bytes   rx.bytes
#define STAT_rx_dropped rx.dropped
#define STAT_tx_frames  tx.frames
#define STAT_tx_bytes   tx.bytes
#define STAT_tx_dropped tx.dropped
/* X(name, field, doc) */
#define STATS(X)                                                                                   \
    X("rx-frames", rx_frames, "Frames that the guest got.")                                        \
    X("rx-bytes", rx_bytes, "Their bytes.")                                                        \
    X("rx-dropped", rx_dropped, "Frames that the guest did not want, or had no use for.")          \
    X("tx-frames", tx_frames, "Frames that the guest sent.")                                       \
    X("tx-bytes", tx_bytes, "Their bytes.")                                                        \
    X("tx-dropped", tx_dropped, "Frames of the guest that were wrong, or had no link.")
STATS(STAT)

#define STAT_PROP(name_, field_, doc_)                                                             \
    {.name = name_,                                                                                \
     .kind = LUNIK_PROP_UINT,                                                                      \
     .doc = doc_,                                                                                  \
     .flags = LUNIK_PROP_READONLY,                                                                 \
     .get = get_##field_},
#define FEATURE_PROP(bit_, NAME_, name_, offload_, doc_)                                           \
    {.name = #name_,                                                                               \
     .kind = LUNIK_PROP_BOOL,                                                                      \
     .doc = doc_,                                                                                  \
     .offset = offsetof(struct virtio_net, name_),                                                 \
     .def = 1},
#define ENTRIES_PROP(name_, doc_)                                                                  \
    {                                                                                              \
        .name = #name_, .kind = LUNIK_PROP_UINT, .doc = doc_,                                      \
        .offset = offsetof(struct virtio_net, name_), .def = 256, .min = ENTRIES_MIN,              \
        .max = VIRTIO_NET_ENTRIES_MAX                                                              \
    }

static void get_mac(lunik_object *o, lunik_value *out)
{
    static __thread char text[18];
    const struct virtio_net *s = lunik_state(o);
    const uint8_t *b = s->own_mac;

    snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4],
             b[5]);
    *out = (lunik_value){.kind = LUNIK_STRING, .string = text};
}

static const lunik_prop props[] = {
    {
        .name = "netdev",
        .kind = LUNIK_PROP_LINK,
        .doc = "The back end; without one there is no carrier.",
        .offset = offsetof(struct virtio_net, netdev),
        .link = "netdev",
    },
    {
        .name = "mac",
        .kind = LUNIK_PROP_STRING,
        .doc = "The address; without it the first from 52:54:00:12:34:56 on that is free.",
        .offset = offsetof(struct virtio_net, mac),
        .get = get_mac,
    },
    {
        .name = "link",
        .kind = LUNIK_PROP_BOOL,
        .doc = "Whether the cable is plugged in.",
        .offset = offsetof(struct virtio_net, link),
        .flags = LUNIK_PROP_LIVE,
        .def = 1,
        .set = set_link,
    },
    {
        .name = "mq",
        .kind = LUNIK_PROP_BOOL,
        .doc = "Have as many pairs of queues as the back end.",
        .offset = offsetof(struct virtio_net, mq),
    },
    {
        .name = "host_mtu",
        .kind = LUNIK_PROP_UINT,
        .doc = "The MTU that the guest is to use, 68 to 65535; 0: its own choice.",
        .offset = offsetof(struct virtio_net, host_mtu),
        .max = MTU_MAX,
    },
    ENTRIES_PROP(rx_queue_size, "Entries of a receive queue, a power of two up to 1024."),
    ENTRIES_PROP(tx_queue_size, "Entries of a send queue, a power of two up to 1024."),
    VIRTIO_NET_FEATURES(FEATURE_PROP) /**/
    STATS(STAT_PROP)                  /**/
    {0},
};

/* ---- state ---------------------------------------------------------------------------------- */

static int post_load(void *staged, const void *state, uint16_t version, lunik_error *err)
{
    const struct virtio_net *s = staged, *now = state;

    if (!s->pairs || s->pairs > now->max_pairs)
        return lunik_fail(err, LUNIK_E_INVALID, "pairs: %u is not possible (want 1 to %u)",
                          s->pairs, now->max_pairs);
    if (s->offloads & ~NETDEV_OFFLOADS)
        return lunik_fail(err, LUNIK_E_INVALID, "offloads: 0x%x has bits beyond 0x%x", s->offloads,
                          NETDEV_OFFLOADS);
    return 0;
}

/* The guest is somewhere else now, and is asked to announce itself there. */
static void loaded(void *state)
{
    struct virtio_net *s = state;
    bool announce = virtio_net_has(s, VIRTIO_NET_GUEST_ANNOUNCE);

    atomic_store(&s->reconfigure, true);
    on_refresh(&s->refresh);
    if (!announce || !atomic_load(&s->up))
        return;
    lunik_pci_set_word(s->config, STATUS_AT, VIRTIO_NET_LINK_UP | VIRTIO_NET_ANNOUNCE);
    virtio_config_changed(&s->pci.virtio);
}

static const lunik_state_field table_fields[] = {
    LUNIK_STATE(struct virtio_net_table, count, .limit = VIRTIO_NET_ADDRESSES + 1),
    LUNIK_STATE(struct virtio_net_table, overflow),
    LUNIK_STATE_ARRAY(struct virtio_net_table, addresses),
    {0},
};
static const lunik_state_table address_table = {.name = "virtio-net-addresses",
                                                .version = 1,
                                                .size = sizeof(struct virtio_net_table),
                                                .fields = table_fields};

static const lunik_state_field state_fields[] = {
    LUNIK_STATE_ARRAY(struct virtio_net, filter.mac),
    LUNIK_STATE(struct virtio_net, filter.promisc),
    LUNIK_STATE(struct virtio_net, filter.allmulti),
    LUNIK_STATE(struct virtio_net, filter.alluni),
    LUNIK_STATE(struct virtio_net, filter.nomulti),
    LUNIK_STATE(struct virtio_net, filter.nouni),
    LUNIK_STATE(struct virtio_net, filter.nobcast),
    LUNIK_STATE(struct virtio_net, filter.vlans_filtered),
    LUNIK_STATE_STRUCT(struct virtio_net, filter.unicast, &address_table),
    LUNIK_STATE_STRUCT(struct virtio_net, filter.multicast, &address_table),
    LUNIK_STATE_BITMAP(struct virtio_net, filter.vlans, VIRTIO_NET_VLANS),
    LUNIK_STATE(struct virtio_net, pairs),
    LUNIK_STATE(struct virtio_net, offloads),
    {0},
};

static const lunik_state_table state_table = {
    .name = "virtio-net",
    .version = 1,
    .size = sizeof(struct virtio_net),
    .fields = state_fields,
    .post_load = post_load,
    .loaded = loaded,
};

static const struct virtio_pci_class class = {
    .id = NET_ID,
    .class_code = ETHERNET_CLASS,
    .ops = &net_ops,
    .realize = realize,
    .unrealize = unrealize,
    .entries = entries,
};

const lunik_type virtio_net_pci_type = {
    VIRTIO_PCI_TYPE("virtio-net-pci", &class),
    .doc = "A network card (virtio 1.2) on the PCI bus.",
    .size = sizeof(struct virtio_net),
    .props = props,
    .state = &state_table,
};
