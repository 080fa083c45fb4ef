/*
 * irqchip.c: interrupt controllers that are devices of the machine: without KVM, or where KVM has
 * only the local APICs.
 */
#include "core/machine.h"
#include "core/misuse.h"
#include "kvm.h"
#include "vcpu.h"

/* ---- what happens to the controllers -------------------------------------------------------- */

void irqchips_line(lunik_machine *m, unsigned gsi, bool level)
{
    lunik_irqchip *chip;

    LIST_FOREACH (chip, &m->irqchips, link)
        if (chip->line)
            chip->line(chip, gsi, level);
}

void irqchips_elcr(lunik_machine *m, uint16_t level_triggered)
{
    lunik_irqchip *chip;

    LIST_FOREACH (chip, &m->irqchips, link)
        if (chip->elcr)
            chip->elcr(chip, level_triggered);
}

bool irqchips_message(const lunik_machine *m, unsigned gsi, lunik_msi *out)
{
    lunik_irqchip *chip;

    LIST_FOREACH (chip, &m->irqchips, link)
        if (chip->message)
            return chip->message(chip, gsi, out);
    return false;
}

void irqchips_end(lunik_machine *m, uint8_t vector)
{
    lunik_irqchip *chip;

    LIST_FOREACH (chip, &m->irqchips, link)
        if (chip->end)
            chip->end(chip, vector);
}

static lunik_irqchip *find_pic(const lunik_machine *m)
{
    lunik_irqchip *chip;

    LIST_FOREACH (chip, &m->irqchips, link)
        if (chip->acknowledge)
            return chip;
    return NULL;
}

bool irqchips_acknowledge(lunik_machine *m, uint8_t *vector)
{
    lunik_irqchip *pic = m->intr ? find_pic(m) : NULL;

    if (pic)
        *vector = pic->acknowledge(pic);
    return pic;
}

/* A failure leaves the table as it was: KVM had no memory for another. */
static void update_routes(lunik_machine *m)
{
    lunik_error err;

    if (m->kvm && m->kvm->power_on && kvm_routes_set(m, &err))
        lunik_emit(m, "error", LUNIK_FIELD_STRING("message", err.message),
                   LUNIK_FIELD_STRING("source", "irqchip"));
}

/* ---- the interface -------------------------------------------------------------------------- */

static int check_others(const lunik_machine *m, const lunik_irqchip *chip, lunik_error *err)
{
    const lunik_irqchip *other;

    LIST_FOREACH (other, &m->irqchips, link)
        if ((chip->acknowledge && other->acknowledge) || (chip->message && other->message))
            return lunik_fail(err, LUNIK_E_EXISTS, "machine '%s' has %s already", m->name,
                              chip->message ? "an I/O APIC" : "8259As");
    return 0;
}

int lunik_irqchip_add(lunik_machine *m, lunik_irqchip *chip, lunik_error *err)
{
    NOT_NULL_OR_FAIL(m, err);
    NOT_NULL_OR_FAIL(chip, err);
    REQUIRE_OR_FAIL(!chip->machine, "the controller is added already", err);

    int rc;

    if (!m->gsi)
        return machine_fail_closed(m, err);
    if (m->kvm && !m->kvm->split)
        return lunik_fail(err, LUNIK_E_UNSUPPORTED,
                          "machine '%s': its interrupt controllers and timer are KVM's (want "
                          "irqchip = \"split\")",
                          m->name);
    rc = check_others(m, chip, err);
    if (rc)
        return rc;
    chip->machine = m;
    LIST_INSERT_HEAD(&m->irqchips, chip, link);
    for (unsigned gsi = 0; chip->line && gsi < LUNIK_GSI_COUNT; gsi++)
        if (lunik_gsi_level(m, gsi))
            chip->line(chip, gsi, true);
    if (chip->message)
        update_routes(m);
    return 0;
}

void lunik_irqchip_remove(lunik_irqchip *chip)
{
    NOT_NULL(chip);

    if (!chip->machine)
        return;
    if (chip->acknowledge)
        lunik_irqchip_set_intr(chip, false);
    LIST_REMOVE(chip, link);
    if (chip->message)
        update_routes(chip->machine);
    chip->machine = NULL;
}

void lunik_irqchip_set_intr(lunik_irqchip *chip, bool level)
{
    NOT_NULL(chip);

    lunik_machine *m = chip->machine;

    if (!m || m->intr == level)
        return;
    m->intr = level;
    vcpus_set_intr(m, level);
}

void lunik_irqchip_changed(lunik_irqchip *chip)
{
    NOT_NULL(chip);

    if (chip->machine)
        update_routes(chip->machine);
}

bool lunik_intr(const lunik_machine *m)
{
    NOT_NULL(m, false);

    return m->intr;
}

int lunik_acknowledge(lunik_machine *m, uint8_t *vector, lunik_error *err)
{
    NOT_NULL_OR_FAIL(m, err);
    NOT_NULL_OR_FAIL(vector, err);

    lunik_irqchip *pic;

    if (!m->gsi)
        return machine_fail_closed(m, err);
    if (m->kvm)
        return lunik_fail(err, LUNIK_E_UNSUPPORTED,
                          "machine '%s': its vCPU acknowledges interrupts (want accel none)",
                          m->name);
    pic = find_pic(m);
    if (!pic)
        return lunik_fail(err, LUNIK_E_NOT_FOUND, "machine '%s' has no 8259As", m->name);
    *vector = pic->acknowledge(pic);
    return 0;
}
