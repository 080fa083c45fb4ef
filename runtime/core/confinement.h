/* confinement.h: what the runtime does differently in a process that has entered a sandbox. */
#ifndef CORE_CONFINEMENT_H
#define CORE_CONFINEMENT_H

/* Hooks of the sandbox, set before it is in force and never removed. */
struct confinement {
    const char *(*denial)(void); /* lunik_sandbox_denial() */
    /* Restricts the calling thread, which is a vCPU's, to the system calls that vCPUs need. */
    void (*enter_vcpu)(void);
};
void confinement_set(const struct confinement *c);
/* Call the hooks; without a sandbox they return NULL and do nothing. */
const char *confinement_denial(void);
void confinement_enter_vcpu(void);

/* Files that the runtime opens on first use, which a sandbox would prevent. */
enum kept_file { KEPT_KVM, KEPT_MEMINFO, KEPT_COUNT };

/* Returns a new descriptor of the file, or -1 and errno. */
int kept_open(enum kept_file which);
/* Opens the files that are not open yet; called before the process enters a sandbox. */
void kept_keep_open(void);

#endif
