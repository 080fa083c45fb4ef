/*
 * cpu_hotplug_chip.c: the register model of ACPI CPU hotplug.
 *
 * Layout and rules of QEMU's docs/specs/acpi_cpu_hotplug.rst: one selected CPU shows in 12 bytes of
 * ports. A selector without a CPU reads as zero and takes only writes of the selector; what is no
 * register reads as zero. Of several bits written to the flags only the lowest counts. Until the
 * first write of 0 to the selector the ports are the interface of old machines: 32 bytes that can
 * only be read, a bit for each CPU.
 *
 * Unlike QEMU's, a reset clears the events of every CPU, and brings the bitmap back: they were for
 * the system that is gone, and the next one looks at all CPUs, and switches, when it starts.
 */
#include "cpu_hotplug_chip.h"

#include <string.h>

void cpu_slots_init(struct cpu_slots *s, unsigned count, const struct cpu_slots_ops *ops)
{
    memset(s, 0, sizeof(*s));
    s->ops = ops;
    s->count = count;
    s->legacy = true;
}

void cpu_slots_reset(struct cpu_slots *s)
{
    s->legacy = true;
    s->selector = 0;
    s->command = CHP_NEXT_WITH_EVENT;
    for (unsigned i = 0; i < s->count; i++)
        s->slot[i] = (struct cpu_slot){.enabled = s->slot[i].enabled};
}

bool cpu_slots_pending(const struct cpu_slots *s)
{
    for (unsigned i = 0; i < s->count; i++)
        if (s->slot[i].inserting || s->slot[i].removing)
            return true;
    return false;
}

/* ---- reading -------------------------------------------------------------------------------- */

static uint32_t read_bitmap(const struct cpu_slots *s, unsigned offset)
{
    uint32_t bits = 0;

    for (unsigned i = 0; i < 32 && offset * 8 + i < s->count; i++)
        bits |= (uint32_t)s->slot[offset * 8 + i].enabled << i;
    return bits;
}

static uint32_t flags_of(const struct cpu_slot *slot)
{
    return (slot->enabled ? CHP_ENABLED : 0) | (slot->inserting ? CHP_INSERT : 0) |
           (slot->removing ? CHP_REMOVE : 0) | (slot->firmware_ejects ? CHP_FIRMWARE_EJECT : 0);
}

uint32_t cpu_slots_read(const struct cpu_slots *s, unsigned offset)
{
    if (s->legacy)
        return read_bitmap(s, offset);
    if (s->selector >= s->count)
        return 0;
    if (offset == CHP_FLAGS)
        return flags_of(&s->slot[s->selector]);
    if (offset == CHP_DATA && (s->command == CHP_NEXT_WITH_EVENT || s->command == CHP_ARCH_ID))
        return s->selector; /* a CPU's APIC id is its number, so CHP_DATA_2 is always 0 */
    return 0;
}

/* ---- writing -------------------------------------------------------------------------------- */

static bool has_event(const struct cpu_slot *slot)
{
    return slot->inserting || slot->removing || slot->firmware_ejects;
}

/* Selects the first CPU with an event, from the selected one round; if there is none it stays. */
static void select_next(struct cpu_slots *s)
{
    for (unsigned i = 0; i < s->count; i++) {
        unsigned slot = (s->selector + i) % s->count;

        if (has_event(&s->slot[slot])) {
            s->selector = slot;
            return;
        }
    }
}

static void write_command(struct cpu_slots *s, uint32_t value)
{
    if (value >= CHP_COMMANDS)
        return;
    s->command = (uint8_t)value;
    if (value == CHP_NEXT_WITH_EVENT)
        select_next(s);
}

static void write_flags(struct cpu_slots *s, struct cpu_slot *slot, uint32_t value)
{
    bool can_go = slot->enabled && s->selector > 0;

    if (value & CHP_INSERT)
        slot->inserting = false;
    else if (value & CHP_REMOVE)
        slot->removing = false;
    else if (value & CHP_EJECT && can_go)
        s->ops->eject(s, s->selector);
    else if (!(value & CHP_EJECT) && value & CHP_FIRMWARE_EJECT && can_go)
        slot->firmware_ejects = !slot->firmware_ejects;
}

static void write_data(struct cpu_slots *s, struct cpu_slot *slot, uint32_t value)
{
    if (s->command == CHP_OST_EVENT)
        slot->ost_event = value;
    if (s->command != CHP_OST_STATUS)
        return;
    slot->ost_status = value;
    s->ops->ost(s, s->selector, slot->ost_event, value);
}

void cpu_slots_write(struct cpu_slots *s, unsigned offset, uint32_t value)
{
    if (s->legacy) {
        s->legacy = offset != CHP_SELECTOR || value != 0;
        return;
    }
    if (offset == CHP_SELECTOR)
        s->selector = value;
    if (s->selector >= s->count)
        return;
    switch (offset) {
    case CHP_FLAGS:
        write_flags(s, &s->slot[s->selector], value & 0xff);
        break;
    case CHP_COMMAND:
        write_command(s, value & 0xff);
        break;
    case CHP_DATA:
        write_data(s, &s->slot[s->selector], value);
        break;
    }
}

/* ---- state ---------------------------------------------------------------------------------- */

static const lunik_state_field slot_fields[] = {
    LUNIK_STATE(struct cpu_slot, ost_event),
    LUNIK_STATE(struct cpu_slot, ost_status),
    LUNIK_STATE(struct cpu_slot, enabled),
    LUNIK_STATE(struct cpu_slot, inserting),
    LUNIK_STATE(struct cpu_slot, removing),
    LUNIK_STATE(struct cpu_slot, firmware_ejects),
    {0},
};

static const lunik_state_table slot_table = {
    .name = "slot",
    .version = 1,
    .size = sizeof(struct cpu_slot),
    .fields = slot_fields,
};

static int post_load(void *staged, const void *state, uint16_t version, lunik_error *err)
{
    const struct cpu_slots *s = staged;

    return s->command < CHP_COMMANDS
               ? 0
               : lunik_fail(err, LUNIK_E_INVALID, "command: %u is none (want 0 to %d)", s->command,
                            CHP_COMMANDS - 1);
}

static const lunik_state_field state_fields[] = {
    LUNIK_STATE(struct cpu_slots, count, .flags = LUNIK_STATE_SAME),
    LUNIK_STATE(struct cpu_slots, legacy),
    LUNIK_STATE(struct cpu_slots, selector),
    LUNIK_STATE(struct cpu_slots, command),
    LUNIK_STATE_COUNTED_STRUCTS(struct cpu_slots, slot, count, &slot_table),
    {0},
};

const lunik_state_table cpu_slots_state = {
    .name = "slots",
    .version = 1,
    .size = sizeof(struct cpu_slots),
    .fields = state_fields,
    .post_load = post_load,
};
