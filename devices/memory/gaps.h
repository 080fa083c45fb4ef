/* gaps.h: the parts of a range that nothing occupies, by address. No sum of a start and a size
 * overflows. */
#ifndef MEMORY_GAPS_H
#define MEMORY_GAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { GAPS_MAX = 321 };

struct gap {
    uint64_t start, size;
};

struct gaps {
    struct gap items[GAPS_MAX];
    size_t count;
};

bool gaps_free(const struct gaps *g, uint64_t start, uint64_t size);
/* Takes a part out of one gap. */
void gaps_take(struct gaps *g, uint64_t start, uint64_t size);
/* Gives back a part that was taken; there are at most GAPS_MAX - 1 of these. */
void gaps_give(struct gaps *g, uint64_t start, uint64_t size);

#endif
