/* i8259_chip.c: see i8259_chip.h. */
#include <string.h>

#include "i8259_chip.h"

#define COMMAND 0
#define DATA    1

#define ICW1        0x10
#define ICW1_IC4    0x01
#define ICW1_SINGLE 0x02
#define ICW2_BASE   0xf8
#define ICW4_AEOI   0x02
#define ICW4_SFNM   0x10

#define OCW3          0x08 /* else OCW2 */
#define OCW3_READ     0x02
#define OCW3_READ_ISR 0x01
#define OCW3_POLL     0x04
#define OCW3_ESMM     0x40
#define OCW3_SMM      0x20
#define OCW2_ROTATE   0x80
#define OCW2_SPECIFIC 0x40
#define OCW2_EOI      0x20
#define OCW2_LEVEL    0x07
#define POLL_REQUEST  0x80
#define SPURIOUS      7
#define NONE          I8259_INPUTS
#define BIT(input)    (uint8_t)(1u << (input))
#define AFTER(input)  (uint8_t)(((input) + 1) % I8259_INPUTS)

/* ---- priorities ----------------------------------------------------------------------------- */

/* Returns how many inputs come before the first of mask; NONE: mask is empty. */
static unsigned rank(const struct i8259 *c, uint8_t mask)
{
    unsigned n = 0;

    while (n < NONE && !(mask & BIT((c->first + n) % I8259_INPUTS)))
        n++;
    return n;
}

static unsigned input_of(const struct i8259 *c, unsigned rank)
{
    return (c->first + rank) % I8259_INPUTS;
}

/* Returns the requests in service that keep others away. */
static uint8_t in_the_way(const struct i8259 *c, bool master)
{
    uint8_t isr = c->isr;

    if (c->special)
        isr &= (uint8_t)~c->imr;
    if (c->nested && master)
        isr &= (uint8_t)~BIT(I8259_CASCADE); /* requests of the other one rank among themselves */
    return isr;
}

/* Returns the input to be acknowledged, or NONE. */
static unsigned requested(const struct i8259 *c, bool master)
{
    unsigned asks = rank(c, (uint8_t)(c->irr & ~c->imr)), busy = rank(c, in_the_way(c, master));

    if (asks == NONE)
        return NONE;
    return asks < busy ? input_of(c, asks) : NONE;
}

/* ---- inputs and outputs --------------------------------------------------------------------- */

static void set_input(struct i8259 *c, unsigned input, bool level)
{
    uint8_t bit = BIT(input);
    bool rises = level && !(c->lines & bit);

    c->lines = level ? c->lines | bit : (uint8_t)(c->lines & ~bit);
    if (c->elcr & bit)
        c->irr = level ? c->irr | bit : (uint8_t)(c->irr & ~bit);
    else if (rises)
        c->irr |= bit;
}

void i8259_update(struct i8259_pair *p)
{
    set_input(&p->pic[I8259_MASTER], I8259_CASCADE, requested(&p->pic[I8259_SLAVE], false) != NONE);
    lunik_irq_set(&p->intr, requested(&p->pic[I8259_MASTER], true) != NONE);
}

void i8259_set_line(struct i8259_pair *p, unsigned irq, bool level)
{
    if (irq == I8259_CASCADE)
        return;
    set_input(&p->pic[irq / I8259_INPUTS], irq % I8259_INPUTS, level);
    i8259_update(p);
}

static void take(struct i8259 *c, unsigned input)
{
    if (!c->auto_eoi)
        c->isr |= BIT(input);
    else if (c->rotate_on_auto_eoi)
        c->first = AFTER(input);
    if (!(c->elcr & BIT(input)))
        c->irr &= (uint8_t)~BIT(input);
}

/* Acknowledges what one of them asks for and returns the input, or NONE. The output of the second
 * goes low meanwhile, so that the first sees the edge of its next request. */
static unsigned acknowledge(struct i8259_pair *p, enum i8259_which which)
{
    struct i8259 *c = &p->pic[which];
    unsigned input = requested(c, which == I8259_MASTER);

    if (input != NONE)
        take(c, input);
    if (which == I8259_SLAVE)
        set_input(&p->pic[I8259_MASTER], I8259_CASCADE, false);
    return input;
}

uint8_t i8259_acknowledge(struct i8259_pair *p)
{
    const struct i8259 *c = &p->pic[I8259_MASTER];
    unsigned input = acknowledge(p, I8259_MASTER);

    if (input == I8259_CASCADE) {
        c = &p->pic[I8259_SLAVE];
        input = acknowledge(p, I8259_SLAVE);
    }
    i8259_update(p);
    return (uint8_t)(c->base + (input == NONE ? SPURIOUS : input));
}

/* ---- commands ------------------------------------------------------------------------------- */

/* Of the requests in service those that a non-specific EOI may end. */
static uint8_t may_end(const struct i8259 *c)
{
    return c->special ? (uint8_t)(c->isr & ~c->imr) : c->isr;
}

static void end(struct i8259 *c, unsigned input, bool rotate)
{
    c->isr &= (uint8_t)~BIT(input);
    if (rotate)
        c->first = AFTER(input);
}

static void write_ocw2(struct i8259 *c, uint8_t value)
{
    bool rotate = value & OCW2_ROTATE, specific = value & OCW2_SPECIFIC;
    unsigned level = value & OCW2_LEVEL, busy = rank(c, may_end(c));

    if (value & OCW2_EOI) {
        if (specific)
            end(c, level, rotate);
        else if (busy != NONE)
            end(c, input_of(c, busy), rotate);
    } else if (!specific) {
        c->rotate_on_auto_eoi = rotate;
    } else if (rotate) {
        c->first = AFTER(level);
    }
}

static void write_ocw3(struct i8259 *c, uint8_t value)
{
    if (value & OCW3_POLL)
        c->poll = true;
    if (value & OCW3_READ)
        c->read_isr = value & OCW3_READ_ISR;
    if (value & OCW3_ESMM)
        c->special = value & OCW3_SMM;
}

/* Inputs that are high need a new edge; levels are looked at again. */
static void write_icw1(struct i8259 *c, uint8_t value)
{
    *c = (struct i8259){
        .lines = c->lines,
        .irr = c->lines & c->elcr,
        .elcr = c->elcr,
        .expect = 2,
        .icw4 = value & ICW1_IC4,
        .single = value & ICW1_SINGLE,
    };
}

static void write_icw(struct i8259 *c, uint8_t value)
{
    if (c->expect == 2) {
        c->base = value & ICW2_BASE;
        c->expect = !c->single ? 3 : c->icw4 ? 4 : 0;
    } else if (c->expect == 3) {
        c->expect = c->icw4 ? 4 : 0;
    } else {
        c->auto_eoi = value & ICW4_AEOI;
        c->nested = value & ICW4_SFNM;
        c->expect = 0;
    }
}

void i8259_write(struct i8259_pair *p, enum i8259_which which, unsigned offset, uint8_t value)
{
    struct i8259 *c = &p->pic[which];

    if (offset == DATA && c->expect)
        write_icw(c, value);
    else if (offset == DATA)
        c->imr = value;
    else if (value & ICW1)
        write_icw1(c, value);
    else if (value & OCW3)
        write_ocw3(c, value);
    else
        write_ocw2(c, value);
    i8259_update(p);
}

static uint8_t read_poll(struct i8259_pair *p, enum i8259_which which)
{
    unsigned input = acknowledge(p, which);

    p->pic[which].poll = false;
    i8259_update(p);
    return input == NONE ? 0 : (uint8_t)(POLL_REQUEST | input);
}

uint8_t i8259_read(struct i8259_pair *p, enum i8259_which which, unsigned offset)
{
    const struct i8259 *c = &p->pic[which];

    if (c->poll)
        return read_poll(p, which);
    if (offset == DATA)
        return c->imr;
    return c->read_isr ? c->isr : c->irr;
}

void i8259_set_elcr(struct i8259_pair *p, uint16_t level_triggered)
{
    level_triggered &= I8259_ELCR_VALID;
    for (unsigned i = 0; i < I8259_COUNT; i++) {
        struct i8259 *c = &p->pic[i];
        uint8_t elcr = (uint8_t)(level_triggered >> I8259_INPUTS * i);

        /* Inputs that are now level triggered ask as long as they are high, others have had no
         * edge. */
        c->irr = (uint8_t)((c->irr & ~(elcr | c->elcr)) | (c->lines & elcr));
        c->elcr = elcr;
    }
    i8259_update(p);
}

/* ---- state ---------------------------------------------------------------------------------- */

#define PIC(field, ...) LUNIK_STATE(struct i8259, field, __VA_ARGS__)
static const lunik_state_field pic_fields[] = {
    PIC(lines),
    PIC(irr),
    PIC(imr),
    PIC(isr),
    PIC(elcr),
    PIC(base),
    PIC(first, .limit = I8259_INPUTS),
    PIC(expect, .limit = 5),
    PIC(icw4),
    PIC(single),
    PIC(auto_eoi),
    PIC(rotate_on_auto_eoi),
    PIC(nested),
    PIC(special),
    PIC(read_isr),
    PIC(poll),
    {0},
};

static int pic_post_load(void *staged, const void *state, uint16_t version, lunik_error *err)
{
    const struct i8259 *c = staged;

    if (c->expect == 1)
        return lunik_fail(err, LUNIK_E_INVALID, "expect: 1 is not possible (want 0, 2, 3 or 4)");
    if (c->base & ~ICW2_BASE)
        return lunik_fail(err, LUNIK_E_INVALID, "base: 0x%02x is no multiple of 8", c->base);
    if ((c->irr ^ c->lines) & c->elcr)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "irr: 0x%02x disagrees with the levels 0x%02x where elcr is 0x%02x",
                          c->irr, c->lines, c->elcr);
    return 0;
}

const lunik_state_table i8259_state = {
    .name = "i8259",
    .version = 1,
    .size = sizeof(struct i8259),
    .fields = pic_fields,
    .post_load = pic_post_load,
};

static int pair_post_load(void *staged, const void *state, uint16_t version, lunik_error *err)
{
    const struct i8259_pair *p = staged;
    uint16_t elcr = i8259_elcr(p);

    if (elcr & ~I8259_ELCR_VALID)
        return lunik_fail(err, LUNIK_E_INVALID, "elcr: 0x%04x has bits beyond 0x%04x", elcr,
                          I8259_ELCR_VALID);
    return 0;
}

static const lunik_state_field pair_fields[] = {
    LUNIK_STATE_STRUCTS(struct i8259_pair, pic, &i8259_state),
    {0},
};

const lunik_state_table i8259_pair_state = {
    .name = "pair",
    .version = 1,
    .size = sizeof(struct i8259_pair),
    .fields = pair_fields,
    .post_load = pair_post_load,
};

/* ---- life cycle ----------------------------------------------------------------------------- */

void i8259_init(struct i8259_pair *p)
{
    memset(p, 0, sizeof(*p));
}

void i8259_reset(struct i8259_pair *p)
{
    for (unsigned i = 0; i < I8259_COUNT; i++) {
        struct i8259 *c = &p->pic[i];

        *c = (struct i8259){.elcr = c->elcr};
    }
    lunik_irq_set(&p->intr, false);
}
