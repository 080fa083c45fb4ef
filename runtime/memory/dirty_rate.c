/*
 * dirty_rate.c: estimates how much of the memory changes, without logging: compares hashes of
 * random pages with hashes of the same pages some time later.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "core/misuse.h"
#include "memory.h"

struct sampled_block {
    lunik_ram *ram;      /* a reference */
    size_t first, count; /* of the pages */
};

struct sampled_page {
    uint64_t offset, hash;
};

struct lunik_dirty_sample {
    struct sampled_block *blocks;
    struct sampled_page *pages;
    size_t block_count, block_capacity, page_count, page_capacity;
    uint64_t random;
};

/* splitmix64 */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static uint64_t hash_page(const lunik_ram *ram, uint64_t offset)
{
    const uint8_t *page = (const uint8_t *)lunik_ram_host(ram) + offset;
    uint64_t hash = 0;

    for (size_t i = 0; i < LUNIK_DIRTY_PAGE; i += sizeof(hash)) {
        uint64_t word;

        memcpy(&word, page + i, sizeof(word));
        hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 29;
    }
    return hash;
}

/* Samples a number of pages in proportion to the block's size; all if it has no more than that. */
static int sample_block(lunik_dirty_sample *s, lunik_ram *ram, unsigned per_gib, lunik_error *err)
{
    enum { AT_LEAST = 64 };
    uint64_t pages = lunik_ram_size(ram) / LUNIK_DIRTY_PAGE;
    uint64_t count = (lunik_ram_size(ram) >> 20) * per_gib >> 10;
    struct sampled_block b = {.ram = ram, .first = s->page_count};
    bool all;

    if (count < AT_LEAST)
        count = AT_LEAST;
    all = count >= pages;
    b.count = all ? pages : count;
    if (!grow((void **)&s->blocks, &s->block_capacity, s->block_count + 1, sizeof(*s->blocks)) ||
        !grow((void **)&s->pages, &s->page_capacity, s->page_count + b.count, sizeof(*s->pages)))
        return fail_no_memory(err);
    for (size_t i = 0; i < b.count; i++) {
        uint64_t page = all ? i : next_random(&s->random) % pages;

        s->pages[s->page_count++] =
            (struct sampled_page){page * LUNIK_DIRTY_PAGE, hash_page(ram, page * LUNIK_DIRTY_PAGE)};
    }
    lunik_ram_ref(ram);
    s->blocks[s->block_count++] = b;
    return 0;
}

static bool known(const lunik_dirty_sample *s, const lunik_ram *ram)
{
    for (size_t i = 0; i < s->block_count; i++)
        if (s->blocks[i].ram == ram)
            return true;
    return false;
}

static int sample_space(lunik_dirty_sample *s, lunik_space *space, unsigned per_gib,
                        lunik_error *err)
{
    struct view_cursor c = view_seek(view_root_current(space->vr), 0);
    const struct flat_range *r;
    int rc = 0;

    for (; !rc && (r = cursor_range(&c)); cursor_next(&c))
        if (r->region->kind == LUNIK_REGION_RAM && !known(s, r->region->ram))
            rc = sample_block(s, r->region->ram, per_gib, err);
    return rc;
}

int lunik_dirty_sample_new(lunik_machine *m, unsigned per_gib, lunik_dirty_sample **out,
                           lunik_error *err)
{
    NOT_NULL_OR_FAIL(out, err);
    NOT_NULL_OR_FAIL(m, err);

    struct memory_core *core = m->memory;
    lunik_dirty_sample *s;
    int rc = 0;

    if (!core)
        return machine_fail_closed(m, err);
    s = calloc(1, sizeof(*s));
    if (!s)
        return fail_no_memory(err);
    /* Any seed will do if there is no entropy. */
    (void)!getrandom(&s->random, sizeof(s->random), GRND_NONBLOCK);
    for (lunik_space *space = core->spaces; space && !rc; space = space->next)
        rc = sample_space(s, space, per_gib, err);
    if (rc)
        lunik_dirty_sample_free(s);
    else
        *out = s;
    return rc;
}

bool lunik_dirty_sample_compare(const lunik_dirty_sample *s, size_t index, lunik_dirty_sampled *out)
{
    NOT_NULL(s, false);
    NOT_NULL(out, false);

    const struct sampled_block *b = &s->blocks[index];

    if (index >= s->block_count)
        return false;
    *out = (lunik_dirty_sampled){.ram = b->ram, .pages = b->count};
    for (size_t i = b->first; i < b->first + b->count; i++)
        out->changed += hash_page(b->ram, s->pages[i].offset) != s->pages[i].hash;
    return true;
}

void lunik_dirty_sample_free(lunik_dirty_sample *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->block_count; i++)
        lunik_ram_unref(s->blocks[i].ram);
    free(s->blocks);
    free(s->pages);
    free(s);
}
