/*
 * cpu_hotplug.c: CPU hotplug by the register block of QEMU's acpi_cpu_hotplug specification, as the
 * ACPI methods would use it. Where the block is and which event it raises is read from the DSDT:
 * the names that acpi/cpu_hotplug.asl gives these numbers.
 */
#include "guest.h"

#define SELECTOR (port + 0x0)
#define FLAGS    (port + 0x4)
#define COMMAND  (port + 0x5)
#define DATA     (port + 0x8)

#define INSERTING 0x02
#define REMOVING  0x04
#define EJECT     0x08

#define NEXT_WITH_EVENT 0
#define OST_EVENT       1
#define OST_STATUS      2
#define ARCH_ID         3

#define EVENT_CHECK        1
#define EVENT_EJECT        3
#define STATUS_OK          0
#define STATUS_FAILED      1
#define STATUS_BUSY        0x82
#define STATUS_IN_PROGRESS 0x84

static uint16_t port; /* 0: CPUs can't be plugged */

static void report(uint32_t cpu, uint32_t event, uint32_t status)
{
    outl(SELECTOR, cpu);
    outb(COMMAND, OST_EVENT);
    outl(DATA, event);
    outb(COMMAND, OST_STATUS);
    outl(DATA, status);
}

static uint8_t apic_id(void)
{
    outb(COMMAND, ARCH_ID);
    return (uint8_t)inl(DATA);
}

static void insert(uint32_t cpu)
{
    uint8_t id = apic_id();
    bool started;

    outb(FLAGS, INSERTING);
    started = !options.refuse_insert && smp_add(id);
    report(cpu, EVENT_CHECK, started ? STATUS_OK : STATUS_FAILED);
    print("cpus: apic %u %s\n", id, started ? "added" : "refused");
}

static void eject(uint32_t cpu)
{
    uint8_t id = apic_id();

    outb(FLAGS, REMOVING);
    if (options.refuse_eject) {
        report(cpu, EVENT_EJECT, STATUS_BUSY);
        print("cpus: apic %u kept\n", id);
        return;
    }
    report(cpu, EVENT_EJECT, STATUS_IN_PROGRESS);
    smp_remove(id);
    outl(SELECTOR, cpu);
    outb(FLAGS, EJECT);
    print("cpus: apic %u removed\n", id);
}

void cpu_hotplug_scan(void)
{
    uint8_t flags = INSERTING;

    if (!port)
        return;
    outl(SELECTOR, 0);
    while (flags & (INSERTING | REMOVING)) {
        uint32_t cpu;

        outb(COMMAND, NEXT_WITH_EVENT);
        flags = inb(FLAGS);
        cpu = inl(DATA);
        if (flags & INSERTING)
            insert(cpu);
        else if (flags & REMOVING)
            eject(cpu);
    }
}

void cpu_hotplug_init(void)
{
    uint32_t base, gpe;

    if (!acpi_dsdt_number("CHIO", &base) || !acpi_dsdt_number("CHGP", &gpe))
        return;
    port = (uint16_t)base;
    acpi_enable_gpe(gpe);
    cpu_hotplug_scan(); /* the first write also leaves the registers of older machines */
}
