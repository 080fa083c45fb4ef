/*
 * virtqueue.c: what a request costs on its way through a virtio queue, in ns: a driver makes 1 or
 * 32 of three buffers each available, the device takes them, writes a status and shows them as
 * used, with events. `bare` does the least on the same rings: no checks, no translation.
 */
#include "bare.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "../devices/virtio/queue.h"
#include "must.h"

enum { QUEUE = 256, CHAIN = 3, REQUESTS = 4096, BATCHES = 100, DEPTH_MAX = 32 };
enum { TABLE = 0x10000, AVAIL = 0x20000, USED = 0x30000, DATA = 0x100000, STRIDE = 0x2000 };
enum { NEXT = 1, WRITE = 2, F_AVAIL = 0x80, F_USED = 0x8000 };

struct descriptor {
    uint64_t address;
    uint32_t length;
    uint16_t flags, next; /* packed: id, flags */
};

static const uint64_t SIZE = 16 << 20;
static uint8_t *host;
static lunik_dma *dma;
static struct virtqueue queue;
static uint16_t avail, used; /* split */
static unsigned position;    /* packed */

static _Atomic uint16_t *word(uint64_t address)
{
    return (_Atomic uint16_t *)(host + address);
}

/* A header, data, a status. */
static void fill(struct descriptor *d, unsigned slot, unsigned part)
{
    static const uint32_t lengths[CHAIN] = {16, 4096, 1}, offsets[CHAIN] = {0, 0x1000, 0x800};

    d->address = DATA + (uint64_t)slot * STRIDE + offsets[part];
    d->length = lengths[part];
}

/* ---- the driver ----------------------------------------------------------------------------- */

static void split_prepare(void)
{
    struct descriptor *table = (struct descriptor *)(host + TABLE);

    for (unsigned i = 0; i < DEPTH_MAX * CHAIN; i++) {
        fill(&table[i], i / CHAIN, i % CHAIN);
        table[i].flags = (i % CHAIN ? WRITE : 0) | (i % CHAIN < CHAIN - 1 ? NEXT : 0);
        table[i].next = (uint16_t)(i + 1);
    }
}

static void split_send(unsigned depth)
{
    for (unsigned i = 0; i < depth; i++)
        *word(AVAIL + 4 + 2 * (avail++ % QUEUE)) = (uint16_t)(i * CHAIN);
    atomic_store_explicit(word(AVAIL + 2), avail, memory_order_release);
    *word(AVAIL + 4 + 2 * QUEUE) = (uint16_t)(avail - 1); /* interrupt for the last */
}

static void packed_send(unsigned depth)
{
    struct descriptor *ring = (struct descriptor *)(host + TABLE);

    for (unsigned i = 0; i < depth * CHAIN; i++, position++) {
        struct descriptor *d = &ring[position % QUEUE];
        uint16_t flags = position / QUEUE % 2 ? F_USED : F_AVAIL;

        fill(d, i / CHAIN, i % CHAIN);
        d->flags = (uint16_t)(i / CHAIN);
        flags |= (i % CHAIN ? WRITE : 0) | (i % CHAIN < CHAIN - 1 ? NEXT : 0);
        atomic_store_explicit((_Atomic uint16_t *)&d->next, flags, memory_order_release);
    }
}

/* ---- the devices ---------------------------------------------------------------------------- */

static void serve_queue(unsigned depth)
{
    struct virtqueue_request *r[DEPTH_MAX];
    unsigned count, done = 0;

    do {
        virtqueue_quiet(&queue);
        do {
            count = virtqueue_pop(&queue, r, DEPTH_MAX);
            for (unsigned i = 0; i < count; i++, done++) {
                *(uint8_t *)r[i]->iov[CHAIN - 1].iov_base = 0;
                virtqueue_push(&queue, r[i], 4097);
            }
        } while (count == DEPTH_MAX);
        virtqueue_flush(&queue);
    } while (virtqueue_listen(&queue));
    if (done != depth)
        die(virtqueue_broken(&queue) ? virtqueue_broken(&queue) : "virtqueue: requests are lost");
}

static void serve_bare_split(unsigned depth)
{
    const struct descriptor *table = (struct descriptor *)(host + TABLE), *d;
    uint16_t end = atomic_load_explicit(word(AVAIL + 2), memory_order_acquire);
    static struct iovec iov[DEPTH_MAX][CHAIN];
    static uint16_t heads[DEPTH_MAX];
    unsigned count = 0;

    for (uint16_t i = (uint16_t)(end - depth); i != end; i++, count++) {
        d = &table[heads[count] = *word(AVAIL + 4 + 2 * (i % QUEUE))];
        for (unsigned n = 0; n < CHAIN; n++, d = &table[d->next])
            iov[count][n] = (struct iovec){host + d->address, d->length};
    }
    for (unsigned i = 0; i < count; i++) {
        *(uint8_t *)iov[i][CHAIN - 1].iov_base = 0;
        *(uint32_t *)(host + USED + 4 + 8 * (used % QUEUE)) = heads[i];
        *(uint32_t *)(host + USED + 8 + 8 * (used++ % QUEUE)) = 4097;
    }
    atomic_store(word(USED + 2), used);
    atomic_store(word(USED + 4 + 8 * QUEUE), end);
}

static void serve_bare_packed(unsigned depth)
{
    struct descriptor *ring = (struct descriptor *)(host + TABLE), *d;
    static struct iovec iov[DEPTH_MAX][CHAIN];
    unsigned first = position - depth * CHAIN;

    for (unsigned i = 0; i < depth * CHAIN; i++) {
        d = &ring[(first + i) % QUEUE];
        atomic_load_explicit((_Atomic uint16_t *)&d->next, memory_order_acquire);
        iov[i / CHAIN][i % CHAIN] = (struct iovec){host + d->address, d->length};
    }
    for (unsigned i = 0; i < depth; i++) {
        unsigned at = first + i * CHAIN;

        *(uint8_t *)iov[i][CHAIN - 1].iov_base = 0;
        d = &ring[at % QUEUE];
        d->length = 4097;
        atomic_store((_Atomic uint16_t *)&d->next,
                     at / QUEUE % 2 ? WRITE : WRITE | F_AVAIL | F_USED);
    }
    atomic_store((_Atomic uint32_t *)(host + USED), position % QUEUE);
}

/* ---- measuring ------------------------------------------------------------------------------ */

static void start(uint64_t features)
{
    lunik_error error;

    memset(host + TABLE, 0, DATA - TABLE);
    avail = used = 0;
    position = 0;
    virtqueue_reset(&queue);
    queue.descriptors = TABLE;
    queue.driver_area = AVAIL;
    queue.device_area = USED;
    if (virtqueue_enable(&queue, features | VIRTIO_F_EVENT_IDX, &error))
        die(error.message);
    if (!(features & VIRTIO_F_RING_PACKED))
        split_prepare();
}

static void measure(const char *name, void (*send)(unsigned), void (*volatile serve)(unsigned),
                    unsigned depth)
{
    for (unsigned batch = 0; batch < BATCHES; batch++) {
        uint64_t start_ns = now_ns();

        for (unsigned i = 0; i < REQUESTS; i += depth) {
            send(depth);
            serve(depth);
        }
        printf("%s-%u %.6g\n", name, depth, (double)(now_ns() - start_ns) / REQUESTS);
    }
}

static void measure_depth(unsigned depth)
{
    start(0);
    measure("split", split_send, serve_queue, depth);
    start(0);
    measure("bare-split", split_send, serve_bare_split, depth);
    start(VIRTIO_F_RING_PACKED);
    measure("packed", packed_send, serve_queue, depth);
    start(VIRTIO_F_RING_PACKED);
    measure("bare-packed", packed_send, serve_bare_packed, depth);
}

static void add_memory(lunik_machine *m)
{
    lunik_ram_config block = {.name = "ram", .size = SIZE, .fd = -1};
    lunik_region_config config = {.kind = LUNIK_REGION_RAM, .name = "ram"};
    lunik_region *r;

    must(lunik_ram_new(&block, &config.ram, &err));
    must(lunik_region_new(m, &config, &r, &err));
    must(lunik_region_add(lunik_space_root(lunik_machine_memory(m)), 0, r, 0, false, &err));
    host = lunik_ram_host(config.ram);
    lunik_ram_unref(config.ram);
}

int main(void)
{
    const lunik_machine_config config = {.name = "bench", .accel = LUNIK_ACCEL_NONE, .cpus = 1};
    lunik_runtime *rt;
    lunik_machine *m;

    must(lunik_runtime_new(lunik_builtin_types(), &rt, &err));
    must(lunik_machine_new(rt, &config, &m, &err));
    add_memory(m);
    must(lunik_dma_new(lunik_machine_memory(m), &dma, &err));
    must(virtqueue_init(&queue, dma, QUEUE, 64, &err));
    lunik_dma_enable(dma);
    lunik_unlock(rt); /* as on a device's thread */
    measure_depth(1);
    measure_depth(DEPTH_MAX);
    lunik_lock(rt);
    virtqueue_fini(&queue);
    lunik_dma_free(dma);
    lunik_runtime_free(rt);
    return 0;
}
