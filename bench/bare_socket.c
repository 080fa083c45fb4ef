/*
 * bare_socket.c: frames, each after its length, between two processes with a Unix stream socket
 * between them: what two machines could reach whose guests and devices cost nothing. Prints us per
 * echo and thousand frames per second, and the TSC's frequency in kHz.
 */
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "bare.h"

enum { RUNS = 5, RUN_NS = 110 * 1000 * 1000, PAUSE_NS = 100 * 1000 };
enum { FRAME_MIN = 60, FRAME_MAX = 1514, BUFFER = 1 << 16 };
enum kind { ECHO, DATA, COUNT };

struct stream {
    int fd;
    size_t first, last; /* what has come and was not taken */
    uint8_t buffer[BUFFER];
};

static void send_frame(int fd, enum kind kind, uint64_t number, uint32_t size)
{
    uint8_t frame[FRAME_MAX] = {(uint8_t)kind};
    struct iovec parts[] = {{&size, sizeof(size)}, {frame, size}};

    memcpy(frame + 8, &number, sizeof(number));
    for (size_t left = sizeof(size) + size; left;) {
        ssize_t n = writev(fd, parts, 2);

        if (n < 0)
            die("writev");
        left -= (size_t)n;
        for (unsigned i = 0; i < 2; i++) {
            size_t part = (size_t)n < parts[i].iov_len ? (size_t)n : parts[i].iov_len;

            parts[i].iov_base = (uint8_t *)parts[i].iov_base + part;
            parts[i].iov_len -= part;
            n -= (ssize_t)part;
        }
    }
}

/* Makes so many bytes available at buffer + first; false: the peer has ended. */
static bool fill(struct stream *s, size_t size)
{
    while (s->last - s->first < size) {
        ssize_t n;

        memmove(s->buffer, s->buffer + s->first, s->last - s->first);
        s->last -= s->first;
        s->first = 0;
        n = read(s->fd, s->buffer + s->last, BUFFER - s->last);
        if (n <= 0)
            return false;
        s->last += (size_t)n;
    }
    return true;
}

/* Waits for a frame. */
static bool take_frame(struct stream *s, enum kind *kind, uint64_t *number)
{
    uint32_t size;

    if (!fill(s, sizeof(size)))
        return false;
    memcpy(&size, s->buffer + s->first, sizeof(size));
    if (!fill(s, sizeof(size) + size))
        return false;
    *kind = s->buffer[s->first + sizeof(size)];
    memcpy(number, s->buffer + s->first + sizeof(size) + 8, sizeof(*number));
    s->first += sizeof(size) + size;
    return true;
}

static struct stream stream;

static void answer(void)
{
    uint64_t number, count = 0;
    enum kind kind;

    while (take_frame(&stream, &kind, &number)) {
        if (kind == DATA) {
            count++;
            continue;
        }
        send_frame(stream.fd, kind, count, FRAME_MIN);
        count = 0;
    }
}

static void ask(enum kind kind)
{
    uint64_t number;

    send_frame(stream.fd, kind, 0, FRAME_MIN);
    if (!take_frame(&stream, &kind, &number))
        die("the peer has ended");
}

static void measure_echo(const char *name, uint64_t pause)
{
    uint64_t end = now_ns() + RUN_NS, time = 0, count = 0;

    for (uint64_t start = now_ns(); start < end; start = now_ns()) {
        while (now_ns() < start + pause)
            __builtin_ia32_pause();
        start = now_ns();
        ask(ECHO);
        time += now_ns() - start;
        count++;
    }
    report(name, (double)time / (double)count / 1e3);
}

static void measure_stream(const char *name, uint32_t size)
{
    uint64_t start = now_ns(), count = 0;

    for (; now_ns() < start + RUN_NS; count++)
        send_frame(stream.fd, DATA, 0, size);
    ask(COUNT);
    report(name, (double)count * 1e6 / (double)(now_ns() - start));
}

int main(void)
{
    uint64_t ticks = __builtin_ia32_rdtsc(), start = now_ns();
    int ends[2];
    pid_t child;

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
        die("socketpair");
    child = fork();
    if (child < 0)
        die("fork");
    stream.fd = ends[!child];
    close(ends[!!child]);
    if (!child) {
        answer();
        return 0;
    }
    for (unsigned run = 0; run < RUNS; run++) {
        measure_echo("echo-t", PAUSE_NS);
        measure_echo("echo", 0);
        measure_stream("stream-60", FRAME_MIN);
        measure_stream("stream-1514", FRAME_MAX);
    }
    report("tsc-khz", (double)(__builtin_ia32_rdtsc() - ticks) * 1e6 / (double)(now_ns() - start));
    return fflush(stdout) != 0;
}
