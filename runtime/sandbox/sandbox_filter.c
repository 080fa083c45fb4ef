/*
 * sandbox_filter.c: installs the seccomp filters, and handles calls that they refuse.
 *
 * DESIGN. A refused call raises SIGSYS on its thread. The handler notes the call's group, for the
 * message of the error that will be made, and lets the call fail with EPERM. Calls that start
 * programs fail without a signal, because the C library blocks all signals around them. If programs
 * are allowed all refused calls fail without one, because the handler does not survive execve.
 *
 * The process has one filter, installed for all of its threads at once. If that allows programs or
 * new sockets, a vCPU's thread adds a second filter that refuses them, which costs 0.03 us per
 * exit. It does not refuse files: devices written in Lua run on that thread, and may log to files.
 */
#define _GNU_SOURCE /* REG_RAX */
#include <errno.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>
#include <uv.h>

#include "sandbox.h"

enum { FROM_SECCOMP = 1 }; /* si_code of a SIGSYS by a filter; SYS_SECCOMP in kernel headers */

/* Groups that a process may be allowed and its vCPUs are not. */
enum {
    BEYOND_VCPUS =
        LUNIK_SANDBOX_EXEC | LUNIK_SANDBOX_NETWORK | LUNIK_SANDBOX_SOCKETS | LUNIK_SANDBOX_LISTEN,
};

static struct {
    const struct sandbox_filters *code;
    struct sock_filter *vcpu; /* the process's own copy; NULL: vCPUs need none */
    struct sigaction before;  /* SIGSYS */
} filter;

static __thread unsigned denied; /* classes of the last refused call */

/* ---- refused calls -------------------------------------------------------------------------- */

/* Returns the group that would allow a refused socket. */
static unsigned socket_class(void)
{
    if (filter.code->allow & LUNIK_SANDBOX_SOCKETS)
        return LUNIK_SANDBOX_NETWORK;
    return filter.code->allow & LUNIK_SANDBOX_LISTEN ? LUNIK_SANDBOX_SOCKETS : LUNIK_SANDBOX_LISTEN;
}

static void on_sigsys(int sig, siginfo_t *info, void *context)
{
    greg_t *rax = &((ucontext_t *)context)->uc_mcontext.gregs[REG_RAX];
    unsigned nr = (unsigned)info->si_syscall;

    if (info->si_code != FROM_SECCOMP) {
        if (filter.before.sa_flags & SA_SIGINFO)
            filter.before.sa_sigaction(sig, info, context);
        return;
    }
    if (nr >= SANDBOX_CALLS) {
        *rax = -ENOSYS;
        return;
    }
    denied = nr == SYS_socket ? socket_class() : sandbox_classes[nr];
    if (!denied)
        denied = SANDBOX_ENGINE;
    *rax = -EPERM;
}

static const char *text_of(unsigned classes)
{
    if (classes & (LUNIK_SANDBOX_FILES | LUNIK_SANDBOX_PATHS | SANDBOX_METADATA))
        return "the sandbox does not allow files to be opened or changed (lunik.sandbox: allow "
               "'files', or list the path)";
    if (classes & LUNIK_SANDBOX_LISTEN)
        return "the sandbox does not allow sockets (lunik.sandbox: allow 'listen', 'sockets' or "
               "'network'; never on a vCPU's thread)";
    if (classes & LUNIK_SANDBOX_SOCKETS)
        return "the sandbox does not allow sockets to be connected (lunik.sandbox: allow 'sockets' "
               "or 'network'; never on a vCPU's thread)";
    if (classes & LUNIK_SANDBOX_NETWORK)
        return "the sandbox does not allow the network (lunik.sandbox: allow 'network'; never on a "
               "vCPU's thread)";
    return "the sandbox does not allow it";
}

const char *lunik_sandbox_denial(void)
{
    unsigned classes = denied, allowed;

    denied = 0;
    if (classes)
        return text_of(classes);
    /* Landlock refuses without a signal, and so does the filter if programs are allowed. */
    if (lunik_sandboxed(&allowed) && allowed & LUNIK_SANDBOX_PATHS)
        return "permission denied by the host or by the sandbox's paths (lunik.sandbox: read, "
               "write; lunik --sandbox=on,read:PATH,write:PATH)";
    if (lunik_sandboxed(&allowed) && allowed & LUNIK_SANDBOX_EXEC)
        return "the sandbox does not allow it, or the host refuses (lunik.sandbox: allow)";
    return NULL;
}

/* ---- filters -------------------------------------------------------------------------------- */

int sandbox_filter_prepare(unsigned allow, lunik_error *err)
{
    const unsigned kill = SECCOMP_RET_KILL_PROCESS;
    const struct sandbox_filters *code = sandbox_filters;

    if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &kill) < 0)
        return lunik_fail(err, LUNIK_E_UNSUPPORTED,
                          "sandbox: this host does not let the process have a seccomp filter (%s)",
                          uv_strerror(-errno));
    while (code->allow != allow)
        code++;
    filter.code = code;
    return 0;
}

/* Installs a filter; returns errno or 0. SPEC_ALLOW: installing a filter must not turn on
 * mitigations of speculation, which slow guests down. */
static int install(const struct sock_filter *code, unsigned short len, unsigned flags)
{
    const struct sock_fprog program = {len, (struct sock_filter *)code};
    long rc = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags | SECCOMP_FILTER_FLAG_SPEC_ALLOW,
                      &program);

    if (rc < 0)
        return errno;
    return rc > 0 ? ESRCH : 0; /* a thread's filters are not the caller's */
}

/* Copies the code with the process's own id in place of SANDBOX_SELF; NULL: out of memory. */
static struct sock_filter *own_copy(const struct sandbox_code *from)
{
    struct sock_filter *code = calloc(from->len, sizeof(*code));

    for (unsigned i = 0; code && i < from->len; i++) {
        code[i] = from->code[i];
        if (code[i].k == SANDBOX_SELF)
            code[i].k = (unsigned)getpid();
    }
    return code;
}

static int install_for_process(const struct sandbox_code *from)
{
    struct sock_filter *code = own_copy(from);
    int sys = code ? install(code, from->len, SECCOMP_FILTER_FLAG_TSYNC) : ENOMEM;

    free(code);
    return sys;
}

int sandbox_filter_enter(lunik_error *err)
{
    struct sigaction action = {.sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO | SA_NODEFER};
    int sys;

    if (filter.code->allow & BEYOND_VCPUS && !(filter.vcpu = own_copy(&filter.code->vcpu)))
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "sandbox: no memory for the filter of vCPUs");
    sigemptyset(&action.sa_mask);
    sigaction(SIGSYS, &action, &filter.before);
    sys = install_for_process(&filter.code->process);
    if (sys) {
        sigaction(SIGSYS, &filter.before, NULL);
        free(filter.vcpu);
        filter.vcpu = NULL;
        return lunik_fail_errno(err, sys, "sandbox: the kernel does not take the seccomp filter");
    }
    return 0;
}

void sandbox_enter_vcpu(void)
{
    if (lunik_sandboxed(NULL) && filter.vcpu && install(filter.vcpu, filter.code->vcpu.len, 0))
        abort(); /* can't happen: the kernel has accepted the longer filter of the process */
}
