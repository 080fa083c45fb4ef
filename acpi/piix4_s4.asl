/*
 * Suspend to disk.
 *   S4TP  SLP_TYP for PM1a_CNT
 */
// @bytes S4TP 7E 7F
DefinitionBlock ("", "SSDT", 2, "LUNIK ", "PIIX4S4 ", 1)
{
    Name (\_S4, Package (4) { 0x7E, 0x7F, 0, 0 })
}
