/*
 * test_dirty_model.c: random steps of dirty_oracle.h.
 *
 *     test_dirty_model [SEED [STEPS]]
 */
#include <time.h>

#include "dirty_oracle.h"

static uint64_t state;

static unsigned chance(unsigned n)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)((state >> 20) % n);
}

int main(int argc, char **argv)
{
    unsigned count = argc > 2 ? (unsigned)atoi(argv[2]) : 60000, step = 0;
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : (uint64_t)time(NULL);
    bool same = true;

    state = seed * 0x9e3779b97f4a7c15u | 1;
    printf("# seed %" PRIu64 ", %u steps\n", seed, count);
    new_runtime();
    set_up();
    for (; step < count && same && !check_failures; step++)
        same = take_step();
    check_uint("steps that agree with the model", same ? step : step - 1, count);
    tear_down();
    lunik_runtime_free(rt);
    return check_result();
}
