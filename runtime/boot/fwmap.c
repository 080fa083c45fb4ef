/* fwmap.c: the memory map that firmware reports to a kernel. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/misuse.h"
#include "boot.h"

static const char *type_name(lunik_fwmap_type type)
{
    switch (type) {
    case LUNIK_FWMAP_RAM:
        return "ram";
    case LUNIK_FWMAP_RESERVED:
        return "reserved";
    case LUNIK_FWMAP_ACPI:
        return "acpi";
    case LUNIK_FWMAP_HOTPLUG:
        return "hotplug";
    }
    return NULL;
}

/* Finds the index for an entry; fails if it overlaps another. */
static int find_place(const struct boot_state *b, const lunik_fwmap_entry *entry, size_t *index,
                      lunik_error *err)
{
    uint64_t last = entry->base + (entry->size - 1);
    size_t i;

    for (i = 0; i < b->map_count && b->map[i].base <= last; i++) {
        const lunik_fwmap_entry *e = &b->map[i];
        uint64_t e_last = e->base + (e->size - 1);

        if (e_last >= entry->base)
            return lunik_fail(err, LUNIK_E_EXISTS,
                              "memory map: %s range 0x%" PRIx64 "-0x%" PRIx64
                              " overlaps the %s range 0x%" PRIx64 "-0x%" PRIx64,
                              type_name(entry->type), entry->base, last, type_name(e->type),
                              e->base, e_last);
    }
    *index = i;
    return 0;
}

int lunik_fwmap_add(lunik_machine *m, const lunik_fwmap_entry *entry, lunik_error *err)
{
    NOT_NULL_OR_FAIL(m, err);
    NOT_NULL_OR_FAIL(entry, err);

    struct boot_state *b = m->boot;
    lunik_fwmap_entry *map;
    size_t index = 0;
    int rc;

    if (!b)
        return machine_fail_closed(m, err);
    if (!type_name(entry->type))
        return lunik_fail(err, LUNIK_E_INVALID,
                          "memory map: type: '%d' is unknown (want ram, reserved, acpi or hotplug)",
                          (int)entry->type);
    if (!entry->size || entry->size > UINT64_MAX - entry->base)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "memory map: size: '0x%" PRIx64 "' is not possible at 0x%" PRIx64
                          " (want at least 1 and an end below 2^64)",
                          entry->size, entry->base);
    rc = find_place(b, entry, &index, err);
    if (rc)
        return rc;
    map = realloc(b->map, (b->map_count + 1) * sizeof(*map));
    if (!map)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "memory map: out of memory");
    memmove(map + index + 1, map + index, (b->map_count - index) * sizeof(*map));
    map[index] = *entry;
    b->map = map;
    b->map_count++;
    return 0;
}

const lunik_fwmap_entry *lunik_fwmap(const lunik_machine *m, size_t *count)
{
    NOT_NULL(m, NULL);
    NOT_NULL(count, NULL);

    *count = m->boot ? m->boot->map_count : 0;
    return m->boot ? m->boot->map : NULL;
}

bool fwmap_ram_after(const struct boot_state *b, uint64_t from, uint64_t *base, uint64_t *last)
{
    bool found = false;

    for (size_t i = 0; i < b->map_count; i++) {
        const lunik_fwmap_entry *e = &b->map[i];
        uint64_t e_last = e->base + (e->size - 1);

        if (e->type != LUNIK_FWMAP_RAM)
            continue;
        if (found && e->base != *last + 1) {
            if (*last >= from)
                return true;
            found = false;
        }
        if (!found)
            *base = e->base;
        *last = e_last;
        found = true;
    }
    return found && *last >= from;
}

const lunik_fwmap_entry *fwmap_e820_next(const struct boot_state *b,
                                         const lunik_fwmap_entry *previous)
{
    const lunik_fwmap_entry *end = b->map + b->map_count;
    const lunik_fwmap_entry *e = previous ? previous + 1 : b->map;

    while (e < end && e->type == LUNIK_FWMAP_HOTPLUG)
        e++;
    return e < end ? e : NULL;
}

size_t fwmap_e820_count(const struct boot_state *b)
{
    size_t n = 0;

    for (const lunik_fwmap_entry *e = NULL; (e = fwmap_e820_next(b, e));)
        n++;
    return n;
}

void fwmap_describe_ram(const struct boot_state *b, char *buf, size_t size)
{
    uint64_t base, last, from = 0;
    size_t used = 0;

    snprintf(buf, size, "none");
    while (fwmap_ram_after(b, from, &base, &last)) {
        int n = snprintf(buf + used, size - used, "%s0x%" PRIx64 "-0x%" PRIx64, used ? ", " : "",
                         base, last);

        if (n < 0 || (size_t)n >= size - used || last == UINT64_MAX)
            return;
        used += (size_t)n;
        from = last + 1;
    }
}
