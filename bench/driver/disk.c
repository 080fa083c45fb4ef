/* disk.c: see disk.h. */
#include "disk.h"

#define SECTOR 512
#define STATUS 0x800

/* t: with pauses. The numbers are how many requests are under way. */
const struct disk_load disk_loads[] = {
    {.name = "id1t", .type = DISK_ID, .size = 20, .depth = 1, .pause = true},
    {.name = "r1t", .type = DISK_READ, .size = 4096, .depth = 1, .pause = true},
    {.name = "wf1t", .type = DISK_WRITE, .size = 4096, .depth = 1, .pause = true, .flush = true},
    {.name = "r1", .type = DISK_READ, .size = 4096, .depth = 1},
    {.name = "r32", .type = DISK_READ, .size = 4096, .depth = 32},
    {.name = "w32", .type = DISK_WRITE, .size = 4096, .depth = 32},
    {.name = "s8", .type = DISK_READ, .size = 131072, .depth = 8, .sequential = true},
    {.name = "sw8", .type = DISK_WRITE, .size = 131072, .depth = 8, .sequential = true},
};
const unsigned disk_load_count = sizeof(disk_loads) / sizeof(disk_loads[0]);

uint64_t disk_next(struct disk *d, const struct disk_load *l)
{
    d->random = d->random * 6364136223846793005u + 1442695040888963407u;
    if (l->type == DISK_ID)
        return 0;
    if (!l->sequential)
        return (d->random >> 20) % (d->size / l->size) * l->size;
    d->position = (d->position + l->size) % (d->size - l->size);
    return d->position;
}

/* Adds a request in that slot: header, data unless it is a flush, status. */
static void add(struct disk *d, unsigned slot, uint32_t type, uint32_t size, uint64_t offset)
{
    uint64_t at = d->buffers + (uint64_t)slot * DISK_STRIDE;
    unsigned head = slot * 3;
    struct descriptor *chain = queue_descriptor(d->queue, head);
    uint16_t data = type == DISK_WRITE ? QUEUE_NEXT : QUEUE_NEXT | QUEUE_WRITE;

    *(struct disk_header *)queue_host(d->queue, at) =
        (struct disk_header){type, 0, offset / SECTOR};
    chain[0] = (struct descriptor){at, sizeof(struct disk_header), QUEUE_NEXT,
                                   (uint16_t)(type == DISK_FLUSH ? head + 2 : head + 1)};
    chain[1] = (struct descriptor){at + DISK_DATA, size, data, (uint16_t)(head + 2)};
    chain[2] = (struct descriptor){at + STATUS, 1, QUEUE_WRITE, 0};
    queue_add(d->queue, head);
}

/* Waits for an answer; returns its slot. */
static unsigned await(struct disk *d)
{
    unsigned head, slot;
    uint32_t length;

    while (!queue_take(d->queue, &head, &length))
        __builtin_ia32_pause();
    slot = head / 3;
    if (*(uint8_t *)queue_host(d->queue, d->buffers + (uint64_t)slot * DISK_STRIDE + STATUS))
        d->failed();
    return slot;
}

static void run_deep(struct disk *d, const struct disk_load *l, struct disk_result *r)
{
    uint64_t start = d->now(), end = start + d->run;
    unsigned under_way = l->depth;

    for (unsigned i = 0; i < l->depth; i++)
        add(d, i, l->type, l->size, disk_next(d, l));
    queue_publish(d->queue);
    while (under_way) {
        unsigned slot = await(d);

        r->count++;
        if (d->now() < end) {
            add(d, slot, l->type, l->size, disk_next(d, l));
            queue_publish(d->queue);
        } else {
            under_way--;
        }
    }
    r->time = d->now() - start;
}

static void carry_out(struct disk *d, uint32_t type, uint32_t size, uint64_t offset)
{
    add(d, 0, type, size, offset);
    queue_publish(d->queue);
    await(d);
}

static void run_paused(struct disk *d, const struct disk_load *l, struct disk_result *r)
{
    uint64_t end = d->now() + d->run, start = d->now();

    while (start < end) {
        uint64_t offset = disk_next(d, l), resume = start + d->pause;

        while (d->now() < resume)
            __builtin_ia32_pause();
        start = d->now();
        carry_out(d, l->type, l->size, offset);
        if (l->flush)
            carry_out(d, DISK_FLUSH, 0, 0);
        r->time += d->now() - start;
        r->count++;
        start = d->now();
    }
}

struct disk_result disk_run(struct disk *d, const struct disk_load *l)
{
    struct disk_result r = {0};
    uint64_t kicks = d->queue->kicks;

    if (l->pause)
        run_paused(d, l, &r);
    else
        run_deep(d, l, &r);
    r.kicks = d->queue->kicks - kicks;
    return r;
}
