/* piix4_pm.h: the PIIX4's power management function, for the files that make it up. */
#ifndef PCI_PIIX4_PM_H
#define PCI_PIIX4_PM_H

#include "acpi_pm_chip.h"
#include "pci.h"
#include "piix4_smbus_chip.h"

#define PM_EVENT   0x00
#define PM_CONTROL 0x04
#define PM_TIMER   0x08
#define PM_PORTS   0x40

#define GPE0_PORTS 4

#define APM_PORT         0xb2 /* command, then status */
#define APM_ACPI_ENABLE  0xf1
#define APM_ACPI_DISABLE 0xf0

struct piix4_pm {
    lunik_object *bus;
    char *addr;
    uint64_t sci_irq, pm_base, smb_base, gpe_base, reset_port, reset_value;

    lunik_pci_function function;
    struct acpi_pm_chip pm;
    lunik_irq sci;
    lunik_timer timer;
    struct piix4_smbus_chip smbus;
    uint8_t apm[2];
    bool disable_s3, disable_s4;
    uint64_t s4_val;
    bool asleep; /* only up to date while it is saved or loaded */
    lunik_region *pm_ports, *event_port, *control_port, *timer_port;
    lunik_region *gpe_port, *apm_port, *smbus_port;
};

/* piix4_ports.c: makes the port ranges, or fails; drops those that there are. */
int piix4_ports_new(struct piix4_pm *s, lunik_error *err);
void piix4_ports_drop(struct piix4_pm *s);

/* piix4_sleep.c: what happens when the guest asks for a sleep state, and in it. */
void piix4_sleep(struct piix4_pm *s, unsigned type);
extern const lunik_sleep_ops piix4_sleep_ops;
/* The ACPI nodes of the sleep states that there are besides soft-off. */
bool piix4_describe_sleep(lunik_object *o, unsigned index, lunik_acpi_node *out);

#endif
