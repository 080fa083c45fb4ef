/*
 * pci_capability.c: the list of capabilities (PCI Local Bus 3.0, section 6.7) and function-level
 * reset (PCI Advanced Features, ECN of 2006).
 */
#include <stdlib.h>

#include "pci.h"

#define CAPABILITY_FIRST 0x40 /* the header ends there */

#define FEATURES_SIZE     6
#define FEATURES_LENGTH   2
#define FEATURES_PRESENT  3
#define FEATURES_FLR      0x02
#define FEATURES_CONTROL  4
#define FEATURES_INITIATE 0x01

lunik_pci_extra *pci_extra(lunik_pci_function *f, lunik_error *err)
{
    if (!f->extra)
        f->extra = calloc(1, sizeof *f->extra);
    if (!f->extra)
        lunik_fail(err, LUNIK_E_NO_MEMORY, "pci: out of memory");
    return f->extra;
}

void pci_extra_free(lunik_pci_function *f)
{
    if (!f->extra)
        return;
    pci_msix_free(f);
    free(f->extra);
    f->extra = NULL;
}

/* ---- the list ------------------------------------------------------------------------------- */

/* The bits of `used` for size bytes at offset, which lie within configuration space. */
static uint64_t dwords(unsigned offset, unsigned size)
{
    unsigned count = (size + 3) / 4;

    return ((UINT64_C(1) << count) - 1) << offset / 4;
}

/* Whether the device itself has something there. */
static bool is_empty(const lunik_pci_function *f, unsigned offset, unsigned size)
{
    for (unsigned i = offset; i < offset + size; i++)
        if (f->initial[i] | f->writable[i] | f->clearable[i])
            return false;
    return true;
}

/* Returns the first place for size bytes; 0: there is none. */
static unsigned find_place(const lunik_pci_function *f, unsigned size)
{
    unsigned whole = (size + 3) & ~3u;

    for (unsigned at = CAPABILITY_FIRST; at + whole <= LUNIK_PCI_CONFIG_SIZE; at += 4)
        if (!(f->extra->used & dwords(at, size)) && is_empty(f, at, whole))
            return at;
    return 0;
}

static int choose_place(const lunik_pci_function *f, unsigned id, unsigned size, unsigned *at,
                        lunik_error *err)
{
    const unsigned most = LUNIK_PCI_CONFIG_SIZE - CAPABILITY_FIRST;

    if (size < 2 || size > most)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "pci: capability 0x%02x: size %u is not possible (want 2 to %u)", id,
                          size, most);
    if (!*at) {
        *at = find_place(f, size);
        return *at ? 0
                   : lunik_fail(err, LUNIK_E_NO_SPACE,
                                "pci: capability 0x%02x: no room for %u bytes is left", id, size);
    }
    if (*at < CAPABILITY_FIRST || *at & 3 || *at > LUNIK_PCI_CONFIG_SIZE - size)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "pci: capability 0x%02x: offset 0x%x is not possible (want a multiple of "
                          "4 from 0x40 to 0x%x)",
                          id, *at, (LUNIK_PCI_CONFIG_SIZE - size) & ~3u);
    if (f->extra->used & dwords(*at, size))
        return lunik_fail(err, LUNIK_E_EXISTS,
                          "pci: capability 0x%02x: another capability is at 0x%02x", id, *at);
    return 0;
}

int lunik_pci_capability_add(lunik_pci_function *f, uint8_t id, unsigned offset, unsigned size,
                             unsigned *out, lunik_error *err)
{
    LUNIK_NOT_NULL_OR_FAIL(f, err);

    lunik_pci_extra *extra = pci_extra(f, err);
    int rc = extra ? choose_place(f, id, size, &offset, err) : LUNIK_E_NO_MEMORY;

    if (rc)
        return rc;
    extra->used |= dwords(offset, size);
    f->initial[offset] = id;
    f->initial[offset + 1] = 0;
    f->initial[extra->last ? extra->last + 1 : LUNIK_PCI_CAPABILITIES] = (uint8_t)offset;
    extra->last = (uint8_t)offset;
    f->initial[LUNIK_PCI_STATUS] |= LUNIK_PCI_STATUS_CAPABILITIES;
    if (out)
        *out = offset;
    return 0;
}

unsigned lunik_pci_capability_find(const lunik_pci_function *f, uint8_t id)
{
    LUNIK_NOT_NULL(f, 0);

    unsigned at = f->extra ? f->initial[LUNIK_PCI_CAPABILITIES] : 0;

    while (at && f->initial[at] != id)
        at = f->initial[at + 1];
    return at;
}

/* ---- function-level reset ------------------------------------------------------------------- */

int lunik_pci_function_level_reset_init(lunik_pci_function *f, lunik_error *err)
{
    LUNIK_NOT_NULL_OR_FAIL(f, err);

    unsigned at;
    int rc = lunik_pci_capability_add(f, LUNIK_PCI_CAP_FEATURES, 0, FEATURES_SIZE, &at, err);

    if (rc)
        return rc;
    f->initial[at + FEATURES_LENGTH] = FEATURES_SIZE;
    f->initial[at + FEATURES_PRESENT] = FEATURES_FLR;
    f->writable[at + FEATURES_CONTROL] = FEATURES_INITIATE; /* and it reads as zero */
    f->extra->features = (uint8_t)at;
    return 0;
}

void pci_features_written(lunik_pci_function *f, unsigned offset, unsigned size)
{
    const lunik_pci_extra *extra = f->extra;

    if (extra->msi && pci_touches(offset, size, extra->msi, 24)) {
        pci_update_intx(f);
        pci_msi_update(f);
    }
    if (extra->msix && pci_touches(offset, size, extra->msix, 4)) {
        pci_update_intx(f);
        pci_msix_update(f);
    }
    if (extra->features && f->config[extra->features + FEATURES_CONTROL] & FEATURES_INITIATE) {
        f->config[extra->features + FEATURES_CONTROL] = 0;
        pci_function_reset_owner(f);
    }
}
