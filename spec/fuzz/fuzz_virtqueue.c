/*
 * fuzz_virtqueue.c: a virtio queue whose driver writes what it likes into rings, tables and events,
 * between the operations of a device: what is taken is within guest memory and the limits, and
 * nothing is left after a reset. With a first byte of 128 or more an obedient driver instead, and
 * the queue against its model. -max_len=512 -runs=3000
 */
#include "fuzz.h"

static unsigned chance(unsigned n)
{
    return fuzz_below(n);
}

#include "virtio_oracle.h"

enum { STEPS_MAX = 200, SEGMENTS = 2 * MODEL_BUFFERS };

static struct {
    struct virtqueue_request *items[MODEL_SIZE_MAX];
    unsigned count;
} held;

/* ---- the driver ----------------------------------------------------------------------------- */

static uint64_t choose_address(void)
{
    static const uint64_t places[] = {RING_AT,        DRIVER_AT, DEVICE_AREA_AT, MODEL_AT,
                                      LOW_SIZE - 8,   RAM_END,   ROM_AT,         DEVICE_AT,
                                      RAM_END - 0x20, 0};
    unsigned which = fuzz_below(sizeof(places) / sizeof(*places) + 1);

    if (which == sizeof(places) / sizeof(*places))
        return fuzz_hostile();
    return places[which] + fuzz_byte();
}

static uint32_t choose_length(void)
{
    return fuzz_byte() & 3 ? 16u * fuzz_below(8) : (uint32_t)fuzz_hostile();
}

/* The next descriptor, mostly a good one, in the ring or where tables are. */
static void write_descriptor(void)
{
    uint64_t base = fuzz_byte() & 1 ? RING_AT : MODEL_AT;
    uint16_t flags = fuzz_byte() & 7, last = (uint16_t)fuzz_below(queue.size + 1u);
    uint64_t at = base + 16u * fuzz_below(queue.size);

    if (queue.packed)
        rig_descriptor(at, choose_address(), choose_length(), last,
                       flags | (fuzz_byte() & 1 ? F_AVAIL : F_USED));
    else
        rig_descriptor(at, choose_address(), choose_length(), flags, last);
}

static void write_index(void)
{
    uint16_t at = *rig_word(DRIVER_AT + 2), by = fuzz_below(4);

    *rig_word(DRIVER_AT + 4 + 2 * (at % MODEL_SIZE_MAX)) = (uint16_t)fuzz_below(queue.size + 1u);
    *rig_word(DRIVER_AT + 2) = by == 3 ? (uint16_t)fuzz_hostile() : at + by;
}

static void write_anything(void)
{
    static const uint64_t places[] = {RING_AT, DRIVER_AT, DEVICE_AREA_AT, MODEL_AT};
    uint64_t value = fuzz_hostile();

    rig_put(places[fuzz_below(4)] + fuzz_number(2) % 0x400, &value, 1 + fuzz_below(8));
}

/* ---- the device ----------------------------------------------------------------------------- */

static bool in_ram(const struct iovec *piece, bool write)
{
    lunik_ram *const blocks[] = {low_ram, high_ram, rom};

    for (unsigned i = 0; i < (write ? 2 : 3); i++) {
        const char *host = lunik_ram_host(blocks[i]), *at = piece->iov_base;

        if (at >= host && at < host + lunik_ram_size(blocks[i]))
            return piece->iov_len <= lunik_ram_size(blocks[i]) - (size_t)(at - host);
    }
    return false;
}

static void check_request(const struct virtqueue_request *r)
{
    uint64_t out = 0, in = 0;

    fuzz_check(r->out + r->in >= 1 && r->out + r->in <= SEGMENTS, "%u and %u pieces", r->out,
               r->in);
    for (unsigned i = 0; i < (unsigned)r->out + r->in; i++) {
        fuzz_check(r->iov[i].iov_len && in_ram(&r->iov[i], i >= r->out), "piece %u", i);
        *(i < r->out ? &out : &in) += r->iov[i].iov_len;
    }
    fuzz_check(out == r->out_size && in == r->in_size, "%" PRIu64 " and %" PRIu64 " bytes", out,
               in);
    if (r->in)
        memset(r->iov[r->out].iov_base, fuzz_byte(), r->iov[r->out].iov_len % 64);
}

static void pop(void)
{
    unsigned room = MODEL_SIZE_MAX - held.count;
    unsigned count = virtqueue_pop(&queue, held.items + held.count, fuzz_below(room + 1));

    fuzz_check(count <= room, "%u taken of %u", count, room);
    for (unsigned i = 0; i < count; i++)
        check_request(held.items[held.count++]);
    if (count && fuzz_byte() & 1)
        virtqueue_unpop(&queue, held.items[--held.count]);
}

static void push(void)
{
    unsigned at = held.count ? fuzz_below(held.count) : 0;

    if (!held.count)
        return;
    virtqueue_push(&queue, held.items[at], (uint32_t)fuzz_hostile());
    held.items[at] = held.items[--held.count];
}

static void restart(void)
{
    lunik_error error = {0};
    uint64_t features = (uint64_t)(fuzz_byte() & 0x53) << 28;

    virtqueue_reset(&queue);
    while (held.count)
        virtqueue_push(&queue, held.items[--held.count], 1);
    fuzz_check(!virtqueue_flush(&queue), "an interrupt after a reset");
    fuzz_check(!queue.in_flight && !queue.held && !virtqueue_broken(&queue), "something is left");
    rig_place((uint16_t)fuzz_below(MODEL_SIZE_MAX + 2));
    if (fuzz_byte() == 255)
        queue.descriptors = fuzz_hostile();
    if (virtqueue_enable(&queue, features, &error)) {
        rig_place(8);
        fuzz_must(virtqueue_enable(&queue, features, &error), error);
    }
}

static void change_gate(void)
{
    if (lunik_dma_enabled(dma))
        lunik_dma_disable(dma, NULL);
    else
        lunik_dma_enable(dma);
}

static void operate(void)
{
    switch (fuzz_byte() % 16) {
    case 0:
    case 1:
    case 2:
    case 3:
        write_descriptor();
        break;
    case 4:
    case 5:
        write_index();
        break;
    case 6:
        write_anything();
        break;
    case 7:
    case 8:
    case 9:
        pop();
        break;
    case 10:
    case 11:
        push();
        break;
    case 12:
        virtqueue_flush(&queue);
        break;
    case 13:
        if (fuzz_byte() & 1)
            virtqueue_quiet(&queue);
        else
            virtqueue_listen(&queue);
        break;
    case 14:
        if (fuzz_byte() & 1)
            change_gate();
        else
            oracle_change_map();
        break;
    default:
        if (virtqueue_broken(&queue) || fuzz_byte() < 16)
            restart();
    }
}

static void run_model(unsigned kind)
{
    bool packed = kind & 1;

    oracle_begin(packed, kind & 2, kind & 4,
                 packed ? 1 + fuzz_below(MODEL_SIZE_MAX) : 1u << fuzz_below(7));
    for (unsigned i = 0; i < STEPS_MAX && fuzz_more(); i++)
        fuzz_check(oracle_step(), "%s, %s", oracle.wrong,
                   virtqueue_broken(&queue) ? virtqueue_broken(&queue) : "not broken");
    fuzz_check(oracle_end(), "%s", oracle.wrong);
}

static void open_once(void)
{
    if (queue.pool)
        return;
    new_runtime();
    rig_open();
    must("queue", virtqueue_init(&queue, dma, MODEL_SIZE_MAX, SEGMENTS, &err));
    must("notes", virtqueue_note_buffers(&queue, &err));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned kind;

    open_once();
    fuzz_begin(data, size);
    lunik_dma_enable(dma);
    memset(rig_at(0), 0, LOW_SIZE);
    kind = fuzz_byte();
    if (kind >= 128) {
        run_model(kind);
    } else {
        restart();
        for (unsigned i = 0; i < STEPS_MAX && fuzz_more(); i++)
            operate();
    }
    fuzz_begin(NULL, 0);
    if (oracle.other)
        oracle_toggle_map();
    restart();
    fuzz_settle(rt);
    return 0;
}
