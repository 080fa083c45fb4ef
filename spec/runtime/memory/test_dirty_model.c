/*
 * test_dirty_model.c: random steps of dirty_oracle.h.
 *
 *     test_dirty_model [SEED [STEPS]]
 */
#include <time.h>

#include "dirty_oracle.h"
#include "random.h"

int main(int argc, char **argv)
{
    unsigned count = argc > 2 ? (unsigned)atoi(argv[2]) : 60000, step = 0;
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : (uint64_t)time(NULL);
    bool same = true;

    random_state = seed;
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
