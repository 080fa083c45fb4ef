/* virtio.c: the life of a virtio device as its driver leads it. */
#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>

#include "virtio_path.h"

/* ---- status --------------------------------------------------------------------------------- */

void virtio_init(struct virtio *v)
{
    v->features = 0;
    atomic_init(&v->status, 0);
    v->generation = 0;
    v->resetting = false;
    v->stopping = 0;
}

uint8_t virtio_status(const struct virtio *v)
{
    return atomic_load(&v->status);
}

bool virtio_running(const struct virtio *v)
{
    return (virtio_status(v) & (VIRTIO_DRIVER_OK | VIRTIO_NEEDS_RESET)) == VIRTIO_DRIVER_OK;
}

static void interrupt(struct virtio *v)
{
    if (virtio_status(v) & VIRTIO_DRIVER_OK && v->transport)
        v->transport->config_interrupt(v->opaque);
}

void virtio_needs_reset(struct virtio *v)
{
    if (!(atomic_fetch_or(&v->status, VIRTIO_NEEDS_RESET) & VIRTIO_NEEDS_RESET))
        interrupt(v);
}

void virtio_interrupt(struct virtio *v, unsigned queue)
{
    if (v->transport && v->transport->queue_interrupt)
        v->transport->queue_interrupt(v->opaque, queue);
}

void virtio_flush(struct virtio *v, unsigned queue)
{
    if (virtqueue_flush(&v->queues[queue]))
        virtio_interrupt(v, queue);
}

static void kick(struct virtio *v, unsigned queue)
{
    if (v->path)
        virtio_path_kick(v->path, queue);
    else if (v->ops->kick)
        v->ops->kick(v, queue);
}

static void stop(struct virtio *v, unsigned queue)
{
    if (v->path)
        virtio_path_stop(v->path, queue);
    else
        v->ops->stop(v, queue);
}

/* A driver can't go on with features that the device does not have. */
static bool features_ok(struct virtio *v)
{
    return !(v->features & ~v->offered) && v->features & VIRTIO_F_VERSION_1 &&
           (!v->ops->features_ok || v->ops->features_ok(v, v->features));
}

/* ---- reset ---------------------------------------------------------------------------------- */

static void finish_reset(struct virtio *v)
{
    v->resetting = false;
    for (unsigned i = 0; i < v->queue_count; i++)
        virtqueue_reset(&v->queues[i]);
    v->features = 0;
    if (v->ops->reset)
        v->ops->reset(v);
    if (v->transport && v->transport->reset)
        v->transport->reset(v->opaque);
    atomic_store(&v->status, 0);
}

static bool is_active(const struct virtqueue *q)
{
    return q->enabled || q->in_flight;
}

/* One more than the queues, so that answers within stop() do not end the reset too early. */
static void begin_reset(struct virtio *v)
{
    if (v->resetting)
        return;
    v->resetting = true;
    v->stopping++;
    for (unsigned i = 0; i < v->queue_count; i++)
        if (is_active(&v->queues[i]) && !v->queues[i].stopping) {
            v->queues[i].stopping = true;
            v->stopping++;
            stop(v, i);
        }
    if (!--v->stopping)
        finish_reset(v);
}

void virtio_queue_stopped(struct virtio *v, unsigned queue)
{
    struct virtqueue *q = &v->queues[queue];

    if (!q->stopping)
        return;
    q->stopping = false;
    virtqueue_reset(q);
    if (!--v->stopping && v->resetting)
        finish_reset(v);
}

void virtio_reset_queue(struct virtio *v, unsigned queue)
{
    struct virtqueue *q = queue < v->queue_count ? &v->queues[queue] : NULL;

    if (!q || !(v->features & VIRTIO_F_RING_RESET) || q->stopping || !is_active(q))
        return;
    q->stopping = true;
    v->stopping++;
    stop(v, queue);
}

bool virtio_queue_resetting(const struct virtio *v, unsigned queue)
{
    return queue < v->queue_count && v->queues[queue].stopping;
}

/* FEATURES_OK does not stay where the features are not good, which the driver reads back. */
void virtio_set_status(struct virtio *v, uint8_t status)
{
    uint8_t before = virtio_status(v), added;

    if (v->resetting)
        return;
    if (!status) {
        begin_reset(v);
        return;
    }
    added = status & (uint8_t)~before & (uint8_t)~VIRTIO_NEEDS_RESET;
    if (added & VIRTIO_FEATURES_OK && !features_ok(v))
        added &= (uint8_t)~VIRTIO_FEATURES_OK;
    if (!((before | added) & VIRTIO_FEATURES_OK))
        added &= (uint8_t)~VIRTIO_DRIVER_OK;
    atomic_fetch_or(&v->status, added);
    if (!(added & VIRTIO_DRIVER_OK))
        return;
    if (v->ops->start)
        v->ops->start(v);
    for (unsigned i = 0; v->path && i < v->queue_count; i++)
        virtio_path_kick(v->path, i);
}

/* ---- features ------------------------------------------------------------------------------- */

static uint32_t half(uint64_t bits, uint32_t select)
{
    return select < 2 ? (uint32_t)(bits >> 32 * select) : 0;
}

uint32_t virtio_offered(const struct virtio *v, uint32_t select)
{
    return half(v->offered, select);
}

uint32_t virtio_features(const struct virtio *v, uint32_t select)
{
    return half(v->features, select);
}

void virtio_set_features(struct virtio *v, uint32_t select, uint32_t bits)
{
    unsigned shift = 32 * (select & 1);

    if (select > 1 || v->resetting || virtio_status(v) & VIRTIO_FEATURES_OK)
        return;
    v->features = (v->features & ~(UINT64_C(0xffffffff) << shift)) | (uint64_t)bits << shift;
}

/* ---- queues --------------------------------------------------------------------------------- */

int virtio_enable_queue(struct virtio *v, unsigned queue, lunik_error *err)
{
    int rc;

    if (queue >= v->queue_count || v->resetting || !(virtio_status(v) & VIRTIO_FEATURES_OK))
        return lunik_fail(err, LUNIK_E_STATE, "queue %u can't be enabled: %s", queue,
                          queue >= v->queue_count ? "there is none"
                          : v->resetting          ? "the device is being reset"
                                                  : "features are not negotiated");
    rc = virtqueue_enable(&v->queues[queue], v->features, err);
    if (rc) {
        virtio_needs_reset(v);
        return rc;
    }
    if (virtio_running(v)) /* one that was reset by itself */
        kick(v, queue);
    return 0;
}

void virtio_notify(struct virtio *v, uint32_t data)
{
    unsigned queue = data & 0xffff;

    if (queue < v->queue_count && virtio_running(v) && v->queues[queue].enabled &&
        !v->queues[queue].stopping)
        kick(v, queue);
}

/* ---- configuration -------------------------------------------------------------------------- */

void virtio_config_changed(struct virtio *v)
{
    v->generation++;
    interrupt(v);
}

/* The part of an access that is inside of the configuration. */
static unsigned inside(const struct virtio *v, uint32_t offset, unsigned size)
{
    if (!v->config || offset >= v->config_size)
        return 0;
    return size < v->config_size - offset ? size : v->config_size - offset;
}

uint64_t virtio_read_config(const struct virtio *v, uint32_t offset, unsigned size)
{
    unsigned count = inside(v, offset, size);
    uint64_t value = 0;

    if (count)
        memcpy(&value, v->config + offset, count);
    return value;
}

void virtio_write_config(struct virtio *v, uint32_t offset, unsigned size, uint64_t value)
{
    unsigned count = inside(v, offset, size);

    if (!count || !v->ops->configured)
        return;
    memcpy(v->config + offset, &value, count);
    v->ops->configured(v, offset, count);
}

/* ---- state ---------------------------------------------------------------------------------- */

static int pre_save(void *state, lunik_error *err)
{
    const struct virtio *v = state;

    if (v->stopping)
        return lunik_fail(err, LUNIK_E_STATE, "%u queues are being reset", v->stopping);
    return 0;
}

static int post_load(void *staged, const void *state, uint16_t version, lunik_error *err)
{
    const struct virtio *v = staged, *now = state;

    (void)version;
    if (now->stopping)
        return lunik_fail(err, LUNIK_E_STATE, "%u queues are being reset", now->stopping);
    if (virtio_status(v) & VIRTIO_FEATURES_OK && v->features & ~now->offered)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "features 0x%" PRIx64 " are not those of this device, 0x%" PRIx64,
                          v->features, now->offered);
    return 0;
}

static const lunik_state_field state_fields[] = {
    LUNIK_STATE(struct virtio, features),
    LUNIK_STATE(struct virtio, status),
    LUNIK_STATE(struct virtio, generation),
    {0},
};

const lunik_state_table virtio_state = {
    .name = "virtio",
    .version = 1,
    .size = sizeof(struct virtio),
    .fields = state_fields,
    .pre_save = pre_save,
    .post_load = post_load,
};
