/* sleep.c: suspends the guest to memory (ACPI S3), and goes on when the machine wakes up. */
#include "guest.h"

static unsigned sleeps; /* in memory, which stays */

/* On the first processor, with all devices and interrupt controllers reset. */
static void woken(void)
{
    cpu_init(0);
    irq_init();
    uart_init();
    print("guest: awake, sleep %u, status 0x%x\n", sleeps, acpi_status());
    acpi_enable();
    uart_enable_input();
    hotplug_resume();
    print("ok suspend %u\n", sleeps);
    serve();
}

void sleep_suspend(void)
{
    print("guest: going to sleep\n");
    sleeps++;
    smp_catch_waking(woken);
    if (!acpi_suspend(AP_START))
        print("error suspend: there is no S3\n");
    else
        stop();
}
