/* pvpanic_chip.h: the register of pvpanic, apart from its bus (QEMU's docs/specs/pvpanic). */
#ifndef ISA_PVPANIC_CHIP_H
#define ISA_PVPANIC_CHIP_H

#include "lunik_device.h"

#define PVPANIC_PANICKED     0x01u
#define PVPANIC_CRASH_LOADED 0x02u
#define PVPANIC_EVENTS       (PVPANIC_PANICKED | PVPANIC_CRASH_LOADED)

struct pvpanic {
    uint64_t events; /* property: what the register reads as, and takes */
    int on_panic;    /* property: index into pvpanic_actions */
};

/* The guest has written value: events of the machine, and the action. */
void pvpanic_write(lunik_object *o, const struct pvpanic *p, uint64_t value);

extern const char *const pvpanic_actions[];

/* The properties; the state has `struct pvpanic panic`. */
#define PVPANIC_PROPS(type)                                                                        \
    {.name = "events",                                                                             \
     .kind = LUNIK_PROP_UINT,                                                                      \
     .doc = "What the guest can report: 1 a panic, 2 a crash kernel that takes over, 3 both.",     \
     .offset = offsetof(type, panic.events),                                                       \
     .def = PVPANIC_EVENTS,                                                                        \
     .min = 1,                                                                                     \
     .max = PVPANIC_EVENTS},                                                                       \
    {                                                                                              \
        .name = "on-panic", .kind = LUNIK_PROP_ENUM,                                               \
        .doc = "What the machine does after a panic: it shuts down, if nothing is said.",          \
        .offset = offsetof(type, panic.on_panic), .flags = LUNIK_PROP_LIVE,                        \
        .choices = pvpanic_actions                                                                 \
    }

#endif
