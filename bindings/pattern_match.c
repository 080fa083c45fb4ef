/* pattern_match.c: matches compiled Lua patterns; see pattern.h. */
#include "pattern.h"

#define NO_MATCH SIZE_MAX

struct matcher {
    const struct pattern *p;
    const struct pattern_text *t;
    size_t size;
    uint64_t steps; /* left */
    bool at_end;    /* more text might change the result */
    struct pattern_match *match;
};

static uint8_t byte_at(const struct matcher *m, size_t i)
{
    return i < m->t->size[0] ? m->t->piece[0][i] : m->t->piece[1][i - m->t->size[0]];
}

/* Takes a step; returns false if none is left. */
static bool step(struct matcher *m)
{
    if (!m->steps)
        return false;
    m->steps--;
    return true;
}

/* Whether there is a character at s that the item matches. */
static bool takes(struct matcher *m, const struct pattern_item *item, size_t s)
{
    uint8_t byte;

    if (s >= m->size) {
        m->at_end = true;
        return false;
    }
    if (!step(m))
        return false;
    byte = byte_at(m, s);
    return item->op == PATTERN_BYTE ? byte == item->byte : pattern_set_has(item->set, byte);
}

static size_t match_from(struct matcher *m, size_t s, unsigned i);

/* Matches as many characters as there are, then fewer. */
static size_t most(struct matcher *m, size_t s, unsigned i)
{
    size_t count = 0, end;

    while (takes(m, &m->p->items[i], s + count))
        count++;
    for (;; count--) {
        end = match_from(m, s + count, i + 1);
        if (end != NO_MATCH || !count || !m->steps)
            return end;
    }
}

/* Matches as few characters as possible, then more. */
static size_t fewest(struct matcher *m, size_t s, unsigned i)
{
    size_t end;

    while ((end = match_from(m, s, i + 1)) == NO_MATCH && takes(m, &m->p->items[i], s))
        s++;
    return end;
}

static size_t repeated(struct matcher *m, size_t s, unsigned i)
{
    const struct pattern_item *item = &m->p->items[i];
    size_t end;

    switch (item->repeat) {
    case '*':
        return most(m, s, i);
    case '+':
        return takes(m, item, s) ? most(m, s + 1, i) : NO_MATCH;
    case '-':
        return fewest(m, s, i);
    }
    if (takes(m, item, s) && (end = match_from(m, s + 1, i + 1)) != NO_MATCH)
        return end;
    return match_from(m, s, i + 1);
}

static size_t capture(struct matcher *m, size_t s, unsigned i)
{
    const struct pattern_item *item = &m->p->items[i];
    unsigned n = item->capture;
    size_t end;

    if (item->op == PATTERN_CLOSE) {
        m->match->captures[n].length = (ptrdiff_t)(s - m->match->captures[n].start);
        end = match_from(m, s, i + 1);
        if (end == NO_MATCH)
            m->match->captures[n].length = PATTERN_UNFINISHED;
        return end;
    }
    m->match->captures[n].start = s;
    m->match->captures[n].length =
        item->op == PATTERN_POSITION ? PATTERN_WHERE : PATTERN_UNFINISHED;
    return match_from(m, s, i + 1);
}

/* ---- items that are neither repeated nor captures: where they end, or NO_MATCH --------------- */

static size_t balance(struct matcher *m, size_t s, const struct pattern_item *item)
{
    size_t depth = 0;

    for (; s < m->size && step(m); s++) {
        uint8_t byte = byte_at(m, s);

        if (depth && byte == item->other) {
            if (--depth == 0)
                return s + 1;
        } else if (byte == item->byte) {
            depth++;
        } else if (!depth) {
            return NO_MATCH;
        }
    }
    m->at_end |= s >= m->size;
    return NO_MATCH;
}

/* The text counts as having a 0 before its first and after its last character. */
static size_t frontier(struct matcher *m, size_t s, const struct pattern_item *item)
{
    uint8_t before = s ? byte_at(m, s - 1) : 0, after = s < m->size ? byte_at(m, s) : 0;

    m->at_end |= s >= m->size;
    return !pattern_set_has(item->set, before) && pattern_set_has(item->set, after) ? s : NO_MATCH;
}

static size_t same(struct matcher *m, size_t s, const struct pattern_item *item)
{
    size_t start = m->match->captures[item->capture].start;
    size_t length = (size_t)m->match->captures[item->capture].length;

    for (size_t i = 0; i < length; i++) {
        if (s + i >= m->size) {
            m->at_end = true;
            return NO_MATCH;
        }
        if (!step(m) || byte_at(m, start + i) != byte_at(m, s + i))
            return NO_MATCH;
    }
    return s + length;
}

static size_t once(struct matcher *m, size_t s, const struct pattern_item *item)
{
    switch (item->op) {
    case PATTERN_BALANCE:
        return balance(m, s, item);
    case PATTERN_FRONTIER:
        return frontier(m, s, item);
    case PATTERN_SAME:
        return same(m, s, item);
    case PATTERN_END:
        return s == m->size ? s : NO_MATCH;
    }
    return takes(m, item, s) ? s + 1 : NO_MATCH;
}

/* Matches the items from the i-th on at s; returns where they end, or NO_MATCH. Its recursion is no
 * deeper than the number of repetitions and captures. */
static size_t match_from(struct matcher *m, size_t s, unsigned i)
{
    for (; i < m->p->count && s != NO_MATCH; i++) {
        const struct pattern_item *item = &m->p->items[i];

        if (!step(m))
            return NO_MATCH;
        if (item->repeat)
            return repeated(m, s, i);
        if (item->op == PATTERN_OPEN || item->op == PATTERN_CLOSE || item->op == PATTERN_POSITION)
            return capture(m, s, i);
        s = once(m, s, item);
    }
    return s;
}

enum pattern_result pattern_at(const struct pattern *p, const struct pattern_text *t, size_t start,
                               uint64_t *steps, struct pattern_match *match)
{
    struct matcher m = {
        .p = p, .t = t, .size = t->size[0] + t->size[1], .steps = *steps, .match = match};

    match->start = start;
    match->end = match_from(&m, start, 0);
    *steps = m.steps;
    if (match->end != NO_MATCH)
        return PATTERN_YES;
    if (!m.steps)
        return PATTERN_COSTLY;
    return m.at_end ? PATTERN_MAYBE : PATTERN_NO;
}
