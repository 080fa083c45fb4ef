/* file.c: open files and block devices: reading, writing, patterns, checksums. */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>

#define HANDLES 256

unsigned char buffer[BUFFER_SIZE] __attribute__((aligned(4096)));

static bool open_here[HANDLES];

/* ---- handles --------------------------------------------------------------------------------- */

long handle_add(struct call *c, long fd)
{
    if (fd < 0)
        return fd;
    if (fd >= HANDLES) {
        sys_close(fd);
        return -EMFILE;
    }
    open_here[fd] = true;
    answer_number(c, "handle", fd);
    return 0;
}

long handle_get(struct call *c)
{
    int64_t fd = call_number(c, "handle");

    if (!c->rc && (fd < 0 || fd >= HANDLES || !open_here[fd])) {
        call_complain(c, "handle", "is not open");
        c->rc = -EBADF;
    }
    return c->rc ? -1 : (long)fd;
}

void handle_close(long fd)
{
    open_here[fd] = false;
    sys_close(fd);
}

/* ---- commands -------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    int flag;
} flag_names[] = {
    {"read", O_RDONLY},
    {"write", O_WRONLY},
    {"rdwr", O_RDWR},
    {"create", O_CREAT},
    {"exclusive", O_EXCL},
    {"trunc", O_TRUNC},
    {"direct", O_DIRECT},
    {"sync", O_SYNC},
    {"append", O_APPEND},
    {"nonblock", O_NONBLOCK},
    {0},
};

/* Reads flags such as "rdwr,direct"; every word has to be known. */
static int read_flags(struct call *c)
{
    const char *at = call_text_or(c, "flags", "read");
    int flags = O_NOCTTY;

    while (*at) {
        unsigned i = 0;
        size_t length = 0;

        for (; flag_names[i].name; i++) {
            length = text_length(flag_names[i].name);
            if (text_begins(at, flag_names[i].name) && (at[length] == ',' || !at[length]))
                break;
        }
        if (!flag_names[i].name) {
            call_complain(c, "flags",
                          "has a word that is not read, write, rdwr, create, exclusive, "
                          "trunc, direct, sync, append or nonblock");
            return 0;
        }
        flags |= flag_names[i].flag;
        at += length + (at[length] == ',');
    }
    return flags;
}

static long run_open(struct call *c)
{
    const char *path = call_text(c, "path");
    int flags = read_flags(c);
    int64_t mode = call_number_or(c, "mode", 0644);

    if (c->rc)
        return c->rc;
    call_about(c, path);
    return handle_add(c, sys_open(path, flags, (unsigned)mode));
}

static long run_close(struct call *c)
{
    long fd = handle_get(c);

    if (!c->rc)
        handle_close(fd);
    return c->rc;
}

/* Without an offset: from where the file stands, what one call gives, as of a device that is a
 * stream. */
static long run_pread(struct call *c)
{
    long fd = handle_get(c), n;
    int64_t size = call_range(c, "size", 0, CALL_DATA);
    int64_t offset =
        call_find(c, "offset") ? call_range(c, "offset", 0, INT64_MAX - CALL_DATA) : -1;

    if (c->rc)
        return c->rc;
    if (offset < 0)
        n = SYS3(SYS_read, fd, buffer, size);
    else
        n = sys_read_all(fd, buffer, (size_t)size, offset);
    if (n < 0)
        return n;
    answer_data(c, "data", buffer, (size_t)n);
    return 0;
}

static long run_pwrite(struct call *c)
{
    long fd = handle_get(c), n;
    int64_t offset =
        call_find(c, "offset") ? call_range(c, "offset", 0, INT64_MAX - CALL_DATA) : -1;
    const struct arg *data = call_data(c, "data");

    if (c->rc)
        return c->rc;
    for (size_t i = 0; i < data->size; i++) /* aligned, for O_DIRECT */
        buffer[i] = (unsigned char)data->value[i];
    n = sys_write_all(fd, buffer, data->size, offset);
    if (n < 0)
        return n;
    answer_number(c, "size", n);
    return 0;
}

static long run_fsync(struct call *c)
{
    long fd = handle_get(c);

    return c->rc ? c->rc : SYS1(SYS_fsync, fd);
}

static long run_truncate(struct call *c)
{
    long fd = handle_get(c);
    int64_t size = call_range(c, "size", 0, INT64_MAX);

    return c->rc ? c->rc : SYS2(SYS_ftruncate, fd, size);
}

static long run_allocate(struct call *c)
{
    long fd = handle_get(c);
    int64_t offset = call_range(c, "offset", 0, INT64_MAX);
    int64_t size = call_range(c, "size", 1, INT64_MAX);

    return c->rc ? c->rc : SYS4(SYS_fallocate, fd, 0, offset, size);
}

/* ---- the whole of a range -------------------------------------------------------------------- */

struct range {
    long fd;
    int64_t offset, size; /* size -1: to the end of the file */
    uint64_t seed;
};

/* Reads the arguments of a range. */
static struct range read_range(struct call *c, bool pattern)
{
    struct range r = {handle_get(c), call_number_or(c, "offset", 0), call_number_or(c, "size", -1),
                      0};

    if (r.offset < 0 || (pattern && r.offset % 8))
        call_complain(c, "offset", pattern ? "is not a multiple of 8" : "is negative");
    if (r.size < -1 || (r.size >= 0 && r.offset > INT64_MAX - r.size) || (pattern && r.size % 8))
        call_complain(c, "size", "is not a size, or for a pattern not a multiple of 8");
    if (pattern)
        r.seed = (uint64_t)call_number(c, "seed");
    return r;
}

/* Reads the next part of a range into the buffer; returns its size, 0 at the end. */
static long next_part(struct range *r)
{
    size_t size = BUFFER_SIZE;
    long n;

    if (r->size >= 0 && r->size < BUFFER_SIZE)
        size = (size_t)r->size;
    n = sys_read_all(r->fd, buffer, size, r->offset);
    if (n > 0) {
        r->offset += n;
        r->size -= r->size >= 0 ? n : 0;
    }
    return n;
}

static long run_sha256(struct call *c)
{
    struct sha256 s;
    struct range r;
    size_t size;
    long n;

    sha256_init(&s);
    if (call_find(c, "memory")) {
        const void *data = memory_get(c, &size);

        if (c->rc)
            return c->rc;
        sha256_add(&s, data, size);
    } else {
        r = read_range(c, false);
        if (c->rc)
            return c->rc;
        while ((n = next_part(&r)) > 0)
            sha256_add(&s, buffer, (size_t)n);
        if (n < 0)
            return n;
    }
    answer_number(c, "size", (int64_t)s.size);
    sha256_answer(c, &s);
    return 0;
}

static long run_fill(struct call *c)
{
    struct range r;

    if (call_find(c, "memory")) {
        size_t size;
        void *data = memory_get(c, &size);
        int64_t seed = call_number(c, "seed");

        if (!c->rc)
            pattern_fill(data, size, (uint64_t)seed, 0);
        return c->rc;
    }
    r = read_range(c, true);
    if (r.size < 0)
        call_complain(c, "size", "is missing");
    if (c->rc)
        return c->rc;
    while (r.size > 0) {
        size_t size = r.size < BUFFER_SIZE ? (size_t)r.size : BUFFER_SIZE;
        long n;

        pattern_fill(buffer, size, r.seed, (uint64_t)r.offset / 8);
        n = sys_write_all(r.fd, buffer, size, r.offset);
        if (n != (long)size)
            return n < 0 ? n : -ENOSPC;
        r.offset += n;
        r.size -= n;
    }
    return 0;
}

/* Answers where the first word that differs is; the range's end if none does. */
static long run_verify(struct call *c)
{
    struct range r;
    size_t same = 0;
    int64_t end;
    long n = 0;

    if (call_find(c, "memory")) {
        size_t size;
        const void *data = memory_get(c, &size);
        int64_t seed = call_number(c, "seed");

        if (c->rc)
            return c->rc;
        same = pattern_verify(data, size, (uint64_t)seed, 0);
        answer_number(c, "differs", same == size ? -1 : (int64_t)same);
        return 0;
    }
    r = read_range(c, true);
    if (c->rc)
        return c->rc;
    end = r.offset;
    while ((n = next_part(&r)) > 0) {
        same = pattern_verify(buffer, (size_t)n, r.seed, (uint64_t)end / 8);
        if (same < ((size_t)n & ~(size_t)7))
            break;
        end += n;
    }
    if (n < 0)
        return n;
    answer_number(c, "differs", n > 0 ? end + (int64_t)same : r.size > 0 ? end : -1);
    return 0;
}

const struct command file_commands[] = {
    {"open", "path flags mode", run_open},
    {"close", "handle", run_close},
    {"pread", "handle offset size", run_pread},
    {"pwrite", "handle offset data", run_pwrite},
    {"fsync", "handle", run_fsync},
    {"truncate", "handle size", run_truncate},
    {"allocate", "handle offset size", run_allocate},
    {"sha256", "handle memory offset size", run_sha256},
    {"fill", "handle memory offset size seed", run_fill},
    {"verify", "handle memory offset size seed", run_verify},
    {0},
};
