/* command.h: what the command and its module "lunik.lineedit" share. */
#ifndef BINDINGS_COMMAND_H
#define BINDINGS_COMMAND_H

#include "bindings.h"

/* The signal that has arrived and not yet been dealt with, or 0. */
BIND_EXPORT int command_signal(void);

#endif
