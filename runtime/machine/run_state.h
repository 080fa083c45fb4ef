/* run_state.h: what the files of this folder do to a machine's run state. Lock held. */
#ifndef MACHINE_RUN_STATE_H
#define MACHINE_RUN_STATE_H

#include "core/machine.h"

/* ---- run_state.c: in a turn ----------------------------------------------------------------- */

/* SHUTDOWN or CRASHED. These two outside of a turn as well. */
bool run_is_final(const lunik_machine *m);
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

/* ---- machine.c ------------------------------------------------------------------------------ */

/* In a turn, with m->closing set and the machine at rest. */
void machine_close_now(lunik_machine *m);
/* The guest's reset has failed. */
void machine_reset_failed(lunik_machine *m, const lunik_error *why);

#endif
