/* test_piix4_pm.c: the register models of the PIIX4's power management, with a clock of our own. */

#include "devices/pci/acpi_pm_chip.h"
#include "devices/pci/piix4_smbus_chip.h"
#include "chip_bench.h"

struct rig {
    struct chip_time time;
    lunik_irq sci;
    struct chip_line line;
    struct acpi_pm_chip pm;
    unsigned sleeps, type;
};

static void rig_sleep(struct acpi_pm_chip *pm, unsigned type)
{
    struct rig *r = lunik_container_of(pm, struct rig, pm);

    r->sleeps++;
    r->type = type;
}

static void rig_init(struct rig *r)
{
    *r = (struct rig){0};
    chip_time_begin(&r->time, 0);
    chip_line_connect(&r->sci, &r->line);
    r->pm = (struct acpi_pm_chip){.clock = &r->time.clock, .sci = &r->sci, .sleep = rig_sleep};
    acpi_pm_reset(&r->pm);
}

static uint32_t timer_at(struct rig *r, uint64_t ns)
{
    r->time.now = ns;
    return acpi_pm_timer_read(&r->pm, 0, 4);
}

static void test_timer(void)
{
    struct rig r;

    rig_init(&r);
    check_uint("timer: zero", timer_at(&r, 0), 0);
    check_uint("timer: before the first tick", timer_at(&r, 279), 0);
    check_uint("timer: first tick", timer_at(&r, 280), 1);
    check_uint("timer: one second", timer_at(&r, 1000000000), 3579545);
    check_uint("timer: 24 bits", timer_at(&r, UINT64_C(10000000000)), 35795450 & 0xffffff);
    /* 500 years: the product with the frequency needs more than 64 bits */
    check_uint("timer: does not overflow", timer_at(&r, UINT64_C(15768000000000000123)),
               UINT64_C(15768000000) * 3579545 & 0xffffff);
    check_uint("timer: byte 1", (timer_at(&r, 1000000000), acpi_pm_timer_read(&r.pm, 1, 1)),
               3579545 >> 8 & 0xff);
    check_uint("timer: upper word", acpi_pm_timer_read(&r.pm, 2, 2), 3579545 >> 16);
}

static void test_overflow(void)
{
    struct rig r;
    const uint64_t half = UINT64_C(2343484438); /* ns until bit 23 changes, rounded up */

    rig_init(&r);
    r.time.now = half - 1;
    check_uint("overflow: not yet", acpi_pm_event_read(&r.pm, 0, 2), 0);
    r.time.now = half;
    check_uint("overflow: status is set", acpi_pm_event_read(&r.pm, 0, 2), PM1_TIMER);
    acpi_pm_event_write(&r.pm, 0, 2, PM1_TIMER);
    check_uint("overflow: cleared", acpi_pm_event_read(&r.pm, 0, 2), 0);
    r.time.now = 2 * half - 2;
    check_uint("overflow: not again before the next", acpi_pm_event_read(&r.pm, 0, 2), 0);
    r.time.now = 2 * half;
    check_uint("overflow: falling edge of the top bit counts", acpi_pm_event_read(&r.pm, 0, 2),
               PM1_TIMER);
}

static void test_timer_interrupt(void)
{
    struct rig r;
    lunik_timer timer;

    rig_init(&r);
    lunik_timer_init(&timer, NULL, NULL);
    r.pm.timer = &timer;
    acpi_pm_event_write(&r.pm, 2, 2, PM1_TIMER);
    acpi_pm_enable(&r.pm, true);
    check_uint("timer interrupt: quiet", r.sci.level, 0);
    r.time.now = 3000000000;
    acpi_pm_update(&r.pm);
    check_uint("timer interrupt: raised", r.sci.level, 1);
    acpi_pm_event_write(&r.pm, 0, 2, PM1_TIMER);
    check_uint("timer interrupt: lowered", r.sci.level, 0);
}

static void test_sci(void)
{
    struct rig r;

    rig_init(&r);
    acpi_pm_set_status(&r.pm, PM1_POWER_BTN);
    check_uint("status is latched", acpi_pm_event_read(&r.pm, 0, 2), PM1_POWER_BTN);
    acpi_pm_event_write(&r.pm, 2, 2, PM1_POWER_BTN);
    check_uint("no SCI before SCI_EN", r.sci.level, 0);
    acpi_pm_enable(&r.pm, true);
    check_uint("SCI_EN reads back", acpi_pm_control_read(&r.pm, 0, 2), PM1_CNT_SCI_EN);
    check_uint("SCI follows", r.sci.level, 1);
    acpi_pm_event_write(&r.pm, 0, 2, PM1_TIMER);
    check_uint("clearing another bit keeps it", r.sci.level, 1);
    acpi_pm_raise_gpe(&r.pm, 3);
    acpi_pm_event_write(&r.pm, 0, 4, (uint32_t)PM1_POWER_BTN << 16 | PM1_POWER_BTN);
    check_uint("one access clears status and keeps enable", acpi_pm_event_read(&r.pm, 0, 4),
               (uint32_t)PM1_POWER_BTN << 16);
    check_uint("SCI low", r.sci.level, 0);
    acpi_pm_event_write(&r.pm, 2, 2, 0xffff);
    check_uint("enable has only real bits", acpi_pm_event_read(&r.pm, 2, 2), 0x0521);
    acpi_pm_event_write(&r.pm, 3, 1, 0);
    check_uint("byte write", acpi_pm_event_read(&r.pm, 2, 2), 0x0021);
    check_uint("edges", r.line.edges, 1);
}

static void test_gpe(void)
{
    struct rig r;

    rig_init(&r);
    acpi_pm_enable(&r.pm, true);
    acpi_pm_raise_gpe(&r.pm, 3);
    check_uint("gpe: latched while disabled", acpi_pm_gpe_read(&r.pm, 0, 1), 8);
    check_uint("gpe: no SCI", r.sci.level, 0);
    acpi_pm_gpe_write(&r.pm, 2, 1, 8);
    check_uint("gpe: enabling raises", r.sci.level, 1);
    acpi_pm_gpe_write(&r.pm, 0, 1, 4);
    check_uint("gpe: other bit", r.sci.level, 1);
    acpi_pm_gpe_write(&r.pm, 0, 1, 8);
    check_uint("gpe: cleared", r.sci.level, 0);
    acpi_pm_raise_gpe(&r.pm, 15);
    check_uint("gpe: second byte", acpi_pm_gpe_read(&r.pm, 1, 1), 0x80);
    acpi_pm_raise_gpe(&r.pm, 31);
    check_uint("gpe: those that do not exist", acpi_pm_gpe_read(&r.pm, 0, 4), 0x00088000);
    acpi_pm_reset(&r.pm);
    check_uint("gpe: reset", acpi_pm_gpe_read(&r.pm, 0, 4), 0);
}

static void test_sleep(void)
{
    struct rig r;

    rig_init(&r);
    acpi_pm_control_write(&r.pm, 0, 2, 5 << 10);
    check_uint("sleep: type alone does nothing", r.sleeps, 0);
    acpi_pm_control_write(&r.pm, 0, 2, 0x2000 | 5 << 10);
    check_uint("sleep: requested", r.sleeps, 1);
    check_uint("sleep: type", r.type, 5);
    check_uint("sleep: SLP_EN reads as zero", acpi_pm_control_read(&r.pm, 0, 2), 5 << 10);
    acpi_pm_control_write(&r.pm, 1, 1, 0x20);
    check_uint("sleep: by the upper byte", r.sleeps, 2);
    check_uint("sleep: type 0", r.type, 0);
    check_uint("sleep: nothing beyond the register", acpi_pm_control_read(&r.pm, 2, 2), 0);
}

static void test_smbus(void)
{
    struct piix4_smbus_chip s;

    piix4_smbus_reset(&s);
    piix4_smbus_write(&s, 4, 0xa1);
    check_uint("smbus: address", piix4_smbus_read(&s, 4), 0xa1);
    piix4_smbus_write(&s, 2, 0x48);
    check_uint("smbus: start reads as zero", piix4_smbus_read(&s, 2), 0x08);
    check_uint("smbus: no device answers", piix4_smbus_read(&s, 0), 0x04);
    piix4_smbus_write(&s, 0, 0x04);
    check_uint("smbus: status cleared", piix4_smbus_read(&s, 0), 0);
}

int main(void)
{
    test_timer();
    test_overflow();
    test_timer_interrupt();
    test_sci();
    test_gpe();
    test_sleep();
    test_smbus();
    return check_result();
}
