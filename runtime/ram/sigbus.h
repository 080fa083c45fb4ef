/* sigbus.h: what to do when a page of a mapping can't be had. */
#ifndef RAM_SIGBUS_H
#define RAM_SIGBUS_H

#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>

/* Users share one handler of the process; the last one puts the old one back. */
void sigbus_take(void);
void sigbus_release(void);

/* Where this thread goes when it gets a SIGBUS; NULL: nowhere. */
extern __thread sigjmp_buf *volatile sigbus_escape __attribute__((tls_model("initial-exec")));

/* A mapping whose pages may go away: its file is truncated, huge pages run out. Whoever touches
 * such a page finds zeros there, and the mapping counts as damaged from then on. */
struct sigbus_guard;
/* NULL: out of memory. page_size: of the mapping. */
struct sigbus_guard *sigbus_guard_new(void *host, uint64_t size, uint64_t page_size, bool readonly);
void sigbus_guard_free(struct sigbus_guard *g); /* NULL: nothing happens */
bool sigbus_damaged(const struct sigbus_guard *g);

#endif
