/*
 * CPUs that can be plugged: the register block that selects one CPU at a time, the container of the
 * CPUs, and the methods they share. Each CPU's device is cpu_first.asl or a copy of cpu_slot.asl;
 * CTFY, which notifies CPU Arg0 of Arg1, is made when the tables are assembled.
 *   CHIO  first of the 12 I/O ports
 *   CHGP  the general-purpose event that asks for a look at the CPUs
 */
// @digits CHGP _E00
DefinitionBlock ("", "SSDT", 2, "LUNIK ", "CPUHP   ", 1)
{
    External (\_SB.CPUS.CTFY, MethodObj)

    Device (\_SB.CPUS)
    {
        Name (_HID, "ACPI0010")
        Name (_CID, EisaId ("PNP0A05"))

        Name (CHIO, 0x12345678)
        Name (CHGP, 0x12345678)

        OperationRegion (PRST, SystemIO, CHIO, 12)
        Field (PRST, ByteAcc, NoLock, WriteAsZeros)
        {
            Offset (4),
            CPEN, 1, // the CPU is there
            CINS, 1, // it was plugged; cleared by writing 1
            CRMV, 1, // it is to be unplugged; cleared by writing 1
            CEJ,  1, // writing 1 ejects
            Offset (5),
            CCMD, 8, // 0: select the next CPU with an event; 1, 2: event, status of an _OST
        }
        Field (PRST, DWordAcc, NoLock, Preserve)
        {
            CSEL, 32, // selects a CPU
            Offset (8),
            CDAT, 32,
        }

        // Held from the selection of a CPU to the last access to its registers
        Mutex (CPLK, 0)

        // Until something writes 0 here, the ports are those of older machines
        Method (_INI, 0, Serialized)
        {
            CSEL = Zero
        }

        // _STA of CPU Arg0
        Method (CSTA, 1, Serialized)
        {
            Acquire (CPLK, 0xFFFF)
            CSEL = Arg0
            Local0 = Zero
            If (CPEN)
            {
                Local0 = 0x0F
            }
            Release (CPLK)
            Return (Local0)
        }

        // _MAT of CPU Arg0: its local APIC as in the MADT, enabled
        Method (CMAT, 1, Serialized)
        {
            Local0 = Buffer () { 0, 8, 0, 0, 1, 0, 0, 0 }
            Local0[2] = Arg0
            Local0[3] = Arg0
            Return (Local0)
        }

        // _OST of CPU Arg0: event Arg1, status Arg2
        Method (COST, 3, Serialized)
        {
            Acquire (CPLK, 0xFFFF)
            CSEL = Arg0
            CCMD = 1
            CDAT = Arg1
            CCMD = 2
            CDAT = Arg2
            Release (CPLK)
        }

        // _EJ0 of CPU Arg0
        Method (CEJ0, 1, Serialized)
        {
            Acquire (CPLK, 0xFFFF)
            CSEL = Arg0
            CEJ = 1
            Release (CPLK)
        }

        // Passes on what happened to the CPUs. An event is cleared before it is passed on, so that
        // one which comes meanwhile is not lost.
        Method (CSCN, 0, Serialized)
        {
            Acquire (CPLK, 0xFFFF)
            CSEL = Zero
            Local0 = One
            While (Local0)
            {
                Local0 = Zero
                CCMD = Zero
                If (CINS)
                {
                    Local1 = CDAT
                    CINS = 1
                    CTFY (Local1, 1) // device check
                    Local0 = One
                }
                ElseIf (CRMV)
                {
                    Local1 = CDAT
                    CRMV = 1
                    CTFY (Local1, 3) // eject request
                    Local0 = One
                }
            }
            Release (CPLK)
        }
    }

    Method (\_GPE._E00, 0, Serialized)
    {
        \_SB.CPUS.CSCN ()
    }
}
