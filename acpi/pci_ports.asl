/*
 * The ports of pci_hotplug.asl's registers.
 *   PHIO  first of the 32 I/O ports
 */
// @isa
DefinitionBlock ("", "SSDT", 2, "LUNIK ", "PCIPORTS", 1)
{
    Device (PHPD)
    {
        Name (_HID, EisaId ("PNP0A06"))
        Name (_UID, "PCI slot ports")

        Name (PHIO, 0x12345678)

        Name (CRSB, ResourceTemplate ()
        {
            IO (Decode16, 0, 0, 1, 32, PORT)
        })
        CreateWordField (CRSB, PORT._MIN, PMIN)
        CreateWordField (CRSB, PORT._MAX, PMAX)
        Method (_CRS, 0, Serialized)
        {
            PMIN = PHIO
            PMAX = PHIO
            Return (CRSB)
        }
    }
}
