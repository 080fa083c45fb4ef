/* sandbox.h: children that enter the sandbox and try something there. */
#ifndef SPEC_SANDBOX_H
#define SPEC_SANDBOX_H

#include <errno.h>
#include <linux/capability.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lunik_device.h"
#include "sandbox/sandbox.h"

/* Exit codes of the children; others are errno values. */
enum { WORKED = 0, NO_SANDBOX = 200, WRONG = 201 };

/* The result of within() for a child that was ended by SIGSYS. */
enum { KILLED = 1000 + SIGSYS };

typedef int sandbox_try_fn(void);

static inline int result(long rc)
{
    return rc < 0 ? errno : WORKED;
}

static inline void *run_as_vcpu(void *arg)
{
    sandbox_try_fn *fn = *(sandbox_try_fn **)arg;

    sandbox_enter_vcpu();
    _exit(fn()); /* a call that ends only its thread leaves a process that never does */
}

/* The same on a thread that is a vCPU's to the sandbox. */
static inline int on_vcpu(sandbox_try_fn *fn)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, run_as_vcpu, &fn))
        return WRONG;
    alarm(20);
    pthread_join(thread, NULL);
    for (;;)
        pause();
}

static inline int exit_code_of(pid_t child)
{
    int status;

    waitpid(child, &status, 0);
    return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Enters the sandbox in a child, which does something there, on its main thread or a vCPU's: its
 * exit code, or 1000 + signal. */
static inline int within_thread(const lunik_sandbox_policy *policy, sandbox_try_fn *fn, bool vcpu)
{
    pid_t child;

    fflush(stdout);
    child = fork();
    if (child == 0) {
        lunik_error err;

        if (lunik_sandbox(policy, &err)) {
            fprintf(stderr, "%s\n", err.message);
            _exit(NO_SANDBOX);
        }
        _exit(vcpu ? on_vcpu(fn) : fn());
    }
    return exit_code_of(child);
}

static inline int within(const lunik_sandbox_policy *policy, sandbox_try_fn *fn)
{
    return within_thread(policy, fn, false);
}

/* Else the kernel protects root's process from its children in the sandbox, which have fewer.
 * For the test's main(). */
static inline bool drop_capabilities(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    const struct __user_cap_data_struct none[2] = {{0}};

    return syscall(SYS_capset, &head, none) == 0;
}

#endif
