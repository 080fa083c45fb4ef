/* test_queue_threads.c: a driver's thread and a device's on one queue, which wait for each other's
 * notifications, while the memory map changes and the gate closes and opens. */
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <time.h>

#include "virtio_rig.h"

/* A request has two descriptors: a number to read, and 8 bytes to write. */
enum { SIZE = 16, SLOTS = SIZE / 2, DATA_AT = LOW_SIZE - 64, REQUESTS = 20000, BATCH = 4 };
enum { NEXT = 1, WRITE = 2, AVAIL = 0x80, USED = 0x8000, PATIENCE = 60 };

static sem_t kick, interrupt;
static bool is_packed, has_events;
static _Atomic bool stop;
static _Atomic unsigned wrong, served, kicks, interrupts;

static void wait_for(sem_t *s)
{
    struct timespec end;

    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += PATIENCE;
    if (!sem_timedwait(s, &end))
        return;
    printf("not ok a notification is missing: %u of %d served\n", atomic_load(&served), REQUESTS);
    fflush(stdout);
    _Exit(1);
}

/* ---- the device ----------------------------------------------------------------------------- */

static void serve(struct virtqueue_request *r)
{
    uint64_t number = 0;
    size_t out = 0;

    for (unsigned i = 0; i < r->out; i++) { /* across the border of the blocks */
        memcpy((uint8_t *)&number + out, r->iov[i].iov_base, r->iov[i].iov_len);
        out += r->iov[i].iov_len;
    }
    number = ~number;
    out = 0;
    for (unsigned i = r->out; i < (unsigned)r->out + r->in; i++) {
        memcpy(r->iov[i].iov_base, (uint8_t *)&number + out, r->iov[i].iov_len);
        out += r->iov[i].iov_len;
    }
    virtqueue_push(&queue, r, 8);
    atomic_fetch_add(&served, 1);
}

static void *run_device(void *opaque)
{
    struct virtqueue_request *r[BATCH];
    unsigned count;

    (void)opaque;
    while (!atomic_load(&stop)) {
        do {
            virtqueue_quiet(&queue);
            while ((count = virtqueue_pop(&queue, r, BATCH)))
                for (unsigned i = 0; i < count; i++)
                    serve(r[i]);
            if (virtqueue_flush(&queue)) {
                atomic_fetch_add(&interrupts, 1);
                sem_post(&interrupt);
            }
        } while (virtqueue_listen(&queue));
        virtqueue_refresh(&queue);
        wait_for(&kick);
    }
    return NULL;
}

/* ---- the driver ----------------------------------------------------------------------------- */

static struct {
    unsigned sent, reaped; /* requests */
    uint64_t numbers[SLOTS];
    bool busy[SLOTS];
} driver;

static uint64_t slot_data(unsigned slot)
{
    return DATA_AT + 20 + 16u * slot;
}

static bool wrap_of(unsigned position)
{
    return position / SIZE % 2 == 0;
}

static void send_one(unsigned slot, uint64_t number)
{
    unsigned at = is_packed ? 2 * driver.sent : 2 * slot;
    uint16_t flags = !is_packed ? 0 : wrap_of(at) ? AVAIL : USED;
    uint64_t first = RING_AT + 16u * (at % SIZE), data = slot_data(slot);

    rig_put(data, &number, 8);
    if (is_packed) {
        uint32_t length = 8;

        rig_descriptor(first + 16, data + 8, 8, (uint16_t)slot, WRITE | flags);
        rig_put(first, &data, 8);
        rig_put(first + 8, &length, 4);
        atomic_store(rig_word(first + 14), NEXT | flags);
    } else {
        rig_descriptor(first, data, 8, NEXT, (uint16_t)(at + 1));
        rig_descriptor(first + 16, data + 8, 8, WRITE, 0);
        atomic_store(rig_word(DRIVER_AT + 4 + 2 * (driver.sent % SIZE)), (uint16_t)at);
        atomic_store(rig_word(DRIVER_AT + 2), (uint16_t)(driver.sent + 1));
    }
    driver.sent++;
    driver.busy[slot] = true;
    driver.numbers[slot] = number;
}

static bool must_kick(void)
{
    uint16_t flags = atomic_load(rig_word(DEVICE_AREA_AT + (is_packed ? 2 : 0)));
    unsigned last = driver.sent - 1;
    uint16_t at;

    if (is_packed && flags == 2) {
        at = atomic_load(rig_word(DEVICE_AREA_AT));
        return at == (wrap_of(2 * last) << 15 | 2 * last % SIZE);
    }
    if (is_packed || !has_events)
        return !(flags & 1);
    return atomic_load(rig_word(DEVICE_AREA_AT + 4 + 8 * SIZE)) == (uint16_t)last;
}

static bool used(void)
{
    unsigned at = 2 * driver.reaped;
    uint16_t flags;

    if (!is_packed)
        return atomic_load(rig_word(DEVICE_AREA_AT + 2)) != (uint16_t)driver.reaped;
    flags = atomic_load(rig_word(RING_AT + 16u * (at % SIZE) + 14));
    return !!(flags & AVAIL) == wrap_of(at) && !!(flags & USED) == wrap_of(at);
}

static void reap(void)
{
    uint64_t at = is_packed ? RING_AT + 16u * (2 * driver.reaped % SIZE) + 12
                            : DEVICE_AREA_AT + 4 + 8u * (driver.reaped % SIZE);
    unsigned slot = *(uint16_t *)rig_at(at) / (is_packed ? 1 : 2);
    uint64_t got = 0;

    driver.reaped++;
    if (slot >= SLOTS || !driver.busy[slot]) {
        atomic_fetch_add(&wrong, 1);
        return;
    }
    for (unsigned i = 0; i < 8; i++)
        got |= (uint64_t) * (uint8_t *)rig_at(slot_data(slot) + 8 + i) << 8 * i;
    driver.busy[slot] = false;
    if (got != ~driver.numbers[slot])
        atomic_fetch_add(&wrong, 1);
}

/* Asks for an interrupt at the next used entry, or for none. */
static void want_interrupt(bool want)
{
    unsigned at = 2 * driver.reaped;

    if (is_packed && has_events && want)
        atomic_store((_Atomic uint32_t *)rig_at(DRIVER_AT),
                     2u << 16 | (unsigned)wrap_of(at) << 15 | at % SIZE);
    else if (is_packed)
        atomic_store(rig_word(DRIVER_AT + 2), !want);
    else if (has_events && want)
        atomic_store(rig_word(DRIVER_AT + 4 + 2 * SIZE), (uint16_t)driver.reaped);
    else if (!has_events)
        atomic_store(rig_word(DRIVER_AT), !want);
}

static void reap_some(void)
{
    while (!used()) {
        want_interrupt(true);
        if (!used())
            wait_for(&interrupt);
        want_interrupt(false);
    }
    while (used())
        reap();
}

static void *run_driver(void *opaque)
{
    (void)opaque;
    for (unsigned n = 0; n < REQUESTS; n++) {
        unsigned slot = n % SLOTS;

        while (driver.busy[slot])
            reap_some();
        send_one(slot, n * UINT64_C(0x9e3779b97f4a7c15));
        if (must_kick()) {
            atomic_fetch_add(&kicks, 1);
            sem_post(&kick);
        }
    }
    while (driver.reaped < driver.sent)
        reap_some();
    atomic_store(&stop, true);
    sem_post(&kick);
    return NULL;
}

/* ---- the machine ---------------------------------------------------------------------------- */

static void disturb(unsigned round)
{
    lunik_region *r = show_ram("other", high_ram, 0, 0x1000, 0x100000, 0);

    if (round % 8 == 0) {
        lunik_dma_disable(dma, NULL);
        lunik_unlock(rt);
        sched_yield();
        lunik_lock(rt);
        lunik_dma_enable(dma);
        sem_post(&kick); /* what came meanwhile */
    }
    drop(r);
    lunik_unlock(rt);
    sched_yield();
    lunik_lock(rt);
}

static void run(const char *name, uint64_t features)
{
    pthread_t device, guest;
    unsigned round = 0;

    is_packed = features & VIRTIO_F_RING_PACKED;
    has_events = features & VIRTIO_F_EVENT_IDX;
    memset(rig_at(0), 0, 0x10000);
    memset(&driver, 0, sizeof(driver));
    atomic_store(&stop, false);
    sem_init(&kick, 0, 0);
    sem_init(&interrupt, 0, 0);
    rig_place(SIZE);
    must("enable", virtqueue_enable(&queue, features, &err));
    pthread_create(&device, NULL, run_device, NULL);
    pthread_create(&guest, NULL, run_driver, NULL);
    while (!atomic_load(&stop))
        disturb(round++);
    lunik_unlock(rt);
    pthread_join(guest, NULL);
    pthread_join(device, NULL);
    lunik_lock(rt);
    check_uint(name, atomic_load(&wrong), 0);
    check_true("the queue is not broken", !virtqueue_broken(&queue));
    check_uint("all was served", atomic_exchange(&served, 0), REQUESTS);
    virtqueue_reset(&queue);
    sem_destroy(&kick);
    sem_destroy(&interrupt);
}

int main(void)
{
    new_runtime();
    rig_open();
    must("queue", virtqueue_init(&queue, dma, SIZE, 4, &err));
    run("split", 0);
    run("split, events", VIRTIO_F_EVENT_IDX);
    run("packed", VIRTIO_F_RING_PACKED);
    run("packed, events", VIRTIO_F_RING_PACKED | VIRTIO_F_EVENT_IDX);
    check_true("both sides were notified", atomic_load(&kicks) && atomic_load(&interrupts));
    virtqueue_fini(&queue);
    rig_close();
    lunik_runtime_free(rt);
    return check_result();
}
