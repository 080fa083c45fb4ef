/*
 * main.c: an agent that does what a client asks for, on a port: files, block devices, sockets,
 * networks, memory, the kernel's log. call.h has the protocol.
 *
 * As /init of a guest it gets its settings from the kernel's command line: agent=PORT ("ttyS0", the
 * default, or the name of a virtio port), agent_call=ud2 (see sys.h). On a host: agent -p PORT,
 * where
 * "-" is standard input and output. One process, no threads, no C library, no floating point.
 */
#include "agent.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

bool whole_system;

/* The kernel's layout; of signal.h only the numbers are used. */
struct kernel_sigaction {
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)(void);
    unsigned long mask;
};

/* ---- a request ------------------------------------------------------------------------------- */

static const struct command *const tables[] = {
    file_commands,    device_commands, tree_commands,   socket_commands,
    network_commands, memory_commands, system_commands, log_commands,
};

static char answer_data_space[CALL_LINE + 64];
static struct text answer = {answer_data_space, sizeof(answer_data_space), 0, false};
static uint32_t last_id;

static const struct command *find_command(const char *name)
{
    for (unsigned i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
        for (const struct command *at = tables[i]; at->name; at++)
            if (text_equal(at->name, name))
                return at;
    return NULL;
}

static long run(struct call *c)
{
    const struct command *command = find_command(c->command);
    long rc;

    if (!command) {
        call_about(c, "there is no such command");
        return -ENOSYS;
    }
    call_known(c, command->arguments);
    rc = c->rc ? c->rc : command->run(c);
    return rc < 0 ? rc : c->answer->full ? -EMSGSIZE : 0;
}

static void answer_garbled(void)
{
    char data[128];
    struct text t = {data, sizeof(data), 0, false};
    struct call c = {.answer = &t};

    answer_error(&c, -EBADMSG);
    answer_end(&t);
    port_write(t.data, t.used);
}

/* Answers a line without its end. A repeated request gets the answer that it had. */
static void handle_line(char *line)
{
    static struct call c;
    long rc;

    c.answer = &answer;
    rc = call_parse(&c, line);
    if (rc == -EBADMSG) {
        answer_garbled();
        return;
    }
    if (c.id == last_id) {
        port_write(answer.data, answer.used);
        return;
    }
    last_id = c.id;
    answer_begin(&answer, c.id, "ok");
    if (rc == 0)
        rc = run(&c);
    if (rc < 0)
        answer_error(&c, rc);
    answer_end(&answer);
    port_write(answer.data, answer.used);
    if (afterwards && rc >= 0) {
        port_drain();
        afterwards();
    }
    afterwards = NULL;
}

/* ---- lines ----------------------------------------------------------------------------------- */

/* Takes the bytes that have come. A line begins with '@', which is nowhere else in it; what is
 * before that, and lines that are too long, are dropped. */
static void take(const char *data, size_t size)
{
    static char line[CALL_LINE];
    static size_t used;
    static bool inside, too_long;

    for (size_t i = 0; i < size; i++) {
        if (data[i] == '@') {
            used = 0;
            inside = true;
            too_long = false;
        }
        if (!inside)
            continue;
        if (data[i] == '\n') {
            line[used] = '\0';
            inside = false;
            if (too_long)
                answer_garbled();
            else
                handle_line(line);
        } else if (used == sizeof(line) - 1) {
            too_long = true;
        } else if (data[i] != '\r') {
            line[used++] = data[i];
        }
    }
}

static void announce(void)
{
    char data[64];
    struct text t = {data, sizeof(data), 0, false};

    answer_begin(&t, 0, "ok ready=1");
    answer_end(&t);
    port_write(t.data, t.used);
}

/* ---- the start ------------------------------------------------------------------------------- */

static void ignore(int signal)
{
    struct kernel_sigaction action = {.handler = SIG_IGN};

    SYS4(SYS_rt_sigaction, signal, &action, NULL, 8);
}

/* Takes leave of processes that have ended, which the first process inherits. */
static void reap(void)
{
    while (SYS4(SYS_wait4, -1, NULL, WNOHANG, NULL) > 0)
        ;
}

static _Noreturn void leave(long code)
{
    for (;;)
        SYS1(SYS_exit_group, code);
}

/* The value of NAME=VALUE in a list that ends with NULL. */
static const char *find_value(char **list, const char *name, const char *otherwise)
{
    for (; *list; list++)
        if (text_begins(*list, name) && (*list)[text_length(name)] == '=')
            return *list + text_length(name) + 1;
    return otherwise;
}

static const char *usage = "usage: agent -p PORT (\"-\": standard input and output)\n";

__attribute__((used)) static _Noreturn void start(long *stack)
{
    static char data[4096];
    long arguments = stack[0];
    char **argv = (char **)(stack + 1), **environment = argv + arguments + 1;
    const char *port = find_value(environment, "agent", "ttyS0");
    bool on_host;
    size_t n;

    sys_by_ud2 = text_equal(find_value(environment, "agent_call", "syscall"), "ud2");
    on_host = arguments == 3 && text_equal(argv[1], "-p");
    whole_system = !on_host && SYS0(SYS_getpid) == 1;
    if (on_host) {
        port = argv[2];
    } else if (!whole_system) {
        sys_write_all(2, usage, text_length(usage), -1);
        leave(2);
    }
    ignore(SIGCHLD);
    ignore(SIGPIPE);
    ignore(SIGHUP);
    if (whole_system)
        mount_kernel_filesystems();
    port_open(port);
    announce();
    while ((n = port_read(data, sizeof(data))) > 0) {
        take(data, n);
        reap();
    }
    leave(0);
}

__asm__(".globl _start\n"
        "_start:\n"
        "    xor %ebp, %ebp\n"
        "    mov %rsp, %rdi\n"
        "    and $-16, %rsp\n"
        "    call start\n");

/* The compiler may call these. */
void *memcpy(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);

void *memcpy(void *to, const void *from, size_t size)
{
    char *d = to;

    for (size_t i = 0; i < size; i++)
        d[i] = ((const char *)from)[i];
    return to;
}

void *memset(void *to, int byte, size_t size)
{
    char *d = to;

    for (size_t i = 0; i < size; i++)
        d[i] = (char)byte;
    return to;
}
