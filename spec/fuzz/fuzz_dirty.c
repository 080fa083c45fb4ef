/*
 * fuzz_dirty.c: dirty logging by several clients in all scopes while regions move, against the
 * model of the dirty logging tests. -max_len=512 -runs=3000
 */
#include "dirty_oracle.h"
#include "fuzz.h"

enum { STEPS_MAX = 150 };

static unsigned chance(unsigned n)
{
    return fuzz_below(n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!rt)
        new_runtime();
    set_up();
    fuzz_begin(data, size);
    for (unsigned i = 0; i < STEPS_MAX && fuzz_more(); i++)
        fuzz_check(take_step() && !check_failures, "step %u", i);
    tear_down();
    fuzz_settle(rt);
    return 0;
}
