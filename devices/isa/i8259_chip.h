/*
 * i8259_chip.h: the register model of a pair of Intel 8259A interrupt controllers (231468-003) as
 * the PIIX has them (290550-002, section 2.5.4): the second on input 2 of the first, each with an
 * edge/level control register in the place of ICW1's LTIM.
 *
 * As in other virtual machines a rising edge is remembered until it is acknowledged, even if the
 * input falls before; a level that falls before leads to the spurious interrupts 7 and 15. Not
 * modelled: the 8080's mode, buffered mode, other wirings of the cascade than ICW3 = 4 and 2,
 * inputs that are ignored between ICW1 and the last ICW.
 */
#ifndef ISA_I8259_CHIP_H
#define ISA_I8259_CHIP_H

#include "lunik_device.h"

#define I8259_INPUTS  8
#define I8259_CASCADE 2

/* One of the two. */
struct i8259 {
    uint8_t lines; /* levels of the inputs */
    uint8_t irr, imr, isr;
    uint8_t elcr;   /* 1: level triggered */
    uint8_t base;   /* ICW2: the vector of input 0 */
    uint8_t first;  /* the input with the highest priority */
    uint8_t expect; /* the ICW that comes next, 2 to 4; 0: none */
    bool icw4;      /* ICW1: there will be an ICW4 */
    bool single;    /* ICW1: there will be no ICW3 */
    bool auto_eoi;
    bool rotate_on_auto_eoi;
    bool nested;   /* ICW4: special fully nested mode */
    bool special;  /* OCW3: special mask mode */
    bool read_isr; /* OCW3: reads give the ISR, not the IRR */
    bool poll;     /* OCW3: the next read acknowledges */
};

enum i8259_which { I8259_MASTER, I8259_SLAVE, I8259_COUNT };

struct i8259_pair {
    lunik_irq intr; /* the output of the first */
    struct i8259 pic[I8259_COUNT];
};

/* The state of one, and of both. */
extern const lunik_state_table i8259_state, i8259_pair_state;

/* Sets the registers as after power-on, with the inputs low. */
void i8259_init(struct i8259_pair *p);
/* The same, but for the ELCRs, which stay. */
void i8259_reset(struct i8259_pair *p);
/* Sets the level of interrupt request 0 to 15; 2 does nothing. */
void i8259_set_line(struct i8259_pair *p, unsigned irq, bool level);
/* The CPU's acknowledge cycles: returns the vector, the spurious one of input 7 if there is no
 * request. */
uint8_t i8259_acknowledge(struct i8259_pair *p);
/* Register access; offset 0 or 1. */
uint8_t i8259_read(struct i8259_pair *p, enum i8259_which which, unsigned offset);
void i8259_write(struct i8259_pair *p, enum i8259_which which, unsigned offset, uint8_t value);
/* Set the edge/level control registers, a bit for each of IRQ 0 to 15. Those of 0, 1, 2, 8 and 13
 * are always 0. */
#define I8259_ELCR_VALID 0xdef8
void i8259_set_elcr(struct i8259_pair *p, uint16_t level_triggered);
static inline uint16_t i8259_elcr(const struct i8259_pair *p)
{
    return (uint16_t)(p->pic[I8259_MASTER].elcr | p->pic[I8259_SLAVE].elcr << 8);
}
/* Sets the output again, from registers that were loaded. */
void i8259_update(struct i8259_pair *p);

#endif
