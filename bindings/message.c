/*
 * message.c: messages on standard error.
 *
 * They are written with the machine lock held, so a reader that takes nothing (a full pipe, a
 * stopped terminal) must not hold the writer up: a message waits for a limited time and is dropped
 * then. Until standard error takes output again, later messages are dropped without waiting. The
 * next one that can be written says how many were lost.
 */
#define _GNU_SOURCE /* TEMP_FAILURE_RETRY */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "bindings.h"

enum { PATIENCE_MS = 1000 };

static struct {
    pthread_mutex_t mutex;
    unsigned lost; /* messages dropped since the last one that was written */
} messages = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static bool may_open(void)
{
    unsigned allow;

    return !lunik_sandboxed(&allow) || allow & (LUNIK_SANDBOX_FILES | LUNIK_SANDBOX_PATHS);
}

/* Opens a pipe or terminal again, without blocking: the flag on standard error itself would affect
 * other processes that share it. Returns standard error if that is not possible, and for a file,
 * which never blocks and has a position. */
static int open_output(void)
{
    struct stat st;
    int fd = -1;

    if (fstat(STDERR_FILENO, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)) &&
        may_open())
        fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    return fd >= 0 ? fd : STDERR_FILENO;
}

static bool wait_writable(int fd, uint64_t end)
{
    struct pollfd output = {.fd = fd, .events = POLLOUT};
    uint64_t now = uv_hrtime() / 1000000;
    int timeout = now < end ? (int)(end - now) : 0;

    return TEMP_FAILURE_RETRY(poll(&output, 1, timeout)) > 0;
}

/* Writes pieces that a pipe has room for when it is writable. Returns false if time ran out, or the
 * output can't be written. */
static bool write_until(int fd, const char *text, size_t size, uint64_t end)
{
    while (size) {
        ssize_t n = -1;

        if (!wait_writable(fd, end))
            return false;
        n = TEMP_FAILURE_RETRY(write(fd, text, size < PIPE_BUF ? size : PIPE_BUF));
        if (n <= 0 && (errno != EAGAIN || uv_hrtime() / 1000000 >= end))
            return false;
        text += n > 0 ? n : 0;
        size -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

static bool write_lost(int fd, uint64_t end)
{
    char text[80];
    int size = snprintf(text, sizeof(text), "lunik: %u messages were lost: nothing read them\n",
                        messages.lost);

    return !messages.lost || write_until(fd, text, (size_t)size, end);
}

void bind_write_message(const char *text, size_t size)
{
    uint64_t end = uv_hrtime() / 1000000;
    int fd = open_output();

    pthread_mutex_lock(&messages.mutex);
    end += messages.lost ? 0 : PATIENCE_MS;
    if (write_lost(fd, end)) {
        messages.lost = 0;
        messages.lost = !write_until(fd, text, size, end);
    } else {
        messages.lost++;
    }
    pthread_mutex_unlock(&messages.mutex);
    if (fd != STDERR_FILENO)
        close(fd);
}

void bind_message(const char *format, ...)
{
    char text[1024];
    va_list args;
    int size;

    va_start(args, format);
    size = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (size > 0)
        bind_write_message(text, (size_t)size < sizeof(text) ? (size_t)size : sizeof(text) - 1);
}

/* core.message(text): writes it to standard error */
int bind_lua_message(lua_State *L)
{
    size_t size;
    const char *text = bind_data(L, 1, "message: text", &size);

    bind_write_message(text, size);
    return 0;
}
