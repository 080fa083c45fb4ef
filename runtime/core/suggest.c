/* suggest.c: finds the known name nearest to a misspelt one, for "did you mean". */
#include "suggest.h"

#include <string.h>

#include "lunik_device.h"
#include "misuse.h"

enum { NAME_MAX_LENGTH = 63 };

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
    unsigned least = a < b ? a : b;
    return least < c ? least : c;
}

static char fold(char c)
{
    if (c == '_')
        return '-';
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Returns how many insertions, deletions, replacements and swaps of neighbours turn a into b. */
static unsigned edit_distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    unsigned rows[3][NAME_MAX_LENGTH + 1];
    unsigned *before = rows[0], *above = rows[1], *row = rows[2];

    for (size_t j = 0; j <= b_len; j++)
        above[j] = (unsigned)j;
    for (size_t i = 1; i <= a_len; i++) {
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b_len; j++) {
            bool same = fold(a[i - 1]) == fold(b[j - 1]);
            row[j] = min3(above[j] + 1, row[j - 1] + 1, above[j - 1] + !same);
            if (i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2]) &&
                fold(a[i - 2]) == fold(b[j - 1]) && before[j - 2] + 1 < row[j])
                row[j] = before[j - 2] + 1;
        }
        unsigned *spare = before;
        before = above;
        above = row;
        row = spare;
    }
    return above[b_len];
}

void suggestion_consider(struct suggestion *s, const char *candidate)
{
    size_t wanted_len = strlen(s->wanted), len = strlen(candidate);

    if (wanted_len > NAME_MAX_LENGTH || len > NAME_MAX_LENGTH)
        return;
    unsigned distance = edit_distance(s->wanted, wanted_len, candidate, len);
    unsigned limit = wanted_len < 4 ? 1 : 1 + (unsigned)wanted_len / 4;
    if (distance <= limit && (!s->best || distance < s->distance)) {
        s->best = candidate;
        s->distance = distance;
    }
}

const char *lunik_suggest(const char *name, const char *const *names)
{
    NOT_NULL(name, NULL);
    NOT_NULL(names, NULL);

    struct suggestion s = {.wanted = name};

    for (; *names; names++)
        suggestion_consider(&s, *names);
    return s.best;
}
