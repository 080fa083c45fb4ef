/* run_state.h: changes of a machine's run state, for the files of this folder. Lock held. */
#ifndef MACHINE_RUN_STATE_H
#define MACHINE_RUN_STATE_H

#include "core/machine.h"

/* ---- run_state.c: in a turn ----------------------------------------------------------------- */

/* Returns whether the state is SHUTDOWN or CRASHED; RUNNING or SUSPENDED. These and the next also
 * outside of a turn. */
bool run_is_final(const lunik_machine *m);
bool run_is_on(const lunik_machine *m);
void run_set_state(lunik_machine *m, lunik_run_state state);
/* Keeps the vCPUs outside the guest and has devices finish what is in flight. Returns true when
 * they have. Not on a vCPU's thread. Releases the lock while it waits for vCPUs; the guest may end
 * the run meanwhile. */
bool run_come_to_rest(lunik_machine *m);
/* Lets the devices go on, without the vCPUs. */
void run_leave_rest(lunik_machine *m);
/* For a machine at rest: */
void run_stop_devices(lunik_machine *m); /* and the clocks */
int run_go_on(lunik_machine *m, lunik_error *err);
int run_start(lunik_machine *m, lunik_error *err);
void run_pause(lunik_machine *m);
int run_reset(lunik_machine *m, lunik_error *err);
int run_wake_up(lunik_machine *m, lunik_error *err);

/* ---- sleep.c -------------------------------------------------------------------------------- */

/* Enters SUSPENDED and notifies the devices; the vCPUs are outside or on their way. */
void sleep_go_on(lunik_machine *m);
/* Returns the name of what wakes the machine. */
const char *sleep_wake_reason(const lunik_machine *m);
/* Notifies the devices of a machine that wakes up. */
void sleep_report_woken(lunik_machine *m);

/* ---- machine.c ------------------------------------------------------------------------------ */

/* Closes the machine. In a turn, with m->closing set and the machine at rest. */
void machine_close_now(lunik_machine *m);
/* Reports that a reset by the guest has failed, and ends the run. */
void machine_reset_failed(lunik_machine *m, const lunik_error *why);

#endif
