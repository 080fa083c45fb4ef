/* iothread.h: the iothreads of a machine. */
#ifndef CORE_IOTHREAD_H
#define CORE_IOTHREAD_H

#include "lunik_device.h"

/* Stops the machine's iothreads and waits, with the lock released, until each has ended. Their
 * loops stay, for handles that are still to be closed, until lunik_iothread_free(). No new one can
 * be made afterwards. */
void iothreads_end(lunik_machine *m);
/* Whether the calling thread is an iothread, of whichever machine: it can't wait for iothreads. */
bool iothreads_called_here(void);

#endif
