/* state_sample.h: a struct with a field of every kind, its table, and random contents for it. */
#ifndef SPEC_STATE_SAMPLE_H
#define SPEC_STATE_SAMPLE_H

#include <stdlib.h>

#include "object/state.h"

enum colour { RED, GREEN, BLUE, COLOURS };

enum { RING = 16, BLOB_MOST = 40, PARTS = 5 };

struct part {
    uint8_t number;
    uint64_t since;
};

struct sample {
    void *pointer; /* not saved */
    bool on;
    _Atomic uint8_t code;
    uint8_t fifo[RING];
    uint32_t head;
    uint16_t port;
    uint32_t mask;
    uint64_t address;
    int level;
    int64_t base;
    enum colour colour;
    unsigned queued;
    uint16_t queue[RING];
    uint64_t bits[2];
    char label[12];
    size_t blob_size;
    uint8_t *blob;
    uint64_t activity, slots;
    lunik_irq irq;
    lunik_timer timer;
    struct part first;
    unsigned part_count;
    struct part parts[PARTS];
    uint32_t extra;  /* in the section */
    bool has_extra;  /* not saved */
    uint8_t added;   /* since version 3 */
    uint8_t scratch; /* not saved */
};

static int part_post_load(void *staged, const void *state, uint16_t version, lunik_error *err)
{
    const struct part *p = staged;

    return p->number == 13 ? lunik_fail(err, LUNIK_E_INVALID, "number: 13 brings bad luck") : 0;
}

static const lunik_state_field part_fields[] = {
    LUNIK_STATE(struct part, number),
    LUNIK_STATE_TIME(struct part, since),
    {0},
};
static const lunik_state_table part_table = {
    .name = "part",
    .version = 1,
    .size = sizeof(struct part),
    .fields = part_fields,
    .post_load = part_post_load,
};

static bool extra_needed(const void *state)
{
    return ((const struct sample *)state)->has_extra;
}

static void extra_absent(void *staged, const void *state)
{
    ((struct sample *)staged)->extra = 77;
}

static const lunik_state_field extra_fields[] = {LUNIK_STATE(struct sample, extra), {0}};
static const lunik_state_table extra_table = {
    .name = "extra",
    .version = 1,
    .size = sizeof(struct sample),
    .fields = extra_fields,
    .needed = extra_needed,
    .absent = extra_absent,
};
static const lunik_state_table *const sample_sections[] = {&extra_table, NULL};

static int sample_post_load(void *staged, const void *state, uint16_t version, lunik_error *err)
{
    struct sample *s = staged;

    if (version < 3)
        s->added = 33;
    return 0;
}

static const lunik_state_field sample_fields[] = {
    LUNIK_STATE(struct sample, on),
    LUNIK_STATE(struct sample, code),
    LUNIK_STATE_ARRAY(struct sample, fifo),
    LUNIK_STATE(struct sample, head, .limit = RING),
    LUNIK_STATE(struct sample, port),
    LUNIK_STATE(struct sample, mask),
    LUNIK_STATE(struct sample, address),
    LUNIK_STATE(struct sample, level),
    LUNIK_STATE(struct sample, base),
    LUNIK_STATE(struct sample, colour, .limit = COLOURS),
    LUNIK_STATE(struct sample, queued),
    LUNIK_STATE_COUNTED(struct sample, queue, queued),
    LUNIK_STATE_BITMAP(struct sample, bits, 100),
    LUNIK_STATE_STRING(struct sample, label),
    LUNIK_STATE(struct sample, blob_size),
    LUNIK_STATE_BUFFER(struct sample, blob, blob_size, BLOB_MOST),
    LUNIK_STATE_TIME(struct sample, activity),
    LUNIK_STATE(struct sample, slots, .flags = LUNIK_STATE_SAME),
    LUNIK_STATE(struct sample, irq),
    LUNIK_STATE(struct sample, timer),
    LUNIK_STATE_STRUCT(struct sample, first, &part_table),
    LUNIK_STATE(struct sample, part_count),
    LUNIK_STATE_COUNTED_STRUCTS(struct sample, parts, part_count, &part_table),
    LUNIK_STATE(struct sample, added, .since = 3),
    {0},
};
static const lunik_state_table sample_table = {
    .name = "sample",
    .version = 3,
    .min_version = 2,
    .size = sizeof(struct sample),
    .fields = sample_fields,
    .sections = sample_sections,
    .post_load = sample_post_load,
};

static inline void random_bytes(void *at, size_t size)
{
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)at)[i] = (uint8_t)rand();
}

static inline void random_part(struct part *p)
{
    p->number = (uint8_t)(rand() % 13);
    p->since = rand() % 4 ? (uint64_t)rand() : UINT64_MAX;
}

static inline void random_line(lunik_irq *irq, bool level)
{
}

/* Anything that the table allows; blob is to be freed. */
static inline void random_sample(struct sample *s)
{
    random_bytes(s, sizeof(*s));
    s->pointer = s;
    s->on = rand() & 1;
    s->has_extra = rand() & 1;
    s->head %= RING;
    s->colour = (enum colour)(rand() % COLOURS);
    s->queued %= RING + 1;
    s->bits[1] &= (UINT64_C(1) << 36) - 1;
    snprintf(s->label, sizeof(s->label), "%d", rand());
    s->blob_size %= BLOB_MOST + 1;
    s->blob = s->blob_size ? malloc(s->blob_size) : NULL;
    random_bytes(s->blob, s->blob ? s->blob_size : 0);
    s->activity = (uint64_t)rand();
    s->slots = 4;
    s->irq = (lunik_irq){.fn = random_line, .level = rand() & 1};
    lunik_timer_init(&s->timer, NULL, NULL);
    s->timer.deadline = rand() & 1 ? (uint64_t)rand() : UINT64_MAX;
    random_part(&s->first);
    s->part_count %= PARTS + 1;
    for (unsigned i = 0; i < PARTS; i++)
        random_part(&s->parts[i]);
}

#endif
