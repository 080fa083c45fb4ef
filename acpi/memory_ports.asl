/*
 * The ports of memory_hotplug.asl's registers.
 *   MHIO  first of the 24 I/O ports, which one port for each slot follows
 *   MHSL  number of slots
 */
// @isa
DefinitionBlock ("", "SSDT", 2, "LUNIK ", "MEMPORTS", 1)
{
    Device (MHPD)
    {
        Name (_HID, EisaId ("PNP0A06"))
        Name (_UID, "memory slot ports")

        Name (MHIO, 0x12345678)
        Name (MHSL, 0x12345678)

        Name (CRSB, ResourceTemplate ()
        {
            WordIO (ResourceConsumer, MinFixed, MaxFixed, PosDecode, EntireRange,
                0, 0, 0, 0, 1, , , PORT)
        })
        CreateWordField (CRSB, PORT._MIN, PMIN)
        CreateWordField (CRSB, PORT._MAX, PMAX)
        CreateWordField (CRSB, PORT._LEN, PLEN)
        Method (_CRS, 0, Serialized)
        {
            PLEN = 24 + MHSL
            PMIN = MHIO
            PMAX = MHIO + PLEN - 1
            Return (CRSB)
        }
    }
}
