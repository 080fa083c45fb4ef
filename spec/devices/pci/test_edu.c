/* test_edu.c: the educational device: registers, factorials, interrupts, DMA, saved state. */
#include <string.h>
#include <unistd.h>

#include "pci_rig.h"

enum { AT = PCI_DEVFN(5, 0), BAR = 0xe7000000, RAM = 0xe0000, BUFFER = 0x40000 };

static lunik_error err;
static struct rig rig;
static lunik_object *edu;

static void set(unsigned reg, unsigned size, uint64_t value)
{
    lunik_space_store(rig.memory, BAR + reg, size, value);
}

static uint64_t get(unsigned reg, unsigned size)
{
    return load(&rig, BAR + reg, size);
}

static void pass(uint64_t ns)
{
    must("clock", lunik_clock_advance(rig.m, ns, &err), &err);
    lunik_run_timeout(rig.rt, 0);
}

static void start_over(void)
{
    must("reset", lunik_machine_reset(rig.m, &err), &err);
    set_config(&rig, AT, LUNIK_PCI_BAR0, 4, BAR);
    set_config(&rig, AT, LUNIK_PCI_COMMAND, 2, LUNIK_PCI_COMMAND_MEMORY | LUNIK_PCI_COMMAND_MASTER);
}

static void test_registers(void)
{
    start_over();
    check_uint("vendor and device", config(&rig, AT, 0, 4), 0x11e81234);
    check_uint("identification", get(0, 4), 0x010000ed);
    set(4, 4, 0x12345678);
    check_uint("liveness", get(4, 4), 0xedcba987);
    check_uint("8 bytes of a narrow register", get(0, 8), UINT64_MAX);
    set(0x20, 4, UINT32_MAX);
    check_uint("status keeps what exists", get(0x20, 4), 0x80);
    set(0x80, 8, UINT64_C(0x1122334455667788));
    set(0x84, 4, 0xaabbccdd);
    check_uint("half of a wide register", get(0x80, 8), UINT64_C(0xaabbccdd55667788));
    check_uint("  and its other half", get(0x80, 4), 0x55667788);
    check_uint("no register", get(0x1000, 4), UINT32_MAX);
}

static void test_factorial(void)
{
    start_over();
    set(8, 4, 10);
    check_uint("busy", get(0x20, 4), 1);
    set(8, 4, 3);
    check_uint("a second one is ignored", get(8, 4), 10);
    pass(1000000);
    check_uint("ready", get(0x20, 4), 0);
    check_uint("10!", get(8, 4), 3628800);
    check_uint("no interrupt was asked for", get(0x24, 4), 0);
    set(0x20, 4, 0x80);
    set(8, 4, UINT32_MAX);
    pass(1000000);
    check_uint("(2^32 - 1)! in no time", get(8, 4), 0);
    check_uint("interrupt", get(0x24, 4), 1);
}

static void test_interrupt(void)
{
    uint64_t before = lunik_msi_count(rig.m);
    unsigned msi;

    start_over();
    set(0x60, 4, 0x30);
    check_uint("status bit", config(&rig, AT, LUNIK_PCI_STATUS, 2) & LUNIK_PCI_STATUS_INTX,
               LUNIK_PCI_STATUS_INTX);
    set(0x64, 4, 0x10);
    check_uint("not all is acknowledged", get(0x24, 4), 0x20);
    set(0x64, 4, 0x20);
    check_uint("all is", config(&rig, AT, LUNIK_PCI_STATUS, 2) & LUNIK_PCI_STATUS_INTX, 0);
    check_uint("no message yet", lunik_msi_count(rig.m), before);
    msi = config(&rig, AT, LUNIK_PCI_CAPABILITIES, 1);
    check_uint("MSI", config(&rig, AT, msi, 1), LUNIK_PCI_CAP_MSI);
    set_config(&rig, AT, msi + 4, 4, 0xfee00000);
    set_config(&rig, AT, msi + 2, 2, 1);
    set(0x60, 4, 1);
    check_uint("a message", lunik_msi_count(rig.m), before + 1);
    set(0x60, 4, 0);
    check_uint("and for what is still raised", lunik_msi_count(rig.m), before + 2);
}

/* An eventfd of a vector of MSI: a signal is a message while it is on, and none is kept for later.
 */
static void test_eventfd(void)
{
    lunik_pci_function *f = lunik_pci_bus_function(lunik_object_find(rig.m, "host"), AT);
    int fd = lunik_pci_vector_fd(f, 0, &err);
    uint64_t before = lunik_msi_count(rig.m);
    unsigned msi;

    check_true("an eventfd", fd >= 0);
    check_int("of the only vector", lunik_pci_vector_fd(f, 1, &err), -1);
    start_over();
    check_int("signal", (int)write(fd, &(uint64_t){1}, 8), 8);
    lunik_run_timeout(rig.rt, 0);
    check_uint("MSI is off: nothing", lunik_msi_count(rig.m), before);
    msi = config(&rig, AT, LUNIK_PCI_CAPABILITIES, 1);
    set_config(&rig, AT, msi + 4, 4, 0xfee00000);
    set_config(&rig, AT, msi + 2, 2, 1);
    check_int("signal", (int)write(fd, &(uint64_t){1}, 8), 8);
    lunik_run_timeout(rig.rt, 0);
    check_uint("a message", lunik_msi_count(rig.m), before + 1);
}

static void test_dma(void)
{
    start_over();
    lunik_space_store(rig.memory, RAM, 8, UINT64_C(0x0123456789abcdef));
    set(0x80, 8, RAM);
    set(0x88, 8, BUFFER + 100);
    set(0x90, 8, 8);
    set(0x98, 8, 1 | 4);
    check_uint("under way", get(0x98, 8) & 1, 1);
    set(0x90, 8, 99);
    check_uint("  keeps its registers", get(0x90, 8), 8);
    pass(1000000);
    check_uint("done", get(0x98, 8) & 1, 0);
    check_uint("interrupt", get(0x24, 4), 0x100);
    set(0x80, 8, BUFFER + 104);
    set(0x88, 8, RAM + 0x100);
    set(0x90, 8, 4);
    set(0x98, 8, 1 | 2);
    pass(1000000);
    check_uint("back to memory", load(&rig, RAM + 0x100, 4), 0x01234567);
    set(0x90, 8, 4096);
    set(0x80, 8, BUFFER + 1);
    set(0x88, 8, RAM + 0x200);
    set(0x98, 8, 1 | 2);
    pass(1000000);
    check_uint("beyond the buffer: nothing", load(&rig, RAM + 0x200, 8), 0);
    set(0x80, 8, UINT64_MAX);
    set(0x90, 8, UINT64_MAX);
    set(0x98, 8, 1 | 2);
    pass(1000000);
    check_uint("any numbers", load(&rig, RAM + 0x200, 8), 0);
    set_config(&rig, AT, LUNIK_PCI_COMMAND, 2, LUNIK_PCI_COMMAND_MEMORY);
    set(0x80, 8, BUFFER + 100);
    set(0x90, 8, 4);
    set(0x98, 8, 1 | 2);
    pass(1000000);
    check_uint("not without the bus-master bit", load(&rig, RAM + 0x200, 4), 0);
}

/* A transfer that is saved while it is under way ends after it has been loaded. */
static void test_state(void)
{
    lunik_state_buffer saved = {0};

    start_over();
    lunik_space_store(rig.memory, RAM + 0x300, 4, 0);
    set(0x80, 8, BUFFER);
    set(0x88, 8, RAM + 0x300);
    set(0x90, 8, 4);
    lunik_space_store(rig.memory, RAM, 4, 0xfeedf00d);
    set(0x80, 8, RAM);
    set(0x88, 8, BUFFER);
    set(0x98, 8, 1);
    pass(1000000);
    set(0x80, 8, BUFFER);
    set(0x88, 8, RAM + 0x300);
    set(0x98, 8, 1 | 2);
    must("pause", lunik_machine_pause(rig.m, &err), &err);
    must("save", lunik_object_save(edu, &saved, &err), &err);
    must("reset", lunik_machine_reset(rig.m, &err), &err);
    check_uint("reset ends it", get(0x98, 8), UINT64_MAX);
    must("load", lunik_object_load(edu, saved.data, saved.size, &err), &err);
    check_uint("under way again", get(0x98, 8), 3);
    must("start", lunik_machine_start(rig.m, &err), &err);
    pass(1000000);
    check_uint("done", load(&rig, RAM + 0x300, 4), 0xfeedf00d);
    lunik_state_buffer_free(&saved);
}

int main(void)
{
    const lunik_field props[] = {LUNIK_FIELD_STRING("id", "edu"), LUNIK_FIELD_STRING("bus", "host"),
                                 LUNIK_FIELD_STRING("addr", "5")};

    rig_make(&rig, LUNIK_ACCEL_NONE, true);
    must("edu", lunik_device_add(rig.m, "edu", props, 3, &edu, &err), &err);
    must("start", lunik_machine_start(rig.m, &err), &err);
    test_registers();
    test_factorial();
    test_interrupt();
    test_eventfd();
    test_dma();
    test_state();
    rig_close(&rig);
    return check_result();
}
