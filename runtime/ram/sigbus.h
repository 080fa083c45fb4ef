/* sigbus.h: survives pages of a mapping that the host can't provide. */
#ifndef RAM_SIGBUS_H
#define RAM_SIGBUS_H

#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>

/* Install the process's SIGBUS handler, which all users share; the last one to release it puts the
 * former handler back. */
void sigbus_take(void);
void sigbus_release(void);

/* Where the handler jumps to if this thread gets a SIGBUS; NULL: it does not jump. */
extern __thread sigjmp_buf *volatile sigbus_escape __attribute__((tls_model("initial-exec")));

/* Guards a mapping whose pages may be lost: its file is truncated, huge pages run out. A thread
 * that touches such a page finds zeros there, and the mapping counts as damaged from then on. */
struct sigbus_guard;
/* Returns NULL if out of memory. page_size: of the mapping. */
struct sigbus_guard *sigbus_guard_new(void *host, uint64_t size, uint64_t page_size, bool readonly);
void sigbus_guard_free(struct sigbus_guard *g); /* g may be NULL */
bool sigbus_damaged(const struct sigbus_guard *g);

#endif
