/*
 * sandbox_filter.c: the seccomp filters, and what becomes of calls that they refuse.
 *
 * DESIGN. A refused call raises SIGSYS on its thread. The handler notes which group the call is of,
 * for the message of the error that is about to be made, and lets the call fail with EPERM. For
 * starting programs that won't do, because the C library blocks all signals then: those calls fail
 * without one. Where programs may be started all do, because the handler does not survive execve.
 *
 * The process has one filter, put into force for all of its threads at once. A vCPU's thread adds
 * a second one that takes away more. It is kept as BPF code, made beforehand.
 */
#define _GNU_SOURCE /* memfd_create, REG_RAX */
#include <errno.h>
#include <linux/filter.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "sandbox.h"

/* The macros of seccomp.h leave out the last field. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

/* Calls with higher numbers are newer than this table: they fail as on an older kernel. */
enum { CALLS_MAX = 512, NEWEST_CALL = 450 };

enum { FROM_SECCOMP = 1 }; /* si_code of such a SIGSYS, SYS_SECCOMP in the kernel's headers */

#define NEW_NAMESPACES                                                                             \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |  \
     CLONE_NEWNET)

static struct {
    scmp_filter_ctx process;
    unsigned classes[CALLS_MAX]; /* of the call with that number, for the handler */
    struct sigaction before;     /* SIGSYS */
    struct sock_fprog vcpu;
} filter;

static __thread unsigned denied; /* classes of the last call refused */

/* ---- refused calls -------------------------------------------------------------------------- */

static void on_sigsys(int sig, siginfo_t *info, void *context)
{
    greg_t *rax = &((ucontext_t *)context)->uc_mcontext.gregs[REG_RAX];
    unsigned nr = (unsigned)info->si_syscall;

    if (info->si_code != FROM_SECCOMP) {
        if (filter.before.sa_flags & SA_SIGINFO)
            filter.before.sa_sigaction(sig, info, context);
        return;
    }
    if (nr > NEWEST_CALL) {
        *rax = -ENOSYS;
        return;
    }
    denied = filter.classes[nr] ? filter.classes[nr] : SANDBOX_ENGINE;
    *rax = -EPERM;
}

static const char *text_of(unsigned classes)
{
    if (classes & (LUNIK_SANDBOX_FILES | LUNIK_SANDBOX_PATHS | SANDBOX_METADATA))
        return "the sandbox does not allow files to be opened or changed (lunik.sandbox: allow "
               "'files', or list the path)";
    if (classes & LUNIK_SANDBOX_SOCKETS)
        return "the sandbox does not allow sockets (lunik.sandbox: allow 'sockets' or 'network'; "
               "never on a vCPU's thread)";
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
    /* Landlock, and where programs may be started the kernel, refuse without a signal. */
    if (lunik_sandboxed(&allowed) && allowed & LUNIK_SANDBOX_PATHS)
        return "it is not below the sandbox's paths, or the host refuses (lunik.sandbox: read, "
               "write)";
    if (lunik_sandboxed(&allowed) && allowed & LUNIK_SANDBOX_EXEC)
        return "the sandbox does not allow it, or the host refuses (lunik.sandbox: allow)";
    return NULL;
}

/* ---- rules ---------------------------------------------------------------------------------- */

/* A rule that is wrong for this kernel's table of calls is an error; a call that it lacks is not.
 */
static int add(scmp_filter_ctx ctx, uint32_t action, const char *name, unsigned count,
               struct scmp_arg_cmp a)
{
    int nr = seccomp_syscall_resolve_name(name);

    if (nr < 0)
        return 0;
    return seccomp_rule_add_array(ctx, action, nr, count, &a);
}

/* Notes for the handler what the calls with rules of their own are for. */
static void classify(const char *name, unsigned classes)
{
    int nr = seccomp_syscall_resolve_name(name);

    if (nr >= 0 && nr < CALLS_MAX)
        filter.classes[nr] = classes;
}

static int add_listed(scmp_filter_ctx ctx, unsigned allow)
{
    int rc = 0;

    for (const struct sandbox_call *c = sandbox_calls; c->name && rc == 0; c++) {
        uint32_t action;

        classify(c->name, c->classes);
        if (c->classes & allow)
            action = SCMP_ACT_ALLOW;
        else if (c->classes & SANDBOX_EXPLOIT)
            action = SCMP_ACT_KILL_PROCESS;
        else if (c->classes & SANDBOX_PRETEND)
            action = SCMP_ACT_ERRNO(ENOSYS);
        else if (c->classes & LUNIK_SANDBOX_EXEC)
            action = SCMP_ACT_ERRNO(EPERM);
        else
            continue;
        rc = add(ctx, action, c->name, 0, (struct scmp_arg_cmp){0});
    }
    return rc;
}

/* KVM's own, and those of terminals and descriptors; not TIOCSTI, which types at the user's shell.
 */
static int add_ioctls(scmp_filter_ctx ctx)
{
    static const unsigned long requests[] = {
        TCGETS,      TCSETS,     TCSETSW,   TCSETSF,   TCFLSH,   TCSBRK,
        TIOCGWINSZ,  TIOCSWINSZ, TIOCGPGRP, TIOCSPGRP, TIOCGPTN, TIOCSPTLCK,
        TIOCGPTPEER, TIOCOUTQ,   FIONREAD,  FIONBIO,   FIOCLEX,  FIONCLEX,
    };
    int rc =
        add(ctx, SCMP_ACT_ALLOW, "ioctl", 1, SCMP_A1_32(SCMP_CMP_MASKED_EQ, 0xff00, KVMIO << 8));

    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]) && rc == 0; i++)
        rc = add(ctx, SCMP_ACT_ALLOW, "ioctl", 1, SCMP_A1_32(SCMP_CMP_EQ, requests[i]));
    return rc;
}

static int add_memory(scmp_filter_ctx ctx, unsigned allow)
{
    unsigned count = allow & LUNIK_SANDBOX_FILES ? 0 : 1;
    struct scmp_arg_cmp not_executable = SCMP_A2_64(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
    int rc = add(ctx, SCMP_ACT_ALLOW, "mmap", count, not_executable);

    return rc ? rc : add(ctx, SCMP_ACT_ALLOW, "mprotect", count, not_executable);
}

/* Threads, and programs if they are allowed; signals for ourselves, limits that are our own. */
static int add_processes(scmp_filter_ctx ctx, unsigned allow)
{
    bool exec = allow & LUNIK_SANDBOX_EXEC;
    uint64_t thread = exec ? 0 : CLONE_THREAD, self = (uint64_t)getpid();
    int rc = add(ctx, SCMP_ACT_ALLOW, "clone", 1,
                 SCMP_A0_64(SCMP_CMP_MASKED_EQ, NEW_NAMESPACES | thread, thread));

    if (rc == 0 && !exec)
        rc = add(ctx, SCMP_ACT_ERRNO(EPERM), "clone", 1,
                 SCMP_A0_64(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));
    if (rc == 0)
        rc = add(ctx, SCMP_ACT_ALLOW, "kill", exec ? 0 : 1, SCMP_A0_64(SCMP_CMP_EQ, self));
    if (rc == 0)
        rc = add(ctx, SCMP_ACT_ALLOW, "tgkill", exec ? 0 : 1, SCMP_A0_64(SCMP_CMP_EQ, self));
    if (rc == 0)
        rc = add(ctx, SCMP_ACT_ALLOW, "prlimit64", exec ? 0 : 1, SCMP_A0_64(SCMP_CMP_EQ, 0));
    return rc;
}

static int add_sockets(scmp_filter_ctx ctx, unsigned allow)
{
    static const int internet[] = {AF_INET, AF_INET6, AF_NETLINK};
    int rc = add(ctx, SCMP_ACT_ALLOW, "socketpair", 1, SCMP_A0_32(SCMP_CMP_EQ, AF_UNIX));

    if (rc == 0 && allow & LUNIK_SANDBOX_SOCKETS)
        rc = add(ctx, SCMP_ACT_ALLOW, "socket", 1, SCMP_A0_32(SCMP_CMP_EQ, AF_UNIX));
    for (size_t i = 0; i < 3 && rc == 0 && allow & LUNIK_SANDBOX_NETWORK; i++)
        rc = add(ctx, SCMP_ACT_ALLOW, "socket", 1,
                 SCMP_A0_32(SCMP_CMP_EQ, (scmp_datum_t)internet[i]));
    return rc;
}

static int make_process_filter(unsigned allow)
{
    int rc = add_listed(filter.process, allow);

    classify("socket",
             allow & LUNIK_SANDBOX_SOCKETS ? LUNIK_SANDBOX_NETWORK : LUNIK_SANDBOX_SOCKETS);
    if (rc == 0)
        rc = add_ioctls(filter.process);
    if (rc == 0)
        rc = add_memory(filter.process, allow);
    if (rc == 0)
        rc = add_processes(filter.process, allow);
    return rc ? rc : add_sockets(filter.process, allow);
}

/* Everything but new sockets, programs, and what the process may do to others. */
static int make_vcpu_filter(scmp_filter_ctx ctx, uint32_t refuse)
{
    int rc = add(ctx, refuse, "socket", 0, (struct scmp_arg_cmp){0});

    for (const struct sandbox_call *c = sandbox_calls; c->name && rc == 0; c++) {
        if (c->classes & LUNIK_SANDBOX_EXEC)
            rc = add(ctx, SCMP_ACT_ERRNO(EPERM), c->name, 0, (struct scmp_arg_cmp){0});
        else if (c->classes & LUNIK_SANDBOX_NETWORK)
            rc = add(ctx, refuse, c->name, 0, (struct scmp_arg_cmp){0});
    }
    if (rc == 0)
        rc = add(ctx, SCMP_ACT_ERRNO(EPERM), "clone", 1,
                 SCMP_A0_64(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));
    return rc;
}

/* ---- filters -------------------------------------------------------------------------------- */

/* So that a filter costs no more than it must: the call of every exit comes first, and what the
 * host does about speculation, which slows guests down, is not for a filter to change. */
static int tune(scmp_filter_ctx ctx)
{
    int rc = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_SSB, 1);

    return rc ? rc : seccomp_syscall_priority(ctx, SCMP_SYS(ioctl), 255);
}

static uint32_t refusal(unsigned allow)
{
    return allow & LUNIK_SANDBOX_EXEC ? SCMP_ACT_ERRNO(EPERM) : SCMP_ACT_TRAP;
}

/* Turns a filter into code. Returns a negative errno value or 0. */
static int export(scmp_filter_ctx ctx, struct sock_fprog *out)
{
    int fd = memfd_create("lunik-filter", MFD_CLOEXEC);
    int rc = fd < 0 ? -errno : seccomp_export_bpf(ctx, fd);
    struct stat st = {0};

    if (rc == 0 && fstat(fd, &st) == 0) {
        out->filter = malloc((size_t)st.st_size);
        out->len = (unsigned short)((size_t)st.st_size / sizeof(struct sock_filter));
        if (!out->filter || pread(fd, out->filter, (size_t)st.st_size, 0) != st.st_size)
            rc = -ENOMEM;
    }
    if (fd >= 0)
        close(fd);
    return rc;
}

static int prepare_vcpu(unsigned allow)
{
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
    int rc = ctx ? make_vcpu_filter(ctx, refusal(allow)) : -ENOMEM;

    if (rc == 0)
        rc = export(ctx, &filter.vcpu);
    if (ctx)
        seccomp_release(ctx);
    return rc;
}

int sandbox_filter_prepare(unsigned allow, lunik_error *err)
{
    int rc;

    filter.process = seccomp_init(refusal(allow));
    rc = filter.process ? tune(filter.process) : -ENOMEM;
    if (rc == 0)
        rc = make_process_filter(allow);
    if (rc == 0)
        rc = seccomp_attr_set(filter.process, SCMP_FLTATR_CTL_TSYNC, 1);
    if (rc == 0)
        rc = prepare_vcpu(allow);
    if (rc) {
        sandbox_filter_drop();
        return lunik_fail_errno(err, -rc, "sandbox: can't make a seccomp filter");
    }
    return 0;
}

int sandbox_filter_enter(lunik_error *err)
{
    struct sigaction action = {.sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO | SA_NODEFER};
    int rc;

    sigemptyset(&action.sa_mask);
    sigaction(SIGSYS, &action, &filter.before);
    rc = seccomp_load(filter.process);
    seccomp_release(filter.process);
    filter.process = NULL;
    if (rc)
        return lunik_fail_errno(err, -rc, "sandbox: the kernel does not take the seccomp filter");
    return 0;
}

void sandbox_filter_drop(void)
{
    if (filter.process)
        seccomp_release(filter.process);
    free(filter.vcpu.filter);
    filter.process = NULL;
    filter.vcpu = (struct sock_fprog){0};
}

void sandbox_enter_vcpu(void)
{
    if (lunik_sandboxed(NULL) && syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                                         SECCOMP_FILTER_FLAG_SPEC_ALLOW, &filter.vcpu) < 0)
        abort(); /* the kernel took a longer one before */
}
