/*
 * One slot of a PCI bus, in the bus's scope; _SUN is its number, _ADR names its function 0.
 */
// @digits UNIT S000
DefinitionBlock ("", "SSDT", 2, "LUNIK ", "PCISLOT ", 1)
{
    External (BSEL, IntObj)
    External (PCEJ, MethodObj)
    External (PCOS, MethodObj)
    External (PDSM, MethodObj)

    Device (S000)
    {
        Name (_SUN, 0x12345678)
        Name (_ADR, 0x12345678)
        Method (_EJ0, 1, Serialized) { PCEJ (BSEL, _SUN) }
        Method (_OST, 3, Serialized) { PCOS (BSEL, _SUN, Arg0, Arg1) }
        Method (_DSM, 4, Serialized) { Return (PDSM (Arg0, Arg1, Arg2, BSEL, _SUN)) }
    }
}
