/*
 * fuzz_memory.c: operations on region graphs, with listeners that refuse some, against the model of
 * the memory tests. -max_len=512 -runs=5000
 */
#define _GNU_SOURCE /* memory_oracle.h */
#include "memory_oracle.h"
#include "fuzz.h"

enum { OPERATIONS_MAX = 100 };

static bool checking;
static unsigned checks;

/* Operations come from the input; which of many things is looked at, does not use it up. */
static unsigned chance(unsigned n)
{
    return checking ? checks++ % n : fuzz_below(n);
}

static void check(void)
{
    checking = true;
    check_everything();
    checking = false;
    fuzz_check(!failed, "see above");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool ready;

    if (!ready)
        fuzz_check(setup(), "no machine");
    ready = true;
    checks = 0;
    fuzz_begin(data, size);
    shape = &shapes[fuzz_below(3)];
    build_tree();
    for (unsigned i = SPACES; i < shape->nodes; i++)
        place_node(i);
    for (unsigned i = 0; i < OPERATIONS_MAX && fuzz_more(); i++) {
        operate();
        if (!depth)
            check();
    }
    checking = true;
    end_tree();
    checking = false;
    fuzz_check(!failed, "see above");
    clean_up();
    fuzz_check(!failed, "see above");
    return 0;
}
