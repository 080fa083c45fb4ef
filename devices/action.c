/* action.c: what a machine does when its guest has panicked or a watchdog has expired. */
#include "action.h"

static void inject_nmi(lunik_machine *m)
{
    for (unsigned i = 0; i < lunik_vcpu_count(m); i++)
        lunik_vcpu_inject_nmi(lunik_vcpu_get(m, i), NULL);
}

void device_act(lunik_object *o, enum device_action action, const char *reason)
{
    lunik_machine *m = lunik_object_machine(o);

    switch (action) {
    case ACTION_NONE:
        break;
    case ACTION_PAUSE:
        lunik_machine_pause_soon(m);
        break;
    case ACTION_SHUTDOWN:
        lunik_machine_shutdown(m, reason, 0);
        break;
    case ACTION_EXIT_FAILURE:
        lunik_machine_shutdown(m, reason, 1);
        break;
    case ACTION_RESET:
        lunik_machine_guest_reset(m);
        break;
    case ACTION_POWERDOWN:
        lunik_machine_powerdown(m, NULL);
        break;
    case ACTION_INJECT_NMI:
        inject_nmi(m);
        break;
    }
}
