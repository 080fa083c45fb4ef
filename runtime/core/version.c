/* version.c: the version of the library. */
#include "lunik.h"

const char *lunik_version(void)
{
    return LUNIK_VERSION_STRING;
}
