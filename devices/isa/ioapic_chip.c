/* ioapic_chip.c: see ioapic_chip.h. */
#include <inttypes.h>

#include "ioapic_chip.h"

#define REG_ID          0x00
#define REG_VERSION     0x01
#define REG_ARBITRATION 0x02
#define REG_REDIRECTION 0x10

#define ID_SHIFT 24
#define ID_MASK  0x0f
#define VERSION  (0x20 | (IOAPIC_PINS - 1) << 16)

#define WRITABLE                                                                                   \
    (IOAPIC_VECTOR | IOAPIC_DELIVERY | IOAPIC_LOGICAL | IOAPIC_LOW | IOAPIC_LEVEL |                \
     IOAPIC_MASKED | IOAPIC_DESTINATION)

/* Delivery modes. */
#define FIXED  0
#define LOWEST 1

/* Address and data of a message (SDM vol. 3A, section 10.11). */
#define MSI_ADDRESS           UINT64_C(0xfee00000)
#define MSI_DESTINATION_SHIFT 12
#define MSI_LOGICAL           4
#define MSI_LEVEL             0x8000

/* ---- redirection entries -------------------------------------------------------------------- */

static unsigned delivery(uint64_t entry)
{
    return (unsigned)((entry & IOAPIC_DELIVERY) >> IOAPIC_DELIVERY_SHIFT);
}

static bool is_reserved(uint64_t entry)
{
    return delivery(entry) == 3 || delivery(entry) == 6;
}

/* Only local APICs that take an interrupt by its vector end it: other modes are edge triggered. */
static bool is_level(uint64_t entry)
{
    return entry & IOAPIC_LEVEL && delivery(entry) <= LOWEST;
}

bool ioapic_message(const struct ioapic_chip *c, unsigned pin, lunik_msi *out)
{
    uint64_t e = c->redirection[pin];

    if (e & IOAPIC_REMOTE_IRR)
        e = c->sent[pin];
    if (e & IOAPIC_MASKED || is_reserved(e))
        return false;
    *out = (lunik_msi){
        .address = MSI_ADDRESS | e >> IOAPIC_DESTINATION_SHIFT << MSI_DESTINATION_SHIFT |
                   (e & IOAPIC_LOGICAL ? MSI_LOGICAL : 0),
        .data = (uint32_t)(e & (IOAPIC_VECTOR | IOAPIC_DELIVERY)) | (is_level(e) ? MSI_LEVEL : 0),
    };
    return true;
}

/* ---- interrupts ----------------------------------------------------------------------------- */

static void send_pin(struct ioapic_chip *c, unsigned pin)
{
    uint64_t *e = &c->redirection[pin];
    lunik_msi msg;

    if (*e & IOAPIC_MASKED || !ioapic_message(c, pin, &msg))
        return;
    if (is_level(*e)) {
        c->sent[pin] = *e;
        *e |= IOAPIC_REMOTE_IRR;
    }
    c->send(c->opaque, pin, &msg);
}

/* Sends what a level-triggered input asks for. */
static void look_at(struct ioapic_chip *c, unsigned pin)
{
    uint64_t e = c->redirection[pin];

    if (c->lines >> pin & 1 && is_level(e) && !(e & IOAPIC_REMOTE_IRR))
        send_pin(c, pin);
}

void ioapic_set_line(struct ioapic_chip *c, unsigned pin, bool level)
{
    uint32_t bit = UINT32_C(1) << pin;
    bool rises = level && !(c->lines & bit);

    c->lines = level ? c->lines | bit : c->lines & ~bit;
    if (!rises)
        return;
    if (is_level(c->redirection[pin]))
        look_at(c, pin);
    else
        send_pin(c, pin);
}

/* Reports if the message of a pin is another than before. */
static void compare_message(struct ioapic_chip *c, unsigned pin, bool had, const lunik_msi *old)
{
    lunik_msi msg;
    bool has = ioapic_message(c, pin, &msg);

    if (has != had || (has && (msg.address != old->address || msg.data != old->data)))
        c->changed(c->opaque);
}

void ioapic_end(struct ioapic_chip *c, uint8_t vector)
{
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        uint64_t *e = &c->redirection[pin];
        lunik_msi old = {0};
        bool had;

        if ((*e & IOAPIC_VECTOR) != vector || !(*e & IOAPIC_REMOTE_IRR))
            continue;
        had = ioapic_message(c, pin, &old);
        *e &= ~IOAPIC_REMOTE_IRR;
        compare_message(c, pin, had, &old);
        look_at(c, pin);
    }
}

/* ---- registers ------------------------------------------------------------------------------ */

static uint32_t read_window(const struct ioapic_chip *c)
{
    unsigned half = c->select - REG_REDIRECTION;

    switch (c->select) {
    case REG_ID:
    case REG_ARBITRATION:
        return (uint32_t)c->id << ID_SHIFT;
    case REG_VERSION:
        return VERSION;
    default:
        if (c->select < REG_REDIRECTION || half >= 2 * IOAPIC_PINS)
            return 0;
        return (uint32_t)(c->redirection[half / 2] >> 32 * (half & 1));
    }
}

/* Writes half of an entry. An interrupt that is under way ends when its input becomes edge
 * triggered, which is how systems end one without the EOI register. */
static void write_entry(struct ioapic_chip *c, unsigned pin, unsigned shift, uint32_t value)
{
    uint64_t *e = &c->redirection[pin];
    uint64_t mask = WRITABLE & UINT64_C(0xffffffff) << shift;
    lunik_msi old = {0};
    bool had = ioapic_message(c, pin, &old);

    *e = (*e & ~mask) | ((uint64_t)value << shift & mask);
    if (!is_level(*e))
        *e &= ~IOAPIC_REMOTE_IRR;
    compare_message(c, pin, had, &old);
    look_at(c, pin);
}

static void write_window(struct ioapic_chip *c, uint32_t value)
{
    unsigned half = c->select - REG_REDIRECTION;

    if (c->select == REG_ID)
        c->id = value >> ID_SHIFT & ID_MASK;
    else if (c->select >= REG_REDIRECTION && half < 2 * IOAPIC_PINS)
        write_entry(c, half / 2, 32 * (half & 1), value);
}

uint32_t ioapic_read(const struct ioapic_chip *c, unsigned offset)
{
    if (offset == IOAPIC_SELECT)
        return c->select;
    return offset == IOAPIC_WINDOW ? read_window(c) : 0;
}

void ioapic_write(struct ioapic_chip *c, unsigned offset, uint32_t value)
{
    if (offset == IOAPIC_SELECT)
        c->select = (uint8_t)value;
    else if (offset == IOAPIC_WINDOW)
        write_window(c, value);
    else if (offset == IOAPIC_EOI)
        ioapic_end(c, (uint8_t)value);
}

/* ---- state ---------------------------------------------------------------------------------- */

static int post_load(void *staged, const void *state, uint16_t version, lunik_error *err)
{
    struct ioapic_chip *c = staged;

    if (c->lines >> IOAPIC_PINS)
        return lunik_fail(err, LUNIK_E_INVALID, "lines: 0x%08x has bits beyond 0x%06x", c->lines,
                          (1u << IOAPIC_PINS) - 1);
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        uint64_t e = c->redirection[pin];

        if (version < 2)
            c->sent[pin] = e & ~IOAPIC_MASKED;
        if (e & ~(WRITABLE | IOAPIC_REMOTE_IRR) || (e & IOAPIC_REMOTE_IRR && !is_level(e)))
            return lunik_fail(err, LUNIK_E_INVALID,
                              "redirection: [%u]: 0x%016" PRIx64 " is not possible", pin, e);
        if (e & IOAPIC_REMOTE_IRR && !is_level(c->sent[pin]))
            return lunik_fail(err, LUNIK_E_INVALID,
                              "sent: [%u]: 0x%016" PRIx64 " is not level triggered", pin,
                              c->sent[pin]);
    }
    return 0;
}

static const lunik_state_field state_fields[] = {
    LUNIK_STATE(struct ioapic_chip, lines),
    LUNIK_STATE(struct ioapic_chip, select),
    LUNIK_STATE(struct ioapic_chip, id, .limit = ID_MASK + 1),
    LUNIK_STATE_ARRAY(struct ioapic_chip, redirection),
    LUNIK_STATE_ARRAY(struct ioapic_chip, sent, .since = 2),
    {0},
};

const lunik_state_table ioapic_chip_state = {
    .name = "chip",
    .version = 2,
    .size = sizeof(struct ioapic_chip),
    .fields = state_fields,
    .post_load = post_load,
};

/* ---- life cycle ----------------------------------------------------------------------------- */

void ioapic_reset(struct ioapic_chip *c)
{
    c->lines = 0;
    c->select = 0;
    c->id = 0;
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
        c->redirection[pin] = IOAPIC_MASKED;
    c->changed(c->opaque);
}

void ioapic_init(struct ioapic_chip *c,
                 void (*send)(void *opaque, unsigned pin, const lunik_msi *msg),
                 void (*changed)(void *opaque), void *opaque)
{
    *c = (struct ioapic_chip){.send = send, .changed = changed, .opaque = opaque};
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
        c->redirection[pin] = IOAPIC_MASKED;
}
