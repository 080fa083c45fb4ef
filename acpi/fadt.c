/*
 * fadt.c: the fixed ACPI description table (ACPI 5.0, section 5.2.9; revision 5, 268 bytes) and
 * the firmware control structure (5.2.10).
 *
 * A machine without a power management part gets the description of a hardware-reduced one.
 */
#include "acpi.h"

#define FADT_REVISION 5
#define FACS_SIZE     64
#define FACS_VERSION  2

#define GAS_IO    1
#define GAS_BYTE  1
#define GAS_WORD  2
#define GAS_DWORD 3

#define PM1_EVT_SIZE 4
#define PM1_CNT_SIZE 2
#define PM_TMR_SIZE  4

#define NO_LATENCY 0x0fff /* more than 1000 us: there is no C2 and no C3 */
#define CENTURY    0x32   /* CMOS index */

#define BOOT_LEGACY_DEVICES 0x01
#define BOOT_8042           0x02
#define BOOT_NO_VGA         0x04
#define BOOT_NO_CMOS_RTC    0x20

#define FLAG_WBINVD (1u << 0)
#define FLAG_C1     (1u << 2)
#define FLAG_SLEEP_BUTTON                                                                          \
    (1u << 5) /* set: there is no fixed one; a clear bit 4 is the power button */
#define FLAG_FIX_RTC    (1u << 6) /* set: no wake-up status of the RTC in the fixed registers */
#define FLAG_RESET_REG  (1u << 10)
#define FLAG_HW_REDUCED (1u << 20)

void acpi_build_facs(struct acpi_buffer *b)
{
    size_t start = b->size;
    acpi_append(b, "FACS", 4);
    acpi_put(b, FACS_SIZE, 4);
    acpi_append(b, NULL, 24); /* signature of the hardware, waking vectors, global lock, flags */
    acpi_put(b, FACS_VERSION, 1);
    acpi_append(b, NULL, start + FACS_SIZE - b->size);
}

/* Appends a generic address structure for size bytes of I/O ports; port 0 = none. */
static void put_gas(struct acpi_buffer *b, uint16_t port, unsigned size, unsigned access)
{
    acpi_put(b, port ? GAS_IO : 0, 1);
    acpi_put(b, port ? size * 8 : 0, 1);
    acpi_put(b, 0, 1);
    acpi_put(b, port ? access : 0, 1);
    acpi_put(b, port, 8);
}

static uint32_t flags(const struct acpi_facts *facts)
{
    uint32_t flags = FLAG_WBINVD | FLAG_C1 | FLAG_SLEEP_BUTTON;
    if (!facts->has_pm)
        return flags | FLAG_FIX_RTC | FLAG_HW_REDUCED;
    if (!facts->has_rtc)
        flags |= FLAG_FIX_RTC;
    return facts->pm.reset_port ? flags | FLAG_RESET_REG : flags;
}

static uint16_t boot_arch(const struct acpi_facts *facts)
{
    unsigned arch = BOOT_LEGACY_DEVICES | BOOT_NO_VGA;
    if (facts->has_i8042)
        arch |= BOOT_8042;
    if (!facts->has_rtc)
        arch |= BOOT_NO_CMOS_RTC;
    return (uint16_t)arch;
}

/* Appends the part up to the boot flags, with 32-bit addresses. */
static void put_fixed_hardware(struct acpi_buffer *b, const struct acpi_facts *facts)
{
    const lunik_acpi_pm *pm = &facts->pm; /* zeros without one */
    bool has = facts->has_pm;

    acpi_put(b, 0, 2); /* reserved, no preferred profile */
    acpi_put(b, pm->sci, 2);
    acpi_put(b, pm->smi_cmd, 4);
    acpi_put(b, pm->acpi_enable, 1);
    acpi_put(b, pm->acpi_disable, 1);
    acpi_put(b, 0, 2); /* S4BIOS_REQ, PSTATE_CNT */
    acpi_put(b, pm->pm1_evt, 4);
    acpi_put(b, 0, 4); /* PM1b */
    acpi_put(b, pm->pm1_cnt, 4);
    acpi_put(b, 0, 8); /* PM1b, PM2 */
    acpi_put(b, pm->pm_tmr, 4);
    acpi_put(b, pm->gpe0, 4);
    acpi_put(b, 0, 4); /* GPE1 */
    acpi_put(b, has ? PM1_EVT_SIZE : 0, 1);
    acpi_put(b, has ? PM1_CNT_SIZE : 0, 1);
    acpi_put(b, 0, 1); /* PM2 */
    acpi_put(b, has ? PM_TMR_SIZE : 0, 1);
    acpi_put(b, pm->gpe0_len, 1);
    acpi_put(b, 0, 3); /* GPE1, its base, CST_CNT */
    acpi_put(b, NO_LATENCY, 2);
    acpi_put(b, NO_LATENCY, 2);
    acpi_put(b, 0, 8); /* flush size and stride, duty cycle, alarms */
    acpi_put(b, facts->has_rtc ? CENTURY : 0, 1);
}

void acpi_build_fadt(struct acpi_buffer *b, const struct acpi_facts *facts, uint32_t facs,
                     uint32_t dsdt)
{
    const lunik_acpi_pm *pm = &facts->pm;
    size_t start = acpi_table_begin(b, "FACP", FADT_REVISION);

    acpi_put(b, facs, 4);
    acpi_put(b, dsdt, 4);
    put_fixed_hardware(b, facts);
    acpi_put(b, boot_arch(facts), 2);
    acpi_put(b, 0, 1);
    acpi_put(b, flags(facts), 4);
    put_gas(b, pm->reset_port, 1, GAS_BYTE);
    acpi_put(b, pm->reset_value, 1);
    acpi_put(b, 0, 3);
    acpi_put(b, 0, 8); /* FACS: below 4 GiB, where only the 32-bit field is used */
    acpi_put(b, dsdt, 8);
    put_gas(b, pm->pm1_evt, PM1_EVT_SIZE, GAS_WORD);
    put_gas(b, 0, 0, 0); /* PM1b */
    put_gas(b, pm->pm1_cnt, PM1_CNT_SIZE, GAS_WORD);
    put_gas(b, 0, 0, 0); /* PM1b */
    put_gas(b, 0, 0, 0); /* PM2 */
    put_gas(b, pm->pm_tmr, PM_TMR_SIZE, GAS_DWORD);
    put_gas(b, pm->gpe0, pm->gpe0_len, GAS_BYTE);
    put_gas(b, 0, 0, 0); /* GPE1 */
    put_gas(b, 0, 0, 0); /* sleep control */
    put_gas(b, 0, 0, 0); /* sleep status */
    acpi_table_end(b, start);
}
