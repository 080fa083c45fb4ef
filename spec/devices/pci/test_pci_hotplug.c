/* test_pci_hotplug.c: the registers of ACPI PCI hotplug, alone and next to a model of their own. */
#include <string.h>

#include "devices/pci/pci_hotplug_chip.h"
#include "check.h"
#include "random.h"

struct rig {
    struct pci_slots slots;
    unsigned ejects, osts, last_bus, last_slot;
    uint32_t last_event, last_status;
};

static void on_eject(struct pci_slots *s, unsigned bus, unsigned slot)
{
    struct rig *r = (struct rig *)s;

    r->ejects++;
    r->last_bus = bus;
    r->last_slot = slot;
}

static void on_ost(struct pci_slots *s, unsigned bus, unsigned slot, uint32_t event,
                   uint32_t status)
{
    struct rig *r = (struct rig *)s;

    r->osts++;
    r->last_bus = bus;
    r->last_slot = slot;
    r->last_event = event;
    r->last_status = status;
}

static uint32_t removable(struct pci_slots *s, unsigned bus)
{
    return 0xf0f00000 | bus;
}

static uint32_t acpi_index(struct pci_slots *s, unsigned bus, unsigned slot)
{
    return slot & 1 ? 100 * bus + slot : 0;
}

static const struct pci_slots_ops ops = {
    .eject = on_eject, .ost = on_ost, .removable = removable, .acpi_index = acpi_index};

static void start(struct rig *r, unsigned buses)
{
    *r = (struct rig){.ejects = 0};
    pci_slots_init(&r->slots, &ops);
    r->slots.count = buses;
}

static uint32_t rd(struct rig *r, unsigned offset)
{
    return pci_slots_read(&r->slots, offset);
}

static void wr(struct rig *r, unsigned offset, uint32_t value)
{
    pci_slots_write(&r->slots, offset, value);
}

static void test_events(void)
{
    struct rig r;

    start(&r, 3);
    r.slots.bus[2] = (struct pci_slots_bus){.up = 0x80000005, .down = 0x18};
    check_uint("another bus has none", rd(&r, PHP_UP) | rd(&r, PHP_DOWN), 0);
    wr(&r, PHP_BUS, 2);
    check_uint("slots that were filled", rd(&r, PHP_UP), 0x80000005);
    check_uint("are read once", rd(&r, PHP_UP), 0);
    check_uint("slots that are asked for", rd(&r, PHP_DOWN), 0x18);
    check_uint("stay", rd(&r, PHP_DOWN), 0x18);
    check_uint("no features", rd(&r, PHP_EJECT), 0);
    check_uint("removable", rd(&r, PHP_REMOVABLE), 0xf0f00002);
    wr(&r, PHP_EJECT, 0x18);
    check_uint("the lowest bit names a slot", r.last_slot, 3);
    check_uint("of the bus", r.last_bus, 2);
    check_uint("one of them", r.ejects, 1);
    check_uint("which is not asked for any more", rd(&r, PHP_DOWN), 0x10);
    wr(&r, PHP_EJECT, 0);
    check_uint("no bit, no eject", r.ejects, 1);
}

static void test_index_and_ost(void)
{
    struct rig r;

    start(&r, 2);
    wr(&r, PHP_OST_STATUS, 1);
    check_uint("no slot, no _OST", r.osts, 0);
    wr(&r, PHP_BUS, 1);
    wr(&r, PHP_INDEX, 1u << 31);
    check_uint("index", rd(&r, PHP_INDEX), 131);
    check_uint("once", rd(&r, PHP_INDEX), 0);
    wr(&r, PHP_OST_EVENT, 0x103);
    check_uint("the event alone says nothing", r.osts, 0);
    wr(&r, PHP_OST_STATUS, 0x84);
    check_uint("the status concludes it", r.osts, 1);
    check_uint("slot", r.last_slot, 31);
    check_uint("event", r.last_event, 0x103);
    check_uint("status", r.last_status, 0x84);
    wr(&r, PHP_BUS, 0);
    wr(&r, PHP_OST_STATUS, 0x84);
    check_uint("another bus has no slot selected", r.osts, 1);
}

static void test_bad_selector_and_reset(void)
{
    struct rig r;
    uint32_t any = 0;

    start(&r, 2);
    wr(&r, PHP_BUS, 2);
    for (unsigned offset = 0; offset < PCI_HOTPLUG_SIZE; offset += 4)
        any |= offset == PHP_BUS ? 0 : rd(&r, offset);
    check_uint("a bus that is not there reads as zero", any, 0);
    check_uint("but for the selector", rd(&r, PHP_BUS), 2);
    wr(&r, PHP_EJECT, 1);
    wr(&r, PHP_INDEX, 1);
    wr(&r, PHP_OST_STATUS, 1);
    check_uint("and takes nothing", r.ejects + r.osts, 0);
    r.slots.bus[1] = (struct pci_slots_bus){.up = 1, .down = 2};
    pci_slots_reset(&r.slots);
    check_uint("a reset selects bus 0", rd(&r, PHP_BUS), 0);
    wr(&r, PHP_BUS, 1);
    check_uint("and drops events", rd(&r, PHP_UP) | rd(&r, PHP_DOWN), 0);
}

/* ---- next to a model ------------------------------------------------------------------------ */

enum { BUSES = 4 };

/* What the specification says, as flags for each slot. */
static struct {
    bool up[BUSES][32], down[BUSES][32];
    uint32_t bus, event, index;
    int slot;
    unsigned ejects, osts;
} model;

static uint32_t mask(const bool *flags)
{
    uint32_t value = 0;

    for (unsigned i = 0; i < 32; i++)
        value |= flags[i] ? 1u << i : 0;
    return value;
}

static int lowest(uint32_t value)
{
    for (int i = 0; i < 32; i++)
        if (value >> i & 1)
            return i;
    return -1;
}

static uint32_t model_read(unsigned offset)
{
    uint32_t value = 0;

    if (offset == 0x10)
        return model.bus;
    if (model.bus >= BUSES)
        return 0;
    if (offset == 0x00) {
        value = mask(model.up[model.bus]);
        memset(model.up[model.bus], 0, sizeof(model.up[0]));
    } else if (offset == 0x04) {
        value = mask(model.down[model.bus]);
    } else if (offset == 0x0c) {
        value = 0xf0f00000 | model.bus;
    } else if (offset == 0x14) {
        value = model.index;
        model.index = 0;
    } else if (offset == 0x18) {
        value = model.event;
    }
    return value;
}

static void model_write(unsigned offset, uint32_t value)
{
    int slot = lowest(value);

    if (offset == 0x10) {
        model.bus = value;
        model.slot = -1;
        model.index = 0;
    }
    if (model.bus >= BUSES)
        return;
    if (offset == 0x08 && slot >= 0) {
        model.up[model.bus][slot] = model.down[model.bus][slot] = false;
        model.ejects++;
    } else if (offset == 0x14) {
        model.slot = slot;
        model.index = slot >= 0 && slot & 1 ? 100 * model.bus + (unsigned)slot : 0;
    } else if (offset == 0x18) {
        model.event = value;
    } else if (offset == 0x1c && model.slot >= 0) {
        model.osts++;
    }
}

static void raise_some(struct rig *r)
{
    unsigned bus = chance(BUSES);
    unsigned slot = chance(32);

    if (chance(2)) {
        model.up[bus][slot] = true;
        r->slots.bus[bus].up |= 1u << slot;
    } else {
        model.down[bus][slot] = true;
        r->slots.bus[bus].down |= 1u << slot;
    }
}

static unsigned step(struct rig *r)
{
    unsigned offset = 4 * chance(8);
    uint32_t value = chance(2) ? 1u << chance(32) : chance(6);

    switch (chance(4)) {
    case 0:
        raise_some(r);
        return 0;
    case 1:
        wr(r, offset, value);
        model_write(offset, value);
        return r->ejects != model.ejects || r->osts != model.osts;
    default:
        return rd(r, offset) != model_read(offset);
    }
}

static void test_random(void)
{
    struct rig r;
    unsigned wrong = 0;

    start(&r, BUSES);
    memset(&model, 0, sizeof(model));
    model.slot = -1;
    for (unsigned i = 0; i < 200000 && !wrong; i++)
        wrong += step(&r);
    check_uint("registers and model agree", wrong, 0);
    check_true("with ejects and reports", model.ejects > 100 && model.osts > 100);
}

int main(void)
{
    test_events();
    test_index_and_ost();
    test_bad_selector_and_reset();
    test_random();
    return check_result();
}
