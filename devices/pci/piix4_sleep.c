/*
 * piix4_sleep.c: the sleep states of the PIIX4's power management as QEMU has them (ACPI 6.4,
 * section 16.1): SLP_TYP 0 is soft-off, 1 suspends to memory (S3), and a third value, which is
 * configured, to disk (S4). A request for any other, or for one that is disabled, ends at once with
 * the wake status set.
 */
#include "piix4_pm.h"

#define SLP_TYP_S5 0
#define SLP_TYP_S3 1

static lunik_machine *machine_of(struct piix4_pm *s)
{
    return lunik_object_machine(lunik_state_object(s));
}

/* The guest has written its memory to the disk; what it does there next is up to the system that
 * starts again. */
static void suspend_to_disk(struct piix4_pm *s)
{
    lunik_emit_fields(machine_of(s), "suspend-disk", NULL, 0);
    lunik_machine_shutdown(machine_of(s), "guest-shutdown", 0);
}

void piix4_sleep(struct piix4_pm *s, unsigned type)
{
    if (type == SLP_TYP_S5)
        lunik_machine_shutdown(machine_of(s), "guest-shutdown", 0);
    else if (type == SLP_TYP_S3 && !s->disable_s3)
        lunik_machine_suspend(machine_of(s));
    else if (type == s->s4_val && !s->disable_s4)
        suspend_to_disk(s);
    else
        acpi_pm_set_status(&s->pm, PM1_WAKE);
}

/* ---- waking --------------------------------------------------------------------------------- */

/* Only the fixed events that the guest has enabled wake it. */
static bool wakes(const lunik_object *o, lunik_wake_reason reason)
{
    const struct piix4_pm *s = lunik_state(o);

    switch (reason) {
    case LUNIK_WAKE_RTC:
        return s->pm.pm1_enable & PM1_RTC;
    case LUNIK_WAKE_PM_TIMER:
        return s->pm.pm1_enable & PM1_TIMER;
    default:
        return true;
    }
}

/* The guest is to find a cause: without a bit of its own it is the power button, as in QEMU. */
static uint16_t status_of(lunik_wake_reason reason)
{
    switch (reason) {
    case LUNIK_WAKE_RTC:
        return PM1_RTC;
    case LUNIK_WAKE_PM_TIMER:
        return PM1_TIMER;
    default:
        return PM1_POWER_BTN;
    }
}

static void woken(lunik_object *o, lunik_wake_reason reason)
{
    struct piix4_pm *s = lunik_state(o);

    acpi_pm_set_status(&s->pm, PM1_WAKE | status_of(reason));
}

const lunik_sleep_ops piix4_sleep_ops = {.wakes = wakes, .woken = woken};

/* ---- ACPI ----------------------------------------------------------------------------------- */

bool piix4_describe_sleep(lunik_object *o, unsigned index, lunik_acpi_node *out)
{
    const struct piix4_pm *s = lunik_state(o);

    if (index == 0 && !s->disable_s3)
        *out = (lunik_acpi_node){.part = "piix4_s3"};
    else if (index == (s->disable_s3 ? 0 : 1) && !s->disable_s4)
        *out = (lunik_acpi_node){
            .part = "piix4_s4",
            .count = 1,
            .values = {{"S4TP", s->s4_val}},
        };
    else
        return false;
    return true;
}
