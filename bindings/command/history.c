/*
 * history.c: the prompt's history, in libedit's memory and in a file of libedit's format: a first
 * line that names the format, then a line for each entry, its bytes encoded as by vis(3).
 *
 * An entry is appended to the file with one write as soon as it has been typed: the file is whole
 * however the process ends, and prompts that run at the same time add to each other's lines. The
 * file stays open, so that neither a sandbox nor a lack of descriptors prevents adding lines.
 *
 * A file that has grown long is replaced by a new one with its last entries. Prompts that have the
 * old one open notice that their path names another file. They lock the file to append, so that no
 * line is added to a file that is being copied.
 */
#define _GNU_SOURCE /* mkostemp */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <editline/readline.h>
#include <uv.h>

#include "history.h"

#define FORMAT       "_HiStOrY_V2_\n"
#define ENTRIES      1000 /* at most so many are loaded */
#define MOST_ENTRIES 2000 /* with more than these the file is shortened to ENTRIES */
#define LOCK_TRIES   100  /* with a millisecond between them */

static struct {
    int fd; /* -1: the file can't be used */
    char path[PATH_MAX];
    const char *trouble; /* why it can't be used, or NULL */
} history = {.fd = -1};

/* ---- the file ------------------------------------------------------------------------------- */

static bool has_format(int fd, const struct stat *st)
{
    char start[sizeof(FORMAT) - 1];

    return !S_ISREG(st->st_mode) || st->st_size == 0 ||
           (pread(fd, start, sizeof(start), 0) == (ssize_t)sizeof(start) &&
            memcmp(start, FORMAT, sizeof(start)) == 0);
}

/* Opens the file at path in place of the open one. Returns why it can't, or NULL. */
static const char *open_file(const char *path)
{
    int fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
    struct stat st;

    if (fd < 0)
        return uv_strerror(-errno);
    if (fstat(fd, &st) != 0 || !has_format(fd, &st)) {
        close(fd);
        return "it is another kind of file (want one that begins with _HiStOrY_V2_, or none)";
    }
    if (history.fd >= 0)
        close(history.fd);
    history.fd = fd;
    return NULL;
}

/* Locks the file, but waits only briefly: another prompt that holds the lock may be stopped. */
static void lock_file(void)
{
    int tries = LOCK_TRIES;

    while (flock(history.fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK && --tries > 0)
        usleep(1000);
}

static bool is_current(void)
{
    struct stat ours, named;

    return fstat(history.fd, &ours) == 0 && stat(history.path, &named) == 0 &&
           ours.st_dev == named.st_dev && ours.st_ino == named.st_ino;
}

/* Locks the file that the path names now. Returns why it can't be used, or NULL. */
static const char *lock_current(void)
{
    const char *trouble = NULL;

    lock_file();
    if (!is_current()) {
        trouble = open_file(history.path);
        if (!trouble)
            lock_file();
    }
    return trouble;
}

static bool write_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, data, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        data += n;
        size -= (size_t)n;
    }
    return true;
}

/* ---- appending ------------------------------------------------------------------------------ */

static bool is_plain(unsigned char c)
{
    return c > ' ' && c < 0x7f && c != '\\';
}

/* Returns the text that the file needs before the next entry: its first line, or the end of a last
 * line that was cut short. */
static const char *lead(void)
{
    struct stat st;
    char last = '\n';

    if (fstat(history.fd, &st) != 0 || !S_ISREG(st.st_mode))
        return "";
    if (st.st_size == 0)
        return FORMAT;
    return pread(history.fd, &last, 1, st.st_size - 1) == 1 && last != '\n' ? "\n" : "";
}

/* Returns the entry's line, malloc()ed; NULL: out of memory. */
static char *encode(const char *before, const char *text)
{
    char *line = malloc(strlen(before) + 4 * strlen(text) + 2);
    char *end = line;

    if (!line)
        return NULL;
    end = stpcpy(end, before);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (is_plain(*c))
            *end++ = (char)*c;
        else
            end += sprintf(end, "\\%03o", *c);
    }
    stpcpy(end, "\n");
    return line;
}

static const char *append(const char *text)
{
    const char *trouble = lock_current();
    char *line;

    if (trouble)
        return trouble;
    line = encode(lead(), text);
    if (!line)
        trouble = "out of memory";
    else if (!write_all(history.fd, line, strlen(line)))
        trouble = uv_strerror(-errno);
    free(line);
    flock(history.fd, LOCK_UN);
    return trouble;
}

/* ---- shortening ----------------------------------------------------------------------------- */

/* Returns the file's text from its first entry on, malloc()ed; NULL if it can't be read. */
static char *read_entries(size_t *size)
{
    const off_t start = sizeof(FORMAT) - 1;
    struct stat st;
    char *text;
    ssize_t n;

    if (fstat(history.fd, &st) != 0 || st.st_size <= start)
        return NULL;
    *size = (size_t)(st.st_size - start);
    text = malloc(*size);
    n = text ? pread(history.fd, text, *size, start) : -1;
    if (n == (ssize_t)*size)
        return text;
    free(text);
    return NULL;
}

/* Returns where the last ENTRIES entries begin; NULL if there are no more than MOST_ENTRIES. */
static const char *last_entries(const char *text, size_t size)
{
    const char *start = NULL;
    size_t lines = 0;

    for (const char *c = text + size; c > text; c--) {
        if (c[-1] != '\n')
            continue;
        if (lines++ == ENTRIES)
            start = c;
    }
    return lines > MOST_ENTRIES ? start : NULL;
}

/* Replaces the file by one with these entries, the same owner and mode. Changes nothing if that
 * fails. */
static void replace_file(const char *entries, size_t size)
{
    char beside[PATH_MAX + 8];
    struct stat st;
    int fd;

    snprintf(beside, sizeof(beside), "%s.XXXXXX", history.path);
    fd = mkostemp(beside, O_CLOEXEC);
    if (fd < 0)
        return;
    if (fstat(history.fd, &st) != 0 || fchown(fd, st.st_uid, st.st_gid) != 0 ||
        fchmod(fd, st.st_mode & 07777) != 0 || !write_all(fd, FORMAT, sizeof(FORMAT) - 1) ||
        !write_all(fd, entries, size) || fdatasync(fd) != 0 || rename(beside, history.path) != 0)
        unlink(beside);
    close(fd);
}

static void shorten(void)
{
    const char *start = NULL;
    char *text = NULL;
    size_t size = 0;

    if (!lock_current())
        text = read_entries(&size);
    if (text)
        start = last_entries(text, size);
    if (start)
        replace_file(start, (size_t)(text + size - start));
    free(text);
    flock(history.fd, LOCK_UN);
    if (start)
        open_file(history.path);
}

/* ---- for lineedit.c ------------------------------------------------------------------------- */

void history_open(const char *path)
{
    struct stat st;

    using_history();
    stifle_history(ENTRIES);
    history_close();
    history.trouble = open_file(path);
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode))
        st.st_size = 0;
    if (st.st_size > 0)
        read_history(path);
    if (!realpath(path, history.path) || history.fd < 0)
        return;
    if (st.st_size > (off_t)(2 * MOST_ENTRIES)) /* the shortest line has two bytes */
        shorten();
}

const char *history_add(const char *text)
{
    add_history(text);
    if (history.fd < 0)
        return history.trouble;
    return append(text);
}

void history_close(void)
{
    if (history.fd >= 0)
        close(history.fd);
    history.fd = -1;
    history.trouble = NULL;
}
