/*
 * The PIIX3 ISA bridge: PIRQ routing registers 0x60-0x63 as interrupt link devices, and the wiring
 * of the slots' pins to them: pin p (0 = INTA) of slot s goes to PIRQ (s + p - 1) mod 4.
 * Slot 1 is the chipset's own; its INTA is the power management function's fixed SCI.
 *   _ADR  slot << 16 | function
 *   SCIN  the interrupt number of the SCI
 */
DefinitionBlock ("", "SSDT", 2, "LUNIK ", "PIIX3   ", 1)
{
    External (\_SB.PCI0, DeviceObj)

    Device (\_SB.PCI0.ISA)
    {
        Name (_ADR, 0x00010000)
        OperationRegion (PIRQ, PCI_Config, 0x60, 4)
        Field (PIRQ, ByteAcc, NoLock, Preserve)
        {
            PRQA, 8,
            PRQB, 8,
            PRQC, 8,
            PRQD, 8
        }
    }

    Scope (\_SB)
    {
        // Bit 7 of a routing register disconnects its link, bits 3:0 are the interrupt number.
        Name (LNKP, ResourceTemplate ()
        {
            Interrupt (ResourceConsumer, Level, ActiveHigh, Shared) { 5, 10, 11 }
        })

        // _STA: present always, enabled when connected
        Method (LSTA, 1, Serialized)
        {
            If (Arg0 & 0x80)
            {
                Return (0x09)
            }
            Return (0x0B)
        }

        // _CRS: the interrupt a register's value stands for, 0 when disconnected
        Method (LCRS, 1, Serialized)
        {
            Local0 = ResourceTemplate ()
            {
                Interrupt (ResourceConsumer, Level, ActiveHigh, Shared) { 0 }
            }
            CreateDWordField (Local0, 5, LINT)
            If (!(Arg0 & 0x80))
            {
                LINT = Arg0 & 0x0F
            }
            Return (Local0)
        }

        // _SRS: the register's value for the interrupt in a resource buffer
        Method (LSRS, 1, Serialized)
        {
            CreateDWordField (Arg0, 5, LINT)
            Return (LINT)
        }

        Device (LNKA)
        {
            Name (_HID, EisaId ("PNP0C0F"))
            Name (_UID, 0)
            Method (_STA, 0, Serialized) { Return (LSTA (\_SB.PCI0.ISA.PRQA)) }
            Method (_PRS, 0, Serialized) { Return (LNKP) }
            Method (_CRS, 0, Serialized) { Return (LCRS (\_SB.PCI0.ISA.PRQA)) }
            Method (_SRS, 1, Serialized) { \_SB.PCI0.ISA.PRQA = LSRS (Arg0) }
            Method (_DIS, 0, Serialized) { \_SB.PCI0.ISA.PRQA |= 0x80 }
        }

        Device (LNKB)
        {
            Name (_HID, EisaId ("PNP0C0F"))
            Name (_UID, 1)
            Method (_STA, 0, Serialized) { Return (LSTA (\_SB.PCI0.ISA.PRQB)) }
            Method (_PRS, 0, Serialized) { Return (LNKP) }
            Method (_CRS, 0, Serialized) { Return (LCRS (\_SB.PCI0.ISA.PRQB)) }
            Method (_SRS, 1, Serialized) { \_SB.PCI0.ISA.PRQB = LSRS (Arg0) }
            Method (_DIS, 0, Serialized) { \_SB.PCI0.ISA.PRQB |= 0x80 }
        }

        Device (LNKC)
        {
            Name (_HID, EisaId ("PNP0C0F"))
            Name (_UID, 2)
            Method (_STA, 0, Serialized) { Return (LSTA (\_SB.PCI0.ISA.PRQC)) }
            Method (_PRS, 0, Serialized) { Return (LNKP) }
            Method (_CRS, 0, Serialized) { Return (LCRS (\_SB.PCI0.ISA.PRQC)) }
            Method (_SRS, 1, Serialized) { \_SB.PCI0.ISA.PRQC = LSRS (Arg0) }
            Method (_DIS, 0, Serialized) { \_SB.PCI0.ISA.PRQC |= 0x80 }
        }

        Device (LNKD)
        {
            Name (_HID, EisaId ("PNP0C0F"))
            Name (_UID, 3)
            Method (_STA, 0, Serialized) { Return (LSTA (\_SB.PCI0.ISA.PRQD)) }
            Method (_PRS, 0, Serialized) { Return (LNKP) }
            Method (_CRS, 0, Serialized) { Return (LCRS (\_SB.PCI0.ISA.PRQD)) }
            Method (_SRS, 1, Serialized) { \_SB.PCI0.ISA.PRQD = LSRS (Arg0) }
            Method (_DIS, 0, Serialized) { \_SB.PCI0.ISA.PRQD |= 0x80 }
        }

        // The SCI is not routed: one possible setting, always enabled.
        Device (LNKS)
        {
            Name (_HID, EisaId ("PNP0C0F"))
            Name (_UID, 4)
            Name (SCIN, 0x09)
            Name (LNKR, ResourceTemplate ()
            {
                Interrupt (ResourceConsumer, Level, ActiveHigh, Shared) { 0 }
            })
            CreateDWordField (LNKR, 5, LINT)
            Method (_PRS, 0, Serialized)
            {
                LINT = SCIN
                Return (LNKR)
            }
            Method (_CRS, 0, Serialized) { Return (_PRS ()) }
            Method (_SRS, 1, Serialized) { }
            Method (_DIS, 0, Serialized) { }
        }
    }

    Scope (\_SB.PCI0)
    {
        Name (_PRT, Package (128)
        {
            Package () { 0x0000FFFF, 0, LNKD, 0 },
            Package () { 0x0000FFFF, 1, LNKA, 0 },
            Package () { 0x0000FFFF, 2, LNKB, 0 },
            Package () { 0x0000FFFF, 3, LNKC, 0 },
            Package () { 0x0001FFFF, 0, LNKS, 0 },
            Package () { 0x0001FFFF, 1, LNKB, 0 },
            Package () { 0x0001FFFF, 2, LNKC, 0 },
            Package () { 0x0001FFFF, 3, LNKD, 0 },
            Package () { 0x0002FFFF, 0, LNKB, 0 },
            Package () { 0x0002FFFF, 1, LNKC, 0 },
            Package () { 0x0002FFFF, 2, LNKD, 0 },
            Package () { 0x0002FFFF, 3, LNKA, 0 },
            Package () { 0x0003FFFF, 0, LNKC, 0 },
            Package () { 0x0003FFFF, 1, LNKD, 0 },
            Package () { 0x0003FFFF, 2, LNKA, 0 },
            Package () { 0x0003FFFF, 3, LNKB, 0 },
            Package () { 0x0004FFFF, 0, LNKD, 0 },
            Package () { 0x0004FFFF, 1, LNKA, 0 },
            Package () { 0x0004FFFF, 2, LNKB, 0 },
            Package () { 0x0004FFFF, 3, LNKC, 0 },
            Package () { 0x0005FFFF, 0, LNKA, 0 },
            Package () { 0x0005FFFF, 1, LNKB, 0 },
            Package () { 0x0005FFFF, 2, LNKC, 0 },
            Package () { 0x0005FFFF, 3, LNKD, 0 },
            Package () { 0x0006FFFF, 0, LNKB, 0 },
            Package () { 0x0006FFFF, 1, LNKC, 0 },
            Package () { 0x0006FFFF, 2, LNKD, 0 },
            Package () { 0x0006FFFF, 3, LNKA, 0 },
            Package () { 0x0007FFFF, 0, LNKC, 0 },
            Package () { 0x0007FFFF, 1, LNKD, 0 },
            Package () { 0x0007FFFF, 2, LNKA, 0 },
            Package () { 0x0007FFFF, 3, LNKB, 0 },
            Package () { 0x0008FFFF, 0, LNKD, 0 },
            Package () { 0x0008FFFF, 1, LNKA, 0 },
            Package () { 0x0008FFFF, 2, LNKB, 0 },
            Package () { 0x0008FFFF, 3, LNKC, 0 },
            Package () { 0x0009FFFF, 0, LNKA, 0 },
            Package () { 0x0009FFFF, 1, LNKB, 0 },
            Package () { 0x0009FFFF, 2, LNKC, 0 },
            Package () { 0x0009FFFF, 3, LNKD, 0 },
            Package () { 0x000AFFFF, 0, LNKB, 0 },
            Package () { 0x000AFFFF, 1, LNKC, 0 },
            Package () { 0x000AFFFF, 2, LNKD, 0 },
            Package () { 0x000AFFFF, 3, LNKA, 0 },
            Package () { 0x000BFFFF, 0, LNKC, 0 },
            Package () { 0x000BFFFF, 1, LNKD, 0 },
            Package () { 0x000BFFFF, 2, LNKA, 0 },
            Package () { 0x000BFFFF, 3, LNKB, 0 },
            Package () { 0x000CFFFF, 0, LNKD, 0 },
            Package () { 0x000CFFFF, 1, LNKA, 0 },
            Package () { 0x000CFFFF, 2, LNKB, 0 },
            Package () { 0x000CFFFF, 3, LNKC, 0 },
            Package () { 0x000DFFFF, 0, LNKA, 0 },
            Package () { 0x000DFFFF, 1, LNKB, 0 },
            Package () { 0x000DFFFF, 2, LNKC, 0 },
            Package () { 0x000DFFFF, 3, LNKD, 0 },
            Package () { 0x000EFFFF, 0, LNKB, 0 },
            Package () { 0x000EFFFF, 1, LNKC, 0 },
            Package () { 0x000EFFFF, 2, LNKD, 0 },
            Package () { 0x000EFFFF, 3, LNKA, 0 },
            Package () { 0x000FFFFF, 0, LNKC, 0 },
            Package () { 0x000FFFFF, 1, LNKD, 0 },
            Package () { 0x000FFFFF, 2, LNKA, 0 },
            Package () { 0x000FFFFF, 3, LNKB, 0 },
            Package () { 0x0010FFFF, 0, LNKD, 0 },
            Package () { 0x0010FFFF, 1, LNKA, 0 },
            Package () { 0x0010FFFF, 2, LNKB, 0 },
            Package () { 0x0010FFFF, 3, LNKC, 0 },
            Package () { 0x0011FFFF, 0, LNKA, 0 },
            Package () { 0x0011FFFF, 1, LNKB, 0 },
            Package () { 0x0011FFFF, 2, LNKC, 0 },
            Package () { 0x0011FFFF, 3, LNKD, 0 },
            Package () { 0x0012FFFF, 0, LNKB, 0 },
            Package () { 0x0012FFFF, 1, LNKC, 0 },
            Package () { 0x0012FFFF, 2, LNKD, 0 },
            Package () { 0x0012FFFF, 3, LNKA, 0 },
            Package () { 0x0013FFFF, 0, LNKC, 0 },
            Package () { 0x0013FFFF, 1, LNKD, 0 },
            Package () { 0x0013FFFF, 2, LNKA, 0 },
            Package () { 0x0013FFFF, 3, LNKB, 0 },
            Package () { 0x0014FFFF, 0, LNKD, 0 },
            Package () { 0x0014FFFF, 1, LNKA, 0 },
            Package () { 0x0014FFFF, 2, LNKB, 0 },
            Package () { 0x0014FFFF, 3, LNKC, 0 },
            Package () { 0x0015FFFF, 0, LNKA, 0 },
            Package () { 0x0015FFFF, 1, LNKB, 0 },
            Package () { 0x0015FFFF, 2, LNKC, 0 },
            Package () { 0x0015FFFF, 3, LNKD, 0 },
            Package () { 0x0016FFFF, 0, LNKB, 0 },
            Package () { 0x0016FFFF, 1, LNKC, 0 },
            Package () { 0x0016FFFF, 2, LNKD, 0 },
            Package () { 0x0016FFFF, 3, LNKA, 0 },
            Package () { 0x0017FFFF, 0, LNKC, 0 },
            Package () { 0x0017FFFF, 1, LNKD, 0 },
            Package () { 0x0017FFFF, 2, LNKA, 0 },
            Package () { 0x0017FFFF, 3, LNKB, 0 },
            Package () { 0x0018FFFF, 0, LNKD, 0 },
            Package () { 0x0018FFFF, 1, LNKA, 0 },
            Package () { 0x0018FFFF, 2, LNKB, 0 },
            Package () { 0x0018FFFF, 3, LNKC, 0 },
            Package () { 0x0019FFFF, 0, LNKA, 0 },
            Package () { 0x0019FFFF, 1, LNKB, 0 },
            Package () { 0x0019FFFF, 2, LNKC, 0 },
            Package () { 0x0019FFFF, 3, LNKD, 0 },
            Package () { 0x001AFFFF, 0, LNKB, 0 },
            Package () { 0x001AFFFF, 1, LNKC, 0 },
            Package () { 0x001AFFFF, 2, LNKD, 0 },
            Package () { 0x001AFFFF, 3, LNKA, 0 },
            Package () { 0x001BFFFF, 0, LNKC, 0 },
            Package () { 0x001BFFFF, 1, LNKD, 0 },
            Package () { 0x001BFFFF, 2, LNKA, 0 },
            Package () { 0x001BFFFF, 3, LNKB, 0 },
            Package () { 0x001CFFFF, 0, LNKD, 0 },
            Package () { 0x001CFFFF, 1, LNKA, 0 },
            Package () { 0x001CFFFF, 2, LNKB, 0 },
            Package () { 0x001CFFFF, 3, LNKC, 0 },
            Package () { 0x001DFFFF, 0, LNKA, 0 },
            Package () { 0x001DFFFF, 1, LNKB, 0 },
            Package () { 0x001DFFFF, 2, LNKC, 0 },
            Package () { 0x001DFFFF, 3, LNKD, 0 },
            Package () { 0x001EFFFF, 0, LNKB, 0 },
            Package () { 0x001EFFFF, 1, LNKC, 0 },
            Package () { 0x001EFFFF, 2, LNKD, 0 },
            Package () { 0x001EFFFF, 3, LNKA, 0 },
            Package () { 0x001FFFFF, 0, LNKC, 0 },
            Package () { 0x001FFFFF, 1, LNKD, 0 },
            Package () { 0x001FFFFF, 2, LNKA, 0 },
            Package () { 0x001FFFFF, 3, LNKB, 0 },
        })
    }
}
