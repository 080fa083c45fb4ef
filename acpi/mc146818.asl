/*
 * The MC146818 real-time clock.
 *   RIOB  first I/O port
 *   RIRQ  interrupt number
 */
DefinitionBlock ("", "SSDT", 2, "LUNIK ", "MC146818", 1)
{
    Device (\_SB.RTC)
    {
        Name (_HID, EisaId ("PNP0B00"))
        Name (RIOB, 0x12345678)
        Name (RIRQ, 0x12345678)

        Name (CRSB, ResourceTemplate ()
        {
            IO (Decode16, 0, 0, 1, 2, PORT)
            IRQNoFlags (LINE) { 8 }
        })
        CreateWordField (CRSB, PORT._MIN, PMIN)
        CreateWordField (CRSB, PORT._MAX, PMAX)
        CreateWordField (CRSB, LINE._INT, LINT)

        Method (_CRS)
        {
            PMIN = RIOB
            PMAX = RIOB
            LINT = 1 << RIRQ
            Return (CRSB)
        }
    }
}
