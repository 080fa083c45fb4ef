/* i8259_model.h: a pair of 8259As written from the data sheet in another way than the device: each
 * input has flags of its own, and priorities are a list. Compared with the register model after
 * every random step. */
#ifndef SPEC_I8259_MODEL_H
#define SPEC_I8259_MODEL_H

#include <stdio.h>
#include <string.h>

#include "devices/isa/i8259_chip.h"

struct model_input {
    bool high, request, masked, serviced, level;
};

struct model_pic {
    struct model_input in[8];
    unsigned order[8]; /* highest priority first */
    unsigned vector, icw;
    bool icw4, single, aeoi, rotate_aeoi, sfnm, smm, show_isr, poll, second;
};

static struct model_pic model[2];

/* Returns the input that it asks for, or -1. */
static int model_asks(const struct model_pic *p)
{
    for (unsigned n = 0; n < 8; n++) {
        const struct model_input *in = &p->in[p->order[n]];
        bool blocks = in->serviced && !(p->smm && in->masked);

        if (blocks && !(p->sfnm && !p->second && p->order[n] == 2))
            return -1;
        if (in->request && !in->masked)
            return (int)p->order[n];
    }
    return -1;
}

static void model_input(struct model_pic *p, unsigned i, bool high)
{
    struct model_input *in = &p->in[i];

    if (in->level)
        in->request = high;
    else if (high && !in->high)
        in->request = true;
    in->high = high;
}

static void model_cascade(void)
{
    model_input(&model[0], 2, model_asks(&model[1]) >= 0);
}

static void model_lowest(struct model_pic *p, unsigned i)
{
    while (p->order[7] != i) {
        unsigned first = p->order[0];

        memmove(p->order, p->order + 1, 7 * sizeof(unsigned));
        p->order[7] = first;
    }
}

static int model_take(struct model_pic *p)
{
    int i = model_asks(p);

    if (i >= 0) {
        if (!p->in[i].level)
            p->in[i].request = false;
        if (!p->aeoi)
            p->in[i].serviced = true;
        else if (p->rotate_aeoi)
            model_lowest(p, (unsigned)i);
    }
    if (p->second)
        model_input(&model[0], 2, false);
    return i;
}

static unsigned model_acknowledge(void)
{
    struct model_pic *p = &model[0];
    int i = model_take(p);

    if (i == 2) {
        p = &model[1];
        i = model_take(p);
    }
    model_cascade();
    return p->vector + (i < 0 ? 7 : (unsigned)i);
}

static uint8_t model_bits(const struct model_pic *p, unsigned which)
{
    uint8_t bits = 0;

    for (unsigned i = 0; i < 8; i++) {
        const bool flags[] = {p->in[i].request, p->in[i].masked, p->in[i].serviced};

        bits |= (uint8_t)(flags[which] << i);
    }
    return bits;
}

static uint8_t model_read(unsigned which, unsigned offset)
{
    struct model_pic *p = &model[which];
    int i;

    if (!p->poll)
        return model_bits(p, offset ? 1 : p->show_isr ? 2 : 0);
    i = model_take(p);
    p->poll = false;
    model_cascade();
    return i < 0 ? 0 : (uint8_t)(0x80 + i);
}

static void model_eoi(struct model_pic *p, bool rotate, int i)
{
    for (unsigned n = 0; i < 0 && n < 8; n++) {
        const struct model_input *in = &p->in[p->order[n]];

        if (in->serviced && !(p->smm && in->masked))
            i = (int)p->order[n];
    }
    if (i < 0)
        return;
    p->in[i].serviced = false;
    if (rotate)
        model_lowest(p, (unsigned)i);
}

static void model_ocw2(struct model_pic *p, uint8_t value)
{
    switch (value >> 5) {
    case 0:
    case 4:
        p->rotate_aeoi = value >> 7;
        break;
    case 1:
    case 5:
        model_eoi(p, value >> 7, -1);
        break;
    case 3:
    case 7:
        model_eoi(p, value >> 7, value & 7);
        break;
    case 6:
        model_lowest(p, value & 7);
        break;
    default:
        break;
    }
}

static void model_icw1(struct model_pic *p, uint8_t value)
{
    for (unsigned i = 0; i < 8; i++) {
        p->in[i].masked = p->in[i].serviced = false;
        p->in[i].request = p->in[i].level && p->in[i].high;
        p->order[i] = i;
    }
    p->vector = 0;
    p->aeoi = p->rotate_aeoi = p->sfnm = p->smm = p->show_isr = p->poll = false;
    p->icw4 = value & 1;
    p->single = value & 2;
    p->icw = 2;
}

static void model_data(struct model_pic *p, uint8_t value)
{
    switch (p->icw) {
    case 2:
        p->vector = value / 8u * 8u;
        break;
    case 4:
        p->aeoi = value & 2;
        p->sfnm = value & 16;
        break;
    case 0:
        for (unsigned i = 0; i < 8; i++)
            p->in[i].masked = value >> i & 1;
        return;
    default:
        break;
    }
    p->icw++;
    if (p->icw == 3 && p->single)
        p->icw++;
    if (p->icw > 4 || (p->icw == 4 && !p->icw4))
        p->icw = 0;
}

static void model_write(unsigned which, unsigned offset, uint8_t value)
{
    struct model_pic *p = &model[which];

    if (offset) {
        model_data(p, value);
    } else if (value & 0x10) {
        model_icw1(p, value);
    } else if (value & 8) {
        p->poll = p->poll || value & 4;
        if (value & 2)
            p->show_isr = value & 1;
        if (value & 0x40)
            p->smm = value & 0x20;
    } else {
        model_ocw2(p, value);
    }
    model_cascade();
}

static void model_elcr(uint16_t value)
{
    for (unsigned i = 0; i < 16; i++) {
        struct model_input *in = &model[i / 8].in[i % 8];
        bool level = value >> i & 1 && i > 2 && i != 8 && i != 13;

        if (level || in->level)
            in->request = level && in->high;
        in->level = level;
    }
    model_cascade();
}

/* ---- the two side by side ------------------------------------------------------------------- */

static struct i8259_pair pair;
static char wrong[160];

static void pair_begin(void)
{
    i8259_init(&pair);
    memset(model, 0, sizeof(model));
    model[1].second = true;
    for (unsigned i = 0; i < 8; i++)
        model[0].order[i] = model[1].order[i] = i;
}

static bool pair_same(const char *step, unsigned got, unsigned want)
{
    if (got == want)
        return true;
    snprintf(wrong, sizeof(wrong), "%s: 0x%x, want 0x%x", step, got, want);
    return false;
}

static bool pair_agree(const char *step)
{
    for (unsigned i = 0; i < 2; i++) {
        const struct i8259 *c = &pair.pic[i];

        if (!pair_same(step, c->irr << 16 | c->imr << 8 | c->isr,
                       (unsigned)(model_bits(&model[i], 0) << 16 | model_bits(&model[i], 1) << 8 |
                                  model_bits(&model[i], 2))))
            return false;
    }
    return pair_same(step, pair.intr.level, model_asks(&model[0]) >= 0);
}

static bool pair_command(uint32_t (*random)(void))
{
    static const uint8_t commands[] = {0x20, 0x20, 0x20, 0x60, 0xa0, 0xe0, 0x80, 0x00,
                                       0xc0, 0x0a, 0x0b, 0x0c, 0x68, 0x48, 0x11, 0x13};
    unsigned which = random() % 2;
    uint8_t value = (uint8_t)(random() % 4 ? commands[random() % 16] | (random() & 7) : random());

    /* Commands that begin anew are rarer. */
    if (value & 0x10 && random() % 4)
        value &= 0xe7;
    i8259_write(&pair, (enum i8259_which)which, 0, value);
    model_write(which, 0, value);
    return pair_agree("command");
}

static bool pair_data(uint32_t (*random)(void))
{
    unsigned which = random() % 2;
    uint8_t value = (uint8_t)(random() & random());

    i8259_write(&pair, (enum i8259_which)which, 1, value);
    model_write(which, 1, value);
    return pair_agree("data");
}

/* Returns false, and why in `wrong`, if they differ. */
static inline bool pair_step(uint32_t (*random)(void))
{
    unsigned irq = random() % 16, which = random() % 2, offset = random() % 2;
    bool high = random() % 2;

    switch (random() % 8) {
    case 0:
        return pair_command(random);
    case 1:
        return pair_data(random);
    case 2:
        return pair_same("read", i8259_read(&pair, (enum i8259_which)which, offset),
                         model_read(which, offset)) &&
               pair_agree("read");
    case 3:
        if (random() % 8)
            return true;
        irq = random();
        i8259_set_elcr(&pair, (uint16_t)irq);
        model_elcr((uint16_t)irq);
        return pair_agree("elcr");
    case 4:
    case 5:
        return pair_same("vector", i8259_acknowledge(&pair), model_acknowledge()) &&
               pair_agree("acknowledge");
    default:
        i8259_set_line(&pair, irq, high);
        if (irq != 2)
            model_input(&model[irq / 8], irq % 8, high);
        model_cascade();
        return pair_agree("line");
    }
}

#endif
