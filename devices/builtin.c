/* builtin.c: the list of all types that ship with liblunik. */
#include "types.h"

static const lunik_type *const builtin_types[] = {
#define DEVICE_TYPE_ENTRY(symbol) &symbol,
    DEVICE_TYPE_MAP(DEVICE_TYPE_ENTRY)
#undef DEVICE_TYPE_ENTRY
        NULL,
};

const lunik_type *const *lunik_builtin_types(void)
{
    return builtin_types;
}
