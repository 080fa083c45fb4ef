/* grow.h: arrays that grow. */
#ifndef CORE_GROW_H
#define CORE_GROW_H

#include <stdbool.h>
#include <stddef.h>

/* Makes room for `need` items in a growing array; returns false when out of memory. */
bool grow(void **items, size_t *capacity, size_t need, size_t item_size);

#endif
