/* queue_chain.c: requests, and the chains of buffers that they are made of. */
#include <inttypes.h>
#include <string.h>

#include "queue_internal.h"

/* ---- the pool ------------------------------------------------------------------------------- */

struct virtqueue_request *virtqueue_request_new(struct virtqueue *q)
{
    struct virtqueue_request *r = q->spare;

    if (!r) {
        virtqueue_break(q, "more than %u requests are available at once", q->max_size);
        return NULL;
    }
    q->spare = r->next;
    r->next = NULL;
    r->out = r->in = 0;
    r->out_size = r->in_size = 0;
    r->descriptors = r->buffers = 0;
    r->map = q->map;
    q->map->refs++;
    q->in_flight++;
    return r;
}

void virtqueue_request_free(struct virtqueue *q, struct virtqueue_request *r)
{
    virtqueue_map_unref(q, r->map);
    r->map = NULL;
    r->next = q->spare;
    q->spare = r;
    q->in_flight--;
}

/* ---- buffers -------------------------------------------------------------------------------- */

static bool check_buffer(struct virtqueue *q, const struct virtqueue_request *r,
                         const struct descriptor *d, bool write)
{
    const uint64_t most = UINT64_C(1) << 32;

    if (!d->length)
        virtqueue_break(q, "the buffer at 0x%" PRIx64 " has no bytes", d->address);
    else if (d->length - 1 > UINT64_MAX - d->address)
        virtqueue_break(q, "the buffer at 0x%" PRIx64 " of %" PRIu32 " bytes goes past 2^64",
                        d->address, d->length);
    else if (!write && r->in)
        virtqueue_break(q, "the buffer at 0x%" PRIx64 " to be read follows one to be written",
                        d->address);
    else if (r->out_size + r->in_size + d->length > most)
        virtqueue_break(q, "a request has more than 4 GiB");
    return !q->broken;
}

bool virtqueue_add_buffer(struct virtqueue *q, struct virtqueue_request *r,
                          const struct descriptor *d, bool write)
{
    uint64_t address = d->address, left = d->length;

    if (!check_buffer(q, r, d, write))
        return false;
    while (left) {
        const lunik_dma_window *w = virtqueue_window(q, address);
        struct iovec *piece = &r->iov[r->out + r->in];
        uint64_t size = left;

        if (!w || (write && !w->writable)) {
            virtqueue_break(q, "the buffer at 0x%" PRIx64 " is not in %sRAM", address,
                            write ? "writable " : "");
            return false;
        }
        if (r->out + r->in >= q->segments) {
            virtqueue_break(q, "a request has more than %u pieces", q->segments);
            return false;
        }
        if (size - 1 > w->last - address)
            size = w->last - address + 1;
        piece->iov_base = (uint8_t *)w->host + (address - w->first);
        piece->iov_len = size;
        *(write ? &r->in : &r->out) += 1;
        address += size;
        left -= size;
    }
    *(write ? &r->in_size : &r->out_size) += d->length;
    if (q->buffers)
        virtqueue_note_buffer(q, r, d, write);
    return true;
}

/* ---- descriptors ---------------------------------------------------------------------------- */

/* Guest memory may be written meanwhile: each half is read once. Indirect tables are where the
 * driver likes. */
struct halves {
    uint64_t address;
    uint64_t rest;
} __attribute__((packed));

void virtqueue_copy_descriptor(const uint8_t *from, struct descriptor *out)
{
    const volatile struct halves *halves = (const volatile struct halves *)from;
    uint64_t rest = halves->rest;

    out->address = halves->address;
    out->length = (uint32_t)rest;
    out->first = (uint16_t)(rest >> 32);
    out->second = (uint16_t)(rest >> 48);
}

bool virtqueue_table(struct virtqueue *q, const struct descriptor *d, uint32_t *entries)
{
    *entries = d->length / 16;
    if (!q->indirect)
        virtqueue_break(q, "an indirect table is used without VIRTIO_F_INDIRECT_DESC");
    else if (!d->length || d->length % 16)
        virtqueue_break(q, "an indirect table has %" PRIu32 " bytes, not a multiple of 16",
                        d->length);
    else if (d->length - 1 > UINT64_MAX - d->address)
        virtqueue_break(q, "the indirect table at 0x%" PRIx64 " goes past 2^64", d->address);
    return !q->broken;
}

bool virtqueue_table_entry(struct virtqueue *q, uint64_t address, struct descriptor *out)
{
    uint8_t bytes[16];

    for (unsigned i = 0; i < sizeof(bytes);) {
        const lunik_dma_window *w = virtqueue_window(q, address + i);
        const uint8_t *host;
        uint64_t here;

        if (!w) {
            virtqueue_break(q, "the indirect table at 0x%" PRIx64 " is not in RAM", address);
            return false;
        }
        host = (const uint8_t *)w->host + (address + i - w->first);
        here = w->last - (address + i);
        if (!i && here >= sizeof(bytes) - 1) {
            virtqueue_copy_descriptor(host, out);
            return true;
        }
        for (uint64_t n = 0; n <= here && i < sizeof(bytes); n++)
            bytes[i++] = *(const volatile uint8_t *)host++;
    }
    virtqueue_copy_descriptor(bytes, out);
    return true;
}
