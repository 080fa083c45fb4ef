/* piix4_smbus.h: the PIIX4's SMBus host controller as a register model, with an empty bus. */
#ifndef PCI_PIIX4_SMBUS_H
#define PCI_PIIX4_SMBUS_H

#include <stdint.h>

#define PIIX4_SMBUS_PORTS 16

typedef struct piix4_smbus {
    uint8_t registers[PIIX4_SMBUS_PORTS];
} piix4_smbus;

void piix4_smbus_reset(piix4_smbus *s);
uint8_t piix4_smbus_read(const piix4_smbus *s, unsigned offset);
void piix4_smbus_write(piix4_smbus *s, unsigned offset, uint8_t value);

#endif
