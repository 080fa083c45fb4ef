/* virtio_mem_requests.c: what the guest asks of a virtio-mem device (virtio 1.2, sections 5.15.6
 * to 5.15.6.4). */
#include <string.h>

#include "virtio_mem.h"

enum { REQUEST_SIZE = 24, RESPONSE_SIZE = 10 };

struct request {
    unsigned type;
    uint64_t address, blocks;
};

/* Copies between a buffer and the pieces of an iovec; returns how many bytes. */
static size_t copy(const struct iovec *iov, unsigned count, uint8_t *buf, size_t size, bool out)
{
    size_t done = 0;

    for (unsigned i = 0; i < count && done < size; i++) {
        size_t part = iov[i].iov_len < size - done ? iov[i].iov_len : size - done;

        if (out)
            memcpy(buf + done, iov[i].iov_base, part);
        else
            memcpy(iov[i].iov_base, buf + done, part);
        done += part;
    }
    return done;
}

/* A part that is not whole blocks within what may be used is an error. */
static bool part_of(const struct virtio_mem *s, const struct request *r, uint64_t *offset,
                    uint64_t *size)
{
    *offset = r->address - s->md.address;
    *size = r->blocks * s->block_size; /* 2^16 blocks of less than 2^46 bytes */
    return r->blocks && r->address >= s->md.address && !(*offset % s->block_size) &&
           *offset <= s->usable && *size <= s->usable - *offset;
}

static unsigned plug(struct virtio_mem *s, uint64_t offset, uint64_t size)
{
    if (!mem_all(s, offset, size, false))
        return MEM_ERROR;
    if (s->requested < s->size || size > s->requested - s->size)
        return MEM_NACK;
    return mem_plug(s, offset, size);
}

static unsigned unplug(struct virtio_mem *s, uint64_t offset, uint64_t size)
{
    return mem_all(s, offset, size, true) ? mem_unplug(s, offset, size) : MEM_ERROR;
}

static unsigned state_of(const struct virtio_mem *s, uint64_t offset, uint64_t size)
{
    return mem_all(s, offset, size, true)    ? MEM_PLUGGED
           : mem_all(s, offset, size, false) ? MEM_UNPLUGGED
                                             : MEM_MIXED;
}

static unsigned unplug_all(struct virtio_mem *s)
{
    unsigned answer = mem_unplug_all(s);

    mem_update_usable(s, true);
    return answer;
}

/* With the machine lock. */
static unsigned carry_out(struct virtio_mem *s, const struct request *r, unsigned *state)
{
    uint64_t offset, size, before = s->size;
    unsigned answer = MEM_ERROR;

    if (r->type == MEM_UNPLUG_ALL) {
        answer = unplug_all(s);
    } else if (part_of(s, r, &offset, &size)) {
        if (r->type == MEM_PLUG)
            answer = plug(s, offset, size);
        else if (r->type == MEM_UNPLUG)
            answer = unplug(s, offset, size);
        else if (r->type == MEM_STATE)
            answer = MEM_ACK;
        *state = state_of(s, offset, size);
    }
    if (s->size != before)
        mem_size_changed(s);
    return answer;
}

static uint32_t answer(struct virtio *v, unsigned queue, struct virtqueue_request *r)
{
    struct virtio_mem *s = mem_of(v);
    lunik_runtime *rt = lunik_machine_runtime(lunik_object_machine(virtio_pci_object(v)));
    uint8_t raw[REQUEST_SIZE], response[RESPONSE_SIZE] = {0};
    bool locked = lunik_locked(rt);
    struct request request;
    unsigned state = 0;

    if (copy(r->iov, r->out, raw, sizeof(raw), true) < sizeof(raw) || r->in_size < RESPONSE_SIZE) {
        virtqueue_break(&v->queues[queue], "a request is too short");
        return 0;
    }
    request.type = lunik_pci_get_word(raw, 0);
    request.address = lunik_pci_get_long(raw, 8) | (uint64_t)lunik_pci_get_long(raw, 12) << 32;
    request.blocks = lunik_pci_get_word(raw, 16);
    if (!locked)
        lunik_lock(rt);
    lunik_pci_set_word(response, 0, (uint16_t)carry_out(s, &request, &state));
    if (!locked)
        lunik_unlock(rt);
    if (request.type == MEM_STATE)
        lunik_pci_set_word(response, 8, (uint16_t)state);
    return (uint32_t)copy(r->iov + r->out, r->in, response, sizeof(response), false);
}

void mem_serve(struct virtio *v, unsigned queue)
{
    virtio_path_each(v, queue, answer);
}
