/* virtio_balloon_stats.c: statistics of the guest's memory (virtio 1.2, section 5.5.6.3): the
 * driver leaves a buffer with them, and fills it anew when it gets it back. */
#include <stdatomic.h>
#include <string.h>

#include "virtio_balloon.h"

enum { ENTRY_SIZE = 10, ENTRIES_MAX = 64 };
#define NS_PER_SECOND UINT64_C(1000000000)

static lunik_machine *machine_of(const struct virtio_balloon *s)
{
    return lunik_object_machine(lunik_state_object(s));
}

/* ---- asking --------------------------------------------------------------------------------- */

static void ask(lunik_task *task)
{
    struct virtio_balloon *s = lunik_container_of(task, struct virtio_balloon, ask);
    struct virtio *v = &s->pci.virtio;

    if (!s->held)
        return;
    virtqueue_push(&v->queues[QUEUE_STATS], s->held, 0);
    s->held = NULL;
    virtio_flush(v, QUEUE_STATS);
}

void balloon_stats_poll(struct virtio_balloon *s)
{
    uint64_t now = lunik_clock_read(lunik_machine_clock(machine_of(s)));

    lunik_timer_set(&s->poll, s->polling ? now + s->polling * NS_PER_SECOND : UINT64_MAX);
}

static void poll_fired(lunik_timer *timer)
{
    struct virtio_balloon *s = lunik_container_of(timer, struct virtio_balloon, poll);

    virtio_path_post(&s->pci.virtio, &s->ask);
    balloon_stats_poll(s);
}

/* ---- answers -------------------------------------------------------------------------------- */

/* A byte at a time: entries have no alignment, and may be in several pieces. */
static size_t copy_out(const struct virtqueue_request *r, uint8_t *buf, size_t size)
{
    size_t copied = 0;

    for (unsigned i = 0; i < r->out && copied < size; i++) {
        size_t part = r->iov[i].iov_len < size - copied ? r->iov[i].iov_len : size - copied;

        memcpy(buf + copied, r->iov[i].iov_base, part);
        copied += part;
    }
    return copied;
}

static void take_stats(struct virtio_balloon *s, const struct virtqueue_request *r)
{
    uint8_t entries[ENTRIES_MAX * ENTRY_SIZE];
    size_t size = copy_out(r, entries, sizeof(entries));

    for (size_t at = 0; at + ENTRY_SIZE <= size; at += ENTRY_SIZE) {
        unsigned tag = lunik_pci_get_word(entries + at, 0);
        uint64_t value = lunik_pci_get_long(entries + at, 2) |
                         (uint64_t)lunik_pci_get_long(entries + at, 6) << 32;

        if (tag < BALLOON_STATS)
            atomic_store(&s->stats[tag], value);
    }
    atomic_store(&s->updated, lunik_clock_read(lunik_machine_clock(machine_of(s))));
}

/* There is one buffer, which the device keeps. */
void balloon_serve_stats(struct virtio *v, unsigned queue)
{
    struct virtio_balloon *s = balloon_of(v);
    struct virtqueue *q = &v->queues[queue];

    do {
        virtqueue_quiet(q);
        if (!s->held && virtqueue_pop(q, &s->held, 1))
            take_stats(s, s->held);
    } while (virtqueue_listen(q) && !s->held);
}

void balloon_finish_stats(struct virtio *v, unsigned queue)
{
    struct virtio_balloon *s = balloon_of(v);

    if (s->held)
        virtqueue_unpop(&v->queues[queue], s->held);
    s->held = NULL;
}

/* ---- life cycle ----------------------------------------------------------------------------- */

void balloon_stats_reset(struct virtio_balloon *s)
{
    for (unsigned i = 0; i < BALLOON_STATS; i++)
        atomic_store(&s->stats[i], UINT64_MAX);
    atomic_store(&s->updated, 0);
}

void balloon_stats_init(struct virtio_balloon *s)
{
    lunik_timer_init(&s->poll, machine_of(s), poll_fired);
    s->ask.fn = ask;
    s->held = NULL;
    balloon_stats_reset(s);
    balloon_stats_poll(s);
}

void balloon_stats_fini(struct virtio_balloon *s)
{
    lunik_timer_cancel(&s->poll);
}
