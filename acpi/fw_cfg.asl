/*
 * The firmware configuration device.
 *   FWIO  first I/O port
 *   FWLN  how many ports: 12 with DMA, else 2
 */
// @isa
DefinitionBlock ("", "SSDT", 2, "LUNIK ", "FWCFG   ", 1)
{
    Device (FWCF)
    {
        Name (_HID, "QEMU0002")
        Name (_STA, 0x0B)
        Name (FWIO, 0x12345678)
        Name (FWLN, 0x12345678)

        Name (CRSB, ResourceTemplate ()
        {
            IO (Decode16, 0, 0, 1, 12, PORT)
        })
        CreateWordField (CRSB, PORT._MIN, PMIN)
        CreateWordField (CRSB, PORT._MAX, PMAX)
        CreateByteField (CRSB, PORT._LEN, PLEN)

        Method (_CRS, 0, Serialized)
        {
            PMIN = FWIO
            PMAX = FWIO
            PLEN = FWLN
            Return (CRSB)
        }
    }
}
