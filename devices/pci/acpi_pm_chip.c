/*
 * acpi_pm_chip.c: ACPI fixed hardware (ACPI 6.4, section 4.8): PM1a event and control blocks, the
 * 24-bit PM timer, a GPE block of 16 events, and the SCI they share.
 *
 * Not modelled: sleep states that the machine wakes from (a request for one ends at once with the
 * wake status set), global lock and bus master bits beyond keeping their value.
 */
#include "acpi_pm_chip.h"

#define PM1_STATUS_BITS (PM1_TIMER | PM1_GLOBAL | PM1_POWER_BTN | PM1_RTC | PM1_WAKE)
#define PM1_ENABLE_BITS (PM1_TIMER | PM1_GLOBAL | PM1_POWER_BTN | PM1_RTC)

#define PM1_CNT_SLP_TYP_SHIFT 10
#define PM1_CNT_SLP_EN        0x2000
#define PM1_CNT_BITS          0x1c03 /* SLP_TYP, BM_RLD, SCI_EN */

#define PM_TIMER_MASK 0xffffff
#define PM_TIMER_HALF 0x800000 /* the status bit is set whenever the top bit changes */

#define NS_PER_SECOND 1000000000u

/* ---- time ----------------------------------------------------------------------------------- */

static uint64_t ticks_at(uint64_t ns)
{
    return ns / NS_PER_SECOND * PM_TIMER_HZ + ns % NS_PER_SECOND * PM_TIMER_HZ / NS_PER_SECOND;
}

/* Returns the first nanosecond at which ticks_at() is no less than ticks; UINT64_MAX if the clock
 * ends before. */
static uint64_t time_of(uint64_t ticks)
{
    uint64_t rest = ticks % PM_TIMER_HZ * NS_PER_SECOND, at;

    if (__builtin_mul_overflow(ticks / PM_TIMER_HZ, (uint64_t)NS_PER_SECOND, &at) ||
        __builtin_add_overflow(at, (rest + PM_TIMER_HZ - 1) / PM_TIMER_HZ, &at))
        return UINT64_MAX;
    return at;
}

static uint64_t ticks_now(const struct acpi_pm_chip *pm)
{
    return ticks_at(lunik_clock_read(pm->clock)) + pm->ahead;
}

static uint64_t next_overflow(const struct acpi_pm_chip *pm)
{
    return (ticks_now(pm) / PM_TIMER_HALF + 1) * PM_TIMER_HALF;
}

/* ---- status and SCI ------------------------------------------------------------------------- */

void acpi_pm_update(struct acpi_pm_chip *pm)
{
    bool waited_for = pm->pm1_enable & PM1_TIMER && pm->pm1_control & PM1_CNT_SCI_EN;

    if (ticks_now(pm) >= pm->overflow)
        pm->pm1_status |= PM1_TIMER;
    if (pm->timer && waited_for && !(pm->pm1_status & PM1_TIMER))
        lunik_timer_set(pm->timer, time_of(pm->overflow - pm->ahead));
    else if (pm->timer)
        lunik_timer_cancel(pm->timer);

    bool pending = pm->pm1_status & pm->pm1_enable || pm->gpe_status & pm->gpe_enable;
    lunik_irq_set(pm->sci, pending && pm->pm1_control & PM1_CNT_SCI_EN);
}

void acpi_pm_reset(struct acpi_pm_chip *pm)
{
    pm->pm1_status = pm->pm1_enable = pm->pm1_control = 0;
    pm->gpe_status = pm->gpe_enable = 0;
    pm->overflow = next_overflow(pm);
    acpi_pm_update(pm);
}

void acpi_pm_enable(struct acpi_pm_chip *pm, bool on)
{
    pm->pm1_control = (uint16_t)((pm->pm1_control & ~PM1_CNT_SCI_EN) | (on ? PM1_CNT_SCI_EN : 0));
    acpi_pm_update(pm);
}

void acpi_pm_set_status(struct acpi_pm_chip *pm, uint16_t bits)
{
    pm->pm1_status |= bits & PM1_STATUS_BITS;
    acpi_pm_update(pm);
}

void acpi_pm_raise_gpe(struct acpi_pm_chip *pm, unsigned gpe)
{
    if (gpe >= ACPI_PM_GPES)
        return;
    pm->gpe_status |= (uint16_t)(1u << gpe);
    acpi_pm_update(pm);
}

/* ---- registers ------------------------------------------------------------------------------ */

/* Returns the bits of a block's value that an access of size bytes at offset touches. */
static uint32_t lanes(unsigned offset, unsigned size)
{
    uint64_t mask = (UINT64_C(1) << 8 * size) - 1;

    return offset < 4 ? (uint32_t)(mask << 8 * offset) : 0;
}

static uint32_t extract(uint32_t block, unsigned offset, unsigned size)
{
    return offset < 4 ? (block & lanes(offset, size)) >> 8 * offset : 0;
}

static uint32_t place(unsigned offset, unsigned size, uint32_t value)
{
    return offset < 4 ? value << 8 * offset & lanes(offset, size) : 0;
}

uint32_t acpi_pm_event_read(struct acpi_pm_chip *pm, unsigned offset, unsigned size)
{
    acpi_pm_update(pm);
    return extract((uint32_t)pm->pm1_enable << 16 | pm->pm1_status, offset, size);
}

void acpi_pm_event_write(struct acpi_pm_chip *pm, unsigned offset, unsigned size, uint32_t value)
{
    uint32_t written = place(offset, size, value);
    uint16_t mask = (uint16_t)(lanes(offset, size) >> 16);

    acpi_pm_update(pm);
    pm->pm1_status &= (uint16_t)~written;
    if (written & PM1_TIMER)
        pm->overflow = next_overflow(pm);
    pm->pm1_enable =
        (uint16_t)((pm->pm1_enable & ~mask) | (written >> 16 & mask & PM1_ENABLE_BITS));
    acpi_pm_update(pm);
}

uint32_t acpi_pm_control_read(const struct acpi_pm_chip *pm, unsigned offset, unsigned size)
{
    return extract(pm->pm1_control, offset, size);
}

void acpi_pm_control_write(struct acpi_pm_chip *pm, unsigned offset, unsigned size, uint32_t value)
{
    uint32_t written = place(offset, size, value);
    uint32_t mask = lanes(offset, size) & PM1_CNT_BITS;

    pm->pm1_control = (uint16_t)((pm->pm1_control & ~mask) | (written & mask));
    acpi_pm_update(pm);
    if (written & PM1_CNT_SLP_EN)
        pm->sleep(pm, pm->pm1_control >> PM1_CNT_SLP_TYP_SHIFT & 7);
}

uint32_t acpi_pm_timer_read(const struct acpi_pm_chip *pm, unsigned offset, unsigned size)
{
    uint32_t ticks = (uint32_t)ticks_now(pm) & PM_TIMER_MASK;

    return extract(ticks, offset, size);
}

uint32_t acpi_pm_gpe_read(const struct acpi_pm_chip *pm, unsigned offset, unsigned size)
{
    return extract((uint32_t)pm->gpe_enable << 16 | pm->gpe_status, offset, size);
}

void acpi_pm_gpe_write(struct acpi_pm_chip *pm, unsigned offset, unsigned size, uint32_t value)
{
    uint32_t written = place(offset, size, value);
    uint16_t mask = (uint16_t)(lanes(offset, size) >> 16);

    pm->gpe_status &= (uint16_t)~written;
    pm->gpe_enable = (uint16_t)((pm->gpe_enable & ~mask) | (written >> 16 & mask));
    acpi_pm_update(pm);
}

/* ---- state ---------------------------------------------------------------------------------- */

static int pre_save(void *state, lunik_error *err)
{
    struct acpi_pm_chip *pm = state;

    acpi_pm_update(pm);
    pm->ticks = ticks_now(pm);
    return 0;
}

/* The timer goes on from where it was, whatever the clock shows here. */
static void loaded(void *state)
{
    struct acpi_pm_chip *pm = state;

    pm->ahead = pm->ticks - ticks_at(lunik_clock_read(pm->clock));
    acpi_pm_update(pm);
}

static const lunik_state_field state_fields[] = {
    LUNIK_STATE(struct acpi_pm_chip, pm1_status),  LUNIK_STATE(struct acpi_pm_chip, pm1_enable),
    LUNIK_STATE(struct acpi_pm_chip, pm1_control), LUNIK_STATE(struct acpi_pm_chip, gpe_status),
    LUNIK_STATE(struct acpi_pm_chip, gpe_enable),  LUNIK_STATE(struct acpi_pm_chip, ticks),
    LUNIK_STATE(struct acpi_pm_chip, overflow),    {0},
};

const lunik_state_table acpi_pm_chip_state = {
    .name = "acpi-pm",
    .version = 1,
    .size = sizeof(struct acpi_pm_chip),
    .fields = state_fields,
    .pre_save = pre_save,
    .loaded = loaded,
};
