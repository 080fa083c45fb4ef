/*
 * fuzz_pci_hotplug.c: PCI devices that come and go on two buses while a guest drives the bridge,
 * the devices and the hotplug registers, against a model of what is where. -max_len=512 -runs=300
 */
#include "board.h"

enum { PORTS = 0xae00, BUSES = 2, SLOTS = 32, DEVICES = 6, BRIDGE_SLOT = 4 };
enum { UP = 0x00, DOWN = 0x04, EJECT = 0x08, REMOVABLE = 0x0c, SELECT = 0x10 };

static const char *const bus_names[BUSES] = {"i440fx", "bridge"};
static const uint32_t fixed[BUSES] = {1 << 0 | 1 << 1 | 1 << BRIDGE_SLOT, 0};

static struct {
    struct {
        bool there;
        unsigned bus, slot;
    } devices[DEVICES];
    uint32_t up[BUSES], down[BUSES], selector;
} model;

static void name(char *id, unsigned n)
{
    snprintf(id, 8, "edu%u", n);
}

static lunik_object *object(unsigned n)
{
    char id[8];

    name(id, n);
    return lunik_object_find(board, id);
}

static int device_at(unsigned bus, unsigned slot)
{
    for (int i = 0; i < DEVICES; i++)
        if (model.devices[i].there && model.devices[i].bus == bus && model.devices[i].slot == slot)
            return i;
    return -1;
}

static void gone(unsigned n)
{
    uint32_t bit = 1u << model.devices[n].slot;

    fuzz_check(!object(n), "edu%u stays", n);
    model.up[model.devices[n].bus] &= ~bit;
    model.down[model.devices[n].bus] &= ~bit;
    model.devices[n].there = false;
}

/* ---- the user ------------------------------------------------------------------------------- */

static void plug(void)
{
    unsigned n = fuzz_below(DEVICES), bus = fuzz_below(BUSES), slot = fuzz_below(SLOTS);
    char id[8], addr[8];
    lunik_error err = {0};
    bool taken = fixed[bus] >> slot & 1 || device_at(bus, slot) >= 0 || model.devices[n].there;
    int rc;

    name(id, n);
    snprintf(addr, sizeof(addr), "%x", slot);
    rc = lunik_device_add(board, "edu",
                          (const lunik_field[]){LUNIK_FIELD_STRING("id", id),
                                                LUNIK_FIELD_STRING("bus", bus_names[bus]),
                                                LUNIK_FIELD_STRING("addr", addr)},
                          3, NULL, &err);
    fuzz_check(taken ? rc == LUNIK_E_EXISTS : !rc, "edu%u at %s %x: %d %s", n, bus_names[bus], slot,
               rc, err.message);
    if (rc)
        return;
    model.devices[n].there = true;
    model.devices[n].bus = bus;
    model.devices[n].slot = slot;
    model.up[bus] |= 1u << slot;
}

static void unplug(void)
{
    unsigned n = fuzz_below(DEVICES);
    char id[8];
    int rc;

    name(id, n);
    rc = lunik_device_del(board, id, NULL);
    fuzz_check(rc == (model.devices[n].there ? 0 : LUNIK_E_NOT_FOUND), "device_del of %s: %d", id,
               rc);
    if (model.devices[n].there)
        model.down[model.devices[n].bus] |= 1u << model.devices[n].slot;
}

/* A removal that is under way is completed. */
static void reset(void)
{
    board_reset();
    for (unsigned i = 0; i < DEVICES; i++)
        if (model.devices[i].there && model.down[model.devices[i].bus] >> model.devices[i].slot & 1)
            gone(i);
    memset(model.up, 0, sizeof(model.up));
    memset(model.down, 0, sizeof(model.down));
    model.selector = 0;
}

/* ---- the guest ------------------------------------------------------------------------------ */

static void eject(uint32_t value)
{
    unsigned slot = value ? (unsigned)__builtin_ctz(value) : SLOTS;
    int n;

    if (slot == SLOTS || model.selector >= BUSES)
        return;
    model.up[model.selector] &= ~(1u << slot);
    model.down[model.selector] &= ~(1u << slot);
    n = device_at(model.selector, slot);
    if (n >= 0)
        gone((unsigned)n);
}

static void write_register(void)
{
    unsigned offset = 4 * fuzz_below(8);
    uint32_t value = (uint32_t)fuzz_number(offset == SELECT ? 1 : 4);

    port_out((uint16_t)(PORTS + offset), 4, value);
    if (offset == SELECT)
        model.selector = value;
    else if (offset == EJECT)
        eject(value);
    /* A report of a removal that failed ends the request. */
    for (unsigned bus = 0; offset == 0x1c && bus < BUSES; bus++) {
        port_out(PORTS + SELECT, 4, bus);
        model.down[bus] &= port_in(PORTS + DOWN, 4);
        port_out(PORTS + SELECT, 4, model.selector);
    }
}

static void check_registers(void)
{
    for (unsigned bus = 0; bus < BUSES; bus++) {
        uint32_t value;

        port_out(PORTS + SELECT, 4, bus);
        value = port_in(PORTS + DOWN, 4);
        fuzz_check(value == model.down[bus], "bus %u: down is 0x%x, want 0x%x", bus, value,
                   model.down[bus]);
        value = port_in(PORTS + REMOVABLE, 4);
        fuzz_check(value == ~fixed[bus], "bus %u: removable is 0x%x", bus, value);
    }
    model.selector = BUSES - 1;
}

static void check_up(void)
{
    unsigned bus = fuzz_below(BUSES);
    uint32_t value;

    port_out(PORTS + SELECT, 4, bus);
    value = port_in(PORTS + UP, 4);
    fuzz_check(value == model.up[bus], "bus %u: up is 0x%x, want 0x%x", bus, value, model.up[bus]);
    model.up[bus] = 0;
    model.selector = bus;
}

/* Configuration cycles to bridge and devices; an access to where their registers may be. */
static void drive(void)
{
    uint32_t bus = fuzz_byte() & 1, slot = fuzz_below(SLOTS), offset = 4 * fuzz_below(32);
    uint32_t value = (uint32_t)fuzz_number(4);

    if (bus == 0 && slot < 2)
        return;
    port_out(0xcf8, 4, 0x80000000u | bus << 16 | slot << 11 | offset);
    if (fuzz_byte() & 1)
        port_out(0xcfc, 4, fuzz_byte() & 1 ? value : 0xe0000000u | (value & 0xff00107));
    else
        port_in(0xcfc, 4);
    board_store(board_memory, 0xe0000000u | (fuzz_number(4) & 0xff000fc), 4, fuzz_number(4));
    board_load(board_memory, 0xe0000000u | (fuzz_number(4) & 0xff000fc), 4);
}

static void operate(void)
{
    switch (fuzz_byte() % 8) {
    case 0:
        plug();
        break;
    case 1:
        unplug();
        break;
    case 2:
        if (fuzz_byte() % 8 == 0)
            reset();
        break;
    case 3:
        check_up();
        break;
    case 4:
    case 5:
        write_register();
        break;
    default:
        drive();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lunik_error err = {0};

    fuzz_begin(data, size);
    memset(&model, 0, sizeof(model));
    board_open("memory = '2M', devices = {{'pci-bridge', {id = 'bridge', bus = 'i440fx', "
               "addr = '4'}}}");
    fuzz_must(lunik_machine_start(board, &err), err);
    while (fuzz_more()) {
        operate();
        check_registers();
        for (unsigned i = 0; i < DEVICES; i++)
            fuzz_check(!object(i) == !model.devices[i].there, "edu%u", i);
    }
    board_close();
    return 0;
}
