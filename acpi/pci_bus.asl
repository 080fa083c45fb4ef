/*
 * The scope of a PCI bus with slots, apart from these. PNTF, which notifies slot Arg0 of
 * Arg1, is made when the tables are assembled.
 *   BSEL  the bus's number in the registers of pci_hotplug.asl, whose mutex callers of PSCN hold
 */
DefinitionBlock ("", "SSDT", 2, "LUNIK ", "PCIBUS  ", 1)
{
    External (PNTF, MethodObj)
    External (BNUM, IntObj)
    External (PCIU, IntObj)
    External (PCID, IntObj)

    Name (BSEL, 0x12345678)

    // Notifies the slots in mask Arg0 of Arg1
    Method (DVNT, 2, Serialized)
    {
        Local0 = Arg0
        While (Local0)
        {
            FindSetRightBit (Local0, Local1)
            PNTF (Local1 - 1, Arg1)
            Local0 &= Local0 - 1
        }
    }

    // Passes on what happened to the slots
    Method (PSCN, 0, Serialized)
    {
        BNUM = BSEL
        DVNT (PCIU, 1) // device check
        DVNT (PCID, 3) // eject request
    }
}
