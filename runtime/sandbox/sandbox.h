/* sandbox.h: the sandbox; private to the files of this folder. */
#ifndef SANDBOX_SANDBOX_H
#define SANDBOX_SANDBOX_H

#include <linux/filter.h>

#include "lunik.h"

/* In a sandboxed process: adds a filter to the calling thread, which is a vCPU's, that refuses new
 * programs and sockets. */
void sandbox_enter_vcpu(void);

/* ---- sandbox_calls.c: the classes of system calls ------------------------------------------- */

/* Classes in addition to the values of enum lunik_sandbox_allow. */
enum {
    SANDBOX_ENGINE = 0x100,   /* needed to run a machine: always allowed */
    SANDBOX_METADATA = 0x200, /* changes files without opening them */
    SANDBOX_EXPLOIT = 0x400,  /* not called by any program that uses the library: kills it */
    SANDBOX_PRETEND = 0x800,  /* unless allowed, fails as on a kernel that lacks it */
};

struct sandbox_call {
    const char *name;
    unsigned classes; /* allowed if the policy allows any of them */
};

extern const struct sandbox_call sandbox_calls[]; /* ends with a NULL name */

/* ---- sandbox_generate.c: the filters, made when the library is built ------------------------ */

/* Calls with this number or a higher one are newer than this table: they fail as on an older
 * kernel. */
enum { SANDBOX_CALLS = 451 };

/* Stands for the process's own id in a filter's code; no process has this id. */
#define SANDBOX_SELF 0x5e1f5e1fu

struct sandbox_code {
    unsigned short len;
    const struct sock_filter *code;
};

struct sandbox_filters {
    unsigned allow; /* LUNIK_SANDBOX_* */
    struct sandbox_code process, vcpu;
};

extern const struct sandbox_filters sandbox_filters[];      /* one for each possible policy */
extern const unsigned short sandbox_classes[SANDBOX_CALLS]; /* of the call with that number */

/* ---- sandbox_filter.c: seccomp -------------------------------------------------------------- */

/* Finds the filters for allow, LUNIK_SANDBOX_*, without installing them. */
int sandbox_filter_prepare(unsigned allow, lunik_error *err);
/* Installs the process's filter, for all threads. */
int sandbox_filter_enter(lunik_error *err);

/* ---- sandbox_paths.c: Landlock -------------------------------------------------------------- */

/* Makes the domain for allow, LUNIK_SANDBOX_*. *fd: its descriptor, or -1 if the kernel has no
 * Landlock and the policy does not need it. */
int sandbox_paths_prepare(unsigned allow, const lunik_sandbox_policy *policy, int *fd,
                          lunik_error *err);
/* Enters the domain with the calling thread and those that it starts; returns errno or 0. */
int sandbox_paths_enter(int rules);

#endif
