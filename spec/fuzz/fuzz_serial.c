/*
 * fuzz_serial.c: a console device whose driver writes what it likes into its queues (messages,
 * data, chains of buffers), while ports come and go and their character devices have input: the
 * machine goes on, and ends. -max_len=1024 -runs=400
 */
#include "fuzz.h"
#include "pci_rig.h"
#include "virtio_pci_driver.h"
#include "nic_driver.h"

enum { QUEUES = 8, CONTROL_IN = 2, CONTROL_OUT = 3, PORTS = 3, STEPS_MAX = 150, PIECES_MAX = 3 };

static struct nic n;
static lunik_object *lines[PORTS]; /* the character devices */
static lunik_error err;

static const char *const port_ids[] = {"port0", "port1", "port2"};

/* Adds a port, or removes it. */
static void toggle_port(unsigned nr)
{
    static const char *const chardevs[] = {"c0", "c1", "c2"};
    const lunik_field props[] = {
        LUNIK_FIELD_STRING("id", port_ids[nr]), LUNIK_FIELD_STRING("bus", "serial0"),
        LUNIK_FIELD_STRING("chardev", chardevs[nr]), LUNIK_FIELD_INT("nr", nr),
        LUNIK_FIELD_STRING("name", port_ids[nr])};

    if (lunik_object_find(n.rig.m, port_ids[nr]))
        fuzz_must(lunik_device_del(n.rig.m, port_ids[nr], &err), err);
    else
        fuzz_must(
            lunik_device_add(n.rig.m, nr ? "virtserialport" : "virtconsole", props, 5, NULL, &err),
            err);
}

/* The machine lasts, as it takes long to make one. */
static void make_machine(void)
{
    const lunik_field props[] = {LUNIK_FIELD_STRING("id", "serial0"),
                                 LUNIK_FIELD_STRING("bus", "host"), LUNIK_FIELD_STRING("addr", "5"),
                                 LUNIK_FIELD_UINT("max_ports", PORTS)};
    lunik_object *ram;

    rig_make(&n.rig, LUNIK_ACCEL_NONE, false);
    vp_memory(&n.rig);
    fuzz_must(lunik_device_add(n.rig.m, "virtio-serial-pci", props, 4, &n.card, &err), err);
    fuzz_must(lunik_machine_start(n.rig.m, &err), err);
    ram = lunik_object_find(n.rig.m, "ram");
    n.ram = lunik_ram_host(lunik_memory_backend_iface(ram)->ram(ram));
    vp_probe(&n.d, &n.rig, NIC_AT);
}

static const char *const line_ids[] = {"c0", "c1", "c2"};

static void begin(void)
{
    if (!n.card)
        make_machine();
    for (unsigned i = 0; i < PORTS; i++) {
        const lunik_field line[] = {LUNIK_FIELD_STRING("id", line_ids[i])};

        fuzz_must(lunik_object_add(n.rig.m, "chardev-buffer", line, 1, &lines[i], &err), err);
        toggle_port(i);
    }
    memset(n.ram + vp_ring(0), 0, (size_t)VP_STRIDE * QUEUES);
    nic_start(&n, fuzz_byte() & 6, QUEUES);
}

static void end(void)
{
    vp_reset(&n.d);
    for (unsigned i = 0; i < PORTS; i++) {
        if (lunik_object_find(n.rig.m, port_ids[i]))
            toggle_port(i);
        fuzz_must(lunik_object_del(n.rig.m, line_ids[i], &err), err);
    }
    for (unsigned i = 0; i < 10; i++)
        lunik_run(n.rig.rt, LUNIK_RUN_NOWAIT);
}

/* Offers a chain of buffers, mostly of the right kind. */
static void offer(void)
{
    unsigned queue = fuzz_below(QUEUES), count = 1 + fuzz_below(PIECES_MAX), slot;
    uint32_t lengths[PIECES_MAX];
    uint16_t flags[PIECES_MAX];

    if (nic_free(&n, queue) < count)
        return;
    for (unsigned i = 0; i < count; i++) {
        bool good = fuzz_byte() & 7;

        lengths[i] = good ? fuzz_below(64) : (uint32_t)fuzz_hostile() & 0x3fffff;
        flags[i] = queue % 2 ? 0 : NIC_WRITE;
        if (!good)
            flags[i] = fuzz_byte() & NIC_WRITE;
    }
    slot = nic_offer(&n, queue, lengths, flags, count);
    for (unsigned i = 0; i < count; i++) {
        size_t size;
        const uint8_t *bytes = fuzz_bytes(64, &size);

        memcpy(nic_data(&n, queue, n.queues[queue].chain[slot][i]), bytes, size);
    }
    nic_kick(&n, queue);
}

/* A message of the driver, mostly a good one. */
static void say(void)
{
    const uint32_t size = 8;
    const uint16_t read = 0;
    uint32_t id = fuzz_byte() % 5;
    uint16_t event = fuzz_byte() % 9, value = fuzz_byte() & 1;
    unsigned slot;

    if (!nic_free(&n, CONTROL_OUT))
        return;
    slot = nic_offer(&n, CONTROL_OUT, &size, &read, 1);
    memcpy(nic_data(&n, CONTROL_OUT, slot), &id, 4);
    memcpy(nic_data(&n, CONTROL_OUT, slot) + 4, &event, 2);
    memcpy(nic_data(&n, CONTROL_OUT, slot) + 6, &value, 2);
    nic_kick(&n, CONTROL_OUT);
}

static void type_text(void)
{
    lunik_object *o = lines[fuzz_below(PORTS)];
    size_t size;
    const uint8_t *bytes = fuzz_bytes(200, &size);

    lunik_chardev_buffer_iface(o)->write_input(o, bytes, size);
}

static void step(void)
{
    uint32_t written;

    switch (fuzz_below(8)) {
    case 0:
    case 1:
        offer();
        break;
    case 2:
    case 3:
        say();
        break;
    case 4:
        type_text();
        break;
    case 5:
        for (unsigned i = 0; i < QUEUES; i++)
            while (nic_used(&n, i, &written) >= 0)
                fuzz_check(written <= 3 * 0x3fffff, "%u bytes written", written);
        break;
    case 6:
        toggle_port(fuzz_below(PORTS));
        break;
    default:
        if (fuzz_below(16) == 15)
            nic_start(&n, fuzz_byte() & 6, QUEUES);
    }
    lunik_run(n.rig.rt, LUNIK_RUN_NOWAIT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_begin(data, size);
    begin();
    for (unsigned i = 0; i < STEPS_MAX && fuzz_more(); i++)
        step();
    end();
    return 0;
}
