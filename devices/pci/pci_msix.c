/* pci_msix.c: MSI-X (PCI Local Bus 3.0, section 6.8.2): the table and the pending bits in a BAR. */
#include <inttypes.h>
#include <stdlib.h>

#include "pci.h"

#define MSIX_SIZE    12
#define MSIX_CONTROL 2
#define MSIX_TABLE   4
#define MSIX_PBA     8

#define CONTROL_MASK 0x4000
#define CONTROL_ON   0x8000

/* Words of an entry. */
enum { ENTRY_ADDRESS, ENTRY_ADDRESS_HIGH, ENTRY_DATA, ENTRY_CONTROL, ENTRY_WORDS };
#define ENTRY_MASKED 0x00000001u

enum { VECTORS_MOST = 2048, ENTRY_SIZE = 4 * ENTRY_WORDS };

/* ---- messages ------------------------------------------------------------------------------- */

static uint16_t control_of(const lunik_pci_function *f)
{
    return lunik_pci_get_word(f->config, f->extra->msix + MSIX_CONTROL);
}

unsigned pci_msix_vectors(const lunik_pci_function *f)
{
    bool on = f->extra && f->extra->msix && control_of(f) & CONTROL_ON;

    return on ? f->msix_words / ENTRY_WORDS : 0;
}

/* Whether messages of any vector may go out now. */
static bool open_to(const lunik_pci_function *f)
{
    return pci_msix_vectors(f) && !(control_of(f) & CONTROL_MASK) && pci_may_master(f);
}

static void set_pending(lunik_pci_function *f, unsigned vector, bool on)
{
    uint64_t bit = UINT64_C(1) << vector % 64;

    if (on)
        f->msix_pending[vector / 64] |= bit;
    else
        f->msix_pending[vector / 64] &= ~bit;
}

bool pci_msix_ready(const lunik_pci_function *f, unsigned vector, lunik_msi *msg)
{
    const uint32_t *entry = &f->msix_table[ENTRY_WORDS * (size_t)vector];

    *msg = (lunik_msi){.address = (uint64_t)entry[ENTRY_ADDRESS_HIGH] << 32 | entry[ENTRY_ADDRESS],
                       .data = entry[ENTRY_DATA]};
    return open_to(f) && !(entry[ENTRY_CONTROL] & ENTRY_MASKED);
}

void pci_msix_send(lunik_pci_function *f, unsigned vector)
{
    lunik_msi msg;
    bool ready = pci_msix_ready(f, vector, &msg);

    set_pending(f, vector, !ready);
    if (ready && f->owner)
        lunik_msi_send(f->owner, &msg);
}

/* Sends what is pending of one word of the bits, unless its vector is masked. */
static void send_pending(lunik_pci_function *f, unsigned word)
{
    for (uint64_t left = f->msix_pending[word]; left; left &= left - 1)
        pci_msix_send(f, 64 * word + (unsigned)__builtin_ctzll(left));
}

void pci_msix_update(lunik_pci_function *f)
{
    if (!f->extra || !f->extra->msix)
        return;
    pci_vectors_follow(f);
    if (!open_to(f))
        return;
    for (unsigned i = 0; i < f->msix_pending_words; i++)
        send_pending(f, i);
}

void pci_msix_reset(lunik_pci_function *f)
{
    for (unsigned i = 0; i < f->msix_words; i++)
        f->msix_table[i] = i % ENTRY_WORDS == ENTRY_CONTROL ? ENTRY_MASKED : 0;
    for (unsigned i = 0; i < f->msix_pending_words; i++)
        f->msix_pending[i] = 0;
}

/* ---- registers ------------------------------------------------------------------------------ */

static lunik_access table_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    const lunik_pci_function *f = opaque;

    *value = f->msix_table[offset / 4];
    return LUNIK_ACCESS_OK;
}

static lunik_access table_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    static const uint32_t writable[ENTRY_WORDS] = {~UINT32_C(3), UINT32_MAX, UINT32_MAX,
                                                   ENTRY_MASKED};
    lunik_pci_function *f = opaque;
    unsigned word = (unsigned)(offset / 4), vector = word / ENTRY_WORDS;

    f->msix_table[word] = (uint32_t)value & writable[word % ENTRY_WORDS];
    pci_vector_follow(f, vector);
    if (f->msix_pending[vector / 64] >> vector % 64 & 1)
        pci_msix_send(f, vector);
    return LUNIK_ACCESS_OK;
}

static lunik_access pba_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    const lunik_pci_function *f = opaque;

    *value = (uint32_t)(f->msix_pending[offset / 8] >> (offset & 4 ? 32 : 0));
    return LUNIK_ACCESS_OK;
}

static lunik_access pba_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    return LUNIK_ACCESS_OK; /* read-only */
}

static const lunik_io_ops table_ops = {
    .read = table_read,
    .write = table_write,
    .valid = {.min = 4, .max = 8},
    .impl = {.min = 4, .max = 4},
};

static const lunik_io_ops pba_ops = {
    .read = pba_read,
    .write = pba_write,
    .valid = {.min = 4, .max = 8},
    .impl = {.min = 4, .max = 4},
};

/* ---- making --------------------------------------------------------------------------------- */

void pci_msix_free(lunik_pci_function *f)
{
    pci_vectors_free(f);

    lunik_region **regions[] = {&f->extra->msix_table, &f->extra->msix_pba, &f->extra->msix_bar};

    for (size_t i = 0; i < sizeof regions / sizeof regions[0]; i++) {
        lunik_region *region = *regions[i];

        if (!region)
            continue;
        lunik_region_del(region, NULL);
        for (unsigned bar = 0; bar < LUNIK_PCI_BARS; bar++)
            if (f->bars[bar].region == region)
                f->bars[bar].region = NULL;
        lunik_region_unref(region);
        *regions[i] = NULL;
    }
    free(f->msix_table);
    free(f->msix_pending);
    f->msix_table = NULL;
    f->msix_pending = NULL;
    f->msix_words = f->msix_pending_words = 0;
}

static int new_region(lunik_pci_function *f, lunik_region **out, const char *name, uint64_t size,
                      const lunik_io_ops *ops, lunik_error *err)
{
    const lunik_region_config config = {
        .kind = ops ? LUNIK_REGION_IO : LUNIK_REGION_CONTAINER,
        .name = name,
        .size = size,
        .owner = f->owner,
        .ops = ops,
        .opaque = f,
    };

    return lunik_region_new(lunik_object_machine(f->owner), &config, out, err);
}

/* Makes a BAR that has room for both where the device has none. */
static int new_bar(lunik_pci_function *f, unsigned bar, uint64_t end, lunik_error *err)
{
    uint64_t size = 0x1000;
    int rc;

    while (size < end)
        size *= 2;
    rc = new_region(f, &f->extra->msix_bar, "msix", size, NULL, err);
    return rc ? rc : lunik_pci_bar_init(f, bar, LUNIK_PCI_BAR_MEM32, f->extra->msix_bar, err);
}

static int check_places(const lunik_pci_function *f, unsigned vectors, unsigned bar, uint64_t table,
                        uint64_t pba, lunik_error *err)
{
    uint64_t table_size = (uint64_t)ENTRY_SIZE * vectors, pba_size = (vectors + 63) / 64 * 8;
    uint64_t room = UINT64_C(1) << 31;

    if (!vectors || vectors > VECTORS_MOST)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "pci: msix: %u vectors are not possible (want 1 to %d)", vectors,
                          VECTORS_MOST);
    if (bar >= LUNIK_PCI_BARS || (f->bars[bar].region && f->bars[bar].kind == LUNIK_PCI_BAR_IO))
        return lunik_fail(err, LUNIK_E_INVALID, "pci: msix: BAR %u is not for memory", bar);
    if (f->bars[bar].region && lunik_region_size(f->bars[bar].region) < room)
        room = lunik_region_size(f->bars[bar].region);
    if (table & 7 || pba & 7 || table > room || pba > room || table_size > room - table ||
        pba_size > room - pba || (table < pba + pba_size && pba < table + table_size))
        return lunik_fail(err, LUNIK_E_INVALID,
                          "pci: msix: a table of 0x%" PRIx64 " bytes at 0x%" PRIx64
                          " and 0x%" PRIx64 " bytes of pending bits at 0x%" PRIx64
                          " are not possible in BAR %u (want multiples of 8 that do not overlap, "
                          "below 0x%" PRIx64 ")",
                          table_size, table, pba_size, pba, bar, room);
    return 0;
}

/* Makes the regions and puts them into the BAR. */
static int new_regions(lunik_pci_function *f, unsigned vectors, unsigned bar, uint64_t table,
                       uint64_t pba, lunik_error *err)
{
    uint64_t table_size = (uint64_t)ENTRY_SIZE * vectors, pba_size = (vectors + 63) / 64 * 8;
    uint64_t table_end = table + table_size, pba_end = pba + pba_size;
    int rc = new_region(f, &f->extra->msix_table, "msix-table", table_size, &table_ops, err);

    if (!rc)
        rc = new_region(f, &f->extra->msix_pba, "msix-pba", pba_size, &pba_ops, err);
    if (!rc && !f->bars[bar].region)
        rc = new_bar(f, bar, table_end > pba_end ? table_end : pba_end, err);
    if (!rc)
        rc = lunik_region_add(f->bars[bar].region, table, f->extra->msix_table, 1, true, err);
    if (!rc)
        rc = lunik_region_add(f->bars[bar].region, pba, f->extra->msix_pba, 1, true, err);
    return rc;
}

static int new_vectors(lunik_pci_function *f, unsigned vectors, lunik_error *err)
{
    f->msix_table = calloc(vectors, ENTRY_SIZE);
    f->msix_pending = calloc((vectors + 63) / 64, sizeof(uint64_t));
    if (!f->msix_table || !f->msix_pending)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "pci: msix: out of memory");
    f->msix_words = (uint16_t)(ENTRY_WORDS * vectors);
    f->msix_pending_words = (uint16_t)((vectors + 63) / 64);
    pci_msix_reset(f);
    return 0;
}

int lunik_pci_msix_init(lunik_pci_function *f, unsigned vectors, unsigned bar, uint64_t table,
                        uint64_t pba, unsigned offset, lunik_error *err)
{
    LUNIK_NOT_NULL_OR_FAIL(f, err);
    LUNIK_REQUIRE_OR_FAIL(f->owner, "the function has no owner", err);

    unsigned at = offset;
    int rc = check_places(f, vectors, bar, table, pba, err);

    if (!rc && lunik_pci_capability_find(f, LUNIK_PCI_CAP_MSIX))
        rc = lunik_fail(err, LUNIK_E_EXISTS, "pci: msix: the function has it already");
    if (!rc && !pci_extra(f, err))
        rc = LUNIK_E_NO_MEMORY;
    if (rc)
        return rc;
    rc = new_vectors(f, vectors, err);
    if (!rc)
        rc = new_regions(f, vectors, bar, table, pba, err);
    if (!rc)
        rc = lunik_pci_capability_add(f, LUNIK_PCI_CAP_MSIX, offset, MSIX_SIZE, &at, err);
    if (rc) {
        pci_msix_free(f);
        return rc;
    }
    f->extra->msix = (uint8_t)at;
    lunik_pci_set_word(f->initial, at + MSIX_CONTROL, (uint16_t)(vectors - 1));
    lunik_pci_set_word(f->writable, at + MSIX_CONTROL, CONTROL_ON | CONTROL_MASK);
    lunik_pci_set_long(f->initial, at + MSIX_TABLE, (uint32_t)table | bar);
    lunik_pci_set_long(f->initial, at + MSIX_PBA, (uint32_t)pba | bar);
    return 0;
}

/* ---- state ---------------------------------------------------------------------------------- */

static bool needed(const void *state)
{
    return ((const lunik_pci_function *)state)->msix_words;
}

static int post_load(void *staged, const void *state, uint16_t version, lunik_error *err)
{
    const lunik_pci_function *f = staged;
    unsigned vectors = f->msix_words / ENTRY_WORDS;

    for (unsigned i = 0; i < f->msix_words; i++) {
        uint32_t fixed = i % ENTRY_WORDS == ENTRY_ADDRESS   ? 3
                         : i % ENTRY_WORDS == ENTRY_CONTROL ? ~ENTRY_MASKED
                                                            : 0;
        if (f->msix_table[i] & fixed)
            return lunik_fail(err, LUNIK_E_INVALID,
                              "msix_table: [%u]: 0x%08" PRIx32 " has bits of 0x%08" PRIx32, i,
                              f->msix_table[i], fixed);
    }
    for (unsigned i = vectors; i < 64u * f->msix_pending_words; i++)
        if (f->msix_pending[i / 64] >> i % 64 & 1)
            return lunik_fail(err, LUNIK_E_INVALID, "msix_pending: vector %u of %u", i, vectors);
    return 0;
}

static const lunik_state_field state_fields[] = {
    LUNIK_STATE(lunik_pci_function, msix_words),
    LUNIK_STATE(lunik_pci_function, msix_pending_words),
    LUNIK_STATE_BUFFER(lunik_pci_function, msix_table, msix_words, ENTRY_WORDS *VECTORS_MOST),
    LUNIK_STATE_BUFFER(lunik_pci_function, msix_pending, msix_pending_words, VECTORS_MOST / 64),
    {0},
};

const lunik_state_table pci_msix_state = {
    .name = "msix",
    .version = 1,
    .size = sizeof(lunik_pci_function),
    .fields = state_fields,
    .needed = needed,
    .post_load = post_load,
};
