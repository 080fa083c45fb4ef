/* file.c: reads boot images. */
#define _GNU_SOURCE /* TEMP_FAILURE_RETRY */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "boot.h"

static int check_kind(const struct stat *st, const char *path, uint64_t limit, lunik_error *err)
{
    if (S_ISDIR(st->st_mode))
        return lunik_fail(err, LUNIK_E_INVALID, "'%s' is a directory (want a file)", path);
    if (!S_ISREG(st->st_mode))
        return lunik_fail(err, LUNIK_E_INVALID, "'%s' is not a regular file", path);
    if (st->st_size == 0)
        return lunik_fail(err, LUNIK_E_INVALID, "'%s' is empty", path);
    if ((uint64_t)st->st_size > limit)
        return lunik_fail(err, LUNIK_E_NO_SPACE,
                          "'%s' is too large: %" PRIu64 " bytes (want at most %" PRIu64 ")", path,
                          (uint64_t)st->st_size, limit);
    return 0;
}

static int read_all(int fd, const char *path, uint8_t *data, uint64_t size, lunik_error *err)
{
    uint64_t done = 0;

    while (done < size) {
        ssize_t n = read(fd, data + done, size - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return lunik_fail_errno(err, errno, "'%s' can't be read", path);
        if (n == 0)
            return lunik_fail(err, LUNIK_E_IO, "'%s' ended after %" PRIu64 " of %" PRIu64 " bytes",
                              path, done, size);
        done += (uint64_t)n;
    }
    return 0;
}

int boot_file_read(struct boot_file *f, const char *path, uint64_t limit, lunik_error *err)
{
    struct stat st;
    int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    int rc, fd = TEMP_FAILURE_RETRY(open(path, flags));

    *f = (struct boot_file){0};
    if (fd < 0)
        return lunik_fail_errno(err, errno, "'%s' can't be opened", path);
    if (fstat(fd, &st) < 0) {
        rc = lunik_fail_errno(err, errno, "'%s' can't be examined", path);
        goto out;
    }
    rc = check_kind(&st, path, limit, err);
    if (rc)
        goto out;
    f->size = (uint64_t)st.st_size;
    f->path = strdup(path);
    f->data = malloc(f->size);
    if (!f->path || !f->data)
        rc = lunik_fail(err, LUNIK_E_NO_MEMORY, "'%s': out of memory for %" PRIu64 " bytes", path,
                        f->size);
    else
        rc = read_all(fd, path, f->data, f->size, err);
    if (rc)
        boot_file_free(f);
out:
    close(fd);
    return rc;
}

void boot_file_free(struct boot_file *f)
{
    free(f->path);
    free(f->data);
    *f = (struct boot_file){0};
}
