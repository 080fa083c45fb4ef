/*
 * mc146818_chip.h: the register model of an MC146818A real-time clock with 114 bytes of RAM
 * (Motorola MC146818A data sheet, 1988), apart from any bus.
 *
 * The time is a clock's, the machine's or another, plus a base, so no seconds are counted: flags
 * are worked out when they are read, and a deadline is asked for only while an interrupt is enabled
 * that has not happened yet. An update takes no time; UIP announces it as the chip does. As in a
 * PC, byte 0x32 holds the century. Not modelled: daylight saving, the square wave output, a day of
 * the week that disagrees with the date, crystals other than 32.768 kHz.
 */
#ifndef ISA_MC146818_CHIP_H
#define ISA_MC146818_CHIP_H

#include "lunik_device.h"

#define MC146818_SIZE 128

/* A time that the clock never shows, in seconds after and before 1970. */
#define MC146818_LATEST (INT64_C(1) << 41)

struct mc146818_chip {
    lunik_irq irq;
    lunik_clock *clock;
    /* Asks for a call of mc146818_tick() at deadline, in ns of the clock; UINT64_MAX: never. */
    void (*schedule)(void *opaque, uint64_t deadline);
    void *opaque;

    /* Registers and RAM. They hold the time only while it stands still. */
    uint8_t ram[MC146818_SIZE];
    /* The time of day is this plus the clock. */
    int64_t base_seconds;
    uint32_t base_ns;
    int64_t seen_second; /* the flags in register C are right up to here */
    int64_t seen_tick;
    uint64_t scheduled;
};

/* Sets the registers as after power-on; the time is `seconds` and `ns` after 1970-01-01 UTC. */
void mc146818_init(struct mc146818_chip *c, lunik_clock *clock,
                   void (*schedule)(void *opaque, uint64_t deadline), void *opaque, int64_t seconds,
                   uint32_t ns);
/* Sets the time without an interrupt for the seconds between. */
void mc146818_set_time(struct mc146818_chip *c, int64_t seconds, uint32_t ns);
/* Pulses the RESET pin: time and RAM stay. */
void mc146818_reset(struct mc146818_chip *c);

/* Reports the time of day now; sets it, and leaves all flags as they are. */
void mc146818_get_time(const struct mc146818_chip *c, int64_t *seconds, uint32_t *ns);
void mc146818_put_time(struct mc146818_chip *c, int64_t seconds, uint32_t ns);

/* Whether the alarm's interrupt is enabled and pending. */
bool mc146818_alarmed(const struct mc146818_chip *c);

/* Registers and flags, without the time of day, which the device saves. It calls mc146818_tick()
 * when all has been loaded. */
extern const lunik_state_table mc146818_chip_state;

/* Register access; index 0..127. */
uint8_t mc146818_read(struct mc146818_chip *c, unsigned index);
void mc146818_write(struct mc146818_chip *c, unsigned index, uint8_t value);

/* Reports that the deadline has come. */
void mc146818_tick(struct mc146818_chip *c);

#endif
