/*
 * memory_hotplug_chip.c: the register model of ACPI memory hotplug.
 *
 * Layout and rules of QEMU's docs/specs/acpi_mem_hotplug.rst: one selected slot shows in 24 bytes
 * of ports. Offsets without a register read as all ones. A selector without a slot reads as
 * zero and takes only writes of the selector. Of several bits written to the control register only
 * the lowest counts. Unlike QEMU's, a reset clears the two events of every slot: they were for the
 * system that is gone, and the next one examines all slots when it starts.
 */
#include "memory_hotplug_chip.h"

#include <string.h>

void memory_slots_init(struct memory_slots *s, unsigned count, const struct memory_slots_ops *ops)
{
    memset(s, 0, sizeof(*s));
    s->ops = ops;
    s->count = count;
}

void memory_slots_reset(struct memory_slots *s)
{
    s->selector = 0;
    for (unsigned i = 0; i < s->count; i++) {
        s->slot[i].inserting = s->slot[i].removing = false;
        s->slot[i].ost_event = s->slot[i].ost_status = 0;
    }
}

bool memory_slots_pending(const struct memory_slots *s)
{
    for (unsigned i = 0; i < s->count; i++)
        if (s->slot[i].inserting || s->slot[i].removing)
            return true;
    return false;
}

uint32_t memory_slots_read(const struct memory_slots *s, unsigned offset)
{
    const struct memory_slot *slot;

    if (s->selector >= s->count)
        return 0;
    slot = &s->slot[s->selector];
    switch (offset) {
    case MHP_ADDR_LOW:
        return (uint32_t)slot->address;
    case MHP_ADDR_HIGH:
        return (uint32_t)(slot->address >> 32);
    case MHP_SIZE_LOW:
        return (uint32_t)slot->size;
    case MHP_SIZE_HIGH:
        return (uint32_t)(slot->size >> 32);
    case MHP_NODE:
        return slot->node;
    case MHP_CONTROL:
        return (slot->enabled ? MHP_ENABLED : 0) | (slot->inserting ? MHP_INSERT : 0) |
               (slot->removing ? MHP_REMOVE : 0);
    default:
        return UINT32_MAX;
    }
}

static void write_control(struct memory_slots *s, struct memory_slot *slot, uint32_t value)
{
    if (value & MHP_INSERT)
        slot->inserting = false;
    else if (value & MHP_REMOVE)
        slot->removing = false;
    else if (value & MHP_EJECT && slot->enabled)
        s->ops->eject(s, s->selector);
}

void memory_slots_write(struct memory_slots *s, unsigned offset, uint32_t value)
{
    struct memory_slot *slot;

    if (offset == MHP_SELECTOR) {
        s->selector = value;
        return;
    }
    if (s->selector >= s->count)
        return;
    slot = &s->slot[s->selector];
    switch (offset) {
    case MHP_OST_EVENT:
        slot->ost_event = value;
        break;
    case MHP_OST_STATUS:
        slot->ost_status = value;
        s->ops->ost(s, s->selector, slot->ost_event, value);
        break;
    case MHP_CONTROL:
        write_control(s, slot, value);
        break;
    }
}

/* ---- state ---------------------------------------------------------------------------------- */

static const lunik_state_field slot_fields[] = {
    LUNIK_STATE(struct memory_slot, address),
    LUNIK_STATE(struct memory_slot, size),
    LUNIK_STATE(struct memory_slot, node),
    LUNIK_STATE(struct memory_slot, ost_event),
    LUNIK_STATE(struct memory_slot, ost_status),
    LUNIK_STATE(struct memory_slot, enabled),
    LUNIK_STATE(struct memory_slot, inserting),
    LUNIK_STATE(struct memory_slot, removing),
    {0},
};

static const lunik_state_table slot_table = {
    .name = "slot",
    .version = 1,
    .size = sizeof(struct memory_slot),
    .fields = slot_fields,
};

static const lunik_state_field state_fields[] = {
    LUNIK_STATE(struct memory_slots, count, .flags = LUNIK_STATE_SAME),
    LUNIK_STATE(struct memory_slots, selector),
    LUNIK_STATE_COUNTED_STRUCTS(struct memory_slots, slot, count, &slot_table),
    {0},
};

const lunik_state_table memory_slots_state = {
    .name = "slots",
    .version = 1,
    .size = sizeof(struct memory_slots),
    .fields = state_fields,
};
