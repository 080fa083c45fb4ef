/*
 * chardev_file.c: output into a file. What can't be written, e.g. because the disk is full, is
 * dropped, counted and reported once; later output is tried again.
 */
#define _GNU_SOURCE /* TEMP_FAILURE_RETRY */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "chardev.h"
#include "../types.h"

struct file_chardev {
    struct chardev base;
    char *path;
    bool append;
    struct chardev_output *output;
};

static size_t file_write(lunik_object *o, const uint8_t *data, size_t size)
{
    struct file_chardev *f = lunik_state(o);

    return chardev_output_write(f->output, data, size);
}

static const lunik_chardev_ops file_ops = {
    .attach = chardev_attach,
    .write = file_write,
    .accept_input = chardev_ignore_input,
};

static int file_realize(lunik_object *o, lunik_error *err)
{
    struct file_chardev *f = lunik_state(o);
    int flags = O_WRONLY | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    int fd, rc;

    flags |= f->append ? O_APPEND : O_TRUNC;
    fd = TEMP_FAILURE_RETRY(open(f->path, flags, 0644));
    if (fd < 0)
        return lunik_fail_errno(err, errno, "chardev-file: path: can't open '%s'", f->path);
    rc = chardev_output_open(&f->output, &f->base, fd, CHARDEV_READER_FILE, chardev_failed, err);
    if (rc)
        close(fd);
    return rc;
}

static void file_unrealize(lunik_object *o)
{
    struct file_chardev *f = lunik_state(o);

    chardev_output_close(&f->output, CHARDEV_REST_TRY);
}

static const lunik_prop file_props[] = {
    {
        .name = "path",
        .kind = LUNIK_PROP_STRING,
        .doc = "The file, created if it does not exist.",
        .offset = offsetof(struct file_chardev, path),
        .flags = LUNIK_PROP_REQUIRED,
    },
    {
        .name = "append",
        .kind = LUNIK_PROP_BOOL,
        .doc = "Write after what is in the file instead of replacing it.",
        .offset = offsetof(struct file_chardev, append),
    },
    {0},
};

static const lunik_iface file_ifaces[] = {LUNIK_IFACE(chardev, &file_ops), {0}};

const lunik_type chardev_file_type = {
    .name = "chardev-file",
    .parent = "chardev",
    .doc = "Writes its output to a file; has no input.",
    .flags = LUNIK_TYPE_HOTPLUG | LUNIK_TYPE_UNPLUG,
    .size = sizeof(struct file_chardev),
    .props = file_props,
    .ifaces = file_ifaces,
    .realize = file_realize,
    .unrealize = file_unrealize,
};
