/* acpi_pm_chip.h: ACPI fixed hardware as a register model: PM1, PM timer, GPE block 0, SCI. */
#ifndef PCI_ACPI_PM_CHIP_H
#define PCI_ACPI_PM_CHIP_H

#include "lunik_device.h"

#define PM1_TIMER     0x0001
#define PM1_GLOBAL    0x0020
#define PM1_POWER_BTN 0x0100
#define PM1_RTC       0x0400
#define PM1_WAKE      0x8000 /* status only */

#define PM1_CNT_SCI_EN 0x0001

#define PM_TIMER_HZ  3579545
#define ACPI_PM_GPES 16 /* events of GPE block 0 */

struct acpi_pm_chip {
    lunik_clock *clock;
    lunik_irq *sci;
    lunik_timer *timer; /* fires at the next overflow while the guest waits for it; may be NULL */
    /* Reports that the guest asks for sleep state SLP_TYP type. */
    void (*sleep)(struct acpi_pm_chip *pm, unsigned type);

    uint16_t pm1_status, pm1_enable, pm1_control;
    uint16_t gpe_status, gpe_enable;
    _Atomic uint64_t ahead; /* of the clock, in ticks of the timer; modulo 2^64 */
    uint64_t overflow;      /* the tick at which the timer's status bit is set next */
    uint64_t ticks;         /* now; only up to date while it is saved or loaded */
};

void acpi_pm_reset(struct acpi_pm_chip *pm);

/* Access to the register blocks. size is 1, 2 or 4 bytes; bytes beyond the block read as zero. */
uint32_t acpi_pm_event_read(struct acpi_pm_chip *pm, unsigned offset,
                            unsigned size); /* status, enable */
void acpi_pm_event_write(struct acpi_pm_chip *pm, unsigned offset, unsigned size, uint32_t value);
uint32_t acpi_pm_control_read(const struct acpi_pm_chip *pm, unsigned offset, unsigned size);
void acpi_pm_control_write(struct acpi_pm_chip *pm, unsigned offset, unsigned size, uint32_t value);
uint32_t acpi_pm_timer_read(const struct acpi_pm_chip *pm, unsigned offset, unsigned size);
uint32_t acpi_pm_gpe_read(const struct acpi_pm_chip *pm, unsigned offset,
                          unsigned size); /* as event */
void acpi_pm_gpe_write(struct acpi_pm_chip *pm, unsigned offset, unsigned size, uint32_t value);

/* Hands the event registers to the operating system (SCI_EN), or takes them back. */
void acpi_pm_enable(struct acpi_pm_chip *pm, bool on);
/* Latches status bits. */
void acpi_pm_set_status(struct acpi_pm_chip *pm, uint16_t bits);
void acpi_pm_raise_gpe(struct acpi_pm_chip *pm, unsigned gpe); /* 0..15 */
/* Makes status, SCI and timer agree with the time; the timer's function calls it. */
void acpi_pm_update(struct acpi_pm_chip *pm);

extern const lunik_state_table acpi_pm_chip_state;

#endif
