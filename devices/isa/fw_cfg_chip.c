/*
 * fw_cfg_chip.c: the registers of the firmware configuration interface (QEMU 7.2,
 * docs/specs/fw_cfg.rst): selector, data and DMA.
 *
 * A DMA operation is carried out within the write that starts it. Its memory may belong to a device
 * whose functions come back here: what is being copied is held, and an operation within another one
 * fails.
 *
 * Not modelled: writing to items.
 */
#include <stdlib.h>

#include "fw_cfg_chip.h"

#define DMA_SIGNATURE UINT64_C(0x51454d5520434647) /* "QEMU CFG" */

/* ---- selector and data ---------------------------------------------------------------------- */

void fw_cfg_select(struct fw_cfg_chip *c, uint16_t key)
{
    key &= (uint16_t)~FW_CFG_WRITE;
    c->key = key;
    c->offset = 0;
    c->current = NULL;
    if (key == FW_CFG_DIRECTORY) {
        fw_cfg_list(c);
        return;
    }

    struct fw_cfg_item *item = fw_cfg_item(c, NULL, key);
    c->current = item;
    if (item && item->source.select)
        item->source.select(item->source.opaque);
}

/* Returns what is selected, or NULL. */
static struct fw_cfg_bytes *selected(const struct fw_cfg_chip *c)
{
    if (c->current)
        return c->current->bytes;
    return c->key == FW_CFG_DIRECTORY ? c->directory : NULL;
}

uint8_t fw_cfg_next(struct fw_cfg_chip *c)
{
    const struct fw_cfg_bytes *bytes = selected(c);

    return bytes && c->offset < bytes->size ? bytes->data[c->offset++] : 0;
}

void fw_cfg_chip_reset(struct fw_cfg_chip *c)
{
    c->key = FW_CFG_SIGNATURE;
    c->current = fw_cfg_item(c, NULL, c->key);
    c->offset = 0;
    c->dma_address = 0;
}

/* ---- DMA ------------------------------------------------------------------------------------ */

struct descriptor {
    uint32_t control, length;
    uint64_t address;
};

static uint64_t get_big(const uint8_t *p, unsigned width)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < width; i++)
        value = value << 8 | p[i];
    return value;
}

static int write_zeros(struct fw_cfg_chip *c, uint64_t address, uint32_t length)
{
    static const uint8_t zeros[4096];
    int rc = length > FW_CFG_ZEROS_MAX ? LUNIK_E_NO_SPACE : 0;

    while (!rc && length) {
        uint32_t n = length < sizeof(zeros) ? length : sizeof(zeros);

        rc = c->memory.write(c->memory.opaque, address, zeros, n);
        address += n;
        length -= n;
    }
    return rc;
}

/* Copies the bytes that follow to guest memory, then zeros. */
static int dma_read(struct fw_cfg_chip *c, const struct descriptor *d)
{
    struct fw_cfg_bytes *bytes = selected(c);
    uint32_t offset = c->offset, n = 0;
    int rc = 0;

    if (d->address + d->length < d->address)
        return LUNIK_E_ACCESS;
    if (bytes && offset < bytes->size) {
        n = bytes->size - offset < d->length ? (uint32_t)(bytes->size - offset) : d->length;
        c->offset += n;
        bytes->refs++;
        rc = c->memory.write(c->memory.opaque, d->address, bytes->data + offset, n);
        fw_cfg_bytes_put(bytes);
    }
    return rc ? rc : write_zeros(c, d->address + n, d->length - n);
}

static void dma_skip(struct fw_cfg_chip *c, uint32_t length)
{
    const struct fw_cfg_bytes *bytes = selected(c);
    size_t left = bytes && c->offset < bytes->size ? bytes->size - c->offset : 0;

    c->offset += left < length ? (uint32_t)left : length;
}

static int carry_out(struct fw_cfg_chip *c, const struct descriptor *d)
{
    if (d->control & FW_CFG_DMA_SELECT)
        fw_cfg_select(c, (uint16_t)(d->control >> 16));
    if (d->control & FW_CFG_DMA_READ)
        return dma_read(c, d);
    if (d->control & FW_CFG_DMA_WRITE)
        return d->length ? LUNIK_E_UNSUPPORTED : 0;
    if (d->control & FW_CFG_DMA_SKIP)
        dma_skip(c, d->length);
    return 0;
}

static void dma_start(struct fw_cfg_chip *c)
{
    uint64_t address = c->dma_address;
    uint8_t raw[FW_CFG_DMA_DESCRIPTOR], answer[4] = {0, 0, 0, FW_CFG_DMA_ERROR};

    c->dma_address = 0;
    if (!c->busy) {
        c->busy = true;
        if (!c->memory.read(c->memory.opaque, address, raw, sizeof(raw))) {
            struct descriptor d = {
                .control = (uint32_t)get_big(raw, 4),
                .length = (uint32_t)get_big(raw + 4, 4),
                .address = get_big(raw + 8, 8),
            };

            if (!carry_out(c, &d))
                answer[3] = 0;
        }
        c->busy = false;
    }
    /* If this can't be written the guest has no other place to learn it from. */
    c->memory.write(c->memory.opaque, address, answer, sizeof(answer));
}

/* Returns value, which has its first byte lowest, with its first byte highest. */
static uint64_t swap(uint64_t value, unsigned size)
{
    return __builtin_bswap64(value) >> (64 - 8 * size);
}

void fw_cfg_dma_write(struct fw_cfg_chip *c, unsigned offset, unsigned size, uint64_t value)
{
    if (size == 8)
        c->dma_address = swap(value, 8);
    else if (offset == 0)
        c->dma_address = swap(value, 4) << 32;
    else
        c->dma_address |= swap(value, 4);
    if (offset + size == 8)
        dma_start(c);
}

uint64_t fw_cfg_dma_read(unsigned offset, unsigned size)
{
    uint64_t bytes = swap(DMA_SIGNATURE, 8) >> 8 * offset;

    return size == 8 ? bytes : bytes & ((UINT64_C(1) << 8 * size) - 1);
}

/* ---- state ---------------------------------------------------------------------------------- */

static const lunik_state_field state_fields[] = {
    LUNIK_STATE(struct fw_cfg_chip, files, .flags = LUNIK_STATE_SAME),
    LUNIK_STATE(struct fw_cfg_chip, key, .limit = FW_CFG_KEY_LAST + 1),
    LUNIK_STATE(struct fw_cfg_chip, offset),
    LUNIK_STATE(struct fw_cfg_chip, dma_address),
    {0},
};

static void loaded(void *state)
{
    struct fw_cfg_chip *c = state;
    uint32_t offset = c->offset;

    fw_cfg_select(c, c->key);
    c->offset = offset;
}

const lunik_state_table fw_cfg_chip_state = {
    .name = "fw-cfg-chip",
    .version = 1,
    .size = sizeof(struct fw_cfg_chip),
    .fields = state_fields,
    .loaded = loaded,
};
