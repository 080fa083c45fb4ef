/*
 * fuzz_irqchip.c: the register models of 8259As, I/O APIC and 8254, each next to another model of
 * it. -max_len=2048 -runs=20000
 */
#include "fuzz.h"
#include "i8254_model.h"
#include "i8259_model.h"
#include "ioapic_model.h"

static uint32_t decide(void)
{
    return (uint32_t)fuzz_number(2) * 0x10001u;
}

/* Time is compared clock by clock, so there may not be much of it. */
static void run_timer(void)
{
    timer_begin();
    for (unsigned step = 0; fuzz_more() && step < 200; step++)
        fuzz_check(timer_step(decide), "%s", timer.wrong);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_begin(data, size);
    switch (fuzz_byte() % 3) {
    case 0:
        run_timer();
        break;
    case 1:
        for (pair_begin(); fuzz_more();)
            fuzz_check(pair_step(decide), "%s", wrong);
        break;
    default:
        for (apic_begin(); fuzz_more();)
            fuzz_check(apic_step(decide), "%s", apic.wrong);
    }
    return 0;
}
