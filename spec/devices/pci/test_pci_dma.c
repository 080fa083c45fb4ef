/* test_pci_dma.c: the guest's bus-master bit is the gate of a PCI device's accesses to memory. */
#include "pci_rig.h"

enum { AT = PCI_DEVFN(3, 0), ADDRESS = 0xe0000 };

static lunik_error err;

static int dma_write(lunik_dma *d, uint32_t value)
{
    return lunik_dma_write(d, ADDRESS, &value, sizeof(value));
}

static void set_command(struct rig *r, uint16_t command)
{
    set_config(r, AT, LUNIK_PCI_COMMAND, 2, command);
}

static void note_idle(lunik_dma_idle *idle)
{
    idle->fn = NULL;
}

static void test_gate(struct rig *r, lunik_dma *d)
{
    check_int("off after reset", dma_write(d, 1), LUNIK_E_STATE);
    set_command(r, LUNIK_PCI_COMMAND_MEMORY);
    check_int("other bits are not it", dma_write(d, 1), LUNIK_E_STATE);
    set_command(r, LUNIK_PCI_COMMAND_MASTER);
    check_int("on", dma_write(d, 0x12345678), 0);
    check_uint("memory is written", load(r, ADDRESS, 4), 0x12345678);
    set_config(r, AT, LUNIK_PCI_COMMAND + 1, 1, 0);
    check_int("still on: another byte", dma_write(d, 2), 0);
    set_config(r, AT, LUNIK_PCI_COMMAND, 1, 0);
    check_int("off", dma_write(d, 3), LUNIK_E_STATE);
    check_uint("memory is not written", load(r, ADDRESS, 4), 2);
}

/* The device learns when no access is under way; the guest does not wait for that. */
static void test_idle(struct rig *r, lunik_dma *d)
{
    lunik_dma_idle idle = {.fn = note_idle};
    lunik_dma_mapping map;

    set_command(r, LUNIK_PCI_COMMAND_MASTER);
    check_int("mapped", lunik_dma_map(d, ADDRESS, 4, true, &map), 0);
    set_command(r, 0);
    lunik_dma_disable(d, &idle);
    lunik_run(r->rt, LUNIK_RUN_NOWAIT);
    check_true("not idle while it is mapped", idle.fn);
    check_int("unmapped", lunik_dma_unmap(&map, 4), 0);
    lunik_run(r->rt, LUNIK_RUN_NOWAIT);
    lunik_run(r->rt, LUNIK_RUN_NOWAIT);
    check_true("idle", !idle.fn);
}

static void test_several(struct rig *r, lunik_dma *first)
{
    struct probe *p = lunik_state(r->probe);
    lunik_dma *second;

    set_command(r, LUNIK_PCI_COMMAND_MASTER);
    check_int("a second one", lunik_pci_dma_new(&p->function, &second, &err), 0);
    check_int("is open at once", dma_write(second, 5), 0);
    set_command(r, 0);
    check_true("both are closed", !lunik_dma_enabled(first) && !lunik_dma_enabled(second));
    lunik_pci_dma_free(&p->function, second);
    set_command(r, LUNIK_PCI_COMMAND_MASTER);
    check_true("the other one stays", lunik_dma_enabled(first));
}

/* A function whose state is that of another opens its gates as that had. */
static void test_load(struct rig *r, lunik_dma *d)
{
    struct probe *p = lunik_state(r->probe);

    set_command(r, LUNIK_PCI_COMMAND_MASTER);
    lunik_pci_function_reset(&p->function);
    lunik_pci_set_word(p->function.config, LUNIK_PCI_COMMAND, LUNIK_PCI_COMMAND_MASTER);
    check_true("closed before", !lunik_dma_enabled(d));
    lunik_pci_function_state.loaded(&p->function);
    check_true("loading opens it", lunik_dma_enabled(d));
    lunik_pci_set_word(p->function.config, LUNIK_PCI_COMMAND, 0);
    lunik_pci_function_state.loaded(&p->function);
    check_true("or closes it", !lunik_dma_enabled(d));
}

static void test_reset(struct rig *r, lunik_dma *d)
{
    struct probe *p = lunik_state(r->probe);

    set_command(r, LUNIK_PCI_COMMAND_MASTER);
    check_int("machine reset", lunik_machine_reset(r->m, &err), 0);
    check_int("closes it", dma_write(d, 6), LUNIK_E_STATE);
    set_command(r, LUNIK_PCI_COMMAND_MASTER);
    lunik_pci_device_remove(&p->function);
    check_int("removal closes it", dma_write(d, 7), LUNIK_E_STATE);
}

int main(void)
{
    struct rig r = {0};
    struct probe *p;
    lunik_dma *d;

    rig_open(&r, LUNIK_ACCEL_NONE, true);
    p = lunik_state(r.probe);
    must("dma", lunik_pci_dma_new(&p->function, &d, &err), &err);
    test_gate(&r, d);
    test_idle(&r, d);
    test_several(&r, d);
    test_load(&r, d);
    test_reset(&r, d);
    lunik_pci_dma_free(&p->function, d);
    rig_close(&r);
    return check_result();
}
