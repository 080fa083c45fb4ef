/* main.c: brings the guest up and waits for something to do. */
#include "guest.h"

static const char *const protocols[] = {"unknown", "pvh", "multiboot", "linux32", "linux64"};

void stop(void)
{
    for (;;)
        __asm__ volatile("cli; hlt");
}

void poll_events(void)
{
    if (acpi_button_pending) {
        acpi_button_pending = false;
        print("acpi: power button\n");
        if (!options.ignore_button) {
            acpi_poweroff();
            stop();
        }
    }
    if (acpi_gpe_pending) {
        acpi_gpe_pending = 0;
        hotplug_scan();
        cpu_hotplug_scan();
    }
}

void wait_event(void)
{
    irq_wait();
    poll_events();
}

/* The loops below keep interrupts off except while they sleep, so that no wake-up is lost. */
void serve(void)
{
    char line[256];

    for (;;) {
        if (uart_line(line, sizeof(line)))
            commands_run(line);
        else
            wait_event();
    }
}

void main(unsigned protocol, uint64_t info);
void main(unsigned protocol, uint64_t info)
{
    cpu_init(0);
    irq_init();
    boot_read(protocol, info);
    options_parse(boot.cmdline, boot.protocol == BOOT_MULTIBOOT);
    uart_init();
    print("guest: started by %s, %lu MiB of RAM\n", protocols[boot.protocol], boot.ram / MIB);
    acpi_find();
    if (acpi.found)
        acpi_enable();
    uart_enable_input();
    if (acpi.found && !options.no_hotplug) {
        hotplug_init();
        cpu_hotplug_init();
    }
    print("guest: ready\n");
    commands_run(options.cmd);
    serve();
}
