/*
 * check.h: what the C unit tests report with.
 *
 * Every check prints one line, "ok NAME" or "not ok NAME: both values"; main() ends with
 * `return check_result();`.
 */
#ifndef SPEC_CHECK_H
#define SPEC_CHECK_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static int check_failures;

static inline bool check_true(const char *name, bool ok)
{
    printf("%s %s\n", ok ? "ok" : "not ok", name);
    check_failures += !ok;
    return ok;
}

static inline bool check_uint(const char *name, uint64_t got, uint64_t want)
{
    if (got == want)
        return check_true(name, true);
    printf("not ok %s: got 0x%" PRIx64 ", want 0x%" PRIx64 "\n", name, got, want);
    check_failures++;
    return false;
}

static inline bool check_int(const char *name, int64_t got, int64_t want)
{
    if (got == want)
        return check_true(name, true);
    printf("not ok %s: got %" PRId64 ", want %" PRId64 "\n", name, got, want);
    check_failures++;
    return false;
}

static inline bool check_string(const char *name, const char *got, const char *want)
{
    if (got && strcmp(got, want) == 0)
        return check_true(name, true);
    printf("not ok %s: got '%s', want '%s'\n", name, got ? got : "(null)", want);
    check_failures++;
    return false;
}

/* For texts of which only a part is certain. */
static inline bool check_contains(const char *name, const char *got, const char *part)
{
    if (got && strstr(got, part))
        return check_true(name, true);
    printf("not ok %s: '%s' is not in '%s'\n", name, part, got ? got : "(null)");
    check_failures++;
    return false;
}

/* For checks that can't be made here. */
static inline void check_skip(const char *name, const char *why)
{
    printf("ok # SKIP %s: %s\n", name, why);
}

static inline int check_result(void)
{
    return check_failures ? 1 : 0;
}

#endif
