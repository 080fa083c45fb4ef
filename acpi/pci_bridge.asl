/*
 * A PCI-to-PCI bridge whose bus has slots; it is named for its place, slot * 8 + function.
 *   _ADR  slot << 16 | function
 */
// @digits UNIT B000
DefinitionBlock ("", "SSDT", 2, "LUNIK ", "PCIBRIDG", 1)
{
    Device (B000)
    {
        Name (_ADR, 0x12345678)
    }
}
