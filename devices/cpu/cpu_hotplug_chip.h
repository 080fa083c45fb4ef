/* cpu_hotplug_chip.h: the register model of ACPI CPU hotplug, apart from its bus. */
#ifndef CPU_CPU_HOTPLUG_CHIP_H
#define CPU_CPU_HOTPLUG_CHIP_H

#include <stdbool.h>
#include <stdint.h>

#include "lunik_device.h"

enum {
    CPU_SLOTS_MOST = 255,
    CPU_SLOTS_SIZE = 12,        /* bytes of registers */
    CPU_SLOTS_LEGACY_SIZE = 32, /* bytes of the bitmap that is there before */
};

/* Offsets; some registers can only be read or only be written. */
enum {
    CHP_SELECTOR = 0x0, /* write: 32 bits */
    CHP_DATA_2 = 0x0,   /* read: 32 bits */
    CHP_FLAGS = 0x4,    /* both: 8 bits */
    CHP_COMMAND = 0x5,  /* write: 8 bits */
    CHP_DATA = 0x8,     /* both: 32 bits */
};

/* Bits of CHP_FLAGS; writing an event bit clears the event. */
enum {
    CHP_ENABLED = 1,
    CHP_INSERT = 2,
    CHP_REMOVE = 4,
    CHP_EJECT = 8,           /* write */
    CHP_FIRMWARE_EJECT = 16, /* read: firmware is to eject; a write changes it */
};

/* Values of CHP_COMMAND. */
enum {
    CHP_NEXT_WITH_EVENT, /* selects the next CPU with an event, from the one that is selected */
    CHP_OST_EVENT,       /* CHP_DATA is the event of an _OST */
    CHP_OST_STATUS,      /* CHP_DATA is its status; concludes the _OST */
    CHP_ARCH_ID,         /* CHP_DATA_2 and CHP_DATA are the APIC id */
    CHP_COMMANDS,
};

struct cpu_slot {
    uint32_t ost_event, ost_status;
    bool enabled, inserting, removing, firmware_ejects;
};

struct cpu_slots;

/* Calls that the guest's writes lead to. */
struct cpu_slots_ops {
    /* The CPU, which is enabled and not the first, is given up by the guest; the callee may clear
     * its slot at once. */
    void (*eject)(struct cpu_slots *s, unsigned slot);
    /* The guest has reported a status (_OST) of the CPU. */
    void (*ost)(struct cpu_slots *s, unsigned slot, uint32_t event, uint32_t status);
};

struct cpu_slots {
    const struct cpu_slots_ops *ops;
    unsigned count;
    bool legacy; /* the registers are the bitmap */
    uint32_t selector;
    uint8_t command;
    struct cpu_slot slot[CPU_SLOTS_MOST];
};

/* Makes `count` empty slots, 0..CPU_SLOTS_MOST, behind the bitmap. */
void cpu_slots_init(struct cpu_slots *s, unsigned count, const struct cpu_slots_ops *ops);
/* Drops pending events and shows the bitmap again; CPUs stay in their slots. */
void cpu_slots_reset(struct cpu_slots *s);
/* Whether the guest has not handled an event of some slot yet. */
bool cpu_slots_pending(const struct cpu_slots *s);
uint32_t cpu_slots_read(const struct cpu_slots *s, unsigned offset);
void cpu_slots_write(struct cpu_slots *s, unsigned offset, uint32_t value);

/* All of it; which slots are enabled is for the device to check. */
extern const lunik_state_table cpu_slots_state;

#endif
