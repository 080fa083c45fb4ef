/* time.c: time by the TSC, calibrated with the ACPI PM timer; sleeping by the PIT. */
#include "guest.h"

#define PM_HZ        3579545ull
#define PM_MASK      0xffffffu
#define CALIBRATION  7159 /* PM ticks: 2 ms */
#define PIT_HZ       1193182ull
#define PIT_CHANNEL0 0x40
#define PIT_COMMAND  0x43
#define ONE_SHOT     0x30 /* channel 0, both bytes, mode 0 */
#define SLICE_MS     50   /* 16 bits last 54 ms */

static uint64_t tsc_start, tsc_hz;
static volatile bool fired;

static uint64_t rdtsc(void)
{
    uint32_t low, high;

    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return low | (uint64_t)high << 32;
}

uint32_t time_pm_timer(void)
{
    return acpi.pm_tmr ? inl((uint16_t)acpi.pm_tmr) & PM_MASK : 0;
}

static void calibrate(void)
{
    uint32_t start = time_pm_timer(), ticks;

    tsc_start = rdtsc();
    tsc_hz = 1000000000;
    if (!acpi.pm_tmr)
        return;
    do
        ticks = (time_pm_timer() - start) & PM_MASK;
    while (ticks < CALIBRATION);
    tsc_hz = (rdtsc() - tsc_start) * PM_HZ / ticks;
}

uint64_t time_now_us(void)
{
    uint64_t elapsed;

    if (!tsc_hz)
        calibrate();
    elapsed = rdtsc() - tsc_start;
    return elapsed / tsc_hz * 1000000 + elapsed % tsc_hz * 1000000 / tsc_hz;
}

void time_delay_us(uint64_t us)
{
    uint64_t end = time_now_us() + us;

    while (time_now_us() < end)
        __asm__ volatile("pause");
}

static void tick(void)
{
    fired = true;
}

void time_sleep_ms(uint64_t ms)
{
    irq_enable(0, tick);
    while (ms) {
        uint64_t slice = ms < SLICE_MS ? ms : SLICE_MS, count = PIT_HZ * slice / 1000;

        fired = false;
        outb(PIT_COMMAND, ONE_SHOT);
        outb(PIT_CHANNEL0, (uint8_t)count);
        outb(PIT_CHANNEL0, (uint8_t)(count >> 8));
        while (!fired)
            wait_event();
        ms -= slice;
    }
}
