/* text.h: strings and numbers without a C library, and the codings of the protocol. */
#ifndef AGENT_TEXT_H
#define AGENT_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Text that is being written into a buffer. What does not fit is left out, and `full` is set. */
struct text {
    char *data;
    size_t size, used;
    bool full;
};

bool text_equal(const char *a, const char *b);

/* Whether the text begins with the prefix. */
bool text_begins(const char *text, const char *prefix);

/* Whether a list of words, with one space between two, has the word. */
bool text_has_word(const char *list, const char *word);

size_t text_length(const char *text);

/* Whether data has the bytes of `part`. */
bool text_contains(const char *data, size_t size, const char *part);

/* Reads an integer: decimal with or without a sign, or 0x and hexadecimal digits of 64 bits. */
bool text_number(const char *text, int64_t *out);

void text_put(struct text *t, const char *text);
void text_put_bytes(struct text *t, const void *data, size_t size);
void text_put_number(struct text *t, int64_t number);
void text_put_hex(struct text *t, uint64_t number, unsigned digits);

/* Escapes spaces, control characters, '%', '@', '*' and bytes of 0x7f and above as %XX. */
void text_put_escaped(struct text *t, const void *data, size_t size);

void text_put_base64(struct text *t, const void *data, size_t size);

/* Decode in place, and add a zero byte, for which the text has room. Return the size, or -1 for
 * what the encoders do not write. */
long text_unescape(char *text);
long text_base64(char *text);

uint32_t text_crc32(const void *data, size_t size);

#endif
