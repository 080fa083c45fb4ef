/*
 * piix3.c: Intel 82371SB (PIIX3), function 0: the PCI-to-ISA bridge with interrupt routing, ELCR
 * and the reset control register (290550-002, sections 2.2, 2.5.4 and 2.5.5).
 *
 * The interrupt controllers, timers and DMA of the chip are other parts. Interrupt controllers in
 * KVM have an ELCR of their own that the guest sees instead of this one, with the same value after
 * a reset; for those that are devices the board leaves this one out.
 *
 * Not modelled: X-bus chip selects, DMA buffers, the APIC base relocation, port 0xcf9's soft reset
 * (it resets the machine as a hard one does).
 */
#include <string.h>

#include "pci.h"
#include "../ports.h"
#include "../types.h"

#define PIIX3_IORT     0x4c
#define PIIX3_XBCS     0x4e
#define PIIX3_PIRQRCA  0x60 /* to 0x63 for PIRQD */
#define PIRQRC_OFF     0x80
#define PIRQRC_ROUTE   0x0f
#define PIIX3_TOM      0x69
#define PIIX3_MBIRQ0   0x70
#define PIIX3_MBDMA0   0x76
#define PIIX3_MBDMA1   0x77
#define PIIX3_APICBASE 0x80
#define PIIX3_DLC      0x82
#define PIIX3_SMICNTL  0xa0

#define ELCR_PORT  0x4d0
#define ELCR_VALID 0xdef8 /* IRQ 0, 1, 2, 8 and 13 are always edge triggered */

#define RESET_PORT  0xcf9
#define RESET_HARD  0x02
#define RESET_START 0x04

#define ISA_IRQS 16

struct piix3 {
    lunik_object *bus;
    char *addr;
    uint64_t pirq[PCI_PIRQS];
    bool has_elcr;

    lunik_pci_function function;
    lunik_region *elcr_port, *reset_port;
    lunik_irq irqs[ISA_IRQS]; /* those in ELCR_VALID are connected */
    bool level[PCI_PIRQS];    /* of the PCI lines */
    uint16_t elcr;
    uint8_t reset_control;
};

/* ---- interrupt routing ---------------------------------------------------------------------- */

/* Returns the ISA interrupt that a PIRQ goes to, or -1. */
static int route_of(const struct piix3 *s, unsigned pirq)
{
    uint8_t route = s->function.config[PIIX3_PIRQRCA + pirq];
    unsigned irq = route & PIRQRC_ROUTE;

    return !(route & PIRQRC_OFF) && (ELCR_VALID & 1u << irq) ? (int)irq : -1;
}

static void update_irqs(struct piix3 *s)
{
    uint16_t high = 0;

    for (unsigned i = 0; i < PCI_PIRQS; i++) {
        int irq = route_of(s, i);
        if (irq >= 0 && s->level[i])
            high |= (uint16_t)(1u << irq);
    }
    for (unsigned i = 0; i < ISA_IRQS; i++)
        lunik_irq_set(&s->irqs[i], high >> i & 1);
}

static void pirq_changed(void *opaque, unsigned pirq, bool level)
{
    struct piix3 *s = opaque;

    s->level[pirq] = level;
    update_irqs(s);
}

static void config_written(lunik_pci_function *f, unsigned offset, unsigned size)
{
    if (offset < PIIX3_PIRQRCA + PCI_PIRQS && offset + size > PIIX3_PIRQRCA)
        update_irqs(lunik_container_of(f, struct piix3, function));
}

/* Returns the value after reset: routed interrupts are level triggered where the board stands in
 * for firmware. */
static uint16_t initial_elcr(const struct piix3 *s)
{
    uint16_t elcr = 0;

    for (unsigned i = 0; i < PCI_PIRQS; i++) {
        if (s->pirq[i])
            elcr |= (uint16_t)(1u << s->pirq[i]);
    }
    return elcr;
}

static void reset(lunik_object *o)
{
    struct piix3 *s = lunik_state(o);

    s->elcr = initial_elcr(s);
    lunik_machine_set_elcr(lunik_object_machine(o), s->elcr);
    s->reset_control = 0;
    lunik_pci_function_reset(&s->function);
    update_irqs(s);
}

/* ---- ports ---------------------------------------------------------------------------------- */

static lunik_access elcr_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    const struct piix3 *s = opaque;

    *value = s->elcr >> 8 * offset;
    return LUNIK_ACCESS_OK;
}

static lunik_access elcr_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct piix3 *s = opaque;
    uint16_t mask = (uint16_t)(ELCR_VALID & 0xffu << 8 * offset);

    s->elcr = (uint16_t)((s->elcr & ~mask) | (value << 8 * offset & mask));
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops elcr_ops = {
    .read = elcr_read,
    .write = elcr_write,
    .valid = {.min = 1, .max = 2},
    .impl = {.min = 1, .max = 1},
};

static lunik_access reset_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    const struct piix3 *s = opaque;

    *value = s->reset_control;
    return LUNIK_ACCESS_OK;
}

/* Starts the reset when RESET_START goes from 0 to 1; the register is zero after it. */
static lunik_access reset_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct piix3 *s = opaque;
    bool start = value & ~s->reset_control & RESET_START;

    s->reset_control = value & (RESET_HARD | RESET_START);
    if (start)
        lunik_machine_guest_reset(lunik_object_machine(lunik_state_object(s)));
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops reset_ops = {
    .read = reset_read,
    .write = reset_write,
    .valid = {.min = 1, .max = 1},
};

/* ---- life cycle ----------------------------------------------------------------------------- */

static void init_function(struct piix3 *s)
{
    lunik_pci_function *f = &s->function;

    lunik_pci_function_init(f, lunik_state_object(s), 0x8086, 0x7000, 0x00, 0x060100);
    f->written = config_written;
    f->initial[LUNIK_PCI_HEADER] = LUNIK_PCI_HEADER_MULTI;
    lunik_pci_set_word(f->initial, LUNIK_PCI_COMMAND,
                       LUNIK_PCI_COMMAND_IO | LUNIK_PCI_COMMAND_MEMORY | LUNIK_PCI_COMMAND_MASTER);
    lunik_pci_set_word(f->writable, LUNIK_PCI_COMMAND, 0x0008);
    lunik_pci_set_word(f->initial, LUNIK_PCI_STATUS, LUNIK_PCI_STATUS_DEVSEL_MED);

    static const struct {
        uint8_t offset, value, writable;
    } registers[] = {
        {PIIX3_IORT, 0x4d, 0x7f},    {PIIX3_XBCS, 0x03, 0xff},     {PIIX3_XBCS + 1, 0x00, 0x01},
        {PIIX3_TOM, 0x02, 0xfe},     {PIIX3_MBIRQ0, 0x80, 0xef},   {PIIX3_MBDMA0, 0x0c, 0x8f},
        {PIIX3_MBDMA1, 0x0c, 0x8f},  {PIIX3_APICBASE, 0x00, 0x7f}, {PIIX3_DLC, 0x00, 0x0f},
        {PIIX3_SMICNTL, 0x08, 0x1f},
    };
    for (size_t i = 0; i < sizeof registers / sizeof registers[0]; i++) {
        f->initial[registers[i].offset] = registers[i].value;
        f->writable[registers[i].offset] = registers[i].writable;
    }
    for (unsigned i = 0; i < PCI_PIRQS; i++) {
        f->initial[PIIX3_PIRQRCA + i] = s->pirq[i] ? (uint8_t)s->pirq[i] : PIRQRC_OFF;
        f->writable[PIIX3_PIRQRCA + i] = PIRQRC_OFF | PIRQRC_ROUTE;
    }
}

/* Makes the port on the PCI bus: the host bridge passes on accesses that are not for its own
 * registers at the same address. */
static int new_reset_port(struct piix3 *s, lunik_error *err)
{
    lunik_region_config config = {
        .kind = LUNIK_REGION_IO,
        .name = "piix3-reset-control",
        .size = 1,
        .ops = &reset_ops,
        .opaque = s,
    };
    int rc = device_region_new(&s->reset_port, lunik_state_object(s), config, err);

    if (rc)
        return rc;
    return lunik_region_add(s->function.bus->io, RESET_PORT, s->reset_port, 1, false, err);
}

static void unrealize(lunik_object *o)
{
    struct piix3 *s = lunik_state(o);

    device_region_drop(&s->reset_port);
    if (s->function.bus)
        pci_bus_set_router(s->function.bus, NULL, NULL);
    lunik_pci_device_remove(&s->function);
    device_region_drop(&s->elcr_port);
    for (unsigned i = 0; i < ISA_IRQS; i++)
        lunik_irq_disconnect(&s->irqs[i]);
}

static int realize(lunik_object *o, lunik_error *err)
{
    struct piix3 *s = lunik_state(o);
    int rc = 0;

    for (unsigned i = 0; i < PCI_PIRQS; i++) {
        if (s->pirq[i] && !(ELCR_VALID & 1u << s->pirq[i]))
            return lunik_fail(err, LUNIK_E_INVALID,
                              "piix3: pirq-%c: '%u' is no interrupt a PIRQ can go to (want 3 to 7, "
                              "9 to 12, 14, 15, or 0 for none)",
                              'a' + (int)i, (unsigned)s->pirq[i]);
    }
    init_function(s);
    for (unsigned i = 0; !rc && i < ISA_IRQS; i++) {
        if (ELCR_VALID & 1u << i)
            rc = lunik_irq_connect(lunik_object_machine(o), &s->irqs[i], i, err);
    }
    if (!rc && s->has_elcr)
        rc = device_ports_new(&s->elcr_port, o, "piix3-elcr", ELCR_PORT, 2, &elcr_ops, s, err);
    if (!rc)
        rc = lunik_pci_device_add(s->bus, s->addr, &s->function, err);
    if (!rc)
        rc = new_reset_port(s, err);
    if (rc) {
        unrealize(o);
        return rc;
    }
    s->elcr = initial_elcr(s);
    pci_bus_set_router(s->function.bus, pirq_changed, s);
    return 0;
}

/* ---- properties and interfaces -------------------------------------------------------------- */

#define PIRQ_PROP(prop, index)                                                                     \
    {                                                                                              \
        .name = (prop), .kind = LUNIK_PROP_UINT,                                                   \
        .doc = "ISA interrupt this PIRQ is routed to after reset, 0 = none (left to firmware).",   \
        .offset = offsetof(struct piix3, pirq) + (index) * sizeof(uint64_t), .max = 15             \
    }

static const lunik_prop props[] = {
    LUNIK_PCI_DEVICE_PROPS(struct piix3, "1.0"),
    PIRQ_PROP("pirq-a", 0),
    PIRQ_PROP("pirq-b", 1),
    PIRQ_PROP("pirq-c", 2),
    PIRQ_PROP("pirq-d", 3),
    {
        .name = "elcr",
        .kind = LUNIK_PROP_BOOL,
        .doc = "Whether the edge/level control registers at 0x4d0 are its own; false: they are an "
               "isa-i8259's.",
        .offset = offsetof(struct piix3, has_elcr),
        .def = true,
    },
    {0},
};

static void describe(lunik_object *o, lunik_acpi_node *out)
{
    const struct piix3 *s = lunik_state(o);

    pci_describe(out, "piix3", &s->function);
}

static const lunik_acpi_ops acpi_ops = {.describe = describe};

static const lunik_iface ifaces[] = {
    LUNIK_IFACE(acpi, &acpi_ops),
    {0},
};

/* ---- state ---------------------------------------------------------------------------------- */

static int post_load(void *staged, const void *state, uint16_t version, lunik_error *err)
{
    const struct piix3 *s = staged;

    if (s->elcr & ~ELCR_VALID)
        return lunik_fail(err, LUNIK_E_INVALID, "elcr: 0x%04x has bits beyond 0x%04x", s->elcr,
                          ELCR_VALID);
    return 0;
}

static void loaded(void *state)
{
    update_irqs(state);
}

static const lunik_state_field state_fields[] = {
    LUNIK_STATE_STRUCT(struct piix3, function, &lunik_pci_function_state),
    LUNIK_STATE(struct piix3, elcr),
    LUNIK_STATE(struct piix3, reset_control),
    {0},
};

static const lunik_state_table state_table = {
    .name = "piix3",
    .version = 1,
    .size = sizeof(struct piix3),
    .fields = state_fields,
    .post_load = post_load,
    .loaded = loaded,
};

const lunik_type piix3_type = {
    .name = "piix3",
    .doc = "Intel 82371SB PCI-to-ISA bridge: PIRQ routing, ELCR, reset control at 0xcf9.",
    .flags = LUNIK_TYPE_DEVICE,
    .size = sizeof(struct piix3),
    .props = props,
    .ifaces = ifaces,
    .realize = realize,
    .unrealize = unrealize,
    .reset = reset,
    .state = &state_table,
};
