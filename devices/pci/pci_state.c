/* pci_state.c: what is saved of a PCI function. */
#include "pci.h"

#define HEADER_SIZE 0x40 /* of configuration space */

/* The bits of a byte of the header that the guest can't change, nor pci_update_intx(). */
static uint8_t fixed_bits(const lunik_pci_function *f, unsigned offset)
{
    uint8_t changing = f->writable[offset] | f->clearable[offset];

    return (uint8_t) ~(offset == LUNIK_PCI_STATUS ? changing | LUNIK_PCI_STATUS_INTX : changing);
}

/* Checks that the state has these bytes as they are here, but for what the guest can change. */
static int check_fixed(const lunik_pci_function *f, const lunik_pci_function *here, unsigned at,
                       unsigned count, lunik_error *err)
{
    for (unsigned i = at; i < at + count; i++)
        if ((f->config[i] ^ here->initial[i]) & fixed_bits(here, i))
            return lunik_fail(
                err, LUNIK_E_INVALID,
                "config: [0x%02x]: 0x%02x in the state, 0x%02x in this machine, which "
                "the guest can't change",
                i, f->config[i], here->initial[i]);
    return 0;
}

static int post_load(void *staged, const void *state, uint16_t version, lunik_error *err)
{
    const lunik_pci_function *f = staged, *here = state;
    int rc = check_fixed(f, here, 0, HEADER_SIZE, err);
    unsigned at = here->initial[LUNIK_PCI_CAPABILITIES];

    for (; !rc && here->extra && at; at = here->initial[at + 1]) {
        bool has_control = at == here->extra->msi || at == here->extra->msix;

        rc = check_fixed(f, here, at, has_control ? 4 : 2, err);
    }
    if (!rc &&
        (f->msix_words != here->msix_words || f->msix_pending_words != here->msix_pending_words))
        rc = lunik_fail(err, LUNIK_E_INVALID, "msix: %u vectors in the state, %u in this machine",
                        f->msix_words / 4, here->msix_words / 4);
    return rc;
}

static int map(void *state, lunik_error *err)
{
    return pci_map_bars(state, err);
}

static void loaded(void *state)
{
    pci_update_intx(state);
    pci_update_mastering(state);
}

static const lunik_state_field state_fields[] = {
    LUNIK_STATE_ARRAY(lunik_pci_function, config),
    LUNIK_STATE(lunik_pci_function, devfn, .flags = LUNIK_STATE_SAME),
    LUNIK_STATE(lunik_pci_function, intx),
    {0},
};

static const lunik_state_table *const sections[] = {&pci_msix_state, NULL};

const lunik_state_table lunik_pci_function_state = {
    .name = "pci",
    .version = 1,
    .size = sizeof(lunik_pci_function),
    .fields = state_fields,
    .sections = sections,
    .post_load = post_load,
    .map = map,
    .loaded = loaded,
};
