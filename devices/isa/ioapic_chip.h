/*
 * ioapic_chip.h: the register model of an Intel 82093AA I/O APIC (290566-001) with 24 inputs, of
 * version 0x20: it has the EOI register of later parts (ICH9: 316972-002, section 13.5.1.5).
 *
 * It hands its interrupts on as messages to the local APICs. Polarities are kept and ignored: the
 * level of an input says whether it is asserted. Not modelled: the APIC bus and its arbitration,
 * the delivery status, which is always idle. A message with delivery mode ExtINT goes out like any
 * other; nothing fetches the vector from the 8259s.
 */
#ifndef ISA_IOAPIC_CHIP_H
#define ISA_IOAPIC_CHIP_H

#include "lunik_device.h"

#define IOAPIC_PINS 24

/* Memory-mapped registers. */
#define IOAPIC_SELECT 0x00
#define IOAPIC_WINDOW 0x10
#define IOAPIC_EOI    0x40

/* Redirection entries. */
#define IOAPIC_VECTOR            UINT64_C(0x00ff)
#define IOAPIC_DELIVERY          UINT64_C(0x0700)
#define IOAPIC_LOGICAL           UINT64_C(0x0800)
#define IOAPIC_LOW               UINT64_C(0x2000) /* polarity */
#define IOAPIC_REMOTE_IRR        UINT64_C(0x4000)
#define IOAPIC_LEVEL             UINT64_C(0x8000)
#define IOAPIC_MASKED            UINT64_C(0x10000)
#define IOAPIC_DESTINATION       (UINT64_C(0xff) << 56)
#define IOAPIC_DELIVERY_SHIFT    8
#define IOAPIC_DESTINATION_SHIFT 56

struct ioapic_chip {
    /* Sends the message of a pin. */
    void (*send)(void *opaque, unsigned pin, const lunik_msi *msg);
    /* ioapic_message() has changed for some pin. */
    void (*changed)(void *opaque);
    void *opaque;

    uint32_t lines; /* levels of the inputs */
    uint8_t select;
    uint8_t id;
    uint64_t redirection[IOAPIC_PINS];
    uint64_t sent[IOAPIC_PINS]; /* with remote IRR: the entry that the interrupt was sent by */
};

extern const lunik_state_table ioapic_chip_state;

void ioapic_init(struct ioapic_chip *c,
                 void (*send)(void *opaque, unsigned pin, const lunik_msi *msg),
                 void (*changed)(void *opaque), void *opaque);
/* Sets the registers as after power-on, with the inputs low. */
void ioapic_reset(struct ioapic_chip *c);
/* Sets the level of an input, 0 to 23. */
void ioapic_set_line(struct ioapic_chip *c, unsigned pin, bool level);
/* A local APIC has ended the interrupt with that vector: level-triggered inputs that are still high
 * ask again. */
void ioapic_end(struct ioapic_chip *c, uint8_t vector);
/* Register access; offset: one of the three above, others read as 0. */
uint32_t ioapic_read(const struct ioapic_chip *c, unsigned offset);
void ioapic_write(struct ioapic_chip *c, unsigned offset, uint32_t value);
/* Gets the message of a pin: the one that was sent, while that interrupt is under way (a local APIC
 * ends it, whatever the entry says by then), else the next. false: it sends none, since it is
 * masked or its delivery mode is reserved. */
bool ioapic_message(const struct ioapic_chip *c, unsigned pin, lunik_msi *out);

#endif
