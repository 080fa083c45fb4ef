/*
 * The port through which the guest reports a panic.
 *   PEIO  the I/O port
 */
// @isa
DefinitionBlock ("", "SSDT", 2, "LUNIK ", "PVPANIC ", 1)
{
    Device (PEVT)
    {
        Name (_HID, "QEMU0001")
        Name (_STA, 0x0F)
        Name (PEIO, 0x12345678)

        OperationRegion (PEOR, SystemIO, PEIO, 1)
        Field (PEOR, ByteAcc, NoLock, Preserve)
        {
            PEPT, 8
        }
        Method (RDPT, 0, Serialized) { Return (PEPT) }
        Method (WRPT, 1, Serialized) { PEPT = Arg0 }

        Name (CRSB, ResourceTemplate ()
        {
            IO (Decode16, 0, 0, 1, 1, PORT)
        })
        CreateWordField (CRSB, PORT._MIN, PMIN)
        CreateWordField (CRSB, PORT._MAX, PMAX)
        Method (_CRS, 0, Serialized)
        {
            PMIN = PEIO
            PMAX = PEIO
            Return (CRSB)
        }
    }
}
