/* misuse.c: reports calls that break a precondition. */
#include "misuse.h"

#include <stdatomic.h>
#include <stdio.h>

static lunik_misuse_fn *_Atomic observer;

void lunik_set_misuse_cb(lunik_misuse_fn *fn)
{
    atomic_store(&observer, fn);
}

void lunik_misuse(const char *function, const char *what)
{
    lunik_misuse_fn *fn = atomic_load(&observer);
    char message[256];

    snprintf(message, sizeof(message), "%s: %s", function, what);
    if (fn)
        fn(message);
    else
        fprintf(stderr, "lunik: %s; the call is ignored\n", message);
}

int lunik_misuse_fail(lunik_error *err, const char *function, const char *what)
{
    return lunik_fail(err, LUNIK_E_INVALID, "%s: %s", function, what);
}
