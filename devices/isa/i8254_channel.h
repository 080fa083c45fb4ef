/* i8254_channel.h: a channel of an 8254 apart from its registers. Times are ns of the clock. */
#ifndef ISA_I8254_CHANNEL_H
#define ISA_I8254_CHANNEL_H

#include "i8254_chip.h"

enum { I8254_BINARY_COUNTS = 0x10000, I8254_BCD_COUNTS = 10000 };

extern const lunik_state_table i8254_channel_state;

/* Returns the clocks within ns, and the first ns at which so many clocks have passed. */
uint64_t i8254_clocks(uint64_t ns);
uint64_t i8254_ns(uint64_t clocks);
uint32_t i8254_from_bcd(uint32_t value);

/* Whether its mode begins with a rising gate, or goes on for ever. */
bool i8254_waits(const struct i8254_channel *ch);
bool i8254_periodic(const struct i8254_channel *ch);

/* Returns the clocks that it has counted. */
uint64_t i8254_counted(const struct i8254_channel *ch, uint64_t now);
/* Return its output, its count as the guest reads it, and how often its output has risen, after d
 * clocks. */
bool i8254_output_after(const struct i8254_channel *ch, uint64_t d);
uint16_t i8254_count_after(const struct i8254_channel *ch, uint64_t d);
uint64_t i8254_rises(const struct i8254_channel *ch, uint64_t d);
/* Returns when the rise after those that were reported is to be; UINT64_MAX: never. */
uint64_t i8254_next_rise(const struct i8254_channel *ch);

/* Begin to count, and cease. */
void i8254_start(struct i8254_channel *ch, uint64_t now);
void i8254_stop(struct i8254_channel *ch);
/* Counts or stands still from now on, as its gate says. */
void i8254_go_on(struct i8254_channel *ch, uint64_t now);
void i8254_set_gate(struct i8254_channel *ch, bool gate, uint64_t now);

#endif
