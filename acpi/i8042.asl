/*
 * The two devices behind an i8042 keyboard controller; its ports 0x60 and 0x64 are fixed.
 *   KIRQ  the keyboard's interrupt number (GSI)
 *   MIRQ  the mouse's
 */
// @isa
DefinitionBlock ("", "SSDT", 2, "LUNIK ", "I8042   ", 1)
{
    Device (KBD)
    {
        Name (_HID, EisaId ("PNP0303"))
        Name (KIRQ, 0x12345678)

        Name (CRSB, ResourceTemplate ()
        {
            IO (Decode16, 0x0060, 0x0060, 1, 1)
            IO (Decode16, 0x0064, 0x0064, 1, 1)
            Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive, , , LINE) { 0 }
        })
        CreateDWordField (CRSB, LINE._INT, LINT)

        Method (_CRS, 0, Serialized)
        {
            LINT = KIRQ
            Return (CRSB)
        }
    }

    Device (MOU)
    {
        Name (_HID, EisaId ("PNP0F13"))
        Name (MIRQ, 0x12345678)

        Name (CRSB, ResourceTemplate ()
        {
            Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive, , , LINE) { 0 }
        })
        CreateDWordField (CRSB, LINE._INT, LINT)

        Method (_CRS, 0, Serialized)
        {
            LINT = MIRQ
            Return (CRSB)
        }
    }
}
