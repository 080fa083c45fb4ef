/*
 * chardev_stdio.c: standard input and output. A terminal is put into raw mode while the object
 * exists; its file status flags, which other processes share, are left alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include "chardev.h"
#include "../types.h"

/* Ctrl-] interrupts where Ctrl-C is the guest's. The terminal raises the signal, so that it works
 * whether or not the guest reads. */
#define ESCAPE 0x1d

struct continue_watch;

struct chardev_stdio {
    struct chardev base;
    bool signal;
    struct chardev_input *input; /* NULL if stdin is closed, or the process is in the background */
    struct chardev_output *output; /* NULL if stdout is closed */
    bool raw;                      /* the terminal is to be restored to `saved` */
    struct termios saved;
    struct continue_watch *watch; /* NULL: not raw */
};

/* A process has one standard input and output, however many machines run in it. */
static atomic_flag in_use = ATOMIC_FLAG_INIT;

static size_t write_output(lunik_object *o, const uint8_t *data, size_t size)
{
    struct chardev_stdio *s = lunik_state(o);

    return s->output ? chardev_output_write(s->output, data, size) : chardev_drop(&s->base, size);
}

static void accept_input(lunik_object *o)
{
    struct chardev_stdio *s = lunik_state(o);

    chardev_input_resume(s->input);
}

/* Ignores the end of standard input. */
static void input_ended(struct chardev *c, int sys)
{
}

/* ---- terminal ------------------------------------------------------------------------------- */

/* Returns whether the terminal may be changed: a background job that does so is stopped. */
static bool in_foreground(void)
{
    return tcgetpgrp(STDIN_FILENO) == getpgrp();
}

/* Makes characters reach the guest as they are typed, without echo. Output processing stays: other
 * code in this process writes plain lines. */
static bool make_raw(const struct chardev_stdio *s)
{
    struct termios raw = s->saved;

    raw.c_iflag &= ~(tcflag_t)(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
    raw.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | IEXTEN);
    if (!s->signal) {
        raw.c_cc[VINTR] = ESCAPE;
        raw.c_cc[VQUIT] = raw.c_cc[VSUSP] = _POSIX_VDISABLE;
    }
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    return tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
}

static void restore_terminal(struct chardev_stdio *s)
{
    if (s->raw && in_foreground())
        tcsetattr(STDIN_FILENO, TCSANOW, &s->saved);
    s->raw = false;
}

/* ---- stopped and continued ------------------------------------------------------------------ */

/* Makes the terminal raw again when the job is continued: a shell puts it into the shell's own mode
 * when the job is stopped (Ctrl-Z), and leaves it there. */
struct continue_watch {
    struct chardev_stdio *owner;
    uv_signal_t signal;
};

static void on_continue(uv_signal_t *signal, int number)
{
    struct continue_watch *w = lunik_container_of(signal, struct continue_watch, signal);

    if (in_foreground())
        make_raw(w->owner);
}

static int watch_open(struct chardev_stdio *s, lunik_error *err)
{
    struct continue_watch *w = calloc(1, sizeof(*w));
    int rc;

    if (!w)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "chardev-stdio: out of memory");
    w->owner = s;
    rc = uv_signal_init(lunik_loop(chardev_runtime(&s->base)), &w->signal);
    if (rc) {
        free(w);
        return lunik_fail_errno(err, -rc, "chardev-stdio: can't watch for signals");
    }
    uv_unref((uv_handle_t *)&w->signal);
    uv_signal_start(&w->signal, on_continue, SIGCONT);
    s->watch = w;
    return 0;
}

static void watch_closed(uv_handle_t *handle)
{
    free(lunik_container_of((uv_signal_t *)handle, struct continue_watch, signal));
}

static void watch_close(struct chardev_stdio *s)
{
    if (!s->watch)
        return;
    lunik_loop(chardev_runtime(&s->base)); /* announces that its handles change */
    uv_close((uv_handle_t *)&s->watch->signal, watch_closed);
    s->watch = NULL;
}

/* ---- life cycle ----------------------------------------------------------------------------- */

static int open_input(struct chardev_stdio *s, lunik_error *err)
{
    int fd, rc;

    if (isatty(STDIN_FILENO) && !in_foreground())
        return 0;
    fd = chardev_reopen(STDIN_FILENO, O_RDONLY);
    if (fd < 0)
        return errno == EBADF ? 0 : lunik_fail_errno(err, errno, "chardev-stdio: standard input");
    rc = chardev_input_open(&s->input, &s->base, fd, input_ended, err);
    if (rc)
        close(fd);
    return rc;
}

static int open_output(struct chardev_stdio *s, lunik_error *err)
{
    int fd = chardev_reopen(STDOUT_FILENO, O_WRONLY);
    int rc;

    if (fd < 0)
        return errno == EBADF ? 0 : lunik_fail_errno(err, errno, "chardev-stdio: standard output");
    rc = chardev_output_open(&s->output, &s->base, fd, CHARDEV_READER_STDOUT, chardev_failed, err);
    if (rc)
        close(fd);
    return rc;
}

static void unrealize(lunik_object *o)
{
    struct chardev_stdio *s = lunik_state(o);

    watch_close(s);
    restore_terminal(s);
    chardev_input_close(&s->input);
    chardev_output_close(&s->output, CHARDEV_REST_TRY);
    atomic_flag_clear(&in_use);
}

static int realize(lunik_object *o, lunik_error *err)
{
    struct chardev_stdio *s = lunik_state(o);
    int rc;

    if (atomic_flag_test_and_set(&in_use))
        return lunik_fail(err, LUNIK_E_BUSY,
                          "chardev-stdio: standard input and output are in use by another one");
    rc = open_output(s, err);
    if (!rc)
        rc = open_input(s, err);
    if (!rc && s->input && tcgetattr(STDIN_FILENO, &s->saved) == 0)
        s->raw = make_raw(s);
    if (s->raw)
        rc = watch_open(s, err);
    if (rc)
        unrealize(o);
    return rc;
}

static const lunik_prop props[] = {
    {
        .name = "signal",
        .kind = LUNIK_PROP_BOOL,
        .doc = "Ctrl-C and the like signal this process; false: the guest gets these characters, "
               "and Ctrl-] interrupts instead.",
        .offset = offsetof(struct chardev_stdio, signal),
        .def = 1,
    },
    {0},
};

static const struct chardev_kind kind = {
    .realize = realize,
    .unrealize = unrealize,
    .write = write_output,
    .accept_input = accept_input,
};

static const lunik_iface ifaces[] = {{CHARDEV_KIND, &kind}, {0}};

const lunik_type chardev_stdio_type = {
    .name = "chardev-stdio",
    .parent = "chardev",
    .doc = "The standard input and output of this process; there can be only one.",
    .flags = LUNIK_TYPE_HOTPLUG | LUNIK_TYPE_UNPLUG,
    .size = sizeof(struct chardev_stdio),
    .props = props,
    .ifaces = ifaces,
    .state = &lunik_state_none,
};
