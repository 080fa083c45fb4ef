/*
 * The power management function of the PIIX4. The FADT describes its fixed hardware (power button,
 * timer, events); this part has the function itself and the sleep type of soft-off. Those of S3 and S4
 * are piix4_s3.asl and piix4_s4.asl.
 *   _ADR  slot << 16 | function
 */
DefinitionBlock ("", "SSDT", 2, "LUNIK ", "PIIX4PM ", 1)
{
    External (\_SB.PCI0, DeviceObj)

    // SLP_TYP for PM1a_CNT, SLP_TYP for PM1b_CNT
    Name (\_S5, Package (4) { 0, 0, 0, 0 })

    Device (\_SB.PCI0.PM)
    {
        Name (_ADR, 0x00010003)
    }
}
