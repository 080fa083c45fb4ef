/*
 * fuzz.h: what the fuzzing targets share: taking decisions from the input, and saying what is
 * wrong.
 *
 * A target reads its input from the front; past the end everything is zero, so that each input
 * ends, and a longer one begins as a shorter one does.
 */
#ifndef SPEC_FUZZ_H
#define SPEC_FUZZ_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lunik_device.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the run with the input that led here: a property does not hold. */
#define fuzz_check(holds, ...)                                                                     \
    do {                                                                                           \
        if (!(holds)) {                                                                            \
            fflush(stdout);                                                                        \
            fprintf(stderr, "%s:%d: %s\n  ", __FILE__, __LINE__, #holds);                          \
            fprintf(stderr, __VA_ARGS__);                                                          \
            fputc('\n', stderr);                                                                   \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* For what a target can't do without. */
#define fuzz_must(rc, err) fuzz_check((rc) == 0, "%s", (err).message)

static struct {
    const uint8_t *data;
    size_t size;
} fuzz_input;

static inline void fuzz_begin(const uint8_t *data, size_t size)
{
    fuzz_input.data = data;
    fuzz_input.size = size;
}

static inline bool fuzz_more(void)
{
    return fuzz_input.size > 0;
}

static inline uint8_t fuzz_byte(void)
{
    if (!fuzz_input.size)
        return 0;
    fuzz_input.size--;
    return *fuzz_input.data++;
}

/* A little-endian number of so many bytes. */
static inline uint64_t fuzz_number(unsigned bytes)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < bytes; i++)
        value |= (uint64_t)fuzz_byte() << 8 * i;
    return value;
}

/* 0 to n - 1; n > 0. */
static inline unsigned fuzz_below(unsigned n)
{
    return n <= 256 ? fuzz_byte() % n : (unsigned)(fuzz_number(2) % n);
}

/* Numbers that sizes, offsets and addresses break on, and any others. */
static inline uint64_t fuzz_hostile(void)
{
    uint8_t how = fuzz_byte();
    unsigned bit = how & 63;

    switch (how >> 6) {
    case 0:
        return how;
    case 1:
        return (UINT64_C(1) << bit) + (uint64_t)(int64_t)(int8_t)fuzz_byte();
    case 2:
        return UINT64_MAX - fuzz_number(1 + bit % 8);
    default:
        return fuzz_number(1 + bit % 8);
    }
}

/* The bytes that are left of a piece that the input gives the length of, at most max; not
 * terminated. */
static inline const uint8_t *fuzz_bytes(size_t max, size_t *size)
{
    size_t n = max < 256 ? fuzz_byte() : fuzz_number(2);
    const uint8_t *bytes = fuzz_input.data;

    n = n > max ? max : n;
    n = n > fuzz_input.size ? fuzz_input.size : n;
    fuzz_input.data += n;
    fuzz_input.size -= n;
    *size = n;
    return bytes;
}

/* All bytes of an access of 1, 2, 4 or 8. */
static inline uint64_t fuzz_ones(unsigned size)
{
    return UINT64_MAX >> (64 - 8 * size);
}

/* After an input: whatever the loop and RCU have put off is done, and no more comes of it. */
static inline void fuzz_settle(lunik_runtime *runtime)
{
    for (unsigned i = 0; lunik_run(runtime, LUNIK_RUN_NOWAIT); i++)
        fuzz_check(i < 100, "the loop goes on");
    lunik_unlock(runtime);
    lunik_lock(runtime);
}

#endif
