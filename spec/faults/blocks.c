/* blocks.c: the memory that was taken while armed and is not free again. */
#include <pthread.h>
#include <stdlib.h>

#include "faults.h"

enum { BUCKETS = 4096 };

struct block {
    struct block *next;
    uintptr_t hidden; /* its address, inverted, so that no leak checker takes it for a use */
    size_t size;
    unsigned long point;
    struct faults_trace trace;
};

static struct block *buckets[BUCKETS];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static struct block **bucket_of(const void *address)
{
    return &buckets[((uintptr_t)address >> 4) * 2654435761u % BUCKETS];
}

void faults_block_taken(void *address, size_t size)
{
    struct block **bucket = bucket_of(address), *b;
    unsigned long point = faults_now();

    if (!point)
        return;
    b = malloc(sizeof(*b));
    if (!b)
        abort();
    b->hidden = ~(uintptr_t)address;
    b->size = size;
    b->point = point;
    faults_trace(&b->trace);
    pthread_mutex_lock(&mutex);
    b->next = *bucket;
    *bucket = b;
    pthread_mutex_unlock(&mutex);
}

void faults_block_freed(void *address)
{
    struct block **link = bucket_of(address), *b;

    pthread_mutex_lock(&mutex);
    while (*link && (*link)->hidden != ~(uintptr_t)address)
        link = &(*link)->next;
    b = *link;
    if (b)
        *link = b->next;
    pthread_mutex_unlock(&mutex);
    free(b);
}

void faults_forget_blocks(void)
{
    pthread_mutex_lock(&mutex);
    for (size_t i = 0; i < BUCKETS; i++) {
        while (buckets[i]) {
            struct block *b = buckets[i];

            buckets[i] = b->next;
            free(b);
        }
    }
    pthread_mutex_unlock(&mutex);
}

static void push_block(lua_State *L, const struct block *b)
{
    lua_createtable(L, 0, 3);
    lua_pushinteger(L, (lua_Integer)b->point);
    lua_setfield(L, -2, "point");
    lua_pushinteger(L, (lua_Integer)b->size);
    lua_setfield(L, -2, "size");
    faults_push_trace(L, &b->trace);
    lua_setfield(L, -2, "trace");
}

void faults_push_blocks(lua_State *L)
{
    lua_Integer count = 0;

    lua_newtable(L);
    pthread_mutex_lock(&mutex);
    for (size_t i = 0; i < BUCKETS; i++) {
        for (const struct block *b = buckets[i]; b; b = b->next) {
            push_block(L, b);
            lua_rawseti(L, -2, ++count);
        }
    }
    pthread_mutex_unlock(&mutex);
}
