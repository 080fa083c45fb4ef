/*
 * names.h: a table of things that are found by a name.
 *
 * A thing embeds a `struct named`; the table allocates nothing for it, so adding cannot fail. The
 * table grows with what is in it. Without memory to grow it keeps its size, and look-ups get
 * slower. Several things may have one name: the caller tells them apart.
 */
#ifndef CORE_NAMES_H
#define CORE_NAMES_H

#include <stddef.h>
#include <stdint.h>

struct named {
    const char *name; /* owned by the thing, unchanged while it is in the table */
    uint32_t hash;
    struct named *next; /* in the same bucket */
};

enum { NAMES_FIRST = 16 };

struct names {
    struct named **buckets; /* a power of two; the array below, or allocated */
    size_t bucket_count, count;
    struct named *first[NAMES_FIRST];
};

void names_init(struct names *t);
/* Frees the table's own memory, not the things in it. */
void names_fini(struct names *t);
void names_add(struct names *t, struct named *thing, const char *name);
/* A thing that is not in the table is ignored. */
void names_remove(struct names *t, struct named *thing);
/* The first thing of that name (after `previous`, if it is given), or NULL. */
struct named *names_find(const struct names *t, const char *name, const struct named *previous);

#endif
