/* suggest.h: the known name nearest to a misspelt one, for "did you mean". */
#ifndef CORE_SUGGEST_H
#define CORE_SUGGEST_H

/* A search: set wanted, call suggestion_consider() for each known name, read best. */
struct suggestion {
    const char *wanted;
    const char *best; /* NULL: nothing comes close */
    unsigned distance;
};
void suggestion_consider(struct suggestion *s, const char *candidate);

#endif
