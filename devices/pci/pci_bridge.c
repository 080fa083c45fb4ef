/*
 * pci_bridge.c: a PCI-to-PCI bridge (PCI-to-PCI Bridge Architecture 1.2): the windows of memory and
 * ports, bus numbers, reset of the bus behind it.
 *
 * Devices behind it reach memory whatever its windows are, if its bus-master bit is set. Not
 * modelled: the ISA mode, aliases of the VGA ports, the discard timer, error reporting, hotplug of
 * its own (SHPC): devices behind it come and go through ACPI (pci_hotplug.c), it stays itself.
 */
#include "pci.h"
#include "../ports.h"
#include "../types.h"

#define BRIDGE_HEADER    0x01
#define BRIDGE_PRIMARY   0x18
#define BRIDGE_LATENCY   0x1b
#define BRIDGE_IO_BASE   0x1c
#define BRIDGE_IO_LIMIT  0x1d
#define BRIDGE_STATUS    0x1e
#define BRIDGE_MEMORY    0x20 /* base, and limit 2 behind it */
#define BRIDGE_PREFETCH  0x24
#define BRIDGE_BASE_HIGH 0x28
#define BRIDGE_LAST_HIGH 0x2c
#define BRIDGE_CONTROL   0x3e
#define CONTROL_VGA      0x08 /* forwards VGA memory and ports */
#define CONTROL_RESET    0x40
#define CONTROL_KEPT     0x0f33 /* parity, SERR#, VGA aliases, abort mode, timers: no effect */

enum {
    WINDOW_IO,
    WINDOW_MEMORY,
    WINDOW_PREFETCH,
    WINDOW_VGA_MEMORY,
    WINDOW_VGA_MONO, /* ports */
    WINDOW_VGA_COLOR,
    WINDOWS
};

struct pci_bridge {
    lunik_object *bus;
    char *addr;

    lunik_pci_function function;
    lunik_pci_bus secondary;
    lunik_region *memory, *io;      /* of the bus behind it */
    lunik_region *windows[WINDOWS]; /* aliases of these on the bus above */
    bool resetting;                 /* CONTROL_RESET is set */
};

/* ---- windows -------------------------------------------------------------------------------- */

static bool is_ports(unsigned window)
{
    return window == WINDOW_IO || window >= WINDOW_VGA_MONO;
}

/* Returns whether the window with VGA's addresses is open. */
static bool find_vga(const lunik_pci_function *f, unsigned window, uint64_t *first, uint64_t *last)
{
    static const uint32_t ranges[WINDOWS][2] = {
        [WINDOW_VGA_MEMORY] = {0xa0000, 0xbffff},
        [WINDOW_VGA_MONO] = {0x3b0, 0x3bb},
        [WINDOW_VGA_COLOR] = {0x3c0, 0x3df},
    };
    uint16_t command = lunik_pci_get_word(f->config, LUNIK_PCI_COMMAND);
    uint16_t needs = is_ports(window) ? LUNIK_PCI_COMMAND_IO : LUNIK_PCI_COMMAND_MEMORY;

    *first = ranges[window][0];
    *last = ranges[window][1];
    return f->config[BRIDGE_CONTROL] & CONTROL_VGA && command & needs;
}

/* Returns whether a window is open, with its first and last address. */
static bool find_window(const lunik_pci_function *f, unsigned window, uint64_t *first,
                        uint64_t *last)
{
    uint16_t command = lunik_pci_get_word(f->config, LUNIK_PCI_COMMAND);
    unsigned at = window == WINDOW_MEMORY ? BRIDGE_MEMORY : BRIDGE_PREFETCH;

    if (window >= WINDOW_VGA_MEMORY)
        return find_vga(f, window, first, last);
    if (window == WINDOW_IO) {
        *first = (f->config[BRIDGE_IO_BASE] & 0xf0u) << 8;
        *last = (f->config[BRIDGE_IO_LIMIT] & 0xf0u) << 8 | 0xfff;
        return command & LUNIK_PCI_COMMAND_IO && *first <= *last;
    }
    *first = (uint64_t)(lunik_pci_get_word(f->config, at) & 0xfff0) << 16;
    *last = (uint64_t)(lunik_pci_get_word(f->config, at + 2) & 0xfff0) << 16 | 0xfffff;
    if (window == WINDOW_PREFETCH) {
        *first |= (uint64_t)lunik_pci_get_long(f->config, BRIDGE_BASE_HIGH) << 32;
        *last |= (uint64_t)lunik_pci_get_long(f->config, BRIDGE_LAST_HIGH) << 32;
    }
    return command & LUNIK_PCI_COMMAND_MEMORY && *first <= *last;
}

/* Gives a window its place. */
static void move_window(struct pci_bridge *s, unsigned window, uint64_t first, uint64_t size)
{
    lunik_region *region = s->windows[window];
    const lunik_pci_bus *above = s->function.bus;
    lunik_region *parent = is_ports(window) ? above->io : above->memory;

    if (lunik_region_parent(region) && lunik_region_del(region, NULL))
        return;
    if (lunik_region_set_alias_offset(region, 0, NULL) ||
        lunik_region_set_size(region, size, NULL) ||
        lunik_region_set_alias_offset(region, first, NULL))
        return;
    lunik_region_add(parent, first, region, 0, true, NULL);
}

static int map_windows(struct pci_bridge *s, lunik_error *err)
{
    lunik_machine *m = s->secondary.machine;

    if (!s->function.bus)
        return 0;
    lunik_transaction_begin(m);
    for (unsigned i = 0; i < WINDOWS; i++) {
        lunik_region *region = s->windows[i];
        uint64_t first = 0, last = 0, size;
        bool mapped = lunik_region_parent(region) != NULL;
        bool want = find_window(&s->function, i, &first, &last);

        size = last - first + 1 ? last - first + 1 : LUNIK_SIZE_MAX;
        if (!want && mapped)
            lunik_region_del(region, NULL);
        else if (want && (!mapped || lunik_region_offset(region) != first ||
                          lunik_region_size(region) != size))
            move_window(s, i, first, size);
    }
    return lunik_transaction_commit(m, err);
}

static void update_windows(struct pci_bridge *s)
{
    lunik_error err;

    if (map_windows(s, &err))
        lunik_pci_map_failed(&s->function, &err);
}

/* ---- reset and registers -------------------------------------------------------------------- */

static void reset(lunik_object *o)
{
    struct pci_bridge *s = lunik_state(o);

    s->resetting = false;
    lunik_pci_function_reset(&s->function);
    update_windows(s);
}

/* Resets the bus when the bit goes from 0 to 1. */
static void control_written(struct pci_bridge *s)
{
    bool wanted = s->function.config[BRIDGE_CONTROL] & CONTROL_RESET;
    bool starts = wanted && !s->resetting;

    s->resetting = wanted;
    if (starts)
        pci_bus_reset(&s->secondary);
}

static void config_written(lunik_pci_function *f, unsigned offset, unsigned size)
{
    struct pci_bridge *s = lunik_container_of(f, struct pci_bridge, function);

    if (pci_touches(offset, size, LUNIK_PCI_COMMAND, 2) ||
        pci_touches(offset, size, BRIDGE_IO_BASE, BRIDGE_LAST_HIGH + 4 - BRIDGE_IO_BASE) ||
        pci_touches(offset, size, BRIDGE_CONTROL, 1))
        update_windows(s);
    if (pci_touches(offset, size, BRIDGE_CONTROL, 1))
        control_written(s);
}

/* ---- life cycle ----------------------------------------------------------------------------- */

static void init_function(struct pci_bridge *s)
{
    lunik_pci_function *f = &s->function;

    lunik_pci_function_init(f, lunik_state_object(s), 0x1b36, 0x0001, 0, 0x060400);
    f->written = config_written;
    f->initial[LUNIK_PCI_HEADER] = BRIDGE_HEADER;
    lunik_pci_set_word(f->initial, LUNIK_PCI_STATUS, LUNIK_PCI_STATUS_FAST_B2B);
    for (unsigned i = BRIDGE_PRIMARY; i < BRIDGE_LATENCY; i++)
        f->writable[i] = 0xff;
    f->writable[BRIDGE_LATENCY] = 0xf8;
    f->writable[BRIDGE_IO_BASE] = f->writable[BRIDGE_IO_LIMIT] = 0xf0;
    lunik_pci_set_word(f->clearable, BRIDGE_STATUS, LUNIK_PCI_STATUS_ERRORS);
    lunik_pci_set_long(f->writable, BRIDGE_MEMORY, 0xfff0fff0);
    lunik_pci_set_long(f->writable, BRIDGE_PREFETCH, 0xfff0fff0);
    lunik_pci_set_long(f->initial, BRIDGE_PREFETCH, 0x00010001); /* 64-bit addresses */
    lunik_pci_set_long(f->writable, BRIDGE_BASE_HIGH, UINT32_MAX);
    lunik_pci_set_long(f->writable, BRIDGE_LAST_HIGH, UINT32_MAX);
    lunik_pci_set_word(f->writable, BRIDGE_CONTROL, CONTROL_KEPT | CONTROL_VGA | CONTROL_RESET);
}

static int new_regions(struct pci_bridge *s, lunik_error *err)
{
    static const char *const names[WINDOWS] = {"bridge-io",       "bridge-memory",
                                               "bridge-prefetch", "bridge-vga-memory",
                                               "bridge-vga-mono", "bridge-vga-color"};
    lunik_object *o = lunik_state_object(s);
    lunik_region_config memory = {
        .kind = LUNIK_REGION_CONTAINER, .name = "pci-behind", .size = LUNIK_SIZE_MAX};
    lunik_region_config io = {
        .kind = LUNIK_REGION_CONTAINER, .name = "pci-io-behind", .size = 0x10000};
    int rc = device_region_new(&s->memory, o, memory, err);

    if (!rc)
        rc = device_region_new(&s->io, o, io, err);
    for (unsigned i = 0; !rc && i < WINDOWS; i++) {
        lunik_region_config window = {.kind = LUNIK_REGION_ALIAS,
                                      .name = names[i],
                                      .size = 0x1000,
                                      .target = is_ports(i) ? s->io : s->memory};

        rc = device_region_new(&s->windows[i], o, window, err);
    }
    s->secondary.memory = s->memory;
    s->secondary.io = s->io;
    return rc;
}

static void unrealize(lunik_object *o)
{
    struct pci_bridge *s = lunik_state(o);

    pci_bus_leave_hotplug(&s->secondary);
    for (unsigned i = 0; i < WINDOWS; i++)
        device_region_drop(&s->windows[i]);
    lunik_pci_device_remove(&s->function);
    device_region_drop(&s->io);
    device_region_drop(&s->memory);
}

static int realize(lunik_object *o, lunik_error *err)
{
    struct pci_bridge *s = lunik_state(o);
    lunik_pci_extra *extra;
    int rc;

    init_function(s);
    s->secondary =
        (lunik_pci_bus){.machine = lunik_object_machine(o), .owner = o, .bridge = &s->function};
    extra = pci_extra(&s->function, err);
    rc = extra ? new_regions(s, err) : LUNIK_E_NO_MEMORY;
    if (!rc) {
        extra->secondary = &s->secondary;
        rc = lunik_pci_device_add(s->bus, s->addr, &s->function, err);
    }
    if (rc)
        unrealize(o);
    if (rc)
        return rc;
    pci_bus_join_intx(&s->secondary);
    pci_bus_join_hotplug(&s->secondary);
    return 0;
}

/* ---- properties and interfaces -------------------------------------------------------------- */

static const lunik_prop props[] = {
    LUNIK_PCI_DEVICE_PROPS(struct pci_bridge, "auto"),
    {0},
};

static lunik_pci_bus *get_bus(lunik_object *o)
{
    struct pci_bridge *s = lunik_state(o);

    return &s->secondary;
}

static const lunik_pci_bus_ops bus_ops = {.bus = get_bus};

static const lunik_iface ifaces[] = {
    LUNIK_IFACE(pci_bus, &bus_ops),
    {0},
};

/* ---- state ---------------------------------------------------------------------------------- */

static int map(void *state, lunik_error *err)
{
    return map_windows(state, err);
}

static void loaded(void *state)
{
    struct pci_bridge *s = state;

    s->resetting = s->function.config[BRIDGE_CONTROL] & CONTROL_RESET;
}

static const lunik_state_field state_fields[] = {
    LUNIK_STATE_STRUCT(struct pci_bridge, function, &lunik_pci_function_state),
    {0},
};

static const lunik_state_table state_table = {
    .name = "pci-bridge",
    .version = 1,
    .size = sizeof(struct pci_bridge),
    .fields = state_fields,
    .map = map,
    .loaded = loaded,
};

const lunik_type pci_bridge_type = {
    .name = "pci-bridge",
    .doc = "PCI-to-PCI bridge, with a bus behind it.",
    .flags = LUNIK_TYPE_DEVICE,
    .size = sizeof(struct pci_bridge),
    .props = props,
    .ifaces = ifaces,
    .realize = realize,
    .unrealize = unrealize,
    .reset = reset,
    .hotplug = "pci",
    .state = &state_table,
};
