/*
 * daemon.c: lunik-qemu -daemonize: the process goes on in the background, and the one that was
 * started ends when it is ready.
 *
 * The process forks before it has threads or a VM, which belong to the process that made them.
 */
#define _GNU_SOURCE /* pipe2 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include "command.h"

static int to_parent = -1;

/* Ends the first process as soon as the other is ready, or has ended. */
static _Noreturn void wait_for_child(int fd, pid_t child)
{
    char byte;
    ssize_t n;
    int status;

    do {
        n = read(fd, &byte, 1);
    } while (n < 0 && errno == EINTR);
    if (n == 1)
        _exit(EXIT_SUCCESS);
    if (waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status))
        _exit(WEXITSTATUS(status));
    _exit(EXIT_FAILURE);
}

/* daemonize(): goes on in another process, in a session of its own. */
int command_daemonize(lua_State *L)
{
    int pipe_fds[2];
    pid_t child;

    fflush(NULL);
    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return luaL_error(L, "can't make a pipe: %s", uv_strerror(-errno));
    child = fork();
    if (child < 0)
        return luaL_error(L, "can't fork: %s", uv_strerror(-errno));
    if (child > 0) {
        close(pipe_fds[1]);
        wait_for_child(pipe_fds[0], child);
    }
    close(pipe_fds[0]);
    to_parent = pipe_fds[1];
    setsid();
    return 0;
}

/* Makes standard input, output and error /dev/null. */
static bool leave_terminal(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    bool ok = null >= 0;

    for (int fd = 0; ok && fd <= 2; fd++)
        ok = dup2(null, fd) == fd;
    if (null > 2)
        close(null);
    return ok;
}

/* daemon_ready(): leaves the terminal, and has the first process end. */
int command_daemon_ready(lua_State *L)
{
    if (to_parent < 0)
        return 0;
    fflush(NULL);
    if (chdir("/") < 0 || !leave_terminal())
        return luaL_error(L, "can't leave the terminal");
    if (write(to_parent, "", 1) != 1)
        return luaL_error(L, "the first process has gone");
    close(to_parent);
    to_parent = -1;
    return 0;
}
