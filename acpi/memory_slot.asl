/*
 * One memory slot. Used once for each slot, in the scope of memory_hotplug.asl's container, which
 * has the methods that all slots share; _UID is the slot's number. Guests evaluate every slot's
 * _STA several times when they start, so it is a register; the methods do nothing but pass the
 * number on. They are Serialized, as all are in these parts, because others are parsed when they
 * are loaded to see whether they should be.
 */
// @digits UNIT MP00
// @offset UNIT _STA
DefinitionBlock ("", "SSDT", 2, "LUNIK ", "MEMSLOT ", 1)
{
    External (MHSR, OpRegionObj)
    External (MCRS, MethodObj)
    External (MPXM, MethodObj)
    External (MOST, MethodObj)
    External (MEJ0, MethodObj)

    Device (MP00)
    {
        Name (_HID, EisaId ("PNP0C80"))
        Name (_UID, 0x12345678)
        Field (MHSR, ByteAcc, NoLock, Preserve)
        {
            Offset (255),
            _STA, 8
        }
        Method (_CRS, 0, Serialized) { Return (MCRS (_UID)) }
        Method (_PXM, 0, Serialized) { Return (MPXM (_UID)) }
        Method (_OST, 3, Serialized) { MOST (_UID, Arg0, Arg1) }
        Method (_EJ0, 1, Serialized) { MEJ0 (_UID) }
    }
}
