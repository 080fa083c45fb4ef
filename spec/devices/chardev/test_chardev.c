/* test_chardev.c: the character devices on a machine without vCPUs, each with a front end of our
 * own and the other side in this process; standard input and output in child processes. */
#define _GNU_SOURCE /* posix_openpt, ptsname */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "chardev_rig.h"
#include "terminals.h"

/* ---- helpers -------------------------------------------------------------------------------- */

static unsigned count_fds(void)
{
    DIR *d = opendir("/proc/self/fd");
    unsigned n = 0;

    if (!d)
        abort();
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

/* ---- null and buffer ------------------------------------------------------------------------ */

static void test_null(void)
{
    attach(add("chardev-null", NULL, 0, &add_error), 10);
    check_uint("null: takes everything", put("lost"), 4);
    check_uint("null: and drops it", get("dropped"), 4);
    delete ();
}

static unsigned notified;

static void on_notify(void *opaque)
{
    notified++;
}

static void test_buffer(void)
{
    const lunik_chardev_buffer_ops *ops;
    char text[64] = "";

    attach(ADD("chardev-buffer", LUNIK_FIELD_UINT("size", 10)), 4);
    ops = lunik_chardev_buffer_iface(front.o);
    check_int("buffer: a second front end", front.ops->attach(front.o, &front.front, NULL),
              LUNIK_E_BUSY);
    ops->set_notify(front.o, on_notify, NULL);
    put("hello");
    put(" world");
    check_uint("buffer: total", ops->total(front.o), 11);
    check_uint("buffer: first kept", ops->first(front.o), 1);
    check_uint("buffer: peek before it", ops->peek(front.o, 0, (uint8_t *)text, 64), 0);
    check_uint("buffer: peek", ops->peek(front.o, 1, (uint8_t *)text, 64), 10);
    check_string("buffer: text", text, "ello world");
    check_uint("buffer: peek a part", ops->peek(front.o, 8, (uint8_t *)text, 2), 2);
    check_uint("buffer: peek at the end", ops->peek(front.o, 11, (uint8_t *)text, 64), 0);
    check_uint("buffer: not notified yet", notified, 0);
    lunik_run(rt, LUNIK_RUN_NOWAIT);
    check_uint("buffer: notified once", notified, 1);

    check_uint("buffer: input", ops->write_input(front.o, (const uint8_t *)"abcdef", 6), 6);
    check_uint("buffer: as much as fits", front.count, 4);
    check_uint("buffer: the rest waits", ops->input_pending(front.o), 2);
    give_room(10);
    check_string("buffer: and follows", front.got, "abcdef");
    give_room(0);
    for (unsigned i = 0; i < 3000; i++)
        ops->write_input(front.o, (const uint8_t *)front.got, 1000);
    check_uint("buffer: input is bounded", ops->input_pending(front.o), 1024 * 1024);
    put("last");
    delete ();
}

/* ---- file ----------------------------------------------------------------------------------- */

static void test_file(void)
{
    const char *path = path_of("file");
    struct stat st;

    umask(022);
    attach(ADD("chardev-file", LUNIK_FIELD_STRING("path", path)), 0);
    put("one\n");
    settle();
    check_string("file: written soon", slurp_file(path), "one\n");
    put("two\n");
    delete ();
    check_string("file: written at the end", slurp_file(path), "one\ntwo\n");
    stat(path, &st);
    check_uint("file: mode", st.st_mode & 0777, 0644);

    attach(ADD("chardev-file", LUNIK_FIELD_STRING("path", path), LUNIK_FIELD_BOOL("append", true)),
           0);
    put("three\n");
    delete ();
    check_string("file: appended", slurp_file(path), "one\ntwo\nthree\n");
    attach(ADD("chardev-file", LUNIK_FIELD_STRING("path", path)), 0);
    delete ();
    check_string("file: replaced", slurp_file(path), "");

    check_true("file: no such folder",
               ADD("chardev-file", LUNIK_FIELD_STRING("path", "/nowhere/x")) == NULL);
    check_contains("file: says which", add_error.message, "/nowhere/x");

    attach(ADD("chardev-file", LUNIK_FIELD_STRING("path", "/dev/full")), 0);
    put("lost");
    settle();
    put("lost");
    settle();
    check_uint("file: a full disk is one event", errors, 1);
    check_uint("file: what is lost is counted", get("dropped"), 8);
    check_uint("file: and what was written", get("written"), 8);
    delete ();
}

/* ---- pty ------------------------------------------------------------------------------------ */

/* Waits until the front end has got so many bytes: the kernel takes its time to pass them on. */
static void await_input(size_t count)
{
    for (unsigned i = 0; i < 1000 && front.count < count; i++)
        lunik_run_timeout(rt, 10);
    settle();
}

static void test_pty(void)
{
    char path[64];
    lunik_value v = {0};
    size_t total;
    int slave;

    attach(add("chardev-pty", NULL, 0, &add_error), 5);
    lunik_object_get(front.o, "path", &v, NULL);
    snprintf(path, sizeof(path), "%s", v.string);
    put("nobody there");
    check_uint("pty: dropped while no program is connected", get("dropped"), 12);
    check_true("pty: idle", settle());
    check_uint("pty: not connected", get("connected"), false);

    slave = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK);
    settle();
    check_uint("pty: connected", get("connected"), true);
    put("hello\n");
    settle();
    check_string("pty: output, unchanged", slurp(slave), "hello\n");
    check_int("pty: typed", write(slave, "abcdefgh\n\x03", 10), 10);
    await_input(5);
    check_string("pty: input as much as fits", front.got, "abcde");
    give_room(100);
    await_input(10);
    check_string("pty: the rest follows", front.got, "abcdefgh\n\x03");

    total = fill(1 << 20);
    settle();
    total += fill(1 << 20);
    check_true("pty: a terminal that does not read holds output back", total < 1 << 20);
    settle();
    front.writable = 0;
    for (unsigned i = 0; i < 2000 && !front.writable; i++) {
        slurp(slave);
        lunik_run_timeout(rt, 1);
    }
    check_uint("pty: reading lets it go on", front.writable, 1);
    fill(1 << 20);
    close(slave);
    check_true("pty: idle after hang-up", settle());
    check_uint("pty: disconnected", get("connected"), false);
    check_true("pty: the front end is not stuck", front.writable >= 2);
    check_uint("pty: dropping again", put("gone"), 4);

    slave = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK);
    settle();
    slurp(slave);
    check_int("pty: typed again", write(slave, "xyz", 3), 3);
    await_input(13);
    check_string("pty: input again", front.got + 10, "xyz");
    close(slave);
    delete ();
}

/* ---- socket --------------------------------------------------------------------------------- */

static int dial(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    strcpy(a.sun_path, path);
    if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
        close(fd);
        return -1;
    }
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static void test_socket_server(void)
{
    const char *path = path_of("socket");
    struct stat st;
    int client, second;
    char c;

    attach(ADD("chardev-socket", LUNIK_FIELD_STRING("path", path)), 3);
    stat(path, &st);
    check_uint("socket: mode", st.st_mode, S_IFSOCK | 0600);
    put("lost");
    check_uint("socket: dropped without a client", get("dropped"), 4);
    client = dial(path);
    check_true("socket: idle with a client", settle());
    check_uint("socket: connected", get("connected"), true);
    check_uint("socket: event", connects, 1);
    put("hello");
    settle();
    check_string("socket: output", slurp(client), "hello");
    send(client, "abcdef", 6, 0);
    settle();
    check_string("socket: input as much as fits", front.got, "abc");

    second = dial(path);
    settle();
    check_int("socket: a second client waits", recv(second, &c, 1, MSG_DONTWAIT), -1);
    check_true("socket: and does not keep the loop busy", settle());
    check_uint("socket: the first is still there", get("connected"), true);

    close(client); /* with input pending */
    settle();
    check_uint("socket: one that hung up makes room", connects, 2);
    check_uint("socket: event", disconnects, 1);
    give_room(100);
    send(second, "xyz", 3, 0);
    shutdown(second, SHUT_WR);
    check_true("socket: idle after a half close", settle());
    check_string("socket: input of the next", front.got, "abcxyz");
    put("answer");
    settle();
    check_string("socket: half closed still gets output", slurp(second), "answer");
    close(second);
    check_true("socket: idle after a close", settle());
    check_uint("socket: disconnected", get("connected"), false);
    check_uint("socket: disconnected event", disconnects, 2);

    client = dial(path);
    settle();
    fill(1 << 24);
    settle();
    fill(1 << 24);
    front.writable = 0;
    close(client);
    settle();
    check_true("socket: a client that goes lets the front end go on", front.writable > 0);
    check_uint("socket: dropping again", put("gone"), 4);
    check_uint("socket: no error", errors, 0);
    delete ();
    check_int("socket: the file is removed", access(path, F_OK), -1);
}

/* The front end has taken no input at all. */
static void test_socket_gone_unread(void)
{
    const char *path = path_of("unread");
    int client, second;

    attach(ADD("chardev-socket", LUNIK_FIELD_STRING("path", path)), 0);
    client = dial(path);
    settle();
    second = dial(path);
    settle();
    check_uint("unread: the second client waits", connects, 1);
    close(client);
    settle();
    check_uint("unread: the place of one that has gone is the next one's", connects, 2);
    put("for the second");
    settle();
    check_string("unread: which gets the output", slurp(second), "for the second");
    close(second);
    settle();
    delete ();
}

/* ---- output that is left when a device goes ------------------------------------------------- */

/* How much is read from fd until there is nothing more for now. */
static size_t count_input(int fd)
{
    static char text[100000];
    size_t total = 0;
    ssize_t n;

    fcntl(fd, F_SETFL, O_NONBLOCK);
    while ((n = read(fd, text, sizeof(text))) > 0)
        total += (size_t)n;
    return total;
}

/* With its machine, or alone. */
static void let_go(bool with_machine)
{
    lunik_machine_config config = {.accel = LUNIK_ACCEL_NONE, .cpus = 1};

    errors = 0;
    error_message[0] = '\0';
    if (!with_machine) {
        delete ();
        settle();
        return;
    }
    lunik_machine_close(machine);
    check_int("another machine", lunik_machine_new(rt, &config, &machine, NULL), 0);
    lunik_event_subscribe(machine, &events);
}

static void test_rest_socket(bool with_machine)
{
    const char *path = path_of("rest");
    uint64_t written;
    int client;

    attach(ADD("chardev-socket", LUNIK_FIELD_STRING("path", path)), 0);
    client = dial(path);
    settle();
    put("fits");
    let_go(with_machine);
    check_string("rest: what fits is written at once", slurp(client), "fits");
    check_uint("rest: nothing is lost", errors, 0);
    close(client);

    attach(ADD("chardev-socket", LUNIK_FIELD_STRING("path", path)), 0);
    client = dial(path);
    settle();
    for (unsigned i = 0; i < 20; i++) {
        fill(1 << 20);
        settle();
    }
    written = get("written");
    let_go(with_machine);
    check_uint("rest: what a slow reader leaves is reported", errors, 1);
    check_contains("rest: and why", error_message,
                   " bytes of output are lost: closed before the other side took them");
    check_uint("rest: and how much", count_input(client) + strtoull(error_message, NULL, 10),
               written);
    close(client);
}

static void test_rest_file(bool with_machine)
{
    attach(ADD("chardev-file", LUNIK_FIELD_STRING("path", "/dev/full")), 0);
    put("lost");
    let_go(with_machine);
    check_uint("rest: what a full disk does not take is reported", errors, 1);
    check_string("rest: file", error_message,
                 "4 bytes of output are lost: no space left on device");
}

/* A terminal with its slave open, which is returned. */
static int attach_terminal(void)
{
    lunik_value path = {0};
    int slave;

    attach(add("chardev-pty", NULL, 0, &add_error), 0);
    lunik_object_get(front.o, "path", &path, NULL);
    slave = open(path.string, O_RDWR | O_NOCTTY | O_NONBLOCK);
    settle();
    return slave;
}

static void test_rest_pty(bool with_machine)
{
    int slave = attach_terminal();

    put("read");
    settle();
    check_string("rest: read from a terminal", slurp(slave), "read");
    let_go(with_machine);
    check_uint("rest: nothing is lost that was read", errors, 0);
    close(slave);

    slave = attach_terminal();
    put("unread");
    settle();
    let_go(with_machine);
    check_uint("rest: what a terminal's program has not read is reported", errors, 1);
    close(slave);
}

static void test_rest(void)
{
    for (int with_machine = 0; with_machine < 2; with_machine++) {
        test_rest_socket(with_machine);
        test_rest_file(with_machine);
        if (check_terminals("output that is left"))
            test_rest_pty(with_machine);
    }
}

enum { DESCRIPTORS = 64 };

/* There can be no more than so many descriptors; 0: as many as before. */
static void limit_descriptors(rlim_t count)
{
    static struct rlimit before;

    if (count) {
        getrlimit(RLIMIT_NOFILE, &before);
        setrlimit(RLIMIT_NOFILE, &(struct rlimit){count, before.rlim_max});
    } else {
        setrlimit(RLIMIT_NOFILE, &before);
    }
}

/* True if the loop becomes quiet while there is no descriptor to be had. */
static bool settle_without_descriptors(void)
{
    int used[DESCRIPTORS];
    unsigned count = 0;
    bool quiet;

    limit_descriptors(DESCRIPTORS);
    while ((used[count] = dup(0)) >= 0)
        count++;
    quiet = settle();
    limit_descriptors(0);
    while (count)
        close(used[--count]);
    return quiet;
}

static void test_socket_short_of_descriptors(void)
{
    const char *path = path_of("socket");
    char byte;
    int client;

    attach(ADD("chardev-socket", LUNIK_FIELD_STRING("path", path)), 10);
    client = dial(path);
    check_true("socket: a client that can't be taken does not keep the loop busy",
               settle_without_descriptors());
    check_uint("socket: is reported", errors, 1);
    check_int("socket: and is refused", read(client, &byte, 1), 0);
    close(client);
    client = dial(path);
    settle();
    check_uint("socket: the next one is taken", get("connected"), true);
    close(client);
    settle();

    client = dial(path);
    limit_descriptors(3); /* what is given up to refuse it can't be had again */
    lunik_run_timeout(rt, 0);
    limit_descriptors(0);
    settle();
    check_uint("socket: one that waits is taken when that is possible", get("connected"), true);
    close(client);
    settle();
    client = dial(path);
    check_true("socket: then another one can be refused again", settle_without_descriptors());
    close(client);
    delete ();
}

static void test_socket_errors(void)
{
    const char *path = path_of("socket");
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    char longer[200];
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    strcpy(a.sun_path, path);
    bind(fd, (struct sockaddr *)&a, sizeof(a));
    listen(fd, 1);
    check_true("socket: path in use", !ADD("chardev-socket", LUNIK_FIELD_STRING("path", path)));
    check_int("socket: path in use, code", add_error.code, LUNIK_E_EXISTS);
    close(fd);
    attach(ADD("chardev-socket", LUNIK_FIELD_STRING("path", path)), 0);
    check_true("socket: a stale one is replaced", front.o != NULL);
    unlink(path);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    delete ();
    check_int("socket: another file is left alone", access(path, F_OK), 0);
    check_true("socket: a file is no socket",
               !ADD("chardev-socket", LUNIK_FIELD_STRING("path", path)));
    check_int("socket: and stays", unlink(path), 0);
    memset(longer, 'x', sizeof(longer));
    longer[sizeof(longer) - 1] = '\0';
    check_true("socket: too long", !ADD("chardev-socket", LUNIK_FIELD_STRING("path", longer)));
    check_contains("socket: says so", add_error.message, "too long");
    check_true("socket: client without server",
               !ADD("chardev-socket", LUNIK_FIELD_STRING("path", path),
                    LUNIK_FIELD_BOOL("server", false)));
    check_contains("socket: names the path", add_error.message, path);
}

static void test_socket_client(void)
{
    const char *path = path_of("socket");
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0), peer;

    strcpy(a.sun_path, path);
    bind(fd, (struct sockaddr *)&a, sizeof(a));
    listen(fd, 1);
    attach(
        ADD("chardev-socket", LUNIK_FIELD_STRING("path", path), LUNIK_FIELD_BOOL("server", false)),
        10);
    peer = accept(fd, NULL, NULL);
    put("hi");
    send(peer, "there", 5, 0);
    settle();
    check_string("socket client: output", slurp(peer), "hi");
    check_string("socket client: input", front.got, "there");
    close(peer);
    settle();
    check_uint("socket client: disconnected", get("connected"), false);
    close(fd);
    delete ();
    check_int("socket client: leaves the file", unlink(path), 0);
}

/* ---- stdio ---------------------------------------------------------------------------------- */

/* Tasks of child processes, which run this program again. */
static void child_echo(void);
static void child_flood(void);
static void child_broken_pipe(void);
static void child_terminal(void);

static const struct {
    const char *name;
    void (*fn)(void);
} children[] = {
    {"echo", child_echo},
    {"flood", child_flood},
    {"broken-pipe", child_broken_pipe},
    {"terminal", child_terminal},
};

static int run_child(const char *name)
{
    alarm(20);
    for (size_t i = 0; i < sizeof(children) / sizeof(*children); i++)
        if (!strcmp(children[i].name, name)) {
            setup();
            children[i].fn();
            teardown();
        }
    return check_failures ? 1 : 0;
}

static void become_child(const char *name)
{
    execl("/proc/self/exe", "test_chardev", name, (char *)NULL);
    _exit(9);
}

/* Starts a child whose standard streams are in and out (-1: closed); returns its pid. */
static pid_t spawn(int in, int out, const char *name)
{
    pid_t pid;

    fflush(stdout);
    pid = fork();
    if (pid)
        return pid;
    in < 0 ? close(0) : dup2(in, 0);
    out < 0 ? close(1) : dup2(out, 1);
    become_child(name);
    return 0;
}

static void reap(const char *name, pid_t pid)
{
    int status = -1;

    waitpid(pid, &status, 0);
    check_int(name, status, 0);
}

/* Echoes what comes in, doubled, until there is no more. */
static void child_echo(void)
{
    lunik_object *o = add("chardev-stdio", NULL, 0, &add_error);
    int in_flags = fcntl(0, F_GETFL), out_flags = fcntl(1, F_GETFL);

    memset(&front, 0, sizeof(front));
    if (!o)
        _exit(2);
    if ((in_flags >= 0 && in_flags & O_NONBLOCK) || (out_flags >= 0 && out_flags & O_NONBLOCK))
        _exit(3);
    lunik_object_add(machine, "chardev-stdio", &LUNIK_FIELD_STRING("id", "again"), 1, NULL,
                     &add_error);
    if (add_error.code != LUNIK_E_BUSY)
        _exit(4);
    front.front = (lunik_chardev_front){
        .opaque = &front, .can_receive = can_receive, .receive = receive, .writable = writable};
    front.o = o;
    front.ops = lunik_chardev_iface(o);
    front.room = 4;
    front.ops->attach(o, &front.front, NULL);
    settle();
    give_room(100);
    if (!settle())
        _exit(5);
    front.ops->write(o, (const uint8_t *)front.got, front.count);
    front.ops->write(o, (const uint8_t *)front.got, front.count);
}

static void test_stdio_pipe(void)
{
    int in[2], out[2];
    pid_t pid;

    if (pipe(in) || pipe(out))
        return;
    check_int("stdio: pipe", write(in[1], "abcdef", 6), 6);
    close(in[1]);
    pid = spawn(in[0], out[1], "echo");
    reap("stdio: pipe, child", pid);
    check_string("stdio: pipe, output", slurp(out[0]), "abcdefabcdef");
    close(in[0]);
    close(out[0]);
    close(out[1]);
}

static void test_stdio_files(void)
{
    const char *path = path_of("in");
    int in, out, null = open("/dev/null", O_RDWR), sockets[2];

    in = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    check_int("stdio: file", write(in, "fromfile", 8), 8);
    lseek(in, 0, SEEK_SET);
    out = open(path_of("out"), O_RDWR | O_CREAT | O_TRUNC | O_APPEND, 0600);
    reap("stdio: file, child", spawn(in, out, "echo"));
    check_string("stdio: file, output", slurp_file(path_of("out")), "fromfilefromfile");
    reap("stdio: /dev/null", spawn(null, null, "echo"));
    reap("stdio: closed", spawn(-1, -1, "echo"));
    reap("stdio: only stdin closed", spawn(-1, out, "echo"));
    socketpair(AF_UNIX, SOCK_STREAM, 0, sockets);
    check_int("stdio: socket", write(sockets[1], "sock", 4), 4);
    reap("stdio: socket, child", spawn(sockets[0], sockets[0], "echo"));
    check_string("stdio: socket, output", slurp(sockets[1]), "socksock");
    close(sockets[0]);
    close(sockets[1]);
    close(in);
    close(out);
    close(null);
}

static void child_flood(void)
{
    lunik_object *o = add("chardev-stdio", NULL, 0, &add_error);

    attach(o, 0);
    front.ops->write(o, (const uint8_t *)front.got, 60000);
}

/* All that was written goes out in the end, however slow the reader is. */
static void test_stdio_slow(void)
{
    int out[2];
    size_t total = 0;
    char data[4096];
    ssize_t n;
    pid_t pid;

    if (pipe(out))
        return;
    fcntl(out[0], F_SETPIPE_SZ, 4096);
    pid = spawn(-1, out[1], "flood");
    close(out[1]);
    usleep(20000);
    while ((n = read(out[0], data, sizeof(data))) > 0)
        for (ssize_t i = 0; i < n; i++)
            total += data[i] == '\0';
    reap("stdio: slow reader, child", pid);
    check_uint("stdio: slow reader", total, 60000);
    close(out[0]);
}

static void child_broken_pipe(void)
{
    lunik_object *o = add("chardev-stdio", NULL, 0, &add_error);

    signal(SIGPIPE, SIG_DFL);
    attach(o, 0);
    for (unsigned i = 0; i < 3; i++) {
        front.ops->write(o, (const uint8_t *)"lost", 4);
        settle();
    }
    if (errors != 1 || get("dropped") != 12)
        _exit(6);
}

static void test_stdio_broken_pipe(void)
{
    int out[2], null = open("/dev/null", O_WRONLY);

    if (pipe(out))
        return;
    close(out[0]);
    reap("stdio: no reader", spawn(-1, out[1], "broken-pipe"));
    close(out[1]);
    close(null);
}

#define CONTROL_FD 9

/* Runs on a terminal of its own: says when it has begun, ends when told to. */
static void child_terminal(void)
{
    char c = 'r';

    add("chardev-stdio", NULL, 0, &add_error);
    if (write(CONTROL_FD, &c, 1) != 1 || read(CONTROL_FD, &c, 1) != 1)
        _exit(7);
}

static void test_stdio_terminal(void)
{
    struct termios before, during, after;
    int master = posix_openpt(O_RDWR | O_NOCTTY), slave, status, control[2];
    char c = 0;
    pid_t pid;

    grantpt(master);
    unlockpt(master);
    slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    tcgetattr(slave, &before);
    socketpair(AF_UNIX, SOCK_STREAM, 0, control);
    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        setsid();
        close(0);
        if (open(ptsname(master), O_RDWR) != 0) /* becomes the controlling terminal */
            _exit(8);
        dup2(0, 1);
        dup2(control[1], CONTROL_FD);
        become_child("terminal");
    }
    check_int("stdio: terminal, child is ready", read(control[0], &c, 1), 1);
    tcgetattr(slave, &during);
    check_uint("stdio: terminal is raw", during.c_lflag & (ICANON | ECHO), 0);
    check_uint("stdio: signals stay", during.c_lflag & ISIG, ISIG);
    check_uint("stdio: output processing stays", during.c_oflag, before.c_oflag);
    check_uint("stdio: carriage returns are not changed", during.c_iflag & (ICRNL | IXON), 0);
    check_int("stdio: terminal, end", write(control[0], &c, 1), 1);
    waitpid(pid, &status, 0);
    check_int("stdio: terminal, child", status, 0);
    tcgetattr(slave, &after);
    check_uint("stdio: terminal is as before", after.c_lflag, before.c_lflag);
    check_uint("stdio: and the terminal input", after.c_iflag, before.c_iflag);
    close(control[0]);
    close(control[1]);
    close(slave);
    close(master);
}

/* ---- all ------------------------------------------------------------------------------------ */

static void run(const char *name, void (*fn)(void))
{
    unsigned fds = count_fds();

    setup();
    fn();
    teardown();
    for (unsigned i = 0; i < 100 && count_fds() > fds; i++)
        usleep(10000); /* a sanitizer's thread may have one for a moment */
    if (count_fds() > fds) {
        printf("not ok %s: file descriptors: %u, want %u\n", name, count_fds(), fds);
        check_failures++;
    }
}

int main(int argc, char **argv)
{
    int fd;

    setvbuf(stdout, NULL, _IOLBF, 0);
    while ((fd = open("/dev/null", O_RDWR | O_CLOEXEC)) <= STDERR_FILENO)
        ; /* libuv wants none of its own descriptors there */
    close(fd);
    if (argc > 1)
        return run_child(argv[1]);
    if (!mkdtemp(dir))
        return 1;
    alarm(60);
    setup(); /* what libuv and others open once per process is not a leak */
    teardown();
    run("null", test_null);
    run("buffer", test_buffer);
    run("file", test_file);
    if (check_terminals("chardev-pty"))
        run("pty", test_pty);
    run("socket server", test_socket_server);
    run("socket of one that has gone unread", test_socket_gone_unread);
    run("socket errors", test_socket_errors);
    run("socket without descriptors", test_socket_short_of_descriptors);
    run("socket client", test_socket_client);
    run("output that is left", test_rest);
    test_stdio_pipe();
    test_stdio_files();
    test_stdio_slow();
    test_stdio_broken_pipe();
    if (check_terminals("stdio on a terminal"))
        test_stdio_terminal();
    unlink(path_of("file"));
    unlink(path_of("in"));
    unlink(path_of("out"));
    rmdir(dir);
    return check_result();
}
