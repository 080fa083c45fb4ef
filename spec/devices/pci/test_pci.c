/* test_pci.c: PCI configuration spaces, mechanism 1 and interrupt wiring, without a machine. */

#include "devices/pci/pci.h"
#include "check.h"

/* Devices embed it: it must not grow. */
static void test_size(void)
{
    check_uint("the size of a function", sizeof(lunik_pci_function), 1216);
}

static void test_header(void)
{
    lunik_pci_bus bus = {0};
    lunik_pci_function f;

    lunik_pci_function_init(&f, NULL, 0x8086, 0x7113, 3, 0x068000);
    check_uint("add", (uint64_t)pci_bus_add(&bus, &f, PCI_DEVFN(1, 3), NULL), 0);
    check_uint("vendor and device", lunik_pci_config_read(&f, 0, 4), 0x71138086);
    check_uint("class and revision", lunik_pci_config_read(&f, 8, 4), 0x06800003);

    lunik_pci_config_write(&f, 0, 4, 0);
    check_uint("identification is read-only", lunik_pci_config_read(&f, 0, 4), 0x71138086);
    lunik_pci_config_write(&f, LUNIK_PCI_COMMAND, 2, 0xffff);
    check_uint("command keeps what exists", lunik_pci_config_read(&f, LUNIK_PCI_COMMAND, 2),
               0x0407);
    lunik_pci_config_write(&f, LUNIK_PCI_INTERRUPT_LINE, 1, 0x0b);
    check_uint("interrupt line", lunik_pci_config_read(&f, LUNIK_PCI_INTERRUPT_LINE, 4), 0x0b);
    lunik_pci_config_write(&f, LUNIK_PCI_BAR0, 4, UINT32_MAX);
    check_uint("an absent BAR is zero", lunik_pci_config_read(&f, LUNIK_PCI_BAR0, 4), 0);

    lunik_pci_set_word(f.config, LUNIK_PCI_STATUS, 0xf900);
    lunik_pci_config_write(&f, LUNIK_PCI_STATUS, 2, 0x8100);
    check_uint("status bits are cleared by ones", lunik_pci_config_read(&f, LUNIK_PCI_STATUS, 2),
               0x7800);
    lunik_pci_config_write(&f, LUNIK_PCI_STATUS, 2, 0);
    check_uint("and kept by zeros", lunik_pci_config_read(&f, LUNIK_PCI_STATUS, 2), 0x7800);

    lunik_pci_function_reset(&f);
    check_uint("reset: command", lunik_pci_config_read(&f, LUNIK_PCI_COMMAND, 4), 0);
    check_uint("reset: interrupt line", lunik_pci_config_read(&f, LUNIK_PCI_INTERRUPT_LINE, 1), 0);
    lunik_pci_device_remove(&f);
}

static void test_mechanism1(void)
{
    lunik_pci_bus bus = {0};
    lunik_pci_function f, g;
    lunik_error err;

    lunik_pci_function_init(&f, NULL, 0x1234, 0x5678, 0, 0);
    lunik_pci_function_init(&g, NULL, 0x1234, 0x9abc, 0, 0);
    pci_bus_add(&bus, &f, PCI_DEVFN(2, 0), NULL);
    check_uint("dword", pci_mechanism1_read(&bus, 0x80001000, 0, 4), 0x56781234);
    check_uint("upper word", pci_mechanism1_read(&bus, 0x80001000, 2, 2), 0x5678);
    check_uint("byte 1", pci_mechanism1_read(&bus, 0x80001000, 1, 1), 0x12);
    check_uint("bytes 1 and 2", pci_mechanism1_read(&bus, 0x80001000, 1, 2), 0x7812);
    check_uint("byte 1, by the latch", pci_mechanism1_read(&bus, 0x80001001, 0, 1), 0x12);
    check_uint("or'ed with the offset", pci_mechanism1_read(&bus, 0x80001001, 2, 1), 0x56);
    check_uint("disabled", pci_mechanism1_read(&bus, 0x00001000, 0, 4), UINT32_MAX);
    check_uint("absent function", pci_mechanism1_read(&bus, 0x80001100, 0, 4), UINT32_MAX);
    check_uint("absent bus", pci_mechanism1_read(&bus, 0x80011000, 0, 4), UINT32_MAX);
    pci_mechanism1_write(&bus, 0x8000103c, 0, 1, 0x55);
    check_uint("write", f.config[LUNIK_PCI_INTERRUPT_LINE], 0x55);
    pci_mechanism1_write(&bus, 0x8001103c, 0, 1, 0xaa);
    check_uint("write to an absent bus is dropped", f.config[LUNIK_PCI_INTERRUPT_LINE], 0x55);
    pci_mechanism1_read(&bus, 0x800010fc, 3, 1);
    check_uint("last byte", pci_mechanism1_read(&bus, 0x800010fc, 3, 1), 0);
    lunik_pci_device_remove(&f);
    check_uint("removed", pci_mechanism1_read(&bus, 0x80001000, 0, 4), UINT32_MAX);
    check_uint("free again", (uint64_t)pci_bus_add(&bus, &g, PCI_DEVFN(2, 0), &err), 0);
    lunik_pci_device_remove(&g);
}

static unsigned lines; /* as the router has been told */

static void route(void *opaque, unsigned pirq, bool level)
{
    unsigned *calls = opaque;

    ++*calls;
    lines = (lines & ~(1u << pirq)) | (unsigned)level << pirq;
}

static void test_interrupts(void)
{
    lunik_pci_bus bus = {0};
    lunik_pci_function f, g;
    unsigned calls = 0;

    lines = 0;
    check_uint("INTA# of slot 0 is PIRQD", pci_pirq(PCI_DEVFN(0, 0), 1), 3);
    check_uint("INTA# of slot 1 is PIRQA", pci_pirq(PCI_DEVFN(1, 0), 1), 0);
    check_uint("INTB# of slot 1 is PIRQB", pci_pirq(PCI_DEVFN(1, 0), 2), 1);
    check_uint("INTD# of slot 31 is PIRQB", pci_pirq(PCI_DEVFN(31, 7), 4), 1);

    lunik_pci_function_init(&f, NULL, 1, 1, 0, 0);
    lunik_pci_function_init(&g, NULL, 1, 2, 0, 0);
    f.initial[LUNIK_PCI_INTERRUPT_PIN] = g.initial[LUNIK_PCI_INTERRUPT_PIN] = 1;
    pci_bus_add(&bus, &f, PCI_DEVFN(3, 0), NULL);
    pci_bus_add(&bus, &g, PCI_DEVFN(7, 0), NULL);
    lunik_pci_intx_set(&f, true);
    pci_bus_set_router(&bus, route, &calls);
    check_uint("a late router hears of high lines", lines, 1u << 2);
    lunik_pci_intx_set(&g, true);
    check_uint("a shared line rises once", calls, 1);
    lunik_pci_intx_set(&f, false);
    check_uint("stays high for the other", lines, 1u << 2);
    check_uint("status says who", lunik_pci_config_read(&g, LUNIK_PCI_STATUS, 2),
               LUNIK_PCI_STATUS_INTX);
    lunik_pci_config_write(&g, LUNIK_PCI_COMMAND, 2, LUNIK_PCI_COMMAND_INTX_OFF);
    check_uint("the guest can switch it off", lines, 0);
    check_uint("status still tells", lunik_pci_config_read(&g, LUNIK_PCI_STATUS, 2),
               LUNIK_PCI_STATUS_INTX);
    lunik_pci_config_write(&g, LUNIK_PCI_COMMAND, 2, 0);
    check_uint("and on again", lines, 1u << 2);
    lunik_pci_function_reset(&g);
    check_uint("reset lowers it", lines, 0);
    lunik_pci_intx_set(&f, true);
    lunik_pci_device_remove(&f);
    check_uint("removal lowers it", lines, 0);
    lunik_pci_device_remove(&g);
}

static void test_addresses(void)
{
    static const struct {
        const char *text;
        int code;
        uint8_t devfn;
    } cases[] = {
        {"0.0", 0, 0},
        {"1.3", 0, 0x0b},
        {"1f.7", 0, 0xff},
        {"A", 0, 0x50},
        {"", LUNIK_E_INVALID, 0},
        {"20.0", LUNIK_E_INVALID, 0},
        {"1.8", LUNIK_E_INVALID, 0},
        {"1.", LUNIK_E_INVALID, 0},
        {".1", LUNIK_E_INVALID, 0},
        {"-1", LUNIK_E_INVALID, 0},
        {"1.-1", LUNIK_E_INVALID, 0},
        {"1.3x", LUNIK_E_INVALID, 0},
        {"x", LUNIK_E_INVALID, 0},
        {"100000000000000000000", LUNIK_E_INVALID, 0},
        {NULL, LUNIK_E_INVALID, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char name[64];
        uint8_t devfn = 0;

        snprintf(name, sizeof name, "address '%s'", cases[i].text ? cases[i].text : "(null)");
        int rc = pci_parse_addr(cases[i].text, &devfn, NULL);
        check_uint(name, (uint64_t)rc, (uint64_t)cases[i].code);
        check_uint(name, devfn, cases[i].devfn);
    }
}

int main(void)
{
    test_size();
    test_header();
    test_mechanism1();
    test_interrupts();
    test_addresses();
    return check_result();
}
