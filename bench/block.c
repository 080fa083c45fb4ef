/*
 * block.c: what a request to a disk costs without a guest: a driver in this process fills the queue
 * of a virtio-blk-pci on an iothread, and looks for the answers without a break, as a guest that
 * polls does. Its doorbell is the queue's eventfd, so that no exit is paid for.
 *
 * usage: block lunik|bare FILE direct|cached
 *
 * bare: the least that does the same. For a cached file a thread that sleeps in read() of an
 * eventfd and serves the ring with preadv(); for O_DIRECT io_uring alone, without any queue.
 */
#define _GNU_SOURCE
#include "bare.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>
#ifdef HAVE_LIBURING
#include <liburing.h>
#endif

#include "../devices/virtio/virtio_pci.h"
#include "must.h"

enum { QUEUE = 256, DEPTH_MAX = 32, STRIDE = 0x40000, RUNS = 11 };
enum { TABLE = 0x10000, AVAIL = 0x20000, USED = 0x30000, DATA = 0x200000 };
enum { TYPE_IN, TYPE_OUT, TYPE_FLUSH = 4 };
enum { READY = 15, RUN_NS = 110 * 1000 * 1000 };

static const uint64_t MEMORY = 64 << 20;
static uint8_t *host;
static uint64_t disk_size;
static uint16_t avail, seen;
static int doorbell;
static uint64_t random_state = 1;

static _Atomic uint16_t *word(uint64_t address)
{
    return (_Atomic uint16_t *)(host + address);
}

static uint64_t random_below(uint64_t n)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (random_state >> 20) % n;
}

/* ---- the driver ----------------------------------------------------------------------------- */

struct descriptor {
    uint64_t address;
    uint32_t length;
    uint16_t flags, next;
};

struct header {
    uint32_t type, reserved;
    uint64_t sector;
};

/* Makes a request of slot available: header, data unless it is a flush, status. */
static void send_slot(unsigned slot, uint32_t type, uint32_t size, uint64_t offset)
{
    struct descriptor *d = (struct descriptor *)(host + TABLE) + slot * 3;
    uint64_t at = DATA + (uint64_t)slot * STRIDE;

    *(struct header *)(host + at) = (struct header){type, 0, offset / 512};
    d[0] = (struct descriptor){at, 16, 1, (uint16_t)(slot * 3 + (type == TYPE_FLUSH ? 2 : 1))};
    d[1] =
        (struct descriptor){at + 0x1000, size, type == TYPE_IN ? 3 : 1, (uint16_t)(slot * 3 + 2)};
    d[2] = (struct descriptor){at + 0x800, 1, 2, 0};
    *word(AVAIL + 4 + 2 * (avail++ % QUEUE)) = (uint16_t)(slot * 3);
}

/* Shows the device what was sent from `old` on, and rings where it asks for that. */
static void publish(uint16_t old)
{
    uint16_t event;

    atomic_store(word(AVAIL + 2), avail);
    atomic_thread_fence(memory_order_seq_cst);
    event = atomic_load(word(USED + 4 + 8 * QUEUE));
    if ((uint16_t)(avail - event - 1) < (uint16_t)(avail - old) &&
        write(doorbell, &(uint64_t){1}, 8) != 8)
        die("doorbell");
}

/* Waits for an answer; returns its slot. */
static unsigned wait_for_one(void)
{
    unsigned head;

    while (atomic_load_explicit(word(USED + 2), memory_order_acquire) == seen)
        __builtin_ia32_pause();
    head = *(uint32_t *)(host + USED + 4 + 8 * (seen++ % QUEUE));
    if (host[DATA + (uint64_t)(head / 3) * STRIDE + 0x800])
        die("a request has failed");
    return head / 3;
}

struct load {
    const char *name;
    uint32_t type, size;
    unsigned depth;
    bool sequential, flush, pause;
};

static uint64_t next_offset(const struct load *l, uint64_t *position)
{
    if (!l->sequential)
        return random_below(disk_size / l->size) * l->size;
    *position = (*position + l->size) % (disk_size - l->size);
    return *position;
}

/* Keeps `depth` requests under way. Returns ns for each. */
static double run_deep(const struct load *l, uint64_t end)
{
    uint64_t position = 0, start = now_ns();
    unsigned done = 0, under_way = l->depth;
    uint16_t old = avail;

    for (unsigned i = 0; i < l->depth; i++)
        send_slot(i, l->type, l->size, next_offset(l, &position));
    publish(old);
    while (under_way) {
        unsigned slot = wait_for_one();

        done++;
        old = avail;
        if (now_ns() < end)
            send_slot(slot, l->type, l->size, next_offset(l, &position));
        else
            under_way--;
        if (old != avail)
            publish(old);
    }
    return (double)(now_ns() - start) / done;
}

/* One at a time, after a pause, so that the device sleeps. Returns ns for each. */
static double run_paused(const struct load *l, uint64_t end)
{
    uint64_t position = 0, spent = 0;
    unsigned done = 0;

    for (uint64_t start = now_ns(); start < end; start = now_ns()) {
        uint16_t old = avail;

        while (now_ns() < start + 100000)
            __builtin_ia32_pause();
        start = now_ns();
        send_slot(0, l->type, l->size, next_offset(l, &position));
        publish(old);
        wait_for_one();
        if (l->flush) {
            old = avail;
            send_slot(0, TYPE_FLUSH, 0, 0);
            publish(old);
            wait_for_one();
        }
        spent += now_ns() - start;
        done++;
    }
    return (double)spent / done;
}

static const struct load loads[] = {
    {.name = "r1t", .type = TYPE_IN, .size = 4096, .depth = 1, .pause = true},
    {.name = "wf1", .type = TYPE_OUT, .size = 4096, .depth = 1, .pause = true, .flush = true},
    {.name = "r32", .type = TYPE_IN, .size = 4096, .depth = 32},
    {.name = "w32", .type = TYPE_OUT, .size = 4096, .depth = 32},
    {.name = "s8", .type = TYPE_IN, .size = 131072, .depth = 8, .sequential = true},
    {.name = "sw8", .type = TYPE_OUT, .size = 131072, .depth = 8, .sequential = true},
};

/* us for each request. */
static void measure(const struct load *l)
{
    uint64_t start = now_ns();
    double ns = l->pause ? run_paused(l, start + RUN_NS) : run_deep(l, start + RUN_NS);

    printf("%s %.6g\n", l->name, ns / 1e3);
}

static void measure_all(void)
{
    for (unsigned run = 0; run < RUNS; run++)
        for (unsigned i = 0; i < sizeof(loads) / sizeof(loads[0]); i++)
            measure(&loads[i]);
}

/* ---- lunik ---------------------------------------------------------------------------------- */

static lunik_object *add_object(lunik_machine *m, const char *type, const lunik_field *props,
                                size_t count)
{
    lunik_object *o;

    must(lunik_object_add(m, type, props, count, &o, &err));
    return o;
}

static void add_devices(lunik_machine *m, const char *path, bool direct)
{
    const lunik_field ram[] = {LUNIK_FIELD_STRING("id", "ram"), LUNIK_FIELD_UINT("size", MEMORY)};
    const lunik_field low[] = {LUNIK_FIELD_STRING("memdev", "ram")};
    const lunik_field bus[] = {LUNIK_FIELD_STRING("id", "bus"), LUNIK_FIELD_STRING("ram", "ram")};
    const lunik_field thread[] = {LUNIK_FIELD_STRING("id", "io")};
    const lunik_field disk[] = {LUNIK_FIELD_STRING("id", "disk"),
                                LUNIK_FIELD_STRING("filename", path),
                                LUNIK_FIELD_BOOL("direct", direct)};
    lunik_object *o = add_object(m, "memory-backend-ram", ram, 2);

    host = lunik_ram_host(lunik_memory_backend_iface(o)->ram(o));
    madvise(host, MEMORY, MADV_HUGEPAGE);
    memset(host, 1, MEMORY);
    must(lunik_device_add(m, "i440fx", bus, 2, NULL, &err));
    must(lunik_device_add(m, "ram", low, 1, NULL, &err));
    add_object(m, "iothread", thread, 1);
    add_object(m, "blockdev-file", disk, 3);
}

static void start_device(struct virtio_pci *pci)
{
    struct virtio *v = &pci->virtio;
    struct virtqueue *q = &v->queues[0];

    lunik_pci_config_write(&pci->function, LUNIK_PCI_COMMAND, 2, LUNIK_PCI_COMMAND_MASTER);
    virtio_set_status(v, READY & ~(VIRTIO_FEATURES_OK | VIRTIO_DRIVER_OK));
    virtio_set_features(v, 0, (uint32_t)VIRTIO_F_EVENT_IDX | 1u << 9 | 1u << 11);
    virtio_set_features(v, 1, (uint32_t)(VIRTIO_F_VERSION_1 >> 32));
    virtio_set_status(v, READY & ~VIRTIO_DRIVER_OK);
    q->size = QUEUE;
    q->descriptors = TABLE;
    q->driver_area = AVAIL;
    q->device_area = USED;
    memset(host + TABLE, 0, DATA - TABLE);
    must(virtio_enable_queue(v, 0, &err));
    virtio_set_status(v, READY);
    doorbell = virtio_path_fd(&pci->path, 0);
}

static void run_lunik(const char *path, bool direct)
{
    const lunik_machine_config config = {.name = "bench", .accel = LUNIK_ACCEL_NONE, .cpus = 1};
    const lunik_field blk[] = {LUNIK_FIELD_STRING("bus", "bus"), LUNIK_FIELD_STRING("addr", "5"),
                               LUNIK_FIELD_STRING("drive", "disk"),
                               LUNIK_FIELD_STRING("iothread", "io")};
    lunik_object *device;
    lunik_runtime *rt;
    lunik_machine *m;

    must(lunik_runtime_new(lunik_builtin_types(), &rt, &err));
    must(lunik_machine_new(rt, &config, &m, &err));
    add_devices(m, path, direct);
    must(lunik_device_add(m, "virtio-blk-pci", blk, 4, &device, &err));
    must(lunik_machine_start(m, &err));
    start_device(lunik_state(device));
    lunik_unlock(rt);
    measure_all();
    lunik_lock(rt);
    lunik_runtime_free(rt);
}

/* ---- bare ----------------------------------------------------------------------------------- */

static void carry_out(int fd, const struct descriptor *table, unsigned head)
{
    const struct descriptor *d = &table[head];
    const struct header *h = (const struct header *)(host + d->address);
    const struct descriptor *data = &table[d->next];
    struct iovec piece = {host + data->address, data->length};
    ssize_t n = data->length;

    if (h->type == TYPE_FLUSH)
        n -= fdatasync(fd) ? 1 : 0;
    else if (h->type == TYPE_IN)
        n = preadv(fd, &piece, 1, (off_t)(h->sector * 512));
    else
        n = pwritev(fd, &piece, 1, (off_t)(h->sector * 512));
    host[h->type == TYPE_FLUSH ? data->address : table[data->next].address] = n != data->length;
}

static void *serve(void *arg)
{
    const struct descriptor *table = (struct descriptor *)(host + TABLE);
    int fd = *(int *)arg;
    uint16_t at = 0;
    uint64_t count;

    while (read(doorbell, &count, 8) == 8) {
        do {
            while (at != atomic_load_explicit(word(AVAIL + 2), memory_order_acquire)) {
                unsigned head = *word(AVAIL + 4 + 2 * (at % QUEUE));

                carry_out(fd, table, head);
                *(uint32_t *)(host + USED + 4 + 8 * (at % QUEUE)) = head;
                atomic_store_explicit(word(USED + 2), ++at, memory_order_release);
            }
            atomic_store(word(USED + 4 + 8 * QUEUE), at);
        } while (at != atomic_load(word(AVAIL + 2)));
    }
    return NULL;
}

static void map_memory(void)
{
    host = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (host == MAP_FAILED)
        die("mmap");
    madvise(host, MEMORY, MADV_HUGEPAGE);
    memset(host, 1, MEMORY);
    memset(host + TABLE, 0, DATA - TABLE);
}

static void run_bare(int fd)
{
    pthread_t thread;

    map_memory();
    doorbell = eventfd(0, 0);
    pthread_create(&thread, NULL, serve, &fd);
    measure_all();
}

#ifdef HAVE_LIBURING
static void prepare(struct io_uring *ring, const struct load *l, int fd, unsigned slot,
                    uint64_t *position)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
    void *data = host + DATA + (uint64_t)slot * STRIDE;
    uint64_t at = next_offset(l, position);

    if (l->type == TYPE_IN)
        io_uring_prep_read(sqe, fd, data, l->size, at);
    else
        io_uring_prep_write(sqe, fd, data, l->size, at);
    io_uring_sqe_set_data64(sqe, slot);
}

static double run_ring(struct io_uring *ring, const struct load *l, int fd, uint64_t end)
{
    unsigned done = 0, under_way = l->depth;
    struct io_uring_cqe *cqe;
    uint64_t position = 0, start = now_ns();

    for (unsigned i = 0; i < l->depth; i++)
        prepare(ring, l, fd, i, &position);
    while (under_way) {
        if (io_uring_submit_and_wait(ring, 1) < 0)
            die("io_uring");
        while (!io_uring_peek_cqe(ring, &cqe)) {
            unsigned slot = (unsigned)cqe->user_data;

            if (cqe->res != (int)l->size)
                die("io_uring: a request has failed");
            io_uring_cqe_seen(ring, cqe);
            done++;
            if (now_ns() < end)
                prepare(ring, l, fd, slot, &position);
            else
                under_way--;
        }
    }
    return (double)(now_ns() - start) / done;
}

/* Depth 1 with its pauses is left to system calls. */
static double call_paused(const struct load *l, int fd, uint64_t end)
{
    uint64_t position = 0, spent = 0;
    unsigned done = 0;

    for (uint64_t start = now_ns(); start < end; start = now_ns()) {
        uint64_t at = next_offset(l, &position);

        while (now_ns() < start + 100000)
            __builtin_ia32_pause();
        start = now_ns();
        if ((l->type == TYPE_IN ? pread(fd, host + DATA, l->size, (off_t)at)
                                : pwrite(fd, host + DATA, l->size, (off_t)at)) != l->size ||
            (l->flush && fdatasync(fd)))
            die("a request has failed");
        spent += now_ns() - start;
        done++;
    }
    return (double)spent / done;
}

static void measure_ring(struct io_uring *ring, const struct load *l, int fd)
{
    uint64_t end = now_ns() + RUN_NS;
    double ns = l->pause ? call_paused(l, fd, end) : run_ring(ring, l, fd, end);

    printf("%s %.6g\n", l->name, ns / 1e3);
}

static void run_alone(int fd)
{
    struct io_uring ring;

    map_memory();
    if (io_uring_queue_init(128, &ring, 0))
        die("io_uring");
    for (unsigned run = 0; run < RUNS; run++)
        for (unsigned i = 0; i < sizeof(loads) / sizeof(loads[0]); i++)
            measure_ring(&ring, &loads[i], fd);
    io_uring_queue_exit(&ring);
}
#else
static void run_alone(int fd)
{
    run_bare(fd);
}
#endif

int main(int argc, char **argv)
{
    bool direct;
    int fd;

    if (argc != 4)
        die("usage: block lunik|bare FILE direct|cached");
    direct = !strcmp(argv[3], "direct");
    fd = open(argv[2], O_RDWR | (direct ? O_DIRECT : 0));
    disk_size = fd < 0 ? 0 : (uint64_t)lseek(fd, 0, SEEK_END);
    if (!disk_size)
        die(argv[2]);
    if (!strcmp(argv[1], "lunik"))
        run_lunik(argv[2], direct);
    else if (direct)
        run_alone(fd);
    else
        run_bare(fd);
    return 0;
}
