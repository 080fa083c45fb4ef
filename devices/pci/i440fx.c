/*
 * i440fx.c: Intel 82441FX (PMC) host bridge: PCI bus 0, configuration mechanism 1 and the PAM
 * registers (i440fx_pam.h; 290549-001, chapters 3 and 4). Addresses that nothing else claims go to
 * PCI.
 *
 * Not modelled: SMM (the SMRAM register keeps its value and does nothing), DRAM timing, the
 * fixed hole, AGP, parity and ECC reporting.
 */
#include <inttypes.h>
#include <string.h>

#include "i440fx_pam.h"
#include "pci.h"
#include "../ports.h"
#include "../types.h"

#define I440FX_PMCCFG  0x50
#define I440FX_DETURBO 0x52
#define I440FX_DBC     0x53
#define I440FX_AXC     0x54
#define I440FX_DRT     0x55
#define I440FX_DRAMC   0x57
#define I440FX_DRAMT   0x58
#define I440FX_DRB0    0x60
#define I440FX_FDHC    0x68
#define I440FX_MTT     0x70
#define I440FX_CLT     0x71
#define I440FX_SMRAM   0x72
#define I440FX_ERRCMD  0x90
#define I440FX_TRC     0x93

#define CONFIG_ADDRESS       0xcf8
#define CONFIG_DATA          0xcfc
#define CONFIG_ADDRESS_VALID 0x80ffffffu /* bits 30:24 are reserved */

struct i440fx {
    lunik_object *ram;
    bool shadow;
    uint64_t mmio_base, mmio_last, mmio64_base, mmio64_last;

    lunik_pci_bus bus;
    lunik_pci_function function;
    uint32_t config_address;
    lunik_region *memory, *io; /* the bus's containers */
    lunik_space *io_space;
    lunik_region *address_port, *data_port;
    lunik_region *ram_region;
    struct i440fx_pam pam;
};

static void follow_pam(struct i440fx *s)
{
    lunik_error err;

    if (i440fx_pam_update(&s->pam, &err))
        lunik_pci_map_failed(&s->function, &err);
}

/* What firmware has left in shadow RAM stays visible when the machine wakes up. */
static void reset(lunik_object *o)
{
    struct i440fx *s = lunik_state(o);
    uint8_t pam[I440FX_PAM_LAST - I440FX_PAM0 + 1];

    s->config_address = 0;
    memcpy(pam, s->function.config + I440FX_PAM0, sizeof(pam));
    lunik_pci_function_reset(&s->function);
    if (lunik_machine_waking(lunik_object_machine(o)))
        memcpy(s->function.config + I440FX_PAM0, pam, sizeof(pam));
    follow_pam(s);
}

static void config_written(lunik_pci_function *f, unsigned offset, unsigned size)
{
    struct i440fx *s = lunik_container_of(f, struct i440fx, function);

    if (offset <= I440FX_PAM_LAST && offset + size > I440FX_PAM0)
        follow_pam(s);
}

/* ---- configuration mechanism 1 -------------------------------------------------------------- */

/* Reads the address latch, which takes whole dwords only; the bridge leaves bytes and words to the
 * PCI bus. */
static lunik_access config_address_read(void *opaque, uint64_t offset, unsigned size,
                                        uint64_t *value)
{
    const struct i440fx *s = opaque;

    if (size != 4)
        return lunik_space_load(s->io_space, CONFIG_ADDRESS + offset, size, value) < 0
                   ? LUNIK_ACCESS_DECODE
                   : LUNIK_ACCESS_OK;
    *value = s->config_address;
    return LUNIK_ACCESS_OK;
}

static lunik_access config_address_write(void *opaque, uint64_t offset, unsigned size,
                                         uint64_t value)
{
    struct i440fx *s = opaque;

    if (size != 4)
        return lunik_space_store(s->io_space, CONFIG_ADDRESS + offset, size, value) < 0
                   ? LUNIK_ACCESS_DECODE
                   : LUNIK_ACCESS_OK;
    s->config_address = (uint32_t)value & CONFIG_ADDRESS_VALID;
    return LUNIK_ACCESS_OK;
}

static lunik_access config_data_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    struct i440fx *s = opaque;

    *value = pci_mechanism1_read(&s->bus, s->config_address, (unsigned)offset, size);
    return LUNIK_ACCESS_OK;
}

static lunik_access config_data_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct i440fx *s = opaque;

    pci_mechanism1_write(&s->bus, s->config_address, (unsigned)offset, size, (uint32_t)value);
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops config_address_ops = {
    .read = config_address_read,
    .write = config_address_write,
    DEVICE_DWORD_PORTS,
};

static const lunik_io_ops config_data_ops = {
    .read = config_data_read,
    .write = config_data_write,
    DEVICE_DWORD_PORTS,
};

/* ---- life cycle ----------------------------------------------------------------------------- */

static void init_function(struct i440fx *s)
{
    static const struct {
        uint8_t offset, value, writable;
    } registers[] = {
        {I440FX_PMCCFG, 0x00, 0x70},  {I440FX_PMCCFG + 1, 0x00, 0xc0}, {I440FX_DETURBO, 0x00, 0xff},
        {I440FX_DBC, 0x80, 0xe3},     {I440FX_AXC, 0x00, 0x82},        {I440FX_DRT, 0x00, 0xff},
        {I440FX_DRT + 1, 0x00, 0xff}, {I440FX_DRAMC, 0x01, 0x77},      {I440FX_DRAMT, 0x10, 0x7f},
        {I440FX_FDHC, 0x00, 0xc0},    {I440FX_MTT, 0x00, 0xf8},        {I440FX_CLT, 0x10, 0x1f},
        {I440FX_SMRAM, 0x02, 0x78},   {I440FX_ERRCMD, 0x00, 0x9b},     {I440FX_TRC, 0x00, 0x0f},
    };
    lunik_pci_function *f = &s->function;

    lunik_pci_function_init(f, lunik_state_object(s), 0x8086, 0x1237, 0x02, 0x060000);
    /* The part has none; by QEMU's, SeaBIOS recognises a virtual machine. */
    lunik_pci_set_word(f->initial, LUNIK_PCI_SUBSYSTEM_VENDOR_ID, 0x1af4);
    lunik_pci_set_word(f->initial, LUNIK_PCI_SUBSYSTEM_ID, 0x1100);
    f->written = config_written;
    lunik_pci_set_word(f->initial, LUNIK_PCI_COMMAND,
                       LUNIK_PCI_COMMAND_MEMORY | LUNIK_PCI_COMMAND_MASTER);
    lunik_pci_set_word(f->writable, LUNIK_PCI_COMMAND, 0x0140);
    lunik_pci_set_word(f->initial, LUNIK_PCI_STATUS,
                       LUNIK_PCI_STATUS_FAST_B2B | LUNIK_PCI_STATUS_DEVSEL_MED);
    f->writable[LUNIK_PCI_LATENCY] = 0xf8;
    for (size_t i = 0; i < sizeof registers / sizeof registers[0]; i++) {
        f->initial[registers[i].offset] = registers[i].value;
        f->writable[registers[i].offset] = registers[i].writable;
    }
    for (unsigned i = 0; i < 8; i++) {
        f->initial[I440FX_DRB0 + i] = 0x01;
        f->writable[I440FX_DRB0 + i] = 0xff;
    }
    for (unsigned i = I440FX_PAM0; i <= I440FX_PAM_LAST; i++) {
        f->writable[i] = i == I440FX_PAM0 ? I440FX_PAM0_BITS : I440FX_PAM_BITS;
        f->initial[i] = s->shadow ? f->writable[i] : 0;
    }
}

static int new_bus(struct i440fx *s, lunik_object *o, lunik_error *err)
{
    lunik_machine *m = s->bus.machine;
    lunik_region *io_root = lunik_space_root(lunik_machine_io(m));
    lunik_region_config memory = {
        .kind = LUNIK_REGION_CONTAINER, .name = "pci", .size = LUNIK_SIZE_MAX};
    lunik_region_config io = {.kind = LUNIK_REGION_CONTAINER, .name = "pci-io", .size = 0x10000};
    lunik_region_config address = {
        .kind = LUNIK_REGION_IO,
        .name = "pci-conf-idx",
        .size = 4,
        .ops = &config_address_ops,
        .opaque = s,
    };
    lunik_region_config data = {
        .kind = LUNIK_REGION_IO,
        .name = "pci-conf-data",
        .size = 4,
        .ops = &config_data_ops,
        .opaque = s,
    };
    int rc = device_region_new(&s->memory, o, memory, err);

    if (!rc)
        rc = device_region_new(&s->io, o, io, err);
    if (!rc)
        rc = device_region_new(&s->address_port, o, address, err);
    if (!rc)
        rc = device_region_new(&s->data_port, o, data, err);
    if (!rc)
        rc = lunik_region_add(lunik_space_root(lunik_machine_memory(m)), 0, s->memory, -1, false,
                              err);
    if (!rc)
        rc = lunik_region_add(io_root, 0, s->io, -1, false, err);
    if (!rc)
        rc = lunik_region_add(io_root, CONFIG_ADDRESS, s->address_port, 0, false, err);
    if (!rc)
        rc = lunik_region_add(io_root, CONFIG_DATA, s->data_port, 0, false, err);
    if (!rc)
        rc = lunik_space_new(m, "pci-io", s->io, &s->io_space, err);
    s->bus.memory = s->memory;
    s->bus.io = s->io;
    return rc;
}

static void unrealize(lunik_object *o)
{
    struct i440fx *s = lunik_state(o);

    lunik_pci_device_remove(&s->function);
    i440fx_pam_close(&s->pam);
    lunik_space_free(s->io_space);
    s->io_space = NULL;
    device_region_drop(&s->data_port);
    device_region_drop(&s->address_port);
    device_region_drop(&s->io);
    device_region_drop(&s->memory);
    device_region_drop(&s->ram_region);
}

static int check_properties(const struct i440fx *s, lunik_ram *ram, lunik_error *err)
{
    if (lunik_ram_size(ram) < I440FX_PAM_END)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "i440fx: ram: %s has 0x%" PRIx64 " bytes (want 1M or more)",
                          lunik_object_path(s->ram), lunik_ram_size(ram));
    if (s->mmio_last && s->mmio_last < s->mmio_base)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "i440fx: mmio-last: 0x%" PRIx64 " is below mmio-base (0x%" PRIx64 ")",
                          s->mmio_last, s->mmio_base);
    if (s->mmio64_last && s->mmio64_last < s->mmio64_base)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "i440fx: mmio64-last: 0x%" PRIx64 " is below mmio64-base (0x%" PRIx64 ")",
                          s->mmio64_last, s->mmio64_base);
    return 0;
}

static int realize(lunik_object *o, lunik_error *err)
{
    struct i440fx *s = lunik_state(o);
    const lunik_memory_backend_ops *backend = lunik_memory_backend_iface(s->ram);
    lunik_ram *ram = backend->ram(s->ram);
    lunik_region_config ram_config = {
        .kind = LUNIK_REGION_RAM, .name = lunik_object_id(s->ram), .ram = ram};
    int rc = check_properties(s, ram, err);

    if (rc)
        return rc;
    s->bus = (lunik_pci_bus){.machine = lunik_object_machine(o), .owner = o};
    init_function(s);
    rc = new_bus(s, o, err);
    if (!rc)
        rc = device_region_new(&s->ram_region, o, ram_config, err);
    if (!rc)
        rc = i440fx_pam_open(&s->pam, o, s->function.config, s->memory, s->ram_region, err);
    if (!rc)
        rc = pci_bus_add(&s->bus, &s->function, PCI_DEVFN(0, 0), err);
    if (!rc)
        rc = i440fx_pam_update(&s->pam, err);
    if (!rc)
        rc = lunik_machine_set_hotplug_handler(lunik_object_machine(o), "pci", o, err);
    if (rc)
        unrealize(o);
    return rc;
}

/* ---- properties and interfaces -------------------------------------------------------------- */

static const lunik_prop props[] = {
    {
        .name = "ram",
        .kind = LUNIK_PROP_LINK,
        .doc = "The backend that holds the machine's first megabyte of RAM.",
        .offset = offsetof(struct i440fx, ram),
        .flags = LUNIK_PROP_REQUIRED,
        .link = "memory-backend",
    },
    {
        .name = "shadow",
        .kind = LUNIK_PROP_BOOL,
        .doc = "Show 0xc0000-0xfffff as RAM after reset, as firmware would leave it.",
        .offset = offsetof(struct i440fx, shadow),
    },
    {
        .name = "mmio-base",
        .kind = LUNIK_PROP_SIZE,
        .doc = "First address of the window for PCI memory below 4 GiB.",
        .offset = offsetof(struct i440fx, mmio_base),
        .def = 0xe0000000,
        .max = UINT32_MAX,
    },
    {
        .name = "mmio-last",
        .kind = LUNIK_PROP_SIZE,
        .doc = "Last address of that window.",
        .offset = offsetof(struct i440fx, mmio_last),
        .def = 0xfebfffff,
        .max = UINT32_MAX,
    },
    {
        .name = "mmio64-base",
        .kind = LUNIK_PROP_SIZE,
        .doc = "First address of the window for PCI memory above 4 GiB; 0 = none.",
        .offset = offsetof(struct i440fx, mmio64_base),
    },
    {
        .name = "mmio64-last",
        .kind = LUNIK_PROP_SIZE,
        .doc = "Last address of that window; 0 = none.",
        .offset = offsetof(struct i440fx, mmio64_last),
    },
    {0},
};

static lunik_pci_bus *get_bus(lunik_object *o)
{
    struct i440fx *s = lunik_state(o);

    return &s->bus;
}

static const lunik_pci_bus_ops bus_ops = {.bus = get_bus};

static void describe(lunik_object *o, lunik_acpi_node *out)
{
    const struct i440fx *s = lunik_state(o);

    *out = (lunik_acpi_node){.part = "pci_root",
                             .count = 4,
                             .values = {{"PCMB", s->mmio_base},
                                        {"PCML", s->mmio_last},
                                        {"PC6B", s->mmio64_base},
                                        {"PC6L", s->mmio64_last}}};
}

static const lunik_acpi_ops acpi_ops = {.describe = describe};

static const lunik_iface ifaces[] = {
    LUNIK_IFACE(pci_bus, &bus_ops),
    LUNIK_IFACE(hotplug, &pci_hotplug_ops),
    LUNIK_IFACE(acpi, &acpi_ops),
    {0},
};

/* ---- state ---------------------------------------------------------------------------------- */

static int map(void *state, lunik_error *err)
{
    struct i440fx *s = state;

    return i440fx_pam_update(&s->pam, err);
}

static const lunik_state_field state_fields[] = {
    LUNIK_STATE_STRUCT(struct i440fx, function, &lunik_pci_function_state),
    LUNIK_STATE(struct i440fx, config_address),
    {0},
};

static const lunik_state_table state_table = {
    .name = "i440fx",
    .version = 1,
    .size = sizeof(struct i440fx),
    .fields = state_fields,
    .map = map,
};

const lunik_type i440fx_type = {
    .name = "i440fx",
    .doc = "Intel 82441FX host bridge with PCI bus 0 and configuration mechanism 1.",
    .flags = LUNIK_TYPE_DEVICE,
    .size = sizeof(struct i440fx),
    .props = props,
    .ifaces = ifaces,
    .realize = realize,
    .unrealize = unrealize,
    .reset = reset,
    .state = &state_table,
};
