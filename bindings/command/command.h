/* command.h: what the command's files and its module "lunik.lineedit" share. */
#ifndef COMMAND_COMMAND_H
#define COMMAND_COMMAND_H

#include "../bindings.h"

/* The signal that has arrived and not yet been dealt with, or 0. */
BIND_EXPORT int command_signal(void);

/* Lets modules be found in the build folder, or the installation, that the executable is in. */
void modules_find(lua_State *L);

#endif
