/*
 * virtio_echo.h: virtio devices on PCI that return the complement of what they are sent: "echo" at
 * once, "slow-echo" with the property slow when it is to finish.
 */
#ifndef SPEC_VIRTIO_ECHO_H
#define SPEC_VIRTIO_ECHO_H

#include "devices/virtio/virtio_pci.h"

enum { ECHO_QUEUES = 2, ECHO_FEATURE = 1 };

struct echo {
    struct virtio_pci pci;
    bool slow; /* a property: keeps requests until it is to finish */
    uint8_t config[6];
    struct virtqueue_request *kept[ECHO_QUEUES];
    unsigned starts, resets, configured, unrealized;
};

static inline struct echo *echo_of(struct virtio *v)
{
    return lunik_state(virtio_pci_object(v));
}

static inline uint32_t echo_answer(struct virtio *v, unsigned queue, struct virtqueue_request *r)
{
    size_t size = r->out_size < r->in_size ? r->out_size : r->in_size;

    if (r->out > 1 || r->in > 1) {
        virtqueue_break(&v->queues[queue], "%u pieces", r->out + r->in);
        return 0;
    }
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)r->iov[r->out].iov_base)[i] = (uint8_t) ~((uint8_t *)r->iov[0].iov_base)[i];
    return (uint32_t)size;
}

static inline void echo_serve(struct virtio *v, unsigned queue)
{
    struct echo *s = echo_of(v);

    if (!s->slow)
        virtio_path_each(v, queue, echo_answer);
    else if (!s->kept[queue])
        virtqueue_pop(&v->queues[queue], &s->kept[queue], 1);
}

static inline void echo_finish(struct virtio *v, unsigned queue)
{
    struct echo *s = echo_of(v);
    struct virtqueue_request *r = s->kept[queue];

    if (r) {
        virtqueue_push(&v->queues[queue], r, echo_answer(v, queue, r));
        virtio_flush(v, queue);
    }
    s->kept[queue] = NULL;
    virtio_path_idle(v, queue);
}

static inline void echo_start(struct virtio *v)
{
    echo_of(v)->starts++;
}

static inline void echo_reset(struct virtio *v)
{
    echo_of(v)->resets++;
}

static inline void echo_configured(struct virtio *v, uint32_t offset, uint32_t size)
{
    echo_of(v)->configured += size;
}

static const struct virtio_ops fast_ops = {
    .start = echo_start, .serve = echo_serve, .reset = echo_reset, .configured = echo_configured};
static const struct virtio_ops slow_ops = {.start = echo_start,
                                           .serve = echo_serve,
                                           .finish = echo_finish,
                                           .reset = echo_reset,
                                           .configured = echo_configured};

static inline int echo_realize(lunik_object *o, lunik_error *e)
{
    struct echo *s = lunik_state(o);

    (void)e;
    s->pci.queue_count = ECHO_QUEUES;
    s->pci.queue_size = 64;
    s->pci.virtio.offered = ECHO_FEATURE;
    s->pci.virtio.config = s->config;
    s->pci.virtio.config_size = sizeof(s->config);
    return 0;
}

static const lunik_prop echo_props[] = {
    {.name = "slow",
     .kind = LUNIK_PROP_BOOL,
     .doc = "Keeps a request until it is to finish.",
     .offset = offsetof(struct echo, slow)},
    {0},
};

static const struct virtio_pci_class fast_class = {
    .id = 63, .class_code = 0xff0000, .ops = &fast_ops, .realize = echo_realize};
static const struct virtio_pci_class slow_class = {
    .id = 63, .class_code = 0xff0000, .ops = &slow_ops, .realize = echo_realize};

#define ECHO_TYPE(name_, class_)                                                                   \
    {                                                                                              \
        .name = (name_), .parent = "virtio-pci", .doc = "Returns the complement.",                 \
        .flags = LUNIK_TYPE_DEVICE | LUNIK_TYPE_HOTPLUG | LUNIK_TYPE_UNPLUG,                       \
        .size = sizeof(struct echo), .props = echo_props, .state = &lunik_state_none,              \
        .data = (void *)&(class_)                                                                  \
    }
static const lunik_type echo_type = ECHO_TYPE("echo", fast_class);
static const lunik_type slow_type = ECHO_TYPE("slow-echo", slow_class);

#endif
