/* block_pool.h: threads for requests that may block. */
#ifndef BLOCK_BLOCK_POOL_H
#define BLOCK_BLOCK_POOL_H

#include "block_mail.h"

struct block_pool;

typedef int block_pool_fn(void *opaque, struct block_request *r);

/* Makes a pool whose threads call fn(opaque, r), which returns 0 or a negative errno. When the pool
 * and its threads have ended, released(opaque) is called, on any thread. NULL: no memory. */
struct block_pool *block_pool_new(block_pool_fn *fn, void (*released)(void *opaque), void *opaque);
/* Carries r out on one of the threads, and answers by way of mail. Threads are started as needed,
 * and inherit the sandbox of the caller, which must not be a vCPU's thread. */
void block_pool_add(struct block_pool *pool, struct block_mail *mail, struct block_request *r);
/* Whether requests are waiting or being carried out. */
bool block_pool_busy(struct block_pool *pool);
/* Ends the pool when its requests have been carried out, and waits for nothing. */
void block_pool_free(struct block_pool *pool);

#endif
