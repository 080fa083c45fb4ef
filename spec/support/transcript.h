/* transcript.h: a text that callbacks add to and checks compare and empty. */
#ifndef SPEC_TRANSCRIPT_H
#define SPEC_TRANSCRIPT_H

#include <stdarg.h>

#include "check.h"

struct transcript {
    char text[4096]; /* more than that is cut off */
};

static inline void note(struct transcript *t, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static inline void note(struct transcript *t, const char *format, ...)
{
    size_t used = strlen(t->text);
    va_list args;

    va_start(args, format);
    vsnprintf(t->text + used, sizeof(t->text) - used, format, args);
    va_end(args);
}

static inline void clear(struct transcript *t)
{
    *t->text = '\0';
}

static inline void check_transcript(const char *name, struct transcript *t, const char *want)
{
    check_string(name, t->text, want);
    clear(t);
}

#endif
