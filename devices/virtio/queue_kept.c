/*
 * queue_kept.c: requests that are taken again, since they could not be carried out.
 *
 * They are kept as the buffers that they had: of a packed ring the descriptors may have been
 * written over meanwhile, by others that were shown as used. For each there is a word with its id,
 * its descriptors in the ring and its buffers, 16 bits each from bit 0 on, and for each buffer one
 * with the address and one with the length, and bit 32 if the device writes it.
 */
#include <stdlib.h>
#include <string.h>

#include "queue_internal.h"

#define WRITES (UINT64_C(1) << 32)

static uint16_t id_of(uint64_t head)
{
    return (uint16_t)head;
}

static uint16_t descriptors_of(uint64_t head)
{
    return (uint16_t)(head >> 16);
}

static uint32_t words_of(uint64_t head)
{
    return 1 + 2 * (uint32_t)(uint16_t)(head >> 32);
}

/* ---- noting --------------------------------------------------------------------------------- */

int virtqueue_note_buffers(struct virtqueue *q, lunik_error *err)
{
    if (!q->buffers)
        q->buffers = calloc((size_t)q->max_size * q->segments, 2 * sizeof(*q->buffers));
    return q->buffers ? 0
                      : lunik_fail(err, LUNIK_E_NO_MEMORY, "no memory for a queue of %u entries",
                                   q->max_size);
}

static uint64_t *buffers_of(const struct virtqueue *q, const struct virtqueue_request *r)
{
    return q->buffers + (size_t)2 * q->segments * (size_t)(r - q->pool);
}

/* There are no more buffers than pieces. */
void virtqueue_note_buffer(struct virtqueue *q, struct virtqueue_request *r,
                           const struct descriptor *d, bool write)
{
    uint64_t *words = buffers_of(q, r) + (size_t)2 * r->buffers++;

    words[0] = d->address;
    words[1] = d->length | (write ? WRITES : 0);
}

/* ---- keeping -------------------------------------------------------------------------------- */

static bool append(struct virtqueue *q, const struct virtqueue_request *r)
{
    uint64_t head = r->id | (uint64_t)r->descriptors << 16 | (uint64_t)r->buffers << 32;
    uint32_t words = words_of(head);
    uint64_t *kept = realloc(q->kept, (q->kept_words + (size_t)words) * sizeof(*kept));

    if (!kept)
        return false;
    q->kept = kept;
    kept[q->kept_words] = head;
    memcpy(&kept[q->kept_words + 1], buffers_of(q, r), (words - 1) * sizeof(*kept));
    q->kept_words += words;
    return true;
}

/* A queue that is broken or has been reset forgets it. */
bool virtqueue_keep(struct virtqueue *q, struct virtqueue_request *r)
{
    if (q->enabled && !q->broken && !append(q, r))
        return false;
    virtqueue_request_free(q, r);
    virtqueue_release(q);
    return true;
}

/* ---- taking again --------------------------------------------------------------------------- */

static struct virtqueue_request *take(struct virtqueue *q, const uint64_t *words)
{
    struct virtqueue_request *r = virtqueue_request_new(q);
    uint32_t count = words_of(words[0]);

    if (!r)
        return NULL;
    r->id = id_of(words[0]);
    r->descriptors = descriptors_of(words[0]);
    for (uint32_t i = 1; i < count; i += 2) {
        const struct descriptor d = {.address = words[i], .length = (uint32_t)words[i + 1]};

        if (!virtqueue_add_buffer(q, r, &d, words[i + 1] & WRITES)) {
            virtqueue_request_free(q, r);
            return NULL;
        }
    }
    return r;
}

unsigned virtqueue_take_kept(struct virtqueue *q, struct virtqueue_request **out, unsigned max)
{
    unsigned count = 0;
    uint32_t at = 0;

    while (count < max && at < q->kept_words && (out[count] = take(q, &q->kept[at]))) {
        at += words_of(q->kept[at]);
        count++;
    }
    q->kept_words -= at;
    memmove(q->kept, q->kept + at, q->kept_words * sizeof(*q->kept));
    return count;
}

/* ---- state ---------------------------------------------------------------------------------- */

int virtqueue_check_kept(const struct virtqueue *q, uint16_t segments, lunik_error *err)
{
    uint32_t at = 0, count = 0, owned = 0;

    while (at < q->kept_words) {
        uint64_t head = q->kept[at];
        uint32_t words = words_of(head);

        owned += descriptors_of(head);
        if ((!q->packed && id_of(head) >= q->size) || (q->packed && owned > q->size) || words < 3 ||
            words / 2 > segments || words > q->kept_words - at || ++count > q->size)
            return lunik_fail(err, LUNIK_E_INVALID,
                              "kept: word %u, 0x%llx, begins no request of a queue of %u", at,
                              (unsigned long long)head, q->size);
        at += words;
    }
    return 0;
}

void virtqueue_own_kept(struct virtqueue *q)
{
    for (uint32_t at = 0; at < q->kept_words; at += words_of(q->kept[at])) {
        if (!q->packed)
            q->busy[id_of(q->kept[at])] = true;
        q->owned += descriptors_of(q->kept[at]);
    }
}
