/* pattern.c: the compiled form of Lua patterns; see pattern.h. */
#include "pattern.h"

#include <ctype.h>
#include <string.h>

enum { NESTED_MAX = 200 }; /* items for which the matcher recurses */

struct compiler {
    struct pattern *p;
    const uint8_t *at, *end;
    bool open[PATTERN_CAPTURES], where[PATTERN_CAPTURES];
    unsigned nested;
};

size_t pattern_bytes(size_t length)
{
    return sizeof(struct pattern) + length * sizeof(struct pattern_item);
}

bool pattern_set_has(const uint8_t *set, uint8_t byte)
{
    return set[byte / 8] >> byte % 8 & 1;
}

/* ---- sets ----------------------------------------------------------------------------------- */

static void set_add(uint8_t *set, uint8_t byte)
{
    set[byte / 8] |= (uint8_t)(1 << byte % 8);
}

static bool in_class(uint8_t byte, int letter)
{
    switch (letter) {
    case 'a':
        return isalpha(byte);
    case 'c':
        return iscntrl(byte);
    case 'd':
        return isdigit(byte);
    case 'g':
        return isgraph(byte);
    case 'l':
        return islower(byte);
    case 'p':
        return ispunct(byte);
    case 's':
        return isspace(byte);
    case 'u':
        return isupper(byte);
    case 'w':
        return isalnum(byte);
    case 'x':
        return isxdigit(byte);
    case 'z':
        return byte == 0;
    }
    return false;
}

/* Adds the characters that %letter stands for. */
static void set_add_class(uint8_t *set, uint8_t letter)
{
    int lower = tolower(letter);

    if (!lower || !strchr("acdglpsuwxz", lower)) {
        set_add(set, letter);
        return;
    }
    for (unsigned byte = 0; byte < 256; byte++)
        if (in_class((uint8_t)byte, lower) != !!isupper(letter))
            set_add(set, (uint8_t)byte);
}

/* Returns the ']' that ends the set whose '[' is before `at`, or NULL. A ']' that comes first is a
 * member. */
static const uint8_t *set_end(const struct compiler *c)
{
    const uint8_t *p = c->at;

    if (p < c->end && *p == '^')
        p++;
    do {
        if (p >= c->end)
            return NULL;
        if (*p++ == '%' && p < c->end)
            p++;
    } while (p >= c->end || *p != ']');
    return p;
}

static const char *parse_set(struct compiler *c, uint8_t *set)
{
    const uint8_t *end = set_end(c), *p = c->at;
    bool negative;

    if (!end)
        return "has a '[' without its ']'";
    negative = *p == '^';
    for (p += negative; p < end; p++) {
        if (*p == '%') {
            set_add_class(set, *++p);
        } else if (p + 2 < end && p[1] == '-') {
            for (unsigned byte = p[0]; byte <= p[2]; byte++)
                set_add(set, (uint8_t)byte);
            p += 2;
        } else {
            set_add(set, *p);
        }
    }
    for (size_t i = 0; negative && i < 256 / 8; i++)
        set[i] = (uint8_t)~set[i];
    c->at = end + 1;
    return NULL;
}

/* ---- items ---------------------------------------------------------------------------------- */

static struct pattern_item *add(struct compiler *c, enum pattern_op op)
{
    struct pattern_item *item = &c->p->items[c->p->count++];

    memset(item, 0, sizeof(*item));
    item->op = (uint8_t)op;
    return item;
}

static const char *parse_open(struct compiler *c)
{
    struct pattern *p = c->p;
    bool where = c->at < c->end && *c->at == ')';

    if (p->captures == PATTERN_CAPTURES)
        return "has too many captures (want at most 32)";
    c->at += where;
    c->open[p->captures] = !where;
    c->where[p->captures] = where;
    c->nested++;
    add(c, where ? PATTERN_POSITION : PATTERN_OPEN)->capture = (uint8_t)p->captures;
    p->captures++;
    return NULL;
}

static const char *parse_close(struct compiler *c)
{
    unsigned i = c->p->captures;

    while (i && !c->open[i - 1])
        i--;
    if (!i)
        return "has a ')' without its '('";
    c->open[i - 1] = false;
    c->nested++;
    add(c, PATTERN_CLOSE)->capture = (uint8_t)(i - 1);
    return NULL;
}

static const char *parse_same(struct compiler *c, uint8_t digit)
{
    unsigned i = digit - '1';

    if (digit == '0' || i >= c->p->captures || c->open[i] || c->where[i])
        return "refers to a capture that it does not have";
    add(c, PATTERN_SAME)->capture = (uint8_t)i;
    return NULL;
}

static const char *parse_balance(struct compiler *c)
{
    struct pattern_item *item;

    if (c->end - c->at < 2)
        return "has a '%b' without its two characters";
    item = add(c, PATTERN_BALANCE);
    item->byte = *c->at++;
    item->other = *c->at++;
    return NULL;
}

static const char *parse_frontier(struct compiler *c)
{
    if (c->at >= c->end || *c->at != '[')
        return "has a '%f' without its '['";
    c->at++;
    return parse_set(c, add(c, PATTERN_FRONTIER)->set);
}

/* Parses the repetition after a single character. */
static void parse_repeat(struct compiler *c, struct pattern_item *item)
{
    if (c->at >= c->end || !*c->at || !strchr("*+-?", *c->at))
        return;
    item->repeat = *c->at++;
    c->nested++;
}

/* Parses a single character: a class, a set, '.', or a literal. */
static const char *parse_single(struct compiler *c, uint8_t byte)
{
    bool literal = byte != '.' && byte != '[' && byte != '%';
    struct pattern_item *item = add(c, literal ? PATTERN_BYTE : PATTERN_SET);
    const char *wrong = NULL;

    item->byte = byte;
    if (byte == '.')
        memset(item->set, 0xff, sizeof(item->set));
    else if (byte == '[')
        wrong = parse_set(c, item->set);
    else if (byte == '%')
        set_add_class(item->set, *c->at++);
    if (!wrong)
        parse_repeat(c, item);
    return wrong;
}

static const char *parse_escape(struct compiler *c)
{
    if (c->at >= c->end)
        return "ends with '%'";
    if (isdigit(*c->at))
        return parse_same(c, *c->at++);
    if (*c->at != 'b' && *c->at != 'f')
        return parse_single(c, '%');
    return *c->at++ == 'b' ? parse_balance(c) : parse_frontier(c);
}

static const char *parse_item(struct compiler *c)
{
    uint8_t byte = *c->at++;

    switch (byte) {
    case '(':
        return parse_open(c);
    case ')':
        return parse_close(c);
    case '%':
        return parse_escape(c);
    case '$':
        if (c->at == c->end) {
            add(c, PATTERN_END);
            return NULL;
        }
    }
    return parse_single(c, byte);
}

static void compile_plain(struct pattern *p, const char *source, size_t length)
{
    struct compiler c = {.p = p};

    for (size_t i = 0; i < length; i++)
        add(&c, PATTERN_BYTE)->byte = (uint8_t)source[i];
}

const char *pattern_compile(struct pattern *p, const char *source, size_t length, bool plain)
{
    const uint8_t *start = (const uint8_t *)source;
    struct compiler c = {.p = p, .at = start, .end = start + length};
    const char *wrong = NULL;

    *p = (struct pattern){0};
    if (plain) {
        compile_plain(p, source, length);
        return NULL;
    }
    p->anchored = length && *source == '^';
    c.at += p->anchored;
    while (!wrong && c.at < c.end)
        wrong = parse_item(&c);
    for (unsigned i = 0; !wrong && i < p->captures; i++)
        if (c.open[i])
            wrong = "has a '(' without its ')'";
    if (!wrong && c.nested > NESTED_MAX)
        wrong = "is too complex (want at most 200 repetitions and captures)";
    return wrong;
}
