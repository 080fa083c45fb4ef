/*
 * The first CPU where CPUs can be plugged, in the scope of cpu_hotplug.asl's container: it can't be
 * ejected.
 */
DefinitionBlock ("", "SSDT", 2, "LUNIK ", "CPUFIRST", 1)
{
    External (CSTA, MethodObj)
    External (CMAT, MethodObj)
    External (COST, MethodObj)

    Device (C000)
    {
        Name (_HID, "ACPI0007")
        Name (_UID, Zero)
        Name (_PXM, 0x12345678)
        Method (_STA, 0, Serialized) { Return (CSTA (Zero)) }
        Method (_MAT, 0, Serialized) { Return (CMAT (Zero)) }
        Method (_OST, 3, Serialized) { COST (Zero, Arg0, Arg1) }
    }
}
