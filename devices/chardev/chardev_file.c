/*
 * chardev_file.c: output into a file. Output that can't be written, e.g. because the disk is full,
 * is dropped, counted and reported once; later output is tried again.
 */
#define _GNU_SOURCE /* TEMP_FAILURE_RETRY */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chardev.h"
#include "../types.h"

struct chardev_file {
    struct chardev base;
    char *path;
    bool append;
    struct chardev_output *output;
};

static size_t write_output(lunik_object *o, const uint8_t *data, size_t size)
{
    struct chardev_file *f = lunik_state(o);

    return chardev_output_write(f->output, data, size);
}

/* Returns the descriptor that a path in /proc/self/fd names; -1: it is another path. */
static int named_descriptor(const char *path)
{
    static const char folder[] = "/proc/self/fd/";
    char *end = NULL;
    long fd = -1;

    if (strncmp(path, folder, sizeof(folder) - 1) == 0)
        fd = strtol(path + sizeof(folder) - 1, &end, 10);
    return end && !*end && fd >= 0 && fd < INT_MAX ? (int)fd : -1;
}

/* Opens a file. One that is named by a descriptor may be what only the program that handed that
 * over can open; then the descriptor is duplicated. */
static int open_path(const char *path, int flags)
{
    int fd = TEMP_FAILURE_RETRY(open(path, flags, 0644));

    if (fd >= 0 || errno != EACCES || named_descriptor(path) < 0)
        return fd;
    fd = fcntl(named_descriptor(path), F_DUPFD_CLOEXEC, 0);
    if (fd >= 0)
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    return fd;
}

int chardev_output_open_file(struct chardev_output **out, struct chardev *c, const char *path,
                             bool append, const char *prop, chardev_end_fn *failed,
                             lunik_error *err)
{
    int flags = O_WRONLY | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    int fd, rc;

    flags |= append ? O_APPEND : O_TRUNC;
    fd = open_path(path, flags);
    if (fd < 0)
        return lunik_fail_errno(err, errno, "%s: %s: can't open '%s'",
                                lunik_object_type_name(lunik_state_object(c)), prop, path);
    rc = chardev_output_open(out, c, fd, CHARDEV_READER_FILE, failed, err);
    if (rc)
        close(fd);
    return rc;
}

static int realize(lunik_object *o, lunik_error *err)
{
    struct chardev_file *f = lunik_state(o);

    return chardev_output_open_file(&f->output, &f->base, f->path, f->append, "path",
                                    chardev_failed, err);
}

static void unrealize(lunik_object *o)
{
    struct chardev_file *f = lunik_state(o);

    chardev_output_close(&f->output, CHARDEV_REST_TRY);
}

static const lunik_prop props[] = {
    {
        .name = "path",
        .kind = LUNIK_PROP_STRING,
        .doc = "The file, created if it does not exist.",
        .offset = offsetof(struct chardev_file, path),
        .flags = LUNIK_PROP_REQUIRED,
    },
    {
        .name = "append",
        .kind = LUNIK_PROP_BOOL,
        .doc = "Append to the file instead of replacing its contents.",
        .offset = offsetof(struct chardev_file, append),
    },
    {0},
};

static const struct chardev_kind kind = {
    .realize = realize,
    .unrealize = unrealize,
    .write = write_output,
};

static const lunik_iface ifaces[] = {{CHARDEV_KIND, &kind}, {0}};

const lunik_type chardev_file_type = {
    .name = "chardev-file",
    .parent = "chardev",
    .doc = "Writes its output to a file; has no input.",
    .flags = LUNIK_TYPE_HOTPLUG | LUNIK_TYPE_UNPLUG,
    .size = sizeof(struct chardev_file),
    .props = props,
    .ifaces = ifaces,
    .state = &lunik_state_none,
};
