/* action.h: what a machine does when its guest has panicked or a watchdog has expired. */
#ifndef DEVICES_ACTION_H
#define DEVICES_ACTION_H

#include "lunik_device.h"

/* X(symbol, name): the values of a property. */
#define DEVICE_ACTION_MAP(X)                                                                       \
    X(NONE, "none")                 /* nothing but the event */                                    \
    X(PAUSE, "pause")               /* the machine pauses, to be looked at */                      \
    X(SHUTDOWN, "shutdown")         /* the run ends */                                             \
    X(EXIT_FAILURE, "exit-failure") /* the run ends with exit code 1 */                            \
    X(RESET, "reset")                                                                              \
    X(POWERDOWN, "powerdown")   /* the power button is pressed */                                  \
    X(INJECT_NMI, "inject-nmi") /* each vCPU gets an NMI */

enum device_action {
#define DEVICE_ACTION_ENUM(symbol, name) ACTION_##symbol,
    DEVICE_ACTION_MAP(DEVICE_ACTION_ENUM)
#undef DEVICE_ACTION_ENUM
};

/* Carries one out; reason is that of the event "shutdown". */
void device_act(lunik_object *o, enum device_action action, const char *reason);

#endif
