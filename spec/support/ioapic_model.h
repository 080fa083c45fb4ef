/* ioapic_model.h: an I/O APIC written in another way than the device: entries are structs.
 * Compared with the register model after every random step. */
#ifndef SPEC_IOAPIC_MODEL_H
#define SPEC_IOAPIC_MODEL_H

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "devices/isa/ioapic_chip.h"

struct model_pin {
    unsigned vector, mode, destination;
    bool logical, low, remote_irr, level, masked, high;
};

/* What was sent, in order. */
struct sent {
    unsigned count, pin;
    uint64_t sum;
};

static struct {
    struct model_pin pin[24];
    unsigned select, id;
    struct sent sent;
} apic_model;

static struct {
    struct ioapic_chip chip;
    struct sent sent;
    unsigned changes;
    lunik_msi shown[24]; /* the messages that the last change has shown */
    bool has[24];
    lunik_msi last[24]; /* that each pin has sent */
    char wrong[160];
} apic;

static void sent_add(struct sent *s, unsigned pin, uint64_t address, uint32_t data)
{
    s->count++;
    s->pin = pin;
    s->sum = s->sum * 1000003 + (address << 32 ^ data ^ (uint64_t)pin << 20);
}

static bool model_takes_level(const struct model_pin *p)
{
    return p->level && p->mode < 2;
}

static void model_send(unsigned i)
{
    struct model_pin *p = &apic_model.pin[i];

    if (p->masked || p->mode == 3 || p->mode == 6)
        return;
    p->remote_irr = model_takes_level(p);
    sent_add(&apic_model.sent, i, 0xfee00000u + p->destination * 4096u + (p->logical ? 4u : 0u),
             p->vector + 256 * p->mode + (model_takes_level(p) ? 32768u : 0u));
}

static void model_look(unsigned i)
{
    struct model_pin *p = &apic_model.pin[i];

    if (p->high && model_takes_level(p) && !p->remote_irr)
        model_send(i);
}

static void model_line(unsigned i, bool high)
{
    struct model_pin *p = &apic_model.pin[i];
    bool was = p->high;

    p->high = high;
    if (!high || was)
        return;
    if (model_takes_level(p))
        model_look(i);
    else
        model_send(i);
}

static void model_end(unsigned vector)
{
    for (unsigned i = 0; i < 24; i++) {
        if (apic_model.pin[i].vector != vector || !apic_model.pin[i].remote_irr)
            continue;
        apic_model.pin[i].remote_irr = false;
        model_look(i);
    }
}

static void model_entry(unsigned i, bool upper, uint32_t value)
{
    struct model_pin *p = &apic_model.pin[i];

    if (upper) {
        p->destination = value / 0x1000000;
    } else {
        p->vector = value % 256;
        p->mode = value / 256 % 8;
        p->logical = value & 0x800;
        p->low = value & 0x2000;
        p->level = value & 0x8000;
        p->masked = value & 0x10000;
        p->remote_irr = p->remote_irr && model_takes_level(p);
    }
    model_look(i);
}

static void apic_model_write(unsigned offset, uint32_t value)
{
    unsigned s = apic_model.select;

    if (offset == 0)
        apic_model.select = value % 256;
    else if (offset == 0x40)
        model_end(value % 256);
    else if (offset == 0x10 && s == 0)
        apic_model.id = value / 0x1000000 % 16;
    else if (offset == 0x10 && s >= 0x10 && s < 0x40)
        model_entry((s - 0x10) / 2, s % 2, value);
}

static uint32_t apic_model_read(unsigned offset)
{
    unsigned s = apic_model.select;
    const struct model_pin *p;

    if (offset == 0)
        return s;
    if (offset != 0x10 || (s > 2 && s < 0x10) || s >= 0x40)
        return 0;
    if (s < 0x10)
        return s == 1 ? 0x170020 : apic_model.id * 0x1000000;
    p = &apic_model.pin[(s - 0x10) / 2];
    if (s % 2)
        return p->destination * 0x1000000;
    return p->vector + p->mode * 256 + p->logical * 0x800u + p->low * 0x2000u +
           p->remote_irr * 0x4000u + p->level * 0x8000u + p->masked * 0x10000u;
}

/* ---- the two side by side ------------------------------------------------------------------- */

static void apic_send(void *opaque, unsigned pin, const lunik_msi *msg)
{
    sent_add(&apic.sent, pin, msg->address, msg->data);
    apic.last[pin] = *msg;
}

static void apic_changed(void *opaque)
{
    apic.changes++;
    for (unsigned i = 0; i < 24; i++)
        apic.has[i] = ioapic_message(&apic.chip, i, &apic.shown[i]);
}

static void apic_begin(void)
{
    memset(&apic, 0, sizeof(apic));
    memset(&apic_model, 0, sizeof(apic_model));
    ioapic_init(&apic.chip, apic_send, apic_changed, NULL);
    for (unsigned i = 0; i < 24; i++)
        apic_model.pin[i].masked = true;
}

static bool apic_same(const char *what, uint64_t got, uint64_t want)
{
    if (got == want)
        return true;
    snprintf(apic.wrong, sizeof(apic.wrong), "%s: 0x%" PRIx64 ", want 0x%" PRIx64, what, got, want);
    return false;
}

/* Whoever follows the changes knows every message, and that of each interrupt under way. */
static bool apic_routes_known(void)
{
    for (unsigned i = 0; i < 24; i++) {
        lunik_msi msg = {0};
        bool has = ioapic_message(&apic.chip, i, &msg);

        if (!apic_same("a route", has, apic.has[i]) ||
            (has && (!apic_same("its address", msg.address, apic.shown[i].address) ||
                     !apic_same("its data", msg.data, apic.shown[i].data))))
            return false;
        if (apic_model.pin[i].remote_irr &&
            !apic_same("of what is under way", msg.address, apic.last[i].address))
            return false;
    }
    return true;
}

static bool apic_agree(void)
{
    return apic_same("messages", apic.sent.count, apic_model.sent.count) &&
           apic_same("the last pin", apic.sent.pin, apic_model.sent.pin) &&
           apic_same("what was sent", apic.sent.sum, apic_model.sent.sum) && apic_routes_known();
}

static void apic_write(unsigned offset, uint32_t value)
{
    ioapic_write(&apic.chip, offset, value);
    apic_model_write(offset, value);
}

/* Few vectors, so that some are shared. */
static void apic_write_entry(uint32_t (*random)(void))
{
    unsigned pin = random() % 24;
    uint32_t value = random();

    apic_write(0, 0x10 + 2 * pin + (value & 1));
    if (!(value & 1)) {
        value = (value & 0xfffeff03) | 0x30;
        if (random() % 8 < 6)
            value &= ~0x10700u;
    }
    apic_write(0x10, value);
}

/* Returns false, and why in apic.wrong, if they differ. */
static inline bool apic_step(uint32_t (*random)(void))
{
    static const uint8_t offsets[] = {0, 0x10, 0x40, 0x20};
    unsigned pin = random() % 24, offset = offsets[random() % 4];
    bool high = random() % 2;

    switch (random() % 8) {
    case 0:
    case 1:
        apic_write_entry(random);
        break;
    case 2:
        apic_write(offset, random());
        break;
    case 3:
        apic_write(0, random() % 0x44);
        if (!apic_same("read", ioapic_read(&apic.chip, offset), apic_model_read(offset)))
            return false;
        break;
    case 4:
        ioapic_end(&apic.chip, (uint8_t)(0x30 + pin % 4));
        model_end(0x30 + pin % 4);
        break;
    default:
        ioapic_set_line(&apic.chip, pin, high);
        model_line(pin, high);
    }
    return apic_agree();
}

#endif
