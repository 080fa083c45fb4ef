/* history.h: the prompt's history. */
#ifndef COMMAND_HISTORY_H
#define COMMAND_HISTORY_H

/* Loads the last entries of the file at path and appends later ones to it. A file that can't be
 * used is reported by history_add(). */
void history_open(const char *path);

/* Adds an entry, here and in the file. Returns why it could not be saved, or NULL. */
const char *history_add(const char *text);

void history_close(void);

#endif
