/*
 * acpi_events.h: what passes between ACPI hotplug registers and the guest: the general-purpose
 * event that notifies the guest, and the guest's answer by _OST (ACPI 6.4, section 6.3.5).
 */
#ifndef DEVICES_ACPI_EVENTS_H
#define DEVICES_ACPI_EVENTS_H

#include "ports.h"

/* The event by which registers notify the guest. */
struct acpi_notifier {
    uint64_t gpe;
    lunik_object *pm; /* iface "gpe"; NULL: the guest has to poll */
};

/* The properties of the notifier that is `field` of the state. */
#define ACPI_NOTIFIER_PROPS(state, field, number)                                                  \
    DEVICE_UINT_PROP("gpe", state, field.gpe,                                                      \
                     "The general-purpose event that notifies the guest, 0 to 31.", number, 31),   \
    {                                                                                              \
        .name = "pm", .kind = LUNIK_PROP_LINK,                                                     \
        .doc = "The device that raises the event; without it the guest has to poll.",              \
        .offset = offsetof(state, field.pm), .link = "gpe"                                         \
    }

/* Refuses an event that the device does not have; o is the notifier's owner. */
int acpi_notifier_check(const struct acpi_notifier *n, lunik_object *o, lunik_error *err);
void acpi_notifier_raise(const struct acpi_notifier *n);
/* For the reset of registers o. If the machine wakes up, returns true: they stay as they are, and
 * the guest is notified again if events are pending, since the reset has cleared that. */
bool acpi_notifier_wakes(const struct acpi_notifier *n, const lunik_object *o, bool pending);

struct acpi_ost {
    const char *slot_type; /* "DIMM", "CPU" or "PCI" */
    unsigned slot;
    uint32_t source, status;
};

/* Sends the event "acpi-ost" of registers o, and traces it. device: what is in the slot, or NULL;
 * more: a field in addition, or NULL. */
void acpi_ost_report(lunik_object *o, lunik_object *device, const struct acpi_ost *ost,
                     const lunik_field *more);
/* Whether it says that the guest keeps what it was asked for. */
bool acpi_ost_refuses(const struct acpi_ost *ost);

#endif
