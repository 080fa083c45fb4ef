/* acpi_pm.h: ACPI fixed hardware as a register model: PM1, PM timer, GPE block 0, SCI. */
#ifndef PCI_ACPI_PM_H
#define PCI_ACPI_PM_H

#include "lunik_device.h"

#define PM1_TIMER     0x0001
#define PM1_GLOBAL    0x0020
#define PM1_POWER_BTN 0x0100
#define PM1_RTC       0x0400
#define PM1_WAKE      0x8000 /* status only */

#define PM1_CNT_SCI_EN 0x0001

#define PM_TIMER_HZ  3579545
#define ACPI_PM_GPES 16 /* events of GPE block 0 */

typedef struct acpi_pm acpi_pm;

struct acpi_pm {
    lunik_clock *clock;
    lunik_irq *sci;
    lunik_timer *timer; /* fires at the next overflow while somebody waits for it; may be NULL */
    /* The guest asks for sleep state SLP_TYP type. */
    void (*sleep)(acpi_pm *pm, unsigned type);

    uint16_t pm1_status, pm1_enable, pm1_control;
    uint16_t gpe_status, gpe_enable;
    uint64_t overflow; /* the tick at which the timer's status bit is set next */
};

void acpi_pm_reset(acpi_pm *pm);

/* Register blocks. size is 1, 2 or 4 bytes; what lies beyond the block reads as zero. */
uint32_t acpi_pm_event_read(acpi_pm *pm, unsigned offset, unsigned size); /* status, enable */
void acpi_pm_event_write(acpi_pm *pm, unsigned offset, unsigned size, uint32_t value);
uint32_t acpi_pm_control_read(const acpi_pm *pm, unsigned offset, unsigned size);
void acpi_pm_control_write(acpi_pm *pm, unsigned offset, unsigned size, uint32_t value);
uint32_t acpi_pm_timer_read(const acpi_pm *pm, unsigned offset, unsigned size);
uint32_t acpi_pm_gpe_read(const acpi_pm *pm, unsigned offset, unsigned size); /* as event */
void acpi_pm_gpe_write(acpi_pm *pm, unsigned offset, unsigned size, uint32_t value);

/* Hands the event registers to the operating system (SCI_EN), or takes them back. */
void acpi_pm_enable(acpi_pm *pm, bool on);
/* Latches status bits. */
void acpi_pm_set_status(acpi_pm *pm, uint16_t bits);
void acpi_pm_raise_gpe(acpi_pm *pm, unsigned gpe); /* 0..15 */
/* Makes status, SCI and timer agree with the time; the timer's function calls it. */
void acpi_pm_update(acpi_pm *pm);

#endif
