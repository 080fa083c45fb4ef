/*
 * test_ioeventfd_oracle.c: random changes to random regions with ioeventfds and coalesced ranges.
 *
 * usage: test_ioeventfd_oracle [FIRST-SEED [TREES]]
 *
 * A model that resolves every byte on its own says where each register and each coalesced byte
 * shows; the listeners' calls must add up to that, without one call too many, and writes must
 * signal what it says.
 */
#include "ioeventfd_oracle.h"
#include "random.h"

enum { OPERATIONS = 60 };

static const char *run_tree(void)
{
    const char *bad = NULL, *left;

    build_tree();
    for (int i = 0; i < OPERATIONS && !bad; i++)
        bad = check_tree(operate());
    left = drop_tree();
    return bad ? bad : left;
}

static void test_trees(uint64_t seed, unsigned trees)
{
    const char *bad = NULL;
    uint64_t first = seed;

    for (; seed < first + trees && !bad; seed++) {
        random_state = seed;
        bad = run_tree();
    }
    if (bad)
        printf("# seed %" PRIu64 ": %s\n", seed - 1, bad);
    check_true("oracle: listeners and dispatch agree with the model", !bad);
    printf("# seeds %" PRIu64 "..%" PRIu64 "\n", first, seed - 1);
}

int main(int argc, char **argv)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
    unsigned trees = getenv("LUNIK_QUICK") ? 2000 : 10000;

    if (argc > 2)
        trees = (unsigned)strtoul(argv[2], NULL, 0);

    new_runtime();
    new_machine(LUNIK_ACCEL_NONE);
    test_trees(seed, trees);
    check_uint("no set is left behind", m->memory->io_sets, 0);
    lunik_runtime_free(rt);
    return check_result();
}
