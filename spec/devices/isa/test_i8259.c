/*
 * test_i8259.c: the register model of a pair of 8259As: what its data sheet says, and random guests
 * against another model.
 *
 * usage: test_i8259 [SEED]
 */
#include <stdlib.h>
#include <time.h>

#include "chip_bench.h"
#include "i8259_model.h"
#include "random.h"

static struct i8259_pair p;
static struct chip_line intr;

static void command(unsigned which, uint8_t value)
{
    i8259_write(&p, (enum i8259_which)which, 0, value);
}

static void data(unsigned which, uint8_t value)
{
    i8259_write(&p, (enum i8259_which)which, 1, value);
}

/* Vectors 0x20 and 0x28, nothing masked. */
static void setup(uint8_t icw4)
{
    uint16_t elcr = i8259_elcr(&p);

    i8259_init(&p);
    i8259_set_elcr(&p, elcr);
    intr = (struct chip_line){0};
    chip_line_connect(&p.intr, &intr);
    for (unsigned i = 0; i < 2; i++) {
        command(i, 0x11);
        data(i, (uint8_t)(0x20 + 8 * i));
        data(i, i ? 2 : 4);
        data(i, icw4);
    }
}

static void set_high(unsigned irq)
{
    i8259_set_line(&p, irq, true);
}

static void set_low(unsigned irq)
{
    i8259_set_line(&p, irq, false);
}

static unsigned isr(unsigned which)
{
    command(which, 0x0b);
    return i8259_read(&p, (enum i8259_which)which, 0);
}

static unsigned irr(unsigned which)
{
    command(which, 0x0a);
    return i8259_read(&p, (enum i8259_which)which, 0);
}

static void test_edges(void)
{
    setup(1);
    check_uint("nothing asks", intr.level, false);
    set_high(4);
    check_uint("an edge asks", intr.level, true);
    check_uint("  and is shown", irr(0), 0x10);
    check_uint("its vector", i8259_acknowledge(&p), 0x24);
    check_uint("in service", isr(0), 0x10);
    check_uint("  the output falls", intr.level, false);
    set_high(6);
    check_uint("a lower one waits", intr.level, false);
    set_high(1);
    check_uint("a higher one does not", i8259_acknowledge(&p), 0x21);
    command(0, 0x20);
    check_uint("an EOI ends the highest", isr(0), 0x10);
    command(0, 0x20);
    check_uint("then the lower one comes", i8259_acknowledge(&p), 0x26);
    command(0, 0x66);
    check_uint("a specific EOI", isr(0), 0);
    set_low(4);
    check_uint("no edge without a fall", intr.level, false);
    set_high(4);
    check_uint("the next edge", i8259_acknowledge(&p), 0x24);
}

static void test_masks(void)
{
    setup(1);
    data(0, 0xff);
    set_high(3);
    check_uint("masked", intr.level, false);
    check_uint("but remembered", irr(0), 0x08);
    data(0, 0xf7);
    check_uint("until it is unmasked", intr.level, true);
    check_uint("the mask is read", i8259_read(&p, I8259_MASTER, 1), 0xf7);
    data(0, 0xff);
    check_uint("masked again", intr.level, false);
    check_uint("acknowledged all the same: spurious", i8259_acknowledge(&p), 0x27);
    check_uint("  is not in service", isr(0), 0);
}

static void test_levels(void)
{
    setup(1);
    i8259_set_elcr(&p, 0xffff);
    check_uint("ELCR", i8259_elcr(&p), 0xdef8);
    set_high(10);
    check_uint("a level on the second", i8259_acknowledge(&p), 0x2a);
    check_uint("  is in service there", isr(1), 0x04);
    check_uint("  and at the cascade", isr(0), 0x04);
    command(1, 0x20);
    command(0, 0x20);
    check_uint("it asks again", intr.level, true);
    setup(1);
    set_high(5);
    check_uint("a level on the first", i8259_acknowledge(&p), 0x25);
    command(0, 0x20);
    check_uint("  asks again", intr.level, true);
    set_low(5);
    check_uint("until it falls", intr.level, false);
    set_high(5);
    set_low(5);
    check_uint("a level is not remembered", irr(0), 0);
}

/* The cascade has seen an edge, but the level is gone. */
static void test_spurious(void)
{
    setup(1);
    i8259_set_elcr(&p, 0x0400);
    set_high(10);
    set_low(10);
    check_uint("the first has the edge", irr(0), 0x04);
    check_uint("spurious interrupt 15", i8259_acknowledge(&p), 0x2f);
    check_uint("  leaves the cascade in service", isr(0), 0x04);
    check_uint("  and nothing else", isr(1), 0);
    command(0, 0x20);
    check_uint("spurious interrupt 7", i8259_acknowledge(&p), 0x27);
}

static void test_cascade(void)
{
    i8259_set_elcr(&p, 0);
    setup(1);
    set_high(12);
    check_uint("by the cascade", i8259_acknowledge(&p), 0x2c);
    set_high(8);
    check_uint("a higher one is held by the first", intr.level, false);
    command(0, 0x20);
    check_uint("until its EOI", i8259_acknowledge(&p), 0x28);
    setup(0x11);
    set_high(12);
    i8259_acknowledge(&p);
    set_high(8);
    check_uint("not in special fully nested mode", i8259_acknowledge(&p), 0x28);
    setup(3);
    set_high(8);
    set_high(9);
    check_uint("AEOI", i8259_acknowledge(&p), 0x28);
    check_uint("  nothing in service", isr(1) | isr(0), 0);
    check_uint("  the next has an edge as well", i8259_acknowledge(&p), 0x29);
}

static void test_priorities(void)
{
    setup(1);
    command(0, 0xc3);
    set_high(3);
    set_high(4);
    check_uint("set priority: 3 is lowest", i8259_acknowledge(&p), 0x24);
    command(0, 0xa0);
    set_low(4);
    set_high(4);
    check_uint("rotate on EOI: 4 is lowest", i8259_acknowledge(&p), 0x23);
    command(0, 0xe3);
    check_uint("rotate on specific EOI", i8259_acknowledge(&p), 0x24);
    setup(3);
    command(0, 0x80);
    set_high(0);
    i8259_acknowledge(&p);
    set_low(0);
    set_high(0);
    set_high(7);
    check_uint("rotate on AEOI: 0 is lowest", i8259_acknowledge(&p), 0x27);
}

static void test_special_mask(void)
{
    setup(1);
    set_high(2 + 1);
    i8259_acknowledge(&p);
    set_high(6);
    command(0, 0x68);
    check_uint("special mask mode: not yet", intr.level, false);
    data(0, 0x08);
    check_uint("the masked one lets lower ones pass", i8259_acknowledge(&p), 0x26);
    command(0, 0x20);
    check_uint("an EOI leaves it alone", isr(0), 0x08);
    command(0, 0x48);
    command(0, 0x20);
    check_uint("outside the mode it does not", isr(0), 0);
}

static void test_poll(void)
{
    setup(1);
    command(0, 0x0c);
    check_uint("poll: nothing", i8259_read(&p, I8259_MASTER, 0), 0);
    check_uint("then the register again", i8259_read(&p, I8259_MASTER, 0), 0);
    set_high(9);
    command(0, 0x0c);
    check_uint("poll: the cascade", i8259_read(&p, I8259_MASTER, 0), 0x82);
    command(1, 0x0c);
    check_uint("poll of the second", i8259_read(&p, I8259_SLAVE, 0), 0x81);
    check_uint("in service", isr(1), 0x02);
}

static void test_initialization(void)
{
    setup(1);
    i8259_set_elcr(&p, 0x0200);
    set_high(1);
    set_high(9);
    data(0, 0x55);
    command(0, 0x11);
    check_uint("ICW1 clears the mask", i8259_read(&p, I8259_MASTER, 1), 0);
    check_uint("  and edges", irr(0) & 0xfb, 0);
    command(1, 0x12);
    check_uint("  but not levels", irr(1), 0x02);
    data(1, 0x77);
    data(1, 0xa5);
    check_uint("a single one without ICW4 has no more words", i8259_read(&p, I8259_SLAVE, 1), 0xa5);
    check_uint("vectors are multiples of 8", p.pic[I8259_SLAVE].base, 0x70);
    i8259_reset(&p);
    check_uint("power-on", p.pic[I8259_SLAVE].base | intr.level, 0);
    check_uint("  keeps the ELCR", i8259_elcr(&p), 0x0200);
}

/* ---- random ---------------------------------------------------------------------------------- */

static uint32_t number(void)
{
    return chance(1u << 31);
}

static void test_random(uint64_t seed)
{
    enum { ROUNDS = 400, STEPS = 500 };
    bool ok = true;

    printf("# seed %" PRIu64 "\n", seed);
    for (unsigned i = 0; ok && i < ROUNDS; i++) {
        random_state = (seed + i) * 0xd1342543de82ef95u;
        pair_begin();
        for (unsigned step = 0; ok && step < STEPS; step++)
            ok = pair_step(number);
        if (!ok)
            printf("# seed %" PRIu64 ": %s\n", seed + i, wrong);
    }
    check_true("random guests", ok);
}

int main(int argc, char **argv)
{
    test_edges();
    test_masks();
    test_levels();
    test_spurious();
    test_cascade();
    test_priorities();
    test_special_mask();
    test_poll();
    test_initialization();
    test_random(argc > 1 ? strtoull(argv[1], NULL, 10) : (uint64_t)time(NULL));
    return check_result();
}
