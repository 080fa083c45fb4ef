/*
 * wake.c: where the guest goes on when a suspended machine wakes up.
 *
 * Firmware is entered at the reset vector and finds the guest's waking vector itself. Without
 * firmware the machine does what firmware would do last (ACPI 6.4, 5.2.10): it enters the vector
 * that the guest has written into the firmware control structure (FACS), in real mode, or, where
 * the guest has written the 64-bit field, in flat protected mode.
 */
#include <inttypes.h>

#include "boot.h"
#include "core/misuse.h"

#define FACS_SIZE            64
#define FACS_WAKING_VECTOR   12
#define FACS_X_WAKING_VECTOR 24

#define REAL_MODE_END 0x100000u

void lunik_boot_set_facs(lunik_machine *m, uint64_t address)
{
    NOT_NULL(m);

    if (m->boot)
        m->boot->facs = address;
}

static int fail(lunik_machine *m, const char *vector, uint64_t value, const char *want,
                lunik_error *err)
{
    return lunik_fail(err, LUNIK_E_STATE,
                      "machine '%s' can't wake up: %s of the FACS at 0x%" PRIx64 " is 0x%" PRIx64
                      " (want %s)",
                      m->name, vector, m->boot->facs, value, want);
}

/* Reads the vectors; 0 if there are none. The guest may have made the FACS anything. */
static void read_vectors(lunik_machine *m, uint32_t *vector, uint64_t *x_vector)
{
    uint8_t facs[FACS_SIZE] = {0};

    if (m->boot->facs)
        lunik_space_read(m->memory_space, m->boot->facs, facs, sizeof(facs));
    *vector = boot_get32(facs + FACS_WAKING_VECTOR);
    *x_vector = boot_get64(facs + FACS_X_WAKING_VECTOR);
}

int boot_find_waking(lunik_machine *m, struct boot_cpu *cpu, bool *found, lunik_error *err)
{
    uint64_t x_vector;
    uint32_t vector;

    *cpu = (struct boot_cpu){0};
    *found = false;
    if (m->boot->firmware)
        return 0;
    read_vectors(m, &vector, &x_vector);
    if (x_vector >= BOOT_4G)
        return fail(m, "X_Firmware_Waking_Vector", x_vector, "an address below 4 GiB", err);
    if (!x_vector && vector >= REAL_MODE_END)
        return fail(m, "Firmware_Waking_Vector", vector, "an address below 1 MiB", err);
    if (!x_vector && !vector && m->boot->images)
        return m->boot->facs
                   ? fail(m, "Firmware_Waking_Vector", 0, "one that the guest has set", err)
                   : lunik_fail(err, LUNIK_E_STATE,
                                "machine '%s' can't wake up: it has neither firmware nor "
                                "a FACS",
                                m->name);
    *found = x_vector || vector;
    cpu->real_mode = !x_vector;
    cpu->rip = x_vector ? x_vector : vector;
    return 0;
}

int boot_check_waking(lunik_machine *m, lunik_error *err)
{
    struct boot_cpu cpu;
    bool found;

    return boot_find_waking(m, &cpu, &found, err);
}
