/* commands.h: between the command language and the commands. */
#ifndef COMMANDS_H
#define COMMANDS_H

#include "guest.h"

#define MAX_ARGS 4

struct args {
    unsigned count;
    uint64_t n[MAX_ARGS]; /* absent ones are 0 */
};

void command_ioapic(const struct args *a); /* ioapic.c */
void command_touch(const struct args *a);
void command_verify(const struct args *a);
void command_fill(const struct args *a);
void command_hash(const struct args *a);
void command_read(const struct args *a);
void command_write(const struct args *a);
void command_mmioread(const struct args *a);
void command_mmiowrite(const struct args *a);

#endif
