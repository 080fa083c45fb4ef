/*
 * main.c: accepts PCI devices and processors as the methods of ACPI do: looks for a general-purpose
 * event, asks the hotplug registers what has come, and reports a status (_OST). The ports are those
 * of QEMU's pc. Of each PCI device it prints a line.
 */
#include "../user/user.h"

#define PAUSE_TICKS (1u << 15) /* between two looks */

#define GPE_STATUS 0xafe0
#define GPE_PCI    (1u << 1)
#define GPE_CPU    (1u << 2)

#define PCI_UP         0xae00 /* read: the slots that were filled */
#define PCI_BUS        0xae10
#define PCI_INDEX      0xae14 /* write: selects a slot for the next two, which QEMU does not have */
#define PCI_OST_EVENT  0xae18
#define PCI_OST_STATUS 0xae1c

#define CPU_SELECTOR 0xaf00
#define CPU_FLAGS    0xaf04
#define CPU_INSERT   2
#define CPU_COMMAND  0xaf05
#define CPU_DATA     0xaf08

enum { COMMAND_NEXT, COMMAND_OST_EVENT, COMMAND_OST_STATUS };
enum { EVENT_CHECK = 1, STATUS_OK = 0 };

static void accept_pci(void)
{
    for (uint32_t slots = inl(PCI_UP); slots; slots &= slots - 1) {
        uint64_t id = pci_read(pci_function((unsigned)__builtin_ctz(slots)), 0);

        outl(PCI_INDEX, slots & -slots);
        outl(PCI_OST_EVENT, EVENT_CHECK);
        outl(PCI_OST_STATUS, STATUS_OK);
        report("pci", &id, 1);
    }
}

/* Selects the next processor with an event; returns its flags. */
static uint8_t next_cpu(void)
{
    outb(CPU_COMMAND, COMMAND_NEXT);
    return inb(CPU_FLAGS);
}

static void accept_cpus(void)
{
    outl(CPU_SELECTOR, 0);
    while (next_cpu() & CPU_INSERT) {
        outb(CPU_FLAGS, CPU_INSERT);
        outb(CPU_COMMAND, COMMAND_OST_EVENT);
        outl(CPU_DATA, EVENT_CHECK);
        outb(CPU_COMMAND, COMMAND_OST_STATUS);
        outl(CPU_DATA, STATUS_OK);
    }
}

void guest_main(void)
{
    outl(CPU_SELECTOR, 0); /* from the bitmap to the registers */
    outl(PCI_BUS, 0);
    report("ready", 0, 0);
    for (;;) {
        uint64_t next = now() + PAUSE_TICKS;
        uint8_t events = inb(GPE_STATUS) & (GPE_PCI | GPE_CPU);

        if (events)
            outb(GPE_STATUS, events);
        if (events & GPE_PCI)
            accept_pci();
        if (events & GPE_CPU)
            accept_cpus();
        while (now() < next)
            __builtin_ia32_pause();
    }
}
