/*
 * virtio_balloon_pages.c: pages that the guest does without, which go back to the host (virtio 1.2,
 * sections 5.5.6.1, 5.5.6.6 and 5.5.6.7).
 *
 * A block of larger pages than the balloon's gives back only whole ones: those that are reported
 * whole, and those up to 2 MiB of which the guest has put all parts into the balloon, one page
 * after the other. What is pinned stays. Discarding is a favour to the host: where it fails the
 * guest does not notice.
 */
#include <stdatomic.h>

#include "virtio_balloon.h"

/* Gives back the whole pages within a part of a block. */
static void discard(struct virtio_balloon *s, lunik_ram *ram, uint64_t offset, uint64_t size)
{
    uint64_t page = lunik_ram_page_size(ram);
    uint64_t first = (offset + page - 1) & ~(page - 1), end = (offset + size) & ~(page - 1);

    if (first < end && !lunik_ram_discard(ram, first, end - first, NULL))
        atomic_fetch_add(&s->returned, end - first);
}

/* ---- inflating and deflating ---------------------------------------------------------------- */

/* Pages next to each other that are discarded at once. */
struct run {
    lunik_ram *ram;
    uint64_t offset, size;
};

static void end_run(struct virtio_balloon *s, struct run *run)
{
    if (run->size)
        discard(s, run->ram, run->offset, run->size);
    run->size = 0;
}

/* Notes a part of a larger page, and discards that when the guest has none of it any more. Of one
 * page at a time, as drivers give up what lies together: another one is begun anew. */
static void collect(struct virtio_balloon *s, lunik_ram *ram, uint64_t offset)
{
    struct balloon_collected *c = &s->collected;
    uint64_t page = lunik_ram_page_size(ram), base = offset & ~(page - 1);
    unsigned part = (unsigned)((offset - base) / BALLOON_PAGE);
    uint64_t bit = UINT64_C(1) << part % 64;

    if (page / BALLOON_PAGE > BALLOON_PARTS)
        return;
    if (c->ram != ram || c->offset != base)
        *c = (struct balloon_collected){.ram = ram, .offset = base};
    c->count += !(c->parts[part / 64] & bit);
    c->parts[part / 64] |= bit;
    if (c->count < page / BALLOON_PAGE)
        return;
    discard(s, ram, base, page);
    c->ram = NULL;
}

static void add_page(struct virtio_balloon *s, lunik_ram *ram, uint64_t offset, struct run *run)
{
    if (lunik_ram_page_size(ram) > BALLOON_PAGE) {
        collect(s, ram, offset);
        return;
    }
    if (run->size && run->ram == ram && offset + BALLOON_PAGE == run->offset) {
        run->offset = offset;
    } else if (!run->size || run->ram != ram || offset != run->offset + run->size) {
        end_run(s, run);
        run->ram = ram;
        run->offset = offset;
    }
    run->size += BALLOON_PAGE;
}

/* The guest uses a part of a page again. */
static void take_page(struct virtio_balloon *s, const lunik_ram *ram, uint64_t offset)
{
    if (s->collected.ram == ram &&
        (offset & ~(lunik_ram_page_size(ram) - 1)) == s->collected.offset)
        s->collected.ram = NULL;
}

static void change_page(struct virtio *v, unsigned queue, const struct virtqueue_request *r,
                        uint32_t number, struct run *run)
{
    struct virtio_balloon *s = balloon_of(v);
    uint64_t offset, left;
    lunik_ram *ram =
        virtqueue_ram_at(&v->queues[queue], r, (uint64_t)number * BALLOON_PAGE, &offset, &left);

    if (!ram || left < BALLOON_PAGE)
        return;
    if (queue == QUEUE_INFLATE)
        add_page(s, ram, offset, run);
    else
        take_page(s, ram, offset);
}

/* Numbers of pages, 32 bits each, which may lie across pieces. */
static uint32_t change_pages(struct virtio *v, unsigned queue, struct virtqueue_request *r)
{
    struct run run = {0};
    uint8_t number[4];
    unsigned have = 0;

    for (unsigned i = 0; i < r->out; i++)
        for (size_t at = 0; at < r->iov[i].iov_len; at++) {
            number[have++] = ((const uint8_t *)r->iov[i].iov_base)[at];
            if (have < 4)
                continue;
            have = 0;
            change_page(v, queue, r, lunik_pci_get_long(number, 0), &run);
        }
    end_run(balloon_of(v), &run);
    return 0;
}

static uint32_t do_nothing(struct virtio *v, unsigned queue, struct virtqueue_request *r)
{
    return 0;
}

void balloon_serve_inflate(struct virtio *v, unsigned queue)
{
    virtio_path_each(v, queue, change_pages);
}

/* The host provides pages again when they are touched. */
void balloon_serve_deflate(struct virtio *v, unsigned queue)
{
    virtio_path_each(v, queue, balloon_of(v)->collected.ram ? change_pages : do_nothing);
}

/* ---- free page reporting -------------------------------------------------------------------- */

static bool is_poisoned(const struct virtio_balloon *s)
{
    return s->pci.virtio.features & F_PAGE_POISON && atomic_load(&s->poisoned);
}

static uint32_t report(struct virtio *v, unsigned queue, struct virtqueue_request *r)
{
    struct virtio_balloon *s = balloon_of(v);
    uint64_t offset;

    (void)queue;
    for (unsigned i = r->out; i < (unsigned)r->out + r->in && !is_poisoned(s); i++) {
        lunik_ram *ram = virtqueue_ram_of(r, r->iov[i].iov_base, &offset);

        if (ram)
            discard(s, ram, offset, r->iov[i].iov_len);
    }
    return 0;
}

void balloon_serve_reporting(struct virtio *v, unsigned queue)
{
    virtio_path_each(v, queue, report);
}

/* ---- free page hinting ---------------------------------------------------------------------- */

/* The content of these pages does not matter until the guest writes to them. */
static void hint_piece(struct virtio_balloon *s, const struct virtqueue_request *r,
                       const struct iovec *piece)
{
    lunik_machine *m = lunik_object_machine(lunik_state_object(s));
    lunik_runtime *rt = lunik_machine_runtime(m);
    bool locked = lunik_locked(rt);
    uint64_t offset;
    lunik_ram *ram = virtqueue_ram_of(r, piece->iov_base, &offset);

    if (!ram)
        return;
    if (!locked)
        lunik_lock(rt);
    if (atomic_load(&s->hint) == HINT_STARTED)
        lunik_dirty_test_and_clear(m, LUNIK_DIRTY_MIGRATION, ram, offset, piece->iov_len, NULL);
    if (!locked)
        lunik_unlock(rt);
    atomic_fetch_add(&s->hinted, piece->iov_len);
}

/* The driver repeats the number of the request to begin, and sends another one to end. */
static void take_command(struct virtio_balloon *s, const struct virtqueue_request *r)
{
    bool ours = r->iov[0].iov_len >= 4 &&
                lunik_pci_get_long(r->iov[0].iov_base, 0) == atomic_load(&s->hint_id);
    uint8_t before = ours ? HINT_REQUESTED : HINT_STARTED;

    atomic_compare_exchange_strong(&s->hint, &before, ours ? HINT_STARTED : HINT_STOPPED);
}

static uint32_t hint(struct virtio *v, unsigned queue, struct virtqueue_request *r)
{
    struct virtio_balloon *s = balloon_of(v);

    (void)queue;
    if (r->out)
        take_command(s, r);
    for (unsigned i = r->out; i < (unsigned)r->out + r->in; i++)
        if (atomic_load(&s->hint) == HINT_STARTED)
            hint_piece(s, r, &r->iov[i]);
    return 0;
}

void balloon_serve_hints(struct virtio *v, unsigned queue)
{
    virtio_path_each(v, queue, hint);
}
