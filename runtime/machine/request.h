/* request.h: requests to a machine; see request.c. Lock held. */
#ifndef MACHINE_REQUEST_H
#define MACHINE_REQUEST_H

#include "run_state.h"

enum request_state { REQUEST_IDLE, REQUEST_PENDING, REQUEST_ENDED };

/* Sets up m->work. */
void requests_init(lunik_machine *m);
/* The machine is closed: ends all requests. */
void requests_end(lunik_machine *m);

/* Has the loop thread carry out a MACHINE_WANT_*. Does nothing to a closed machine. */
void machine_want(lunik_machine *m, unsigned want);
bool machine_wants(const lunik_machine *m, unsigned want);
/* control.c: carries out a want now if this thread may wait for vCPUs and devices are at rest; else
 * the loop thread does so soon. */
void machine_want_now(lunik_machine *m, unsigned want);

/* ---- for control.c -------------------------------------------------------------------------- */

/* Returns the MACHINE_WANT_* of a request; MACHINE_WANTS for a drain. */
unsigned request_want(lunik_request_kind kind);
/* Puts a request into the machine's list; r->what is set. */
void request_add(lunik_machine *m, lunik_request *r);
/* Withdraws a request: it is not reported, nor, if it is pending, ended. */
void request_take_back(lunik_machine *m, lunik_request *r);
/* Returns the result of a request, which is not reported then, or LUNIK_UNDER_WAY. */
int request_outcome(lunik_machine *m, lunik_request *r, lunik_error *err);
/* Takes a turn and carries out the want if devices are at rest. begin: the want begins with this
 * call, with r (NULL: without a request). Returns 0 or what request_outcome() does; an error, with
 * nothing begun, if the turn can't be had. */
int request_attempt(lunik_machine *m, unsigned want, lunik_request *r, bool begin,
                    lunik_error *err);
/* Ends the drains that can be ended. */
void requests_try_drains(lunik_machine *m);
/* Sets the alarm for the earliest time at which a request stops waiting. */
void requests_set_alarm(lunik_machine *m);
/* Calls the functions of the requests that have ended, which may do anything to the machine.
 * Nothing in a turn: its end reports them. */
void requests_report(lunik_machine *m);

#endif
