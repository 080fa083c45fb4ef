/*
 * test_ioapic.c: the register model of an 82093AA: what its data sheet says, and random guests
 * against another model.
 *
 * usage: test_ioapic [SEED]
 */
#include <stdlib.h>
#include <time.h>

#include "check.h"
#include "ioapic_model.h"
#include "random.h"

static lunik_msi last;

static void on_send(void *opaque, unsigned pin, const lunik_msi *msg)
{
    apic_send(opaque, pin, msg);
    last = *msg;
}

static void setup(void)
{
    apic_begin();
    apic.chip.send = on_send;
    last = (lunik_msi){0};
}

static void write_register(unsigned select, uint32_t value)
{
    ioapic_write(&apic.chip, IOAPIC_SELECT, select);
    ioapic_write(&apic.chip, IOAPIC_WINDOW, value);
}

static uint32_t read_register(unsigned select)
{
    ioapic_write(&apic.chip, IOAPIC_SELECT, select);
    return ioapic_read(&apic.chip, IOAPIC_WINDOW);
}

static void redirect(unsigned pin, uint64_t entry)
{
    write_register(0x11 + 2 * pin, (uint32_t)(entry >> 32));
    write_register(0x10 + 2 * pin, (uint32_t)entry);
}

static void pulse(unsigned pin)
{
    ioapic_set_line(&apic.chip, pin, true);
    ioapic_set_line(&apic.chip, pin, false);
}

static void test_registers(void)
{
    setup();
    check_uint("version: 24 pins, EOI register", read_register(1), 0x170020);
    write_register(0, 0xff000000);
    check_uint("four bits of id", read_register(0), 0x0f000000);
    check_uint("entries are masked", read_register(0x10 + 46), 0x10000);
    redirect(23, UINT64_MAX);
    check_uint("read-only bits", read_register(0x10 + 46), 0x1afff);
    check_uint("  and reserved ones", read_register(0x11 + 46), 0xff000000);
    check_uint("no such register", read_register(0x40), 0);
}

static void test_edges(void)
{
    setup();
    pulse(4);
    check_uint("masked", apic.sent.count, 0);
    redirect(4, UINT64_C(3) << 56 | 0x34);
    check_uint("a masked edge is forgotten", apic.sent.count, 0);
    pulse(4);
    check_uint("an edge", apic.sent.count, 1);
    check_uint("  to CPU 3", last.address, 0xfee03000);
    check_uint("  vector 0x34", last.data, 0x34);
    redirect(4, UINT64_C(1) << 56 | 0x931);
    pulse(4);
    check_uint("lowest priority, logical", last.address, 0xfee01004);
    check_uint("  its data", last.data, 0x131);
    redirect(4, 0x8400);
    pulse(4);
    check_uint("an NMI has no level", last.data, 0x400);
    check_uint("  and nothing to wait for", read_register(0x18), 0x8400);
    redirect(4, 0x330);
    pulse(4);
    check_uint("a reserved mode", apic.sent.count, 3);
}

static void test_levels(void)
{
    setup();
    redirect(10, 0x8030);
    ioapic_set_line(&apic.chip, 10, true);
    check_uint("a level", last.data, 0x8030);
    check_uint("  remote IRR", read_register(0x24), 0xc030);
    ioapic_set_line(&apic.chip, 10, false);
    ioapic_set_line(&apic.chip, 10, true);
    check_uint("under way: no other", apic.sent.count, 1);
    ioapic_end(&apic.chip, 0x31);
    check_uint("an end of another vector", apic.sent.count, 1);
    ioapic_end(&apic.chip, 0x30);
    check_uint("its end: it is still high", apic.sent.count, 2);
    ioapic_set_line(&apic.chip, 10, false);
    ioapic_write(&apic.chip, IOAPIC_EOI, 0x30);
    check_uint("the EOI register: it is low", apic.sent.count, 2);
    check_uint("  no remote IRR", read_register(0x24), 0x8030);
    redirect(10, 0x18030);
    ioapic_set_line(&apic.chip, 10, true);
    check_uint("masked", apic.sent.count, 2);
    redirect(10, 0x8030);
    check_uint("unmasked: it asks", apic.sent.count, 3);
    redirect(10, 0x10030);
    redirect(10, 0x8030);
    check_uint("edge and back ends it without an EOI", apic.sent.count, 4);
}

static void test_shared_vector(void)
{
    setup();
    redirect(10, 0x8030);
    redirect(11, 0x8030);
    ioapic_set_line(&apic.chip, 10, true);
    ioapic_set_line(&apic.chip, 11, true);
    ioapic_set_line(&apic.chip, 10, false);
    ioapic_end(&apic.chip, 0x30);
    check_uint("the end is that of both", apic.sent.count, 3);
    check_uint("  and the one that is high asks", apic.sent.pin, 11);
}

static void test_routes(void)
{
    lunik_msi msg;

    setup();
    redirect(5, 0x18040);
    check_uint("a masked pin changes nothing", apic.changes, 0);
    redirect(5, 0x8040);
    check_uint("an unmasked one does", apic.changes, 1);
    check_true("  it has a message", ioapic_message(&apic.chip, 5, &msg) && msg.data == 0x8040);
    redirect(5, 0x8040);
    check_uint("the same again does not", apic.changes, 1);
    ioapic_set_line(&apic.chip, 5, true);
    redirect(5, 0x18040);
    check_uint("under way it keeps its route", apic.changes, 1);
    ioapic_end(&apic.chip, 0x40);
    check_uint("  until the end", apic.changes, 2);
    check_true("  then it has none", !ioapic_message(&apic.chip, 5, &msg));
}

/* The local APIC that has taken an interrupt ends it, wherever the next one goes. */
static void test_moved(void)
{
    lunik_msi msg;

    setup();
    redirect(5, 0x8040);
    ioapic_set_line(&apic.chip, 5, true);
    write_register(0x11 + 2 * 5, 1u << 24);
    check_uint("under way it keeps its destination", apic.changes, 1);
    check_true("  the first", ioapic_message(&apic.chip, 5, &msg) && msg.address == 0xfee00000);
    ioapic_end(&apic.chip, 0x40);
    check_uint("  until the end", apic.changes, 2);
    check_uint("the next goes elsewhere", last.address, 0xfee01000);
    check_uint("  once it is known where", apic.shown[5].address, last.address);
}

static uint32_t number(void)
{
    return chance(1u << 31) ^ chance(1u << 31) << 1;
}

static void test_random(uint64_t seed)
{
    enum { ROUNDS = 300, STEPS = 500 };
    bool ok = true;

    printf("# seed %" PRIu64 "\n", seed);
    for (unsigned i = 0; ok && i < ROUNDS; i++) {
        random_state = (seed + i) * 0xd1342543de82ef95u;
        apic_begin();
        for (unsigned step = 0; ok && step < STEPS; step++)
            ok = apic_step(number);
        if (!ok)
            printf("# seed %" PRIu64 ": %s\n", seed + i, apic.wrong);
    }
    check_true("random guests", ok);
}

int main(int argc, char **argv)
{
    test_registers();
    test_edges();
    test_levels();
    test_shared_vector();
    test_routes();
    test_moved();
    test_random(argc > 1 ? strtoull(argv[1], NULL, 10) : (uint64_t)time(NULL));
    return check_result();
}
