/* virtio_net_control.c: the control queue (virtio 1.2, section 5.1.6.5); see virtio_net.h. */
#include <stdatomic.h>
#include <string.h>

#include "virtio_net.h"

/* Classes and their commands. */
enum {
    CLASS_RX,
    RX_PROMISC = 0,
    RX_ALLMULTI,
    RX_ALLUNI,
    RX_NOMULTI,
    RX_NOUNI,
    RX_NOBCAST,
    CLASS_MAC = 1,
    MAC_TABLE_SET = 0,
    MAC_ADDR_SET,
    CLASS_VLAN = 2,
    VLAN_ADD = 0,
    VLAN_DEL,
    CLASS_ANNOUNCE = 3,
    ANNOUNCE_ACK = 0,
    CLASS_MQ = 4,
    MQ_PAIRS_SET = 0,
    CLASS_OFFLOADS = 5,
    OFFLOADS_SET = 0,
};
enum { ACK_OK, ACK_ERROR };

/* A command of the driver, read from front to back. */
struct command {
    const struct virtqueue_request *r;
    size_t at;
};

/* Reads size bytes; false: there are not as many. */
static bool take(struct command *c, void *to, size_t size)
{
    size_t skip = c->at, done = 0;

    if (size > c->r->out_size - c->at)
        return false;
    for (unsigned i = 0; i < c->r->out && done < size; i++) {
        const struct iovec *v = &c->r->iov[i];
        size_t left_out = skip < v->iov_len ? skip : v->iov_len, piece = v->iov_len - left_out;

        skip -= left_out;
        if (piece > size - done)
            piece = size - done;
        memcpy((uint8_t *)to + done, (uint8_t *)v->iov_base + left_out, piece);
        done += piece;
    }
    c->at += size;
    return true;
}

static bool at_end(const struct command *c)
{
    return c->at == c->r->out_size;
}

/* ---- what is received ----------------------------------------------------------------------- */

static bool set_mode(struct virtio_net *s, uint8_t command, struct command *c)
{
    struct virtio_net_filter *f = &s->filter;
    bool *const modes[] = {&f->promisc, &f->allmulti, &f->alluni,
                           &f->nomulti, &f->nouni,    &f->nobcast};
    uint64_t feature = command <= RX_ALLMULTI ? VIRTIO_NET_CTRL_RX : VIRTIO_NET_CTRL_RX_EXTRA;
    uint8_t on = 0;

    if (command > RX_NOBCAST || !virtio_net_has(s, feature) || !take(c, &on, 1) || !at_end(c))
        return false;
    *modes[command] = on;
    return true;
}

static bool take_table(struct command *c, struct virtio_net_table *t)
{
    uint32_t count = 0;

    if (!take(c, &count, sizeof(count)) || count > (c->r->out_size - c->at) / 6)
        return false;
    t->overflow = count > VIRTIO_NET_ADDRESSES;
    t->count = t->overflow ? 0 : count;
    if (t->overflow)
        c->at += 6 * (size_t)count;
    else if (!take(c, t->addresses, 6 * (size_t)count))
        return false;
    return true;
}

/* Both tables, or nothing of a command that is wrong. */
static bool set_tables(struct virtio_net *s, struct command *c)
{
    struct virtio_net_table unicast = {0}, multicast = {0};

    if (!virtio_net_has(s, VIRTIO_NET_CTRL_RX) || !take_table(c, &unicast) ||
        !take_table(c, &multicast) || !at_end(c))
        return false;
    s->filter.unicast = unicast;
    s->filter.multicast = multicast;
    return true;
}

static bool set_address(struct virtio_net *s, struct command *c)
{
    uint8_t mac[6] = {0};

    if (!virtio_net_has(s, VIRTIO_NET_CTRL_MAC) || !take(c, mac, sizeof(mac)) || !at_end(c))
        return false;
    memcpy(s->filter.mac, mac, sizeof(mac));
    return true;
}

static bool set_vlan(struct virtio_net *s, bool add, struct command *c)
{
    uint64_t bit;
    uint16_t vlan = 0;

    if (!virtio_net_has(s, VIRTIO_NET_CTRL_VLAN) || !take(c, &vlan, sizeof(vlan)) || !at_end(c) ||
        vlan >= VIRTIO_NET_VLANS)
        return false;
    bit = UINT64_C(1) << vlan % 64;
    if (add)
        s->filter.vlans[vlan / 64] |= bit;
    else
        s->filter.vlans[vlan / 64] &= ~bit;
    return true;
}

/* ---- the rest ------------------------------------------------------------------------------- */

static bool acknowledge(struct virtio_net *s)
{
    if (!virtio_net_has(s, VIRTIO_NET_GUEST_ANNOUNCE))
        return false;
    atomic_store(&s->acknowledged, true);
    virtio_net_refresh(s);
    return true;
}

static bool set_pairs(struct virtio_net *s, struct command *c)
{
    uint16_t pairs = 0;

    if (!virtio_net_has(s, VIRTIO_NET_MQ) || !take(c, &pairs, sizeof(pairs)) || !at_end(c) ||
        !pairs || pairs > s->max_pairs)
        return false;
    s->pairs = pairs;
    virtio_net_configure(s);
    return true;
}

unsigned virtio_net_guest_offloads(uint64_t features)
{
    return (features & VIRTIO_NET_GUEST_CSUM ? NETDEV_CSUM : 0) |
           (features & VIRTIO_NET_GUEST_TSO4 ? NETDEV_TSO4 : 0) |
           (features & VIRTIO_NET_GUEST_TSO6 ? NETDEV_TSO6 : 0) |
           (features & VIRTIO_NET_GUEST_ECN ? NETDEV_ECN : 0) |
           (features & VIRTIO_NET_GUEST_UFO ? NETDEV_UFO : 0);
}

/* They are named by the bits of the features, of which only those negotiated can be set. */
static bool set_offloads(struct virtio_net *s, struct command *c)
{
    const uint64_t all = VIRTIO_NET_GUEST_CSUM | VIRTIO_NET_GUEST_TSO4 | VIRTIO_NET_GUEST_TSO6 |
                         VIRTIO_NET_GUEST_ECN | VIRTIO_NET_GUEST_UFO;
    uint64_t wanted = 0;

    if (!virtio_net_has(s, VIRTIO_NET_GUEST_OFFLOADS) || !take(c, &wanted, sizeof(wanted)) ||
        !at_end(c) || wanted & ~(s->pci.virtio.features & all))
        return false;
    s->offloads = (uint8_t)virtio_net_guest_offloads(wanted);
    virtio_net_configure(s);
    return true;
}

static bool carry_out(struct virtio_net *s, struct command *c)
{
    uint8_t head[2];

    if (!take(c, head, sizeof(head)))
        return false;
    switch (head[0]) {
    case CLASS_RX:
        return set_mode(s, head[1], c);
    case CLASS_MAC:
        return head[1] == MAC_TABLE_SET  ? set_tables(s, c)
               : head[1] == MAC_ADDR_SET ? set_address(s, c)
                                         : false;
    case CLASS_VLAN:
        return head[1] <= VLAN_DEL && set_vlan(s, head[1] == VLAN_ADD, c);
    case CLASS_ANNOUNCE:
        return head[1] == ANNOUNCE_ACK && at_end(c) && acknowledge(s);
    case CLASS_MQ:
        return head[1] == MQ_PAIRS_SET && set_pairs(s, c);
    case CLASS_OFFLOADS:
        return head[1] == OFFLOADS_SET && set_offloads(s, c);
    default:
        return false;
    }
}

unsigned virtio_net_control_queue(const struct virtio_net *s)
{
    return virtio_net_has(s, VIRTIO_NET_MQ) ? 2 * s->max_pairs : 2;
}

uint32_t virtio_net_command(struct virtio *v, unsigned queue, struct virtqueue_request *r)
{
    struct command c = {.r = r};
    uint8_t ack;

    if (!r->in_size) {
        virtqueue_break(&v->queues[queue], "a command has no room for its answer");
        return 0;
    }
    ack = carry_out(virtio_net_of(v), &c) ? ACK_OK : ACK_ERROR;
    *(uint8_t *)r->iov[r->out].iov_base = ack;
    return 1;
}
