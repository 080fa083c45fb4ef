/*
 * virtio_net.h: the parts of the network card (virtio 1.2, section 5.1); see virtio_net.c.
 *
 * Queue 2n receives for pair n, queue 2n + 1 sends; the control queue follows the last pair that
 * the driver may use. All are served on one thread, which is the back end's as well.
 */
#ifndef VIRTIO_VIRTIO_NET_H
#define VIRTIO_VIRTIO_NET_H

#include <stdatomic.h>

#include "virtio_pci.h"
#include "../net/net.h"

/* X(bit, NAME, name, doc): features with a property, by name of the property. Offered unless the
 * property says no, or the back end can't (offload: what of NETDEV_OFFLOADS that needs; 0: none).
 */
#define VIRTIO_NET_FEATURES(X)                                                                     \
    X(0, CSUM, csum, NETDEV_CSUM, "Complete checksums that the guest leaves open.")                \
    X(1, GUEST_CSUM, guest_csum, NETDEV_CSUM, "Leave checksums open for the guest.")               \
    X(2, GUEST_OFFLOADS, ctrl_guest_offloads, NETDEV_CSUM,                                         \
      "Let the guest change what is left to it.")                                                  \
    X(7, GUEST_TSO4, guest_tso4, NETDEV_TSO4, "Hand the guest large TCP segments.")                \
    X(8, GUEST_TSO6, guest_tso6, NETDEV_TSO6, "The same for IPv6.")                                \
    X(9, GUEST_ECN, guest_ecn, NETDEV_ECN, "The same with congestion marks.")                      \
    X(10, GUEST_UFO, guest_ufo, NETDEV_UFO, "Hand the guest large UDP datagrams.")                 \
    X(11, HOST_TSO4, host_tso4, NETDEV_TSO4, "Take large TCP segments from the guest.")            \
    X(12, HOST_TSO6, host_tso6, NETDEV_TSO6, "The same for IPv6.")                                 \
    X(13, HOST_ECN, host_ecn, NETDEV_ECN, "The same with congestion marks.")                       \
    X(14, HOST_UFO, host_ufo, NETDEV_UFO, "Take large UDP datagrams from the guest.")              \
    X(15, MRG_RXBUF, mrg_rxbuf, 0, "Spread a frame over several of the guest's buffers.")          \
    X(16, STATUS, status, 0, "Show the guest the state of the link.")                              \
    X(17, CTRL_VQ, ctrl_vq, 0, "Have a control queue.")                                            \
    X(18, CTRL_RX, ctrl_rx, 0, "Let the guest choose what it receives.")                           \
    X(19, CTRL_VLAN, ctrl_vlan, 0, "Let the guest choose the VLANs that it receives.")             \
    X(20, CTRL_RX_EXTRA, ctrl_rx_extra, 0, "More choices of what the guest receives.")             \
    X(21, GUEST_ANNOUNCE, guest_announce, 0, "Ask the guest to announce itself.")                  \
    X(23, CTRL_MAC, ctrl_mac_addr, 0, "Let the guest change its address.")

#define VIRTIO_NET_BIT(bit, NAME, name, offload, doc) VIRTIO_NET_##NAME = 1 << (bit),
enum {
    VIRTIO_NET_FEATURES(VIRTIO_NET_BIT) /**/
    VIRTIO_NET_MTU = 1 << 3,
    VIRTIO_NET_MAC = 1 << 5,
    VIRTIO_NET_MQ = 1 << 22,
};
#undef VIRTIO_NET_BIT

enum {
    VIRTIO_NET_ADDRESSES = 64, /* entries of a table of addresses */
    VIRTIO_NET_VLANS = 4096,
    VIRTIO_NET_ENTRIES_MAX = 1024,
    VIRTIO_NET_LINK_UP = 1, /* of the status */
    VIRTIO_NET_ANNOUNCE = 2,
};

/* Section 5.1.6; all modern drivers have num_buffers. */
struct virtio_net_header {
    uint8_t flags, gso_type;
    uint16_t hdr_len, gso_size, csum_start, csum_offset, num_buffers;
};

enum { VIRTIO_NET_NEEDS_CSUM = 1, VIRTIO_NET_GSO_ECN = 0x80 };

/* Returns whether a header suits a frame of size bytes, with these offloads allowed. */
bool virtio_net_header_ok(const struct virtio_net_header *h, size_t size, unsigned offloads);
/* Computes the checksum of a frame whose header asks for that. */
void virtio_net_checksum(uint8_t *frame, size_t size, const struct virtio_net_header *h);

/* The frames that the driver wants to receive; section 5.1.6.5. */
struct virtio_net_table {
    uint32_t count;
    bool overflow; /* more than there is room for: all pass */
    uint8_t addresses[VIRTIO_NET_ADDRESSES * 6];
};

struct virtio_net_filter {
    uint8_t mac[6];
    bool promisc, allmulti, alluni, nomulti, nouni, nobcast;
    bool vlans_filtered;
    struct virtio_net_table unicast, multicast;
    uint64_t vlans[VIRTIO_NET_VLANS / 64];
};

bool virtio_net_wanted(const struct virtio_net_filter *f, const uint8_t *frame, size_t size);

struct virtio_net_stats {
    _Atomic uint64_t frames, bytes, dropped;
};

/* On the thread, unless said otherwise. */
struct virtio_net_pair {
    bool receiving;    /* its receive queue is served */
    bool starved;      /* a frame was refused for want of buffers */
    bool sending;      /* its send queue is served */
    unsigned received; /* frames that have not been shown */
};

struct virtio_net {
    struct virtio_pci pci;

    lunik_object *netdev;
    char *mac;
    bool mq, link; /* link: lock */
    uint64_t host_mtu, rx_queue_size, tx_queue_size;
#define VIRTIO_NET_FIELD(bit, NAME, name, offload, doc) bool name;
    VIRTIO_NET_FEATURES(VIRTIO_NET_FIELD) /**/
#undef VIRTIO_NET_FIELD

    struct netdev *back; /* NULL: none */
    unsigned max_pairs;
    uint8_t config[12]; /* lock: mac, status, pairs, MTU */
    uint8_t own_mac[6]; /* that of the property */

    /* The thread's; the lock's while queues are at rest. */
    struct virtio_net_filter filter;
    uint16_t pairs;   /* that the driver uses */
    uint8_t offloads; /* NETDEV_*: what is left to the guest */
    struct virtio_net_pair state[NETDEV_QUEUES_MAX];
    uint8_t scratch[NETDEV_HEADER + NETDEV_FRAME_MAX];

    _Atomic bool up;           /* the link, as both the property and the back end have it */
    _Atomic bool reconfigure;  /* the back end has to be notified */
    _Atomic bool acknowledged; /* the driver has announced itself */
    lunik_task refresh;        /* config, with the lock */
    struct virtio_net_stats rx, tx;
};

static inline struct virtio_net *virtio_net_of(struct virtio *v)
{
    return lunik_container_of(v, struct virtio_net, pci.virtio);
}

static inline bool virtio_net_has(const struct virtio_net *s, uint64_t feature)
{
    return s->pci.virtio.features & feature;
}

static inline void virtio_net_count(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* virtio_net_data.c */
extern const struct netdev_front virtio_net_front;
void virtio_net_serve_receive(struct virtio_net *s, unsigned pair);
void virtio_net_serve_send(struct virtio_net *s, unsigned pair);
/* Passes what the driver takes on to the back end. On the thread. */
void virtio_net_configure(struct virtio_net *s);

/* virtio_net_control.c */
unsigned virtio_net_control_queue(const struct virtio_net *s);
/* Returns what the guest takes of NETDEV_*, by these features. */
unsigned virtio_net_guest_offloads(uint64_t features);
/* Carries a command out; returns how many bytes were written. */
uint32_t virtio_net_command(struct virtio *v, unsigned queue, struct virtqueue_request *r);

/* virtio_net.c */
/* The state after a reset. */
void virtio_net_restore(struct virtio_net *s);
/* Brings the configuration up to date, soon. Any thread. */
void virtio_net_refresh(struct virtio_net *s);

#endif
