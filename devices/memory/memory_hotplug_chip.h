/* memory_hotplug_chip.h: the register model of ACPI memory hotplug, apart from its bus. */
#ifndef MEMORY_MEMORY_HOTPLUG_CHIP_H
#define MEMORY_MEMORY_HOTPLUG_CHIP_H

#include <stdbool.h>
#include <stdint.h>

#include "lunik_device.h"

enum { MEMORY_SLOTS_SIZE = 24 }; /* bytes of registers */

/* Offsets; most registers can only be read or only be written. */
enum {
    MHP_ADDR_LOW = 0x00,   /* read */
    MHP_ADDR_HIGH = 0x04,  /* read */
    MHP_SIZE_LOW = 0x08,   /* read */
    MHP_SIZE_HIGH = 0x0c,  /* read */
    MHP_NODE = 0x10,       /* read */
    MHP_SELECTOR = 0x00,   /* write */
    MHP_OST_EVENT = 0x04,  /* write */
    MHP_OST_STATUS = 0x08, /* write; concludes the _OST */
    MHP_CONTROL = 0x14,    /* both */
};

/* Bits of MHP_CONTROL; writing an event bit clears the event. */
enum { MHP_ENABLED = 1, MHP_INSERT = 2, MHP_REMOVE = 4, MHP_EJECT = 8 };

struct memory_slot {
    uint64_t address, size;
    uint32_t node;
    uint32_t ost_event, ost_status;
    bool enabled, inserting, removing;
};

struct memory_slots;

/* Calls that the guest's writes lead to. */
struct memory_slots_ops {
    /* The slot is enabled and the guest gives it up; the callee may clear it at once. */
    void (*eject)(struct memory_slots *s, unsigned slot);
    /* The guest has reported a status (_OST) of the slot. */
    void (*ost)(struct memory_slots *s, unsigned slot, uint32_t event, uint32_t status);
};

struct memory_slots {
    const struct memory_slots_ops *ops;
    unsigned count;
    uint32_t selector;
    struct memory_slot slot[LUNIK_MEMORY_SLOTS_MAX];
};

/* Makes `count` empty slots, 0..LUNIK_MEMORY_SLOTS_MAX. */
void memory_slots_init(struct memory_slots *s, unsigned count, const struct memory_slots_ops *ops);
/* Drops pending events; memory stays in its slots. */
void memory_slots_reset(struct memory_slots *s);
/* Whether the guest has not handled an event of some slot yet. */
bool memory_slots_pending(const struct memory_slots *s);
uint32_t memory_slots_read(const struct memory_slots *s, unsigned offset);
void memory_slots_write(struct memory_slots *s, unsigned offset, uint32_t value);

/* Selector and slots; which of these are enabled is for the device to check. */
extern const lunik_state_table memory_slots_state;

#endif
