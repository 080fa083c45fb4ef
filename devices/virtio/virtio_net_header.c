/* virtio_net_header.c: headers and addresses of frames, apart from any queue; see virtio_net.h. */
#include <string.h>

#include "virtio_net.h"

enum { GSO_NONE = 0, GSO_TCPV4 = 1, GSO_UDP = 3, GSO_TCPV6 = 4, ETHERNET = 14, VLAN_AT = 12 };

/* ---- headers -------------------------------------------------------------------------------- */

static unsigned offload_of(uint8_t type)
{
    switch (type) {
    case GSO_TCPV4:
        return NETDEV_TSO4;
    case GSO_TCPV6:
        return NETDEV_TSO6;
    case GSO_UDP:
        return NETDEV_UFO;
    default:
        return 0;
    }
}

bool virtio_net_header_ok(const struct virtio_net_header *h, size_t size, unsigned offloads)
{
    uint8_t type = h->gso_type & (uint8_t)~VIRTIO_NET_GSO_ECN;
    bool csum = h->flags & VIRTIO_NET_NEEDS_CSUM;

    if (csum && (!(offloads & NETDEV_CSUM) || h->csum_start + h->csum_offset + 2u > size))
        return false;
    if (h->gso_type & VIRTIO_NET_GSO_ECN && !(offloads & NETDEV_ECN))
        return false;
    if (type == GSO_NONE)
        return !(h->gso_type & VIRTIO_NET_GSO_ECN);
    return csum && offloads & offload_of(type) && h->gso_size && h->hdr_len <= size;
}

static uint32_t sum_words(const uint8_t *data, size_t size)
{
    uint32_t sum = 0;

    for (size_t i = 0; i + 1 < size; i += 2)
        sum += (uint32_t)data[i] << 8 | data[i + 1];
    if (size & 1)
        sum += (uint32_t)data[size - 1] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

/* The place of the checksum holds the sum of the pseudo header. */
void virtio_net_checksum(uint8_t *frame, size_t size, const struct virtio_net_header *h)
{
    uint16_t sum = (uint16_t)~sum_words(frame + h->csum_start, size - h->csum_start);
    uint8_t *at = frame + h->csum_start + h->csum_offset;

    if (!sum)
        sum = 0xffff; /* in UDP 0 stands for none */
    at[0] = (uint8_t)(sum >> 8);
    at[1] = (uint8_t)sum;
}

/* ---- addresses ------------------------------------------------------------------------------ */

static bool listed(const struct virtio_net_table *t, const uint8_t *address)
{
    if (t->overflow)
        return true;
    for (uint32_t i = 0; i < t->count; i++)
        if (!memcmp(t->addresses + 6 * (size_t)i, address, 6))
            return true;
    return false;
}

static bool vlan_wanted(const struct virtio_net_filter *f, const uint8_t *frame, size_t size)
{
    unsigned vlan;

    if (!f->vlans_filtered || size < VLAN_AT + 4 || frame[VLAN_AT] != 0x81 || frame[VLAN_AT + 1])
        return true;
    vlan = (frame[VLAN_AT + 2] & 0xfu) << 8 | frame[VLAN_AT + 3];
    return f->vlans[vlan / 64] >> vlan % 64 & 1;
}

bool virtio_net_wanted(const struct virtio_net_filter *f, const uint8_t *frame, size_t size)
{
    static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

    if (size < ETHERNET)
        return false;
    if (f->promisc)
        return true;
    if (!vlan_wanted(f, frame, size))
        return false;
    if (!memcmp(frame, broadcast, 6))
        return !f->nobcast;
    if (frame[0] & 1)
        return !f->nomulti && (f->allmulti || listed(&f->multicast, frame));
    return !f->nouni && (f->alluni || !memcmp(frame, f->mac, 6) || listed(&f->unicast, frame));
}
