/*
 * piix4_smbus_chip.c: SMBus host controller of the Intel 82371AB (PIIX4; 290562-001, section 7.3).
 *
 * No device answers on the bus: every transaction ends at once with a device error. Not modelled:
 * the slave side, interrupts and block data.
 */
#include <string.h>

#include "piix4_smbus_chip.h"
#include "../ports.h"

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

/* ---- ports ---------------------------------------------------------------------------------- */

static lunik_access port_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    *value = piix4_smbus_read(opaque, (unsigned)offset);
    return LUNIK_ACCESS_OK;
}

static lunik_access port_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    piix4_smbus_write(opaque, (unsigned)offset, (uint8_t)value);
    return LUNIK_ACCESS_OK;
}

const lunik_io_ops piix4_smbus_ops = {
    .read = port_read,
    .write = port_write,
    DEVICE_BYTE_PORTS,
};

/* ---- state ---------------------------------------------------------------------------------- */

static const lunik_state_field state_fields[] = {
    LUNIK_STATE_ARRAY(struct piix4_smbus_chip, registers),
    {0},
};

const lunik_state_table piix4_smbus_chip_state = {
    .name = "smbus",
    .version = 1,
    .size = sizeof(struct piix4_smbus_chip),
    .fields = state_fields,
};
