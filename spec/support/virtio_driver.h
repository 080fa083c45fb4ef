/*
 * virtio_driver.h: the driver's side of a queue and what the device must see, written from chapter
 * 2 of virtio 1.2 without a look at the queue. The including file provides chance().
 *
 * Each request has an id, a piece of memory for its data and one for an indirect table. Positions
 * in a packed ring and its events are counted in descriptors since the beginning; the wrap counter
 * is whether the count has gone round the ring an even number of times.
 */
#ifndef SPEC_VIRTIO_DRIVER_H
#define SPEC_VIRTIO_DRIVER_H

#include "virtio_rig.h"

enum { MODEL_SIZE_MAX = 64, MODEL_BUFFERS = 6, MODEL_DATA = 0x400 };
enum { MODEL_AT = 0x24000, MODEL_STRIDE = MODEL_DATA + 0x80 }; /* across two blocks */
enum { F_NEXT = 1, F_WRITE = 2, F_INDIRECT = 4, F_AVAIL = 0x80, F_USED = 0x8000 };

struct model_buffer {
    uint64_t address;
    uint32_t length;
    bool write;
    uint8_t fill; /* of the first byte; each next one is one more */
};

struct model_request {
    bool sent, taken, pushed;
    unsigned count, descriptors; /* buffers; of the ring */
    struct model_buffer buffers[MODEL_BUFFERS];
    uint32_t written;
    uint16_t heads[MODEL_BUFFERS]; /* split: its descriptors */
};

static struct {
    bool packed, event, indirect;
    unsigned size;
    uint64_t memory;           /* of all ids */
    unsigned sent, reaped;     /* split: requests; packed: descriptors */
    unsigned shown;            /* the device has shown so many in `used` */
    unsigned free;             /* descriptors */
    bool busy[MODEL_SIZE_MAX]; /* split */
    struct model_request requests[MODEL_SIZE_MAX];
    uint16_t order[2 * MODEL_SIZE_MAX]; /* ids as sent and not taken yet */
    unsigned order_first, order_count;
    uint16_t pushed[MODEL_SIZE_MAX]; /* ids as pushed and not reaped yet */
    unsigned pushed_first, pushed_count;
    unsigned unshown; /* of `pushed` */
} model;

/* ---- places --------------------------------------------------------------------------------- */

static inline uint64_t model_slot(unsigned position)
{
    return RING_AT + 16 * (position % model.size);
}

static inline bool model_wrap(unsigned position)
{
    return position / model.size % 2 == 0;
}

static inline uint64_t model_table(unsigned id)
{
    return model.memory + (uint64_t)id * MODEL_STRIDE;
}

static inline void model_begin(bool packed, bool event, bool indirect, unsigned size)
{
    memset(&model, 0, sizeof(model));
    model.packed = packed;
    model.event = event;
    model.indirect = indirect;
    model.size = model.free = size;
    model.memory = MODEL_AT + chance(0x1000);
    memset(rig_at(RING_AT), 0, 0x1000);
    memset(rig_at(DRIVER_AT), 0, 0x1000);
    memset(rig_at(DEVICE_AREA_AT), 0, 0x1000);
}

/* ---- sending -------------------------------------------------------------------------------- */

static inline uint16_t model_free_head(void)
{
    unsigned at = chance(model.size);

    while (model.busy[at])
        at = (at + 1) % model.size;
    model.busy[at] = true;
    return (uint16_t)at;
}

static inline void model_choose_buffers(struct model_request *r, unsigned id)
{
    uint64_t address = model_table(id) + MODEL_STRIDE - MODEL_DATA;
    bool write = chance(3) == 0;

    *r = (struct model_request){.sent = true, .count = 1 + chance(MODEL_BUFFERS)};
    for (unsigned i = 0; i < r->count; i++) {
        uint32_t length = 1 + chance(MODEL_DATA / MODEL_BUFFERS);

        write = write || chance(3) == 0;
        r->buffers[i] = (struct model_buffer){address, length, write, (uint8_t)chance(256)};
        for (uint32_t n = 0; n < length; n++) {
            uint8_t byte = (uint8_t)(r->buffers[i].fill + n);

            rig_put(address + n, &byte, 1);
        }
        address += length;
    }
}

/* Writes buffers from index `from` on into an indirect table; split tables are out of order. */
static inline void model_write_table(const struct model_request *r, unsigned id, unsigned from)
{
    unsigned count = r->count - from;

    for (unsigned i = 0; i < count; i++) {
        const struct model_buffer *b = &r->buffers[from + i];
        unsigned at = model.packed || !i ? i : count - i, next = count - i - 1;
        uint16_t flags = b->write ? F_WRITE : 0;

        if (model.packed)
            rig_descriptor(model_table(id) + 16 * i, b->address, b->length, 0, flags);
        else
            rig_descriptor(model_table(id) + 16 * at, b->address, b->length,
                           flags | (i + 1 < count ? F_NEXT : 0), (uint16_t)next);
    }
}

/* direct: how many buffers have a descriptor of their own; the others are in a table. */
static inline void model_send_split(struct model_request *r, unsigned id, unsigned direct)
{
    uint16_t at = (uint16_t)id;

    model.busy[id] = true;
    r->descriptors = direct + (direct < r->count);
    model.requests[id] = *r;
    r = &model.requests[id];
    for (unsigned i = 0; i < r->descriptors; i++) {
        bool last = i + 1 == r->descriptors, table = i == direct;
        uint16_t next = last ? (uint16_t)chance(65536) : model_free_head();
        const struct model_buffer *b = &r->buffers[table ? 0 : i];

        r->heads[i] = at;
        if (table)
            rig_descriptor(RING_AT + 16 * at, model_table(id), 16 * (r->count - direct), F_INDIRECT,
                           next);
        else
            rig_descriptor(RING_AT + 16 * at, b->address, b->length,
                           (b->write ? F_WRITE : 0) | (last ? 0 : F_NEXT), next);
        at = next;
    }
    if (direct < r->count)
        model_write_table(r, id, direct);
    *rig_word(DRIVER_AT + 4 + 2 * (model.sent % model.size)) = (uint16_t)id;
    model.sent++;
    atomic_store(rig_word(DRIVER_AT + 2), (uint16_t)model.sent);
}

static inline uint16_t model_packed_flags(unsigned position)
{
    return model_wrap(position) ? F_AVAIL : F_USED;
}

/* The first descriptor's flags are written last. */
static inline void model_send_packed(struct model_request *r, unsigned id, unsigned direct)
{
    uint16_t first = 0;

    r->descriptors = direct ? direct : 1;
    model.requests[id] = *r;
    r = &model.requests[id];
    for (unsigned i = 0; i < r->descriptors; i++) {
        const struct model_buffer *b = &r->buffers[i];
        uint16_t flags = model_packed_flags(model.sent + i) |
                         (i + 1 < r->descriptors ? F_NEXT : 0) |
                         (!direct    ? F_INDIRECT
                          : b->write ? F_WRITE
                                     : 0);
        uint64_t at = model_slot(model.sent + i);

        first = i ? first : flags;
        rig_descriptor(at, direct ? b->address : model_table(id),
                       direct ? b->length : 16 * r->count,
                       i + 1 < r->descriptors ? (uint16_t)chance(65536) : (uint16_t)id,
                       i ? flags : *rig_word(at + 14));
    }
    if (!direct)
        model_write_table(r, id, 0);
    atomic_store(rig_word(model_slot(model.sent) + 14), first);
    model.sent += r->descriptors;
}

/* Returns an id that is free, in a split ring a descriptor, or -1. */
static inline int model_free_id(void)
{
    unsigned first = chance(model.size);

    for (unsigned i = first; i < first + model.size; i++)
        if (model.packed ? !model.requests[i % model.size].sent : !model.busy[i % model.size])
            return (int)(i % model.size);
    return -1;
}

/* Whether the device has asked for a notification of anything from the position `old` on. */
static inline bool model_must_kick(unsigned old)
{
    uint16_t flags, at;

    if (!model.packed && !model.event)
        return !(*rig_word(DEVICE_AREA_AT) & 1);
    if (!model.packed) {
        at = *rig_word(DEVICE_AREA_AT + 4 + 8 * model.size);
        for (; old != model.sent; old++)
            if ((uint16_t)old == at)
                return true;
        return false;
    }
    flags = *rig_word(DEVICE_AREA_AT + 2);
    if (flags != 2)
        return flags == 0;
    at = *rig_word(DEVICE_AREA_AT);
    for (; old != model.sent; old++)
        if ((at & 0x7fff) == old % model.size && at >> 15 == model_wrap(old))
            return true;
    return false;
}

/* Returns false if there is no room. *kick: the device wants a notification. */
static inline bool model_send(bool *kick)
{
    struct model_request r;
    unsigned old = model.sent, direct;
    int id = model_free_id();

    if (!model.free || id < 0)
        return false;
    model_choose_buffers(&r, (unsigned)id);
    direct = r.count;
    if (model.indirect && chance(2))
        direct = model.packed ? 0 : chance(r.count);
    if (direct + (direct < r.count) > model.free)
        return false;
    if (model.packed)
        model_send_packed(&r, (unsigned)id, direct);
    else
        model_send_split(&r, (unsigned)id, direct);
    model.free -= model.requests[id].descriptors;
    model.order[(model.order_first + model.order_count++) % model.size] = (uint16_t)id;
    *kick = model_must_kick(old);
    return true;
}

/* ---- what the device must see --------------------------------------------------------------- */

static inline bool model_piece(const struct iovec *iov, unsigned count, unsigned *at,
                               const struct model_buffer *b)
{
    uint64_t address = b->address, left = b->length, here;

    while (left) {
        uint8_t *host = rig_host(address, &here);

        here = here < left ? here : left;
        if (*at >= count || iov[*at].iov_base != host || iov[*at].iov_len != here)
            return false;
        ++*at;
        address += here;
        left -= here;
    }
    return true;
}

/* Whether r is the request that was sent with that id. */
static inline bool model_is(const struct virtqueue_request *r, unsigned id)
{
    const struct model_request *want = &model.requests[id];
    uint64_t out = 0, in = 0;
    unsigned at = 0;

    if (r->id != id)
        return false;
    for (unsigned i = 0; i < want->count; i++) {
        const struct model_buffer *b = &want->buffers[i];

        *(b->write ? &in : &out) += b->length;
        if (!model_piece(r->iov, b->write ? (unsigned)r->out + r->in : r->out, &at, b))
            return false;
    }
    return at == (unsigned)r->out + r->in && out == r->out_size && in == r->in_size;
}

/* Whether r is the request that was sent first and not taken yet, which it now is. */
static inline bool model_take(const struct virtqueue_request *r)
{
    unsigned id = model.order[model.order_first % model.size];

    if (!model.order_count || !model_is(r, id))
        return false;
    model.order_first++;
    model.order_count--;
    model.requests[id].taken = true;
    return true;
}

/* The device has put back what it took last. */
static inline void model_untake(const struct virtqueue_request *r)
{
    model.order_first = (model.order_first + model.size - 1) % model.size;
    model.order_count++;
    model.order[model.order_first] = r->id;
    model.requests[r->id].taken = false;
}

static inline void model_push(unsigned id, uint32_t written)
{
    model.requests[id].written = written;
    model.pushed[(model.pushed_first + model.pushed_count++) % model.size] = (uint16_t)id;
    model.unshown++;
}

/* Whether the driver wants an interrupt for the entries that a flush shows. */
static inline bool model_wants_interrupt(void)
{
    unsigned shown = 0, position = model.shown, old = position;
    uint16_t event, flags;

    for (unsigned i = model.pushed_count - model.unshown; i < model.pushed_count; i++) {
        unsigned id = model.pushed[(model.pushed_first + i) % model.size];

        position += model.packed ? model.requests[id].descriptors : 1;
        shown++;
    }
    model.shown = position;
    model.unshown = 0;
    if (!shown)
        return false;
    flags = *rig_word(DRIVER_AT + (model.packed ? 2 : 0));
    if (model.packed ? flags != 2 : !model.event)
        return model.packed ? flags == 0 : !(flags & 1);
    event = *rig_word(model.packed ? DRIVER_AT : DRIVER_AT + 4 + 2 * model.size);
    for (; old != position; old++)
        if (model.packed ? (event & 0x7fff) == old % model.size && event >> 15 == model_wrap(old)
                         : event == (uint16_t)old)
            return true;
    return false;
}

/* ---- reaping -------------------------------------------------------------------------------- */

/* Chooses which entries the driver wants an interrupt for. */
static inline void model_choose_interrupts(void)
{
    unsigned ahead = model.reaped + chance(model.size);

    if (model.packed && model.event && chance(3)) {
        *rig_word(DRIVER_AT) = (uint16_t)(model_wrap(ahead) << 15 | ahead % model.size);
        *rig_word(DRIVER_AT + 2) = 2;
    } else if (model.packed) {
        *rig_word(DRIVER_AT + 2) = (uint16_t)chance(2);
    } else if (model.event) {
        *rig_word(DRIVER_AT + 4 + 2 * model.size) = (uint16_t)ahead;
    } else {
        *rig_word(DRIVER_AT) = (uint16_t)chance(2);
    }
}

static inline bool model_has_used(unsigned *id, uint32_t *written)
{
    uint64_t at = model_slot(model.reaped);

    if (model.packed) {
        uint16_t flags = atomic_load(rig_word(at + 14));
        bool wrap = model_wrap(model.reaped);

        if (!!(flags & F_AVAIL) != wrap || !!(flags & F_USED) != wrap)
            return false;
        *id = *rig_word(at + 12);
        *written = flags & F_WRITE ? *(uint32_t *)rig_at(at + 8) : 0;
        return true;
    }
    at = DEVICE_AREA_AT + 4 + 8 * (model.reaped % model.size);
    if (atomic_load(rig_word(DEVICE_AREA_AT + 2)) == (uint16_t)model.reaped)
        return false;
    *id = *(uint32_t *)rig_at(at);
    *written = *(uint32_t *)rig_at(at + 4);
    return true;
}

/* The device writes 0xd0 + id. What it has not written is as before. */
static inline bool model_data_holds(unsigned id)
{
    const struct model_request *r = &model.requests[id];
    uint32_t written = r->written;
    bool ok = true;

    for (unsigned i = 0; i < r->count; i++)
        for (uint32_t n = 0; n < r->buffers[i].length; n++) {
            bool by_device = r->buffers[i].write && written;

            written -= by_device;
            ok = ok && *(uint8_t *)rig_at(r->buffers[i].address + n) ==
                           (uint8_t)(by_device ? 0xd0 + id : r->buffers[i].fill + n);
        }
    return ok;
}

/* Takes one used entry, if there is one: *found. Returns false if it is not what it must be. */
static inline bool model_reap(bool *found)
{
    unsigned id, want = model.pushed[model.pushed_first % model.size];
    uint32_t written;
    struct model_request *r = &model.requests[want];

    *found = model_has_used(&id, &written);
    if (!*found)
        return model.pushed_count == model.unshown;
    if (model.pushed_count == model.unshown || id != want || written != r->written ||
        !model_data_holds(id))
        return false;
    model.pushed_first++;
    model.pushed_count--;
    model.reaped += model.packed ? r->descriptors : 1;
    model.free += r->descriptors;
    for (unsigned i = 0; i < r->descriptors && !model.packed; i++)
        model.busy[r->heads[i]] = false;
    r->sent = false;
    return true;
}

#endif
