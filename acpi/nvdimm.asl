/*
 * The root device of NVDIMMs (ACPI 6.0, section 9.20) and the methods that its children share. A
 * call fills in a page of memory and writes its address to a port; the answer is in the same page.
 * Each NVDIMM is a copy of nvdimm_slot.asl.
 *   NVIO  I/O port
 *   NVGP  the general-purpose event that asks for a look at the NFIT
 *   MEMA  address of the page
 */
// @digits NVGP _E00
DefinitionBlock ("", "SSDT", 2, "LUNIK ", "NVDIMM  ", 1)
{
    Device (\_SB.NVDR)
    {
        Name (_HID, "ACPI0012")

        Name (NVIO, 0x12345678)
        Name (NVGP, 0x12345678)
        Name (MEMA, 0x12345678)

        OperationRegion (NPIO, SystemIO, NVIO, 4)
        Field (NPIO, DWordAcc, NoLock, Preserve)
        {
            NTFI, 32
        }
        OperationRegion (NRAM, SystemMemory, MEMA, 4096)
        Field (NRAM, DWordAcc, NoLock, Preserve)
        {
            HDLE, 32,   // handle
            REVS, 32,   // revision
            FUNC, 32,   // function
            FARG, 32672 // argument
        }
        Field (NRAM, DWordAcc, NoLock, Preserve)
        {
            RLEN, 32,   // length of the answer, with these four bytes
            RDAT, 32736 // status and result
        }

        // Calls function Arg1 with the buffer Arg2 for handle Arg0. Returns status and result; status
        // 1 (not supported) if there is no answer.
        Method (NCAL, 3, Serialized)
        {
            HDLE = Arg0
            REVS = 1
            FUNC = Arg1
            FARG = Arg2
            NTFI = MEMA
            Local0 = RLEN
            If (Local0 < 8 || Local0 > 4096)
            {
                Return (Buffer (4) { 1 })
            }
            Local1 = RDAT
            Return (Mid (Local1, 0, Local0 - 4))
        }

        // The status at the start of what NCAL returned
        Method (NSTA, 1, Serialized)
        {
            Return (ToInteger (Mid (Arg0, 0, 4)))
        }

        // _DSM of handle Arg4
        Method (NDSM, 5, Serialized)
        {
            If (Arg4)
            {
                Local0 = ToUUID ("4309ac30-0d11-11e4-9191-0800200c9a66")
            }
            Else
            {
                Local0 = ToUUID ("2f10e7a4-9e91-11e4-89d3-123b93f75cba")
            }
            If (Arg0 != Local0 || Arg1 != 1)
            {
                If (Arg2)
                {
                    Return (Buffer (4) { 1 })
                }
                Return (Buffer (1) { 0 })
            }
            Local1 = Buffer (1) { 0 }
            If (ObjectType (Arg3) == 4)
            {
                If (SizeOf (Arg3) == 1)
                {
                    Local1 = DerefOf (Arg3 [0])
                }
            }
            Return (NCAL (Arg4, Arg2, Local1))
        }

        Method (_DSM, 4, Serialized)
        {
            Return (NDSM (Arg0, Arg1, Arg2, Arg3, 0))
        }

        // Two numbers as a buffer
        Method (NPAR, 2, Serialized)
        {
            Local0 = Buffer (8) { 0 }
            CreateDWordField (Local0, 0, LOW)
            CreateDWordField (Local0, 4, HIGH)
            LOW = Arg0
            HIGH = Arg1
            Return (Local0)
        }

        // The structures of the NFIT, read in pieces; from the start again if they change meanwhile
        Method (_FIT, 0, Serialized)
        {
            Local0 = Buffer (0) { }
            While (One)
            {
                Local1 = NCAL (0x10000, 1, NPAR (SizeOf (Local0), 0))
                Local2 = NSTA (Local1)
                If (Local2 == 0x100)
                {
                    Local0 = Buffer (0) { }
                    Continue
                }
                If (Local2 || SizeOf (Local1) <= 4)
                {
                    Return (Local0)
                }
                Concatenate (Local0, Mid (Local1, 4, 4096), Local0)
            }
            Return (Local0)
        }

        // What the label methods return for a status of _DSM: 0 success, 1 failure, 2 bad arguments
        Method (NLST, 1, Serialized)
        {
            Local0 = NSTA (Arg0)
            If (Local0 == 3)
            {
                Return (2)
            }
            If (Local0)
            {
                Return (1)
            }
            Return (0)
        }

        // _LSI, _LSR and _LSW of handle Arg0
        Method (NLSI, 1, Serialized)
        {
            Local0 = NCAL (Arg0, 4, NPAR (0, 0))
            Local1 = Package (3) { 1, 0, 0 }
            If (SizeOf (Local0) >= 12)
            {
                Local1 [0] = NLST (Local0)
                Local1 [1] = ToInteger (Mid (Local0, 4, 4))
                Local1 [2] = ToInteger (Mid (Local0, 8, 4))
            }
            Return (Local1)
        }
        Method (NLSR, 3, Serialized)
        {
            Local0 = NCAL (Arg0, 5, NPAR (Arg1, Arg2))
            Local1 = Package (2) { 0, 0 }
            Local1 [0] = NLST (Local0)
            Local1 [1] = Mid (Local0, 4, 4096)
            Return (Local1)
        }
        Method (NLSW, 4, Serialized)
        {
            Return (NLST (NCAL (Arg0, 6, Concatenate (NPAR (Arg1, Arg2), Arg3))))
        }
    }

    Method (\_GPE._E00, 0, Serialized)
    {
        Notify (\_SB.NVDR, 0x80) // the NFIT has changed
    }
}
