/* Suspend to memory: SLP_TYP for PM1a_CNT, SLP_TYP for PM1b_CNT. */
DefinitionBlock ("", "SSDT", 2, "LUNIK ", "PIIX4S3 ", 1)
{
    Name (\_S3, Package (4) { 1, 1, 0, 0 })
}
