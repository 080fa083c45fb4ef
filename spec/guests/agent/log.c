/* log.c: the kernel's log, and input events. */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/input.h>
#include <poll.h>
#include <sys/syscall.h>

/* ---- the kernel's log ------------------------------------------------------------------------ */

#define RECORD 8192 /* more than a record can have */

static long kmsg = -1;

void log_line(const char *words, const char *more)
{
    char line[160];
    struct text t = {line, sizeof(line) - 1, 0, false};
    long fd = sys_open("/dev/kmsg", O_WRONLY, 0);

    if (fd < 0)
        return;
    text_put(&t, "agent: ");
    text_put(&t, words);
    text_put(&t, more);
    text_put(&t, "\n");
    sys_write_all(fd, line, t.used, -1);
    sys_close(fd);
}

struct filter {
    int64_t level;     /* severity at most: 0 to 7 */
    const char *match; /* part of the text */
};

/* Adds a record, "PRIORITY,NUMBER,MICROSECONDS,FLAGS;TEXT\n", as "<LEVEL>TEXT\n". Returns false if
 * there is no room for it. */
static bool add_record(struct text *lines, const char *record, size_t size, const struct filter *f)
{
    size_t at = 0, end;
    int64_t priority = 0;

    for (; at < size && record[at] >= '0' && record[at] <= '9'; at++)
        priority = priority * 10 + (record[at] - '0');
    while (at < size && record[at] != ';')
        at++;
    at += at < size;
    for (end = at; end < size && record[end] != '\n';)
        end++;
    if ((priority & 7) > f->level || !text_contains(record + at, end - at, f->match))
        return true;
    if (lines->size - lines->used < end - at + 4)
        return false;
    text_put(lines, "<");
    text_put_number(lines, priority & 7);
    text_put(lines, ">");
    text_put_bytes(lines, record + at, end - at);
    text_put(lines, "\n");
    return true;
}

static long open_log(struct call *c)
{
    if (kmsg < 0)
        kmsg = sys_open("/dev/kmsg", O_RDONLY | O_NONBLOCK, 0);
    call_about(c, "/dev/kmsg");
    return kmsg < 0 ? kmsg : 0;
}

/* Answers the records since the last call, or since the start of the log. A record for which there
 * is no room waits in `kept`. */
static long run_log(struct call *c)
{
    static char lines_data[CALL_DATA], kept[RECORD];
    static size_t kept_size;
    struct text lines = {lines_data, sizeof(lines_data), 0, false};
    struct filter f = {call_number_or(c, "level", 7), call_text_or(c, "match", "")};
    int64_t lost = 0;
    long n = 0;

    if (f.level < 0 || f.level > 7)
        call_complain(c, "level", "is out of range");
    if (c->rc)
        return c->rc;
    n = open_log(c);
    if (n < 0)
        return n;
    for (;;) {
        if (kept_size == 0) {
            n = SYS3(SYS_read, kmsg, kept, sizeof(kept));
            lost += n == -EPIPE; /* records were overwritten before they were read */
            if (n == -EPIPE)
                continue;
            if (n <= 0)
                break;
            kept_size = (size_t)n;
        }
        if (!add_record(&lines, kept, kept_size, &f))
            break;
        kept_size = 0;
    }
    if (n < 0 && n != -EAGAIN)
        return n;
    answer_number(c, "more", kept_size > 0);
    answer_number(c, "lost", lost);
    answer_data(c, "lines", lines.data, lines.used);
    return 0;
}

/* Moves to the start ("start") or the end ("end") of the log. */
static long run_log_seek(struct call *c)
{
    const char *to = call_text(c, "to");
    bool end = text_equal(to, "end");
    long rc;

    if (!end && !text_equal(to, "start"))
        call_complain(c, "to", "is neither start nor end");
    if (c->rc)
        return c->rc;
    rc = open_log(c);
    if (rc < 0)
        return rc;
    rc = SYS3(SYS_lseek, kmsg, 0, end ? 2 : 0);
    return rc < 0 ? rc : 0;
}

/* ---- input events ---------------------------------------------------------------------------- */

#define INPUTS 16

static long inputs[INPUTS]; /* descriptor + 1 of /dev/input/eventN; 0: not open */

static long open_inputs(struct pollfd *fds)
{
    long count = 0;

    for (unsigned i = 0; i < INPUTS; i++) {
        char path[32];
        struct text t = {path, sizeof(path) - 1, 0, false};

        text_put(&t, "/dev/input/event");
        text_put_number(&t, i);
        path[t.used] = '\0';
        if (inputs[i] == 0) {
            long fd = sys_open(path, O_RDONLY | O_NONBLOCK, 0);

            inputs[i] = fd < 0 ? 0 : fd + 1;
        }
        fds[i] = (struct pollfd){(int)inputs[i] - 1, POLLIN, 0};
        count += inputs[i] != 0;
    }
    return count;
}

static void put_event(struct text *t, unsigned device, const struct input_event *e)
{
    if (e->type == EV_SYN || t->size - t->used < 64)
        return;
    text_put_number(t, device);
    text_put(t, " ");
    text_put_number(t, e->type);
    text_put(t, " ");
    text_put_number(t, e->code);
    text_put(t, " ");
    text_put_number(t, e->value);
    text_put(t, "\n");
}

static void read_inputs(struct text *t, const struct pollfd *fds)
{
    struct input_event events[16];

    for (unsigned i = 0; i < INPUTS; i++) {
        long n = 0;

        if (!fds[i].revents)
            continue;
        while ((n = SYS3(SYS_read, fds[i].fd, events, sizeof(events))) > 0)
            for (size_t k = 0; k < (size_t)n / sizeof(events[0]); k++)
                put_event(t, i, &events[k]);
        if (n != -EAGAIN) { /* the device has gone */
            sys_close(fds[i].fd);
            inputs[i] = 0;
        }
    }
}

/* Answers the events that have come since the first call, or waits for one. Lines are "DEVICE TYPE
 * CODE VALUE". */
static long run_input(struct call *c)
{
    char data[2048];
    struct text t = {data, sizeof(data), 0, false};
    int64_t deadline = call_deadline(c);
    struct pollfd fds[INPUTS];
    long count;

    if (c->rc)
        return c->rc;
    do {
        int64_t left = deadline - sys_now();

        left = left < 0 ? 0 : left > 1000 ? 1000 : left;
        count = open_inputs(fds);
        if (SYS3(SYS_poll, fds, INPUTS, left) > 0)
            read_inputs(&t, fds);
    } while (t.used == 0 && sys_now() < deadline);
    answer_number(c, "devices", count);
    answer_data(c, "events", t.data, t.used);
    return 0;
}

const struct command log_commands[] = {
    {"log", "level match", run_log},
    {"log_seek", "to", run_log_seek},
    {"input", "timeout", run_input},
    {0},
};
