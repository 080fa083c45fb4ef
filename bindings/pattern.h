/*
 * pattern.h: matches Lua patterns in untrusted text that grows during the search.
 *
 * Patterns mean the same as to string.find. In addition, the text comes in two pieces, so that a
 * ring need not be copied; steps are counted and limited, so that no pattern and no text can keep
 * the caller busy; and a failed attempt reports whether more text might make it succeed, so that a
 * search continues where it stopped.
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
    PATTERN_POSITION, /* captures the position */
    PATTERN_SAME,     /* %1: the text of a capture again */
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

/* Returns the size of the compiled form of a pattern of that length. */
size_t pattern_bytes(size_t length);
/* Compiles source; plain: as literal text. Returns NULL, or words for what is wrong with it. */
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

/* Tries to match at start in at most *steps, from which it subtracts the steps used. */
enum pattern_result pattern_at(const struct pattern *p, const struct pattern_text *t, size_t start,
                               uint64_t *steps, struct pattern_match *match);

#endif
