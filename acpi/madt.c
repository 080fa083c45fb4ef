/*
 * madt.c: the multiple APIC description table (ACPI 5.0, section 5.2.12): one local APIC for each
 * vCPU that there can be, whose APIC id is its index; one I/O APIC; the inputs of it that ISA
 * interrupts reach.
 */
#include "acpi.h"

#define MADT_REVISION   3
#define MADT_REVISION_5 5 /* has ONLINE_CAPABLE (ACPI 6.3) */
#define LAPIC_ADDRESS   0xfee00000
#define IOAPIC_ADDRESS  0xfec00000
#define PCAT_COMPATIBLE 1 /* there are two 8259s as well */

#define ENTRY_LAPIC     0
#define ENTRY_IOAPIC    1
#define ENTRY_OVERRIDE  2
#define ENTRY_LAPIC_NMI 4

#define ENABLED        1
#define ONLINE_CAPABLE 2

#define CONFORMS       0x0 /* to the ISA bus: edge, active high */
#define LEVEL_HIGH     0xd
#define ISA_INTERRUPTS 16

static void put_cpu(struct acpi_buffer *b, unsigned index, bool present)
{
    acpi_put(b, ENTRY_LAPIC, 1);
    acpi_put(b, 8, 1);
    acpi_put(b, index, 1); /* _UID */
    acpi_put(b, index, 1); /* APIC id */
    acpi_put(b, present ? ENABLED : ONLINE_CAPABLE, 4);
}

static void put_override(struct acpi_buffer *b, unsigned irq, unsigned gsi, unsigned how)
{
    acpi_put(b, ENTRY_OVERRIDE, 1);
    acpi_put(b, 10, 1);
    acpi_put(b, 0, 1); /* ISA */
    acpi_put(b, irq, 1);
    acpi_put(b, gsi, 4);
    acpi_put(b, how, 2);
}

/* The interrupts that PCI links may use, as listed in piix3.asl. */
static bool is_pci_irq(unsigned irq)
{
    return irq == 5 || irq == 10 || irq == 11;
}

static void put_overrides(struct acpi_buffer *b, const struct acpi_facts *facts)
{
    put_override(b, 0, 2, CONFORMS); /* the PIT */
    for (unsigned irq = 0; irq < ISA_INTERRUPTS; irq++)
        if ((facts->has_pm && irq == facts->pm.sci) || (facts->has_pci_links && is_pci_irq(irq)))
            put_override(b, irq, irq, LEVEL_HIGH);
}

static void put_nmi(struct acpi_buffer *b)
{
    acpi_put(b, ENTRY_LAPIC_NMI, 1);
    acpi_put(b, 6, 1);
    acpi_put(b, 0xff, 1); /* all processors */
    acpi_put(b, CONFORMS, 2);
    acpi_put(b, 1, 1); /* LINT1 */
}

void acpi_build_madt(struct acpi_buffer *b, const struct acpi_facts *facts)
{
    size_t start = acpi_table_begin(b, "APIC", facts->cpus_plug ? MADT_REVISION_5 : MADT_REVISION);

    acpi_put(b, LAPIC_ADDRESS, 4);
    acpi_put(b, PCAT_COMPATIBLE, 4);
    for (unsigned i = 0; i < facts->cpus; i++)
        put_cpu(b, i, lunik_cpu_present(facts->machine, i));

    acpi_put(b, ENTRY_IOAPIC, 1);
    acpi_put(b, 12, 1);
    acpi_put(b, 0, 2); /* id 0, as the in-kernel one reports */
    acpi_put(b, IOAPIC_ADDRESS, 4);
    acpi_put(b, 0, 4); /* first GSI */

    put_overrides(b, facts);
    put_nmi(b);
    acpi_table_end(b, start);
}
