/* confinement.h: what a process does otherwise once it has entered a sandbox. */
#ifndef CORE_CONFINEMENT_H
#define CORE_CONFINEMENT_H

/* Set by the sandbox, for good, before it is in force. */
struct confinement {
    const char *(*denial)(void); /* lunik_sandbox_denial() */
    /* Takes from the calling thread, which is a vCPU's, what no vCPU needs. */
    void (*enter_vcpu)(void);
};
void confinement_set(const struct confinement *c);
/* Without a sandbox: NULL, nothing. */
const char *confinement_denial(void);
void confinement_enter_vcpu(void);

/* Files that are opened when they are first needed, and could not be later. */
enum kept_file { KEPT_KVM, KEPT_MEMINFO, KEPT_COUNT };

/* A new descriptor of one, or -1 and errno. */
int kept_open(enum kept_file which);
/* Opens those that are not open yet, for a process that is about to enter a sandbox. */
void kept_keep_open(void);

#endif
