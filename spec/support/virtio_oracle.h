/*
 * virtio_oracle.h: random operations of a driver and a device on one queue, each compared with the
 * driver's model. The including file provides chance().
 */
#ifndef SPEC_VIRTIO_ORACLE_H
#define SPEC_VIRTIO_ORACLE_H

#include "virtio_driver.h"

static struct {
    struct virtqueue_request *held[MODEL_SIZE_MAX];
    unsigned count;
    uint16_t kept[MODEL_SIZE_MAX]; /* ids of requests that the queue keeps */
    unsigned kept_count;
    bool listening, quiet; /* what the device has asked for last */
    bool ending;
    lunik_region *other; /* RAM shown somewhere else as well, or NULL */
    const char *wrong;
} oracle;

static inline bool oracle_say(const char *wrong)
{
    oracle.wrong = wrong;
    return false;
}

static inline bool oracle_begin(bool packed, bool event, bool indirect, unsigned size)
{
    memset(&oracle, 0, sizeof(oracle));
    model_begin(packed, event, indirect, size);
    virtqueue_reset(&queue);
    rig_place((uint16_t)size);
    must("enable", virtqueue_enable(&queue,
                                    VIRTIO_F_VERSION_1 | (packed ? VIRTIO_F_RING_PACKED : 0) |
                                        (event ? VIRTIO_F_EVENT_IDX : 0) |
                                        (indirect ? VIRTIO_F_INDIRECT_DESC : 0),
                                    &err));
    return true;
}

static inline bool oracle_send(void)
{
    bool kick = false;

    if (!model_send(&kick))
        return true;
    if (oracle.listening && !kick)
        return oracle_say("the driver does not see that the device waits");
    if (oracle.quiet && kick)
        return oracle_say("the driver notifies a device that is serving the queue");
    oracle.listening = false;
    return true;
}

static inline bool oracle_keep(void)
{
    unsigned at = oracle.count ? chance(oracle.count) : 0;

    if (!oracle.count || chance(3))
        return true;
    oracle.kept[oracle.kept_count++] = oracle.held[at]->id;
    if (!virtqueue_keep(&queue, oracle.held[at]))
        return oracle_say("a request can't be kept");
    oracle.held[at] = oracle.held[--oracle.count];
    return true;
}

/* What is kept comes before all others. */
static inline bool oracle_pop_kept(void)
{
    struct virtqueue_request *taken[MODEL_SIZE_MAX];
    unsigned max = 1 + chance(MODEL_SIZE_MAX), count = virtqueue_pop(&queue, taken, max);

    if (count != (oracle.kept_count < max ? oracle.kept_count : max))
        return oracle_say("not all requests are taken again");
    for (unsigned i = 0; i < count; i++) {
        if (!model_is(taken[i], oracle.kept[i]))
            return oracle_say("a request is not what was kept");
        oracle.held[oracle.count++] = taken[i];
    }
    oracle.kept_count -= count;
    memmove(oracle.kept, oracle.kept + count, oracle.kept_count * sizeof(*oracle.kept));
    return true;
}

static inline bool oracle_pop(void)
{
    struct virtqueue_request *taken[MODEL_SIZE_MAX];
    unsigned max = 1 + chance(MODEL_SIZE_MAX), waiting = model.order_count;
    unsigned count;

    if (oracle.kept_count)
        return oracle_pop_kept();
    count = virtqueue_pop(&queue, taken, max);
    if (count != (waiting < max ? waiting : max))
        return oracle_say("not all requests are taken");
    for (unsigned i = 0; i < count; i++) {
        if (!model_take(taken[i]))
            return oracle_say("a request is not what was sent");
        oracle.held[oracle.count++] = taken[i];
    }
    oracle.listening = oracle.listening && !count;
    if (count && !oracle.ending && chance(8) == 0) {
        model_untake(taken[count - 1]);
        virtqueue_unpop(&queue, taken[count - 1]);
        oracle.count--;
        oracle.listening = false;
    }
    return true;
}

static inline void oracle_write(const struct virtqueue_request *r, uint32_t size, uint8_t value)
{
    for (unsigned i = r->out; size; i++) {
        uint32_t here = r->iov[i].iov_len < size ? (uint32_t)r->iov[i].iov_len : size;

        memset(r->iov[i].iov_base, value, here);
        size -= here;
    }
}

static inline bool oracle_push(void)
{
    unsigned at = oracle.count ? chance(oracle.count) : 0;
    struct virtqueue_request *r = oracle.held[at];
    uint32_t written;

    if (!oracle.count)
        return true;
    written = r->in_size && chance(4) ? chance((unsigned)r->in_size + 1) : 0;
    oracle_write(r, written, (uint8_t)(0xd0 + r->id));
    model_push(r->id, written);
    virtqueue_push(&queue, r, written);
    oracle.held[at] = oracle.held[--oracle.count];
    return true;
}

static inline bool oracle_flush(void)
{
    bool want = model_wants_interrupt();

    if (virtqueue_flush(&queue) != want)
        return oracle_say(want ? "the driver gets no interrupt" : "the driver gets an interrupt");
    return true;
}

static inline bool oracle_listen(void)
{
    bool more = virtqueue_listen(&queue);

    oracle.quiet = false;
    oracle.listening = !more;
    return more == (model.order_count > 0) || oracle_say("listening misses requests");
}

static inline bool oracle_quiet(void)
{
    virtqueue_quiet(&queue);
    oracle.listening = false;
    oracle.quiet = model.packed || !model.event;
    return true;
}

static inline bool oracle_reap(void)
{
    bool found = true;

    while (found)
        if (!model_reap(&found))
            return oracle_say("a used entry is not what was pushed");
    return true;
}

static inline void oracle_toggle_map(void)
{
    if (oracle.other)
        drop(oracle.other);
    oracle.other = oracle.other ? NULL : show_ram("other", high_ram, 0, 0x1000, 0x100000, 0);
}

/* The same memory, with another number of the view. */
static inline bool oracle_change_map(void)
{
    oracle_toggle_map();
    if (chance(2))
        virtqueue_refresh(&queue);
    return true;
}

/* Carries out one operation; false: oracle.wrong says what is not as it must be. */
static inline bool oracle_step(void)
{
    static bool (*const operations[])(void) = {
        oracle_send, oracle_send,   oracle_send, oracle_pop,   oracle_pop,
        oracle_push, oracle_push,   oracle_push, oracle_flush, oracle_flush,
        oracle_reap, oracle_listen, oracle_send, oracle_quiet, oracle_keep};
    unsigned which = chance(sizeof(operations) / sizeof(*operations) + 2);

    if (which < sizeof(operations) / sizeof(*operations))
        return operations[which]();
    if (chance(4))
        model_choose_interrupts();
    else
        return oracle_change_map();
    return true;
}

/* Completes everything; true if both sides then agree that nothing is left. */
static inline bool oracle_end(void)
{
    oracle.ending = true;
    if (oracle.other)
        oracle_toggle_map();
    while (model.order_count || oracle.kept_count)
        if (!oracle_pop())
            return false;
    while (oracle.count)
        oracle_push();
    if (!oracle_flush() || !oracle_listen() || !oracle_reap())
        return false;
    if (model.free != model.size || queue.in_flight || queue.held || virtqueue_broken(&queue))
        return oracle_say(virtqueue_broken(&queue) ? virtqueue_broken(&queue)
                                                   : "something is left in flight");
    return true;
}

#endif
