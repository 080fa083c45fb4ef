/* test_pci_bridge.c: buses behind bridges: configuration cycles, windows, interrupts, DMA, reset.
 */
#include "pci_rig.h"
#include "pci_card.h"

#define BAR UINT32_C(0xe6000000)

enum { OUTER = PCI_DEVFN(6, 0) };

static lunik_error err;
static struct rig rig;

/* ---- configuration cycles to any bus -------------------------------------------------------- */

static uint32_t get(unsigned bus, uint8_t devfn, unsigned offset, unsigned size)
{
    out(&rig, 0xcf8, 4, 0x80000000u | bus << 16 | (uint32_t)devfn << 8 | (offset & 0xfc));
    return (uint32_t)in(&rig, (uint16_t)(0xcfc + (offset & 3)), size);
}

static void set(unsigned bus, uint8_t devfn, unsigned offset, unsigned size, uint32_t value)
{
    out(&rig, 0xcf8, 4, 0x80000000u | bus << 16 | (uint32_t)devfn << 8 | (offset & 0xfc));
    out(&rig, (uint16_t)(0xcfc + (offset & 3)), size, value);
}

static lunik_object *add_bridge(const char *id, const char *bus, const char *addr)
{
    const lunik_field props[] = {LUNIK_FIELD_STRING("id", id), LUNIK_FIELD_STRING("bus", bus),
                                 LUNIK_FIELD_STRING("addr", addr)};
    lunik_object *o = NULL;

    must(id, lunik_device_add(rig.m, "pci-bridge", props, 3, &o, &err), &err);
    return o;
}

/* Numbers the buses: 5 behind the outer bridge, 7 behind the inner one. */
static void number_buses(void)
{
    set(0, OUTER, 0x18, 4, 0x00070500);
    set(5, PCI_DEVFN(1, 0), 0x18, 4, 0x00070705);
}

static void test_cycles(void)
{
    check_uint("the bridge", get(0, OUTER, 0, 4), 0x00011b36);
    check_uint("  its header", get(0, OUTER, LUNIK_PCI_HEADER, 1), 1);
    check_uint("  its class", get(0, OUTER, LUNIK_PCI_CLASS + 1, 2), 0x0604);
    check_uint("no bus has a number yet", get(5, PCI_DEVFN(3, 0), 0, 4), UINT32_MAX);
    number_buses();
    check_uint("behind one bridge", get(5, PCI_DEVFN(3, 0), 0, 4), 0xcafe1234);
    check_uint("behind two", get(7, PCI_DEVFN(2, 0), 0, 4), 0xcafe1234);
    check_uint("an empty slot", get(7, PCI_DEVFN(3, 0), 0, 4), UINT32_MAX);
    check_uint("a number between", get(6, PCI_DEVFN(2, 0), 0, 4), UINT32_MAX);
    check_uint("a number beyond", get(8, PCI_DEVFN(2, 0), 0, 4), UINT32_MAX);
    set(0, OUTER, 0x1a, 1, 6);
    check_uint("beyond the subordinate bus", get(7, PCI_DEVFN(2, 0), 0, 4), UINT32_MAX);
    check_uint("the nearer one stays", get(5, PCI_DEVFN(3, 0), 0, 4), 0xcafe1234);
    number_buses();
}

/* ---- windows -------------------------------------------------------------------------------- */

static void test_windows(void)
{
    set(5, PCI_DEVFN(3, 0), LUNIK_PCI_BAR0, 4, BAR);
    set(5, PCI_DEVFN(3, 0), LUNIK_PCI_COMMAND, 2, LUNIK_PCI_COMMAND_MEMORY);
    check_uint("no window", load(&rig, BAR + 1, 1), 0xff);
    set(0, OUTER, 0x20, 4, BAR | BAR >> 16);
    set(0, OUTER, 0x24, 4, 0x0000fff0); /* closed */
    check_uint("the bridge decodes no memory", load(&rig, BAR + 1, 1), 0xff);
    set(0, OUTER, LUNIK_PCI_COMMAND, 2, LUNIK_PCI_COMMAND_MEMORY);
    check_uint("through the window", load(&rig, BAR + 1, 1), 0x51);
    set(5, PCI_DEVFN(3, 0), LUNIK_PCI_BAR0, 4, BAR + 0x100000);
    check_uint("beyond it", load(&rig, BAR + 0x100001, 1), 0xff);
    set(0, OUTER, 0x22, 2, (BAR + 0x100000) >> 16);
    check_uint("a larger window", load(&rig, BAR + 0x100001, 1), 0x51);
    set(0, OUTER, 0x22, 2, (BAR - 0x100000) >> 16);
    check_uint("limit below base: closed", load(&rig, BAR + 0x100001, 1), 0xff);
    set(5, PCI_DEVFN(3, 0), LUNIK_PCI_BAR0 + 4, 4, 0x10);
    set(0, OUTER, 0x28, 4, 0x10);
    set(0, OUTER, 0x2c, 4, 0x10);
    set(0, OUTER, 0x24, 4, 0xfff00000);
    check_uint("prefetchable, above 4 GiB", load(&rig, (UINT64_C(0x10) << 32) + BAR + 0x100001, 1),
               0x51);
    set(0, OUTER, 0x28, 4, 0);
    set(0, OUTER, 0x2c, 4, UINT32_MAX);
    check_uint("all addresses", load(&rig, (UINT64_C(0x10) << 32) + BAR + 0x100001, 1), 0x51);
    set(0, OUTER, 0x24, 4, 0x0000fff0);
    set(0, OUTER, 0x2c, 4, 0);
}

static void test_vga(void)
{
    set(5, PCI_DEVFN(3, 0), LUNIK_PCI_BAR0 + 4, 4, 0);
    set(5, PCI_DEVFN(3, 0), LUNIK_PCI_BAR0, 4, 0xa0000);
    check_uint("VGA memory is on the bus above", load(&rig, 0xa0001, 1), 0xff);
    set(0, OUTER, 0x3e, 1, 0x08);
    check_uint("behind the bridge", load(&rig, 0xa0001, 1), 0x51);
    check_uint("the bit reads back", get(0, OUTER, 0x3e, 1), 0x08);
    set(5, PCI_DEVFN(3, 0), LUNIK_PCI_BAR0, 4, 0xd0000000);
    check_uint("nothing else is", load(&rig, 0xd0000001, 1), 0xff);
    set(5, PCI_DEVFN(3, 0), LUNIK_PCI_BAR0, 4, 0xa0000);
    set(0, OUTER, LUNIK_PCI_COMMAND, 2, 0);
    check_uint("unless the bridge decodes no memory", load(&rig, 0xa0001, 1), 0xff);
    set(0, OUTER, LUNIK_PCI_COMMAND, 2, LUNIK_PCI_COMMAND_MEMORY);
    set(0, OUTER, 0x3e, 1, 0);
    check_uint("or the bit is cleared", load(&rig, 0xa0001, 1), 0xff);
}

/* Any values in the windows: the map follows, or the bridge says that it can't. */
static void test_random_windows(void)
{
    uint32_t seed = 77;

    for (unsigned i = 0; i < 3000; i++) {
        seed = seed * 1664525 + 1013904223;
        set(0, OUTER, 0x1c + (seed >> 8) % 20, 1, seed >> 24);
        if (!(i % 7))
            set(0, OUTER, LUNIK_PCI_COMMAND, 1, seed >> 16 & 7);
    }
    check_int("still running", (int)lunik_machine_state(rig.m), LUNIK_STATE_RUNNING);
    set(0, OUTER, LUNIK_PCI_COMMAND, 1, 0);
}

/* ---- interrupts and DMA --------------------------------------------------------------------- */

static void test_interrupts(lunik_pci_function *near, lunik_pci_function *far)
{
    lunik_pci_bus *root = card_function(lunik_object_find(rig.m, "near"))->bus->bridge->bus;

    /* INTA# of slot 3 behind the bridge in slot 6 is its INTD#, PIRQ A + (6 + 3 - 1) % 4. */
    lunik_pci_intx_set(near, true);
    check_uint("through one bridge", root->asserted[pci_pirq(OUTER, 4)], 1);
    /* INTA# of slot 2: INTC# of the bridge in slot 1, INTD# of the one in slot 6. */
    lunik_pci_intx_set(far, true);
    check_uint("through two, shared", root->asserted[pci_pirq(OUTER, 4)], 1);
    lunik_pci_intx_set(near, false);
    check_uint("still held by the other", root->asserted[pci_pirq(OUTER, 4)], 1);
    lunik_pci_intx_set(far, false);
    check_uint("released", root->asserted[pci_pirq(OUTER, 4)], 0);
}

static void test_dma(struct card *far)
{
    set(7, PCI_DEVFN(2, 0), LUNIK_PCI_COMMAND, 2, LUNIK_PCI_COMMAND_MASTER);
    check_true("not through bridges that are no masters", !lunik_dma_enabled(far->dma));
    set(0, OUTER, LUNIK_PCI_COMMAND, 2, LUNIK_PCI_COMMAND_MASTER);
    check_true("nor through one of two", !lunik_dma_enabled(far->dma));
    set(5, PCI_DEVFN(1, 0), LUNIK_PCI_COMMAND, 2, LUNIK_PCI_COMMAND_MASTER);
    check_true("through two that are", lunik_dma_enabled(far->dma));
    set(0, OUTER, LUNIK_PCI_COMMAND, 2, 0);
    check_true("the outer one closes it", !lunik_dma_enabled(far->dma));
}

/* ---- reset and state ------------------------------------------------------------------------ */

static void test_bus_reset(struct card *near, struct card *far)
{
    unsigned before = near->resets, before_far = far->resets;

    set(5, PCI_DEVFN(3, 0), LUNIK_PCI_INTERRUPT_LINE, 1, 11);
    set(0, OUTER, 0x3e, 2, 0x40);
    check_uint("the device behind it is reset", near->resets, before + 1);
    check_uint("and those behind the next bridge", far->resets, before_far + 1);
    check_uint("  registers", get(5, PCI_DEVFN(3, 0), LUNIK_PCI_INTERRUPT_LINE, 1), 0);
    check_uint("  bus numbers", get(5, PCI_DEVFN(1, 0), 0x18, 4), 0);
    check_uint("not the bridge itself", get(0, OUTER, 0x19, 1), 5);
    set(0, OUTER, 0x3e, 2, 0x40);
    check_uint("once", near->resets, before + 1);
    set(0, OUTER, 0x3e, 2, 0);
    set(0, OUTER, 0x3e, 2, 0x40);
    check_uint("and again", near->resets, before + 2);
    set(0, OUTER, 0x3e, 2, 0);
}

static void test_state(lunik_object *outer)
{
    lunik_state_buffer saved = {0};

    must("reset", lunik_machine_reset(rig.m, &err), &err);
    number_buses();
    set(5, PCI_DEVFN(3, 0), LUNIK_PCI_BAR0, 4, BAR);
    set(5, PCI_DEVFN(3, 0), LUNIK_PCI_COMMAND, 2, LUNIK_PCI_COMMAND_MEMORY);
    set(0, OUTER, 0x20, 4, BAR | BAR >> 16);
    set(0, OUTER, LUNIK_PCI_COMMAND, 2, LUNIK_PCI_COMMAND_MEMORY);
    must("pause", lunik_machine_pause(rig.m, &err), &err);
    must("save", lunik_object_save(outer, &saved, &err), &err);
    set(0, OUTER, LUNIK_PCI_COMMAND, 2, 0);
    set(0, OUTER, 0x18, 4, 0);
    check_uint("shut", load(&rig, BAR + 1, 1), 0xff);
    must("load", lunik_object_load(outer, saved.data, saved.size, &err), &err);
    check_uint("open as it was saved", load(&rig, BAR + 1, 1), 0x51);
    check_uint("with its numbers", get(0, OUTER, 0x18, 4), 0x00070500);
    lunik_state_buffer_free(&saved);
}

int main(void)
{
    lunik_object *outer, *near, *far;

    rig_make(&rig, LUNIK_ACCEL_NONE, true);
    outer = add_bridge("outer", "host", "6");
    add_bridge("inner", "outer", "1");
    near = card_add(&rig, "near", "outer", "3");
    far = card_add(&rig, "far", "inner", "2");
    must("start", lunik_machine_start(rig.m, &err), &err);
    test_cycles();
    test_windows();
    test_vga();
    test_random_windows();
    must("reset", lunik_machine_reset(rig.m, &err), &err);
    number_buses();
    test_interrupts(card_function(near), card_function(far));
    test_dma(lunik_state(far));
    test_bus_reset(lunik_state(near), lunik_state(far));
    test_state(outer);
    rig_close(&rig);
    return check_result();
}
