/* parse_size.c: parsing sizes. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "misuse.h"
#include "lunik.h"

/* The power of two that a size suffix stands for, or -1. */
static int suffix_shift(char c)
{
    static const char letters[] = "KMGTPE";
    const char *found = c ? strchr(letters, toupper((unsigned char)c)) : NULL;

    return found ? (int)(found - letters + 1) * 10 : -1;
}

/* Skips the optional "iB" or "B" after a number or suffix. */
static const char *skip_unit(const char *p, bool suffixed)
{
    if (suffixed && p[0] == 'i' && (p[1] == 'B' || p[1] == 'b'))
        return p + 2;
    if (p[0] == 'B' || p[0] == 'b')
        return p + 1;
    return p;
}

int lunik_parse_size(const char *text, const char *what, uint64_t *out, lunik_error *err)
{
    NOT_NULL_OR_FAIL(text, err);
    NOT_NULL_OR_FAIL(out, err);
    NOT_NULL_OR_FAIL(what, err);

    unsigned long long number;
    const char *rest;
    char *end;
    int shift;

    if (!isdigit((unsigned char)text[0]))
        goto bad;
    errno = 0;
    number = strtoull(text, &end, text[0] == '0' && (text[1] | 0x20) == 'x' ? 16 : 10);
    if (end == text)
        goto bad;
    shift = suffix_shift(*end);
    rest = skip_unit(shift > 0 ? end + 1 : end, shift > 0);
    if (*rest)
        goto bad;
    if (shift < 0)
        shift = 0;
    if (errno == ERANGE || (shift && number > (UINT64_MAX >> shift)))
        return lunik_fail(err, LUNIK_E_INVALID, "%s: '%s' does not fit in 64 bits", what, text);
    *out = (uint64_t)number << shift;
    return 0;
bad:
    return lunik_fail(err, LUNIK_E_INVALID, "%s: '%s' is not a size (want e.g. 512M, 4G)", what,
                      text);
}
