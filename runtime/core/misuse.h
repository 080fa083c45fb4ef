/* misuse.h: short names of the checks that public functions begin with; see lunik_misuse(). */
#ifndef CORE_MISUSE_H
#define CORE_MISUSE_H

#include "lunik_device.h"

#define REQUIRE          LUNIK_REQUIRE
#define REQUIRE_OR_FAIL  LUNIK_REQUIRE_OR_FAIL
#define NOT_NULL         LUNIK_NOT_NULL
#define NOT_NULL_OR_FAIL LUNIK_NOT_NULL_OR_FAIL

#define UNLOCKED "the calling thread does not hold the machine lock"

#endif
