/*
 * Memory slots: the register block that selects one slot at a time, the container of the slots, and
 * the methods they share. Each slot's device is a copy of memory_slot.asl; MNTF, which notifies slot
 * Arg0 of Arg1, is made when the tables are assembled. The memory in the slots is in no window of
 * the PCI bus, so they are not below its bridge; their ports are (memory_ports.asl).
 *   MHIO  first of the 24 I/O ports, which one port for each slot follows
 *   MHSL  number of slots
 *   MHGP  the general-purpose event that asks for a look at the slots
 */
// @digits MHGP _E00
DefinitionBlock ("", "SSDT", 2, "LUNIK ", "MEMHP   ", 1)
{
    External (\_SB.MHPC.MNTF, MethodObj)

    Device (\_SB.MHPC)
    {
        Name (_HID, EisaId ("PNP0A06"))
        Name (_UID, "memory slots")

        Name (MHIO, 0x12345678)
        Name (MHSL, 0x12345678)
        Name (MHGP, 0x12345678)

        OperationRegion (MHPR, SystemIO, MHIO, 24)
        Field (MHPR, DWordAcc, NoLock, Preserve)
        {
            ADDR, 64, // of the selected slot's memory
            SIZE, 64,
            NODE, 32, // proximity domain
        }
        Field (MHPR, DWordAcc, NoLock, WriteAsZeros)
        {
            SLOT, 32, // selects a slot
            OSTE, 32, // _OST: event
            OSTS, 32, // _OST: status; concludes the report
        }
        Field (MHPR, ByteAcc, NoLock, WriteAsZeros)
        {
            Offset (20),
            , 1,     // the slot holds memory
            EVNT, 2, // 1 inserted, 2 to be removed; cleared by writing the same
            EJCT, 1, // writing 1 ejects
        }

        // A port for each slot, which reads as its _STA
        OperationRegion (MHSR, SystemIO, MHIO + 24, 256)

        // Held from the selection of a slot to the last access to its registers
        Mutex (MLCK, 0)

        // _CRS of slot Arg0
        Method (MCRS, 1, Serialized)
        {
            Local0 = ResourceTemplate ()
            {
                QWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, Cacheable, ReadWrite,
                    0, 0, 0, 0, 1)
            }
            CreateQWordField (Local0, 14, RMIN)
            CreateQWordField (Local0, 22, RMAX)
            CreateQWordField (Local0, 38, RLEN)
            Acquire (MLCK, 0xFFFF)
            SLOT = Arg0
            RMIN = ADDR
            RLEN = SIZE
            Release (MLCK)
            RMAX = RMIN + RLEN - 1
            Return (Local0)
        }

        // _PXM of slot Arg0
        Method (MPXM, 1, Serialized)
        {
            Acquire (MLCK, 0xFFFF)
            SLOT = Arg0
            Local0 = NODE
            Release (MLCK)
            Return (Local0)
        }

        // _OST of slot Arg0: event Arg1, status Arg2
        Method (MOST, 3, Serialized)
        {
            Acquire (MLCK, 0xFFFF)
            SLOT = Arg0
            OSTE = Arg1
            OSTS = Arg2
            Release (MLCK)
        }

        // _EJ0 of slot Arg0
        Method (MEJ0, 1, Serialized)
        {
            Acquire (MLCK, 0xFFFF)
            SLOT = Arg0
            EJCT = 1
            Release (MLCK)
        }

        // Passes on what happened to the slots. An event is cleared before it is passed on, so that
        // one which comes meanwhile is not lost.
        Method (MSCN, 0, Serialized)
        {
            Acquire (MLCK, 0xFFFF)
            Local0 = Zero
            Local1 = MHSL
            While (Local0 < Local1)
            {
                SLOT = Local0
                If (EVNT)
                {
                    Local2 = EVNT
                    If (Local2 & 1)
                    {
                        EVNT = 1
                        MNTF (Local0, 1) // device check
                    }
                    If (Local2 & 2)
                    {
                        EVNT = 2
                        MNTF (Local0, 3) // eject request
                    }
                }
                Local0++
            }
            Release (MLCK)
        }
    }

    Method (\_GPE._E00, 0, Serialized)
    {
        \_SB.MHPC.MSCN ()
    }
}
