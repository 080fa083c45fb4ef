/* text.c: strings and numbers without a C library, and the codings of the protocol. */
#include "text.h"

static const char hex_digits[] = "0123456789abcdef";
static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

bool text_equal(const char *a, const char *b)
{
    for (; *a && *a == *b; a++)
        b++;
    return *a == *b;
}

bool text_begins(const char *text, const char *prefix)
{
    for (; *prefix; prefix++)
        if (*text++ != *prefix)
            return false;
    return true;
}

size_t text_length(const char *text)
{
    size_t n = 0;

    while (text[n])
        n++;
    return n;
}

bool text_has_word(const char *list, const char *word)
{
    size_t n = text_length(word);

    for (; *list; list++) {
        if (n > 0 && text_begins(list, word) && (list[n] == ' ' || !list[n]))
            return true;
        while (*list && *list != ' ')
            list++;
        if (!*list)
            break;
    }
    return false;
}

bool text_contains(const char *data, size_t size, const char *part)
{
    size_t n = text_length(part), i = 0;

    for (size_t at = 0; at + n <= size; at++) {
        for (i = 0; i < n && data[at + i] == part[i];)
            i++;
        if (i == n)
            return true;
    }
    return false;
}

/* ---- numbers --------------------------------------------------------------------------------- */

/* Returns the value of a digit; 99 if it is none. */
static unsigned digit(char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 : 99;
}

bool text_number(const char *text, int64_t *out)
{
    bool negative = *text == '-';
    unsigned base = 10;
    uint64_t value = 0, most = negative ? (uint64_t)INT64_MAX + 1 : INT64_MAX;

    text += negative;
    if (!negative && text[0] == '0' && text[1] == 'x') {
        base = 16;
        most = UINT64_MAX;
        text += 2;
    }
    if (!*text)
        return false;
    for (; *text; text++) {
        unsigned d = digit(*text);

        if (d >= base || value > (most - d) / base)
            return false;
        value = value * base + d;
    }
    *out = (int64_t)(negative ? 0 - value : value);
    return true;
}

/* ---- writing --------------------------------------------------------------------------------- */

void text_put_bytes(struct text *t, const void *data, size_t size)
{
    const char *from = data;

    if (size > t->size - t->used) {
        t->full = true;
        return;
    }
    for (size_t i = 0; i < size; i++)
        t->data[t->used++] = from[i];
}

void text_put(struct text *t, const char *text)
{
    text_put_bytes(t, text, text_length(text));
}

void text_put_number(struct text *t, int64_t number)
{
    uint64_t value = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    char digits[20];
    size_t at = sizeof(digits);

    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    if (number < 0)
        text_put(t, "-");
    text_put_bytes(t, digits + at, sizeof(digits) - at);
}

void text_put_hex(struct text *t, uint64_t number, unsigned digits)
{
    while (digits-- > 0)
        text_put_bytes(t, &hex_digits[number >> digits * 4 & 15], 1);
}

/* ---- codings --------------------------------------------------------------------------------- */

static bool plain(unsigned char c)
{
    return c > ' ' && c < 0x7f && c != '%' && c != '@' && c != '*';
}

void text_put_escaped(struct text *t, const void *data, size_t size)
{
    const unsigned char *from = data;

    for (size_t i = 0; i < size; i++) {
        if (plain(from[i])) {
            text_put_bytes(t, from + i, 1);
            continue;
        }
        text_put(t, "%");
        text_put_hex(t, from[i], 2);
    }
}

long text_unescape(char *text)
{
    char *to = text;

    for (const char *from = text; *from; from++) {
        if (*from == '%') {
            if (digit(from[1]) > 15 || digit(from[2]) > 15)
                return -1;
            *to++ = (char)(digit(from[1]) << 4 | digit(from[2]));
            from += 2;
        } else if (plain((unsigned char)*from)) {
            *to++ = *from;
        } else {
            return -1;
        }
    }
    *to = '\0';
    return to - text;
}

void text_put_base64(struct text *t, const void *data, size_t size)
{
    const unsigned char *from = data;

    for (size_t i = 0; i < size; i += 3) {
        size_t n = size - i < 3 ? size - i : 3;
        unsigned bits = (unsigned)from[i] << 16;

        if (n > 1)
            bits |= (unsigned)from[i + 1] << 8;
        if (n > 2)
            bits |= from[i + 2];
        for (size_t k = 0; k < 4; k++)
            text_put_bytes(t, k <= n ? &base64_digits[bits >> (18 - 6 * k) & 63] : "=", 1);
    }
}

/* Returns the value of a digit; 64 for '=', 99 if it is none. */
static unsigned base64_digit(char c)
{
    if (c == '=')
        return 64;
    for (unsigned i = 0; i < 64; i++)
        if (base64_digits[i] == c)
            return i;
    return 99;
}

/* Decodes four digits into at most three bytes. Returns how many; -1 for none. */
static long base64_group(const char *from, char *to)
{
    unsigned bits = 0;
    long n = 3;

    for (unsigned k = 0; k < 4; k++) {
        unsigned d = base64_digit(from[k]);

        if (d > 64 || (d == 64 && k < 2) || (n < 3 && d != 64))
            return -1;
        if (d == 64)
            n--;
        bits = bits << 6 | (d & 63);
    }
    if (bits & ((1u << (3 - n) * 8) - 1)) /* bits that the encoder leaves clear */
        return -1;
    for (long i = 0; i < n; i++)
        to[i] = (char)(bits >> (16 - 8 * i));
    return n;
}

long text_base64(char *text)
{
    size_t length = text_length(text);
    long done = 0;

    if (length % 4)
        return -1;
    for (size_t at = 0; at < length; at += 4) {
        char out[3] = {0};
        long n = base64_group(text + at, out);

        if (n < 0 || (n < 3 && at + 4 < length))
            return -1;
        for (long i = 0; i < n; i++)
            text[done + i] = out[i];
        done += n;
    }
    text[done] = '\0';
    return done;
}

uint32_t text_crc32(const void *data, size_t size)
{
    const unsigned char *from = data;
    uint32_t crc = 0xffffffff;

    for (size_t i = 0; i < size; i++) {
        crc ^= from[i];
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
    return ~crc;
}
