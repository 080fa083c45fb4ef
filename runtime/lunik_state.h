/*
 * lunik_state.h: state tables: the fields of a device that are saved; lunik_device.h includes it.
 *
 * A table names the fields of a state struct, or of a part of it such as a register model. The
 * runtime saves the fields and loads them; nothing else of the struct is read or written. Loading
 * takes these steps, and a failure in any of the first three leaves the object as it was:
 *
 *   1. The input is decoded into a staged copy, zeros but for the fields of the tables, and
 * checked: names, kinds, counts, limits.
 *   2. post_load of each table checks its part of the staged copy, inner tables first.
 *   3. The fields are exchanged with those of the object, and map of each table brings the memory
 *      map in line, all in one transaction.
 *   4. Timers and interrupt lines are set, and loaded of each table is called.
 *
 * docs/state-format.md has the format, and an example of a table. What lunik.h says of errors,
 * arguments, threads and lifetime holds here: a function may be called on any thread that holds the
 * machine lock, unless it says otherwise.
 */
#ifndef LUNIK_STATE_H
#define LUNIK_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lunik.h"

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/* The kinds of fields; their numbers are part of the format. */
typedef enum lunik_state_kind {
    LUNIK_STATE_KIND_BOOL = 1,
    LUNIK_STATE_KIND_U8,
    LUNIK_STATE_KIND_U16,
    LUNIK_STATE_KIND_U32,
    LUNIK_STATE_KIND_U64,
    LUNIK_STATE_KIND_INT,
    LUNIK_STATE_KIND_I64,
    LUNIK_STATE_KIND_BITMAP, /* of uint64_t words */
    LUNIK_STATE_KIND_STRING, /* an array of char, ended by a zero */
    LUNIK_STATE_KIND_TIME,   /* uint64_t, ns of the machine's clock; UINT64_MAX: never */
    LUNIK_STATE_KIND_TIMER,  /* lunik_timer: its deadline */
    LUNIK_STATE_KIND_LINE,   /* lunik_irq: its level */
    LUNIK_STATE_KIND_OBJECT, /* lunik_object *: its path, or nothing for NULL */
    LUNIK_STATE_KIND_STRUCT, /* has a table of its own */
} lunik_state_kind;

enum {
    LUNIK_STATE_SAME = 1,    /* not loaded: what is loaded must be what the object has */
    LUNIK_STATE_POINTER = 2, /* the field is a pointer to the elements, from malloc(), or NULL */
};

typedef struct lunik_state_table lunik_state_table;

/* A field of a state struct that is saved: `count` elements of one kind. Made by the macros below.
 */
typedef struct lunik_state_field {
    const char *name; /* 1 to 255 bytes; NULL ends the table */
    lunik_state_kind kind;
    unsigned flags; /* LUNIK_STATE_SAME, LUNIK_STATE_POINTER */
    size_t offset;
    size_t stride; /* bytes from one element to the next */
    size_t count;  /* with a counter: at most as many */
    /* Where the struct counts the elements, and the kind of that, an integer; the counter must be a
     * field that stands before this one. kind 0: there are always `count`. */
    size_t counter;
    lunik_state_kind counter_kind;
    uint64_t limit; /* integers: must be below it, and not negative; BITMAP: bits; 0: no limit */
    uint16_t since; /* the version of the table that brought it; states before that lack it */
    const lunik_state_table *table; /* STRUCT */
} lunik_state_field;

/* The fields of a struct of `size` bytes that are saved. `state` is the struct of the object,
 * `staged` its staged copy, in which only the fields of tables mean anything. Functions may be
 * NULL; they are called with the machine lock held, while the machine does not run. */
struct lunik_state_table {
    const char *name; /* 1 to 255 bytes */
    /* States are saved with `version`; from min_version on (0: only `version`) can be loaded. A new
     * version is needed whenever fields come, go or change their meaning. */
    uint16_t version, min_version;
    size_t size;
    const lunik_state_field *fields; /* ends with {0}; NULL: none */
    /* Tables of the same struct that may be absent; ends with NULL. NULL: none. */
    const lunik_state_table *const *sections;
    /* In a section: whether there is anything to save. */
    bool (*needed)(const void *state);
    /* In a section: it is absent. Sets its fields in the staged copy, which are zeros, to what they
     * are after a reset. */
    void (*absent)(void *staged, const void *state);
    /* Before it is saved: brings the fields up to date. On failure nothing is saved. */
    int (*pre_save)(void *state, lunik_error *err);
    /* Checks what the limits do not, such as fields that must agree, and sets fields that were not
     * in a state of that version. Changes nothing but the staged copy. */
    int (*post_load)(void *staged, const void *state, uint16_t version, lunik_error *err);
    /* Makes regions follow the fields, which have been loaded, within a transaction. When that
     * fails, here or later, the fields and the regions get back what they had. */
    int (*map)(void *state, lunik_error *err);
    /* All has been loaded: drives lines and sets timers that follow from the fields. */
    void (*loaded)(void *state);
};

/* The table of a type that has nothing to save. */
extern const lunik_state_table lunik_state_none;

/* Saved state, to be appended to; zeroed to begin with. The memory is the library's. */
typedef struct lunik_state_buffer {
    uint8_t *data;
    size_t size;     /* bytes used */
    size_t capacity; /* private to the runtime */
} lunik_state_buffer;
/* Frees the memory and zeroes *b. Any thread. */
void lunik_state_buffer_free(lunik_state_buffer *b);

/* Appends the state of o to *out: the tables of its type's ancestors and of its type. On failure
 * *out is as it was, and has no memory if it was empty. LUNIK_E_UNSUPPORTED: the type has no table.
 * LUNIK_E_STATE: the machine is neither created nor paused, or has a transaction open. */
int lunik_object_save(lunik_object *o, lunik_state_buffer *out, lunik_error *err);
/* Gives o the state in the `size` bytes at data, which lunik_object_save() wrote for an object of
 * the same type, in this machine or another. Anything else is refused with LUNIK_E_INVALID and an
 * error that names the field. On failure o is as it was. Other errors are those of
 * lunik_object_save(). */
int lunik_object_load(lunik_object *o, const void *data, size_t size, lunik_error *err);

/* Do the same for the state that KVM keeps of a machine: interrupt controllers, PIT, clocks, vCPUs.
 * The states of the devices are loaded before that. LUNIK_E_STATE: the machine is not paused, or
 * has a transaction open; LUNIK_E_UNSUPPORTED: it has no KVM. KVM may refuse values that only it
 * knows: then it has what it had before. Lock held, not on a vCPU's thread. */
int lunik_machine_save_kvm(lunik_machine *m, lunik_state_buffer *out, lunik_error *err);
int lunik_machine_load_kvm(lunik_machine *m, const void *data, size_t size, lunik_error *err);

/* Evaluates to the kind of the field at a pointer; a type without a kind doesn't compile. An
 * _Atomic field is read and written as one, relaxed. */
#define LUNIK_STATE_KIND_OF(pointer)                                                               \
    _Generic((pointer),                                                                            \
        bool *: LUNIK_STATE_KIND_BOOL,                                                             \
        _Atomic bool *: LUNIK_STATE_KIND_BOOL,                                                     \
        uint8_t *: LUNIK_STATE_KIND_U8,                                                            \
        _Atomic uint8_t *: LUNIK_STATE_KIND_U8,                                                    \
        uint16_t *: LUNIK_STATE_KIND_U16,                                                          \
        _Atomic uint16_t *: LUNIK_STATE_KIND_U16,                                                  \
        uint32_t *: LUNIK_STATE_KIND_U32,                                                          \
        _Atomic uint32_t *: LUNIK_STATE_KIND_U32,                                                  \
        unsigned long *: LUNIK_STATE_KIND_U64,                                                     \
        _Atomic unsigned long *: LUNIK_STATE_KIND_U64,                                             \
        unsigned long long *: LUNIK_STATE_KIND_U64,                                                \
        _Atomic unsigned long long *: LUNIK_STATE_KIND_U64,                                        \
        int *: LUNIK_STATE_KIND_INT,                                                               \
        _Atomic int *: LUNIK_STATE_KIND_INT,                                                       \
        long *: LUNIK_STATE_KIND_I64,                                                              \
        _Atomic long *: LUNIK_STATE_KIND_I64,                                                      \
        long long *: LUNIK_STATE_KIND_I64,                                                         \
        _Atomic long long *: LUNIK_STATE_KIND_I64,                                                 \
        lunik_timer *: LUNIK_STATE_KIND_TIMER,                                                     \
        lunik_irq *: LUNIK_STATE_KIND_LINE,                                                        \
        lunik_object **: LUNIK_STATE_KIND_OBJECT)

#define LUNIK_STATE_OF_(type, field) ((type *)0)->field
/* The beginning of the entries of one element, and of those of arrays. */
#define LUNIK_STATE_ONE_(type, field)                                                              \
    .name = #field, .offset = offsetof(type, field), .count = 1,                                   \
    .stride = sizeof(LUNIK_STATE_OF_(type, field))
#define LUNIK_STATE_MANY_(type, field)                                                             \
    .name = #field, .offset = offsetof(type, field),                                               \
    .count = sizeof(LUNIK_STATE_OF_(type, field)) / sizeof(LUNIK_STATE_OF_(type, field)[0]),       \
    .stride = sizeof(LUNIK_STATE_OF_(type, field)[0])
#define LUNIK_STATE_COUNTER_(type, field)                                                          \
    .counter = offsetof(type, field),                                                              \
    .counter_kind = LUNIK_STATE_KIND_OF(&LUNIK_STATE_OF_(type, field))

/* Entries for fields of the struct `type`; field may be a path, such as chip.ram. Further members
 * of the entry can follow as the last arguments: LUNIK_STATE(struct rtc, index, .limit = 128). */

/* An integer, bool, lunik_timer or lunik_irq; or a lunik_object *, which must name the same object
 * when it is loaded. Enums: as LUNIK_STATE with the number of choices as limit. */
#define LUNIK_STATE(type, field, ...)                                                              \
    {                                                                                              \
        LUNIK_STATE_ONE_(type, field), .kind = LUNIK_STATE_KIND_OF(&LUNIK_STATE_OF_(type, field)), \
                                       __VA_ARGS__                                                 \
    }
/* An array of these, of fixed length. */
#define LUNIK_STATE_ARRAY(type, field, ...)                                                        \
    {                                                                                              \
        LUNIK_STATE_MANY_(type, field),                                                            \
            .kind = LUNIK_STATE_KIND_OF(&LUNIK_STATE_OF_(type, field)[0]), __VA_ARGS__             \
    }
/* An array of which the struct's integer `counter` says how many elements are in use. The others
 * are zeros after loading. */
#define LUNIK_STATE_COUNTED(type, field, counter, ...)                                             \
    LUNIK_STATE_ARRAY(type, field, LUNIK_STATE_COUNTER_(type, counter), __VA_ARGS__)
/* A pointer to `counter` elements from malloc(), at most `most`. Loading replaces the memory, and
 * frees what was there. */
#define LUNIK_STATE_BUFFER(type, field, counter_, most, ...)                                       \
    {                                                                                              \
        .name = #field, .kind = LUNIK_STATE_KIND_OF(LUNIK_STATE_OF_(type, field)),                 \
        .flags = LUNIK_STATE_POINTER, .offset = offsetof(type, field),                             \
        .stride = sizeof(LUNIK_STATE_OF_(type, field)[0]), .count = (most),                        \
        LUNIK_STATE_COUNTER_(type, counter_), __VA_ARGS__                                          \
    }
/* `bits` bits in an array of uint64_t, the first in bit 0 of the first word. */
#define LUNIK_STATE_BITMAP(type, field, bits, ...)                                                 \
    {                                                                                              \
        LUNIK_STATE_MANY_(type, field), .kind = LUNIK_STATE_KIND_BITMAP, .limit = (bits),          \
                                        __VA_ARGS__                                                \
    }
/* Text in an array of char. */
#define LUNIK_STATE_STRING(type, field, ...)                                                       \
    {                                                                                              \
        .name = #field, .kind = LUNIK_STATE_KIND_STRING, .offset = offsetof(type, field),          \
        .stride = sizeof(LUNIK_STATE_OF_(type, field)), .count = 1, __VA_ARGS__                    \
    }
/* A point in time, in ns of the machine's clock; UINT64_MAX: never. Saved is how far away it
 * is, so it is as far away after loading. */
#define LUNIK_STATE_TIME(type, field, ...)                                                         \
    {                                                                                              \
        LUNIK_STATE_ONE_(type, field), .kind = LUNIK_STATE_KIND_TIME, __VA_ARGS__                  \
    }
/* A struct within the struct, with a table of its own; an array of such; a counted array. */
#define LUNIK_STATE_STRUCT(type, field, table_, ...)                                               \
    {                                                                                              \
        LUNIK_STATE_ONE_(type, field), .kind = LUNIK_STATE_KIND_STRUCT, .table = (table_),         \
                                       __VA_ARGS__                                                 \
    }
#define LUNIK_STATE_STRUCTS(type, field, table_, ...)                                              \
    {                                                                                              \
        LUNIK_STATE_MANY_(type, field), .kind = LUNIK_STATE_KIND_STRUCT, .table = (table_),        \
                                        __VA_ARGS__                                                \
    }
#define LUNIK_STATE_COUNTED_STRUCTS(type, field, counter, table_, ...)                             \
    LUNIK_STATE_STRUCTS(type, field, table_, LUNIK_STATE_COUNTER_(type, counter), __VA_ARGS__)

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
