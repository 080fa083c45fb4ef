/*
 * i440fx_pam.h: the PAM registers of the i440fx (290549-001, section 3.2.14), which switch
 * 0xc0000-0xfffff between PCI and RAM.
 *
 * The board leaves 0xa0000-0xfffff of its RAM unmapped; this part shows it where PAM says so.
 * Accesses that PAM does not send to RAM go to PCI.
 */
#ifndef PCI_I440FX_PAM_H
#define PCI_I440FX_PAM_H

#include "lunik_device.h"

/* Registers in configuration space; the attribute bits that exist. */
#define I440FX_PAM0      0x59
#define I440FX_PAM_LAST  0x5f
#define I440FX_PAM0_BITS 0x30
#define I440FX_PAM_BITS  0x33

#define I440FX_PAM_END      0x100000u
#define I440FX_PAM_SEGMENTS 13 /* twelve of 16 KiB, then 64 KiB */

struct i440fx_pam_segment {
    struct i440fx_pam *pam;
    uint32_t base;
    lunik_region *ram;    /* reads, and perhaps writes, go to RAM */
    lunik_region *shadow; /* writes go to RAM, reads to PCI */
};

/* Embed it, zeroed. */
struct i440fx_pam {
    lunik_machine *machine;
    const uint8_t *config; /* configuration space of the host bridge */
    /* Both sides of a write-only segment: PCI below 1 MiB, RAM above. */
    lunik_region *sides, *pci_side, *ram_side;
    lunik_space *sides_space;
    struct i440fx_pam_segment segments[I440FX_PAM_SEGMENTS];
};

/* Makes the regions, owned by o, that show parts of pci and ram; after an error the caller calls
 * i440fx_pam_close(). */
int i440fx_pam_open(struct i440fx_pam *p, lunik_object *o, const uint8_t *config, lunik_region *pci,
                    lunik_region *ram, lunik_error *err);
/* Drops the regions. Does nothing to one that was not opened. */
void i440fx_pam_close(struct i440fx_pam *p);
/* Shows each segment as its register says. */
int i440fx_pam_update(struct i440fx_pam *p, lunik_error *err);

#endif
