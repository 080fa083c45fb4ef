/*
 * The ports of cpu_hotplug.asl's registers.
 *   CHIO  first of the I/O ports: 12, and 32 until the guest has switched
 */
// @isa
DefinitionBlock ("", "SSDT", 2, "LUNIK ", "CPUPORTS", 1)
{
    Device (CHPD)
    {
        Name (_HID, EisaId ("PNP0A06"))
        Name (_UID, "CPU hotplug ports")

        Name (CHIO, 0x12345678)

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
            PLEN = 32
            PMIN = CHIO
            PMAX = CHIO + PLEN - 1
            Return (CRSB)
        }
    }
}
