/* pci_msi.c: MSI (PCI Local Bus 3.0, section 6.8.1), and what it has in common with MSI-X. */
#include "pci.h"

/* Offsets in the capability; those behind the address are 4 more with 64-bit addresses. */
#define MSI_CONTROL 2
#define MSI_ADDRESS 4
#define MSI_DATA    8
#define MSI_MASK    12
#define MSI_PENDING 16

#define CONTROL_ON         0x0001
#define CONTROL_OFFERED(c) ((c) >> 1 & 7)
#define CONTROL_GIVEN(c)   ((c) >> 4 & 7)
#define CONTROL_GIVEN_BITS 0x0070
#define CONTROL_64         0x0080
#define CONTROL_MASKS      0x0100

static uint16_t control_of(const lunik_pci_function *f)
{
    return lunik_pci_get_word(f->config, f->extra->msi + MSI_CONTROL);
}

/* Returns where a register behind the address is in configuration space. */
static unsigned place_of(const lunik_pci_function *f, unsigned reg)
{
    return f->extra->msi + reg + (f->initial[f->extra->msi + MSI_CONTROL] & CONTROL_64 ? 4 : 0);
}

static bool has_masks(const lunik_pci_function *f)
{
    return f->initial[f->extra->msi + MSI_CONTROL + 1] & CONTROL_MASKS >> 8;
}

int lunik_pci_msi_init(lunik_pci_function *f, unsigned vectors, unsigned flags, unsigned offset,
                       lunik_error *err)
{
    LUNIK_NOT_NULL_OR_FAIL(f, err);

    bool wide = flags & LUNIK_PCI_MSI_64, masks = flags & LUNIK_PCI_MSI_MASK;
    unsigned size = (masks ? 20 : 10) + (wide ? 4 : 0), at = offset;
    int rc;

    if (!vectors || vectors > 32 || vectors & (vectors - 1))
        return lunik_fail(err, LUNIK_E_INVALID,
                          "pci: msi: %u vectors are not possible (want 1, 2, 4, 8, 16 or 32)",
                          vectors);
    if (lunik_pci_capability_find(f, LUNIK_PCI_CAP_MSI))
        return lunik_fail(err, LUNIK_E_EXISTS, "pci: msi: the function has it already");
    rc = lunik_pci_capability_add(f, LUNIK_PCI_CAP_MSI, offset, size, &at, err);
    if (rc)
        return rc;
    f->extra->msi = (uint8_t)at;
    lunik_pci_set_word(f->initial, at + MSI_CONTROL,
                       (uint16_t)(__builtin_ctz(vectors) << 1 | (wide ? CONTROL_64 : 0) |
                                  (masks ? CONTROL_MASKS : 0)));
    lunik_pci_set_word(f->writable, at + MSI_CONTROL, CONTROL_ON | CONTROL_GIVEN_BITS);
    lunik_pci_set_long(f->writable, at + MSI_ADDRESS, ~UINT32_C(3));
    if (wide)
        lunik_pci_set_long(f->writable, at + MSI_ADDRESS + 4, UINT32_MAX);
    lunik_pci_set_word(f->writable, place_of(f, MSI_DATA), UINT16_MAX);
    if (masks)
        lunik_pci_set_long(f->writable, place_of(f, MSI_MASK), UINT32_MAX >> (32 - vectors));
    return 0;
}

unsigned pci_msi_vectors(const lunik_pci_function *f)
{
    if (!f->extra || !f->extra->msi || !(control_of(f) & CONTROL_ON))
        return 0;

    unsigned given = CONTROL_GIVEN(control_of(f)), offered = CONTROL_OFFERED(control_of(f));
    unsigned most = offered < 5 ? offered : 5;

    return 1u << (given < most ? given : most);
}

static lunik_msi message_of(const lunik_pci_function *f, unsigned vector)
{
    unsigned at = f->extra->msi, vectors = pci_msi_vectors(f);
    lunik_msi msg = {.address = lunik_pci_get_long(f->config, at + MSI_ADDRESS)};

    if (control_of(f) & CONTROL_64)
        msg.address |= (uint64_t)lunik_pci_get_long(f->config, at + MSI_ADDRESS + 4) << 32;
    msg.data = lunik_pci_get_word(f->config, place_of(f, MSI_DATA));
    msg.data = (msg.data & ~(vectors - 1)) | vector;
    return msg;
}

static bool is_masked(const lunik_pci_function *f, unsigned vector)
{
    return has_masks(f) && lunik_pci_get_long(f->config, place_of(f, MSI_MASK)) >> vector & 1;
}

bool pci_msi_ready(const lunik_pci_function *f, unsigned vector, lunik_msi *msg)
{
    unsigned vectors = pci_msi_vectors(f);

    if (!vectors || !pci_may_master(f) || is_masked(f, vector % vectors))
        return false;
    *msg = message_of(f, vector % vectors);
    return true;
}

unsigned pci_msi_offered(const lunik_pci_function *f)
{
    unsigned offered = 0;

    if (!f->extra || !f->extra->msi)
        return 0;
    offered = CONTROL_OFFERED(lunik_pci_get_word(f->initial, f->extra->msi + MSI_CONTROL));
    return 1u << (offered < 5 ? offered : 5);
}

/* Sends the message of a vector that is not masked. */
static void send_message(lunik_pci_function *f, unsigned vector)
{
    lunik_msi msg = message_of(f, vector);

    if (f->owner)
        lunik_msi_send(f->owner, &msg);
}

void pci_msi_send(lunik_pci_function *f, unsigned vector)
{
    unsigned pending = place_of(f, MSI_PENDING);
    bool masks = has_masks(f);
    uint32_t bit = UINT32_C(1) << vector;

    if (pci_may_master(f) && !is_masked(f, vector))
        send_message(f, vector);
    else if (masks)
        lunik_pci_set_long(f->config, pending, lunik_pci_get_long(f->config, pending) | bit);
}

void pci_msi_update(lunik_pci_function *f)
{
    unsigned vectors = pci_msi_vectors(f);

    if (f->extra && !f->msix_words)
        pci_vectors_follow(f);
    if (!vectors || !has_masks(f) || !pci_may_master(f))
        return;

    unsigned at = place_of(f, MSI_PENDING);
    uint32_t pending = lunik_pci_get_long(f->config, at);
    uint32_t ready = pending & ~lunik_pci_get_long(f->config, place_of(f, MSI_MASK)) &
                     UINT32_MAX >> (32 - vectors);

    lunik_pci_set_long(f->config, at, pending & ~ready);
    for (; ready; ready &= ready - 1)
        send_message(f, (unsigned)__builtin_ctz(ready));
}

/* ---- for both ------------------------------------------------------------------------------- */

unsigned lunik_pci_vectors(const lunik_pci_function *f)
{
    LUNIK_NOT_NULL(f, 0);

    unsigned vectors = pci_msix_vectors(f);

    return vectors ? vectors : pci_msi_vectors(f);
}

void lunik_pci_vector_send(lunik_pci_function *f, unsigned vector)
{
    LUNIK_NOT_NULL(f);

    unsigned vectors = pci_msix_vectors(f);

    if (vectors) {
        pci_msix_send(f, vector % vectors);
        return;
    }
    vectors = pci_msi_vectors(f);
    if (vectors)
        pci_msi_send(f, vector % vectors);
}
