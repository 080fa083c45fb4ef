/*
 * test_chardev_end.c: output when a machine is closed or a character device is deleted while the
 * reader is slow, or never reads: only the caller waits for it, for a limited time. Also: output
 * comes before the event that follows it.
 */
#define _GNU_SOURCE /* F_SETPIPE_SZ */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "chardev_rig.h"

enum { OUTPUT_SIZE = 40000 };

/* ---- a FIFO whose reader is slow ------------------------------------------------------------ */

static int reader = -1;

/* A chardev-file on a FIFO that has no room for what it holds. */
static void attach_fifo(void)
{
    const char *path = path_of("fifo");

    check_int("fifo", mkfifo(path, 0600), 0);
    reader = open(path, O_RDONLY | O_NONBLOCK);
    fcntl(reader, F_SETPIPE_SZ, 4096);
    attach(ADD("chardev-file", LUNIK_FIELD_STRING("path", path)), 0);
    front.ops->write(front.o, (const uint8_t *)front.got, OUTPUT_SIZE);
    settle();
}

static size_t read_all(void)
{
    static char data[4096];
    size_t total = 0;
    ssize_t n;

    while ((n = read(reader, data, sizeof(data))) > 0)
        total += (size_t)n;
    return total;
}

static void forget_fifo(void)
{
    close(reader);
    unlink(path_of("fifo"));
}

/* Another thread, like a vCPU's: begins to read once it has had the machine lock. */
static void *read_with_lock(void *opaque)
{
    size_t *total = opaque;
    struct pollfd p = {.fd = reader, .events = POLLIN};

    lunik_lock(rt);
    lunik_unlock(rt);
    while (poll(&p, 1, 10000) > 0 && !(p.revents & POLLHUP && !(p.revents & POLLIN)))
        *total += read_all();
    return NULL;
}

static void end(bool with_machine)
{
    if (with_machine) {
        lunik_machine_close(machine);
        return;
    }
    delete ();
    lunik_deliver_events(rt);
}

static void test_slow_reader(bool with_machine)
{
    size_t total = 0;
    pthread_t thread;

    setup();
    attach_fifo();
    pthread_create(&thread, NULL, read_with_lock, &total);
    end(with_machine);
    lunik_unlock(rt);
    pthread_join(thread, NULL);
    lunik_lock(rt);
    check_uint("a slow reader gets everything", total, OUTPUT_SIZE);
    check_uint("without an error", errors, 0);
    if (!with_machine)
        lunik_machine_close(machine);
    lunik_runtime_free(rt);
    forget_fifo();
}

static void test_stuck_reader(bool with_machine)
{
    setup();
    attach_fifo();
    end(with_machine);
    check_uint("a stuck reader is reported", errors, 1);
    check_contains("with the reason", error_message,
                   " bytes of output are lost: closed before the other side took them");
    check_uint("and how much", read_all() + strtoull(error_message, NULL, 10), OUTPUT_SIZE);
    if (!with_machine)
        lunik_machine_close(machine);
    lunik_runtime_free(rt);
    forget_fifo();
}

/* The reader goes away while the end waits for it: that is also an error. */
static void *close_reader(void *opaque)
{
    lunik_lock(rt);
    lunik_unlock(rt);
    close(reader);
    return NULL;
}

static void test_reader_leaves(void)
{
    pthread_t thread;

    setup();
    attach_fifo();
    pthread_create(&thread, NULL, close_reader, NULL);
    lunik_machine_close(machine);
    lunik_unlock(rt);
    pthread_join(thread, NULL);
    lunik_lock(rt);
    check_uint("a reader that leaves is reported", errors, 1);
    check_string("with the reason", error_message, "broken pipe");
    lunik_runtime_free(rt);
    unlink(path_of("fifo"));
}

/* ---- standard output ------------------------------------------------------------------------ */

static void on_alarm(int number)
{
    lunik_stop(rt);
}

/* Fills standard output, which has no reader, and closes. */
static void flood_stdout(bool alone)
{
    lunik_machine_config config = {.accel = LUNIK_ACCEL_NONE, .cpus = 1};
    struct sigaction action = {.sa_handler = on_alarm};
    lunik_machine *other;

    setup();
    if (!alone && lunik_machine_new(rt, &config, &other, NULL))
        _exit(2);
    attach(add("chardev-stdio", NULL, 0, &add_error), 0);
    front.ops->write(front.o, (const uint8_t *)front.got, OUTPUT_SIZE);
    sigaction(SIGALRM, &action, NULL);
    alarm(alone ? 1 : 0);
    lunik_machine_close(machine);
    _exit(errors == 1 ? 0 : 3);
}

static void test_stuck_stdout(bool alone)
{
    int out[2], status = -1;
    pid_t pid;

    check_int("pipe", pipe(out), 0);
    fcntl(out[0], F_SETPIPE_SZ, 4096);
    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        dup2(open("/dev/null", O_RDONLY), 0);
        dup2(out[1], 1);
        flood_stdout(alone);
    }
    waitpid(pid, &status, 0);
    check_int(alone ? "a signal ends the wait for standard output"
                    : "other machines do not wait for standard output",
              status, 0);
    close(out[0]);
    close(out[1]);
}

/* ---- order ---------------------------------------------------------------------------------- */

static char seen[64];

static void on_order(void *opaque, const lunik_event *event)
{
    strcat(seen, strcmp(event->name, "mark") ? "?" : "m");
    strcat(seen, slurp_file(path_of("order")));
}

static lunik_event_sub order = {.fn = on_order};

/* More output than one turn of the loop hands on, then an event. */
static void test_order(void)
{
    setup();
    memset(seen, 0, sizeof(seen));
    lunik_event_subscribe(machine, &order);
    attach(ADD("chardev-file", LUNIK_FIELD_STRING("path", path_of("order"))), 0);
    put("a");
    lunik_run_timeout(rt, 0);
    put("b");
    lunik_emit_fields(machine, "mark", NULL, 0);
    put("c");
    lunik_run_timeout(rt, 0);
    check_string("output comes before the event that follows it", seen, "mabc");
    teardown();
    unlink(path_of("order"));
}

static void on_text(void *opaque)
{
    const lunik_chardev_buffer_ops *ops = lunik_chardev_buffer_iface(front.o);

    memset(seen, 0, sizeof(seen));
    ops->peek(front.o, 0, (uint8_t *)seen, sizeof(seen) - 1);
}

static void test_buffer_order(bool with_machine)
{
    const lunik_chardev_buffer_ops *ops;

    setup();
    attach(add("chardev-buffer", NULL, 0, &add_error), 0);
    ops = lunik_chardev_buffer_iface(front.o);
    ops->set_notify(front.o, on_text, NULL);
    put("a");
    lunik_run_timeout(rt, 0);
    put("b");
    lunik_machine_flush(machine);
    check_string("a flush notifies at once", seen, "ab");
    put("c");
    end(with_machine);
    check_string("the end notifies for the last time", seen, "abc");
    if (!with_machine)
        lunik_machine_close(machine);
    lunik_runtime_free(rt);
}

int main(void)
{
    if (!mkdtemp(dir))
        return 1;
    alarm(60);
    for (int with_machine = 0; with_machine < 2; with_machine++) {
        test_slow_reader(with_machine);
        test_stuck_reader(with_machine);
        test_buffer_order(with_machine);
    }
    test_reader_leaves();
    test_stuck_stdout(false);
    test_stuck_stdout(true);
    test_order();
    rmdir(dir);
    return check_result();
}
