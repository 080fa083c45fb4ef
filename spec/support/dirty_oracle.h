/*
 * dirty_oracle.h: writes, starts, stops, syncs, clears and changes of the topology, compared after
 * each step with a model that works page by page. The including file provides chance(), which
 * chooses the steps.
 *
 * A listener stands in for the guest's memory slots: what "the guest" writes is kept per region and
 * reported as the hooks ask for it, so it shows whether they ask in time.
 */
#ifndef SPEC_DIRTY_ORACLE_H
#define SPEC_DIRTY_ORACLE_H

#include "ram/ram.h"
#include "machine_rig.h"

enum { PAGE = LUNIK_DIRTY_PAGE, BLOCKS = 3, REGIONS = 5, PAGES = 150, CLIENTS = 3, PLACES = 8 };
#define PLACE_SIZE (1ull << 24)

/* Which pages of which block a region shows; 0 and 1 share a block and some pages of it. */
static const struct {
    unsigned block, first, pages;
} layout[REGIONS] = {{0, 0, 100}, {0, 60, 90}, {1, 0, PAGES}, {1, 10, 64}, {2, 3, 140}};

static lunik_ram *rams[BLOCKS];
static lunik_region *regions[REGIONS];

/* the model */
static int place[REGIONS]; /* -1: not mapped */
static unsigned machine_starts[CLIENTS], block_starts[BLOCKS][CLIENTS],
    region_starts[REGIONS][CLIENTS];
static bool dirty[BLOCKS][CLIENTS][PAGES];
static unsigned pending[REGIONS][PAGES]; /* clients to whom a guest's write will be reported */

/* the guest's slots */
static bool slot_dirty[REGIONS][PAGES];
static unsigned slot_mask[REGIONS];
static lunik_listener slots;

/* A number below n. */
static unsigned chance(unsigned n);

/* ---- the slots ------------------------------------------------------------------------------ */

static unsigned index_of(const lunik_section *s)
{
    unsigned i = 0;

    while (regions[i] != s->region)
        i++;
    return i;
}

/* Reports a bitmap of the slot, as KVM does, for the clients in the slot's mask. */
static void report_bitmap(unsigned r)
{
    uint64_t bits[(PAGES + 63) / 64] = {0};

    for (unsigned page = 0; page < layout[r].pages; page++)
        bits[page / 64] |= (uint64_t)slot_dirty[r][page] << page % 64;
    ram_dirty_merge(rams[layout[r].block], (uint64_t)layout[r].first * PAGE, bits, layout[r].pages,
                    slot_mask[r]);
}

static void report(unsigned r)
{
    if (r % 2)
        report_bitmap(r);
    for (unsigned page = 0; r % 2 == 0 && page < layout[r].pages; page++)
        if (slot_dirty[r][page])
            lunik_dirty_mark(regions[r], (uint64_t)page * PAGE, PAGE);
    memset(slot_dirty[r], 0, sizeof(slot_dirty[r]));
}

static void on_add(lunik_listener *l, const lunik_section *s)
{
    slot_mask[index_of(s)] = s->log_mask;
}

static void on_del(lunik_listener *l, const lunik_section *s)
{
    report(index_of(s));
    slot_mask[index_of(s)] = 0;
}

static void on_start(lunik_listener *l, const lunik_section *s, unsigned old, unsigned now)
{
    report(index_of(s));
    slot_mask[index_of(s)] = now;
}

/* Changes the mask first: a client that stops gets no more reports. */
static void on_stop(lunik_listener *l, const lunik_section *s, unsigned old, unsigned now)
{
    slot_mask[index_of(s)] = now;
    report(index_of(s));
}

static void on_sync(lunik_listener *l, const lunik_section *s)
{
    report(index_of(s));
}

/* ---- the model ------------------------------------------------------------------------------ */

static unsigned mask_of(unsigned r)
{
    unsigned mask = 0;

    for (unsigned c = 0; c < CLIENTS; c++)
        if (machine_starts[c] || block_starts[layout[r].block][c] || region_starts[r][c])
            mask |= 1u << c;
    return mask;
}

static void model_mark(unsigned r, unsigned page, unsigned mask)
{
    for (unsigned c = 0; c < CLIENTS; c++)
        if (mask >> c & 1)
            dirty[layout[r].block][c][layout[r].first + page] = true;
}

static void model_report(unsigned r)
{
    for (unsigned page = 0; page < layout[r].pages; page++)
        model_mark(r, page, pending[r][page]);
    memset(pending[r], 0, sizeof(pending[r]));
}

/* Drops the bits of c where it does not log any more; other clients have had their reports. */
static void model_settle(unsigned c)
{
    for (unsigned r = 0; r < REGIONS; r++)
        if (!(mask_of(r) >> c & 1))
            for (unsigned page = 0; page < PAGES; page++)
                pending[r][page] &= ~(1u << c);
    for (unsigned b = 0; b < BLOCKS; b++) {
        bool logged = machine_starts[c] || block_starts[b][c];

        for (unsigned r = 0; r < REGIONS; r++)
            logged = logged || (layout[r].block == b && region_starts[r][c]);
        if (!logged)
            memset(dirty[b][c], 0, sizeof(dirty[b][c]));
    }
}

/* ---- steps ---------------------------------------------------------------------------------- */

static void step_write(unsigned r)
{
    unsigned first = chance(layout[r].pages), size = 1 + chance(3 * PAGE);
    uint64_t offset = (uint64_t)first * PAGE + chance(PAGE);
    static uint8_t data[3 * PAGE];

    if (place[r] < 0)
        return;
    if (offset + size > (uint64_t)layout[r].pages * PAGE)
        size = (unsigned)((uint64_t)layout[r].pages * PAGE - offset);
    lunik_space_write(m->memory_space, (uint64_t)place[r] * PLACE_SIZE + offset, data, size);
    for (uint64_t page = offset / PAGE; page <= (offset + size - 1) / PAGE; page++)
        model_mark(r, (unsigned)page, mask_of(r));
}

static void step_guest(unsigned r)
{
    unsigned page = chance(layout[r].pages);

    if (place[r] < 0 || !slot_mask[r])
        return;
    slot_dirty[r][page] = true;
    pending[r][page] |= mask_of(r);
}

static void step_move(unsigned r)
{
    unsigned to = chance(PLACES);
    bool taken = false;

    for (unsigned i = 0; i < REGIONS; i++)
        taken = taken || place[i] == (int)to;
    if (place[r] >= 0 && chance(2)) {
        must("del", lunik_region_del(regions[r], &err));
        place[r] = -1;
    } else if (taken) {
        return;
    } else if (place[r] >= 0) {
        must("move", lunik_region_set_offset(regions[r], to * PLACE_SIZE, &err));
        place[r] = (int)to;
    } else {
        must("add", lunik_region_add(lunik_space_root(m->memory_space), to * PLACE_SIZE, regions[r],
                                     0, false, &err));
        place[r] = (int)to;
    }
    model_report(r);
}

/* Starts or stops a client in some scope. */
static void step_log(unsigned r)
{
    unsigned c = chance(CLIENTS), kind = chance(3);
    lunik_dirty_scope scope = {.region = kind == 1 ? regions[r] : NULL,
                               .ram = kind == 2 ? rams[layout[r].block] : NULL};
    unsigned *starts = kind == 0   ? &machine_starts[c]
                       : kind == 1 ? &region_starts[r][c]
                                   : &block_starts[layout[r].block][c];
    unsigned old[REGIONS];

    for (unsigned i = 0; i < REGIONS; i++)
        old[i] = mask_of(i);
    if (*starts && chance(3)) {
        must("stop", lunik_dirty_stop(m, 1u << c, &scope, &err));
        --*starts;
    } else {
        must("start", lunik_dirty_start(m, 1u << c, &scope, &err));
        ++*starts;
    }
    model_settle(c);
    for (unsigned i = 0; i < REGIONS; i++)
        if (mask_of(i) != old[i]) /* the listener reports then */
            model_report(i);
}

static void step_sync(unsigned r)
{
    must("sync", lunik_dirty_sync(m, &err));
    for (unsigned i = 0; i < REGIONS; i++)
        if (place[i] >= 0)
            model_report(i);
}

static void step_clear(unsigned r)
{
    unsigned b = layout[r].block, c = chance(CLIENTS), first = chance(PAGES),
             count = 1 + chance(PAGES);
    uint64_t bits[3], want = 0, got;
    bool same = true;

    if (first + count > PAGES)
        count = PAGES - first;
    got = lunik_dirty_test_and_clear(m, 1u << c, rams[b], (uint64_t)first * PAGE,
                                     (uint64_t)count * PAGE, bits);
    for (unsigned i = 0; i < count; i++) {
        same = same && (bits[i / 64] >> i % 64 & 1) == dirty[b][c][first + i];
        want += dirty[b][c][first + i];
        dirty[b][c][first + i] = false;
    }
    if (got != want || !same)
        check_uint("what is cleared was dirty", got, want + !same);
}

/* ---- comparing ------------------------------------------------------------------------------ */

/* The pages of a block one by one. */
static bool same_pages(unsigned b, unsigned c)
{
    uint64_t offset = 0;

    for (unsigned page = 0; page < PAGES; page++) {
        if (!dirty[b][c][page])
            continue;
        if (!lunik_dirty_next(rams[b], 1u << c, &offset, PAGES * PAGE, NULL) ||
            offset != page * (uint64_t)PAGE)
            return false;
        offset += PAGE;
    }
    return !lunik_dirty_next(rams[b], 1u << c, &offset, PAGES * PAGE, NULL);
}

static bool same_as_model(void)
{
    for (unsigned b = 0; b < BLOCKS; b++)
        for (unsigned c = 0; c < CLIENTS; c++) {
            uint64_t offset = 0, size, next = 0, count = 0;

            for (unsigned page = 0; page < PAGES; page++)
                count += dirty[b][c][page];
            if (lunik_dirty_count(rams[b], 1u << c, 0, UINT64_MAX) != count)
                return false;
            while (lunik_dirty_next(rams[b], 1u << c, &offset, PAGES * PAGE, &size)) {
                for (; next < offset / PAGE; next++)
                    if (dirty[b][c][next])
                        return false;
                for (; next < (offset + size) / PAGE; next++)
                    if (!dirty[b][c][next])
                        return false;
                offset += size;
            }
            for (; next < PAGES; next++)
                if (dirty[b][c][next])
                    return false;
            if (!same_pages(b, c))
                return false;
        }
    for (unsigned r = 0; r < REGIONS; r++)
        if (place[r] >= 0 && slot_mask[r] != mask_of(r))
            return false;
    return true;
}

/* One step; is everything as the model has it then? */
static bool take_step(void)
{
    typedef void step_fn(unsigned r);
    static step_fn *const steps[] = {step_write, step_write, step_write, step_guest, step_guest,
                                     step_guest, step_move,  step_log,   step_sync,  step_clear};

    steps[chance(sizeof(steps) / sizeof(steps[0]))](chance(REGIONS));
    return same_as_model();
}

/* A machine with nothing mapped and nothing logged, for rt. */
static void set_up(void)
{
    new_machine(LUNIK_ACCEL_NONE);
    for (unsigned b = 0; b < BLOCKS; b++)
        rams[b] = new_ram("block", PAGES * PAGE);
    for (unsigned r = 0; r < REGIONS; r++) {
        lunik_region_config config = {.kind = LUNIK_REGION_RAM,
                                      .name = "region",
                                      .ram = rams[layout[r].block],
                                      .ram_offset = (uint64_t)layout[r].first * PAGE,
                                      .size = (uint64_t)layout[r].pages * PAGE};

        regions[r] = region_of(config);
        place[r] = -1;
    }
    slots = (lunik_listener){.name = "slots",
                             .space = m->memory_space,
                             .region_add = on_add,
                             .region_del = on_del,
                             .log_start = on_start,
                             .log_stop = on_stop,
                             .log_sync = on_sync};
    must("listener", lunik_listener_add(m, &slots, &err));
}

static void tear_down(void)
{
    lunik_machine_close(m);
    for (unsigned r = 0; r < REGIONS; r++)
        lunik_region_unref(regions[r]);
    for (unsigned b = 0; b < BLOCKS; b++)
        lunik_ram_unref(rams[b]);
    memset(machine_starts, 0, sizeof(machine_starts));
    memset(block_starts, 0, sizeof(block_starts));
    memset(region_starts, 0, sizeof(region_starts));
    memset(dirty, 0, sizeof(dirty));
    memset(pending, 0, sizeof(pending));
    memset(slot_dirty, 0, sizeof(slot_dirty));
    memset(slot_mask, 0, sizeof(slot_mask));
}

#endif
