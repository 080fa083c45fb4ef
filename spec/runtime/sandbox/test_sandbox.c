/* test_sandbox.c: what a sandboxed process is stopped from doing, each in a process of its own. */
#define _GNU_SOURCE /* memfd_create, unshare, ... */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/rcu.h"
#include "check.h"
#include "sandbox.h"

static lunik_error err;

static const lunik_sandbox_policy closed = {0};
static const lunik_sandbox_policy with_files = {.allow = LUNIK_SANDBOX_FILES};
static const lunik_sandbox_policy with_sockets = {.allow = LUNIK_SANDBOX_SOCKETS};
static const lunik_sandbox_policy with_listen = {.allow = LUNIK_SANDBOX_LISTEN};
static const lunik_sandbox_policy with_network = {.allow = LUNIK_SANDBOX_NETWORK};
static const lunik_sandbox_policy with_exec = {.allow = LUNIK_SANDBOX_FILES | LUNIK_SANDBOX_EXEC};

/* ---- calls ---------------------------------------------------------------------------------- */

static int try_open(void)
{
    return result(open("/etc/passwd", O_RDONLY));
}

static int try_execve(void)
{
    char *argv[] = {"/bin/true", NULL};

    return result(execve(argv[0], argv, NULL));
}

static int try_fork(void)
{
    return result(syscall(SYS_fork));
}

static int try_clone3(void)
{
    return result(syscall(SYS_clone3, NULL, 0));
}

static int try_unix_socket(void)
{
    return result(socket(AF_UNIX, SOCK_STREAM, 0));
}

static int try_internet_socket(void)
{
    return result(socket(AF_INET, SOCK_STREAM, 0));
}

static int try_packet_socket(void)
{
    return result(socket(AF_PACKET, SOCK_RAW, 0));
}

static int try_datagram_socket(void)
{
    return result(socket(AF_UNIX, SOCK_DGRAM, 0));
}

static char path_of_socket[] = "/tmp/lunik-sandbox.socket";

static int try_to_listen(void)
{
    const struct sockaddr_un address = {AF_UNIX, "/tmp/lunik-sandbox.socket"};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) && errno != EADDRINUSE)
        return errno;
    return listen(fd, 1) && errno != EINVAL ? errno : WORKED;
}

static int try_to_connect(void)
{
    const struct sockaddr_un address = {AF_UNIX, "/nowhere"};

    return result(connect(socket(AF_UNIX, SOCK_STREAM, 0), (const struct sockaddr *)&address,
                          sizeof(address)));
}

static int try_unlink(void)
{
    return result(unlink("/does/not/exist"));
}

static int try_mode(void)
{
    return result(fchmod(-1, 0600));
}

static int try_executable_memory(void)
{
    void *p = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return p == MAP_FAILED ? errno : WORKED;
}

static int try_make_executable(void)
{
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return result(mprotect(p, 4096, PROT_READ | PROT_EXEC));
}

static int try_tiocsti(void)
{
    return result(ioctl(0, TIOCSTI, "x"));
}

static int try_kill_other(void)
{
    return result(kill(getppid(), 0));
}

static int try_limit_other(void)
{
    return result(prlimit(getppid(), RLIMIT_CORE, NULL, NULL));
}

static int try_io_uring(void)
{
    return result(syscall(SYS_io_uring_setup, 1, NULL));
}

static int try_unknown(void)
{
    return result(syscall(1000));
}

static int try_namespace(void)
{
    return result(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL));
}

static int try_gain(void)
{
    return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? WORKED : WRONG;
}

static int try_again(void)
{
    return lunik_sandbox(&closed, &err) == LUNIK_E_STATE ? WORKED : WRONG;
}

static int try_message(void)
{
    int fd = open("/etc/passwd", O_RDONLY), sys = errno;

    if (fd >= 0)
        return WRONG;
    lunik_fail_errno(&err, sys, "x");
    return strstr(err.message, "allow 'files'") && !lunik_sandbox_denial() ? WORKED : WRONG;
}

static int try_ptrace(void)
{
    return result(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
}

static int try_read_other(void)
{
    return result(syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0));
}

static int try_bpf(void)
{
    return result(syscall(SYS_bpf, BPF_MAP_CREATE, NULL, 0));
}

static int try_mount(void)
{
    return result(mount("none", "/mnt", "tmpfs", 0, NULL));
}

static int try_unshare(void)
{
    return result(unshare(CLONE_NEWUSER));
}

static int try_module(void)
{
    return result(syscall(SYS_init_module, NULL, 0, ""));
}

static int try_keyctl(void)
{
    return result(syscall(SYS_keyctl, 0, 0, 0, 0, 0));
}

static int try_setuid(void)
{
    return result(syscall(SYS_setuid, 0));
}

static const struct {
    const char *name;
    int (*fn)(void);
    const lunik_sandbox_policy *policy;
    int want;
} cases[] = {
    {"opening a file", try_open, &closed, EPERM},
    {"opening a file, allowed", try_open, &with_files, WORKED},
    {"opening a file with sockets allowed", try_open, &with_sockets, EPERM},
    {"execve", try_execve, &closed, EPERM},
    {"execve with files allowed", try_execve, &with_files, EPERM},
    {"execve, allowed", try_execve, &with_exec, WORKED},
    {"fork", try_fork, &closed, EPERM},
    {"clone3 hides its flags: not there", try_clone3, &with_exec, ENOSYS},
    {"a Unix domain socket", try_unix_socket, &closed, EPERM},
    {"a Unix domain socket, allowed", try_unix_socket, &with_sockets, WORKED},
    {"an Internet socket with sockets allowed", try_internet_socket, &with_sockets, EPERM},
    {"an Internet socket, allowed", try_internet_socket, &with_network, WORKED},
    {"a packet socket with the network allowed", try_packet_socket, &with_network, EPERM},
    {"a datagram socket with listening ones allowed", try_datagram_socket, &with_listen, EPERM},
    {"a socket that listens, allowed", try_to_listen, &with_listen, WORKED},
    {"connecting with listening sockets allowed", try_to_connect, &with_listen, EPERM},
    {"connecting with sockets allowed", try_to_connect, &with_sockets, ENOENT},
    {"removing a file with sockets allowed", try_unlink, &with_sockets, EPERM},
    {"removing a file, allowed", try_unlink, &with_files, ENOENT},
    {"the mode of what is open", try_mode, &with_sockets, EPERM},
    {"executable memory", try_executable_memory, &closed, EPERM},
    {"executable memory, for libraries", try_executable_memory, &with_files, WORKED},
    {"making memory executable", try_make_executable, &closed, EPERM},
    {"typing at the terminal", try_tiocsti, &with_files, EPERM},
    {"a signal for another process", try_kill_other, &closed, EPERM},
    {"limits of another process", try_limit_other, &closed, EPERM},
    {"io_uring leads around filters: not there", try_io_uring, &with_files, ENOSYS},
    {"a system call of the future: not there", try_unknown, &closed, ENOSYS},
    {"a new name space with programs allowed", try_namespace, &with_exec, EPERM},
    {"no_new_privs", try_gain, &with_files, WORKED},
    {"a second sandbox is refused", try_again, &closed, WORKED},
    {"an error's message names the group, once", try_message, &closed, WORKED},
    {"ptrace kills", try_ptrace, &with_exec, 1000 + SIGSYS},
    {"process_vm_readv kills", try_read_other, &with_files, 1000 + SIGSYS},
    {"bpf kills", try_bpf, &with_files, 1000 + SIGSYS},
    {"mount kills", try_mount, &with_files, 1000 + SIGSYS},
    {"unshare kills", try_unshare, &with_files, 1000 + SIGSYS},
    {"init_module kills", try_module, &with_files, 1000 + SIGSYS},
    {"keyctl kills", try_keyctl, &with_files, 1000 + SIGSYS},
    {"setuid kills", try_setuid, &with_files, 1000 + SIGSYS},
};

static void test_calls(void)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        check_int(cases[i].name, within(cases[i].policy, cases[i].fn), cases[i].want);
    unlink(path_of_socket);
}

/* ---- hosts that forbid it ------------------------------------------------------------------- */

/* As some containers do. */
static int try_forbidden(void)
{
    const struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_seccomp, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {4, (struct sock_filter *)code};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
        return WRONG;
    if (lunik_sandbox(&closed, &err) != LUNIK_E_UNSUPPORTED || lunik_sandboxed(NULL))
        return WRONG;
    return try_open();
}

static void test_forbidden(void)
{
    int status;
    pid_t child;

    fflush(stdout);
    child = fork();
    if (child == 0)
        _exit(try_forbidden());
    waitpid(child, &status, 0);
    check_int("without seccomp nothing is taken", status, 0);
}

/* ---- forks ---------------------------------------------------------------------------------- */

static void reclaimed(struct rcu_head *head)
{
}

static void *reader(void *arg)
{
    pthread_barrier_t *barrier = arg;

    rcu_online();
    pthread_barrier_wait(barrier);
    pthread_barrier_wait(barrier);
    rcu_offline();
    return NULL;
}

#ifdef RUNTIME_TSAN
/* ThreadSanitizer lets no thread be made in the child of a process with threads. */
static int try_reclaim(void)
{
    return try_open();
}
#else
/* The child's first call: the grace period that it waits for may be of threads that it lacks. */
static int try_reclaim(void)
{
    static struct rcu_head head;

    rcu_defer(&head, reclaimed);
    rcu_drain();
    return try_open();
}
#endif

/* A child has one thread, whatever those of its parent were doing. */
static void test_fork(void)
{
    struct rcu_head head;
    pthread_barrier_t barrier;
    pthread_t thread;

    rcu_defer(&head, reclaimed);
    rcu_drain();
    check_int("there are reclaimers", rcu_reclaimers(), RCU_RECLAIMERS);
    check_int("a child has none", within(&closed, try_open), EPERM);
    check_int("but makes its own", within(&with_files, try_reclaim), WORKED);
    pthread_barrier_init(&barrier, NULL, 2);
    if (pthread_create(&thread, NULL, reader, &barrier))
        return (void)check_true("a thread", false);
    pthread_barrier_wait(&barrier);
    check_int("nor its parent's readers", within(&with_files, try_reclaim), WORKED);
    pthread_barrier_wait(&barrier);
    pthread_join(thread, NULL);
    pthread_barrier_destroy(&barrier);
}

/* ---- users ---------------------------------------------------------------------------------- */

static int try_identity(void)
{
    uid_t r, e, s;

    if (getresuid(&r, &e, &s) || r != 65534 || e != r || s != r || getgid() != 12345)
        return WRONG;
    if (getgroups(0, NULL) != 0 || prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 1)
        return WRONG;
    return WORKED;
}

static int try_second_vm(void)
{
    lunik_runtime *rt;
    lunik_machine *m;
    const lunik_machine_config config = {.cpus = 1};

    if (getuid() == 0)
        return WRONG;
    if (lunik_runtime_new(lunik_builtin_types(), &rt, &err) ||
        lunik_machine_new(rt, &config, &m, &err)) {
        fprintf(stderr, "%s\n", err.message);
        return WRONG;
    }
    lunik_runtime_free(rt);
    return WORKED;
}

static int try_capabilities(void)
{
    char status[4096];
    int fd = open("/proc/self/status", O_RDONLY);
    ssize_t n = read(fd, status, sizeof(status) - 1);
    unsigned long long effective = ~0ull, permitted = ~0ull;
    const char *line;

    status[n > 0 ? n : 0] = '\0';
    line = strstr(status, "CapPrm:");
    if (line)
        permitted = strtoull(line + 7, NULL, 16);
    line = strstr(status, "CapEff:");
    if (line)
        effective = strtoull(line + 7, NULL, 16);
    return (effective | permitted) & (1u << 21 | 1u << 12) ? WRONG
                                                           : WORKED; /* SYS_ADMIN, NET_ADMIN */
}

static void test_users(void)
{
    const lunik_sandbox_policy nobody = {.user = "nobody", .group = "12345"};
    const lunik_sandbox_policy unknown = {.user = "no such user"};
    const lunik_sandbox_policy no_group = {.group = "no such group"};

    check_int("an unknown user", lunik_sandbox(&unknown, &err), LUNIK_E_INVALID);
    check_int("an unknown group", lunik_sandbox(&no_group, &err), LUNIK_E_INVALID);
    check_int("capabilities go", within(&with_files, try_capabilities), WORKED);
    if (getuid() != 0) {
        check_skip("changing users", "not root");
        return;
    }
    check_int("another user, dumps as before", within(&nobody, try_identity), WORKED);
    if (access("/dev/kvm", R_OK | W_OK) == 0)
        check_int("/dev/kvm goes along", within(&nobody, try_second_vm), WORKED);
}

/* ---- threads -------------------------------------------------------------------------------- */

static void *sleeper(void *arg)
{
    pthread_mutex_lock(arg);
    pthread_mutex_unlock(arg);
    return NULL;
}

static void *vcpu(void *arg)
{
    int *results = arg;

    sandbox_enter_vcpu();
    results[0] = try_unix_socket();
    results[1] = try_internet_socket();
    results[2] = try_execve();
    return NULL;
}

/* Rights that no policy gives to a vCPU's thread, and that other threads have. */
static int try_vcpu(void)
{
    pthread_t thread;
    int results[3] = {WRONG, WRONG, WRONG};

    if (pthread_create(&thread, NULL, vcpu, results))
        return WRONG;
    pthread_join(thread, NULL);
    for (unsigned i = 0; i < 3; i++)
        if (results[i] != EPERM)
            return WRONG;
    return try_unix_socket();
}

static void test_vcpu(void)
{
    static const unsigned policies[] = {
        LUNIK_SANDBOX_SOCKETS,
        LUNIK_SANDBOX_FILES | LUNIK_SANDBOX_SOCKETS,
        LUNIK_SANDBOX_SOCKETS | LUNIK_SANDBOX_NETWORK,
        LUNIK_SANDBOX_FILES | LUNIK_SANDBOX_SOCKETS | LUNIK_SANDBOX_EXEC,
    };

    for (unsigned i = 0; i < sizeof(policies) / sizeof(policies[0]); i++) {
        const lunik_sandbox_policy policy = {.allow = policies[i]};

        check_int("a vCPU's thread has no sockets and no programs", within(&policy, try_vcpu),
                  WORKED);
    }
}

/* Threads that it can't cover. */
static void test_other_threads(void)
{
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_t thread;

    pthread_mutex_lock(&mutex);
    if (pthread_create(&thread, NULL, sleeper, &mutex))
        return (void)check_true("a thread", false);
    check_int("with other threads it is refused", lunik_sandbox(&closed, &err), LUNIK_E_STATE);
    check_contains("and says so", err.message, "threads already");
    pthread_mutex_unlock(&mutex);
    pthread_join(thread, NULL);
}

int main(void)
{
    const lunik_sandbox_policy wrong = {.allow = LUNIK_SANDBOX_PATHS};
    const lunik_sandbox_policy only_exec = {.allow = LUNIK_SANDBOX_EXEC};

    check_int("groups that are none", lunik_sandbox(&wrong, &err), LUNIK_E_INVALID);
    check_int("programs without files", lunik_sandbox(&only_exec, &err), LUNIK_E_INVALID);
    test_calls();
    test_users();
    test_forbidden();
    test_fork();
    test_vcpu();
    test_other_threads();
    return check_result();
}
