/*
 * A 16550 serial port. May be used several times.
 *   SIOB  first I/O port
 *   SIRQ  interrupt number (GSI)
 */
// @isa
// @digits UNIT SR00
DefinitionBlock ("", "SSDT", 2, "LUNIK ", "SERIAL  ", 1)
{
    Device (SR00)
    {
        Name (_HID, EisaId ("PNP0501"))
        Name (_UID, 0x12345678)
        Name (SIOB, 0x12345678)
        Name (SIRQ, 0x12345678)

        Name (CRSB, ResourceTemplate ()
        {
            IO (Decode16, 0, 0, 1, 8, PORT)
            Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive, , , LINE) { 0 }
        })
        CreateWordField (CRSB, PORT._MIN, PMIN)
        CreateWordField (CRSB, PORT._MAX, PMAX)
        CreateDWordField (CRSB, LINE._INT, LINT)

        Method (_CRS, 0, Serialized)
        {
            PMIN = SIOB
            PMAX = SIOB
            LINT = SIRQ
            Return (CRSB)
        }
    }
}
