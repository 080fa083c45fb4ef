/* text.c: texts of limited length. */
#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct text text_begin(char *buf, size_t size)
{
    if (size)
        *buf = 0;
    return (struct text){buf, size, 0};
}

void text_add(struct text *t, const char *format, ...)
{
    size_t room = t->length < t->size ? t->size - t->length : 0;
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(room ? t->buf + t->length : NULL, room, format, args);
    va_end(args);
    t->length += n > 0 ? (size_t)n : 0;
}

size_t text_make(char **out, void (*write)(struct text *t, const void *what), const void *what)
{
    struct text t = text_begin(NULL, 0);
    size_t size;

    write(&t, what);
    size = t.length + 1;
    *out = malloc(size);
    if (!*out)
        return 0;
    t = text_begin(*out, size);
    write(&t, what);
    return t.length;
}
