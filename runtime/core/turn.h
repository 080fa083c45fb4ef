/*
 * turn.h: threads that start, pause, reset or close a machine take turns.
 *
 * Such calls release the machine lock while they wait for vCPUs, or while a hook they call does.
 * What they have found out by then must still be true afterwards, so another thread that wants to
 * do the same to the machine waits, without the lock, until the turn is over. A thread that has the
 * turn has it for nested calls as well.
 */
#ifndef CORE_TURN_H
#define CORE_TURN_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "lunik.h"

/* All under the machine lock; over also under the mutex. */
struct turn {
    pthread_t owner;
    unsigned depth; /* of the owner's calls; 0: free */
    uint64_t over;  /* turns that have ended */
    pthread_mutex_t mutex;
    pthread_cond_t ended;
};

void turn_init(struct turn *t);
void turn_destroy(struct turn *t);

/* Takes the machine's turn, which also keeps the struct and what runtime_enter() keeps. Fails with
 * LUNIK_E_GONE if the machine is closed by then, and with LUNIK_E_STATE where the thread must not
 * wait: on a vCPU's thread, or when it has the turn of another machine. Lock held. */
int turn_take(lunik_machine *m, lunik_error *err);
void turn_end(lunik_machine *m);
/* True if the calling thread has the machine's turn; or that of any machine. */
bool turn_mine(const lunik_machine *m);
bool turn_any(void);

#endif
