/* random.h: numbers for tests of many cases; the same ones for the same random_state. */
#ifndef SPEC_RANDOM_H
#define SPEC_RANDOM_H

#include <stdint.h>

static uint64_t random_state = 1;

/* A number below n. */
static inline unsigned chance(unsigned n)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)((random_state >> 33) % n);
}

#endif
