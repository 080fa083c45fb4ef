/*
 * state.h: state structs to bytes and back, by their tables; docs/state-format.md has the format.
 *
 * Nothing here knows machines: it works on structs, bytes and the present time of the clock that
 * TIME and TIMER fields go by. Numbers are little-endian, as the host's are: Lunik runs on x86-64
 * only.
 */
#ifndef OBJECT_STATE_H
#define OBJECT_STATE_H

#include "lunik_device.h"

/* ---- state_table.c -------------------------------------------------------------------------- */

/* Checks a table that a device provides; `what` names the type in errors. */
int state_check_table(const lunik_state_table *t, const char *what, size_t size, lunik_error *err);

/* Bytes of an element on the wire and in the struct; 0 for kinds with a length of their own, and
 * for numbers that are no kind. */
size_t state_kind_bytes(unsigned kind);
const char *state_kind_name(unsigned kind);

/* A scalar at `at`, sign-extended; a relaxed atomic access. */
uint64_t state_get(const void *at, lunik_state_kind kind);
void state_put(void *at, lunik_state_kind kind, uint64_t value);
/* The elements in use, by the counter in the same struct; not checked against f->count. */
uint64_t state_count(const lunik_state_field *f, const void *state);
/* The first element of the field; NULL for a pointer that is NULL. */
void *state_elements(const lunik_state_field *f, const void *state);

/* ---- formats -------------------------------------------------------------------------------- */

/* The beginning of saved bytes: a word and the version of the format. */
struct state_format {
    const char *word;
    unsigned version;
    const char *what; /* whose state it is, for errors */
};

/* ---- state_save.c --------------------------------------------------------------------------- */

/* Append; numbers are little-endian. */
int state_put_format(lunik_state_buffer *b, const struct state_format *format, lunik_error *err);
int state_put_number(lunik_state_buffer *b, uint64_t value, size_t bytes, lunik_error *err);
int state_put_name(lunik_state_buffer *b, const char *name, lunik_error *err);
/* Calls pre_save and appends the struct as a section. On failure out is as it was. */
int state_save(const lunik_state_table *t, void *state, uint64_t now, lunik_state_buffer *out,
               lunik_error *err);

/* ---- state_load.c --------------------------------------------------------------------------- */

/* Bytes that are being read, which are not trusted. */
struct state_reader {
    const uint8_t *data;
    size_t left;
    uint64_t now;
    lunik_error *err;
};

/* A name from the input; an error message shows only its first bytes. */
struct state_name {
    const char *text;
    int shown; /* for %.*s */
    size_t length;
};

/* Each reads the next value, or fails with an error that names it with `what`. */
int state_get_number(struct state_reader *r, const char *what, size_t bytes, uint64_t *out);
int state_get_name(struct state_reader *r, const char *what, struct state_name *out);
bool state_name_is(const struct state_name *name, const char *text);
/* Fails if the input does not begin with the format; skips that. */
int state_get_format(struct state_reader *r, const struct state_format *format);
/* Fails if there is more input. */
int state_get_end(const struct state_reader *r);

/* Reads a section into *staged and calls check. `state` is the struct that will get the values.
 * Free *staged with state_discard(). */
int state_stage(const lunik_state_table *t, const void *state, struct state_reader *r,
                void **staged);

/* ---- state_apply.c -------------------------------------------------------------------------- */

/* Exchanges the fields of the struct with the staged ones, except timers and lines. A second call
 * restores the old values. */
void state_exchange(const lunik_state_table *t, void *state, void *staged);
/* Calls map, inner tables first. */
int state_map(const lunik_state_table *t, void *state, lunik_error *err);
/* Sets timers and lines, and calls loaded, inner tables first. */
void state_finish(const lunik_state_table *t, void *state, const void *staged);
/* Frees the staged struct with the values that it holds, loaded or old ones. NULL is allowed. */
void state_discard(const lunik_state_table *t, void *staged);

#endif
