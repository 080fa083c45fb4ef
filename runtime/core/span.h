/* span.h: ranges of addresses. Both ends are included, so that a range of 2^64 bytes needs no wider
 * arithmetic. */
#ifndef CORE_SPAN_H
#define CORE_SPAN_H

#include <stdint.h>

#include "lunik_device.h"

struct span {
    uint64_t first, last;
};

static inline uint64_t add_saturated(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* A size as the API gives it; LUNIK_SIZE_MAX stands for 2^64. */
static inline uint64_t span_size(struct span s)
{
    return add_saturated(s.last - s.first, 1);
}

static inline uint64_t size_to_last(uint64_t size)
{
    return size == LUNIK_SIZE_MAX ? UINT64_MAX : size - 1;
}

#endif
