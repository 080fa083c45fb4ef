/* state.h: state structs to bytes and back, by their tables; docs/state-format.md has the format.
 *
 * Integers are little-endian. Nothing here knows objects: it works on structs and bytes. */
#ifndef OBJECT_STATE_H
#define OBJECT_STATE_H

#include "lunik_device.h"

struct state_bytes {
    uint8_t *data;
    size_t size, capacity;
};

/* Appends the struct at `state` to out; on failure (out of memory) out is as it was. */
int state_encode(const lunik_state_table *t, const void *state, struct state_bytes *out,
                 lunik_error *err);
/* Reads exactly `size` bytes that state_encode() wrote, into a shadow struct of t->size bytes. On
 * failure the shadow's fields are undefined. */
int state_decode(const lunik_state_table *t, const uint8_t *data, size_t size, void *shadow,
                 lunik_error *err);
/* Copies the fields of the table from the shadow, and nothing else. */
void state_commit(const lunik_state_table *t, void *state, const void *shadow);
void state_bytes_free(struct state_bytes *b);

#endif
