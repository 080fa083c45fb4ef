/*
 * fw_cfg.c: the firmware configuration device on its ports (QEMU 7.2, docs/specs/fw_cfg.rst): a
 * selector (16 bits) at 0x510, data (8 bits) at 0x511, the address of a DMA descriptor at 0x514.
 *
 * The device makes the items that follow from the machine: its signature, RAM size, processors,
 * nodes, and the file etc/e820. Boards, scripts and the ACPI tables add theirs.
 *
 * Not modelled: items that the guest writes, and their selector bit.
 */
#include <stdlib.h>
#include <string.h>

#include "../ports.h"
#include "../types.h"
#include "fw_cfg_chip.h"

#define PORT_SELECTOR 0
#define PORT_DATA     1
#define PORTS         2
#define DMA_OFFSET    4
#define DMA_PORTS     8

#define E820_FILE       "etc/e820"
#define E820_ENTRY_SIZE 20

struct fw_cfg {
    uint64_t iobase;
    bool has_dma, boot_menu;
    lunik_region *ports, *dma_ports;
    lunik_dma *dma;
    struct fw_cfg_chip chip;
};

static void reset(lunik_object *o)
{
    struct fw_cfg *s = lunik_state(o);

    fw_cfg_chip_reset(&s->chip);
}

/* ---- ports ---------------------------------------------------------------------------------- */

static lunik_access port_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    struct fw_cfg *s = opaque;

    if (offset != PORT_DATA)
        return LUNIK_ACCESS_DECODE;
    *value = fw_cfg_next(&s->chip);
    return LUNIK_ACCESS_OK;
}

/* Writes to the data port are dropped. */
static lunik_access port_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct fw_cfg *s = opaque;

    if (offset == PORT_SELECTOR && size == 2)
        fw_cfg_select(&s->chip, (uint16_t)value);
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops port_ops = {
    .read = port_read,
    .write = port_write,
    .valid = {.min = 1, .max = 2},
    .impl = {.min = 1, .max = 2},
};

static lunik_access dma_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    *value = fw_cfg_dma_read((unsigned)offset, size);
    return LUNIK_ACCESS_OK;
}

static lunik_access dma_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct fw_cfg *s = opaque;

    if (size < 4)
        return LUNIK_ACCESS_DECODE;
    fw_cfg_dma_write(&s->chip, (unsigned)offset, size, value);
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops dma_ops = {
    .read = dma_read,
    .write = dma_write,
    .valid = {.min = 1, .max = 8},
    .impl = {.min = 1, .max = 8},
};

static int memory_read(void *opaque, uint64_t address, void *buf, size_t size)
{
    const struct fw_cfg *s = opaque;

    return s->dma ? lunik_dma_read(s->dma, address, buf, size) : LUNIK_E_GONE;
}

static int memory_write(void *opaque, uint64_t address, const void *buf, size_t size)
{
    const struct fw_cfg *s = opaque;

    return s->dma ? lunik_dma_write(s->dma, address, buf, size) : LUNIK_E_GONE;
}

/* ---- items ---------------------------------------------------------------------------------- */

static uint8_t *put(uint8_t *p, uint64_t value, unsigned width)
{
    for (unsigned i = 0; i < width; i++)
        p[i] = (uint8_t)(value >> 8 * i);
    return p + width;
}

static int add_number(struct fw_cfg *s, uint16_t key, uint64_t value, unsigned width,
                      lunik_error *err)
{
    uint8_t bytes[8];
    lunik_fw_cfg_source source = {.data = bytes, .size = width};

    put(bytes, value, width);
    return fw_cfg_add(&s->chip, NULL, key, &source, err);
}

/* The ranges may be declared after the device has been added: they are listed when it is asked. */
static void select_e820(void *opaque)
{
    struct fw_cfg *s = opaque;
    size_t count;
    const lunik_fwmap_entry *map = lunik_fwmap(lunik_object_machine(lunik_state_object(s)), &count);
    uint8_t *table = malloc(count * E820_ENTRY_SIZE + 1), *p = table;

    for (size_t i = 0; table && i < count; i++) {
        if (map[i].type == LUNIK_FWMAP_HOTPLUG)
            continue;
        p = put(p, map[i].base, 8);
        p = put(p, map[i].size, 8);
        p = put(p, map[i].type, 4);
    }
    if (table)
        fw_cfg_set(&s->chip, E820_FILE, 0, table, (size_t)(p - table), NULL);
    free(table);
}

/* Returns the size of all RAM; below 4 GiB that is where it ends, whatever hides parts of it. */
static uint64_t ram_size(const lunik_machine *m)
{
    const uint64_t limit = UINT64_C(1) << 32;
    size_t count;
    const lunik_fwmap_entry *map = lunik_fwmap(m, &count);
    uint64_t low = 0, high = 0;

    for (size_t i = 0; i < count; i++) {
        if (map[i].type != LUNIK_FWMAP_RAM)
            continue;
        if (map[i].base < limit)
            low = map[i].base + map[i].size;
        else
            high += map[i].size;
    }
    return low + high;
}

static void select_ram_size(void *opaque)
{
    struct fw_cfg *s = opaque;
    uint8_t bytes[8];

    put(bytes, ram_size(lunik_object_machine(lunik_state_object(s))), 8);
    fw_cfg_set(&s->chip, NULL, FW_CFG_RAM_SIZE, bytes, 8, NULL);
}

static void select_cpus(void *opaque)
{
    struct fw_cfg *s = opaque;
    uint8_t bytes[2];

    put(bytes, lunik_cpu_count(lunik_object_machine(lunik_state_object(s))), 2);
    fw_cfg_set(&s->chip, NULL, FW_CFG_CPUS, bytes, 2, NULL);
}

/* How many nodes there are, the node of each vCPU, the memory of each node: 64 bits each. */
static void select_numa(void *opaque)
{
    struct fw_cfg *s = opaque;
    lunik_machine *m = lunik_object_machine(lunik_state_object(s));
    const lunik_machine_config *config = lunik_machine_config_get(m);
    unsigned cpus = config->maxcpus;
    size_t count, words = 1 + cpus + config->node_count;
    const lunik_fwmap_entry *map = lunik_fwmap(m, &count);
    uint64_t *list = calloc(words, sizeof(*list));
    uint8_t *bytes = malloc(words * 8);

    if (list && bytes) {
        list[0] = config->node_count;
        for (unsigned i = 0; i < cpus; i++)
            list[1 + i] = lunik_cpu_node(m, i);
        for (size_t i = 0; i < count; i++)
            if (map[i].type == LUNIK_FWMAP_RAM && map[i].node < config->node_count)
                list[1 + cpus + map[i].node] += map[i].size;
        for (size_t i = 0; i < words; i++)
            put(bytes + 8 * i, list[i], 8);
        fw_cfg_set(&s->chip, NULL, FW_CFG_NUMA, bytes, words * 8, NULL);
    }
    free(bytes);
    free(list);
}

static int add_items(struct fw_cfg *s, lunik_object *o, lunik_error *err)
{
    const lunik_machine_config *config = lunik_machine_config_get(lunik_object_machine(o));
    const struct {
        uint16_t key;
        uint64_t value;
        unsigned width;
    } numbers[] = {
        {FW_CFG_SIGNATURE, 0x554d4551, 4}, /* "QEMU" */
        {FW_CFG_ID, FW_CFG_ID_TRADITIONAL | (s->has_dma ? FW_CFG_ID_DMA : 0), 4},
        {FW_CFG_NOGRAPHIC, 1, 2},
        {FW_CFG_CPUS_MAX, config->maxcpus, 2},
        {FW_CFG_BOOT_MENU, s->boot_menu, 2},
    };
    const struct {
        const char *name;
        uint16_t key;
        void (*select)(void *opaque);
    } computed[] = {
        {NULL, FW_CFG_RAM_SIZE, select_ram_size},
        {NULL, FW_CFG_CPUS, select_cpus},
        {NULL, FW_CFG_NUMA, select_numa},
        {E820_FILE, 0, select_e820},
    };
    int rc = 0;

    for (size_t i = 0; !rc && i < sizeof(numbers) / sizeof(numbers[0]); i++)
        rc = add_number(s, numbers[i].key, numbers[i].value, numbers[i].width, err);
    for (size_t i = 0; !rc && i < sizeof(computed) / sizeof(computed[0]); i++) {
        lunik_fw_cfg_source source = {.select = computed[i].select, .opaque = s};

        rc = fw_cfg_add(&s->chip, computed[i].name, computed[i].key, &source, err);
    }
    return rc;
}

/* ---- life cycle ----------------------------------------------------------------------------- */

static void unrealize(lunik_object *o)
{
    struct fw_cfg *s = lunik_state(o);

    device_region_drop(&s->dma_ports);
    device_region_drop(&s->ports);
    lunik_dma_free(s->dma);
    s->dma = NULL;
    fw_cfg_chip_free(&s->chip);
}

static int realize(lunik_object *o, lunik_error *err)
{
    struct fw_cfg *s = lunik_state(o);
    lunik_machine *m = lunik_object_machine(o);
    int rc = lunik_dma_new(lunik_machine_memory(m), &s->dma, err);

    if (rc)
        return rc;
    lunik_dma_enable(s->dma);
    s->chip.memory = (struct fw_cfg_memory){memory_read, memory_write, s};
    rc = add_items(s, o, err);
    if (!rc)
        rc = device_ports_new(&s->ports, o, "fw-cfg", s->iobase, PORTS, &port_ops, s, err);
    if (!rc && s->has_dma)
        rc = device_ports_new(&s->dma_ports, o, "fw-cfg-dma", s->iobase + DMA_OFFSET, DMA_PORTS,
                              &dma_ops, s, err);
    if (rc)
        unrealize(o);
    else
        reset(o);
    return rc;
}

/* ---- properties and interfaces -------------------------------------------------------------- */

static const lunik_prop props[] = {
    DEVICE_IOBASE_PROP(struct fw_cfg, "The first I/O port.", 0x510,
                       0x10000 - DMA_OFFSET - DMA_PORTS),
    {
        .name = "dma",
        .kind = LUNIK_PROP_BOOL,
        .doc = "Whether the guest can also read by DMA.",
        .offset = offsetof(struct fw_cfg, has_dma),
        .def = true,
    },
    {
        .name = "boot-menu",
        .kind = LUNIK_PROP_BOOL,
        .doc = "Whether firmware is to offer a menu of what it can boot.",
        .offset = offsetof(struct fw_cfg, boot_menu),
    },
    {0},
};

static int add(lunik_object *o, const char *name, uint16_t key, const lunik_fw_cfg_source *source,
               lunik_error *err)
{
    struct fw_cfg *s = lunik_state(o);

    return fw_cfg_add(&s->chip, name, key, source, err);
}

static int set(lunik_object *o, const char *name, uint16_t key, const void *data, size_t size,
               lunik_error *err)
{
    struct fw_cfg *s = lunik_state(o);

    return fw_cfg_set(&s->chip, name, key, data, size, err);
}

static const void *find(lunik_object *o, const char *name, uint16_t key, size_t *size)
{
    struct fw_cfg *s = lunik_state(o);

    return fw_cfg_find(&s->chip, name, key, size);
}

static const char *file(lunik_object *o, size_t index)
{
    const struct fw_cfg *s = lunik_state(o);

    return fw_cfg_file_name(&s->chip, index);
}

static const lunik_fw_cfg_ops fw_cfg_ops = {.add = add, .set = set, .find = find, .file = file};

static void describe(lunik_object *o, lunik_acpi_node *out)
{
    const struct fw_cfg *s = lunik_state(o);
    uint64_t ports = s->has_dma ? DMA_OFFSET + DMA_PORTS : PORTS;

    *out = (lunik_acpi_node){
        .part = "fw_cfg", .count = 2, .values = {{"FWIO", s->iobase}, {"FWLN", ports}}};
}

static const lunik_acpi_ops acpi_ops = {.describe = describe};

static const lunik_iface ifaces[] = {
    LUNIK_IFACE(fw_cfg, &fw_cfg_ops),
    LUNIK_IFACE(acpi, &acpi_ops),
    {0},
};

static const lunik_state_field state_fields[] = {
    LUNIK_STATE_STRUCT(struct fw_cfg, chip, &fw_cfg_chip_state),
    {0},
};

static const lunik_state_table state_table = {
    .name = "fw-cfg",
    .version = 1,
    .size = sizeof(struct fw_cfg),
    .fields = state_fields,
};

const lunik_type fw_cfg_type = {
    .name = "fw-cfg",
    .doc = "Firmware configuration: files and numbers that firmware and guests read, at port 0x510 "
           "and by DMA.",
    .flags = LUNIK_TYPE_DEVICE,
    .size = sizeof(struct fw_cfg),
    .props = props,
    .ifaces = ifaces,
    .realize = realize,
    .unrealize = unrealize,
    .reset = reset,
    .state = &state_table,
};
