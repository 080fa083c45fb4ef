/*
 * pci_card.h: a PCI device with vectors: an 8 KiB BAR with registers in its first half and the
 * MSI-X table in the second. Include it after pci_rig.h.
 */
#ifndef SPEC_PCI_CARD_H
#define SPEC_PCI_CARD_H

enum { CARD_TABLE = 0x1000, CARD_PBA = 0x1800, CARD_VECTORS = 70, CARD_MSI_VECTORS = 8 };

struct card {
    lunik_object *bus;
    char *addr;
    lunik_pci_function function;
    lunik_region *regs;
    lunik_dma *dma;
    unsigned resets;
};

static const lunik_io_ops card_ops = {.read = probe_read, .write = probe_write};

static inline void card_unrealize(lunik_object *o)
{
    struct card *s = lunik_state(o);

    lunik_pci_device_remove(&s->function);
    lunik_pci_dma_free(&s->function, s->dma);
    lunik_region_unref(s->regs);
}

static inline int card_realize(lunik_object *o, lunik_error *err)
{
    const lunik_region_config config = {
        .kind = LUNIK_REGION_IO, .name = "card", .size = 0x2000, .owner = o, .ops = &card_ops};
    struct card *s = lunik_state(o);
    lunik_pci_function *f = &s->function;
    int rc = lunik_region_new(lunik_object_machine(o), &config, &s->regs, err);

    if (rc)
        return rc;
    lunik_pci_function_init(f, o, 0x1234, 0xcafe, 0, 0xff0000);
    f->initial[LUNIK_PCI_INTERRUPT_PIN] = 1;
    rc = lunik_pci_bar_init(f, 0, LUNIK_PCI_BAR_MEM64_PREFETCH, s->regs, err);
    if (!rc)
        rc = lunik_pci_msix_init(f, CARD_VECTORS, 0, CARD_TABLE, CARD_PBA, 0, err);
    if (!rc)
        rc = lunik_pci_msi_init(f, CARD_MSI_VECTORS, LUNIK_PCI_MSI_64 | LUNIK_PCI_MSI_MASK, 0, err);
    if (!rc)
        rc = lunik_pci_function_level_reset_init(f, err);
    if (!rc)
        rc = lunik_pci_dma_new(f, &s->dma, err);
    if (!rc)
        rc = lunik_pci_device_add(s->bus, s->addr, f, err);
    if (rc)
        card_unrealize(o);
    return rc;
}

static inline void card_reset(lunik_object *o)
{
    struct card *s = lunik_state(o);

    s->resets++;
    lunik_pci_function_reset(&s->function);
}

static const lunik_prop card_props[] = {LUNIK_PCI_DEVICE_PROPS(struct card, "4.0"), {0}};

static const lunik_state_field card_fields[] = {
    LUNIK_STATE_STRUCT(struct card, function, &lunik_pci_function_state), {0}};

static const lunik_state_table card_state = {
    .name = "card", .version = 1, .size = sizeof(struct card), .fields = card_fields};

static const lunik_type card_type = {
    .name = "card",
    .doc = "A PCI device with vectors, for tests.",
    .flags = LUNIK_TYPE_DEVICE | LUNIK_TYPE_HOTPLUG | LUNIK_TYPE_UNPLUG,
    .size = sizeof(struct card),
    .props = card_props,
    .realize = card_realize,
    .unrealize = card_unrealize,
    .reset = card_reset,
    .state = &card_state,
};

/* Adds one to the machine. */
static inline lunik_object *card_add(struct rig *r, const char *id, const char *bus,
                                     const char *addr)
{
    const lunik_field props[] = {LUNIK_FIELD_STRING("id", id), LUNIK_FIELD_STRING("bus", bus),
                                 LUNIK_FIELD_STRING("addr", addr)};
    lunik_object *o = NULL;
    lunik_error err;

    if (!lunik_type_find(r->rt, "card"))
        must("card type", lunik_type_add(r->rt, &card_type, &err), &err);
    must(id, lunik_device_add(r->m, "card", props, 3, &o, &err), &err);
    return o;
}

static inline lunik_pci_function *card_function(lunik_object *o)
{
    struct card *s = lunik_state(o);

    return &s->function;
}

#endif
