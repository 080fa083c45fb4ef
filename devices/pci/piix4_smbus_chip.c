/*
 * piix4_smbus_chip.c: SMBus host controller of the Intel 82371AB (PIIX4; 290562-001, section 7.3).
 *
 * No device answers on the bus: every transaction ends at once with a device error. Not modelled:
 * the slave side, interrupts and block data.
 */
#include <string.h>

#include "piix4_smbus_chip.h"

#define SMBHSTSTS       0x00
#define SMBHSTSTS_ERROR 0x04 /* no acknowledge */
#define SMBHSTSTS_CLEAR 0x1e /* write 1 to clear */
#define SMBSLVSTS       0x01
#define SMBSLVSTS_CLEAR 0x3c
#define SMBHSTCNT       0x02
#define SMBHSTCNT_START 0x40 /* reads as 0 */
#define SMBHSTCNT_BITS  0x1d
#define SMBHSTCMD       0x03
#define SMBHSTDAT1      0x06
#define SMBSLVCNT       0x08
#define SMBSLVCNT_BITS  0x0f

void piix4_smbus_reset(struct piix4_smbus_chip *s)
{
    memset(s, 0, sizeof *s);
}

uint8_t piix4_smbus_read(const struct piix4_smbus_chip *s, unsigned offset)
{
    return offset < PIIX4_SMBUS_PORTS ? s->registers[offset] : 0xff;
}

void piix4_smbus_write(struct piix4_smbus_chip *s, unsigned offset, uint8_t value)
{
    switch (offset) {
    case SMBHSTSTS:
        s->registers[offset] &= (uint8_t) ~(value & SMBHSTSTS_CLEAR);
        break;
    case SMBSLVSTS:
        s->registers[offset] &= (uint8_t) ~(value & SMBSLVSTS_CLEAR);
        break;
    case SMBHSTCNT:
        s->registers[offset] = value & SMBHSTCNT_BITS;
        if (value & SMBHSTCNT_START)
            s->registers[SMBHSTSTS] |= SMBHSTSTS_ERROR;
        break;
    case SMBSLVCNT:
        s->registers[offset] = value & SMBSLVCNT_BITS;
        break;
    default:
        if (offset >= SMBHSTCMD && offset <= SMBHSTDAT1)
            s->registers[offset] = value;
    }
}
