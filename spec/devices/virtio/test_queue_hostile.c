/* test_queue_hostile.c: drivers that break the rules: the queue has a reason, and goes on working
 * after a reset. */
#include <unistd.h>

#include "virtio_rig.h"

enum { SIZE = 8, SEGMENTS = 4, TABLE_AT = 0x10000, DATA_AT = 0x12000 };
enum { NEXT = 1, WRITE = 2, INDIRECT = 4, AVAIL = 0x80, USED = 0x8000 };

/* ---- rings ---------------------------------------------------------------------------------- */

static void split(uint16_t at, uint64_t address, uint32_t length, uint16_t flags, uint16_t next)
{
    rig_descriptor(RING_AT + 16u * at, address, length, flags, next);
}

static void packed(uint16_t at, uint64_t address, uint32_t length, uint16_t flags)
{
    rig_descriptor(RING_AT + 16u * at, address, length, at, flags | AVAIL);
}

static void inner(unsigned at, uint64_t address, uint32_t length, uint16_t first, uint16_t second)
{
    rig_descriptor(TABLE_AT + 16u * at, address, length, first, second);
}

static void offer(uint16_t head)
{
    _Atomic uint16_t *index = rig_word(DRIVER_AT + 2);

    *rig_word(DRIVER_AT + 4 + 2 * (*index % SIZE)) = head;
    ++*index;
}

/* ---- split ---------------------------------------------------------------------------------- */

static void head_outside(void)
{
    offer(SIZE);
}

static void next_outside(void)
{
    split(0, DATA_AT, 1, NEXT, SIZE);
    offer(0);
}

static void chain_loops(void)
{
    split(0, DATA_AT, 1, NEXT, 1);
    split(1, DATA_AT, 1, NEXT, 0);
    offer(0);
}

/* Longer than the ring before it has too many pieces. */
static void long_loop(void)
{
    queue.segments = SIZE + 1;
    chain_loops();
}

static void index_jumps(void)
{
    *rig_word(DRIVER_AT + 2) = SIZE + 1;
}

static void index_goes_back(void)
{
    *rig_word(DRIVER_AT + 2) = UINT16_MAX;
}

static void head_twice(void)
{
    split(0, DATA_AT, 1, 0, 0);
    offer(0);
    offer(0);
}

static void in_the_hole(void)
{
    split(0, RAM_END, 1, 0, 0);
    offer(0);
}

static void into_the_hole(void)
{
    split(0, RAM_END - 1, 2, 0, 0);
    offer(0);
}

static void past_the_end(void)
{
    split(0, UINT64_MAX, 2, 0, 0);
    offer(0);
}

static void in_a_device(void)
{
    split(0, DEVICE_AT, 4, 0, 0);
    offer(0);
}

static void writes_rom(void)
{
    split(0, ROM_AT, 4, WRITE, 0);
    offer(0);
}

static void no_bytes(void)
{
    split(0, DATA_AT, 0, 0, 0);
    offer(0);
}

static void reads_after_writes(void)
{
    split(0, DATA_AT, 1, WRITE | NEXT, 1);
    split(1, DATA_AT, 1, 0, 0);
    offer(0);
}

static void many_pieces(void)
{
    for (uint16_t i = 0; i <= SEGMENTS; i++)
        split(i, DATA_AT, 1, NEXT, i + 1);
    offer(0);
}

static void not_negotiated(void)
{
    queue.indirect = false;
    split(0, TABLE_AT, 16, INDIRECT, 0);
    offer(0);
}

static void empty_table(void)
{
    split(0, TABLE_AT, 0, INDIRECT, 0);
    offer(0);
}

static void odd_table(void)
{
    split(0, TABLE_AT, 24, INDIRECT, 0);
    offer(0);
}

static void table_and_next(void)
{
    split(0, TABLE_AT, 16, INDIRECT | NEXT, 1);
    offer(0);
}

static void table_in_table(void)
{
    split(0, TABLE_AT, 32, INDIRECT, 0);
    inner(0, TABLE_AT, 32, INDIRECT, 0);
    offer(0);
}

static void table_loops(void)
{
    split(0, TABLE_AT, 32, INDIRECT, 0);
    inner(0, DATA_AT, 1, NEXT, 1);
    inner(1, DATA_AT, 1, NEXT, 0);
    offer(0);
}

static void next_outside_table(void)
{
    split(0, TABLE_AT, 32, INDIRECT, 0);
    inner(0, DATA_AT, 1, NEXT, 2);
    offer(0);
}

static void table_in_the_hole(void)
{
    split(0, RAM_END - 8, 32, INDIRECT, 0);
    offer(0);
}

static void table_past_the_end(void)
{
    split(0, UINT64_MAX - 15, 32, INDIRECT, 0);
    offer(0);
}

static void table_in_a_device(void)
{
    split(0, DEVICE_AT, 16, INDIRECT, 0);
    offer(0);
}

static void ring_in_the_hole(void)
{
    queue.descriptors = RAM_END;
}

static void ring_in_two_blocks(void)
{
    queue.descriptors = LOW_SIZE - 16;
}

static void used_ring_in_rom(void)
{
    queue.device_area = ROM_AT;
}

static void used_ring_in_a_device(void)
{
    queue.device_area = DEVICE_AT;
}

/* ---- packed --------------------------------------------------------------------------------- */

static void packed_endless(void)
{
    queue.segments = SIZE + 1;
    for (uint16_t i = 0; i < SIZE; i++)
        packed(i, DATA_AT, 1, NEXT);
}

/* The driver has the ring go round while the device holds its descriptors. */
static void packed_overtakes(void)
{
    struct virtqueue_request *r[SIZE];

    for (uint16_t i = 0; i < SIZE; i++)
        packed(i, DATA_AT, 1, 0);
    check_uint("all are taken", virtqueue_pop(&queue, r, SIZE), SIZE);
    for (uint16_t i = 0; i < SIZE; i++)
        rig_descriptor(RING_AT + 16u * i, DATA_AT, 1, 0, USED);
}

static void packed_hole(void)
{
    packed(0, RAM_END, 1, WRITE);
}

static void packed_table_in_chain(void)
{
    packed(0, DATA_AT, 1, NEXT);
    packed(1, TABLE_AT, 16, INDIRECT);
}

static void packed_table_and_next(void)
{
    packed(0, TABLE_AT, 16, INDIRECT | NEXT);
}

static void packed_empty_table(void)
{
    packed(0, TABLE_AT, 0, INDIRECT);
}

static void packed_table_in_table(void)
{
    packed(0, TABLE_AT, 16, INDIRECT);
    inner(0, TABLE_AT, 16, 0, INDIRECT);
}

static void packed_many_pieces(void)
{
    packed(0, TABLE_AT, 16 * (SEGMENTS + 1), INDIRECT);
    for (unsigned i = 0; i <= SEGMENTS; i++)
        inner(i, DATA_AT, 1, 0, 0);
}

static void packed_ring_in_rom(void)
{
    queue.descriptors = ROM_AT;
}

static void packed_event_in_the_hole(void)
{
    queue.driver_area = RAM_END;
}

static const struct {
    const char *name;
    void (*set_up)(void);
    const char *reason;
} split_cases[] =
    {
        {"a head outside", head_outside, "descriptor 8 is outside of a table of 8"},
        {"a next one outside", next_outside, "descriptor 8 is outside of a table of 8"},
        {"a loop", chain_loops, "a request has more than 4 pieces"},
        {"a long loop", long_loop, "a chain of descriptors has no end"},
        {"an index that jumps", index_jumps, "the driver's index goes from 0 to 9 in a queue of 8"},
        {"an index that goes back", index_goes_back, "the driver's index goes from 0 to 65535"},
        {"a head twice", head_twice, "descriptor 0 is made available while it is in use"},
        {"a buffer in the hole", in_the_hole, "the buffer at 0x40000 is not in RAM"},
        {"a buffer into the hole", into_the_hole, "the buffer at 0x40000 is not in RAM"},
        {"a buffer past the end", past_the_end, "0xffffffffffffffff of 2 bytes goes past 2^64"},
        {"a buffer in a device", in_a_device, "the buffer at 0x90000 is not in RAM"},
        {"a buffer to write in ROM", writes_rom, "the buffer at 0x80000 is not in writable RAM"},
        {"a buffer of no bytes", no_bytes, "the buffer at 0x12000 has no bytes"},
        {"a buffer to read behind", reads_after_writes, "to be read follows one to be written"},
        {"many pieces", many_pieces, "a request has more than 4 pieces"},
        {"a table not negotiated", not_negotiated, "without VIRTIO_F_INDIRECT_DESC"},
        {"an empty table", empty_table, "an indirect table has 0 bytes, not a multiple of 16"},
        {"half an entry", odd_table, "an indirect table has 24 bytes"},
        {"a table with a next one", table_and_next,
         "a descriptor of an indirect table has a next one"},
        {"a table in a table", table_in_table, "an indirect table refers to an indirect table"},
        {"a loop in a table", table_loops, "a chain of descriptors has no end"},
        {"a next one outside of its table", next_outside_table,
         "descriptor 2 is outside of a table of 2"},
        {"a table in the hole", table_in_the_hole, "the indirect table at 0x3fff8 is not in RAM"},
        {"a table past the end", table_past_the_end, "goes past 2^64"},
        {"a table in a device", table_in_a_device, "the indirect table at 0x90000 is not in RAM"},
        {"a ring in the hole", ring_in_the_hole,
         "the descriptor area at 0x40000 is not in one piece of RAM"},
        {"a ring in two blocks", ring_in_two_blocks,
         "the descriptor area at 0x2bff0 is not in one piece of RAM"},
        {"a used ring in ROM", used_ring_in_rom,
         "the device area at 0x80000 is not in one piece of writable RAM"},
        {"a used ring in a device", used_ring_in_a_device, "the device area at 0x90000 is not"},
        {0},
},
  packed_cases[] = {
      {"packed: no end", packed_endless, "a chain has more descriptors than the driver owns"},
      {"packed: overtaking", packed_overtakes, "more than 8 requests are available at once"},
      {"packed: a buffer in the hole", packed_hole, "is not in writable RAM"},
      {"packed: a table in a chain", packed_table_in_chain, "is part of a chain"},
      {"packed: a table and a next one", packed_table_and_next, "is part of a chain"},
      {"packed: an empty table", packed_empty_table, "an indirect table has 0 bytes"},
      {"packed: a table in a table", packed_table_in_table,
       "an indirect table refers to an indirect table"},
      {"packed: many pieces", packed_many_pieces, "a request has more than 4 pieces"},
      {"packed: a ring in ROM", packed_ring_in_rom, "is not in one piece of writable RAM"},
      {"packed: an event in the hole", packed_event_in_the_hole, "the driver area at 0x40000"},
      {0},
};

/* ---- running them --------------------------------------------------------------------------- */

static uint64_t features;

static void start(void)
{
    memset(rig_at(0), 0, TABLE_AT);
    virtqueue_reset(&queue);
    queue.segments = SEGMENTS;
    rig_place(SIZE);
    must("enable", virtqueue_enable(&queue, features, &err));
}

/* Takes what there is, and gives it back. */
static void take_all(void)
{
    struct virtqueue_request *r[4 * SIZE];
    unsigned count = virtqueue_pop(&queue, r, 4 * SIZE);

    check_uint("then nothing is taken", virtqueue_pop(&queue, r + count, SIZE), 0);
    for (unsigned i = 0; i < count; i++)
        virtqueue_push(&queue, r[i], 0);
    check_true("nor shown", !virtqueue_flush(&queue));
    check_true("nor asked for", !virtqueue_listen(&queue));
    virtqueue_quiet(&queue);
}

/* Requests that were taken before are lost for the test, not for the queue. */
static void give_back_all(void)
{
    for (unsigned i = 0; i < SIZE; i++)
        if (queue.pool[i].map)
            virtqueue_push(&queue, &queue.pool[i], 0);
    virtqueue_flush(&queue);
}

static void check_works(void)
{
    struct virtqueue_request *r;

    start();
    if (queue.packed) {
        packed(0, DATA_AT, 1, 0);
    } else {
        split(0, DATA_AT, 1, 0, 0);
        offer(0);
    }
    check_uint("after a reset it works", virtqueue_pop(&queue, &r, 1), 1);
    virtqueue_push(&queue, r, 0);
    check_true("in both ways", virtqueue_flush(&queue));
}

static void test_case(const char *name, void (*set_up)(void), const char *reason)
{
    start();
    set_up();
    take_all();
    check_contains(name, virtqueue_broken(&queue), reason);
    check_true("the reason is a line", !strchr(virtqueue_broken(&queue), '\n'));
    give_back_all();
    check_true("nothing is in flight", !queue.in_flight && !queue.held);
    check_works();
}

int main(void)
{
    new_runtime();
    rig_open();
    must("queue", virtqueue_init(&queue, dma, SIZE, SIZE + 1, &err));
    features = VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC;
    for (unsigned i = 0; split_cases[i].name; i++)
        test_case(split_cases[i].name, split_cases[i].set_up, split_cases[i].reason);
    features |= VIRTIO_F_RING_PACKED | VIRTIO_F_EVENT_IDX;
    for (unsigned i = 0; packed_cases[i].name; i++)
        test_case(packed_cases[i].name, packed_cases[i].set_up, packed_cases[i].reason);
    virtqueue_fini(&queue);
    rig_close();
    lunik_runtime_free(rt);
    return check_result();
}
