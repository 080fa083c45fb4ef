/* virtio_mem_blocks.c: which blocks of a virtio-mem device are plugged; those that are not are the
 * host's. */
#include <stdlib.h>
#include <string.h>

#include "virtio_mem.h"

enum { WORD_BITS = 64 };

static bool is_plugged(const struct virtio_mem *s, uint64_t block)
{
    return s->plugged[block / WORD_BITS] >> block % WORD_BITS & 1;
}

static uint64_t count_of(const struct virtio_mem *s)
{
    return s->md.size / s->block_size;
}

static void mark(struct virtio_mem *s, uint64_t offset, uint64_t size, bool plugged)
{
    uint64_t end = (offset + size) / s->block_size;

    for (uint64_t i = offset / s->block_size; i < end; i++) {
        uint64_t bit = UINT64_C(1) << i % WORD_BITS;

        if (plugged)
            s->plugged[i / WORD_BITS] |= bit;
        else
            s->plugged[i / WORD_BITS] &= ~bit;
    }
}

/* Returns the first block from i on that is plugged, or is not. */
static uint64_t find(const struct virtio_mem *s, uint64_t i, bool plugged)
{
    uint64_t count = count_of(s);

    while (i < count && is_plugged(s, i) != plugged)
        i++;
    return i;
}

/* The first run at or after *offset. */
static bool next_run(const struct virtio_mem *s, bool plugged, uint64_t *offset, uint64_t *size)
{
    uint64_t first = find(s, *offset / s->block_size, plugged), start = first * s->block_size;

    if (first >= count_of(s))
        return false;
    *offset = start > *offset ? start : *offset;
    *size = find(s, first, !plugged) * s->block_size - *offset;
    return true;
}

bool mem_all(const struct virtio_mem *s, uint64_t offset, uint64_t size, bool plugged)
{
    return find(s, offset / s->block_size, !plugged) * s->block_size >= offset + size;
}

/* ---- changes -------------------------------------------------------------------------------- */

unsigned mem_plug(struct virtio_mem *s, uint64_t offset, uint64_t size)
{
    if (lunik_ram_populate(s->ram, offset, size, NULL))
        return MEM_BUSY;
    mark(s, offset, size, true);
    s->size += size;
    return MEM_ACK;
}

unsigned mem_unplug(struct virtio_mem *s, uint64_t offset, uint64_t size)
{
    if (lunik_ram_discard(s->ram, offset, size, NULL))
        return MEM_BUSY;
    lunik_ram_depopulate(s->ram, offset, size);
    mark(s, offset, size, false);
    s->size -= size;
    return MEM_ACK;
}

unsigned mem_unplug_all(struct virtio_mem *s)
{
    uint64_t size;

    for (uint64_t offset = 0; next_run(s, true, &offset, &size); offset += size)
        if (mem_unplug(s, offset, size))
            return MEM_BUSY;
    return MEM_ACK;
}

int mem_blocks_loaded(struct virtio_mem *s, lunik_error *err)
{
    uint64_t size;
    int rc = 0;

    lunik_ram_depopulate(s->ram, 0, s->md.size);
    for (uint64_t at = 0; next_run(s, false, &at, &size); at += size)
        lunik_ram_discard(s->ram, at, size, NULL);
    s->size = 0;
    for (uint64_t at = 0; !rc && next_run(s, true, &at, &size); at += size) {
        rc = lunik_ram_populate(s->ram, at, size, err);
        s->size += size;
    }
    return rc;
}

/* ---- life cycle ----------------------------------------------------------------------------- */

static bool next_part(const lunik_populate_manager *manager, uint64_t *offset, uint64_t *size)
{
    return next_run(lunik_container_of(manager, struct virtio_mem, manager), true, offset, size);
}

int mem_blocks_init(struct virtio_mem *s, lunik_error *err)
{
    int rc;

    s->words = (uint32_t)((count_of(s) + WORD_BITS - 1) / WORD_BITS);
    s->plugged = calloc(s->words, sizeof(uint64_t));
    s->size = 0;
    if (!s->plugged)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "virtio-mem-pci: no memory for %u words",
                          s->words);
    s->manager.next = next_part;
    rc = lunik_ram_discard(s->ram, 0, s->md.size, err);
    if (!rc)
        rc = lunik_ram_set_manager(s->ram, &s->manager, err);
    if (rc) {
        free(s->plugged);
        s->plugged = NULL;
        return lunik_fail_prefix(err, rc, "virtio-mem-pci: memdev");
    }
    return 0;
}

void mem_blocks_fini(struct virtio_mem *s)
{
    lunik_ram_set_manager(s->ram, NULL, NULL);
    free(s->plugged);
    s->plugged = NULL;
}
