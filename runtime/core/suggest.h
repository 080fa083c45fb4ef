/* suggest.h: "did you mean". */
#ifndef CORE_SUGGEST_H
#define CORE_SUGGEST_H

/* Finds what a misspelt name may have meant. */
struct suggestion {
    const char *wanted;
    const char *best; /* NULL: nothing comes close */
    unsigned distance;
};
void suggestion_consider(struct suggestion *s, const char *candidate);

#endif
