/*
 * fuzz_rtc.c: the MC146818A register model, with a clock that the input moves. -runs=25000
 *
 * No interrupt is missed or early, RAM is RAM, and a date that was set is the right one however
 * much later.
 */
#include <time.h>

#include "devices/isa/mc146818_chip.h"
#include "chip_clock.h"
#include "fuzz.h"

enum { REG_A = 0x0a, REG_B = 0x0b, REG_C = 0x0c, CENTURY = 0x32 };
enum { A_RUNS = 0x26, B_24H = 0x02, B_BINARY = 0x04, B_SET = 0x80, C_IRQ = 0x80 };
#define NS 1000000000ull

static struct {
    struct mc146818_chip chip;
    uint8_t ram[MC146818_SIZE];
} b;

static void tick(void)
{
    mc146818_tick(&b.chip);
}

static void advance(uint64_t ns)
{
    chip_clock_advance(ns, tick);
}

static bool is_ram(unsigned index)
{
    return index > 0x0d && index != CENTURY;
}

static void guest_write(unsigned index, uint8_t value)
{
    mc146818_write(&b.chip, index, value);
    b.ram[index] = value;
}

static void guest_read(unsigned index)
{
    bool line = b.chip.irq.level;
    uint8_t value = mc146818_read(&b.chip, index);

    if (is_ram(index))
        fuzz_check(value == b.ram[index], "0x%x holds 0x%x, want 0x%x", index, value, b.ram[index]);
    if (index != REG_C)
        return;
    fuzz_check(line == !!(value & C_IRQ), "line %d, register C 0x%x", line, value);
    fuzz_check(!b.chip.irq.level, "the line stays high");
}

/* ---- dates ---------------------------------------------------------------------------------- */

static uint8_t encoded(uint8_t mode, int value)
{
    return (uint8_t)(mode & B_BINARY ? value : value / 10 * 16 + value % 10);
}

static uint8_t encoded_hour(uint8_t mode, int hour)
{
    static const uint8_t clock[] = {12, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};

    if (mode & B_24H)
        return encoded(mode, hour);
    return (uint8_t)(encoded(mode, clock[hour % 12]) | (hour >= 12 ? 0x80 : 0));
}

/* How registers 0 to 9 and the century show a time. */
static void show_date(uint8_t mode, time_t at, uint8_t out[11])
{
    struct tm tm;

    gmtime_r(&at, &tm);
    memset(out, 0, 11);
    out[0] = encoded(mode, tm.tm_sec);
    out[2] = encoded(mode, tm.tm_min);
    out[4] = encoded_hour(mode, tm.tm_hour);
    out[6] = encoded(mode, tm.tm_wday + 1);
    out[7] = encoded(mode, tm.tm_mday);
    out[8] = encoded(mode, tm.tm_mon + 1);
    out[9] = encoded(mode, tm.tm_year % 100);
    out[10] = encoded(mode, tm.tm_year / 100 + 19);
}

static unsigned date_register(unsigned i)
{
    return i == 10 ? CENTURY : i;
}

static void check_date(void)
{
    uint8_t mode = fuzz_byte() & (B_24H | B_BINARY), shown[11];
    /* From 1970 to 2106; later to 2242. */
    uint32_t at = (uint32_t)fuzz_number(4), later = (uint32_t)fuzz_number(4);

    if (later * NS >= UINT64_MAX - chip.now)
        return;
    guest_write(REG_A, A_RUNS);
    guest_write(REG_B, B_SET | mode);
    show_date(mode, at, shown);
    for (unsigned i = 0; i < 11; i++)
        if (i > 6 || i % 2 == 0)
            guest_write(date_register(i), shown[i]);
    guest_write(REG_B, mode);
    advance(later * NS);
    show_date(mode, (time_t)at + later, shown);
    for (unsigned i = 0; i < 11; i++) {
        uint8_t got = mc146818_read(&b.chip, date_register(i));

        if (i > 6 || i % 2 == 0)
            fuzz_check(got == shown[i], "register 0x%x is 0x%x, want 0x%x, %u s after %u",
                       date_register(i), got, shown[i], later, at);
    }
}

/* ---- operations ----------------------------------------------------------------------------- */

static void operate(void)
{
    uint8_t how = fuzz_byte();

    switch (how & 7) {
    case 0:
    case 1:
        guest_write(how >> 4, fuzz_byte());
        break;
    case 2: {
        unsigned index = fuzz_below(MC146818_SIZE);

        guest_write(index, fuzz_byte());
        break;
    }
    case 3:
        guest_read(how & 8 ? REG_C : fuzz_below(MC146818_SIZE));
        break;
    case 4:
        advance(fuzz_number(1 + (how >> 3) % 5));
        break;
    case 5:
        advance(fuzz_number(8) >> (how >> 3));
        break;
    case 6:
        check_date();
        break;
    default:
        if (how >> 4)
            mc146818_reset(&b.chip);
        else
            mc146818_set_time(&b.chip, (int64_t)fuzz_number(5), (uint32_t)(fuzz_number(4) % NS));
    }
    fuzz_check(b.chip.irq.level == !!(b.chip.ram[REG_C] & C_IRQ), "line %d, register C 0x%x",
               b.chip.irq.level, b.chip.ram[REG_C]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_begin(data, size);
    memset(&b, 0, sizeof(b));
    chip_clock_start();
    mc146818_init(&b.chip, &chip.clock, chip_clock_schedule, NULL, 1709210096, 0);
    while (fuzz_more())
        operate();
    return 0;
}
