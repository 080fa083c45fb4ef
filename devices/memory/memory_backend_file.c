/*
 * memory_backend_file.c: memory of a file.
 *
 * mem-path names a file, which is created if it is missing and extended if it is empty, or a
 * directory (of a hugetlbfs, say), in which an unnamed file is made. fd gives a file that is open
 * already instead. A file that has contents is never resized: too short a file is an error.
 */
#define _GNU_SOURCE /* asprintf, mkostemp */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "memory_backend.h"
#include "../quiet_signal.h"
#include "../types.h"

struct memory_backend_file {
    struct memory_backend common;
    char *mem_path;
    int64_t fd;
    char fd_name[32];
    uint64_t align, offset;
    bool discard_data, readonly, pmem;
};

/* Changes that opening the file made to the file system, to be undone on failure. */
struct opened {
    int fd;
    bool created, extended;
};

/* Name the file in messages: the property that gives it, and its name. */
static const char *given_by(const struct memory_backend_file *b)
{
    return b->mem_path ? "mem-path" : "fd";
}

static const char *name_of(const struct memory_backend_file *b)
{
    return b->mem_path ? b->mem_path : b->fd_name;
}

static int fail_file(lunik_object *o, int sys, lunik_error *err)
{
    const struct memory_backend_file *b = lunik_state(o);

    return lunik_fail_errno(err, sys, "%s: %s: '%s'", lunik_object_type_name(o), given_by(b),
                            name_of(b));
}

/* ---- opening -------------------------------------------------------------------------------- */

static int open_in_directory(lunik_object *o, struct opened *f, lunik_error *err)
{
    const struct memory_backend_file *b = lunik_state(o);
    char *name;

    if (b->readonly)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "%s: mem-path: '%s' is a directory (readonly wants a file)",
                          lunik_object_type_name(o), b->mem_path);
    if (asprintf(&name, "%s/lunik-%s.XXXXXX", b->mem_path, lunik_object_id(o)) < 0)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "%s: out of memory", lunik_object_type_name(o));
    f->fd = mkostemp(name, O_CLOEXEC);
    int sys = errno;
    if (f->fd >= 0)
        unlink(name);
    free(name);
    return f->fd < 0 ? fail_file(o, sys, err) : 0;
}

static int open_file(lunik_object *o, struct opened *f, lunik_error *err)
{
    const struct memory_backend_file *b = lunik_state(o);
    /* O_NONBLOCK: a FIFO given by mistake must not make the caller wait for its other end. */
    int flags = (b->readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK;
    struct stat st;

    if (!stat(b->mem_path, &st) && S_ISDIR(st.st_mode))
        return open_in_directory(o, f, err);
    f->fd = TEMP_FAILURE_RETRY(open(b->mem_path, flags));
    if (f->fd < 0 && errno == ENOENT && !b->readonly) {
        f->fd = TEMP_FAILURE_RETRY(open(b->mem_path, flags | O_CREAT | O_EXCL, 0644));
        f->created = f->fd >= 0;
    }
    return f->fd < 0 ? fail_file(o, errno, err) : 0;
}

static int take_descriptor(lunik_object *o, struct opened *f, lunik_error *err)
{
    struct memory_backend_file *b = lunik_state(o);

    snprintf(b->fd_name, sizeof(b->fd_name), "descriptor %" PRId64, b->fd);
    f->fd = fcntl((int)b->fd, F_DUPFD_CLOEXEC, 0);
    return f->fd < 0 ? fail_file(o, errno, err) : 0;
}

static int open_given(lunik_object *o, struct opened *f, lunik_error *err)
{
    const struct memory_backend_file *b = lunik_state(o);

    if (b->mem_path && b->fd >= 0)
        return lunik_fail(err, LUNIK_E_INVALID, "%s: fd: can't go with mem-path",
                          lunik_object_type_name(o));
    if (b->fd >= 0)
        return take_descriptor(o, f, err);
    if (!b->mem_path)
        return lunik_fail(err, LUNIK_E_INVALID, "%s: mem-path: is missing (want a string, or fd)",
                          lunik_object_type_name(o));
    return open_file(o, f, err);
}

/* ---- size ----------------------------------------------------------------------------------- */

static int fit_file(lunik_object *o, struct opened *f, lunik_error *err)
{
    const struct memory_backend_file *b = lunik_state(o);
    const char *type = lunik_object_type_name(o);
    uint64_t needed, has;
    struct stat st;

    if (__builtin_add_overflow(b->offset, b->common.size, &needed) || needed > INT64_MAX)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "%s: size: %" PRIu64 " bytes at offset %" PRIu64
                          " are more than a file can have",
                          type, b->common.size, b->offset);
    if (fstat(f->fd, &st))
        return fail_file(o, errno, err);
    has = (uint64_t)st.st_size;
    if (!S_ISREG(st.st_mode) || has >= needed)
        return 0;
    if (b->readonly || has)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "%s: %s: '%s' has %" PRIu64 " bytes, size and offset need %" PRIu64 "%s",
                          type, given_by(b), name_of(b), has, needed,
                          b->readonly ? " and it is readonly"
                                      : " (only an empty file is extended)");
    if (quiet_truncate(f->fd, (off_t)needed))
        return lunik_fail_errno(err, errno, "%s: size: can't extend '%s' to %" PRIu64 " bytes",
                                type, name_of(b), needed);
    f->extended = true;
    return 0;
}

static int check_units(lunik_object *o, uint64_t page_size, lunik_error *err)
{
    const struct memory_backend_file *b = lunik_state(o);
    const char *type = lunik_object_type_name(o);

    if (b->align & (b->align - 1))
        return lunik_fail(err, LUNIK_E_INVALID, "%s: align: %" PRIu64 " is not a power of two",
                          type, b->align);
    if (b->common.size % page_size)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "%s: size: %" PRIu64 " is not a multiple of the page size %" PRIu64
                          " of '%s'",
                          type, b->common.size, page_size, name_of(b));
    if (b->offset % page_size)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "%s: offset: %" PRIu64 " is not a multiple of the page size %" PRIu64
                          " of '%s'",
                          type, b->offset, page_size, name_of(b));
    return 0;
}

/* ---- life cycle ----------------------------------------------------------------------------- */

static void undo_file(const struct memory_backend_file *b, const struct opened *f)
{
    if (f->created)
        unlink(b->mem_path);
    else if (f->extended && ftruncate(f->fd, 0))
        return; /* it stays sparse: no worse than before */
}

static int realize(lunik_object *o, lunik_error *err)
{
    const struct memory_backend_file *b = lunik_state(o);
    lunik_ram_config config = {
        .align = b->align, .fd_offset = b->offset, .readonly = b->readonly, .sync = b->pmem};
    struct opened f = {.fd = -1};
    int rc;

    if (b->pmem && !b->common.share)
        return lunik_fail(err, LUNIK_E_INVALID, "%s: pmem: true wants share, which is false",
                          lunik_object_type_name(o));
    rc = open_given(o, &f, err);
    if (rc)
        return rc;
    rc = memory_backend_page_size(o, f.fd, &config.page_size, err);
    if (!rc)
        rc = check_units(o, config.page_size, err);
    if (!rc)
        rc = fit_file(o, &f, err);
    if (!rc) {
        config.fd = f.fd;
        rc = memory_backend_map(o, &config, err);
    }
    if (rc)
        undo_file(b, &f);
    close(f.fd);
    return rc;
}

static void unrealize(lunik_object *o)
{
    const struct memory_backend_file *b = lunik_state(o);

    if (b->discard_data && b->common.share && !b->readonly)
        madvise(lunik_ram_host(b->common.ram), b->common.size, MADV_REMOVE);
    memory_backend_unmap(o);
}

static const lunik_prop props[] = {
    {
        .name = "mem-path",
        .kind = LUNIK_PROP_STRING,
        .doc = "A file, or a directory to make an unnamed file in.",
        .offset = offsetof(struct memory_backend_file, mem_path),
    },
    {
        .name = "fd",
        .kind = LUNIK_PROP_INT,
        .doc =
            "Instead of mem-path: the descriptor of an open file, which is duplicated; -1: none.",
        .offset = offsetof(struct memory_backend_file, fd),
        .def = (uint64_t)-1,
        .min = (uint64_t)-1,
        .max = INT32_MAX,
    },
    {
        .name = "align",
        .kind = LUNIK_PROP_SIZE,
        .doc = "Alignment of the mapping and its guest address, 0 for the page size.",
        .offset = offsetof(struct memory_backend_file, align),
    },
    {
        .name = "offset",
        .kind = LUNIK_PROP_SIZE,
        .doc = "Where in the file the memory begins; a multiple of the page size.",
        .offset = offsetof(struct memory_backend_file, offset),
    },
    {
        .name = "discard-data",
        .kind = LUNIK_PROP_BOOL,
        .doc = "Throw the contents away when the object is deleted (needs share).",
        .offset = offsetof(struct memory_backend_file, discard_data),
    },
    {
        .name = "readonly",
        .kind = LUNIK_PROP_BOOL,
        .doc = "Open the file for reading; the guest sees ROM.",
        .offset = offsetof(struct memory_backend_file, readonly),
    },
    {
        .name = "pmem",
        .kind = LUNIK_PROP_BOOL,
        .doc =
            "The file is persistent memory: map it so that nothing but the CPU's caches is between "
            "it and the guest (MAP_SYNC; needs share, and a file system with DAX).",
        .offset = offsetof(struct memory_backend_file, pmem),
    },
    {0},
};

const lunik_type memory_backend_file_type = {
    .name = "memory-backend-file",
    .parent = "memory-backend",
    .doc = "Memory of a file, or of a new unnamed file in a directory.",
    .size = sizeof(struct memory_backend_file),
    .props = props,
    .realize = realize,
    .unrealize = unrealize,
    .state = &lunik_state_none,
};
