/* names.c: a table of things that are found by a name. */
#include "names.h"

#include <stdlib.h>
#include <string.h>

/* FNV-1a. */
static uint32_t hash_of(const char *name)
{
    uint32_t hash = 2166136261u;

    for (; *name; name++)
        hash = (hash ^ (uint8_t)*name) * 16777619u;
    return hash ^ hash >> 16;
}

static struct named **bucket_of(const struct names *t, uint32_t hash)
{
    return &t->buckets[hash & (t->bucket_count - 1)];
}

void names_init(struct names *t)
{
    memset(t, 0, sizeof(*t));
    t->buckets = t->first;
    t->bucket_count = NAMES_FIRST;
}

static void free_buckets(struct names *t)
{
    if (t->buckets != t->first)
        free(t->buckets);
}

void names_fini(struct names *t)
{
    free_buckets(t);
    names_init(t);
}

static void put(struct names *t, struct named *thing)
{
    struct named **bucket = bucket_of(t, thing->hash);

    thing->next = *bucket;
    *bucket = thing;
}

/* Reverses the order within a bucket; nothing depends on it. */
static void grow(struct names *t)
{
    struct names larger = {.bucket_count = t->bucket_count * 4};

    larger.buckets = calloc(larger.bucket_count, sizeof(struct named *));
    if (!larger.buckets)
        return;
    for (size_t i = 0; i < t->bucket_count; i++)
        for (struct named *thing = t->buckets[i], *next; thing; thing = next) {
            next = thing->next;
            put(&larger, thing);
        }
    free_buckets(t);
    t->buckets = larger.buckets;
    t->bucket_count = larger.bucket_count;
}

void names_add(struct names *t, struct named *thing, const char *name)
{
    if (t->count >= t->bucket_count)
        grow(t);
    thing->name = name;
    thing->hash = hash_of(name);
    put(t, thing);
    t->count++;
}

void names_remove(struct names *t, struct named *thing)
{
    struct named **link = bucket_of(t, thing->hash);

    while (*link && *link != thing)
        link = &(*link)->next;
    if (!*link)
        return;
    *link = thing->next;
    t->count--;
}

struct named *names_find(const struct names *t, const char *name, const struct named *previous)
{
    uint32_t hash = previous ? previous->hash : hash_of(name);
    struct named *thing = previous ? previous->next : *bucket_of(t, hash);

    while (thing && (thing->hash != hash || strcmp(thing->name, name) != 0))
        thing = thing->next;
    return thing;
}
