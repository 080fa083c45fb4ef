/*
 * fuzz_size.c: sizes as people write them, against a reading of the same text digit by digit.
 * -runs=60000
 */
#include "fuzz.h"

/* Returns the value of a digit; 99: it is none. */
static unsigned digit(char c)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    const char *at = c ? strchr(digits, c) : NULL;

    return at ? (unsigned)(at - digits) % 16 : 99;
}

/* True, and the value, if text is a size. */
static bool model(const char *text, uint64_t *out)
{
    static const char units[] = "kmgtpeKMGTPE";
    unsigned base = 10, count = 0;
    unsigned __int128 value = 0;
    const char *unit;

    if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
        base = 16;
        text += 2;
    }
    for (; digit(*text) < base; text++, count++)
        if (value <= UINT64_MAX)
            value = value * base + digit(*text);
    unit = *text ? strchr(units, *text) : NULL;
    if (unit) {
        if (value <= UINT64_MAX)
            value <<= 10 * ((unit - units) % 6 + 1);
        text++;
        text += *text == 'i' && (text[1] == 'B' || text[1] == 'b');
    }
    text += *text == 'B' || *text == 'b';
    *out = (uint64_t)value;
    return count && !*text && value <= UINT64_MAX;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[64];
    uint64_t got = 42, want;
    lunik_error err = {0};
    int rc;

    if (size >= sizeof(text))
        return -1;
    memcpy(text, data, size);
    text[size] = '\0';
    rc = lunik_parse_size(text, "fuzz", &got, &err);
    if (model(text, &want)) {
        fuzz_check(rc == 0 && got == want, "'%s' gives %d, 0x%" PRIx64 ", want 0x%" PRIx64, text,
                   rc, got, want);
    } else {
        fuzz_check(rc == LUNIK_E_INVALID && got == 42, "'%s' gives %d, 0x%" PRIx64, text, rc, got);
        fuzz_check(strncmp(err.message, "fuzz: ", 6) == 0, "%s", err.message);
    }
    return 0;
}
