/*
 * sandbox_generate.c: a program that is run by the build. Writes the code of the seccomp filters
 * for every policy as C (sandbox.h: sandbox_filters): making it at run time would take longer than
 * starting a machine.
 */
#define _GNU_SOURCE /* memfd_create, F_SETPIPE_SZ */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox.h"

/* The macros of seccomp.h leave out the last field. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

#ifndef PR_SCHED_CORE
#define PR_SCHED_CORE 62
#endif

#define NEW_NAMESPACES                                                                             \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |  \
     CLONE_NEWNET)

/* ---- rules ---------------------------------------------------------------------------------- */

/* Adds a rule. Skips a call that this kernel's table of calls lacks; fails if a rule is wrong. */
static int add_all(scmp_filter_ctx ctx, uint32_t action, const char *name, unsigned count,
                   const struct scmp_arg_cmp *all)
{
    int nr = seccomp_syscall_resolve_name(name);

    if (nr < 0)
        return 0;
    return seccomp_rule_add_array(ctx, action, nr, count, all);
}

static int add(scmp_filter_ctx ctx, uint32_t action, const char *name, unsigned count,
               struct scmp_arg_cmp a)
{
    return add_all(ctx, action, name, count, &a);
}

static int add_listed(scmp_filter_ctx ctx, unsigned allow)
{
    int rc = 0;

    for (const struct sandbox_call *c = sandbox_calls; c->name && !rc; c++) {
        uint32_t action;

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

/* Adds a rule for each value that argument number arg, of 32 bits, may have. */
static int add_values(scmp_filter_ctx ctx, uint32_t action, const char *name, unsigned arg,
                      const unsigned long *values, size_t count)
{
    int rc = 0;

    for (size_t i = 0; i < count && !rc; i++)
        rc = add(ctx, action, name, 1, SCMP_CMP32(arg, SCMP_CMP_EQ, (uint32_t)values[i]));
    return rc;
}

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* These affect other programs that share the terminal. */
static const unsigned long terminal_requests[] = {TIOCSPGRP, TIOCSWINSZ};
/* Of a tap device that is open. */
static const unsigned long tap_requests[] = {TUNGETIFF, TUNSETVNETHDRSZ, TUNSETOFFLOAD,
                                             TUNSETQUEUE};

/* Allows KVM's requests, and those of terminals and descriptors; not TIOCSTI, which types into the
 * user's shell, nor FIOASYNC, FIOSETOWN and SIOCSPGRP, which make the kernel signal others. */
static int add_ioctls(scmp_filter_ctx ctx, unsigned allow)
{
    static const unsigned long requests[] = {
        TCGETS,   TCSETS,     TCSETSW,     TCSETSF,  TCFLSH,   TCSBRK,  TIOCGWINSZ, TIOCGPGRP,
        TIOCGPTN, TIOCSPTLCK, TIOCGPTPEER, TIOCOUTQ, FIONREAD, FIONBIO, FIOCLEX,    FIONCLEX,
    };
    int rc =
        add(ctx, SCMP_ACT_ALLOW, "ioctl", 1, SCMP_A1_32(SCMP_CMP_MASKED_EQ, 0xff00, KVMIO << 8));

    if (!rc)
        rc = add_values(ctx, SCMP_ACT_ALLOW, "ioctl", 1, requests, COUNT(requests));
    if (!rc)
        rc = add_values(ctx, SCMP_ACT_ALLOW, "ioctl", 1, tap_requests, COUNT(tap_requests));
    if (!rc && allow & LUNIK_SANDBOX_EXEC)
        rc = add_values(ctx, SCMP_ACT_ALLOW, "ioctl", 1, terminal_requests,
                        COUNT(terminal_requests));
    return rc;
}

/* Does not allow commands that make the kernel signal the owner of a descriptor, which may be any
 * process (F_SETOWN, F_SETSIG, O_ASYNC), nor those that make others wait (F_SETLEASE). */
static int add_fcntl(scmp_filter_ctx ctx)
{
    static const unsigned long commands[] = {
        F_DUPFD,      F_DUPFD_CLOEXEC, F_GETFD,      F_SETFD,     F_GETFL,
        F_GETLK,      F_SETLK,         F_SETLKW,     F_OFD_GETLK, F_OFD_SETLK,
        F_OFD_SETLKW, F_SETPIPE_SZ,    F_GETPIPE_SZ, F_ADD_SEALS, F_GET_SEALS,
    };
    const struct scmp_arg_cmp quietly[] = {
        SCMP_A1_32(SCMP_CMP_EQ, F_SETFL),
        SCMP_A2_64(SCMP_CMP_MASKED_EQ, O_ASYNC, 0),
    };
    int rc = add_values(ctx, SCMP_ACT_ALLOW, "fcntl", 1, commands, COUNT(commands));

    return rc ? rc : add_all(ctx, SCMP_ACT_ALLOW, "fcntl", COUNT(quietly), quietly);
}

/* Refuses to truncate a file that is opened for reading: Landlock does so only from its third
 * version on. */
static int add_open(scmp_filter_ctx ctx, const char *name, unsigned flags)
{
    const struct scmp_arg_cmp keeps[] = {
        SCMP_CMP32(flags, SCMP_CMP_MASKED_EQ, O_TRUNC, 0),
        SCMP_CMP32(flags, SCMP_CMP_MASKED_EQ, O_TRUNC | O_ACCMODE, O_TRUNC | O_WRONLY),
        SCMP_CMP32(flags, SCMP_CMP_MASKED_EQ, O_TRUNC | O_ACCMODE, O_TRUNC | O_RDWR),
    };
    int rc = 0;

    for (size_t i = 0; i < COUNT(keeps) && !rc; i++)
        rc = add(ctx, SCMP_ACT_ALLOW, name, 1, keeps[i]);
    return rc;
}

static int add_files(scmp_filter_ctx ctx, unsigned allow)
{
    int rc = 0;

    if (allow & LUNIK_SANDBOX_PATHS)
        rc = add_open(ctx, "open", 1);
    if (!rc && allow & LUNIK_SANDBOX_PATHS)
        rc = add_open(ctx, "openat", 2);
    return rc;
}

/* Allows executable memory only with files, which libraries are loaded from. */
static int add_memory(scmp_filter_ctx ctx, unsigned allow)
{
    unsigned count = allow & LUNIK_SANDBOX_FILES ? 0 : 1;
    struct scmp_arg_cmp not_executable = SCMP_A2_64(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
    int rc = add(ctx, SCMP_ACT_ALLOW, "mmap", count, not_executable);

    if (!rc && allow & LUNIK_SANDBOX_PATHS)
        rc = add(ctx, SCMP_ACT_ALLOW, "mmap", 1, SCMP_A3_64(SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS, 0));
    return rc ? rc : add(ctx, SCMP_ACT_ALLOW, "mprotect", count, not_executable);
}

/* Allows threads, programs if they are in the policy, signals to the process itself and changes of
 * its own limits. */
static int add_processes(scmp_filter_ctx ctx, unsigned allow)
{
    bool exec = allow & LUNIK_SANDBOX_EXEC;
    uint64_t thread = exec ? 0 : CLONE_THREAD, self = SANDBOX_SELF;
    int rc = add(ctx, SCMP_ACT_ALLOW, "clone", 1,
                 SCMP_A0_64(SCMP_CMP_MASKED_EQ, NEW_NAMESPACES | thread, thread));

    if (!rc && !exec)
        rc = add(ctx, SCMP_ACT_ERRNO(EPERM), "clone", 1,
                 SCMP_A0_64(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));
    if (!rc)
        rc = add(ctx, SCMP_ACT_ALLOW, "kill", exec ? 0 : 1, SCMP_A0_64(SCMP_CMP_EQ, self));
    if (!rc)
        rc = add(ctx, SCMP_ACT_ALLOW, "tgkill", exec ? 0 : 1, SCMP_A0_64(SCMP_CMP_EQ, self));
    if (!rc)
        rc = add(ctx, SCMP_ACT_ALLOW, "prlimit64", exec ? 0 : 1, SCMP_A0_64(SCMP_CMP_EQ, 0));
    return rc;
}

/* Allows to change the priorities of the calling thread only. */
static int add_priorities(scmp_filter_ctx ctx)
{
    static const char *const calls[] = {"sched_setaffinity", "sched_setparam",
                                        "sched_setscheduler"};
    const struct scmp_arg_cmp own[] = {
        SCMP_A0_32(SCMP_CMP_EQ, PRIO_PROCESS),
        SCMP_A1_32(SCMP_CMP_EQ, 0),
    };
    int rc = add_all(ctx, SCMP_ACT_ALLOW, "setpriority", COUNT(own), own);

    for (size_t i = 0; i < COUNT(calls) && !rc; i++)
        rc = add(ctx, SCMP_ACT_ALLOW, calls[i], 1, SCMP_A0_32(SCMP_CMP_EQ, 0));
    /* All other prctl() options affect the caller only. */
    return rc ? rc : add(ctx, SCMP_ACT_ALLOW, "prctl", 1, SCMP_A0_32(SCMP_CMP_NE, PR_SCHED_CORE));
}

/* Allows Unix domain sockets with connections. Others (datagrams) can send to any named socket
 * without connect(), even from a pair. */
static int add_streams(scmp_filter_ctx ctx, const char *name)
{
    static const unsigned types[] = {SOCK_STREAM, SOCK_SEQPACKET};
    int rc = 0;

    for (size_t i = 0; i < COUNT(types) && !rc; i++) {
        const struct scmp_arg_cmp stream[] = {
            SCMP_A0_32(SCMP_CMP_EQ, AF_UNIX),
            SCMP_A1_32(SCMP_CMP_MASKED_EQ, ~(uint32_t)(SOCK_CLOEXEC | SOCK_NONBLOCK), types[i]),
        };

        rc = add_all(ctx, SCMP_ACT_ALLOW, name, COUNT(stream), stream);
    }
    return rc;
}

static int add_unix_sockets(scmp_filter_ctx ctx, unsigned allow)
{
    int rc;

    if (allow & LUNIK_SANDBOX_SOCKETS) {
        rc = add(ctx, SCMP_ACT_ALLOW, "socketpair", 1, SCMP_A0_32(SCMP_CMP_EQ, AF_UNIX));
        return rc ? rc : add(ctx, SCMP_ACT_ALLOW, "socket", 1, SCMP_A0_32(SCMP_CMP_EQ, AF_UNIX));
    }
    rc = add_streams(ctx, "socketpair");
    if (!rc && allow & LUNIK_SANDBOX_LISTEN)
        rc = add_streams(ctx, "socket");
    return rc;
}

static int add_sockets(scmp_filter_ctx ctx, unsigned allow)
{
    static const unsigned long internet[] = {AF_INET, AF_INET6, AF_NETLINK};
    int rc = add_unix_sockets(ctx, allow);

    if (!rc && allow & LUNIK_SANDBOX_NETWORK)
        rc = add_values(ctx, SCMP_ACT_ALLOW, "socket", 0, internet, COUNT(internet));
    return rc;
}

static int add_rules(scmp_filter_ctx ctx, unsigned allow)
{
    int rc = add_listed(ctx, allow);

    if (!rc)
        rc = add_ioctls(ctx, allow);
    if (!rc)
        rc = add_fcntl(ctx);
    if (!rc)
        rc = add_files(ctx, allow);
    if (!rc)
        rc = add_memory(ctx, allow);
    if (!rc)
        rc = add_processes(ctx, allow);
    if (!rc)
        rc = add_priorities(ctx);
    return rc ? rc : add_sockets(ctx, allow);
}

/* Refuses what programs do to other processes, which vCPUs never need. */
static int add_vcpu_processes(scmp_filter_ctx ctx, uint32_t refuse)
{
    const struct scmp_arg_cmp other = SCMP_A0_32(SCMP_CMP_NE, SANDBOX_SELF);
    int rc = add(ctx, refuse, "kill", 1, other);

    if (!rc)
        rc = add(ctx, refuse, "tgkill", 1, other);
    if (!rc)
        rc = add(ctx, refuse, "prlimit64", 1, SCMP_A0_32(SCMP_CMP_NE, 0));
    if (!rc)
        rc = add_values(ctx, refuse, "ioctl", 1, terminal_requests, COUNT(terminal_requests));
    return rc ? rc
              : add(ctx, SCMP_ACT_ERRNO(EPERM), "clone", 1,
                    SCMP_A0_64(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));
}

/* Refuses new sockets, programs, and what the process may do to others; allows the rest. */
static int add_vcpu_rules(scmp_filter_ctx ctx, uint32_t refuse)
{
    int rc = add(ctx, refuse, "socket", 0, (struct scmp_arg_cmp){0});

    for (const struct sandbox_call *c = sandbox_calls; c->name && !rc; c++) {
        if (c->classes & LUNIK_SANDBOX_EXEC)
            rc = add(ctx, SCMP_ACT_ERRNO(EPERM), c->name, 0, (struct scmp_arg_cmp){0});
        else if (c->classes & LUNIK_SANDBOX_NETWORK)
            rc = add(ctx, refuse, c->name, 0, (struct scmp_arg_cmp){0});
    }
    return rc ? rc : add_vcpu_processes(ctx, refuse);
}

/* ---- output --------------------------------------------------------------------------------- */

static void check(int rc, const char *what)
{
    if (!rc)
        return;
    errno = -rc;
    err(EXIT_FAILURE, "%s", what);
}

/* Makes a filter whose code is a binary tree, which the kernel also checks faster when it is
 * installed. */
static scmp_filter_ctx new_filter(uint32_t action)
{
    enum { BINARY_TREE = 2 };
    scmp_filter_ctx ctx = seccomp_init(action);

    check(ctx ? 0 : -ENOMEM, "seccomp_init");
    /* Killing only a thread would leave locks that other threads wait for. */
    check(seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS), "architectures");
    check(seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, BINARY_TREE), "a binary tree");
    return ctx;
}

static void print_instruction(const struct sock_filter *f)
{
    printf("    {0x%x, %u, %u, 0x%xu},\n", f->code, f->jt, f->jf, f->k);
}

/* Prints code that goes before the rest of a filter and allows KVM's requests at once, so that the
 * call of every vCPU exit costs little. */
static void print_fast_path(void)
{
    enum { LOAD = BPF_LD | BPF_W | BPF_ABS, EQUAL = BPF_JMP | BPF_JEQ | BPF_K };
    static const struct sock_filter code[] = {
        BPF_STMT(LOAD, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(EQUAL, AUDIT_ARCH_X86_64, 0, 6),
        BPF_STMT(LOAD, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(EQUAL, SYS_ioctl, 0, 4),
        BPF_STMT(LOAD, offsetof(struct seccomp_data, args[1])),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xff00),
        BPF_JUMP(EQUAL, KVMIO << 8, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };

    for (size_t i = 0; i < sizeof(code) / sizeof(code[0]); i++)
        print_instruction(&code[i]);
}

static void print_code(scmp_filter_ctx ctx, const char *name, unsigned allow)
{
    int fd = memfd_create("filter", MFD_CLOEXEC);
    struct sock_filter f;

    check(fd < 0 ? -errno : seccomp_export_bpf(ctx, fd), "seccomp_export_bpf");
    lseek(fd, 0, SEEK_SET);
    printf("\nstatic const struct sock_filter %s_%x[] = {\n", name, allow);
    print_fast_path();
    while (read(fd, &f, sizeof(f)) == (ssize_t)sizeof(f))
        print_instruction(&f);
    printf("};\n");
    close(fd);
    seccomp_release(ctx);
}

static uint32_t refusal(unsigned allow)
{
    return allow & LUNIK_SANDBOX_EXEC ? SCMP_ACT_ERRNO(EPERM) : SCMP_ACT_TRAP;
}

static void print_filters_for(unsigned allow)
{
    unsigned classes = allow | SANDBOX_ENGINE;
    scmp_filter_ctx process = new_filter(refusal(allow)), vcpu = new_filter(SCMP_ACT_ALLOW);

    if (allow & LUNIK_SANDBOX_FILES)
        classes |= SANDBOX_METADATA;
    check(add_rules(process, classes), "the process's rules");
    print_code(process, "process", allow);
    check(add_vcpu_rules(vcpu, refusal(allow)), "the vCPUs' rules");
    print_code(vcpu, "vcpu", allow);
}

static bool is_policy(unsigned allow)
{
    const unsigned connect = LUNIK_SANDBOX_SOCKETS | LUNIK_SANDBOX_NETWORK;
    bool files = allow & LUNIK_SANDBOX_FILES;

    return !(files && allow & LUNIK_SANDBOX_PATHS) && !(!files && allow & LUNIK_SANDBOX_EXEC) &&
           !(allow & LUNIK_SANDBOX_LISTEN && allow & connect);
}

static void print_filters(void)
{
    const unsigned end = 2 * LUNIK_SANDBOX_LISTEN;

    for (unsigned allow = 0; allow < end; allow++)
        if (is_policy(allow))
            print_filters_for(allow);
    printf("\n#define CODE(name) {sizeof(name) / sizeof(name[0]), name}\n");
    printf("\nconst struct sandbox_filters sandbox_filters[] = {\n");
    for (unsigned allow = 0; allow < end; allow++)
        if (is_policy(allow))
            printf("    {0x%x, CODE(process_%x), CODE(vcpu_%x)},\n", allow, allow, allow);
    printf("    {0},\n};\n");
}

static void print_classes(void)
{
    printf("\nconst unsigned short sandbox_classes[SANDBOX_CALLS] = {\n");
    for (const struct sandbox_call *c = sandbox_calls; c->name; c++) {
        int nr = seccomp_syscall_resolve_name(c->name);

        if (nr >= 0)
            printf("    [%d] = 0x%x, /* %s */\n", nr, c->classes, c->name);
    }
    printf("};\n");
}

int main(void)
{
    printf("/* Written by sandbox_generate. */\n#include \"sandbox/sandbox.h\"\n");
    print_filters();
    print_classes();
    return 0;
}
