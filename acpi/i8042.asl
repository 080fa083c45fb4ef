/*
 * The two devices behind an i8042 keyboard controller; its ports 0x60 and 0x64 are fixed.
 *   KIRQ  the keyboard's interrupt number
 *   MIRQ  the mouse's
 */
DefinitionBlock ("", "SSDT", 2, "LUNIK ", "I8042   ", 1)
{
    Device (\_SB.KBD)
    {
        Name (_HID, EisaId ("PNP0303"))
        Name (KIRQ, 0x12345678)

        Name (CRSB, ResourceTemplate ()
        {
            IO (Decode16, 0x0060, 0x0060, 1, 1)
            IO (Decode16, 0x0064, 0x0064, 1, 1)
            IRQNoFlags (LINE) { 1 }
        })
        CreateWordField (CRSB, LINE._INT, LINT)

        Method (_CRS)
        {
            LINT = 1 << KIRQ
            Return (CRSB)
        }
    }

    Device (\_SB.MOU)
    {
        Name (_HID, EisaId ("PNP0F13"))
        Name (MIRQ, 0x12345678)

        Name (CRSB, ResourceTemplate ()
        {
            IRQNoFlags (LINE) { 12 }
        })
        CreateWordField (CRSB, LINE._INT, LINT)

        Method (_CRS)
        {
            LINT = 1 << MIRQ
            Return (CRSB)
        }
    }
}
