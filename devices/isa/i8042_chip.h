/*
 * i8042_chip.h: the register model of a PC's keyboard controller with a keyboard and a mouse
 * attached (IBM PS/2 Hardware Interface Technical Reference: "Keyboard and Auxiliary Device
 * Controller", "101/102-Key Keyboard", "Mouse"), apart from any bus.
 *
 * Operating systems find both devices and configure them; no key is ever pressed and the mouse
 * never moves. A byte stays in the output buffer until it is read; answers that the controller
 * gives meanwhile follow it, in front of the devices' bytes. Not modelled: transmission times,
 * password security, the masking of address line 20 (the output port keeps the bit).
 */
#ifndef ISA_I8042_CHIP_H
#define ISA_I8042_CHIP_H

#include "lunik_device.h"

#define I8042_RAM   32 /* bytes; the first is the command byte */
#define I8042_QUEUE 16 /* bytes of answers that a device, or the controller, holds */

enum i8042_port {
    I8042_DATA,    /* 0x60 */
    I8042_COMMAND, /* 0x64; reads give the status */
    I8042_PORTS,
};

/* Answers that wait for the output buffer; the controller's carry the device they seem to come
 * from. */
struct i8042_queue {
    uint16_t data[I8042_QUEUE];
    unsigned head, count;
};

struct i8042_keyboard {
    struct i8042_queue queue;
    uint8_t pending; /* the command that expects a parameter, 0 if none */
    uint8_t last;    /* byte sent last */
    uint8_t scancode_set;
};

struct i8042_mouse {
    struct i8042_queue queue;
    uint8_t pending, last;
    uint8_t resolution, rate;
    bool scaling, remote, enabled, wrap;
};

struct i8042_chip {
    lunik_irq keyboard_irq, mouse_irq;
    /* The controller pulls the processor's reset line. */
    void (*reset_line)(void *opaque);
    void *opaque;

    uint8_t ram[I8042_RAM];
    uint8_t status, output; /* status register, output buffer */
    uint8_t output_port;
    uint8_t pending;            /* the command that expects a data byte, 0 if none */
    struct i8042_queue answers; /* the controller's own */
    struct i8042_keyboard keyboard;
    struct i8042_mouse mouse;
};

void i8042_init(struct i8042_chip *c, void (*reset_line)(void *opaque), void *opaque);
void i8042_reset(struct i8042_chip *c);

/* Register access. */
uint8_t i8042_read(struct i8042_chip *c, enum i8042_port port);
void i8042_write(struct i8042_chip *c, enum i8042_port port, uint8_t value);

extern const lunik_state_table i8042_chip_state;

#endif
