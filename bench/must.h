/* must.h: for the benchmarks in C: a call that fails ends the program with its message. */
#ifndef BENCH_MUST_H
#define BENCH_MUST_H

#include <stdio.h>
#include <stdlib.h>

#include "lunik.h"

static lunik_error err;

static inline void must(int rc)
{
    if (!rc)
        return;
    fprintf(stderr, "%s\n", err.message);
    exit(1);
}

#endif
