/* command.h: declarations that the command's files and its module "lunik.lineedit" share. */
#ifndef COMMAND_COMMAND_H
#define COMMAND_COMMAND_H

#include "../bindings.h"

/* Returns the signal that has arrived and not been handled yet, or 0. */
BIND_EXPORT int command_signal(void);

/* Returns standard input, opened again without blocking, or -1. It stays open. */
int command_input(void);

/* keys.c: functions of the module. */
int command_keys(lua_State *L);
int command_end_keys(lua_State *L);

/* Makes require() find modules in the build folder, or the installation, of the executable. */
void modules_find(lua_State *L);

/* Functions for Lua: see daemon.c. */
int command_daemonize(lua_State *L);
int command_daemon_ready(lua_State *L);

#endif
