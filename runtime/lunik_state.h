/*
 * lunik_state.h: tables of the fields of a state struct that are saved; lunik_device.h includes it.
 */
#ifndef LUNIK_STATE_H
#define LUNIK_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The kinds of fields; their numbers are part of the format, see docs/state-format.md. */
typedef enum lunik_state_kind {
    LUNIK_STATE_KIND_BOOL = 1,
    LUNIK_STATE_KIND_U8,
    LUNIK_STATE_KIND_U16,
    LUNIK_STATE_KIND_U32,
    LUNIK_STATE_KIND_U64,
    LUNIK_STATE_KIND_INT,
} lunik_state_kind;

/* A field of a state struct that is saved: `count` elements of one kind. */
typedef struct lunik_state_field {
    const char *name; /* NULL ends the table */
    lunik_state_kind kind;
    size_t offset;
    size_t count;
} lunik_state_field;

/* What is saved of a struct of `size` bytes. Streams of the versions min_version to version can be
 * loaded; a name has at most 255 bytes. */
typedef struct lunik_state_table {
    const char *name;
    uint16_t version, min_version;
    size_t size;
    const lunik_state_field *fields;
} lunik_state_table;

/* Evaluates to the kind of the field at a pointer; a type without a kind doesn't compile. */
#define LUNIK_STATE_KIND_OF(pointer)                                                               \
    _Generic((pointer),                                                                            \
        bool *: LUNIK_STATE_KIND_BOOL,                                                             \
        uint8_t *: LUNIK_STATE_KIND_U8,                                                            \
        uint16_t *: LUNIK_STATE_KIND_U16,                                                          \
        uint32_t *: LUNIK_STATE_KIND_U32,                                                          \
        uint64_t *: LUNIK_STATE_KIND_U64,                                                          \
        int *: LUNIK_STATE_KIND_INT)

/* An entry for a scalar, and one for an array of fixed length, of the struct `type`. */
#define LUNIK_STATE(type, field)                                                                   \
    {                                                                                              \
#field, LUNIK_STATE_KIND_OF(&((type *)0)->field), offsetof(type, field), 1                 \
    }
#define LUNIK_STATE_ARRAY(type, field)                                                             \
    {                                                                                              \
#field, LUNIK_STATE_KIND_OF(&((type *)0)->field[0]), offsetof(type, field),                \
            sizeof(((type *)0)->field) / sizeof(((type *)0)->field[0])                             \
    }

#endif
