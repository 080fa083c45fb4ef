/*
 * The NVDIMM that is or may be in a memory slot. Used once for each slot, in the scope of
 * nvdimm.asl's root device, which has the methods that all share; _ADR is the handle by which the
 * NFIT names it.
 */
// @digits UNIT NV00
DefinitionBlock ("", "SSDT", 2, "LUNIK ", "NVSLOT  ", 1)
{
    External (NDSM, MethodObj)
    External (NLSI, MethodObj)
    External (NLSR, MethodObj)
    External (NLSW, MethodObj)

    Device (NV00)
    {
        Name (UNIT, 0x12345678)
        Method (_ADR, 0, Serialized) { Return (UNIT + 1) }
        Method (_DSM, 4, Serialized) { Return (NDSM (Arg0, Arg1, Arg2, Arg3, UNIT + 1)) }
        Method (_LSI, 0, Serialized) { Return (NLSI (UNIT + 1)) }
        Method (_LSR, 2, Serialized) { Return (NLSR (UNIT + 1, Arg0, Arg1)) }
        Method (_LSW, 3, Serialized) { Return (NLSW (UNIT + 1, Arg0, Arg1, Arg2)) }
    }
}
