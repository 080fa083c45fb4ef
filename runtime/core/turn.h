/*
 * turn.h: threads that start, pause, reset or close a machine take turns.
 *
 * Such a call releases the machine lock while it waits for vCPUs, and so may a hook that it calls.
 * Its knowledge of the run state must still be true afterwards: other threads that want to change
 * it wait, without the lock, until the turn is over. A thread that has the turn has it for nested
 * calls as well.
 */
#ifndef CORE_TURN_H
#define CORE_TURN_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "lunik.h"

/* Guarded by the machine lock; `over` is written under the mutex as well. */
struct turn {
    pthread_t owner;
    unsigned depth; /* of the owner's calls; 0: free */
    uint64_t over;  /* turns that have ended */
    pthread_mutex_t mutex;
    pthread_cond_t ended;
};

void turn_init(struct turn *t);
void turn_destroy(struct turn *t);

/* Takes the machine's turn, a reference and runtime_enter(). Fails with LUNIK_E_GONE if the machine
 * is closed by then, and with LUNIK_E_STATE where the thread would have to wait but must not: on a
 * vCPU's thread, or when it has the turn of another machine. Lock held. */
int turn_take(lunik_machine *m, lunik_error *err);
void turn_end(lunik_machine *m);
/* turn_mine(): true if the calling thread has the machine's turn; turn_any(): that of any machine.
 */
bool turn_mine(const lunik_machine *m);
bool turn_any(void);

#endif
