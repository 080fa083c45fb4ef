/* plan.c: finds places for the parts of a boot, and writes them to guest memory. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boot.h"

/* Tables for the kernel start here, above memory that 16-bit code and trampolines use. */
#define LOW_MEMORY 0x10000

/* Room for a list of RAM ranges in a message. */
#define RAM_TEXT 256

void plan_init(struct boot_plan *p, lunik_machine *m)
{
    *p = (struct boot_plan){.m = m};
}

void plan_free(struct boot_plan *p)
{
    for (size_t i = 0; i < p->count; i++)
        free(p->pieces[i].owned);
    free(p->pieces);
    plan_init(p, p->m);
}

/* Finds a piece or a ROM between first and last (inclusive); returns its name, or NULL. */
static const char *find_obstacle(const struct boot_plan *p, uint64_t first, uint64_t last,
                                 uint64_t *taken_first, uint64_t *taken_last)
{
    for (size_t i = 0; i < p->count; i++) {
        const struct boot_piece *piece = &p->pieces[i];

        *taken_first = piece->address;
        *taken_last = piece->address + (piece->size - 1);
        if (*taken_first <= last && *taken_last >= first)
            return piece->what;
    }
    for (const struct boot_rom *r = p->m->boot->roms; r; r = r->next) {
        *taken_first = r->address;
        *taken_last = r->address + (r->size - 1);
        if (*taken_first <= last && *taken_last >= first)
            return r->name;
    }
    return NULL;
}

static int fail_outside(const struct boot_plan *p, const char *what, uint64_t address,
                        uint64_t size, lunik_error *err)
{
    char ram[RAM_TEXT];

    fwmap_describe_ram(p->m->boot, ram, sizeof(ram));
    return lunik_fail(err, LUNIK_E_NO_SPACE,
                      "%s at 0x%" PRIx64 ", %" PRIu64 " bytes, is outside RAM (RAM is %s)", what,
                      address, size, ram);
}

static int check_place(const struct boot_plan *p, const char *what, uint64_t address, uint64_t size,
                       lunik_error *err)
{
    uint64_t base, ram_last, taken_first, taken_last;
    const char *obstacle;

    if (size - 1 > UINT64_MAX - address ||
        !fwmap_ram_after(p->m->boot, address, &base, &ram_last) || base > address ||
        address + (size - 1) > ram_last)
        return fail_outside(p, what, address, size, err);
    obstacle = find_obstacle(p, address, address + (size - 1), &taken_first, &taken_last);
    if (obstacle)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "%s at 0x%" PRIx64 "-0x%" PRIx64 " overlaps %s at 0x%" PRIx64
                          "-0x%" PRIx64,
                          what, address, address + (size - 1), obstacle, taken_first, taken_last);
    return 0;
}

int plan_add(struct boot_plan *p, const char *what, uint64_t address, const void *data,
             uint64_t data_size, uint64_t size, lunik_error *err)
{
    struct boot_piece *piece;
    int rc = check_place(p, what, address, size, err);

    if (rc)
        return rc;
    if (p->count == p->room) {
        size_t room = p->room ? 2 * p->room : 16;
        struct boot_piece *pieces = realloc(p->pieces, room * sizeof(*pieces));

        if (!pieces)
            return lunik_fail(err, LUNIK_E_NO_MEMORY, "%s: out of memory", what);
        p->pieces = pieces;
        p->room = room;
    }
    piece = &p->pieces[p->count++];
    *piece =
        (struct boot_piece){.address = address, .size = size, .data = data, .data_size = data_size};
    snprintf(piece->what, sizeof(piece->what), "%s", what);
    return 0;
}

/* Finds the lowest free place in [first, last]. */
static bool find_up(const struct boot_plan *p, uint64_t size, uint64_t align, uint64_t first,
                    uint64_t last, uint64_t *address)
{
    uint64_t taken_first, taken_last;

    for (;;) {
        if (first > UINT64_MAX - (align - 1))
            return false;
        first = (first + align - 1) & ~(align - 1);
        if (first > last || last - first < size - 1)
            return false;
        if (!find_obstacle(p, first, first + (size - 1), &taken_first, &taken_last)) {
            *address = first;
            return true;
        }
        if (taken_last == UINT64_MAX)
            return false;
        first = taken_last + 1;
    }
}

/* Finds the highest free place in [first, last]. */
static bool find_down(const struct boot_plan *p, uint64_t size, uint64_t align, uint64_t first,
                      uint64_t last, uint64_t *address)
{
    uint64_t taken_first, taken_last, start;

    for (;;) {
        if (first > last || last - first < size - 1)
            return false;
        start = (last - (size - 1)) & ~(align - 1);
        if (start < first)
            return false;
        if (!find_obstacle(p, start, start + (size - 1), &taken_first, &taken_last)) {
            *address = start;
            return true;
        }
        if (taken_first == 0)
            return false;
        last = taken_first - 1;
    }
}

int plan_find(const struct boot_plan *p, const char *what, uint64_t size, uint64_t align,
              uint64_t min, uint64_t last, bool top, uint64_t *address, lunik_error *err)
{
    uint64_t base, ram_last, from = min;
    bool found = false;
    char ram[RAM_TEXT];

    while (from <= last && fwmap_ram_after(p->m->boot, from, &base, &ram_last)) {
        uint64_t start = base > min ? base : min, end = ram_last < last ? ram_last : last;

        if (top)
            found |= find_down(p, size, align, start, end, address);
        else if (find_up(p, size, align, start, end, address))
            return 0;
        if (ram_last == UINT64_MAX)
            break;
        from = ram_last + 1;
    }
    if (found)
        return 0;
    fwmap_describe_ram(p->m->boot, ram, sizeof(ram));
    return lunik_fail(err, LUNIK_E_NO_SPACE,
                      "%s, %" PRIu64 " bytes, is too large for the free RAM from 0x%" PRIx64
                      " to 0x%" PRIx64 " (RAM is %s)",
                      what, size, min, last, ram);
}

int plan_add_high(struct boot_plan *p, const char *what, const struct boot_file *f, uint64_t last,
                  uint64_t *address, lunik_error *err)
{
    int rc = plan_find(p, what, f->size, 4096, 0, last, true, address, err);

    return rc ? rc : plan_add(p, what, *address, f->data, f->size, f->size, err);
}

int plan_blob(struct boot_plan *p, const char *what, uint64_t size, uint64_t align, uint8_t **data,
              uint64_t *address, lunik_error *err)
{
    int rc = plan_find(p, what, size, align, LOW_MEMORY, BOOT_4G - 1, false, address, err);

    if (rc)
        return rc;
    *data = calloc(1, size);
    if (!*data) {
        lunik_fail(err, LUNIK_E_NO_MEMORY, "%s: out of memory", what);
        return LUNIK_E_NO_MEMORY;
    }
    rc = plan_add(p, what, *address, *data, size, size, err);
    if (rc)
        free(*data);
    else
        p->pieces[p->count - 1].owned = *data;
    return rc;
}

int plan_string(struct boot_plan *p, const char *what, const char *text, uint64_t *address,
                lunik_error *err)
{
    size_t size = strlen(text) + 1;
    uint8_t *blob;
    int rc = plan_blob(p, what, size, 1, &blob, address, err);

    if (!rc)
        memcpy(blob, text, size);
    return rc;
}

int plan_place(const struct boot_plan *p, lunik_error *err)
{
    for (size_t i = 0; i < p->count; i++) {
        const struct boot_piece *piece = &p->pieces[i];
        int rc = boot_write(p->m, piece->what, piece->address, piece->data, piece->data_size, err);

        if (!rc)
            rc = boot_write(p->m, piece->what, piece->address + piece->data_size, NULL,
                            piece->size - piece->data_size, err);
        if (rc)
            return rc;
    }
    return 0;
}
