/* test_queue_oracle.c: random drivers and devices on queues of every kind against the model.
 *
 * usage: test_queue_oracle [SEED] */
#include <time.h>
#include <unistd.h>

#include "random.h"
#include "virtio_oracle.h"

enum { ROUNDS = 400, STEPS = 400 };

static bool run(uint64_t seed)
{
    bool packed, event, indirect, ok;
    unsigned size, step = 0;

    random_state = seed * 0xd1342543de82ef95u;
    packed = chance(2);
    event = chance(2);
    indirect = chance(2);
    size = packed ? 1 + chance(MODEL_SIZE_MAX) : 1u << chance(7);
    ok = oracle_begin(packed, event, indirect, size);
    while (ok && step++ < STEPS)
        ok = oracle_step();
    ok = ok && oracle_end();
    if (!ok)
        printf("-- seed %" PRIu64 ": %s queue of %u%s%s, step %u: %s\n", seed,
               packed ? "packed" : "split", size, event ? ", events" : "",
               indirect ? ", indirect" : "", step,
               virtqueue_broken(&queue) ? virtqueue_broken(&queue) : oracle.wrong);
    return ok;
}

int main(int argc, char **argv)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : (uint64_t)time(NULL);
    unsigned wrong = 0;

    new_runtime();
    rig_open();
    must("queue", virtqueue_init(&queue, dma, MODEL_SIZE_MAX, 2 * MODEL_BUFFERS, &err));
    must("notes", virtqueue_note_buffers(&queue, &err));
    printf("-- seed %" PRIu64 "\n", seed);
    for (unsigned i = 0; i < ROUNDS && !wrong; i++)
        wrong += !run(seed + i);
    check_uint("driver and device agree", wrong, 0);
    fflush(stdout);
    if (wrong)
        _exit(1); /* with requests in flight */
    virtqueue_fini(&queue);
    rig_close();
    lunik_runtime_free(rt);
    return check_result();
}
