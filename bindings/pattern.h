/*
 * pattern.h: Lua patterns, for text that others write and that grows while it is looked for.
 *
 * They mean what they mean to string.find. Besides: text comes in two pieces, so that a ring need
 * not be copied; every step is counted, so that no pattern and no text can keep the caller busy;
 * and an attempt that failed says whether more text might have helped, so that a search goes on
 * where it stopped.
 */
#ifndef BINDINGS_PATTERN_H
#define BINDINGS_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PATTERN_CAPTURES = 32 };

enum pattern_op {
    PATTERN_BYTE, /* these two take one character, or as many as `repeat` says */
    PATTERN_SET,
    PATTERN_OPEN,     /* begins capture `capture` */
    PATTERN_CLOSE,    /* ends it */
    PATTERN_POSITION, /* captures where it is */
    PATTERN_SAME,     /* %1: what was captured, again */
    PATTERN_BALANCE,  /* %bxy */
    PATTERN_FRONTIER, /* %f[set] */
    PATTERN_END,      /* $ */
};

struct pattern_item {
    uint8_t op;
    uint8_t repeat; /* '*', '+', '-', '?'; 0: once */
    uint8_t byte, other;
    uint8_t capture;
    uint8_t set[256 / 8];
};

struct pattern {
    bool anchored;
    unsigned captures, count;
    struct pattern_item items[];
};

/* Bytes that the compiled form of a pattern of that length takes. */
size_t pattern_bytes(size_t length);
/* Compiles source; plain: it stands for itself. Returns NULL, or what is wrong with it. */
const char *pattern_compile(struct pattern *p, const char *source, size_t length, bool plain);
bool pattern_set_has(const uint8_t *set, uint8_t byte);

struct pattern_text {
    const uint8_t *piece[2]; /* one after the other */
    size_t size[2];
};

enum { PATTERN_WHERE = -1, PATTERN_UNFINISHED = -2 }; /* lengths of captures */

struct pattern_match {
    size_t start, end;
    struct {
        size_t start;
        ptrdiff_t length; /* PATTERN_WHERE: a position */
    } captures[PATTERN_CAPTURES];
};

enum pattern_result {
    PATTERN_NO,
    PATTERN_YES,
    PATTERN_MAYBE, /* no, but more text might make it one */
    PATTERN_COSTLY /* the steps were used up */
};

/* Whether the pattern matches at start, in at most *steps, from which it takes what it used. */
enum pattern_result pattern_at(const struct pattern *p, const struct pattern_text *t, size_t start,
                               uint64_t *steps, struct pattern_match *match);

#endif
