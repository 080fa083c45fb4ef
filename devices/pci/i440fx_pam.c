/* i440fx_pam.c: see i440fx_pam.h. */
#include "i440fx_pam.h"
#include "../ports.h"

#define PAM_READ  1
#define PAM_WRITE 2

#define PAM_BASE    0xc0000u
#define PAM_SEGMENT 0x4000u
#define PAM_LAST    0x10000u /* size of the last segment */

static lunik_access shadow_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    struct i440fx_pam_segment *segment = opaque;

    *value = UINT64_MAX;
    lunik_space_load(segment->pam->sides_space, segment->base + offset, size, value);
    return LUNIK_ACCESS_OK;
}

static lunik_access shadow_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct i440fx_pam_segment *segment = opaque;

    lunik_space_store(segment->pam->sides_space, I440FX_PAM_END + segment->base + offset, size,
                      value);
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops shadow_ops = {
    .read = shadow_read,
    .write = shadow_write,
    .valid = {.min = 1, .max = 8, .unaligned = true},
    .impl = {.min = 1, .max = 8, .unaligned = true},
};

/* Returns the two attribute bits of a segment: 0xf0000 is in the high half of PAM0, the others
 * follow from the low half of PAM1 on. */
static unsigned pam_attribute(const struct i440fx_pam *p, unsigned segment)
{
    unsigned nibble = (segment + 1) % I440FX_PAM_SEGMENTS + 1;

    return p->config[I440FX_PAM0 + nibble / 2] >> (nibble & 1 ? 4 : 0) & 3;
}

int i440fx_pam_update(struct i440fx_pam *p, lunik_error *err)
{
    lunik_transaction_begin(p->machine);
    for (unsigned i = 0; i < I440FX_PAM_SEGMENTS; i++) {
        unsigned attribute = pam_attribute(p, i);

        lunik_region_set_readonly(p->segments[i].ram, !(attribute & PAM_WRITE), NULL);
        lunik_region_set_enabled(p->segments[i].ram, attribute & PAM_READ, NULL);
        lunik_region_set_enabled(p->segments[i].shadow, attribute == PAM_WRITE, NULL);
    }
    return lunik_transaction_commit(p->machine, err);
}

/* ---- life cycle ----------------------------------------------------------------------------- */

static int new_segment(struct i440fx_pam *p, unsigned i, lunik_object *o, lunik_region *ram_region,
                       lunik_error *err)
{
    struct i440fx_pam_segment *segment = &p->segments[i];
    uint64_t size = i == I440FX_PAM_SEGMENTS - 1 ? PAM_LAST : PAM_SEGMENT;
    lunik_region *root = lunik_space_root(lunik_machine_memory(p->machine));

    *segment = (struct i440fx_pam_segment){.pam = p, .base = PAM_BASE + PAM_SEGMENT * i};

    lunik_region_config ram = {
        .kind = LUNIK_REGION_ALIAS,
        .name = "pam-ram",
        .size = size,
        .target = ram_region,
        .offset = segment->base,
    };
    lunik_region_config shadow = {
        .kind = LUNIK_REGION_IO,
        .name = "pam-shadow",
        .size = size,
        .ops = &shadow_ops,
        .opaque = segment,
    };
    int rc = device_region_new(&segment->ram, o, ram, err);
    if (!rc)
        rc = device_region_new(&segment->shadow, o, shadow, err);
    if (!rc)
        rc = lunik_region_set_enabled(segment->ram, false, err);
    if (!rc)
        rc = lunik_region_set_enabled(segment->shadow, false, err);
    if (!rc)
        rc = lunik_region_add(root, segment->base, segment->ram, 2, true, err);
    if (!rc)
        rc = lunik_region_add(root, segment->base, segment->shadow, 2, true, err);
    return rc;
}

/* Makes the address space through which write-only segments reach PCI and RAM. */
static int new_sides(struct i440fx_pam *p, lunik_object *o, lunik_region *pci_region,
                     lunik_region *ram_region, lunik_error *err)
{
    lunik_region_config sides = {
        .kind = LUNIK_REGION_CONTAINER, .name = "pam-sides", .size = 2 * I440FX_PAM_END};
    lunik_region_config pci = {
        .kind = LUNIK_REGION_ALIAS,
        .name = "pam-pci-side",
        .size = I440FX_PAM_END,
        .target = pci_region,
    };
    lunik_region_config ram = {
        .kind = LUNIK_REGION_ALIAS,
        .name = "pam-ram-side",
        .size = I440FX_PAM_END,
        .target = ram_region,
    };
    int rc = device_region_new(&p->sides, o, sides, err);

    if (!rc)
        rc = device_region_new(&p->pci_side, o, pci, err);
    if (!rc)
        rc = device_region_new(&p->ram_side, o, ram, err);
    if (!rc)
        rc = lunik_region_add(p->sides, 0, p->pci_side, 0, false, err);
    if (!rc)
        rc = lunik_region_add(p->sides, I440FX_PAM_END, p->ram_side, 0, false, err);
    if (!rc)
        rc = lunik_space_new(p->machine, "pam", p->sides, &p->sides_space, err);
    return rc;
}

int i440fx_pam_open(struct i440fx_pam *p, lunik_object *o, const uint8_t *config, lunik_region *pci,
                    lunik_region *ram, lunik_error *err)
{
    int rc;

    p->machine = lunik_object_machine(o);
    p->config = config;
    rc = new_sides(p, o, pci, ram, err);
    for (unsigned i = 0; !rc && i < I440FX_PAM_SEGMENTS; i++)
        rc = new_segment(p, i, o, ram, err);
    return rc;
}

void i440fx_pam_close(struct i440fx_pam *p)
{
    if (!p->machine)
        return;
    lunik_transaction_begin(p->machine);
    for (unsigned i = 0; i < I440FX_PAM_SEGMENTS; i++) {
        device_region_drop(&p->segments[i].ram);
        device_region_drop(&p->segments[i].shadow);
    }
    lunik_transaction_commit(p->machine, NULL);
    lunik_space_free(p->sides_space);
    p->sides_space = NULL;
    device_region_drop(&p->pci_side);
    device_region_drop(&p->ram_side);
    device_region_drop(&p->sides);
}
