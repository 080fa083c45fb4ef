/*
 * test_sandbox_threads.c: threads with work of devices are in the sandbox, whether they were there
 * before or have been started since, and in that of the process, also if a vCPU wants the work.
 */
#define _GNU_SOURCE /* syscall */
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>

#include "check.h"
#include "sandbox.h"

enum { PIECES = 400, FREE = 100, PARTLY = 101 };

static const lunik_sandbox_policy nothing = {0};
static const lunik_sandbox_policy sockets = {.allow = LUNIK_SANDBOX_SOCKETS};
static lunik_runtime *rt;
static lunik_error err;
static _Atomic bool hold, begun, entered;
static _Atomic unsigned free_later, confined;
static unsigned dones;

/* WORKED: the calling thread has what only it can give up, and the filter. FREE: neither. */
static int confinement_here(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{0}};
    bool rights, files;

    syscall(SYS_capget, &head, data);
    rights = data[0].permitted & 1u << CAP_SYS_PTRACE || !prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
    files = open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0;
    return !rights && !files ? WORKED : rights && files ? FREE : PARTLY;
}

static void run(lunik_work *w)
{
    const struct timespec while_it_is_entered = {.tv_nsec = 5 * 1000 * 1000};
    bool before = entered;

    begun = true;
    while (hold)
        sched_yield();
    if (!before)
        nanosleep(&while_it_is_entered, NULL);
    if (confinement_here() == WORKED)
        confined++;
    else if (before)
        free_later++;
}

static void done(lunik_work *w, int rc)
{
    dones += !rc;
}

static lunik_work works[PIECES];

static void start_work(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        works[i] = (lunik_work){.run = run, .done = done};
        lunik_work_start(rt, &works[i], &err);
    }
}

static int finish_work(unsigned count)
{
    while (dones < count)
        lunik_run(rt, LUNIK_RUN_NOWAIT);
    return free_later ? WRONG : confined ? WORKED : FREE;
}

static int enter(void)
{
    int rc = lunik_sandbox(&nothing, &err);

    if (rc)
        fprintf(stderr, "%s\n", err.message);
    entered = rc == 0;
    return rc;
}

/* ---- cases ---------------------------------------------------------------------------------- */

/* More pieces than threads: they pause between two. */
static int enter_while_working(void)
{
    hold = true;
    start_work(PIECES);
    hold = false;
    return enter() ? NO_SANDBOX : finish_work(PIECES);
}

static int work_after_entering(void)
{
    if (enter())
        return NO_SANDBOX;
    start_work(PIECES);
    return finish_work(PIECES) == WORKED && confined == PIECES ? WORKED : WRONG;
}

/* Threads that have just ended are no obstacle. */
static int enter_after_work(void)
{
    start_work(1);
    finish_work(1);
    return enter() ? NO_SANDBOX : confinement_here();
}

static int enter_too_early(void)
{
    hold = true;
    start_work(1);
    while (!begun)
        sched_yield();
    if (lunik_sandbox(&nothing, &err) != LUNIK_E_STATE || !strstr(err.message, "1 threads") ||
        lunik_sandboxed(NULL))
        return WRONG;
    hold = false;
    if (finish_work(1) != FREE)
        return WRONG;
    return enter() ? NO_SANDBOX : confinement_here();
}

static _Atomic int result_on_iothread = FREE;

static void look(lunik_task *task)
{
    result_on_iothread = confinement_here();
}

/* A thread that has nothing to do when it is to pause. */
static int enter_beside_iothread(void)
{
    static const lunik_machine_config config = {
        .name = "test", .accel = LUNIK_ACCEL_NONE, .cpus = 1};
    lunik_task task = {.fn = look};
    lunik_iothread *thread;
    lunik_machine *m;

    if (lunik_machine_new(rt, &config, &m, &err) || lunik_iothread_new(m, &thread, &err) || enter())
        return NO_SANDBOX;
    lunik_iothread_post(thread, &task);
    lunik_runtime_free(rt);
    return result_on_iothread;
}

static _Atomic int socket_result = WRONG;

static void run_socket(lunik_work *w)
{
    socket_result = result(socket(AF_UNIX, SOCK_STREAM, 0));
}

static void *run_vcpu(void *unused)
{
    sandbox_enter_vcpu();
    works[0] = (lunik_work){.run = run_socket, .done = done};
    if (socket(AF_UNIX, SOCK_STREAM, 0) < 0)
        lunik_work_start(rt, &works[0], NULL);
    return NULL;
}

static int work_of_vcpu(void)
{
    pthread_t thread;

    if (lunik_sandbox(&sockets, &err) || pthread_create(&thread, NULL, run_vcpu, NULL))
        return NO_SANDBOX;
    pthread_join(thread, NULL);
    finish_work(1);
    return socket_result;
}

/* ---- children ------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    int (*fn)(void);
} cases[] = {
    {"work that is under way pauses, and goes on within", enter_while_working},
    {"work that is started within is confined", work_after_entering},
    {"threads that have ended are no obstacle", enter_after_work},
    {"a piece that takes too long is one until it ends", enter_too_early},
    {"an iothread that is there is confined", enter_beside_iothread},
    {"work for a vCPU may do what the process may", work_of_vcpu},
};

static int be_child(size_t i)
{
    static const lunik_type *const no_types[] = {NULL};

    alarm(60);
    return lunik_runtime_new(no_types, &rt, &err) ? WRONG : cases[i].fn();
}

/* As a program of its own: ThreadSanitizer has more threads in a child that was only forked. */
static int in_child(size_t i)
{
    char number[] = {(char)('0' + i), 0}, name[] = "test_sandbox_threads";
    char *const argv[] = {name, number, NULL};
    pid_t child;

    fflush(stdout);
    child = fork();
    if (child == 0) {
        execv("/proc/self/exe", argv);
        _exit(WRONG);
    }
    return exit_code_of(child);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        _exit(be_child((size_t)(argv[1][0] - '0')));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        check_int(cases[i].name, in_child(i), WORKED);
    return check_result();
}
