/*
 * misuse.h: the checks that public functions begin with.
 *
 * A call that breaks a precondition does nothing. A function that reports errors returns
 * LUNIK_E_INVALID; others return the value given, and the sentence goes to the function set with
 * lunik_set_misuse_cb().
 */
#ifndef CORE_MISUSE_H
#define CORE_MISUSE_H

#include "lunik_device.h"

__attribute__((cold)) int misuse_fail(lunik_error *err, const char *function, const char *what);

#define REQUIRE(condition, what, ...)                                                              \
    do {                                                                                           \
        if (__builtin_expect(!(condition), 0)) {                                                   \
            lunik_misuse(__func__, what);                                                          \
            return __VA_ARGS__;                                                                    \
        }                                                                                          \
    } while (0)
#define REQUIRE_OR_FAIL(condition, what, err)                                                      \
    do {                                                                                           \
        if (__builtin_expect(!(condition), 0))                                                     \
            return misuse_fail((err), __func__, what);                                             \
    } while (0)

#define UNLOCKED "the calling thread does not hold the machine lock"

#define NOT_NULL(arg, ...)         REQUIRE(arg, #arg " is NULL", __VA_ARGS__)
#define NOT_NULL_OR_FAIL(arg, err) REQUIRE_OR_FAIL(arg, #arg " is NULL", err)

#endif
