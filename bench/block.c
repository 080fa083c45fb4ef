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
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>
#ifdef HAVE_LIBURING
#include <liburing.h>
#endif

#include "../devices/virtio/virtio_pci.h"
#include "disk_thread.h"
#include "driver/disk.h"
#include "must.h"

enum { QUEUE = 256, RUNS = 5, RINGS = 0x10000, BUFFERS = 0x200000, READY = 15 };
enum { RUN_NS = 110 * 1000 * 1000, PAUSE_NS = 100 * 1000 };

static const uint64_t MEMORY = 64 << 20;
static uint8_t *host;

/* ---- the driver ----------------------------------------------------------------------------- */

static void failed(void)
{
    die("a request has failed");
}

static void ring(struct queue *q)
{
    if (write(q->fd, &(uint64_t){1}, 8) != 8)
        die("doorbell");
}

static struct queue queue = {.size = QUEUE, .ring = ring};
static struct disk driver = {.queue = &queue,
                             .buffers = BUFFERS,
                             .now = now_ns,
                             .run = RUN_NS,
                             .pause = PAUSE_NS,
                             .failed = failed};

static void lay_out_queue(void)
{
    queue.memory = (uintptr_t)host;
    queue_init(&queue, RINGS);
}

/* us for each request. */
static void print_result(const struct disk_load *l, struct disk_result r)
{
    printf("%s %.6g\n", l->name, (double)r.time / (double)r.count / 1e3);
}

static void measure_all(void)
{
    for (unsigned run = 0; run < RUNS; run++)
        for (unsigned i = 0; i < disk_load_count; i++)
            print_result(&disk_loads[i], disk_run(&driver, &disk_loads[i]));
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
    lay_out_queue();
    q->descriptors = queue.descriptors;
    q->driver_area = queue.driver_area;
    q->device_area = queue.device_area;
    must(virtio_enable_queue(v, 0, &err));
    virtio_set_status(v, READY);
    queue.fd = virtio_path_fd(&pci->path, 0);
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

static void map_memory(void)
{
    host = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (host == MAP_FAILED)
        die("mmap");
    madvise(host, MEMORY, MADV_HUGEPAGE);
    memset(host, 1, MEMORY);
}

static void run_bare(int fd)
{
    struct disk_thread thread = {.size = QUEUE, .file = fd, .doorbell = eventfd(0, 0)};

    map_memory();
    lay_out_queue();
    queue.fd = thread.doorbell;
    thread.memory = host;
    thread.descriptors = queue.descriptors;
    thread.driver_area = queue.driver_area;
    thread.device_area = queue.device_area;
    disk_thread_start(&thread);
    measure_all();
}

#ifdef HAVE_LIBURING
static void prepare(struct io_uring *ring, const struct disk_load *l, int fd, unsigned slot)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
    void *data = host + BUFFERS + (uint64_t)slot * DISK_STRIDE + DISK_DATA;
    uint64_t at = disk_next(&driver, l);

    if (l->type == DISK_READ)
        io_uring_prep_read(sqe, fd, data, l->size, at);
    else
        io_uring_prep_write(sqe, fd, data, l->size, at);
    io_uring_sqe_set_data64(sqe, slot);
}

static struct disk_result run_ring(struct io_uring *ring, const struct disk_load *l, int fd)
{
    uint64_t start = now_ns(), end = start + RUN_NS;
    struct disk_result r = {0};
    struct io_uring_cqe *cqe;
    unsigned under_way = l->depth;

    for (unsigned i = 0; i < l->depth; i++)
        prepare(ring, l, fd, i);
    while (under_way) {
        if (io_uring_submit_and_wait(ring, 1) < 0)
            die("io_uring");
        while (!io_uring_peek_cqe(ring, &cqe)) {
            unsigned slot = (unsigned)cqe->user_data;

            if (cqe->res != (int)l->size)
                failed();
            io_uring_cqe_seen(ring, cqe);
            r.count++;
            if (now_ns() < end)
                prepare(ring, l, fd, slot);
            else
                under_way--;
        }
    }
    r.time = now_ns() - start;
    return r;
}

static void call(const struct disk_load *l, int fd)
{
    off_t at = (off_t)disk_next(&driver, l);
    uint8_t *data = host + BUFFERS + DISK_DATA;
    ssize_t n = l->size;

    if (l->type == DISK_READ)
        n = pread(fd, data, l->size, at);
    else if (l->type == DISK_WRITE)
        n = pwrite(fd, data, l->size, at);
    if (n != l->size || (l->flush && fdatasync(fd)))
        failed();
}

/* Depth 1 with its pauses is left to system calls. */
static struct disk_result call_paused(const struct disk_load *l, int fd)
{
    uint64_t end = now_ns() + RUN_NS;
    struct disk_result r = {0};

    for (uint64_t start = now_ns(); start < end; start = now_ns()) {
        while (now_ns() < start + PAUSE_NS)
            __builtin_ia32_pause();
        start = now_ns();
        call(l, fd);
        r.time += now_ns() - start;
        r.count++;
    }
    return r;
}

static void run_alone(int fd)
{
    struct io_uring ring;

    map_memory();
    if (io_uring_queue_init(128, &ring, 0))
        die("io_uring");
    for (unsigned run = 0; run < RUNS; run++)
        for (unsigned i = 0; i < disk_load_count; i++) {
            const struct disk_load *l = &disk_loads[i];

            print_result(l, l->pause ? call_paused(l, fd) : run_ring(&ring, l, fd));
        }
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
    if (fd < 0 || !(driver.size = (uint64_t)lseek(fd, 0, SEEK_END)))
        die(argv[2]);
    if (!strcmp(argv[1], "lunik"))
        run_lunik(argv[2], direct);
    else if (direct)
        run_alone(fd);
    else
        run_bare(fd);
    return 0;
}
