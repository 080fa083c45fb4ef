/*
 * edu.c: the educational PCI device of QEMU's docs/specs/edu: registers in BAR 0, 1 MiB of memory.
 *
 *   00  identification: 0xMMmm00ed
 *   04  liveness: reads as the inverse of what was written
 *   08  factorial: writing n starts it, reading gives n! modulo 2^32
 *   20  status: bit 0 a factorial is computed, bit 7 interrupt after it
 *   24  interrupt status; 60 raise: sets bits; 64 acknowledge: clears bits
 *   80  DMA source, 88 destination, 90 count (64 bits each, also in halves)
 *   98  DMA command: bit 0 start (reads 1 until it is done), bit 1 from the device to memory,
 *       bit 2 interrupt (0x100) at the end
 *
 * The device's 4 KiB buffer is at 0x40000 in its own addresses. A factorial takes 10 us of the
 * machine's clock, a transfer 100 us.
 *
 * Not modelled: the address mask of QEMU's device (dma_mask).
 */
#include <inttypes.h>
#include <string.h>

#include "pci.h"
#include "../ports.h"
#include "../types.h"

#define EDU_ID         0x00
#define EDU_LIVENESS   0x04
#define EDU_FACTORIAL  0x08
#define EDU_STATUS     0x20
#define STATUS_BUSY    0x01u
#define STATUS_IRQ     0x80u
#define EDU_IRQ_STATUS 0x24
#define EDU_IRQ_RAISE  0x60
#define EDU_IRQ_ACK    0x64
#define EDU_DMA_SOURCE 0x80
#define EDU_DMA_TARGET 0x88
#define EDU_DMA_COUNT  0x90
#define EDU_DMA_CMD    0x98
#define DMA_START      UINT64_C(1)
#define DMA_TO_MEMORY  UINT64_C(2)
#define DMA_IRQ        UINT64_C(4)
#define DMA_CMD_BITS   UINT64_C(7)

#define FACTORIAL_IRQ 0x00000001u
#define TRANSFER_IRQ  0x00000100u

#define EDU_VERSION  0x010000edu
#define EDU_BAR_SIZE 0x100000
#define BUFFER_START 0x40000
#define BUFFER_SIZE  4096
#define FACTORIAL_NS 10000u
#define TRANSFER_NS  100000u

struct edu {
    lunik_object *bus;
    char *addr;
    uint64_t acpi_index;

    lunik_pci_function function;
    lunik_region *regs;
    lunik_dma *dma;
    lunik_timer compute, transfer;
    uint32_t liveness, factorial, status, irq_status;
    uint64_t dma_source, dma_target, dma_count, dma_cmd;
    uint8_t buffer[BUFFER_SIZE];
};

/* ---- reset and interrupts ------------------------------------------------------------------- */

static void reset(lunik_object *o)
{
    struct edu *s = lunik_state(o);

    lunik_timer_cancel(&s->compute);
    lunik_timer_cancel(&s->transfer);
    s->liveness = s->factorial = s->status = s->irq_status = 0;
    s->dma_source = s->dma_target = s->dma_count = s->dma_cmd = 0;
    memset(s->buffer, 0, sizeof s->buffer);
    lunik_pci_function_reset(&s->function);
}

static void raise_irq(struct edu *s, uint32_t bits)
{
    s->irq_status |= bits;
    if (!s->irq_status)
        return;
    lunik_pci_intx_set(&s->function, true);
    lunik_pci_vector_send(&s->function, 0);
}

static void acknowledge(struct edu *s, uint32_t bits)
{
    s->irq_status &= ~bits;
    lunik_pci_intx_set(&s->function, s->irq_status != 0);
}

/* ---- factorials ----------------------------------------------------------------------------- */

/* From 34! on it is a multiple of 2^32. */
static uint32_t factorial_of(uint32_t n)
{
    uint32_t result = 1;

    for (; n > 1 && result; n--)
        result *= n;
    return result;
}

static void compute_fired(lunik_timer *timer)
{
    struct edu *s = lunik_container_of(timer, struct edu, compute);

    s->factorial = factorial_of(s->factorial);
    s->status &= ~STATUS_BUSY;
    if (s->status & STATUS_IRQ)
        raise_irq(s, FACTORIAL_IRQ);
}

static uint64_t later(struct edu *s, uint64_t ns)
{
    return lunik_clock_read(lunik_machine_clock(lunik_object_machine(lunik_state_object(s)))) + ns;
}

static void start_compute(struct edu *s, uint32_t n)
{
    if (s->status & STATUS_BUSY)
        return;
    s->factorial = n;
    s->status |= STATUS_BUSY;
    lunik_timer_set(&s->compute, later(s, FACTORIAL_NS));
}

/* ---- DMA ------------------------------------------------------------------------------------ */

/* Returns where in the buffer the transfer is, or NULL if it leaves the buffer. */
static uint8_t *place_of(struct edu *s, uint64_t address)
{
    if (address < BUFFER_START || address > BUFFER_START + BUFFER_SIZE ||
        s->dma_count > BUFFER_START + BUFFER_SIZE - address)
        return NULL;
    return &s->buffer[address - BUFFER_START];
}

/* Carries the transfer out. One that leaves the buffer, or what memory does not take, does nothing.
 */
static void transfer_fired(lunik_timer *timer)
{
    struct edu *s = lunik_container_of(timer, struct edu, transfer);
    bool out = s->dma_cmd & DMA_TO_MEMORY;
    uint8_t *place = place_of(s, out ? s->dma_source : s->dma_target);

    if (place && out)
        lunik_dma_write(s->dma, s->dma_target, place, (size_t)s->dma_count);
    else if (place)
        lunik_dma_read(s->dma, s->dma_source, place, (size_t)s->dma_count);
    s->dma_cmd &= ~DMA_START;
    if (s->dma_cmd & DMA_IRQ)
        raise_irq(s, TRANSFER_IRQ);
}

static void start_transfer(struct edu *s, uint64_t cmd)
{
    s->dma_cmd = cmd & DMA_CMD_BITS;
    if (cmd & DMA_START)
        lunik_timer_set(&s->transfer, later(s, TRANSFER_NS));
}

/* Returns the 64-bit register at an offset; NULL: there is none. */
static uint64_t *wide_register(struct edu *s, uint64_t offset)
{
    switch (offset & ~UINT64_C(7)) {
    case EDU_DMA_SOURCE:
        return &s->dma_source;
    case EDU_DMA_TARGET:
        return &s->dma_target;
    case EDU_DMA_COUNT:
        return &s->dma_count;
    case EDU_DMA_CMD:
        return &s->dma_cmd;
    default:
        return NULL;
    }
}

/* Returns what a 64-bit register holds after a write of it or of a half. */
static uint64_t merge(uint64_t held, uint64_t offset, unsigned size, uint64_t value)
{
    unsigned shift = 8 * (offset & 4);

    if (size == 8)
        return value;
    return (held & ~(UINT64_C(0xffffffff) << shift)) | value << shift;
}

/* ---- registers ------------------------------------------------------------------------------ */

static uint64_t narrow_read(const struct edu *s, uint64_t offset)
{
    switch (offset) {
    case EDU_ID:
        return EDU_VERSION;
    case EDU_LIVENESS:
        return s->liveness;
    case EDU_FACTORIAL:
        return s->factorial;
    case EDU_STATUS:
        return s->status;
    case EDU_IRQ_STATUS:
        return s->irq_status;
    default:
        return UINT64_MAX;
    }
}

static lunik_access read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    struct edu *s = opaque;
    const uint64_t *wide = wide_register(s, offset);

    *value = UINT64_MAX;
    if (wide)
        *value = *wide >> 8 * (offset & 4);
    else if (size == 4)
        *value = narrow_read(s, offset);
    return LUNIK_ACCESS_OK;
}

static void narrow_write(struct edu *s, uint64_t offset, uint32_t value)
{
    switch (offset) {
    case EDU_LIVENESS:
        s->liveness = ~value;
        break;
    case EDU_FACTORIAL:
        start_compute(s, value);
        break;
    case EDU_STATUS:
        s->status = (s->status & STATUS_BUSY) | (value & STATUS_IRQ);
        break;
    case EDU_IRQ_RAISE:
        raise_irq(s, value);
        break;
    case EDU_IRQ_ACK:
        acknowledge(s, value);
        break;
    default:
        break;
    }
}

/* While a transfer is under way its registers keep what they hold. */
static lunik_access write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct edu *s = opaque;
    uint64_t *wide = wide_register(s, offset);

    if (wide && !(s->dma_cmd & DMA_START)) {
        uint64_t merged = merge(*wide, offset, size, value);

        if (wide == &s->dma_cmd)
            start_transfer(s, merged);
        else
            *wide = merged;
    } else if (!wide && size == 4) {
        narrow_write(s, offset, (uint32_t)value);
    }
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops regs_ops = {
    .read = read,
    .write = write,
    .valid = {.min = 4, .max = 8},
    .impl = {.min = 4, .max = 8},
};

/* ---- life cycle ----------------------------------------------------------------------------- */

static void unrealize(lunik_object *o)
{
    struct edu *s = lunik_state(o);

    lunik_timer_cancel(&s->compute);
    lunik_timer_cancel(&s->transfer);
    lunik_pci_device_remove(&s->function);
    lunik_pci_dma_free(&s->function, s->dma);
    s->dma = NULL;
    device_region_drop(&s->regs);
}

static int realize(lunik_object *o, lunik_error *err)
{
    struct edu *s = lunik_state(o);
    lunik_machine *m = lunik_object_machine(o);
    int rc;

    lunik_timer_init(&s->compute, m, compute_fired);
    lunik_timer_init(&s->transfer, m, transfer_fired);
    lunik_pci_function_init(&s->function, o, 0x1234, 0x11e8, 0x10, 0x00ff00);
    s->function.initial[LUNIK_PCI_INTERRUPT_PIN] = 1;
    rc = pci_registers_init(&s->function, &s->regs, "edu-mmio", EDU_BAR_SIZE, &regs_ops, err);
    if (!rc)
        rc = lunik_pci_msi_init(&s->function, 1, LUNIK_PCI_MSI_64, 0, err);
    if (!rc)
        rc = lunik_pci_function_level_reset_init(&s->function, err);
    if (!rc)
        rc = lunik_pci_dma_new(&s->function, &s->dma, err);
    if (!rc)
        rc = lunik_pci_device_add(s->bus, s->addr, &s->function, err);
    if (rc)
        unrealize(o);
    return rc;
}

static const lunik_prop props[] = {
    LUNIK_PCI_DEVICE_PROPS(struct edu, "auto"),
    LUNIK_PCI_ACPI_INDEX_PROP(struct edu),
    {0},
};

/* ---- state ---------------------------------------------------------------------------------- */

static int post_load(void *staged, const void *state, uint16_t version, lunik_error *err)
{
    const struct edu *s = staged;

    if (s->status & ~(STATUS_BUSY | STATUS_IRQ))
        return lunik_fail(err, LUNIK_E_INVALID, "status: 0x%x has bits beyond 0x%x", s->status,
                          STATUS_BUSY | STATUS_IRQ);
    if (s->dma_cmd & ~DMA_CMD_BITS)
        return lunik_fail(err, LUNIK_E_INVALID, "dma_cmd: 0x%" PRIx64 " has bits beyond 0x%" PRIx64,
                          s->dma_cmd, DMA_CMD_BITS);
    return 0;
}

static const lunik_state_field state_fields[] = {
    LUNIK_STATE_STRUCT(struct edu, function, &lunik_pci_function_state),
    LUNIK_STATE(struct edu, compute),
    LUNIK_STATE(struct edu, transfer),
    LUNIK_STATE(struct edu, liveness),
    LUNIK_STATE(struct edu, factorial),
    LUNIK_STATE(struct edu, status),
    LUNIK_STATE(struct edu, irq_status),
    LUNIK_STATE(struct edu, dma_source),
    LUNIK_STATE(struct edu, dma_target),
    LUNIK_STATE(struct edu, dma_count),
    LUNIK_STATE(struct edu, dma_cmd),
    LUNIK_STATE_ARRAY(struct edu, buffer),
    {0},
};

static const lunik_state_table state_table = {
    .name = "edu",
    .version = 1,
    .size = sizeof(struct edu),
    .fields = state_fields,
    .post_load = post_load,
};

const lunik_type edu_type = {
    .name = "edu",
    .doc = "Educational PCI device: factorials, DMA, interrupts (QEMU's docs/specs/edu).",
    .flags = LUNIK_TYPE_DEVICE | LUNIK_TYPE_HOTPLUG | LUNIK_TYPE_UNPLUG,
    .size = sizeof(struct edu),
    .props = props,
    .realize = realize,
    .unrealize = unrealize,
    .reset = reset,
    .hotplug = "pci",
    .state = &state_table,
};
