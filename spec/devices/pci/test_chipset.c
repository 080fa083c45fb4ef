/* test_chipset.c: i440FX, PIIX3 and PIIX4 PM on a machine without vCPUs, driven through its ports
 * and memory, with a PCI device of our own. */
#include "pci_rig.h"

/* ---- tests ---------------------------------------------------------------------------------- */

static void test_ids(struct rig *r)
{
    check_uint("82441FX", config(r, PCI_DEVFN(0, 0), 0, 4), 0x12378086);
    check_uint("PIIX3", config(r, PCI_DEVFN(1, 0), 0, 4), 0x70008086);
    check_uint("PIIX4 PM", config(r, PCI_DEVFN(1, 3), 0, 4), 0x71138086);
    check_uint("PIIX3 has functions", config(r, PCI_DEVFN(1, 0), LUNIK_PCI_HEADER, 1), 0x80);
    check_uint("no function at 2.0", config(r, PCI_DEVFN(2, 0), 0, 4), UINT32_MAX);
    out(r, 0xcf8, 4, 0x80000803);
    check_uint("address latch", in(r, 0xcf8, 4), 0x80000803);
    out(r, 0xcf8, 1, 0);
    out(r, 0xcfa, 2, 0);
    out(r, 0xcf8, 2, 0);
    out(r, 0xcfa, 1, 0);
    check_uint("only dwords change it", in(r, 0xcf8, 4), 0x80000803);
    check_uint("only dwords read it", in(r, 0xcf8, 1), 0xff);
    check_uint("reset control is another register", in(r, 0xcf9, 1), 0);
}

/* Guests name a byte in the latch, at the data port, or in both places. */
static void test_bytes_of_a_dword(struct rig *r)
{
    out(r, 0xcf8, 4, 0x80000000);
    check_uint("an unaligned word", in(r, 0xcfd, 2), 0x3780);
    out(r, 0xcf8, 4, 0x80000001);
    check_uint("a byte named by the latch", in(r, 0xcfc, 1), 0x80);
    check_uint("a word", in(r, 0xcfc, 2), 0x3780);
    check_uint("a byte named by both", in(r, 0xcfd, 1), 0x80);
    check_uint("their bits are or'ed", in(r, 0xcfe, 1), 0x12);
    out(r, 0xcf8, 4, 0x8000003c);
    out(r, 0xcfd, 2, 0xffff);
    check_uint("an unaligned word changes no other byte", in(r, 0xcfc, 1), 0);
    out(r, 0xcf8, 4, 0x800000ff);
    check_uint("nothing follows the last register", in(r, 0xcfc, 4), 0);
    out(r, 0xcfc, 4, UINT32_MAX);
    check_uint("nor begins anew", config(r, PCI_DEVFN(0, 0), LUNIK_PCI_COMMAND, 2), 0x0006);
}

static void test_bars(struct rig *r)
{
    const uint8_t at = PCI_DEVFN(3, 0);

    set_config(r, at, 0x10, 4, UINT32_MAX);
    check_uint("io BAR size", config(r, at, 0x10, 4), 0xffffffe1);
    set_config(r, at, 0x14, 4, UINT32_MAX);
    check_uint("memory BAR size", config(r, at, 0x14, 4), 0xfffff000);
    set_config(r, at, 0x18, 4, UINT32_MAX);
    set_config(r, at, 0x1c, 4, UINT32_MAX);
    check_uint("64-bit BAR size, low", config(r, at, 0x18, 4), 0x00000004);
    check_uint("64-bit BAR size, high", config(r, at, 0x1c, 4), 0xfffffffe);
    set_config(r, at, LUNIK_PCI_COMMAND, 2, LUNIK_PCI_COMMAND_IO | LUNIK_PCI_COMMAND_MEMORY);
    check_uint("a BAR being sized does not decode", load(r, 0xfffff000, 1), 0xff);

    set_config(r, at, 0x10, 4, 0xc000);
    set_config(r, at, 0x14, 4, 0xe1000000);
    set_config(r, at, 0x18, 4, 0);
    set_config(r, at, 0x1c, 4, 0x10);
    check_uint("io decodes", in(r, 0xc003, 1), 0x53);
    check_uint("memory decodes", load(r, 0xe1000004, 1), 0x54);
    check_uint("64-bit memory decodes", load(r, UINT64_C(0x1000000005), 1), 0x55);
    set_config(r, at, 0x14, 4, 0xe2000000);
    check_uint("moved away", load(r, 0xe1000004, 1), 0xff);
    check_uint("moved there", load(r, 0xe2000004, 1), 0x54);
    set_config(r, at, LUNIK_PCI_COMMAND, 2, LUNIK_PCI_COMMAND_IO);
    check_uint("memory off", load(r, 0xe2000004, 1), 0xff);
    check_uint("io still on", in(r, 0xc003, 1), 0x53);
    set_config(r, at, 0x10, 4, 0x70000);
    check_uint("an io address beyond 64 KiB does not decode", in(r, 0xc003, 1), 0xff);
    set_config(r, at, 0x10, 4, 0xce0);
    check_uint("the board's ports win over BARs", in(r, 0xcf9, 1), 0);
    set_config(r, at, LUNIK_PCI_COMMAND, 2, 0);
}

static void test_routing(struct rig *r)
{
    struct probe *p = lunik_state(r->probe);

    /* INTA# of slot 3 is PIRQC */
    lunik_pci_intx_set(&p->function, true);
    check_uint("PIRQC goes where the board said", lunik_gsi_level(r->m, 11), 1);
    set_config(r, PCI_DEVFN(1, 0), 0x62, 1, 10);
    check_uint("rerouted: old line", lunik_gsi_level(r->m, 11), 0);
    check_uint("rerouted: new line", lunik_gsi_level(r->m, 10), 1);
    set_config(r, PCI_DEVFN(1, 0), 0x62, 1, 0x80);
    check_uint("disconnected", lunik_gsi_level(r->m, 10), 0);
    set_config(r, PCI_DEVFN(1, 0), 0x62, 1, 8);
    check_uint("IRQ 8 can't be routed to", lunik_gsi_level(r->m, 8), 0);
    set_config(r, PCI_DEVFN(1, 0), 0x62, 1, 11);
    check_uint("connected again", lunik_gsi_level(r->m, 11), 1);
    lunik_pci_intx_set(&p->function, false);
    check_uint("lowered", lunik_gsi_level(r->m, 11), 0);

    check_uint("ELCR after reset", in(r, 0x4d0, 2), 0x0800);
    out(r, 0x4d0, 2, 0xffff);
    check_uint("ELCR has only lines that can be level", in(r, 0x4d0, 2), 0xdef8);
    out(r, 0x4d1, 1, 0);
    check_uint("ELCR by bytes", in(r, 0x4d0, 2), 0x00f8);
}

static void set_pam(struct rig *r, unsigned offset, uint8_t value)
{
    set_config(r, PCI_DEVFN(0, 0), offset, 1, value);
}

static void store(struct rig *r, uint64_t address, unsigned size, uint64_t value)
{
    lunik_space_store(r->memory, address, size, value);
}

static void test_pam(struct rig *r)
{
    store(r, 0xd4000, 4, 0x11111111);
    check_uint("PAM off: writes are lost, reads find nothing", load(r, 0xd4000, 4), 0xffffffff);
    set_pam(r, 0x5c, 0x20);
    store(r, 0xd4000, 4, 0x22222222);
    check_uint("PAM write only: reads go to PCI", load(r, 0xd4000, 4), 0xffffffff);
    set_pam(r, 0x5c, 0x10);
    check_uint("PAM read only: what was written", load(r, 0xd4000, 4), 0x22222222);
    store(r, 0xd4000, 4, 0x33333333);
    check_uint("PAM read only: writes are lost", load(r, 0xd4000, 4), 0x22222222);
    set_pam(r, 0x5c, 0x30);
    store(r, 0xd7ffc, 4, 0x44444444);
    check_uint("PAM read and write", load(r, 0xd7ffc, 4), 0x44444444);
    check_uint("PAM: the next segment is its own", load(r, 0xd8000, 4), 0xffffffff);
    set_pam(r, 0x59, 0xff);
    check_uint("PAM0 has one segment", config(r, 0, 0x59, 1), 0x30);
    store(r, 0xffffc, 4, 0x55555555);
    check_uint("PAM: the last dword", load(r, 0xffffc, 4), 0x55555555);
    check_uint("PAM: 0xf0000 shows the same", load(r, 0xf0000, 4), 0);
    set_pam(r, 0x59, 0);
    set_pam(r, 0x5c, 0);
    check_uint("PAM off again", load(r, 0xd4000, 4), 0xffffffff);
    check_uint("the VGA hole is no RAM", load(r, 0xa0000, 4), 0xffffffff);
}

static void test_pm(struct rig *r)
{
    check_uint("PM ports", in(r, 0x608, 4), 0);
    lunik_clock_advance(r->m, 1000000000, NULL);
    check_uint("PM timer", in(r, 0x608, 4), 3579545);
    check_uint("PM timer, an unaligned word", in(r, 0x609, 2), 3579545 >> 8);
    out(r, 0x601, 2, 0x0100); /* the enable bits are at 0x602 */
    check_uint("PM events, an unaligned word", in(r, 0x601, 2), 0x0100);
    out(r, 0xafe1, 2, 0x0800);
    check_uint("general-purpose events, an unaligned word", in(r, 0xafe1, 2), 0x0800);
    out(r, 0x602, 2, 0);
    out(r, 0xafe2, 2, 0);
    out(r, 0xb2, 2, 0x5500);
    check_uint("command and status port in a word", in(r, 0xb2, 2), 0x5500);
    check_uint("SMBus, an unaligned word", in(r, 0x701, 2), 0);
    out(r, 0xb2, 1, 0xf1);
    check_uint("ACPI on", in(r, 0x604, 2), 1);
    out(r, 0x602, 2, 1);
    lunik_clock_advance(r->m, 2000000000, NULL);
    check_uint("timer overflow raises SCI", lunik_gsi_level(r->m, 9), 1);
    out(r, 0x600, 2, 1);
    check_uint("cleared", lunik_gsi_level(r->m, 9), 0);
    out(r, 0xb2, 1, 0xf0);
    check_uint("ACPI off", in(r, 0x604, 2), 0);
    check_uint("command port reads back", in(r, 0xb2, 1), 0xf0);

    set_config(r, PCI_DEVFN(1, 3), 0x40, 4, 0xb001);
    check_uint("PM ports moved away", in(r, 0x608, 4), 0xffffffff);
    check_uint("PM ports moved there", in(r, 0xb008, 4), 3 * UINT64_C(3579545));
    set_config(r, PCI_DEVFN(1, 3), 0x80, 1, 0);
    check_uint("PM ports off", in(r, 0xb008, 4), 0xffffffff);
    check_uint("SMBus", in(r, 0x702, 1), 0);
    set_config(r, PCI_DEVFN(1, 3), 0xd2, 1, 0);
    check_uint("SMBus off", in(r, 0x702, 1), 0xff);
    must("reset", lunik_machine_reset(r->m, NULL), &(lunik_error){0});
    check_uint("PM ports are back after reset", in(r, 0x600, 4), 0);
    check_uint("SMBus too", in(r, 0x702, 1), 0);
}

static void test_exits(struct rig *r)
{
    out(r, 0xcf9, 1, 0x02);
    check_uint("reset type alone", in(r, 0xcf9, 1), 0x02);
    store(r, 0xcf8, 4, 0);
    out(r, 0xcf8, 4, 0x80000000);
    out(r, 0xcf9, 1, 0x06);
    lunik_run_timeout(r->rt, 0);
    check_uint("reset through 0xcf9", in(r, 0xcf8, 4), 0);
    check_uint("leaves its register zero", in(r, 0xcf9, 1), 0);
    check_uint("machine runs on", lunik_machine_state(r->m), LUNIK_STATE_RUNNING);
    out(r, 0x604, 2, 0x2000);
    lunik_run_timeout(r->rt, 0);
    check_uint("S5 ends the machine", lunik_machine_state(r->m), LUNIK_STATE_SHUTDOWN);
}

/* Mistakes of a device's author are reported. */
static void test_refusals(struct rig *r)
{
    struct probe *probe = lunik_state(r->probe);
    lunik_object *host = lunik_object_find(r->m, "host");
    lunik_pci_function f;
    lunik_error err;

    lunik_pci_function_init(&f, r->probe, 1, 2, 3, 4);
    check_int("not a bus", lunik_pci_device_add(r->probe, "5", &f, &err), LUNIK_E_INVALID);
    check_true("named", strstr(err.message, "bus: ") && strstr(err.message, "is no PCI bus"));
    check_int("on a bus already", lunik_pci_device_add(host, "6", &probe->function, &err),
              LUNIK_E_EXISTS);
    check_true("with its address", strstr(err.message, "is at PCI address 3.0 already"));
    check_int("an address taken", lunik_pci_device_add(host, "3.0", &f, &err), LUNIK_E_EXISTS);
    check_int("no address", lunik_pci_device_add(host, "3.8", &f, &err), LUNIK_E_INVALID);
    check_int("a second region for a BAR",
              lunik_pci_bar_init(&probe->function, 0, LUNIK_PCI_BAR_MEM32, probe->bars[1], &err),
              LUNIK_E_INVALID);
    check_int("a BAR that does not exist",
              lunik_pci_bar_init(&f, 5, LUNIK_PCI_BAR_MEM64, probe->bars[1], &err),
              LUNIK_E_INVALID);
    check_int("a size that ports can't have",
              lunik_pci_bar_init(&f, 0, LUNIK_PCI_BAR_IO, probe->bars[2], &err), LUNIK_E_INVALID);
}

int main(void)
{
    struct rig r = {0};

    rig_open(&r, LUNIK_ACCEL_NONE, false);
    test_ids(&r);
    test_refusals(&r);
    test_bytes_of_a_dword(&r);
    test_bars(&r);
    test_routing(&r);
    test_pam(&r);
    test_pm(&r);
    test_exits(&r);
    rig_close(&r);

    rig_open(&r, LUNIK_ACCEL_NONE, true);
    store(&r, 0xe0000, 4, 0x12345678);
    check_uint("shadow: RAM after reset", load(&r, 0xe0000, 4), 0x12345678);
    rig_close(&r);
    return check_result();
}
