/* disk_thread.c: see disk_thread.h. */
#include "disk_thread.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/uio.h>
#include <unistd.h>

#include "bare.h"
#include "driver/disk.h"

static _Atomic uint16_t *word(const struct disk_thread *t, uint64_t address)
{
    return (_Atomic uint16_t *)(t->memory + address);
}

static void carry_out(const struct disk_thread *t, unsigned head)
{
    const struct descriptor *table = (struct descriptor *)(t->memory + t->descriptors);
    const struct descriptor *d = &table[head];
    const struct disk_header *h = (const struct disk_header *)(t->memory + d->address);
    const struct descriptor *data = &table[d->next];
    struct iovec piece = {t->memory + data->address, data->length};
    ssize_t n = data->length;

    if (h->type == DISK_FLUSH)
        n -= fdatasync(t->file) ? 1 : 0;
    else if (h->type == DISK_READ)
        n = preadv(t->file, &piece, 1, (off_t)(h->sector * 512));
    else if (h->type == DISK_WRITE)
        n = pwritev(t->file, &piece, 1, (off_t)(h->sector * 512));
    t->memory[h->type == DISK_FLUSH ? data->address : table[data->next].address] =
        n != data->length;
}

static void *serve(void *arg)
{
    const struct disk_thread *t = arg;
    uint16_t at = 0;
    uint64_t count;

    while (read(t->doorbell, &count, 8) == 8) {
        do {
            while (at != atomic_load_explicit(word(t, t->driver_area + 2), memory_order_acquire)) {
                unsigned head = *word(t, t->driver_area + 4 + 2 * (at % t->size));

                carry_out(t, head);
                *(uint32_t *)(t->memory + t->device_area + 4 + (size_t)8 * (at % t->size)) = head;
                atomic_store_explicit(word(t, t->device_area + 2), ++at, memory_order_release);
            }
            atomic_store(word(t, t->device_area + 4 + (uint64_t)8 * t->size), at);
        } while (at != atomic_load(word(t, t->driver_area + 2)));
    }
    return NULL;
}

void disk_thread_start(struct disk_thread *t)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, serve, t))
        die("pthread_create");
}
