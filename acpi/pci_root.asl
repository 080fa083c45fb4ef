/*
 * The PCI host bridge and its windows. A board decides where the memory windows are:
 *   PCMB, PCML  first and last byte of the window below 4 GiB
 *   PC6B, PC6L  first and last byte of the window above 4 GiB; PC6L = 0: there is none
 * The wiring of slots to interrupt links is in the ISA bridge's part (piix3.asl).
 */
DefinitionBlock ("", "SSDT", 2, "LUNIK ", "PCIROOT ", 1)
{
    Device (\_SB.PCI0)
    {
        Name (_HID, EisaId ("PNP0A03"))
        Name (_UID, Zero)
        Name (_PXM, Zero) // close to the first node

        Name (PCMB, 0x12345678)
        Name (PCML, 0x12345678)
        Name (PC6B, 0x1234567812345678)
        Name (PC6L, 0x1234567812345678)

        Name (CRSL, ResourceTemplate ()
        {
            WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode, 0, 0, 255, 0, 256)
            // Configuration mechanism 1, decoded by the bridge itself
            IO (Decode16, 0x0CF8, 0x0CF8, 1, 8)
            WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
                0, 0x0000, 0x0CF7, 0, 0x0CF8)
            // 0xae00-0xafff is left to the board: general-purpose events and hotplug
            WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
                0, 0x0D00, 0xADFF, 0, 0xA100)
            WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
                0, 0xB000, 0xFFFF, 0, 0x5000)
            DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, Cacheable, ReadWrite,
                0, 0x000A0000, 0x000BFFFF, 0, 0x00020000)
            DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite,
                0, 0, 0, 0, 1, , , MEML)
        })
        CreateDWordField (CRSL, MEML._MIN, LMIN)
        CreateDWordField (CRSL, MEML._MAX, LMAX)
        CreateDWordField (CRSL, MEML._LEN, LLEN)

        Name (CRSH, ResourceTemplate ()
        {
            QWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, Cacheable, ReadWrite,
                0, 0, 0, 0, 1, , , MEMH)
        })
        CreateQWordField (CRSH, MEMH._MIN, HMIN)
        CreateQWordField (CRSH, MEMH._MAX, HMAX)
        CreateQWordField (CRSH, MEMH._LEN, HLEN)

        Method (_CRS, 0, Serialized)
        {
            LMIN = PCMB
            LMAX = PCML
            LLEN = PCML - PCMB + 1
            If (PC6L == 0)
            {
                Return (CRSL)
            }

            HMIN = PC6B
            HMAX = PC6L
            HLEN = PC6L - PC6B + 1
            Return (ConcatenateResTemplate (CRSL, CRSH))
        }
    }
}
