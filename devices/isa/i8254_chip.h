/*
 * i8254_chip.h: the register model of an Intel 8254 interval timer (231164-005) with its three
 * channels at 1.193182 MHz, and of port 0x61, which has the gate of channel 2 (290550-002, section
 * 2.5.5.1). Gates 0 and 1 are high.
 *
 * Counts are worked out from the clock when they are read; a deadline is asked for only while
 * channel 0 will raise its output. Each rise is one call of `tick`. When calls come late, the ticks
 * that are missed are made up for at double speed, as far as they are not older than a second.
 *
 * As in other virtual machines a new count takes effect at once in modes 0, 2, 3 and 4, and with
 * the next trigger in modes 1 and 5; the clock that loading takes is not counted. Not modelled:
 * that a channel in mode 3 counts an odd count as the even one below; digits above 9 in BCD counts.
 */
#ifndef ISA_I8254_CHIP_H
#define ISA_I8254_CHIP_H

#include "lunik_device.h"

#define I8254_HZ       1193182
#define I8254_CHANNELS 3
#define I8254_CONTROL  3 /* offset of the control word register */
#define I8254_SPEAKER  2 /* the channel whose gate port 0x61 has */

struct i8254_channel {
    uint8_t mode;   /* 0 to 5 */
    uint8_t access; /* 1: low byte, 2: high byte, 3: both */
    bool bcd;
    bool gate;
    bool loaded;                /* a count has been written since the control word */
    bool started;               /* modes 1 and 5: triggered; else as loaded */
    bool write_high, read_high; /* access 3: the second byte comes next */
    uint8_t low;                /* the first byte that was written */
    uint32_t count;             /* initial count, 1 to 65536 */
    uint32_t next_count;        /* modes 1 and 5: for the next trigger */
    /* How long it has counted: `elapsed` ns up to `since`, from then on the clock's time if
     * `counting`. */
    uint64_t since, elapsed;
    bool counting;
    uint64_t ticks; /* rises of the output that have been reported */
    bool status_latched;
    uint8_t status;
    uint8_t latched; /* bytes of the latched count to be read: 0, 1, 2 */
    uint16_t latch;
};

struct i8254_chip {
    lunik_clock *clock;
    /* Asks for a call of i8254_tick() at deadline, in ns of the clock; UINT64_MAX: never. */
    void (*schedule)(void *opaque, uint64_t deadline);
    void (*tick)(void *opaque); /* the output of channel 0 has risen */
    void *opaque;

    struct i8254_channel channel[I8254_CHANNELS];
    uint8_t port61;     /* bits 0 to 3 */
    uint64_t last_tick; /* ns of the clock; wraps if a loaded one lies before 0 */
    uint64_t tick_age;  /* while it is saved: ns since then */
};

extern const lunik_state_table i8254_chip_state;

/* Sets the registers as after power-on: no channel counts. */
void i8254_init(struct i8254_chip *c, lunik_clock *clock,
                void (*schedule)(void *opaque, uint64_t deadline), void (*tick)(void *opaque),
                void *opaque);
void i8254_reset(struct i8254_chip *c);
/* Register access; offset 0 to 3. */
uint8_t i8254_read(struct i8254_chip *c, unsigned offset);
void i8254_write(struct i8254_chip *c, unsigned offset, uint8_t value);
/* Port 0x61. */
uint8_t i8254_read_port61(const struct i8254_chip *c);
void i8254_write_port61(struct i8254_chip *c, uint8_t value);
/* Reports that the deadline has come, or that registers were loaded. */
void i8254_tick(struct i8254_chip *c);
/* Returns the output of a channel now, and what it would count. */
bool i8254_output(const struct i8254_chip *c, unsigned channel);
uint16_t i8254_count(const struct i8254_chip *c, unsigned channel);

#endif
