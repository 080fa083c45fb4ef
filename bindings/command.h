/* command.h: what the two C files of the lunik command share. */
#ifndef BINDINGS_COMMAND_H
#define BINDINGS_COMMAND_H

#include "bindings.h"

/* The signal that has arrived and not yet been dealt with, or 0. */
int command_signal(void);

/* Opens the module "lunik.lineedit". */
int luaopen_lunik_lineedit(lua_State *L);

#endif
