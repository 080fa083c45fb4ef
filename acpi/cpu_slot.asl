/*
 * A CPU that can be plugged. Used once for each but the first (cpu_first.asl), in the scope of
 * cpu_hotplug.asl's container, which has the methods that all share; _UID is that of its MADT entry.
 */
// @digits UNIT C000
DefinitionBlock ("", "SSDT", 2, "LUNIK ", "CPUSLOT ", 1)
{
    External (CSTA, MethodObj)
    External (CMAT, MethodObj)
    External (COST, MethodObj)
    External (CEJ0, MethodObj)

    Device (C000)
    {
        Name (_HID, "ACPI0007")
        Name (_UID, 0x12345678)
        Name (_PXM, 0x12345678)
        Method (_STA, 0, Serialized) { Return (CSTA (_UID)) }
        Method (_MAT, 0, Serialized) { Return (CMAT (_UID)) }
        Method (_OST, 3, Serialized) { COST (_UID, Arg0, Arg1) }
        Method (_EJ0, 1, Serialized) { CEJ0 (_UID) }
    }
}
