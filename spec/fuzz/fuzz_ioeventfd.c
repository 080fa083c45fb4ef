/*
 * fuzz_ioeventfd.c: changes to regions with ioeventfds and coalesced ranges, and writes to them,
 * against the model of the ioeventfd tests. -max_len=512 -runs=5000
 */
#include "ioeventfd_oracle.h"
#include "fuzz.h"

enum { OPERATIONS_MAX = 100 };

static unsigned chance(unsigned n)
{
    return fuzz_below(n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *bad = NULL, *left;

    if (!rt) {
        new_runtime();
        new_machine(LUNIK_ACCEL_NONE);
    }
    fuzz_begin(data, size);
    build_tree();
    for (unsigned i = 0; i < OPERATIONS_MAX && fuzz_more() && !bad; i++)
        bad = check_tree(operate());
    fuzz_check(!bad, "%s", bad);
    left = drop_tree();
    fuzz_check(!left, "%s", left);
    return 0;
}
