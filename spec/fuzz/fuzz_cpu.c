/*
 * fuzz_cpu.c: the CPU hotplug registers with CPUs that come and go, against a model of the protocol
 * (QEMU's docs/specs/acpi_cpu_hotplug.rst). -max_len=512 -runs=550
 */
#include "board.h"

enum { PORTS = 0xaf00, CPUS = 5 };
enum { ENABLED = 1, INSERTING = 2, REMOVING = 4, EJECT = 8, FIRMWARE = 16 };

static struct {
    bool plugged[CPUS], modern, started;
    unsigned events[CPUS]; /* as in the flags */
    uint32_t selector;
    unsigned command;
} model;

/* ---- the user ------------------------------------------------------------------------------- */

static void plug(void)
{
    unsigned n = fuzz_below(CPUS);
    char id[16];
    lunik_error err = {0};
    int rc;

    snprintf(id, sizeof(id), "cpu%u", n);
    rc = lunik_device_add(
        board, "cpu",
        (const lunik_field[]){LUNIK_FIELD_STRING("id", id), LUNIK_FIELD_INT("core-id", (int64_t)n)},
        2, NULL, &err);
    if (model.plugged[n]) {
        fuzz_check(rc == LUNIK_E_EXISTS, "cpu%u twice: %d %s", n, rc, err.message);
        return;
    }
    fuzz_must(rc, err);
    model.plugged[n] = true;
    model.events[n] = model.started ? INSERTING : 0;
}

static void unplug(void)
{
    unsigned n = fuzz_below(CPUS);
    char id[16];
    int rc;

    snprintf(id, sizeof(id), "cpu%u", n);
    rc = lunik_device_del(board, id, NULL);
    fuzz_check(rc == (n && model.plugged[n] ? 0 : LUNIK_E_NOT_FOUND), "device_del of %s: %d", id,
               rc);
    if (rc)
        return;
    if (model.started)
        model.events[n] |= REMOVING;
    else
        model.plugged[n] = false;
}

/* ---- the guest ------------------------------------------------------------------------------ */

static void model_flags(unsigned n, unsigned value)
{
    bool can_go = n && model.plugged[n];

    if (value & INSERTING)
        model.events[n] &= ~(unsigned)INSERTING;
    else if (value & REMOVING)
        model.events[n] &= ~(unsigned)REMOVING;
    else if (value & EJECT && can_go) {
        model.plugged[n] = false;
        model.events[n] = 0;
    } else if (!(value & EJECT) && value & FIRMWARE && can_go)
        model.events[n] ^= FIRMWARE;
}

static void model_command(unsigned command)
{
    if (command > 3)
        return;
    model.command = command;
    for (unsigned i = 0; !command && i < CPUS; i++) {
        unsigned n = (model.selector + i) % CPUS;

        if (model.events[n]) {
            model.selector = n;
            return;
        }
    }
}

static void model_write(unsigned offset, uint32_t value)
{
    if (!model.modern) {
        model.modern = !offset && !value;
        return;
    }
    if (!offset)
        model.selector = value;
    if (model.selector >= CPUS)
        return;
    if (offset == 4)
        model_flags(model.selector, value & 0xff);
    if (offset == 5)
        model_command(value & 0xff);
}

static uint32_t model_read(unsigned offset)
{
    uint32_t bits = 0;

    if (!model.modern) {
        for (unsigned n = 0; n < CPUS; n++)
            bits |= (uint32_t)model.plugged[n] << n;
        return offset < 4 ? bits >> 8 * offset : 0;
    }
    if (model.selector >= CPUS)
        return 0;
    if (offset == 4)
        return model.events[model.selector] | model.plugged[model.selector];
    return offset == 8 && model.command % 3 == 0 ? model.selector : 0;
}

static void guest_write(void)
{
    static const unsigned offsets[] = {0, 4, 5, 8};
    unsigned offset = offsets[fuzz_below(4)], size = 1u << fuzz_below(offset % 4 ? 1 : 3);
    uint32_t value = (uint32_t)fuzz_number(offset == 0 ? 1 : size);

    port_out((uint16_t)(PORTS + offset), size, value);
    model_write(offset, (uint32_t)(value & fuzz_ones(size)));
}

static void guest_read(void)
{
    unsigned offset = fuzz_below(32), size = 1u << fuzz_below(3);
    uint32_t value, want = (uint32_t)(model_read(offset) & fuzz_ones(size));

    if (offset + size > 32)
        return;
    value = port_in((uint16_t)(PORTS + offset), size);
    fuzz_check(value == want, "CPU 0x%x: offset 0x%x in %u bytes is 0x%x, want 0x%x",
               model.selector, offset, size, value, want);
}

/* ---- the machine ---------------------------------------------------------------------------- */

/* A reset, with which a start begins, is an answer to each request that the guest still has. */
static void forget(void)
{
    model.modern = false;
    model.selector = model.command = 0;
    for (unsigned n = 0; n < CPUS; n++) {
        model.events[n] = 0;
        model.plugged[n] = lunik_cpu_present(board, n);
    }
}

static void run(void)
{
    lunik_error err = {0};

    if (fuzz_byte() & 1) {
        board_reset();
    } else if (!model.started) {
        fuzz_must(lunik_machine_start(board, &err), err);
    } else {
        return;
    }
    model.started = lunik_machine_state(board) != LUNIK_STATE_CREATED;
    forget();
}

static void check_cpus(void)
{
    unsigned count = 0;

    for (unsigned n = 0; n < CPUS; n++) {
        fuzz_check(lunik_cpu_present(board, n) == model.plugged[n], "CPU %u", n);
        count += model.plugged[n];
    }
    fuzz_check(lunik_cpu_count(board) == count, "%u CPUs", count);
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
        run();
        break;
    case 3:
        board_load(board_ports, PORTS + fuzz_below(40), 1u << fuzz_below(4));
        break;
    case 4:
        guest_read();
        break;
    default:
        guest_write();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_begin(data, size);
    memset(&model, 0, sizeof(model));
    model.plugged[0] = true;
    board_open("memory = '2M', cpus = 1, maxcpus = 5, acpi = false");
    while (fuzz_more()) {
        operate();
        check_cpus();
    }
    board_close();
    return 0;
}
