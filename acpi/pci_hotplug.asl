/*
 * PCI hotplug: the register block that selects one bus at a time, and the methods that all slots
 * share. The scope of a bus is in pci_bus.asl, each slot is a copy of pci_slot.asl. \_SB.PCNT,
 * which looks at all buses, is made when the tables are assembled.
 *   PHIO  first of the 32 I/O ports (pci_ports.asl)
 *   PHGP  the general-purpose event that asks for a look at the slots
 */
// @digits PHGP _E00
DefinitionBlock ("", "SSDT", 2, "LUNIK ", "PCIHP   ", 1)
{
    External (\_SB.PCI0, DeviceObj)
    External (\_SB.PCNT, MethodObj)

    Scope (\_SB.PCI0)
    {
        Name (PHIO, 0x12345678)

        OperationRegion (PHPR, SystemIO, PHIO, 32)
        Field (PHPR, DWordAcc, NoLock, WriteAsZeros)
        {
            PCIU, 32, // slots that were filled: a bit for each; cleared by reading
            PCID, 32, // slots that are asked for
            B0EJ, 32, // ejects a slot
            PCRM, 32, // slots whose devices can go
            BNUM, 32, // selects a bus
            PIDX, 32, // selects a slot, then reads as its acpi-index
            OSTE, 32, // _OST of that slot: event
            OSTS, 32, // _OST: status; concludes the report
        }

        // Held from the selection of a bus to the last access to its registers
        Mutex (BLCK, 0)

        // _EJ0 of slot Arg1 on bus Arg0
        Method (PCEJ, 2, Serialized)
        {
            Acquire (BLCK, 0xFFFF)
            BNUM = Arg0
            B0EJ = 1 << Arg1
            Release (BLCK)
            Return (Zero)
        }

        // _OST of slot Arg1 on bus Arg0: event Arg2, status Arg3
        Method (PCOS, 4, Serialized)
        {
            Acquire (BLCK, 0xFFFF)
            BNUM = Arg0
            PIDX = 1 << Arg1
            OSTE = Arg2
            OSTS = Arg3
            Release (BLCK)
        }

        // The acpi-index of slot Arg1 on bus Arg0, 0: it has none
        Method (AIDX, 2, Serialized)
        {
            Acquire (BLCK, 0xFFFF)
            BNUM = Arg0
            PIDX = 1 << Arg1
            Local0 = PIDX
            Release (BLCK)
            Return (Local0)
        }

        // _DSM of slot Arg4 on bus Arg3: UUID Arg0, revision Arg1, function Arg2. It has one
        // function, 7: the device's index and name.
        Method (PDSM, 5, Serialized)
        {
            If (Arg0 != ToUUID ("E5C937D0-3553-4D7A-9117-EA4D19C3434D") || Arg1 < 2)
            {
                Return (Buffer (1) { 0 })
            }
            Local0 = AIDX (Arg3, Arg4)
            If (Arg2 == 0)
            {
                If (Local0)
                {
                    Return (Buffer (1) { 0x81 })
                }
                Return (Buffer (1) { 0 })
            }
            If (Arg2 == 7)
            {
                Local1 = Package (2) { 0, "" }
                Local1 [0] = Local0
                Return (Local1)
            }
            Return (Buffer (1) { 0 })
        }
    }

    Method (\_GPE._E00, 0, Serialized)
    {
        Acquire (\_SB.PCI0.BLCK, 0xFFFF)
        \_SB.PCNT ()
        Release (\_SB.PCI0.BLCK)
    }
}
