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

enum { PIECES = 12, FREE = 100, PARTLY = 101 };

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
    const struct timespec while_others_begin = {.tv_nsec = 5 * 1000 * 1000};
    bool before = entered;

    begun = true;
    nanosleep(&while_others_begin, NULL);
    while (hold)
        sched_yield();
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

/* ---- in children ---------------------------------------------------------------------------- */

/* More pieces than threads: they pause between two. */
static int enter_while_working(void)
{
    start_work(PIECES);
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
    start_work(PIECES);
    finish_work(PIECES);
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

static int in_child(int (*fn)(void))
{
    static const lunik_type *const no_types[] = {NULL};
    pid_t child;

    fflush(stdout);
    child = fork();
    if (child == 0) {
        alarm(60);
        if (lunik_runtime_new(no_types, &rt, &err))
            _exit(WRONG);
        _exit(fn());
    }
    return exit_code_of(child);
}

int main(void)
{
    check_int("work that is under way pauses, and goes on within", in_child(enter_while_working),
              WORKED);
    check_int("work that is started within is", in_child(work_after_entering), WORKED);
    check_int("threads that have ended are no obstacle", in_child(enter_after_work), WORKED);
    check_int("a piece that takes too long is, until it ends", in_child(enter_too_early), WORKED);
    check_int("work for a vCPU may do what the process may", in_child(work_of_vcpu), WORKED);
    return check_result();
}
