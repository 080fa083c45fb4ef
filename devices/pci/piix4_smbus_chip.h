/* piix4_smbus_chip.h: the PIIX4's SMBus host controller as a register model, with an empty bus. */
#ifndef PCI_PIIX4_SMBUS_CHIP_H
#define PCI_PIIX4_SMBUS_CHIP_H

#include "lunik_device.h"

#define PIIX4_SMBUS_PORTS 16

struct piix4_smbus_chip {
    uint8_t registers[PIIX4_SMBUS_PORTS];
};

void piix4_smbus_reset(struct piix4_smbus_chip *s);
uint8_t piix4_smbus_read(const struct piix4_smbus_chip *s, unsigned offset);
void piix4_smbus_write(struct piix4_smbus_chip *s, unsigned offset, uint8_t value);

/* The registers as ports; opaque is the struct piix4_smbus_chip. */
extern const lunik_io_ops piix4_smbus_ops;
extern const lunik_state_table piix4_smbus_chip_state;

#endif
