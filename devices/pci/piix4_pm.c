/*
 * piix4_pm.c: Intel 82371AB (PIIX4), function 3: ACPI power management and SMBus (290562-001,
 * chapter 7), and the GPE block 0 and SMI command ports that go with it on the boards of QEMU.
 *
 * piix4_ports.c has the ports, piix4_sleep.c the sleep states. Not modelled: SMI (a write to the
 * command port does what the SMI handler of a firmware would do), device monitors, clock and
 * thermal control, the chip's own GP status block.
 */
#include <inttypes.h>

#include "lunik_trace.h"
#include "piix4_pm.h"
#include "../ports.h"
#include "../types.h"

#define PIIX4_PMBA       0x40
#define PMBA_ADDRESS     0xffc0
#define PIIX4_DEVACTB    0x58
#define DEVACTB_APMC_EN  0x02 /* in byte 3 */
#define PIIX4_PMREGMISC  0x80
#define PMREGMISC_PMIOSE 0x01
#define PIIX4_SMBBA      0x90
#define SMBBA_ADDRESS    0xfff0
#define PIIX4_SMBHSTCFG  0xd2
#define SMBHSTCFG_EN     0x01

/* ---- configuration -------------------------------------------------------------------------- */

static uint16_t pm_address(const struct piix4_pm *s)
{
    return lunik_pci_get_word(s->function.config, PIIX4_PMBA) & PMBA_ADDRESS;
}

static void move_ports(lunik_region *region, uint16_t address, bool on)
{
    lunik_region_set_offset(region, address, NULL);
    lunik_region_set_enabled(region, on, NULL);
}

/* Makes the port ranges follow the configuration registers, or leaves them as they were. */
static int map_ports(void *state, lunik_error *err)
{
    struct piix4_pm *s = state;
    const uint8_t *config = s->function.config;

    lunik_transaction_begin(lunik_object_machine(lunik_state_object(s)));
    move_ports(s->pm_ports, pm_address(s), config[PIIX4_PMREGMISC] & PMREGMISC_PMIOSE);
    move_ports(s->smbus_port, lunik_pci_get_word(config, PIIX4_SMBBA) & SMBBA_ADDRESS,
               config[PIIX4_SMBHSTCFG] & SMBHSTCFG_EN);
    return lunik_transaction_commit(lunik_object_machine(lunik_state_object(s)), err);
}

static void update_ports(struct piix4_pm *s)
{
    lunik_error err;

    if (map_ports(s, &err))
        lunik_pci_map_failed(&s->function, &err);
}

static void config_written(lunik_pci_function *f, unsigned offset, unsigned size)
{
    if (offset >= PIIX4_PMBA)
        update_ports(lunik_container_of(f, struct piix4_pm, function));
}

static void reset(lunik_object *o)
{
    struct piix4_pm *s = lunik_state(o);

    acpi_pm_reset(&s->pm);
    piix4_smbus_reset(&s->smbus);
    s->apm[0] = s->apm[1] = 0;
    lunik_pci_function_reset(&s->function);
    update_ports(s);
}

/* ---- timers and sleep ----------------------------------------------------------------------- */

static void timer_fired(lunik_timer *timer)
{
    acpi_pm_update(&lunik_container_of(timer, struct piix4_pm, timer)->pm);
    lunik_machine_wake(timer->machine, LUNIK_WAKE_PM_TIMER);
}

static void sleep_requested(struct acpi_pm_chip *pm, unsigned type)
{
    piix4_sleep(lunik_container_of(pm, struct piix4_pm, pm), type);
}

/* ---- life cycle ----------------------------------------------------------------------------- */

static void init_function(struct piix4_pm *s)
{
    lunik_pci_function *f = &s->function;

    lunik_pci_function_init(f, lunik_state_object(s), 0x8086, 0x7113, 0x03, 0x068000);
    f->written = config_written;
    lunik_pci_set_word(f->writable, LUNIK_PCI_COMMAND, LUNIK_PCI_COMMAND_IO);
    lunik_pci_set_word(f->initial, LUNIK_PCI_STATUS,
                       LUNIK_PCI_STATUS_FAST_B2B | LUNIK_PCI_STATUS_DEVSEL_MED);
    f->initial[LUNIK_PCI_INTERRUPT_LINE] = (uint8_t)s->sci_irq;
    f->initial[LUNIK_PCI_INTERRUPT_PIN] = 1;

    lunik_pci_set_long(f->initial, PIIX4_PMBA, (uint32_t)s->pm_base | 1);
    lunik_pci_set_long(f->writable, PIIX4_PMBA, PMBA_ADDRESS);
    f->initial[PIIX4_PMREGMISC] = s->pm_base ? PMREGMISC_PMIOSE : 0;
    f->writable[PIIX4_PMREGMISC] = PMREGMISC_PMIOSE;
    /* On: firmware takes it that its SMI handler for the command port is in place. */
    f->initial[PIIX4_DEVACTB + 3] = DEVACTB_APMC_EN;
    for (unsigned i = 0; i < 4; i++)
        f->writable[PIIX4_DEVACTB + i] = 0xff;

    lunik_pci_set_long(f->initial, PIIX4_SMBBA, (uint32_t)s->smb_base | 1);
    lunik_pci_set_long(f->writable, PIIX4_SMBBA, SMBBA_ADDRESS);
    f->initial[PIIX4_SMBHSTCFG] = s->smb_base ? SMBHSTCFG_EN : 0;
    f->writable[PIIX4_SMBHSTCFG] = 0x0f;
}

static void unrealize(lunik_object *o)
{
    struct piix4_pm *s = lunik_state(o);

    lunik_pci_device_remove(&s->function);
    piix4_ports_drop(s);
    lunik_timer_cancel(&s->timer);
    lunik_irq_disconnect(&s->sci);
}

static int check_port(const char *prop, uint64_t value, uint64_t mask, lunik_error *err)
{
    if (value & ~mask)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "piix4-pm: %s: '0x%" PRIx64
                          "' is no possible address (want a multiple of 0x%" PRIx64
                          " below 0x10000)",
                          prop, value, mask & -mask);
    return 0;
}

static int realize(lunik_object *o, lunik_error *err)
{
    struct piix4_pm *s = lunik_state(o);
    lunik_machine *m = lunik_object_machine(o);
    int rc = check_port("pm-base", s->pm_base, PMBA_ADDRESS, err);

    if (!rc)
        rc = check_port("smb-base", s->smb_base, SMBBA_ADDRESS, err);
    if (!rc)
        rc = check_port("gpe-base", s->gpe_base, 0xfffc, err);
    if (!rc)
        rc = lunik_irq_connect(m, &s->sci, (unsigned)s->sci_irq, err);
    if (rc)
        return rc;
    lunik_timer_init(&s->timer, m, timer_fired);
    s->pm = (struct acpi_pm_chip){
        .clock = lunik_machine_clock(m),
        .sci = &s->sci,
        .timer = &s->timer,
        .sleep = sleep_requested,
    };
    init_function(s);
    rc = piix4_ports_new(s, err);
    if (!rc)
        rc = lunik_pci_device_add(s->bus, s->addr, &s->function, err);
    if (rc) {
        unrealize(o);
        return rc;
    }
    reset(o);
    return 0;
}

/* ---- properties and interfaces -------------------------------------------------------------- */

static const lunik_prop props[] = {
    LUNIK_PCI_DEVICE_PROPS(struct piix4_pm, "1.3"),
    {
        .name = "sci",
        .kind = LUNIK_PROP_UINT,
        .doc = "Interrupt line of the SCI, 1 to 15: the tables name it by its ISA number.",
        .offset = offsetof(struct piix4_pm, sci_irq),
        .def = 9,
        .min = 1,
        .max = 15,
    },
    DEVICE_UINT_PROP("pm-base", struct piix4_pm, pm_base,
                     "First of the 64 PM ports after reset, 0 = left to firmware.", 0x600, 0xffff),
    DEVICE_UINT_PROP("smb-base", struct piix4_pm, smb_base,
                     "First of the 16 SMBus ports after reset, 0 = left to firmware.", 0x700,
                     0xffff),
    DEVICE_UINT_PROP("gpe-base", struct piix4_pm, gpe_base,
                     "First port of GPE block 0: 2 status and 2 enable bytes.", 0xafe0, 0xffff),
    DEVICE_UINT_PROP("reset-port", struct piix4_pm, reset_port,
                     "The port that the ACPI tables name as the reset register, 0 = none.", 0xcf9,
                     0xffff),
    {
        .name = "reset-value",
        .kind = LUNIK_PROP_UINT,
        .doc = "The value to write there.",
        .offset = offsetof(struct piix4_pm, reset_value),
        .def = 6,
        .max = 0xff,
    },
    {
        .name = "disable-s3",
        .kind = LUNIK_PROP_BOOL,
        .doc = "The guest can't suspend to memory (S3).",
        .offset = offsetof(struct piix4_pm, disable_s3),
    },
    {
        .name = "disable-s4",
        .kind = LUNIK_PROP_BOOL,
        .doc = "The guest can't suspend to disk (S4).",
        .offset = offsetof(struct piix4_pm, disable_s4),
    },
    {
        .name = "s4-val",
        .kind = LUNIK_PROP_UINT,
        .doc = "The sleep type of S4, 2 to 7.",
        .offset = offsetof(struct piix4_pm, s4_val),
        .def = 2,
        .min = 2,
        .max = 7,
    },
    {0},
};

static void raise_event(lunik_object *o, unsigned gpe)
{
    struct piix4_pm *s = lunik_state(o);

    lunik_trace(lunik_object_machine(o), "gpe", o, LUNIK_FIELD_UINT("gpe", gpe));
    acpi_pm_raise_gpe(&s->pm, gpe);
}

static int press_button(lunik_object *o, lunik_error *err)
{
    struct piix4_pm *s = lunik_state(o);
    lunik_machine *m = lunik_object_machine(o);

    lunik_emit_fields(m, "powerdown", NULL, 0);
    if (lunik_machine_state(m) == LUNIK_STATE_SUSPENDED)
        lunik_machine_wake(m, LUNIK_WAKE_POWER_BUTTON);
    else
        acpi_pm_set_status(&s->pm, PM1_POWER_BTN);
    return 0;
}

static void get_hardware(lunik_object *o, lunik_acpi_pm *out)
{
    const struct piix4_pm *s = lunik_state(o);
    uint16_t base = pm_address(s);

    *out = (lunik_acpi_pm){
        .sci = (uint16_t)s->sci_irq,
        .smi_cmd = APM_PORT,
        .acpi_enable = APM_ACPI_ENABLE,
        .acpi_disable = APM_ACPI_DISABLE,
        .pm1_evt = base + PM_EVENT,
        .pm1_cnt = base + PM_CONTROL,
        .pm_tmr = base + PM_TIMER,
        .gpe0 = (uint16_t)s->gpe_base,
        .gpe0_len = GPE0_PORTS,
        .reset_port = (uint16_t)s->reset_port,
        .reset_value = (uint8_t)s->reset_value,
    };
}

static void describe(lunik_object *o, lunik_acpi_node *out)
{
    const struct piix4_pm *s = lunik_state(o);

    pci_describe(out, "piix4_pm", &s->function);
}

static const lunik_gpe_ops gpe_iface = {.count = ACPI_PM_GPES, .raise = raise_event};
static const lunik_power_button_ops power_button_iface = {.press = press_button};
static const lunik_acpi_pm_ops acpi_pm_iface = {.get = get_hardware};
static const lunik_acpi_ops acpi_iface = {
    .describe = describe,
    .describe_more = piix4_describe_sleep,
};

static const lunik_iface ifaces[] = {
    LUNIK_IFACE(gpe, &gpe_iface),         LUNIK_IFACE(power_button, &power_button_iface),
    LUNIK_IFACE(acpi_pm, &acpi_pm_iface), LUNIK_IFACE(acpi, &acpi_iface),
    LUNIK_IFACE(sleep, &piix4_sleep_ops), {0},
};

/* ---- state ---------------------------------------------------------------------------------- */

static int pre_save(void *state, lunik_error *err)
{
    struct piix4_pm *s = state;

    s->asleep = lunik_machine_asleep(lunik_object_machine(lunik_state_object(s)));
    return 0;
}

static void loaded(void *state)
{
    const struct piix4_pm *s = state;

    lunik_machine_set_asleep(lunik_object_machine(lunik_state_object(s)), s->asleep);
}

static const lunik_state_field state_fields[] = {
    LUNIK_STATE_STRUCT(struct piix4_pm, function, &lunik_pci_function_state),
    LUNIK_STATE_STRUCT(struct piix4_pm, pm, &acpi_pm_chip_state),
    LUNIK_STATE_STRUCT(struct piix4_pm, smbus, &piix4_smbus_chip_state),
    LUNIK_STATE_ARRAY(struct piix4_pm, apm),
    LUNIK_STATE(struct piix4_pm, asleep, .since = 2),
    {0},
};

static const lunik_state_table state_table = {
    .name = "piix4-pm",
    .version = 2,
    .min_version = 1,
    .size = sizeof(struct piix4_pm),
    .fields = state_fields,
    .pre_save = pre_save,
    .map = map_ports,
    .loaded = loaded,
};

const lunik_type piix4_pm_type = {
    .name = "piix4-pm",
    .doc = "Intel 82371AB ACPI power management and SMBus function, with GPE block 0.",
    .flags = LUNIK_TYPE_DEVICE,
    .size = sizeof(struct piix4_pm),
    .props = props,
    .ifaces = ifaces,
    .realize = realize,
    .unrealize = unrealize,
    .reset = reset,
    .state = &state_table,
};
