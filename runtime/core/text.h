/* text.h: texts of limited length, made piece by piece without memory of their own. */
#ifndef CORE_TEXT_H
#define CORE_TEXT_H

#include <stddef.h>

/* size bytes at buf, which hold the beginning of a text; length: that of the whole text. */
struct text {
    char *buf;
    size_t size, length;
};

/* Returns an empty text. buf may be NULL with size 0: the text is only measured. */
struct text text_begin(char *buf, size_t size);
/* Appends as printf() does. */
void text_add(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Writes what `write` adds for `what` into memory that the caller frees; sets *out and returns the
 * length. NULL and 0 when out of memory. */
size_t text_make(char **out, void (*write)(struct text *t, const void *what), const void *what);

#endif
