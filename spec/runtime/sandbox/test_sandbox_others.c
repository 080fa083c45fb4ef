/*
 * test_sandbox_others.c: what a sandboxed process may not do to other processes, tried by each
 * policy's main thread and by a vCPU's. The other process is the test itself.
 */
#define _GNU_SOURCE /* F_SETSIG, sched_setaffinity, ... */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "check.h"
#include "sandbox.h"

#ifndef PR_SCHED_CORE
#define PR_SCHED_CORE 62
#endif
#define PR_SCHED_CORE_SHARE_TO 2

enum { X32 = 0x40000000 };

static int pair[2]; /* a pipe's ends, open before */

/* ---- signals -------------------------------------------------------------------------------- */

static int try_setown(void)
{
    return result(fcntl(pair[0], F_SETOWN, getppid()));
}

static int try_setown_ex(void)
{
    const struct f_owner_ex owner = {F_OWNER_PID, getppid()};

    return result(fcntl(pair[0], F_SETOWN_EX, &owner));
}

static int try_setsig(void)
{
    return result(fcntl(pair[0], F_SETSIG, SIGKILL));
}

static int try_async(void)
{
    return result(fcntl(pair[0], F_SETFL, O_ASYNC));
}

static int try_lease(void)
{
    return result(fcntl(pair[0], F_SETLEASE, F_RDLCK));
}

static int try_notify(void)
{
    return result(fcntl(pair[0], F_NOTIFY, DN_MODIFY));
}

static int try_fioasync(void)
{
    int on = 1;

    return result(ioctl(pair[0], FIOASYNC, &on));
}

static int try_fiosetown(void)
{
    pid_t other = getppid();

    return result(ioctl(pair[0], FIOSETOWN, &other));
}

static int try_siocspgrp(void)
{
    pid_t other = getppid();

    return result(ioctl(pair[0], SIOCSPGRP, &other));
}

static int try_kill(void)
{
    return result(kill(getppid(), 0));
}

static int try_kill_group(void)
{
    return result(kill(0, 0));
}

static int try_kill_all(void)
{
    return result(kill(-1, 0));
}

static int try_tgkill(void)
{
    return result(syscall(SYS_tgkill, getppid(), getppid(), 0));
}

static int try_tkill(void)
{
    return result(syscall(SYS_tkill, getppid(), 0));
}

static int try_queue(void)
{
    siginfo_t info = {.si_code = SI_QUEUE};

    return result(syscall(SYS_rt_sigqueueinfo, getppid(), 0, &info));
}

static int try_queue_thread(void)
{
    siginfo_t info = {.si_code = SI_QUEUE};

    return result(syscall(SYS_rt_tgsigqueueinfo, getppid(), getppid(), 0, &info));
}

static int try_pidfd(void)
{
    return result(syscall(SYS_pidfd_open, getppid(), 0));
}

static int try_pidfd_signal(void)
{
    return result(syscall(SYS_pidfd_send_signal, pair[0], 0, NULL, 0)) == EBADF ? WORKED : errno;
}

/* ---- priorities, processors, limits --------------------------------------------------------- */

static int try_priority(void)
{
    return result(setpriority(PRIO_PROCESS, (id_t)getppid(), 0));
}

static int try_priority_of_group(void)
{
    return result(setpriority(PRIO_PGRP, 0, 0));
}

static int try_priority_of_user(void)
{
    return result(setpriority(PRIO_USER, 0, 0));
}

static int try_affinity(void)
{
    cpu_set_t set;

    sched_getaffinity(0, sizeof(set), &set);
    return result(sched_setaffinity(getppid(), sizeof(set), &set));
}

static int try_scheduler(void)
{
    const struct sched_param param = {0};

    return result(sched_setscheduler(getppid(), SCHED_OTHER, &param));
}

static int try_param(void)
{
    const struct sched_param param = {0};

    return result(sched_setparam(getppid(), &param));
}

static int try_attr(void)
{
    return result(syscall(SYS_sched_setattr, getppid(), NULL, 0));
}

static int try_io_priority(void)
{
    return result(syscall(SYS_ioprio_set, 1, getppid(), 0));
}

static int try_core(void)
{
    return result(prctl(PR_SCHED_CORE, PR_SCHED_CORE_SHARE_TO, getppid(), 0, 0));
}

static int try_limit(void)
{
    return result(prlimit(getppid(), RLIMIT_CORE, NULL, NULL));
}

/* ---- memory, terminals, sockets ------------------------------------------------------------- */

static int try_robust_list(void)
{
    void *head;
    size_t size;

    return result(syscall(SYS_get_robust_list, getppid(), &head, &size));
}

static int try_madvise(void)
{
    return result(syscall(SYS_process_madvise, pair[0], NULL, 0, 0, 0));
}

static int try_vm_write(void)
{
    return result(syscall(SYS_process_vm_writev, getppid(), NULL, 0, NULL, 0, 0));
}

static int try_move_pages(void)
{
    return result(syscall(SYS_move_pages, getppid(), 0, NULL, NULL, NULL, 0));
}

static int try_getfd(void)
{
    return result(syscall(SYS_pidfd_getfd, pair[0], 0, 0));
}

static int try_typing(void)
{
    return result(ioctl(pair[0], TIOCSTI, "x"));
}

static int try_foreground(void)
{
    pid_t group = getppid();

    return result(ioctl(pair[0], TIOCSPGRP, &group));
}

static int try_io_uring(void)
{
    return result(syscall(SYS_io_uring_setup, 1, NULL));
}

/* An end of such a pair can send to any socket that has a name. */
static int try_datagrams(void)
{
    int fds[2];

    return result(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fds));
}

static int try_stream_pair(void)
{
    int fds[2];

    return result(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds));
}

/* ---- another architecture ------------------------------------------------------------------- */

static int try_x32(void)
{
    return result(syscall(X32 | SYS_getpid));
}

/* x32 has numbers of its own, and KVM's requests are looked at before everything else. */
static int try_x32_ioctl(void)
{
    return result(syscall(X32 | SYS_ioctl, -1, 0xae00, 0));
}

static int try_int80(void)
{
    long rc = 20; /* getpid */

    signal(SIGSEGV, SIG_DFL); /* a sanitizer's handler reports */
    __asm__ volatile("int $0x80" : "+a"(rc)::"memory");
    return rc < 0 ? (int)-rc : WORKED;
}

/* ---- its own -------------------------------------------------------------------------------- */

static int try_own(void)
{
    const struct sched_param param = {0};
    cpu_set_t set;

    if (kill(getpid(), 0) || syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), 0))
        return errno;
    if (sched_getaffinity(0, sizeof(set), &set) || sched_setaffinity(0, sizeof(set), &set) ||
        sched_setscheduler(0, SCHED_OTHER, &param) || setpriority(PRIO_PROCESS, 0, 0) ||
        prlimit(0, RLIMIT_CORE, NULL, NULL))
        return errno;
    if (fcntl(pair[0], F_SETFL, O_NONBLOCK) || fcntl(pair[0], F_DUPFD_CLOEXEC, 0) < 0 ||
        fcntl(pair[0], F_SETFD, FD_CLOEXEC) || fcntl(pair[0], F_GETPIPE_SZ) < 0)
        return errno;
    return result(prctl(PR_SET_NAME, "own", 0, 0, 0));
}

/* ---- policies ------------------------------------------------------------------------------- */

static const char *const everywhere[] = {"/", NULL};

static const struct {
    const char *name;
    lunik_sandbox_policy policy;
    bool exec;
} policies[] = {
    {"nothing allowed", {0}, false},
    {"paths", {.read = everywhere, .write = everywhere}, false},
    {"files", {.allow = LUNIK_SANDBOX_FILES}, false},
    {"sockets that listen", {.allow = LUNIK_SANDBOX_LISTEN}, false},
    {"the network", {.allow = LUNIK_SANDBOX_NETWORK}, false},
    {"programs", {.allow = LUNIK_SANDBOX_FILES | LUNIK_SANDBOX_EXEC}, true},
};

/* programs: what the main thread gets where programs may be started, which signals are part of. */
static const struct {
    const char *name;
    sandbox_try_fn *fn;
    int want, programs;
} cases[] = {
    {"its own priorities, limits, signals and descriptors", try_own, WORKED, WORKED},
    {"F_SETOWN", try_setown, EPERM, EPERM},
    {"F_SETOWN_EX", try_setown_ex, EPERM, EPERM},
    {"F_SETSIG", try_setsig, EPERM, EPERM},
    {"F_SETFL O_ASYNC", try_async, EPERM, EPERM},
    {"F_SETLEASE", try_lease, EPERM, EPERM},
    {"F_NOTIFY", try_notify, EPERM, EPERM},
    {"FIOASYNC", try_fioasync, EPERM, EPERM},
    {"FIOSETOWN", try_fiosetown, EPERM, EPERM},
    {"SIOCSPGRP", try_siocspgrp, EPERM, EPERM},
    {"kill", try_kill, EPERM, WORKED},
    {"kill of the group", try_kill_group, EPERM, WORKED},
    {"kill of all", try_kill_all, EPERM, WORKED},
    {"tgkill", try_tgkill, EPERM, WORKED},
    {"tkill", try_tkill, EPERM, WORKED},
    {"rt_sigqueueinfo", try_queue, EPERM, EPERM},
    {"rt_tgsigqueueinfo", try_queue_thread, EPERM, EPERM},
    {"pidfd_open", try_pidfd, EPERM, WORKED},
    {"pidfd_send_signal", try_pidfd_signal, EPERM, WORKED},
    {"setpriority", try_priority, EPERM, EPERM},
    {"setpriority of the group", try_priority_of_group, EPERM, EPERM},
    {"setpriority of the user", try_priority_of_user, EPERM, EPERM},
    {"sched_setaffinity", try_affinity, EPERM, EPERM},
    {"sched_setscheduler", try_scheduler, EPERM, EPERM},
    {"sched_setparam", try_param, EPERM, EPERM},
    {"sched_setattr", try_attr, EPERM, EPERM},
    {"ioprio_set", try_io_priority, EPERM, EPERM},
    {"PR_SCHED_CORE", try_core, EPERM, EPERM},
    {"prlimit", try_limit, EPERM, WORKED},
    {"get_robust_list", try_robust_list, EPERM, EPERM},
    {"process_madvise", try_madvise, KILLED, KILLED},
    {"process_vm_writev", try_vm_write, KILLED, KILLED},
    {"move_pages", try_move_pages, KILLED, KILLED},
    {"pidfd_getfd", try_getfd, KILLED, KILLED},
    {"TIOCSTI", try_typing, EPERM, EPERM},
    {"TIOCSPGRP", try_foreground, EPERM, ENOTTY},
    {"io_uring", try_io_uring, ENOSYS, ENOSYS},
    {"a pair of datagram sockets", try_datagrams, EPERM, EPERM},
    {"a pair of stream sockets", try_stream_pair, WORKED, WORKED},
    {"an x32 call", try_x32, KILLED, KILLED},
    {"an x32 ioctl", try_x32_ioctl, KILLED, KILLED},
};

static void check_case(size_t policy, size_t i)
{
    bool exec = policies[policy].exec;
    char name[128];

    snprintf(name, sizeof(name), "%s with %s", cases[i].name, policies[policy].name);
    check_int(name, within(&policies[policy].policy, cases[i].fn),
              exec ? cases[i].programs : cases[i].want);
    snprintf(name, sizeof(name), "%s with %s, on a vCPU's thread", cases[i].name,
             policies[policy].name);
    check_int(name, within_thread(&policies[policy].policy, cases[i].fn, true), cases[i].want);
}

/* Kernels without 32-bit programs answer with SIGSEGV, which also ends the process. */
static void test_int80(void)
{
    for (size_t p = 0; p < sizeof(policies) / sizeof(policies[0]); p++)
        for (unsigned vcpu = 0; vcpu < 2; vcpu++) {
            int rc = within_thread(&policies[p].policy, try_int80, vcpu);

            check_true("a 32-bit call ends the process", rc == KILLED || rc == 1000 + SIGSEGV);
        }
}

static bool has_landlock(void)
{
    return syscall(SYS_landlock_create_ruleset, NULL, 0, 1) >= 1;
}

int main(void)
{
    if (pipe(pair) || !drop_capabilities())
        return 1;
    for (size_t p = 0; p < sizeof(policies) / sizeof(policies[0]); p++)
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
            if (!policies[p].policy.read || has_landlock())
                check_case(p, i);
    test_int80();
    return check_result();
}
