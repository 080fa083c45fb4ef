/* sandbox.h: what the sandbox's files share. */
#ifndef SANDBOX_SANDBOX_H
#define SANDBOX_SANDBOX_H

#include <linux/filter.h>

#include "lunik.h"

/* In a sandboxed process: takes from the calling thread, which is a vCPU's, what no vCPU needs. */
void sandbox_enter_vcpu(void);

/* ---- sandbox_calls.c: which system calls there are, and what they are for ------------------- */

/* Classes beyond the values of enum lunik_sandbox_allow, which are classes too. */
enum {
    SANDBOX_ENGINE = 0x100,   /* what runs a machine needs: allowed */
    SANDBOX_METADATA = 0x200, /* changes files without opening them */
    SANDBOX_EXPLOIT = 0x400,  /* what no program that uses the library calls: ends the process */
    SANDBOX_PRETEND = 0x800,  /* where it is not allowed, answered as by a kernel that lacks it */
};

struct sandbox_call {
    const char *name;
    unsigned classes; /* allowed if the policy allows any of them */
};

extern const struct sandbox_call sandbox_calls[]; /* ends with a NULL name */

/* ---- sandbox_generate.c: the filters, made when the library is built ------------------------ */

/* Calls with higher numbers are newer than this table: they fail as on an older kernel. */
enum { SANDBOX_CALLS = 451 };

/* Stands for the process's own number in a filter's code; no process has it. */
#define SANDBOX_SELF 0x5e1f5e1fu

struct sandbox_code {
    unsigned short len;
    const struct sock_filter *code;
};

struct sandbox_filters {
    unsigned allow; /* LUNIK_SANDBOX_* */
    struct sandbox_code process, vcpu;
};

extern const struct sandbox_filters sandbox_filters[];      /* for each policy that there is */
extern const unsigned short sandbox_classes[SANDBOX_CALLS]; /* of the call with that number */

/* ---- sandbox_filter.c: seccomp -------------------------------------------------------------- */

/* Finds the filters for what is allowed, LUNIK_SANDBOX_*; nothing is in force yet. */
int sandbox_filter_prepare(unsigned allow, lunik_error *err);
/* Puts the process's filter into force, for all threads. */
int sandbox_filter_enter(lunik_error *err);

/* ---- sandbox_paths.c: Landlock -------------------------------------------------------------- */

/* Makes the domain for what is allowed, LUNIK_SANDBOX_*: a descriptor in *fd, or -1 where the
 * kernel has no Landlock and the policy does not need it. */
int sandbox_paths_prepare(unsigned allow, const lunik_sandbox_policy *policy, int *fd,
                          lunik_error *err);
/* Puts it into force for the calling thread and those that it starts; returns errno or 0. */
int sandbox_paths_enter(int rules);

#endif
