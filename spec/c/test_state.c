/* test_state.c: structs that are saved and loaded by their tables, and bytes that are none. */
#include <stdlib.h>
#include <time.h>

#include "object/state.h"
#include "check.h"

struct sample {
    void *pointer; /* not saved */
    bool on;
    uint8_t fifo[16];
    uint16_t port;
    uint32_t mask;
    uint64_t address;
    int level;
    uint8_t scratch; /* not saved */
};

static const lunik_state_field fields[] = {
    LUNIK_STATE(struct sample, on),
    LUNIK_STATE_ARRAY(struct sample, fifo),
    LUNIK_STATE(struct sample, port),
    LUNIK_STATE(struct sample, mask),
    LUNIK_STATE(struct sample, level),
    LUNIK_STATE(struct sample, address),
    {0},
};
static const lunik_state_table table = {"sample", 2, 2, sizeof(struct sample), fields};

static void randomize(struct sample *s)
{
    uint8_t *bytes = (uint8_t *)s;

    for (size_t i = 0; i < sizeof(*s); i++)
        bytes[i] = (uint8_t)rand();
    bytes[offsetof(struct sample, on)] &= 1;
}

static void round_trip(void)
{
    struct sample from, shadow, to, before;
    struct state_bytes first = {0}, second = {0};

    randomize(&from);
    randomize(&to);
    before = to;
    check_int("encode", state_encode(&table, &from, &first, NULL), 0);
    check_int("decode", state_decode(&table, first.data, first.size, &shadow, NULL), 0);
    state_commit(&table, &to, &shadow);
    check_int("encode again", state_encode(&table, &to, &second, NULL), 0);
    check_true("the same bytes",
               first.size == second.size && memcmp(first.data, second.data, first.size) == 0);
    check_true("every field arrives", to.on == from.on &&
                                          !memcmp(to.fifo, from.fifo, sizeof(to.fifo)) &&
                                          to.port == from.port && to.mask == from.mask &&
                                          to.address == from.address && to.level == from.level);
    check_true("other fields stay", to.pointer == before.pointer && to.scratch == before.scratch);
    state_bytes_free(&first);
    state_bytes_free(&second);
}

static void refused(const char *name, const lunik_state_table *t, const uint8_t *data, size_t size,
                    const char *text)
{
    struct sample shadow;
    lunik_error err = {0};

    check_int(name, state_decode(t, data, size, &shadow, &err), LUNIK_E_INVALID);
    check_contains(name, err.message, text);
}

static void refusals(void)
{
    static const lunik_state_table older = {"sample", 1, 1, sizeof(struct sample), fields};
    static const lunik_state_table other = {"simple", 2, 2, sizeof(struct sample), fields};
    struct sample s;
    struct state_bytes b = {0};
    uint8_t *on;

    randomize(&s);
    state_encode(&table, &s, &b, NULL);
    refused("newer version", &older, b.data, b.size, "version 2, versions 1 to 1");
    refused("another name", &other, b.data, b.size, "'simple' expected");
    on = b.data + 1 + strlen("sample") + 4 + 1 + strlen("on") + 5;
    *on = 2;
    refused("a bool of 2", &table, b.data, b.size, "sample.on: 0 or 1 expected, got 2");
    *on = 1;
    on[-5] = LUNIK_STATE_KIND_U8;
    refused("another kind", &table, b.data, b.size, "sample.on: kind 1");
    state_bytes_free(&b);
}

/* Every prefix is refused, from a piece of memory of its size so that sanitizers see more reads. */
static void truncations(void)
{
    struct sample s, shadow;
    struct state_bytes b = {0};
    size_t accepted = 0;

    randomize(&s);
    state_encode(&table, &s, &b, NULL);
    for (size_t size = 0; size < b.size; size++) {
        uint8_t *part = malloc(size + !size);

        memcpy(part, b.data, size);
        accepted += state_decode(&table, part, size, &shadow, NULL) == 0;
        free(part);
    }
    check_uint("no prefix is accepted", accepted, 0);
    state_bytes_free(&b);
}

/* Changed bytes are refused or make another valid struct, which is saved as just these bytes. */
static void mutations(void)
{
    struct sample s, shadow;
    struct state_bytes b = {0};
    size_t different = 0;

    randomize(&s);
    state_encode(&table, &s, &b, NULL);
    for (int i = 0; i < 20000; i++) {
        struct state_bytes again = {0};
        size_t at = (size_t)rand() % b.size;
        uint8_t kept = b.data[at];

        b.data[at] = (uint8_t)rand();
        if (state_decode(&table, b.data, b.size, &shadow, NULL) == 0) {
            state_encode(&table, &shadow, &again, NULL);
            different += again.size != b.size || memcmp(again.data, b.data, b.size) != 0;
        }
        b.data[at] = kept;
        state_bytes_free(&again);
    }
    check_uint("what is accepted is saved alike", different, 0);
    state_bytes_free(&b);
}

int main(int argc, char **argv)
{
    unsigned seed = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 0) : (unsigned)time(NULL);

    printf("# seed %u\n", seed);
    srand(seed);
    for (int i = 0; i < 20; i++)
        round_trip();
    refusals();
    truncations();
    mutations();
    return check_result();
}
