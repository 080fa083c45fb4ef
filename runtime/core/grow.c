/* grow.c: see grow.h. */
#include "grow.h"

#include <stdint.h>
#include <stdlib.h>

bool grow(void **items, size_t *capacity, size_t need, size_t item_size)
{
    size_t wanted = *capacity;
    void *more;

    if (need <= *capacity)
        return true;
    if (need > SIZE_MAX / 2 / item_size)
        return false;
    while (wanted < need)
        wanted = wanted ? wanted * 2 : 8;
    more = realloc(*items, wanted * item_size);
    if (!more)
        return false;
    *items = more;
    *capacity = wanted;
    return true;
}
