/*
 * A processor. Used once for each vCPU; _UID is that of its MADT entry.
 */
// @digits UNIT C000
DefinitionBlock ("", "SSDT", 2, "LUNIK ", "CPU     ", 1)
{
    Device (C000)
    {
        Name (_HID, "ACPI0007")
        Name (_UID, 0x12345678)
    }
}
