/* state_machine.h: a machine with a device of every type that has something to save, and random
 * guests that change their states. */
#ifndef SPEC_STATE_MACHINE_H
#define SPEC_STATE_MACHINE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lunik_device.h"

enum { PM_BASE = 0x600, SMB_BASE = 0x700, GPE_BASE = 0xafe0, MHP_BASE = 0xa00, MHP_CONTROL = 0x14 };

#define STATE_FIELDS 6

/* A part of the machine; an empty id: the device has none. */
struct state_part {
    const char *type, *id;
    lunik_field props[STATE_FIELDS];
};

#define STRING LUNIK_FIELD_STRING
#define UINT   LUNIK_FIELD_UINT

static const struct state_part state_parts[] = {
    {"iothread", "thread", {{0}}},
    {"memory-backend-ram", "ram0", {UINT("size", 2 << 20)}},
    {"memory-backend-ram", "ram1", {UINT("size", 2 << 20)}},
    {"memory-backend-memfd", "ram2", {UINT("size", 4 << 20)}},
    {"chardev-null", "null", {{0}}},
    {"chardev-file", "file", {STRING("path", "/dev/null")}},
    {"chardev-buffer", "console", {{0}}},
    {"ram", "board", {STRING("memdev", "ram1"), UINT("addr", 0x200000)}},
    {"i440fx", "pci", {STRING("ram", "ram0")}},
    {"piix3",
     "isa",
     {STRING("bus", "pci"), UINT("pirq-a", 10), UINT("pirq-b", 11),
      LUNIK_FIELD_BOOL("elcr", false)}},
    {"isa-i8259", "pic", {{0}}},
    {"ioapic", "ioapic", {{0}}},
    {"isa-pit", "pit", {{0}}},
    {"piix4-pm",
     "pm",
     {STRING("bus", "pci"), UINT("pm-base", PM_BASE), UINT("smb-base", SMB_BASE),
      UINT("gpe-base", GPE_BASE)}},
    {"acpi-pci-hotplug", "php", {STRING("bus", "pci"), STRING("pm", "pm")}},
    {"pci-bridge", "bridge", {STRING("bus", "pci"), STRING("addr", "2")}},
    {"edu", "edu", {STRING("bus", "bridge"), STRING("addr", "3")}},
    {"rng-builtin", "random", {{0}}},
    {"virtio-rng-pci", "rng", {STRING("bus", "pci"), STRING("addr", "4"), STRING("rng", "random")}},
    {"virtio-balloon-pci", "balloon", {STRING("bus", "pci"), STRING("addr", "5")}},
    {"netdev-lua", "net", {{0}}},
    {"virtio-net-pci", "nic", {STRING("bus", "pci"), STRING("addr", "6"), STRING("netdev", "net")}},
    {"pvpanic", "", {{0}}},
    {"pvpanic-pci", "panic", {STRING("bus", "pci"), STRING("addr", "8")}},
    {"i6300esb", "dog", {STRING("bus", "pci"), STRING("addr", "9")}},
    {"blockdev-lua", "disk", {UINT("size", 1 << 20)}},
    {"virtio-blk-pci", "blk", {STRING("bus", "pci"), STRING("addr", "7"), STRING("drive", "disk")}},
    {"virtio-serial-pci", "ports", {STRING("bus", "pci"), STRING("addr", "0xa")}},
    {"virtconsole", "hvc", {STRING("bus", "ports")}},
    {"virtserialport", "port", {STRING("bus", "ports"), STRING("name", "org.lunik.port")}},
    {"port92", "", {{0}}},
    {"mc146818", "rtc", {UINT("base", 1700000000)}},
    {"i8042", "", {{0}}},
    {"serial16550", "com1", {STRING("chardev", "console")}},
    {"debugcon", "", {STRING("chardev", "null")}},
    {"debug-exit", "", {{0}}},
    {"fw-cfg", "", {{0}}},
    {"post-code", "", {{0}}},
    {"acpi-memory-hotplug",
     "mhp",
     {UINT("iobase", MHP_BASE), UINT("slots", 4), STRING("pm", "pm")}},
    {"acpi-nvdimm", "nvd", {UINT("slots", 4), STRING("pm", "pm")}},
    {"device-memory",
     "window",
     {UINT("addr", UINT64_C(1) << 32), UINT("size", 1 << 30), UINT("slots", 4),
      STRING("acpi", "mhp"), STRING("nvdimm", "nvd")}},
    {"pc-dimm", "dimm0", {STRING("memdev", "ram2"), UINT("slot", 2)}},
    {"memory-backend-memfd", "ram4", {UINT("size", 4 << 20)}},
    {"nvdimm", "nvdimm0", {STRING("memdev", "ram4"), UINT("slot", 3), UINT("label-size", 1 << 17)}},
    {"memory-backend-memfd", "ram3", {UINT("size", 4 << 20)}},
    {"virtio-mem-pci",
     "vmem",
     {STRING("bus", "pci"), STRING("addr", "0xb"), STRING("memdev", "ram3")}},
    {"acpi-cpu-hotplug", "cpus", {STRING("pm", "pm")}},
    {"cpu", "cpu0", {{0}}},
    {"qemu64-x86_64-cpu", "cpu1", {{0}}},
    {"host-x86_64-cpu", "cpu2", {{0}}},
};

enum { STATE_PARTS = sizeof(state_parts) / sizeof(state_parts[0]) };

static inline int state_part_add(lunik_machine *m, const struct state_part *p, lunik_error *err)
{
    const lunik_type *type = lunik_type_find(lunik_machine_runtime(m), p->type);
    lunik_field props[STATE_FIELDS + 1];
    size_t count = 0;

    if (*p->id)
        props[count++] = STRING("id", p->id);
    for (size_t i = 0; i < STATE_FIELDS && p->props[i].name; i++)
        props[count++] = p->props[i];
    return type->flags & LUNIK_TYPE_DEVICE ? lunik_device_add(m, p->type, props, count, NULL, err)
                                           : lunik_object_add(m, p->type, props, count, NULL, err);
}

/* The machine's clock shows `now`. NULL, with the error printed, if it can't be made. */
static inline lunik_machine *state_machine_new(lunik_runtime *rt, uint64_t now)
{
    const lunik_machine_config config = {
        .name = "m", .accel = LUNIK_ACCEL_NONE, .cpus = 1, .maxcpus = 4, .manual_clock = true};
    lunik_machine *m = NULL;
    lunik_error err;
    int rc = lunik_machine_new(rt, &config, &m, &err);

    if (!rc)
        rc = lunik_clock_advance(m, now, &err);
    for (size_t i = 0; !rc && i < STATE_PARTS; i++)
        rc = state_part_add(m, &state_parts[i], &err);
    if (!rc)
        return m;
    printf("# %s\n", err.message);
    if (m)
        lunik_machine_close(m);
    return NULL;
}

/* ---- a guest -------------------------------------------------------------------------------- */

/* Ports, and the bits that may be written there: others reset the machine or eject the DIMM. */
static const struct {
    uint16_t first, count;
    uint32_t mask;
} guest_ports[] = {
    {0x60, 1, UINT32_MAX},     {0x64, 1, 0xef},           {0x70, 2, UINT32_MAX},
    {0x70, 2, UINT32_MAX},     {0x92, 1, 0xfe},           {0x80, 1, UINT32_MAX},
    {0xe9, 1, UINT32_MAX},     {0x3f8, 8, UINT32_MAX},    {0x3f8, 8, UINT32_MAX},
    {0x20, 2, UINT32_MAX},     {0xa0, 2, UINT32_MAX},     {0x40, 4, UINT32_MAX},
    {0x40, 4, UINT32_MAX},     {0x61, 1, UINT32_MAX},     {0x4d0, 2, UINT32_MAX},
    {0xb2, 2, UINT32_MAX},     {PM_BASE, 12, UINT32_MAX}, {SMB_BASE, 16, UINT32_MAX},
    {GPE_BASE, 4, UINT32_MAX}, {MHP_BASE, 12, 7},         {MHP_BASE + MHP_CONTROL, 1, 7},
};

/* Returns what it read. */
static inline uint64_t guest_port(lunik_machine *m, uint32_t (*random)(void))
{
    unsigned i = random() % (sizeof(guest_ports) / sizeof(guest_ports[0]));
    uint16_t port = (uint16_t)(guest_ports[i].first + random() % guest_ports[i].count);
    uint64_t value = 0;

    if (random() % 2)
        lunik_space_store(lunik_machine_io(m), port, 1, random() & guest_ports[i].mask & 0xff);
    else
        lunik_space_load(lunik_machine_io(m), port, 1, &value);
    return value;
}

/* A register of one of the three functions. */
static inline void guest_config(lunik_machine *m, uint32_t (*random)(void))
{
    static const uint8_t functions[] = {0x00, 0x08, 0x0b};
    uint32_t address = 0x80000000 | functions[random() % 3] << 8 | (random() & 0xff);

    lunik_space_store(lunik_machine_io(m), 0xcf8, 4, address);
    lunik_space_store(lunik_machine_io(m), 0xcfc, 1, random() & 0xff);
}

/* A redirection entry of the I/O APIC, or the end of an interrupt. */
static inline void guest_ioapic(lunik_machine *m, uint32_t (*random)(void))
{
    const uint64_t ioapic = 0xfec00000;
    lunik_space *memory = lunik_machine_memory(m);

    lunik_space_store(memory, ioapic, 4, 0x10 + random() % 48);
    lunik_space_store(memory, ioapic + 0x10, 4, random() & 0xfffeffff);
    lunik_space_store(memory, ioapic + 0x40, 4, random() & 0xff);
}

static inline void guest_input(lunik_machine *m, uint32_t (*random)(void))
{
    lunik_object *console = lunik_object_find(m, "console");
    const uint8_t byte = (uint8_t)random();

    lunik_chardev_buffer_iface(console)->write_input(console, &byte, 1);
}

/* The guest reads characters until none is left outside of the machine, where no state has them. */
static inline void guest_drain(lunik_machine *m)
{
    lunik_object *console = lunik_object_find(m, "console");
    lunik_space *io = lunik_machine_io(m);
    uint64_t value;

    while (lunik_chardev_buffer_iface(console)->input_pending(console)) {
        lunik_space_store(io, 0x3fb, 1, 0);
        lunik_space_store(io, 0x3fc, 1, 0);
        lunik_space_load(io, 0x3f8, 1, &value);
    }
}

/* Returns a sum of what it read. */
static inline uint64_t guest_run(lunik_machine *m, uint32_t (*random)(void), unsigned steps)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < steps; i++) {
        switch (random() % 9) {
        case 8:
            guest_ioapic(m, random);
            break;
        case 0:
        case 1:
            guest_config(m, random);
            break;
        case 2:
            lunik_clock_advance(m, random() % 20000000, NULL);
            break;
        case 3:
            guest_input(m, random);
            break;
        default:
            sum = sum * 31 + guest_port(m, random);
        }
    }
    return sum;
}

#endif
