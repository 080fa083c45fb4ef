/*
 * The MC146818 real-time clock.
 *   RIOB  first I/O port
 *   RIRQ  interrupt number (GSI)
 */
// @isa
DefinitionBlock ("", "SSDT", 2, "LUNIK ", "MC146818", 1)
{
    Device (RTC)
    {
        Name (_HID, EisaId ("PNP0B00"))
        Name (RIOB, 0x12345678)
        Name (RIRQ, 0x12345678)

        Name (CRSB, ResourceTemplate ()
        {
            IO (Decode16, 0, 0, 1, 2, PORT)
            Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive, , , LINE) { 0 }
        })
        CreateWordField (CRSB, PORT._MIN, PMIN)
        CreateWordField (CRSB, PORT._MAX, PMAX)
        CreateDWordField (CRSB, LINE._INT, LINT)

        Method (_CRS, 0, Serialized)
        {
            PMIN = RIOB
            PMAX = RIOB
            LINT = RIRQ
            Return (CRSB)
        }
    }
}
